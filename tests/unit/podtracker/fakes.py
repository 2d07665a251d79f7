# SPDX-License-Identifier: Apache-2.0
"""Fakes at the operator's ports. They record what they were asked and answer as told."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from podtracker.delivery import Destination, Message, Traits
from podtracker.errors import DeliveryError, KubeError
from podtracker.ledger import Notification
from podtracker.pods import Owner, Pod
from podtracker.trackers import Notice, TrackerIdentity
from unit.podtracker.builders import page
from unit.podtracker.virtual import clock

NOT_FOUND = KubeError(404, "NotFound", "no such thing")
FORBIDDEN = KubeError(403, "Forbidden", "you may not")
DOWN = KubeError(0, "Unreachable", "connection refused")


class FakeReporter:
    """A receiver. Outcomes are taken in turn from `plan`; after them everything is accepted."""

    def __init__(self, *, paced: bool = True, digests: bool = True) -> None:
        self.traits = Traits(paced=paced, digests=digests, accepted=("TokenAccepted", "the receiver accepts the token"))
        self.closed = False
        self.plan: deque[Exception | None] = deque()
        self.attempts: list[tuple[float, Destination, Message]] = []
        self.accepted: list[Message] = []
        self.verified: list[Destination] = []
        self.verdict: Exception | None = None
        self.gate: asyncio.Event | None = None
        """Where set, deliveries and checks wait for it before they end."""
        self.history: deque[frozenset[str] | Exception | None] = deque()
        """What reading back gives, in turn; after them, None: it cannot be read."""
        self.looked_back: list[tuple[Destination, float]] = []
        self.flying = 0
        self.most_flying = 0

    def escape(self, text: str) -> str:
        return text

    async def close(self) -> None:
        self.closed = True

    async def deliver(self, destination: Destination, message: Message) -> None:
        self.attempts.append((clock(), destination, message))
        self.flying += 1
        self.most_flying = max(self.most_flying, self.flying)
        try:
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.flying -= 1
        outcome = self.plan.popleft() if self.plan else None
        if outcome is not None:
            raise outcome
        self.accepted.append(message)

    async def verify(self, destination: Destination) -> None:
        self.verified.append(destination)
        if self.gate is not None:
            await self.gate.wait()
        if self.verdict is not None:
            raise self.verdict

    async def arrived(self, destination: Destination, *, since: float) -> frozenset[str] | None:
        self.looked_back.append((destination, since))
        outcome = self.history.popleft() if self.history else None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.accepted]

    @property
    def times(self) -> list[float]:
        return [at for at, _, _ in self.attempts]

    @property
    def tried(self) -> list[tuple[str, ...]]:
        """The ids of each attempt."""
        return [message.ids for _, _, message in self.attempts]


class FakeGate:
    """Whether this process may send: it may, until a test says otherwise."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()

    def leading(self) -> bool:
        return self.open.is_set()

    async def wait_leading(self) -> None:
        await self.open.wait()


class FakeListener:
    """Who is told how deliveries end."""

    def __init__(self) -> None:
        self.good: list[tuple[tuple[str, ...], tuple[Notification, ...]]] = []
        self.bad: list[tuple[tuple[str, ...], DeliveryError]] = []
        self.tests: list[tuple[str, str, DeliveryError | None]] = []

    def delivered(self, trackers: Sequence[str], settled: Sequence[Notification]) -> None:
        self.good.append((tuple(trackers), tuple(settled)))

    def failed(self, trackers: Sequence[str], error: DeliveryError) -> None:
        self.bad.append((tuple(trackers), error))

    def tested(self, tracker: str, nonce: str, error: DeliveryError | None) -> None:
        self.tests.append((tracker, nonce, error))


class FakePods:
    """Pod lists: pages or errors in turn; after them, an empty list."""

    def __init__(self, *answers: bytes | Exception) -> None:
        self.answers: deque[bytes | Exception] = deque(answers)
        self.refused: dict[str, Exception] = {}
        """By namespace: what every list of it ends in."""
        self.asked: list[dict[str, Any]] = []
        self.gate: asyncio.Event | None = None

    async def list_pods(
        self,
        namespace: str | None,
        *,
        limit: int,
        continue_token: str,
        field_selector: str = "",
        label_selector: str = "",
    ) -> bytes:
        self.asked.append(
            {
                "namespace": namespace,
                "limit": limit,
                "continue": continue_token,
                "fields": field_selector,
                "labels": label_selector,
                "at": clock(),
            }
        )
        if self.gate is not None:
            await self.gate.wait()
        if namespace in self.refused:
            raise self.refused[namespace]
        answer = self.answers.popleft() if self.answers else page()
        if isinstance(answer, Exception):
            raise answer
        return answer


class Silence:
    """In a watch's script: this many seconds without a byte."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


Script = Iterable[bytes | Exception | Silence]


class FakeWatch(FakePods):
    """Lists and watches: each watch plays its script and ends; after the scripts, watches stay silent for ever."""

    def __init__(self, *answers: bytes | Exception) -> None:
        super().__init__(*answers)
        self.scripts: deque[Script | Exception] = deque()
        self.watched: list[str] = []
        """The resourceVersion of each watch."""
        self.watched_at: list[float] = []
        self.open = 0

    @contextlib.asynccontextmanager
    async def watch_pods(
        self,
        namespace: str | None,  # noqa: ARG002 - the port's
        *,
        resource_version: str,
        timeout: int,  # noqa: ASYNC109 - the port's
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        assert timeout > 0
        self.watched.append(resource_version)
        self.watched_at.append(clock())
        script = self.scripts.popleft() if self.scripts else (Silence(1e9),)
        if isinstance(script, Exception):
            raise script
        self.open += 1
        try:
            yield self._play(script)
        finally:
            self.open -= 1

    async def _play(self, script: Script) -> AsyncIterator[bytes]:
        for step in script:
            if isinstance(step, Exception):
                raise step
            if isinstance(step, Silence):
                await asyncio.sleep(step.seconds)
            else:
                yield step


class FakeSink:
    """What the reflector tells: `+name`, `~name`, `-name`, `list`, `list after a gap`, `page name,name`, `end`."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.prepared = 0
        self.gate: asyncio.Event | None = None
        """Opens once it is known whom the pods concern; None where that is known at once."""

    def begin_list(self, *, gap: bool) -> None:
        self.told.append("list after a gap" if gap else "list")

    def listed(self, pods: Sequence[Pod]) -> None:
        self.told.append("page " + ",".join(pod.name for pod in pods))

    def end_list(self) -> None:
        self.told.append("end")

    async def prepare(self, pods: Sequence[Pod]) -> None:
        self.prepared += len(pods)
        if self.gate is not None:
            await self.gate.wait()

    def changed(self, pod: Pod, *, appeared: bool) -> None:
        self.told.append(f"{'+' if appeared else '~'}{pod.name}")

    def deleted(self, pod: Pod) -> None:
        self.told.append(f"-{pod.name}")


class FakeOwners:
    """ReplicaSets and Jobs by name: what controls them, nothing, or the error that reading gives."""

    def __init__(self) -> None:
        self.owned: dict[str, Owner | KubeError | None] = {}
        self.asked: list[tuple[str, str, str]] = []

    async def get_owner(self, namespace: str, kind: str, name: str) -> Owner | None:
        self.asked.append((namespace, kind, name))
        found = self.owned.get(name, NOT_FOUND)
        if isinstance(found, KubeError):
            raise found
        return found


class FakeSecrets:
    """Secrets by (namespace, name): data, or the error that reading it gives."""

    def __init__(self, secrets: Mapping[tuple[str, str], Mapping[str, bytes] | KubeError] | None = None) -> None:
        self.secrets = dict(secrets or {})
        self.read: list[tuple[str, str]] = []
        self.gate: asyncio.Event | None = None

    async def get_secret(self, namespace: str, name: str) -> Mapping[str, bytes]:
        self.read.append((namespace, name))
        if self.gate is not None:
            await self.gate.wait()
        found = self.secrets.get((namespace, name), NOT_FOUND)
        if isinstance(found, KubeError):
            raise found
        return found


class FakeStatusSink:
    """Where status goes; outcomes are taken in turn from `plan`, after them every write is good."""

    def __init__(self) -> None:
        self.plan: deque[KubeError | None] = deque()
        self.writes: list[tuple[float, str, dict[str, Any]]] = []
        """When, whose uid, and the status."""
        self.tries = 0

    async def apply_status(self, namespace: str, name: str, uid: str, status: Mapping[str, Any]) -> None:
        assert namespace
        assert name
        self.tries += 1
        outcome = self.plan.popleft() if self.plan else None
        if outcome is not None:
            raise outcome
        self.writes.append((clock(), uid, json.loads(json.dumps(status))))

    def last(self, uid: str = "t1") -> dict[str, Any]:
        """The newest status of a tracker; empty where none was written."""
        return next((status for _, who, status in reversed(self.writes) if who == uid), {})

    def conditions(self, uid: str = "t1") -> dict[str, dict[str, Any]]:
        return {entry["type"]: entry for entry in self.last(uid).get("conditions", ())}


class FakeEvents:
    """Where changes of condition are shown."""

    def __init__(self) -> None:
        self.recorded: list[tuple[str, Notice]] = []
        self.error: KubeError | None = None

    async def record(self, tracker: TrackerIdentity, notice: Notice) -> None:
        if self.error is not None:
            raise self.error
        self.recorded.append((tracker.uid, notice))

    @property
    def reasons(self) -> list[str]:
        return [notice.reason for _, notice in self.recorded]
