# SPDX-License-Identifier: Apache-2.0
"""The whole operator as a process: it lives in virtual time, and can die at once with all it was doing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final, TypeVar, cast
from unittest.mock import patch

from model.client import Client
from model.cluster import Cluster, wall
from model.fates import Fate, Fates
from model.judge import Judge, Memory
from model.slack import Reporter, Slack
from podtracker import app, checkpoint, handlers, parts, settings
from podtracker.errors import KubeError, PodTrackerError
from podtracker.kube import KubeClient
from podtracker.metrics import Metrics
from podtracker.reconcile import Reconciler
from podtracker.redact import Redactor
from unit.podtracker.virtual import VirtualLoop, clock

T = TypeVar("T")

_SETTINGS: Final = {
    "POD_NAMESPACE": "pod-tracker-system",
    "HEALTH_PROBE_BIND_ADDRESS": "0",
    "METRICS_BIND_ADDRESS": "0",
    "SLACK_RATE": "1",
    "SLACK_BURST": "2",
    "RETRY_BACKOFF": "0.5",
    "RETRY_BACKOFF_MAX": "4",
    "BLOCKED_RETRY": "15",
    "DRAIN_TIMEOUT": "5",
}
"""A slow pace, so that digests form; little patience otherwise."""
_FOLD_AT, _MAX_JOURNAL = 800, 1200
"""Bytes, as few as make folding an everyday event."""
_AGAIN: Final = 1.0
"""Seconds until kopf asks again."""
_FOREVER: Final = 1e6
_FORESEEN: Final = ("ledger missing", "lost leadership", "the journal was deleted")
"""Beginnings of what the operator may log as an error."""


@dataclass
class Trap:
    """Where an operator will be killed: when it passes a point of this kind for the next time but `left`."""

    what: str = ""
    left: int = 0

    def springs(self, what: str) -> bool:
        """Whether that is now."""
        if not self.what or not what or self.what not in {what, "anything"}:
            return False
        self.left -= 1
        if self.left >= 0:
            return False
        self.what = ""
        return True


@dataclass
class Stage:
    """What all operators share."""

    cluster: Cluster
    slack: Slack
    judge: Judge
    fates: Fates
    scopes: str
    """WATCH_NAMESPACE."""
    page_size: int
    """Pods per page of a list."""
    note: Callable[[str], None]
    """Takes a line for the story of a failure."""
    trap: Trap = field(default_factory=Trap)
    chores: set[asyncio.Task[Any]] = field(default_factory=set)

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something that is no operator's, and lives on when they die."""
        task = _started(coroutine, None)
        self.chores.add(task)
        task.add_done_callback(self.chores.discard)
        return task


class Instance:
    """One operator, from its start to its end."""

    def __init__(self, stage: Stage, number: int, identity: str) -> None:
        self.stage = stage
        self.memory = Memory(number)
        self.alive = True
        self.tasks: set[asyncio.Task[Any]] = set()
        self.terminate: Callable[[], object] = lambda: None
        """What a SIGTERM does."""
        self._identity = identity
        self.client = Client(stage.cluster, self, stage.judge, stage.fates, page_size=stage.page_size)
        self.reporter = Reporter(stage.slack, self, stage.judge, stage.fates)

    def start(self) -> asyncio.Task[None]:
        """Start it; the task ends with it."""
        return _started(self._run(), self)

    async def _run(self) -> None:
        environment = {**_SETTINGS, "POD_UID": self._identity, "WATCH_NAMESPACE": self.stage.scopes}
        kube = cast("KubeClient", self.client)
        made = parts.Parts(settings.load({}, environment), redactor=Redactor(), metrics=Metrics(), kube=kube)
        operator = app.App(made)
        try:
            await operator.run()
        except PodTrackerError as error:
            self.stage.note(f"operator {self.memory.number} ended: {error}")
        finally:
            self.die()

    def die(self) -> None:
        """End at once, as by `kill -9`."""
        if self.alive:
            self.alive = False
            self.stage.judge.died(self.memory)
            for task in tuple(self.tasks):
                task.cancel()

    # the port `Life`

    def passes(self, what: str) -> None:
        if self.alive and self.stage.trap.springs(what):
            self.stage.note(f"operator {self.memory.number} killed at: {what}")
            self.die()
        if not self.alive:
            raise asyncio.CancelledError

    async def carry(self, fate: Fate, effect: Callable[[], T]) -> T:
        if not fate.there:
            return effect()
        answer, error = await asyncio.shield(self.stage.spawn(self._arrive(fate, effect)))
        if error is not None:
            raise error
        return cast("T", answer)

    async def _arrive(self, fate: Fate, effect: Callable[[], T]) -> tuple[T | None, KubeError | None]:
        await asyncio.sleep(fate.there)
        try:
            return (effect() if self.alive or fate.lands else None), None
        except KubeError as error:
            return None, error

    # in kopf's place

    async def watch_trackers(
        self, reconciler: Reconciler, namespaces: Sequence[str], *, stop: asyncio.Event, ready: asyncio.Event
    ) -> None:
        """List trackers, then follow them, each piece of news a little late."""
        stopping = asyncio.create_task(stop.wait())
        following = asyncio.create_task(self._follow(reconciler, namespaces, ready))
        await asyncio.wait([stopping, following], return_when=asyncio.FIRST_COMPLETED)
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following

    async def _follow(self, reconciler: Reconciler, namespaces: Sequence[str], ready: asyncio.Event) -> None:
        cluster = self.stage.cluster
        seen: int | None = None
        while True:
            fate = self.stage.fates.take()
            await asyncio.sleep(fate.there + fate.back)
            self.passes("")
            if self.client.away:
                await asyncio.sleep(_AGAIN)
                continue
            listed = ((one.uid, one.body()) for one in cluster.living_trackers())
            news: list[tuple[str, dict[str, Any] | None]] = [*listed] if seen is None else cluster.tracker_past[seen:]
            for uid, body in dict(news).items() if fate.turn % 2 else news:
                if not namespaces or cluster.trackers[uid].namespace in namespaces:
                    self._tell(reconciler, uid, body)
            seen = len(cluster.tracker_past)
            ready.set()
            await cluster.news(_FOREVER)

    def _tell(self, reconciler: Reconciler, uid: str, body: Mapping[str, Any] | None) -> None:
        if body is None:
            self.stage.judge.told_gone(self.memory, uid)
            reconciler.deleted(uid)
        else:
            self.stage.judge.told_of(self.memory, body)
            reconciler.changed(body)


# the process they live in

_own: ContextVar[Instance | None] = ContextVar("_own", default=None)
"""The operator that the running task is a part of."""


def _started(coroutine: Coroutine[Any, Any, T], owner: Instance | None) -> asyncio.Task[T]:
    token = _own.set(owner)
    try:
        return asyncio.create_task(coroutine)
    finally:
        _own.reset(token)


class SimulationLoop(VirtualLoop):
    """Virtual time; every task belongs to the operator that it descends from."""

    def __init__(self) -> None:
        super().__init__()
        self.set_task_factory(_task)

    def add_signal_handler(  # type: ignore[override]  # the base is generic in its arguments
        self, sig: int, callback: Callable[..., object], *_: Any
    ) -> None:
        _running().terminate = callback
        assert sig


def _task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    task = asyncio.Task(coroutine, loop=loop, **options)
    operator = _own.get()
    if operator is not None:
        operator.tasks.add(task)
        task.add_done_callback(operator.tasks.discard)
    return task


def _running() -> Instance:
    operator = _own.get()
    assert operator is not None
    return operator


async def _watch_trackers(reconciler: Reconciler, namespaces: Sequence[str], **events: asyncio.Event) -> None:
    await _running().watch_trackers(reconciler, namespaces, **events)


class _Errors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.unforeseen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if not text.startswith(_FORESEEN):
            trace = self.format(record)
            self.unforeseen.append(trace)


@contextlib.contextmanager
def simulation() -> Iterator[list[str]]:
    """Puts the simulation around the operator's modules; gives what they log as errors and should not."""
    logger = logging.getLogger("podtracker")
    errors, level, propagate = _Errors(), logger.level, logger.propagate
    logger.addHandler(errors)
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    try:
        with (
            patch.object(parts, "SlackReporter", lambda *_, **__: _running().reporter),
            patch.object(parts, "time", SimpleNamespace(monotonic=clock, time=wall)),
            patch.object(handlers, "registry_for", lambda reconciler, *_: reconciler),
            patch.object(handlers, "run", _watch_trackers),
            patch.object(checkpoint, "FOLD_AT", _FOLD_AT),
            patch.object(checkpoint, "MAX_JOURNAL", _MAX_JOURNAL),
        ):
            yield errors.unforeseen
    finally:
        logger.removeHandler(errors)
        logger.setLevel(level)
        logger.propagate = propagate
