# SPDX-License-Identifier: Apache-2.0
"""One test's stage: a namespace, a Slack, operators, and the verbs that tests are written in."""

from __future__ import annotations

import asyncio
import itertools
import re
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from devcluster.local import LocalCluster
from fakeslack.server import FakeSlack, Request
from fakeslack.workspace import Message
from support.kube import Kube
from support.kubelet import Kubelet
from support.manifests import (
    CHANNEL,
    REPORTER_SECRET,
    TEST_ANNOTATION,
    Json,
    make_pod,
    make_secret,
    make_tracker,
)
from support.operators import Operators
from support.process import Operator
from support.waiting import PATIENCE, eventually

NewNamespace = Callable[[], Awaitable[str]]
"""Makes a namespace and returns its name."""

_FENCE = "fence-"
_NAMES_FENCE = re.compile(rf"\b{_FENCE}\d")


@dataclass
class Scene:
    """What a test acts on."""

    cluster: LocalCluster
    kube: Kube
    slack: FakeSlack
    namespace: str
    token: str
    """A token that works, kept in the Secret that trackers use by default."""
    new_token: Callable[..., str]
    operators: Operators
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def operate(self, **env: str) -> Operator:
        """Start an operator for this scene's namespace and Slack, with these settings over the fast ones."""
        return await self.operators.start(**{"WATCH_NAMESPACE": self.namespace, "SLACK_API_URL": self.slack.url, **env})

    @property
    def kubelet(self) -> Kubelet:
        """Plays the nodes of this namespace's pods."""
        return Kubelet(self.kube, self.namespace)

    def open_channel(self, name: str) -> str:
        """Make a channel with the bot in it."""
        self.slack.channels.add(name)
        self.slack.channel_members.add(name)
        return name

    # acts

    async def track(self, name: str = "pod-tracker", **tracker: Any) -> Json:
        """Create a tracker; arguments as of `make_tracker`."""
        return await self.kube.create(make_tracker(name, **tracker), self.namespace)

    async def edit(self, spec: Json, tracker: str = "pod-tracker") -> Json:
        """Merge-patch a tracker's spec."""
        return await self.kube.patch("PodTracker", tracker, self.namespace, {"spec": spec})

    async def run(self, name: str = "nginx", **labels: str) -> Json:
        """Create a pod."""
        return await self.kube.create(make_pod(name, labels=labels), self.namespace)

    async def relabel(self, pod: str, **labels: str) -> None:
        """Change labels of a pod."""
        await self.kube.patch("Pod", pod, self.namespace, {"metadata": {"labels": labels}})

    async def ask_test(self, nonce: str, tracker: str = "pod-tracker") -> None:
        """Ask for a test message."""
        body: Json = {"metadata": {"annotations": {TEST_ANNOTATION: nonce}}}
        await self.kube.patch("PodTracker", tracker, self.namespace, body)

    async def remove(self, pod: str = "nginx", *, grace: int = 0) -> None:
        """Delete a pod: at once, or, where it is bound to a node, when its kubelet has stopped it."""
        await self.kube.delete("Pod", pod, self.namespace, grace=grace)

    async def put_secret(self, name: str = REPORTER_SECRET, **values: str) -> None:
        """Make a Secret hold these keys and values."""
        await self.kube.apply(make_secret(name, **values), self.namespace)

    async def kubectl(self, *args: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator; raises ClusterError where it fails."""
        return await asyncio.to_thread(self.cluster.kubectl, *args, input=stdin)

    # facts

    async def pods(self, app: str, count: int = 1) -> list[str]:
        """Wait until so many pods have this value of the label `app`, as those of a workload; return their names."""

        async def found() -> tuple[list[str]]:
            pods = await self.kube.list("Pod", self.namespace)
            names = [pod["metadata"]["name"] for pod in pods if pod["metadata"]["labels"].get("app") == app]
            assert len(names) == count, names
            return (names,)

        [names] = await eventually(found, what=f"{count} pods of {app}")
        return names

    async def tracker(self, name: str = "pod-tracker") -> Json:
        """Return a tracker as it is."""
        return await self.kube.get("PodTracker", name, self.namespace)

    async def status(self, tracker: str = "pod-tracker") -> Json:
        """Return a tracker's status, empty where it has none."""
        found: Json = (await self.tracker(tracker)).get("status") or {}
        return found

    async def handled(self, tracker: str = "pod-tracker") -> Json:
        """Wait until the status speaks of the newest spec and its credentials were checked; return the status."""

        async def spoken() -> Json:
            found = await self.tracker(tracker)
            status: Json = found.get("status") or {}
            told = {entry["type"] for entry in status.get("conditions", [])}
            current = status.get("observedGeneration") == found["metadata"]["generation"]
            assert current, status
            assert {"Ready", "ReporterReady"} <= told, status
            return status

        return await eventually(spoken, what=f"a status for the newest spec of {tracker}")

    async def condition(
        self,
        kind: str,
        status: str,
        reason: str,
        *,
        tracker: str = "pod-tracker",
        within: float = PATIENCE,
    ) -> Json:
        """Wait until a condition has this status and reason, and return it."""

        async def found() -> Json:
            state = await self.status(tracker)
            entry: Json = next((one for one in state.get("conditions", []) if one["type"] == kind), {})
            assert (entry.get("status"), entry.get("reason")) == (status, reason), state
            return entry

        return await eventually(found, what=f"{kind}={status} {reason} on {tracker}", within=within)

    async def counted(self, tracker: str = "pod-tracker", **numbers: int | str) -> Json:
        """Wait until the status holds these numbers or words, and return it; written every few seconds only."""

        async def found() -> Json:
            state = await self.status(tracker)
            assert {name: state.get(name) for name in numbers} == numbers, state
            return state

        return await eventually(found, what=f"the numbers {numbers}")

    async def waiting(self, operator: Operator, count: int) -> None:
        """Wait until so many occurrences wait for delivery; sooner known than from a status."""

        async def found() -> bool:
            return await operator.metric("pod_tracker_pending") == count

        await eventually(found, what=f"{count} occurrences to wait")

    async def secret_reads(self, times: int = 2) -> None:
        """Wait until an operator has asked for a Secret of this namespace `times` more: its clockwork went round."""
        log = self.cluster.audit_log
        assert log is not None, "start the cluster with audit=True"
        begin = log.stat().st_size

        def read() -> bool:
            with log.open() as file:
                file.seek(begin)
                calls = [line for line in file if f"/api/v1/namespaces/{self.namespace}/secrets/" in line]
            return sum('"verb":"get"' in line for line in calls) >= times

        await eventually(read, what=f"{times} reads of Secrets in {self.namespace}")

    async def events(self, tracker: str = "pod-tracker") -> list[Json]:
        """Return the Kubernetes Events about a tracker."""
        events = await self.kube.list("Event", self.namespace)
        return [
            event
            for event in events
            if (event["involvedObject"]["kind"], event["involvedObject"]["name"]) == ("PodTracker", tracker)
        ]

    def messages(self, channel: str | None = None) -> list[Message]:
        """Return the messages that Slack accepted, without those of fences."""
        return [
            message
            for message in self.slack.messages
            if channel in {None, message.channel} and not _NAMES_FENCE.search(message.text)
        ]

    def texts(self, channel: str | None = None) -> list[str]:
        """Return the texts of `messages`."""
        return [message.text for message in self.messages(channel)]

    def occurrences(self, channel: str | None = None) -> list[str]:
        """Return the ids of the occurrences that `messages` told, message by message."""
        return [one for message in self.messages(channel) for one in occurrences(message)]

    def posts(self, channel: str | None = None) -> list[Request]:
        """Return the requests to post a message, accepted or not, without those of fences."""
        return [
            request
            for request in self.slack.requests
            if request.method == "chat.postMessage"
            and channel in {None, request.body.get("channel")}
            and not _NAMES_FENCE.search(str(request.body.get("text")))
        ]

    async def delivered(self, *texts: str, channel: str | None = None) -> list[Message]:
        """Wait until these texts and no others have arrived, in any order, and return the messages."""

        def arrived() -> bool:
            assert sorted(self.texts(channel)) == sorted(texts), self.slack.summary()
            return True

        await eventually(arrived, what=f"the messages {texts}")
        return self.messages(channel)

    async def fence(self, *, namespace: str = "", channel: str = CHANNEL, **tracker: Any) -> None:
        """Let a tracker and a pod made for this purpose pass through the operator.

        Whatever the API server told the operator before them, and was sent to the same place, has arrived by then.
        """
        name = f"{_FENCE}{next(self._numbers)}"
        where = namespace or self.namespace
        await self.kube.create(make_tracker(name, pod=name, channel=channel, **tracker), where)
        await self.kube.create(make_pod(name), where)

        def passed() -> bool:
            texts = [message.text for message in self.slack.messages if message.channel == channel]
            assert f"Pod {name} was created" in texts, self.slack.summary()
            return True

        await eventually(passed, what=f"the message about {name}")

    async def fences(self) -> None:
        """Fence every channel that there is."""
        await asyncio.gather(*(self.fence(channel=channel) for channel in sorted(self.slack.channel_members)))


def occurrences(message: Message) -> list[str]:
    """Return the ids of the occurrences that a message tells."""
    assert message.metadata is not None, message
    assert message.metadata["event_type"] == "pod_tracker", message
    ids: list[str] = message.metadata["event_payload"]["ids"]
    return ids
