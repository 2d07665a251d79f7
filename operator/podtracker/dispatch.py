# SPDX-License-Identifier: Apache-2.0
"""Delivery: one lane per destination, one pace, one retry policy; fair between namespaces and trackers.

Notifications queue per tracker, in order. A lane serves the trackers that share a destination: it waits for its pace,
takes the next tracker in turn, and sends either its oldest notification or, when more wait than the pace allows, a
digest of many. What was taken stays at the head of its queue until it is settled. Send first, then record, then the
next: that is what limits a repeat after a crash to the one message in flight. Receivers without a pace may run ahead of
the record by up to `AHEAD`; what they repeat carries the same id.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import TypeVar

import msgspec

from podtracker.delivery import Commit, Compose, Destination, Gate, Listener, Policy, Reporter
from podtracker.errors import DeliveryError, Failure
from podtracker.lanes import Lane, Queue
from podtracker.ledger import TEST, Ledger, Notification
from podtracker.metrics import Metrics
from podtracker.trackers import TrackerIdentity

T = TypeVar("T")

_BUG = "InternalError"
"""The condition reason of a reporter's own failure."""
AHEAD = 1.0
"""Seconds of deliveries without a pace that a crash may repeat."""
GATHER = AHEAD / 2
"""Seconds for which such deliveries are collected before the ledger is written: at 20 a second, a write for ten."""
_UNPACED = 1_000_000
"""Messages per second, and at once: as many as there are."""

logger = logging.getLogger(__name__)


class Dispatcher:
    """Takes notifications, gives them to reporters, and settles them in the ledger."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        reporters: Mapping[str, Reporter],
        compose: Compose,
        commit: Commit,
        listener: Listener,
        metrics: Metrics,
        policy: Policy,
        gate: Gate,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        """Args.

        compose: puts occurrences into words.
        commit: keeps the ledger.
        gate: whether this process may send at all.
        clock: monotonic seconds; wall: seconds since 1970.
        """
        self._ledger = ledger
        self._reporters = reporters
        self._compose = compose
        self._commit = commit
        self._listener = listener
        self._metrics = metrics
        # Labels are looked up under a lock, in more time than the counting itself takes.
        self._attempts = cache(metrics.attempts.labels)
        self._durations = cache(metrics.delivery_seconds.labels)
        self._occurrences = cache(metrics.occurrences.labels)
        self._policy = policy
        self._gate = gate
        self._clock = clock
        self._wall = wall
        self._doubt: float | None = None
        self._paused_at = float("-inf")
        """When this process was last seen not to lead: what it could not attempt then is no neglect."""
        self._queues: dict[str, Queue] = {}
        self._lanes: dict[Destination, Lane] = {}
        self._wakes: dict[Lane, asyncio.Event] = {}
        self._tasks: dict[Lane, asyncio.Task[None]] = {}
        self._keeping: dict[Lane, tuple[float, asyncio.Future[None]]] = {}
        """Commits that lanes without a pace do not wait for, each with when it began."""
        self._progress = asyncio.Event()

    def doubt(self, since: float | None) -> None:
        """What was sent since then (seconds since 1970) may have arrived unknown to the ledger; None: no more."""
        self._doubt = since
        if since is None:
            for lane in self._lanes.values():
                if not lane.backlog:
                    lane.doubt = None

    def certain_until(self) -> float:
        """Seconds since 1970 up to which no receiver has anything that the ledger may not know of."""
        return min((lane.doubt for lane in self._lanes.values() if lane.doubt is not None), default=self._wall())

    def submit(self, notifications: Iterable[Notification]) -> None:
        """Queue what was found; a tracker without a destination keeps it until it has one."""
        for notification in notifications:
            queue = self._queue(notification.tracker, notification.namespace)
            queue.put(notification, self._clock())
            self._wake(queue.lane)

    def assign(self, tracker: TrackerIdentity, destination: Destination | None, *, retry: bool = False) -> bool:
        """Say where a tracker's messages go.

        Args:
            tracker: who it is.
            destination: None while there is none that could work: messages wait.
            retry: something changed that may have ended a refusal: do not wait for the next slow try.

        Returns:
            Whether the destination is known to fail.
        """
        queue = self._queue(tracker.uid, tracker.namespace)
        queue.identity = tracker
        lane = None if destination is None else self._lane(destination)
        if queue.lane is not lane:
            self._detach(queue)
            if lane is not None:
                lane.add(queue)
        if lane is not None and retry:
            lane.reconsider(self._clock())
        self._wake(lane)
        return lane is not None and lane.failing

    def hold(self, tracker: TrackerIdentity, *, held: bool, gather: float) -> None:
        """Say how a tracker's messages go.

        Args:
            tracker: who it is.
            held: nothing is sent, but tests; what came meanwhile goes as a summary afterwards.
            gather: seconds for which to collect before a digest; 0 sends at once.
        """
        queue = self._queue(tracker.uid, tracker.namespace)
        queue.held, queue.gather = held, gather
        self._wake(queue.lane)

    def give_up_test(self, tracker: str, error: DeliveryError) -> None:
        """A test that waits cannot be sent."""
        queue = self._queues.get(tracker)
        if queue is None or queue.in_flight:
            return
        for notification in [item for item in queue.items if item.event == TEST]:
            self._end_test(queue, notification, error)

    def drop(self, tracker: str) -> None:
        """The tracker is gone: what waits for it is not wanted any more."""
        queue = self._queues.pop(tracker, None)
        if queue is not None:
            self._detach(queue)

    async def drain(self, timeout: float) -> int:  # noqa: ASYNC109 - a limit on waiting, not on one operation
        """Wait until everything that can be delivered is.

        Args:
            timeout: seconds to wait at most.

        Returns:
            How many occurrences still wait: for a destination that fails, or because time ran out.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while any(lane.busy(self._clock()) and not lane.failing for lane in self._lanes.values()):
                    self._progress.clear()
                    await self._progress.wait()
        return sum(len(queue.items) for queue in self._queues.values())

    async def close(self) -> bool:
        """End all lanes, giving up what is in flight. True where nothing was, nor any doubt about earlier requests."""
        clean = not any(queue.in_flight for queue in self._queues.values()) and not self.doubtful
        tasks = (*self._tasks.values(), *(task for _, task in self._keeping.values()))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return clean

    @property
    def doubtful(self) -> bool:
        """Whether something waits at a receiver that is still to be asked what it has."""
        return any(lane.doubt is not None and lane.backlog for lane in self._lanes.values())

    def idle_for(self) -> float:
        """Seconds that the most neglected lane has had something due without an attempt, or one that does not end."""
        now = self._clock()
        if not self._gate.leading():
            self._paused_at = now
            return 0.0
        idle = max((lane.idle_for(now) for lane in self._lanes.values()), default=0.0)
        return min(idle, now - self._paused_at)

    # lanes

    def _queue(self, tracker: str, namespace: str) -> Queue:
        queue = self._queues.get(tracker)
        if queue is None:
            queue = self._queues[tracker] = Queue(tracker, namespace)
        return queue

    def _lane(self, destination: Destination) -> Lane:
        lane = self._lanes.get(destination)
        if lane is None:
            now = self._clock()
            self._lanes = {key: other for key, other in self._lanes.items() if not other.rested(now)}
            lane = self._lanes[destination] = Lane(destination, self._policy_for(destination), now)
            lane.doubt = self._doubt
        if lane not in self._tasks:
            self._wakes[lane] = asyncio.Event()
            self._tasks[lane] = asyncio.create_task(self._serve(lane), name="lane")
        return lane

    def _policy_for(self, destination: Destination) -> Policy:
        if self._reporters[destination.kind].traits.paced:
            return self._policy
        return msgspec.structs.replace(self._policy, rate=_UNPACED, burst=_UNPACED)

    def _detach(self, queue: Queue) -> None:
        lane = queue.lane
        if lane is not None:
            lane.remove(queue)
            self._wake(lane)

    def _wake(self, lane: Lane | None) -> None:
        if lane is not None and lane in self._wakes:
            self._wakes[lane].set()

    async def _serve(self, lane: Lane) -> None:
        wake = self._wakes[lane]
        try:
            while lane.used:
                wake.clear()
                wait = lane.due_in(self._clock())
                if wait is None:
                    await wake.wait()
                    continue
                if wait > 0:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(wait):
                            await wake.wait()
                    continue
                if not self._gate.leading():
                    await self._gate.wait_leading()
                lane.attempted_at = self._clock()
                if lane.doubt is not None:
                    await self._look_back(lane, lane.doubt)
                elif (queue := lane.next_queue(self._clock())) is not None:
                    await self._send(lane, queue)
        finally:
            # The lane itself stays until it has rested: its pace and a Retry-After outlive its trackers.
            del self._wakes[lane], self._tasks[lane]
            self._keeping.pop(lane, None)
            self._progress.set()

    # one message

    async def _look_back(self, lane: Lane, since: float) -> None:
        """Ask the receiver what it has, and settle that."""
        try:
            found = await self._guarded(
                lane.destination.kind, self._reporters[lane.destination.kind].arrived(lane.destination, since=since)
            )
        except DeliveryError as error:
            self._metrics.readbacks.labels("failed").inc()
            lane.failed(error, self._clock())
            self._listener.failed(lane.trackers, error)
            return
        lane.doubt = None
        self._metrics.readbacks.labels("impossible" if found is None else "read").inc()
        if found:
            lane.arrived |= found
            for queue in lane.queues:
                await self._settle_arrived(lane, queue)

    async def _settle_arrived(self, lane: Lane, queue: Queue) -> None:
        settled = queue.settle(lane.arrived)
        if settled:
            await self._settle(lane, settled, delivered=True)
            self._listener.delivered((queue.tracker,), settled)

    async def _send(self, lane: Lane, queue: Queue) -> None:
        digests = self._reporters[lane.destination.kind].traits.digests
        batch = queue.take(pressed=lane.pressed(self._clock())) if digests else queue.take_one()
        if any(notification.id in lane.arrived for notification in batch):
            await self._settle_arrived(lane, queue)
            return
        record = self._ledger.tracker(queue.tracker)
        dropped = record.unannounced if record is not None else 0
        began = self._wall()
        lane.spend()
        queue.in_flight = True
        try:
            await self._attempt(lane.destination.kind, self._deliver(lane.destination, queue.identity, batch, dropped))
        except DeliveryError as error:
            if error.arrived_perhaps:
                lane.doubt_since(began)
            await self._failed(lane, queue, batch, error)
        else:
            self._ledger.announced(queue.tracker, dropped)
            await self._delivered(lane, queue, batch)
        finally:
            queue.in_flight = False
            self._wake(queue.lane)
            self._progress.set()

    async def _deliver(
        self, destination: Destination, tracker: TrackerIdentity, batch: tuple[Notification, ...], dropped: int
    ) -> None:
        reporter = self._reporters[destination.kind]
        message = self._compose(batch, dropped=dropped, escape=reporter.escape, tracker=tracker)
        await reporter.deliver(destination, message)

    async def _attempt(self, kind: str, delivery: Awaitable[None]) -> None:
        started = self._clock()
        outcome = "delivered"
        try:
            await self._guarded(kind, delivery)
        except DeliveryError as error:
            outcome = "error" if error.reason == _BUG else error.failure.value
            raise
        finally:
            self._attempts(kind, outcome).inc()
            self._durations(kind).observe(self._clock() - started)

    @staticmethod
    async def _guarded(kind: str, request: Awaitable[T]) -> T:
        """A reporter's own bug must not end the lane; its text is left out, it was not written to be shown."""
        try:
            return await request
        except DeliveryError:
            raise
        except Exception as error:
            logger.exception("a reporter failed in a way it should not", extra={"kind": kind})
            raise DeliveryError(Failure.RETRY, _BUG, type(error).__name__, arrived_perhaps=True) from None

    async def _delivered(self, lane: Lane, queue: Queue, batch: tuple[Notification, ...]) -> None:
        told = lane.trackers if lane.failing else (queue.tracker,)
        lane.recovered(self._clock())
        queue.settle({notification.id for notification in batch})
        await self._settle(lane, batch, delivered=True)
        if batch[0].event == TEST:
            self._listener.tested(queue.tracker, batch[0].detail.reason, None)
        self._listener.delivered(told, [notification for notification in batch if notification.event != TEST])

    async def _failed(self, lane: Lane, queue: Queue, batch: tuple[Notification, ...], error: DeliveryError) -> None:
        logger.warning(
            "delivery failed",
            extra={
                "reason": error.reason,
                "detail": error.message,
                "occurrences": len(batch),
                "next": error.failure.value,
            },
        )
        if batch[0].event == TEST and error.failure is not Failure.THROTTLED:
            self._end_test(queue, batch[0], error)
        if error.failure is Failure.UNDELIVERABLE:
            queue.settle({notification.id for notification in batch})
            await self._settle(lane, batch, delivered=False)
            self._listener.failed((queue.tracker,), error)
            return
        if error.arrived_perhaps and batch[0].event != TEST:
            queue.attempted = len(batch)
        lane.failed(error, self._clock())
        self._listener.failed(lane.trackers, error)

    def _end_test(self, queue: Queue, test: Notification, error: DeliveryError) -> None:
        """Nobody waits for a test that failed: what it found is told, and the next one has another nonce."""
        queue.settle({test.id})
        self._ledger.settle((test,), delivered=False)
        self._listener.tested(queue.tracker, test.detail.reason, error)

    async def _settle(self, lane: Lane, batch: Sequence[Notification], *, delivered: bool) -> None:
        self._ledger.settle(batch, delivered=delivered)
        outcome = "delivered" if delivered else "dropped"
        for notification in batch:
            self._occurrences(str(notification.event), outcome).inc()
        if self._reporters[lane.destination.kind].traits.paced:
            await self._commit()
        else:
            await self._commit_soon(lane)

    async def _commit_soon(self, lane: Lane) -> None:
        """Keep what was delivered without waiting for it, unless the last time was too long ago."""
        began, keeping = self._keeping.get(lane, (0.0, None))
        if keeping is not None and not keeping.done() and self._clock() - began >= AHEAD:
            await keeping
        if keeping is None or keeping.done():
            commit = asyncio.ensure_future(self._commit(within=GATHER))
            self._keeping[lane] = self._clock(), commit
