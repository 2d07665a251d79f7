# SPDX-License-Identifier: Apache-2.0
"""One scenario's stage: namespaces, a Slack, a way to the API server, replicas, and the judge."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final, TypeAlias

import yaml

from chaos.chance import branch
from chaos.churn import in_bulk
from chaos.oracle import Target, Verdict, ids_of, judge, occurrence
from chaos.proxy import Proxy
from chaos.recorder import Recorder
from chaos.replica import Replica, end
from chaos.slackside import HISTORY_SCOPE, ChaosSlack
from devcluster.local import LocalCluster
from fakeslack.workspace import Message
from support.install import CONFIG, OPERATOR_NAMESPACE
from support.kube import Kube
from support.manifests import CHANNEL, OTHER_CHANNEL, REPORTER_SECRET, created_at, make_pod, make_secret, make_tracker
from support.waiting import eventually

SETTINGS: Final = {
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "info",
    "SLACK_RATE": "20",
    "SLACK_BURST": "3",
    "SLACK_TIMEOUT": "2",
    "WEBHOOK_TIMEOUT": "2",
    "RETRY_BACKOFF": "0.1",
    "RETRY_BACKOFF_MAX": "1",
    "DRAIN_TIMEOUT": "5",
}
"""What all replicas are told unless a scenario says otherwise; leases keep their defaults."""

_FENCE: Final = "fence-"
_SETTLE: Final = 90.0
"""Seconds in which everything that can be told must have been."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What all scenarios share."""

    cluster: LocalCluster
    kubeconfig: Path
    """With the credentials of the operator's ServiceAccount."""
    kube: Kube
    """The API as the administrator, past all proxies."""
    folder: Path
    """For logs and kubeconfigs."""
    rng: Random


class Arena:
    """Use `arena` to make one."""

    def __init__(self, stage: Stage, name: str, slack: ChaosSlack, token: str) -> None:
        self.stage = stage
        self.namespace = name
        """Where trackers and pods are."""
        self.home = f"{name}-home"
        """The operator's own namespace: leases and ledgers of several arenas do not meet."""
        self.slack = slack
        self.rng = branch(stage.rng)
        """All randomness of the scenario."""
        self.token = token
        self.recorder = Recorder()
        self.targets: dict[str, Target] = {}
        """By the name of the pods they mean."""
        self.replicas: list[Replica] = []
        self.excused: set[str] = set()
        """Uids of pods that must not be told."""
        self._exits = contextlib.AsyncExitStack()
        self._fences = 0
        self._made: list[tuple[str, str, float]] = []

    @property
    def kube(self) -> Kube:
        """The API as the administrator."""
        return self.stage.kube

    # parts

    async def new_proxy(self) -> Proxy:
        """Open another way to the API server, seen by the same recorder."""
        return await self._exits.enter_async_context(
            Proxy(self.stage.cluster.server, self.stage.cluster.ca_file, self.recorder)
        )

    async def new_front(self) -> ChaosSlack:
        """Open another address of the same Slack, to tell who calls."""
        front = ChaosSlack(
            tokens={self.token},
            channels=self.slack.channels,
            rng=branch(self.rng),
            workspace=self.slack.workspace,
        )
        return await self._exits.enter_async_context(front)

    def read_back(self, *, allowed: bool) -> None:
        """Say whether the bot may read its channels."""
        (self.slack.scopes.add if allowed else self.slack.scopes.discard)(HISTORY_SCOPE)

    def new_replica(
        self, proxy: Proxy, env: Mapping[str, str] | None = None, *, slack: ChaosSlack | None = None
    ) -> Replica:
        """Prepare a replica that goes through `proxy`; `env` over `SETTINGS`."""
        number = len(self.replicas)
        kubeconfig = proxy.kubeconfig(self.stage.folder / f"{self.namespace}-{number}.yaml", self.stage.kubeconfig)
        settings = {
            **SETTINGS,
            "KUBECONFIG": str(kubeconfig),
            "POD_NAMESPACE": self.home,
            "WATCH_NAMESPACE": self.namespace,
            "SLACK_API_URL": (slack or self.slack).url,
            "POD_UID": f"{self.namespace}-{number}",
            "POD_NAME": f"{self.namespace}-{number}",
            **(env or {}),
        }
        log = self.stage.folder / f"{self.namespace}-{number}.log"
        log.touch()
        replica = Replica(settings, log)
        self.replicas.append(replica)
        return replica

    # acts

    async def track(self, *pods: str, channel: str = CHANNEL) -> None:
        """Create a tracker for each of these names of pods."""
        await in_bulk(self._track(pod, channel) for pod in pods)

    async def _track(self, pod: str, channel: str) -> None:
        body = await self.kube.create(make_tracker(pod, pod=pod, channel=channel), self.namespace)
        uid: str = body["metadata"]["uid"]
        self.targets[pod] = Target(uid, self.namespace, pod, int(created_at(body)))

    async def run(self, *pods: str) -> list[str]:
        """Create pods, and return their uids."""
        uids: dict[str, str] = {}

        async def create(pod: str) -> None:
            asked = time.time()
            body = await self.kube.create(make_pod(pod), self.namespace)
            uids[pod] = body["metadata"]["uid"]
            self._made.append((pod, uids[pod], asked))

        await in_bulk(create(pod) for pod in pods)
        return [uids[pod] for pod in pods]

    async def remove(self, *pods: str) -> None:
        """Delete pods at once."""
        await in_bulk(self.kube.delete("Pod", pod, self.namespace) for pod in pods)

    async def kubectl(self, *args: str, stdin: str | None = None) -> str:
        """Run kubectl as the administrator in the operator's namespace, and return its output."""
        words = (f"--namespace={self.home}", *args)
        done = await asyncio.to_thread(self.stage.cluster.kubectl, *words, input=stdin)
        return done.stdout

    async def living(self) -> list[dict[str, Any]]:
        """Return the pods that exist and that a tracker means."""
        return [pod for pod in await self.kube.list("Pod", self.namespace) if pod["metadata"]["name"] in self.targets]

    # facts

    @property
    def messages(self) -> list[Message]:
        """What Slack accepted, from anybody, but for fences."""
        return [message for message in self.slack.messages if f"Pod {_FENCE}" not in message.text]

    def verdict(self) -> Verdict:
        """Judge what has happened so far."""
        return judge(
            [target for target in self.targets.values() if not target.pod.startswith(_FENCE)],
            self.recorder,
            self.messages,
            excused=frozenset(self.excused),
        )

    def delays(self, name: str) -> list[float]:
        """Return the seconds from the request to make a pod of this name to the message about it, for those told."""
        told = {one: message.received_at for message in reversed(self.slack.messages) for one in ids_of(message)}
        ids = [(occurrence(self.targets[pod].uid, uid), asked) for pod, uid, asked in self._made if pod == name]
        return [told[one] - asked for one, asked in ids if one in told]

    async def told(self, within: float = _SETTLE) -> Verdict:
        """Wait until nothing is missing, and return the verdict of then; also of what lives and was not even shown."""
        living = await self.living()

        def complete() -> bool:
            unseen = [pod["metadata"]["name"] for pod in living if pod["metadata"]["uid"] not in self.recorder.pods]
            assert not unseen, f"{len(unseen)} living pods were not shown: {unseen[:10]}"
            verdict = self.verdict()
            assert not verdict.lost, f"{len(verdict.lost)} of {verdict.expected} not told: {verdict.lost[:10]}"
            return True

        try:
            await eventually(complete, what="everything to be told", within=within)
        except AssertionError as error:
            error.add_note(await self.evidence())
            raise
        return self.verdict()

    async def fence(self, channel: str = CHANNEL) -> None:
        """Let a tracker and a pod of its own pass; what was to be told before has been told by then."""
        self._fences += 1
        name = f"{_FENCE}{self._fences}"
        await self.track(name, channel=channel)
        await self.run(name)
        try:
            await eventually(
                lambda: any(message.text == f"Pod {name} was created" for message in self.slack.messages),
                what=f"the message about {name}",
                within=_SETTLE,
            )
        except AssertionError as error:
            error.add_note(await self.evidence())
            raise

    async def settled(self, within: float = _SETTLE) -> Verdict:
        """Wait until nothing is missing and nothing more comes."""
        await self.told(within)
        await self.fence()
        return self.verdict()

    async def events(self, reason: str) -> list[dict[str, Any]]:
        """Return the Kubernetes Events on trackers with this reason."""
        return [event for event in await self.kube.list("Event", self.namespace) if event["reason"] == reason]

    async def noted(self, reason: str, count: int) -> list[dict[str, Any]]:
        """Wait until so many trackers have an Event with this reason, and return these."""

        async def found() -> list[dict[str, Any]]:
            events = await self.events(reason)
            assert len(events) >= count, f"{len(events)} of {count}"
            return events

        return await eventually(found, what=f"an Event {reason} on each tracker")

    async def evidence(self) -> str:
        """Return what the replicas say of themselves now: what they count, and the ends of their logs."""
        counted = []
        for replica in (one for one in self.replicas if one.running):
            try:
                page = await replica.exposition()
            except (AssertionError, TimeoutError) as error:
                page = f"{type(error).__name__} {error}"
            lines = (line for line in page.splitlines() if not line.startswith("#") and "_bucket{" not in line)
            counted += [f"--- {replica.log.name} counts:", *(line for line in lines if not line.endswith(" 0.0"))]
        return "\n".join((*counted, self.tails()))

    def tails(self) -> str:
        """Return the ends of the operators' logs."""
        return "\n".join(f"{replica.log.name}\n{replica.tail()}" for replica in self.replicas)

    def tracebacks(self) -> list[str]:
        """Return the logs that have a traceback."""
        return [replica.log.name for replica in self.replicas if "Traceback" in replica.output()]

    # beginning and end

    async def open(self) -> None:
        """Make the namespaces with the rights and the token, and open Slack."""
        for name in (self.namespace, self.home):
            await self.kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        await self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(_own_rights()))
        await self.kube.create(make_secret(REPORTER_SECRET, token=self.token), self.namespace)
        await self._exits.enter_async_context(self.slack)

    async def close(self) -> None:
        """End the replicas, and leave nothing that another scenario could stumble over."""
        await end(self.replicas)
        await self._exits.aclose()
        for group, plural in (("apis/pod-tracker.lost.backend", "podtrackers"), ("api", "pods")):
            path = f"/{group}/v1/namespaces/{self.namespace}/{plural}?gracePeriodSeconds=0"
            await self.kubectl("delete", "--raw", path)


NewArena: TypeAlias = Callable[[str], Awaitable[Arena]]
"""Opens an arena whose namespaces begin with a word."""


@contextlib.asynccontextmanager
async def arena(stage: Stage, title: str) -> AsyncIterator[Arena]:
    """Open an arena whose namespaces begin with `title`, and close it."""
    token = f"xoxb-{secrets.token_hex(12)}"
    slack = ChaosSlack(tokens={token}, channels={CHANNEL, OTHER_CHANNEL}, rng=branch(stage.rng))
    opened = Arena(stage, f"{title}-{secrets.token_hex(3)}", slack, token)
    await opened.open()
    try:
        yield opened
    finally:
        await opened.close()
    assert not opened.recorder.unread, opened.recorder.unread[:5]
    assert not opened.tracebacks(), opened.tails()


def _own_rights() -> Iterable[dict[str, Any]]:
    """The role for the operator's own namespace, as `config/rbac` has it, for any namespace."""
    for path in sorted((CONFIG / "rbac").glob("*.yaml")):
        for body in yaml.safe_load_all(path.read_text()):
            if body and body.get("kind") in {"Role", "RoleBinding"}:
                body["metadata"].pop("namespace", None)
                for subject in body.get("subjects", ()):
                    subject["namespace"] = OPERATOR_NAMESPACE
                yield body


def since(moment: float) -> float:
    """Return the seconds since a moment of the monotonic clock."""
    return time.monotonic() - moment
