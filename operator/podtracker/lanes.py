# SPDX-License-Identifier: Apache-2.0
"""The lane of one destination: who waits, whose turn it is, and when the next message may go. No IO, no clock."""

from __future__ import annotations

import random
from collections import OrderedDict, deque
from collections.abc import Container
from itertools import islice, takewhile

from podtracker.delivery import Destination, Policy
from podtracker.errors import DeliveryError, Failure
from podtracker.ledger import TEST, Notification
from podtracker.messages import MAX_PODS, how_many_fit
from podtracker.trackers import TrackerIdentity

_MAX_DOUBLINGS = 16
"""Of the backoff; far beyond any ceiling, and far below an overflow."""


class Queue:
    """What waits for one tracker, oldest first."""

    __slots__ = (
        "attempted",
        "gather",
        "held",
        "identity",
        "in_flight",
        "items",
        "lane",
        "namespace",
        "since",
        "tracker",
    )

    def __init__(self, tracker: str, namespace: str) -> None:
        self.tracker = tracker
        self.namespace = namespace
        self.identity = TrackerIdentity(uid=tracker, namespace=namespace, name="", generation=0, created=0)
        self.items: deque[Notification] = deque()
        self.lane: Lane | None = None
        self.in_flight = False
        self.held = False
        """While true nothing is sent but tests."""
        self.gather = 0.0
        """Seconds for which to collect before a digest; 0 sends at once."""
        self.since = 0.0
        """When the oldest of what is being collected came."""
        self.attempted = 0
        """Size of the batch whose last attempt may have arrived: it is sent again as it was, under the same ids."""

    def put(self, notification: Notification, now: float) -> None:
        """Let it wait for its turn; a test does not, somebody looks at it."""
        if not self.items:
            self.since = now
        if notification.event == TEST and not self.in_flight and not self.attempted:
            self.items.appendleft(notification)
        else:
            self.items.append(notification)

    def due_in(self, now: float) -> float | None:
        """Seconds until something may be sent; None while nothing may."""
        if not self.items or self.in_flight:
            return None
        if self.items[0].event == TEST:
            return 0.0
        if self.held:
            return None
        return max(0.0, self.since + self.gather - now)

    def take(self, *, pressed: bool) -> tuple[Notification, ...]:
        """The next message's notifications; they stay in the queue until settled.

        Args:
            pressed: more waits than the pace allows, so as many as fit go together.
        """
        first = self.items[0]
        if not self.attempted and first.event != TEST and (pressed or self.gather or first.quiet):
            alike = takewhile(lambda item: item.event != TEST and item.quiet == first.quiet, self.items)
            batch = tuple(islice(alike, MAX_PODS))
            return batch[: how_many_fit(batch)]
        return tuple(islice(self.items, self.attempted or 1))

    def take_one(self) -> tuple[Notification, ...]:
        """The oldest, for a receiver that takes one at a time."""
        return (self.items[0],)

    def settle(self, ids: Container[str]) -> tuple[Notification, ...]:
        """Those need no delivery any more; gives them."""
        self.attempted = 0
        settled = []
        while self.items and self.items[0].id in ids:
            settled.append(self.items.popleft())
        if any(item.id in ids for item in self.items):
            settled += [item for item in self.items if item.id in ids]
            self.items = deque(item for item in self.items if item.id not in ids)
        return tuple(settled)


class Lane:
    """One destination. Times are seconds of any one monotonic clock."""

    def __init__(self, destination: Destination, policy: Policy, now: float) -> None:
        self.destination = destination
        self.failing = False
        self.doubt: float | None = None
        """Seconds since 1970; what was sent since may have arrived without anybody here knowing."""
        self.attempted_at = now
        """When an attempt was last begun."""
        self.arrived: frozenset[str] = frozenset()
        """Ids that were found at the receiver when it was asked: what has one needs no delivery."""
        self._policy = policy
        self._ring: OrderedDict[str, OrderedDict[str, Queue]] = OrderedDict()
        self._failures = 0
        self._throttled = False
        self._not_before = now
        self._allowance = float(policy.burst)
        self._counted_at = now

    # who waits

    def add(self, queue: Queue) -> None:
        """A tracker reports to here from now on."""
        queue.lane = self
        self._ring.setdefault(queue.namespace, OrderedDict())[queue.tracker] = queue

    def remove(self, queue: Queue) -> None:
        """A tracker reports elsewhere, or nowhere, from now on."""
        queue.lane = None
        queues = self._ring[queue.namespace]
        del queues[queue.tracker]
        if not queues:
            del self._ring[queue.namespace]

    @property
    def used(self) -> bool:
        """Whether any tracker reports to here."""
        return bool(self._ring)

    @property
    def trackers(self) -> tuple[str, ...]:
        """The uids of all trackers that report to here."""
        return tuple(queue.tracker for queue in self.queues)

    @property
    def backlog(self) -> int:
        """Occurrences that wait here."""
        return sum(len(queue.items) for queue in self.queues)

    @property
    def queues(self) -> tuple[Queue, ...]:
        """The queues of all trackers that report to here."""
        return tuple(queue for queues in self._ring.values() for queue in queues.values())

    def doubt_since(self, since: float) -> None:
        """Something may have arrived since then."""
        self.doubt = since if self.doubt is None else min(self.doubt, since)

    def busy(self, now: float) -> bool:
        """Whether anything is under way here, or could be."""
        return any(queue.in_flight or queue.due_in(now) == 0.0 for queue in self.queues)

    def due_in(self, now: float) -> float | None:
        """Seconds until the next message may go; None while there is none to send."""
        dues = [due for queue in self.queues if (due := queue.due_in(now)) is not None]
        return max(min(dues), self.wait_time(now)) if dues else None

    def next_queue(self, now: float) -> Queue | None:
        """The tracker whose turn it is: namespaces in turn, and within one its trackers in turn."""
        for namespace, queues in self._ring.items():
            for tracker, queue in queues.items():
                if queue.due_in(now) == 0.0:
                    queues.move_to_end(tracker)
                    self._ring.move_to_end(namespace)
                    return queue
        return None

    # when

    def wait_time(self, now: float) -> float:
        """Seconds until the pace, and the last failure, allow a message."""
        missing = 1 - self._refill(now)
        return max(self._not_before - now, missing / self._policy.rate, 0.0)

    def idle_for(self, now: float) -> float:
        """Seconds since something could have been attempted here and was not, or since an attempt that does not end."""
        if not self.busy(now):
            self.attempted_at = now
            return 0.0
        return max(0.0, now - max(self.attempted_at, self._not_before))

    def pressed(self, now: float) -> bool:
        """Whether more waits than may go at once."""
        waiting = sum(len(queue.items) for queue in self.queues if queue.in_flight or queue.due_in(now) is not None)
        return waiting > self._refill(now)

    def spend(self) -> None:
        """One message goes now."""
        self._allowance -= 1

    def failed(self, error: DeliveryError, now: float) -> None:
        """Find when to try again."""
        self.failing = True
        self._throttled = error.failure is Failure.THROTTLED
        if error.failure is Failure.THROTTLED:
            self._not_before = now + (error.retry_after or self._policy.backoff)
        elif error.failure is Failure.REFUSED:
            self._not_before = now + self._policy.blocked_retry
        else:
            self._failures += 1
            doubled = self._policy.backoff * 2 ** min(self._failures - 1, _MAX_DOUBLINGS)
            jitter = random.uniform(0.5, 1.0)  # noqa: S311 - it spreads load, it protects nothing
            self._not_before = now + min(self._policy.backoff_max, doubled) * jitter

    def recovered(self, now: float) -> None:
        """It works."""
        self.failing = self._throttled = False
        self._failures = 0
        self._not_before = now

    def reconsider(self, now: float) -> None:
        """Something changed that may have ended a refusal: try at once, unless the receiver itself said when."""
        if self.failing and not self._throttled:
            self.recovered(now)

    def rested(self, now: float) -> bool:
        """Whether nothing would be different if the lane were made anew."""
        return not self.used and now >= self._not_before and self._refill(now) >= self._policy.burst

    def _refill(self, now: float) -> float:
        earned = (now - self._counted_at) * self._policy.rate
        self._allowance = min(float(self._policy.burst), self._allowance + earned)
        self._counted_at = now
        return self._allowance
