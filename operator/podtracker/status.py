# SPDX-License-Identifier: Apache-2.0
"""The only writer of trackers' status, and of the Events that tell its changes.

Everybody reports facts to the board; a writer task turns them into at most one write per tracker and interval, and none
where nothing changed. Changes of a condition are written soon, counters at leisure.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import msgspec

from podtracker.api import Condition, LastTest, PodTrackerStatus
from podtracker.errors import KubeError
from podtracker.metrics import Metrics
from podtracker.times import rfc3339
from podtracker.trackers import Notice, TrackerIdentity

logger = logging.getLogger(__name__)

READY = "Ready"
REPORTER_READY = "ReporterReady"
REPORTER_VERIFIED = "ReporterVerified"
MESSAGE_VALID = "MessageValid"
CREDENTIALS_SECURE = "CredentialsSecure"
_ORDER = (READY, REPORTER_READY, REPORTER_VERIFIED, MESSAGE_VALID, CREDENTIALS_SECURE)

ACTIVE, DEGRADED, INVALID, SUSPENDED = "Active", "Degraded", "Invalid", "Suspended"

_COUNTERS_INTERVAL = 5.0
"""Seconds between two writes of one tracker for the sake of its counters: at 20 messages/s that is 1 write in 100."""
_CONDITION_DELAY = 0.2
"""Seconds that a changed condition waits for others that change with it."""
_WRITES_PER_SECOND = 25
"""Of all trackers together; what a thousand trackers cost the API server when the operator starts."""
_MAX_ERROR, _MAX_MESSAGE = 1024, 32768
"""Characters; what the CRD takes (api.py)."""
_FLUSHED_AT_ONCE = 16
"""Writes at the same time when the process ends and has seconds left."""
_RETRY = 5.0
"""Seconds until a failed write is tried again."""


class Counts(msgspec.Struct, frozen=True):
    """The numbers of a status, read when it is written."""

    pods: int
    delivered: int
    pending: int
    dropped: int
    suppressed: int = 0


class StatusSink(Protocol):
    """Where status goes."""

    async def apply_status(self, namespace: str, name: str, uid: str, status: Mapping[str, Any]) -> None:
        """Server-side apply the status of a tracker.

        Raises:
            KubeError: not_found where the tracker is gone.
        """
        ...


class _Entry:
    """What is known of one tracker's state, and what of it has been written."""

    def __init__(self, tracker: TrackerIdentity, now: float) -> None:
        self.tracker = tracker
        self.conditions: dict[str, Condition] = {}
        self.last_delivered: str | None = None
        self.last_error: str | None = None
        self.last_test: LastTest | None = None
        self.quiet = False
        self.written: PodTrackerStatus | None = None
        self.due: float | None = None
        self.written_at = now - _COUNTERS_INTERVAL
        self.notices: list[Notice] = []


class StatusBoard:
    """Facts in, writes out."""

    def __init__(
        self,
        *,
        sink: StatusSink,
        record: Callable[[TrackerIdentity, Notice], Awaitable[None]],
        may_write: Callable[[], Awaitable[None]],
        counts: Callable[[str], Counts],
        gone: Callable[[str], None],
        metrics: Metrics,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        """Args.

        record: shows a Kubernetes Event on a tracker; raises KubeError.
        may_write: returns once this instance certainly leads.
        counts: the numbers of a tracker, by uid.
        gone: told the uid of a tracker that turned out not to exist any more.
        clock: monotonic seconds.
        wall: seconds since 1970, for the times that people read.
        """
        self._sink = sink
        self._record = record
        self._may_write = may_write
        self._counts = counts
        self._gone = gone
        self._metrics = metrics
        self._clock = clock
        self._wall = wall
        self._entries: dict[str, _Entry] = {}
        self._wake = asyncio.Event()

    # facts

    def adopt(self, tracker: TrackerIdentity, status: Mapping[str, Any]) -> None:
        """A tracker is there, with the status that it had; its conditions and times go on from it."""
        entry = self._entries.get(tracker.uid)
        if entry is not None:
            entry.tracker = tracker
            return
        entry = self._entries[tracker.uid] = _Entry(tracker, self._clock())
        if not status:
            return
        with contextlib.suppress(msgspec.ValidationError):
            known = msgspec.convert(status, PodTrackerStatus)
            entry.conditions = {condition.type: condition for condition in known.conditions}
            entry.last_delivered, entry.last_error, entry.written = known.last_delivered, known.last_error, known
            entry.last_test = known.last_test

    def forget(self, uid: str) -> None:
        """The tracker is gone."""
        self._entries.pop(uid, None)

    def condition(self, uid: str, kind: str, status: bool, reason: str, message: str) -> None:
        """Set a condition."""
        entry = self._entries.get(uid)
        if entry is None:
            return
        old = entry.conditions.get(kind)
        word = "True" if status else "False"
        since = old.last_transition_time if old is not None and old.status == word else rfc3339(self._wall())
        new = Condition(
            type=kind,
            status=word,
            reason=reason,
            message=message[:_MAX_MESSAGE],
            last_transition_time=since,
            observed_generation=entry.tracker.generation,
        )
        if new == old:
            return
        entry.conditions[kind] = new
        if kind == REPORTER_READY and _worth_an_event(old, new):
            entry.notices.append(Notice(warning=new.status != "True", reason=reason, message=message))
        self._schedule(entry, _CONDITION_DELAY)

    def no_condition(self, uid: str, kind: str) -> None:
        """Take a condition away, because there is nothing any more that it could speak of."""
        entry = self._entries.get(uid)
        if entry is not None and entry.conditions.pop(kind, None) is not None:
            self._schedule(entry, _CONDITION_DELAY)

    def quiet(self, uid: str, *, quiet: bool) -> None:
        """Whether the tracker is suspended or muted."""
        entry = self._entries.get(uid)
        if entry is not None and entry.quiet != quiet:
            entry.quiet = quiet
            self._schedule(entry, _CONDITION_DELAY)

    def tested(self, uid: str, nonce: str) -> None:
        """A test was tried."""
        entry = self._entries.get(uid)
        if entry is not None:
            entry.last_test = LastTest(nonce=nonce, time=rfc3339(self._wall()))
            self._schedule(entry, _CONDITION_DELAY)

    def delivered(self, uid: str) -> None:
        """A message of this tracker was accepted."""
        entry = self._entries.get(uid)
        if entry is not None:
            entry.last_delivered, entry.last_error = rfc3339(self._wall()), None
            self.touch(uid)

    def failed(self, uid: str, error: str) -> None:
        """A message of this tracker was not accepted."""
        entry = self._entries.get(uid)
        if entry is not None:
            entry.last_error = error[:_MAX_ERROR]
            self.touch(uid)

    def notify(self, uid: str, notice: Notice) -> None:
        """Show a Kubernetes Event on the tracker."""
        entry = self._entries.get(uid)
        if entry is not None:
            entry.notices.append(notice)
            self._schedule(entry, _CONDITION_DELAY)

    def touch(self, uid: str) -> None:
        """A number of this tracker may have changed."""
        entry = self._entries.get(uid)
        if entry is not None:
            soonest = _CONDITION_DELAY if entry.written is None else 0.0
            self._schedule(entry, max(soonest, entry.written_at + _COUNTERS_INTERVAL - self._clock()))

    def reporter_condition(self, uid: str) -> Condition | None:
        """What is known of the tracker's receiver."""
        entry = self._entries.get(uid)
        return None if entry is None else entry.conditions.get(REPORTER_READY)

    def words(self) -> dict[str, int]:
        """How many trackers have which status word."""
        counted = dict.fromkeys((ACTIVE, DEGRADED, INVALID, SUSPENDED), 0)
        for entry in self._entries.values():
            counted[_word(entry)] += 1
        return counted

    # writing

    async def run(self) -> None:
        """Write what is due, for ever."""
        while True:
            await self._wait_for_due()
            # Who may have been deposed without knowing must not write over the next leader's status.
            await self._may_write()
            for entry in self._next():
                wrote = await self._write(entry)
                await asyncio.sleep(1 / _WRITES_PER_SECOND if wrote else 0)

    async def flush(self) -> None:
        """Write all that changed, now; for the end."""
        due = self._due(float("inf"))
        for start in range(0, len(due), _FLUSHED_AT_ONCE):
            await asyncio.gather(*(self._write(entry) for entry in due[start : start + _FLUSHED_AT_ONCE]))

    def _schedule(self, entry: _Entry, delay: float) -> None:
        due = self._clock() + delay
        if entry.due is None or due < entry.due:
            entry.due = due
            self._wake.set()

    def _due(self, now: float) -> list[_Entry]:
        return [entry for entry in self._entries.values() if entry.due is not None and entry.due <= now]

    def _next(self) -> list[_Entry]:
        """What is due, for a second: namespaces in turn, so that one of a thousand trackers keeps no other waiting."""
        places: dict[str, int] = {}
        ranked = []
        for entry in sorted(self._due(self._clock()), key=lambda entry: entry.due or 0.0):
            namespace = entry.tracker.namespace
            place = places[namespace] = places.get(namespace, 0) + 1
            ranked.append((place, entry))
        ranked.sort(key=lambda pair: pair[0])
        return [entry for _, entry in ranked[:_WRITES_PER_SECOND]]

    async def _wait_for_due(self) -> None:
        while True:
            self._wake.clear()
            dues = [entry.due for entry in self._entries.values() if entry.due is not None]
            wait = min(dues) - self._clock() if dues else None
            if wait is not None and wait <= 0:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()

    async def _write(self, entry: _Entry) -> bool:
        """Write what is new of a tracker; False where there is nothing."""
        entry.due = None
        try:
            return await self._write_now(entry)
        except asyncio.CancelledError:
            entry.due = self._clock()
            raise

    async def _write_now(self, entry: _Entry) -> bool:
        status = self._status(entry)
        notices, entry.notices = entry.notices, []
        uid, new = entry.tracker.uid, status != entry.written
        if new and not await self._apply(entry, status):
            entry.notices = notices + entry.notices
            return True
        for notice in notices:
            await self._tell(entry.tracker, notice)
        if self._entries.get(uid) is entry and self._status(entry) != entry.written:
            self.touch(uid)
        return new or bool(notices)

    async def _apply(self, entry: _Entry, status: PodTrackerStatus) -> bool:
        tracker = entry.tracker
        outcome = "written"
        try:
            await self._sink.apply_status(tracker.namespace, tracker.name, tracker.uid, msgspec.to_builtins(status))
        except KubeError as error:
            outcome = "gone" if error.not_found else "failed"
            if error.not_found:
                self._gone(tracker.uid)
            else:
                logger.warning("cannot write status", extra=_who(tracker) | {"error": str(error)})
                self._schedule(entry, error.retry_after or _RETRY)
            return False
        finally:
            self._metrics.status_writes.labels(outcome).inc()
        entry.written, entry.written_at = status, self._clock()
        return True

    async def _tell(self, tracker: TrackerIdentity, notice: Notice) -> None:
        try:
            await self._record(tracker, notice)
        except KubeError as error:
            logger.warning("cannot record an Event", extra=_who(tracker) | {"error": str(error)})

    def _status(self, entry: _Entry) -> PodTrackerStatus:
        counts = self._counts(entry.tracker.uid)
        return PodTrackerStatus(
            observed_generation=entry.tracker.generation,
            status=_word(entry),
            pod_count=counts.pods,
            delivered=counts.delivered,
            pending=counts.pending,
            dropped=counts.dropped,
            suppressed=counts.suppressed,
            last_test=entry.last_test,
            last_delivered=entry.last_delivered,
            last_error=entry.last_error,
            conditions=tuple(entry.conditions[kind] for kind in _ORDER if kind in entry.conditions),
        )


def _word(entry: _Entry) -> str:
    ready = entry.conditions.get(READY)
    if ready is not None and ready.status == "False":
        return INVALID if ready.reason == "InvalidSpec" else DEGRADED
    return SUSPENDED if entry.quiet else ACTIVE


def _worth_an_event(old: Condition | None, new: Condition) -> bool:
    """Going from good to bad or back, or from one trouble to another; not from one good word to another."""
    return old is None or old.status != new.status or (new.status == "False" and old.reason != new.reason)


def _who(tracker: TrackerIdentity) -> dict[str, str]:
    return {"namespace": tracker.namespace, "tracker": tracker.name}
