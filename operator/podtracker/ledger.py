# SPDX-License-Identifier: Apache-2.0
"""What was reported, of which pod, for which tracker; and what still waits to be.

The ledger is the operator's memory: whether a pod is news is answered here, never by how its event arrived. It is plain
data without IO. It notes which of its entries changed, so that a checkpoint can keep just those.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec

V = TypeVar("V")

MAX_PENDING = 5_000
"""Occurrences that may wait for one tracker; what comes on top is dropped, counted and announced."""
MAX_PENDING_IN_NAMESPACE = 20_000
"""Occurrences that may wait for all trackers of one namespace."""


class Event(enum.StrEnum):
    """What can happen to a pod that a tracker may ask for."""

    CREATED = "Created"

    @property
    def bit(self) -> int:
        """The event's place in a pod's mask."""
        return _BITS[self]


_BITS = {Event.CREATED: 1}


class Notification(msgspec.Struct, frozen=True, array_like=True):
    """One occurrence that one tracker wants told."""

    id: str
    """Stable for ever: the same occurrence has the same id after any restart."""
    order: int
    """Grows with every occurrence found, so that order survives a restart."""
    tracker: str
    """The tracker's uid."""
    event: Event
    namespace: str
    pod: str
    """The pod's name."""
    pod_uid: str

    @property
    def key(self) -> str:
        """The outbox' key: begins with the pod's uid, so that a pod's mask and its notifications are kept together."""
        return f"{self.pod_uid}/{self.id}"


def notification_id(tracker_uid: str, pod_uid: str, event: Event) -> str:
    """The id of an occurrence: a hash of what makes it this one (design.md, "Fixed names")."""
    return hashlib.sha256(f"{tracker_uid}|{pod_uid}|{event.value}".encode()).hexdigest()[:32]


class TrackerRecord(msgspec.Struct, array_like=True):
    """What is remembered of a tracker."""

    namespace: str
    selector: str
    """The selector that `match_since` belongs to."""
    match_since: int
    """Seconds since 1970: pods created earlier are not news to this tracker."""
    delivered: int = 0
    dropped: int = 0
    unannounced: int = 0
    """How many of `dropped` no message has told of yet."""
    baseline: bool = False
    """Nothing is remembered of its pods and they have not all been seen yet: those that exist are old."""
    unlisted: bool = False
    """The watch may have passed pods of it before it was known, and they have not been listed since."""


class PodRecord(msgspec.Struct, array_like=True):
    """A living pod that some tracker means."""

    namespace: str
    name: str
    masks: dict[str, int]
    """The events that need not be told any more, by the uid of the tracker."""


class Delta(msgspec.Struct, array_like=True):
    """Entries by key as they are now; None where there is none any more. Applying one twice changes nothing."""

    trackers: dict[str, TrackerRecord | None] = msgspec.field(default_factory=dict)
    pods: dict[str, PodRecord | None] = msgspec.field(default_factory=dict)
    outbox: dict[str, Notification | None] = msgspec.field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.trackers or self.pods or self.outbox)


class Ledger:
    """Masks of reported events per living pod and tracker, and the outbox of what is not delivered yet."""

    def __init__(self) -> None:
        self._trackers: dict[str, TrackerRecord] = {}
        self._pods: dict[str, PodRecord] = {}
        self._outbox: dict[str, Notification] = {}
        self._pod_counts: dict[str, int] = {}
        self._waiting_of: dict[str, int] = {}
        self._waiting_in: dict[str, int] = {}
        self._order = 0
        self._changed_trackers: set[str] = set()
        self._changed_pods: set[str] = set()
        self._changed_outbox: set[str] = set()

    # trackers

    def tracker(self, uid: str) -> TrackerRecord | None:
        """The record of a tracker, where it has one; to be changed through the ledger only."""
        return self._trackers.get(uid)

    def trackers(self) -> tuple[str, ...]:
        """The uids of all trackers that have a record."""
        return tuple(self._trackers)

    def put_tracker(self, uid: str, record: TrackerRecord) -> None:
        """Start or replace a tracker's record."""
        self._trackers[uid] = record
        self._changed_trackers.add(uid)

    def listed(self, uid: str) -> None:
        """All pods of a tracker have been seen."""
        record = self._trackers.get(uid)
        if record is not None and record.unlisted:
            record.unlisted = False
            self._changed_trackers.add(uid)

    def begin_baseline(self, uid: str) -> None:
        """What a list shows now is old to this tracker, until `end_baseline`, whatever restarts in between."""
        self._trackers[uid].baseline = True
        self._changed_trackers.add(uid)

    def end_baseline(self, namespace: str | None) -> None:
        """The pods of a namespace, or all, have been seen."""
        for uid, record in self._trackers.items():
            if record.baseline and namespace in {None, record.namespace}:
                record.baseline = False
                self._changed_trackers.add(uid)

    def drop_tracker(self, uid: str) -> None:
        """Forget a tracker with everything held for it."""
        if self._trackers.pop(uid, None) is not None:
            self._changed_trackers.add(uid)
        if self.pending(uid):
            for notification in [item for item in self._outbox.values() if item.tracker == uid]:
                self._take_out(notification.key)
        self.drop_masks(uid)

    def drop_masks(self, uid: str) -> None:
        """Forget which pods a tracker has seen, as when its selector moves."""
        if self.pod_count(uid):
            for pod_uid in [pod_uid for pod_uid, record in self._pods.items() if uid in record.masks]:
                self.drop_mask(uid, pod_uid)

    # pods

    def mask(self, tracker: str, pod_uid: str) -> int | None:
        """The events of a pod that need not be told to a tracker any more; None where it does not know the pod."""
        record = self._pods.get(pod_uid)
        return None if record is None else record.masks.get(tracker)

    def put_mask(self, tracker: str, pod_uid: str, namespace: str, name: str, mask: int) -> None:
        """Remember a living pod for a tracker."""
        record = self._pods.get(pod_uid)
        if record is None:
            record = self._pods[pod_uid] = PodRecord(namespace=namespace, name=name, masks={})
        if tracker not in record.masks:
            _add(self._pod_counts, tracker, 1)
        record.masks[tracker] = mask
        self._changed_pods.add(pod_uid)

    def drop_mask(self, tracker: str, pod_uid: str) -> None:
        """The pod does not live, as far as this tracker is concerned."""
        record = self._pods.get(pod_uid)
        if record is None or record.masks.pop(tracker, None) is None:
            return
        _add(self._pod_counts, tracker, -1)
        self._changed_pods.add(pod_uid)
        if not record.masks:
            del self._pods[pod_uid]

    def forget_pod(self, pod_uid: str) -> dict[str, int]:
        """The pod is gone; gives the masks that were held of it, by tracker uid."""
        record = self._pods.pop(pod_uid, None)
        if record is None:
            return {}
        for tracker in record.masks:
            _add(self._pod_counts, tracker, -1)
        self._changed_pods.add(pod_uid)
        return record.masks

    def pods_in(self, namespace: str | None) -> Iterator[str]:
        """The uids of the known living pods of a namespace, or of all."""
        return (uid for uid, record in self._pods.items() if namespace is None or record.namespace == namespace)

    def pod_count(self, tracker: str) -> int:
        """How many living pods match a tracker."""
        return self._pod_counts.get(tracker, 0)

    # the outbox

    def found(self, tracker: str, event: Event, *, namespace: str, pod: str, pod_uid: str) -> Notification | None:
        """An occurrence was found and has to be delivered.

        Returns:
            What waits for delivery now, or None where too much waits already: then it is dropped and counted.
        """
        if self.pending(tracker) >= MAX_PENDING or self._waiting_in.get(namespace, 0) >= MAX_PENDING_IN_NAMESPACE:
            record = self._trackers[tracker]
            record.dropped += 1
            record.unannounced += 1
            self._changed_trackers.add(tracker)
            return None
        self._order += 1
        notification = Notification(
            id=notification_id(tracker, pod_uid, event),
            order=self._order,
            tracker=tracker,
            event=event,
            namespace=namespace,
            pod=pod,
            pod_uid=pod_uid,
        )
        self._put_in(notification)
        return notification

    def settle(self, notifications: Sequence[Notification], *, delivered: bool) -> None:
        """These need no delivery any more: the receiver has them, or can never take them."""
        for notification in notifications:
            record = self._trackers.get(notification.tracker)
            if self._take_out(notification.key) and record is not None:
                record.delivered += delivered
                record.dropped += not delivered
                self._changed_trackers.add(notification.tracker)

    def announced(self, tracker: str, dropped: int) -> None:
        """A message has told of so many dropped occurrences."""
        record = self._trackers.get(tracker)
        if record is not None:
            record.unannounced = max(0, record.unannounced - dropped)
            self._changed_trackers.add(tracker)

    def pending(self, tracker: str) -> int:
        """How many occurrences wait for delivery to a tracker's receiver."""
        return self._waiting_of.get(tracker, 0)

    @property
    def waiting(self) -> int:
        """How many occurrences wait for delivery, of all trackers."""
        return len(self._outbox)

    def outbox(self) -> list[Notification]:
        """All that waits for delivery, in the order it was found."""
        return sorted(self._outbox.values(), key=lambda notification: notification.order)

    def _put_in(self, notification: Notification) -> None:
        if notification.key not in self._outbox:
            _add(self._waiting_of, notification.tracker, 1)
            _add(self._waiting_in, notification.namespace, 1)
        self._outbox[notification.key] = notification
        self._changed_outbox.add(notification.key)

    def _take_out(self, key: str) -> bool:
        notification = self._outbox.pop(key, None)
        if notification is None:
            return False
        _add(self._waiting_of, notification.tracker, -1)
        _add(self._waiting_in, notification.namespace, -1)
        self._changed_outbox.add(key)
        return True

    # keeping it

    def drain(self) -> Delta:
        """What changed since the last drain."""
        delta = Delta(
            trackers={uid: self._trackers.get(uid) for uid in self._changed_trackers},
            pods={uid: self._pods.get(uid) for uid in self._changed_pods},
            outbox={key: self._outbox.get(key) for key in self._changed_outbox},
        )
        self._changed_trackers, self._changed_pods, self._changed_outbox = set(), set(), set()
        return delta

    @property
    def changed(self) -> bool:
        """Whether a drain would give anything."""
        return bool(self._changed_trackers or self._changed_pods or self._changed_outbox)

    def snapshot(self) -> Delta:
        """Everything."""
        return Delta(trackers=dict(self._trackers), pods=dict(self._pods), outbox=dict(self._outbox))

    def load(self, deltas: Iterable[Delta]) -> None:
        """Become what these say, the later over the earlier; only an empty ledger can."""
        for delta in deltas:
            _merge(self._trackers, delta.trackers)
            _merge(self._pods, delta.pods)
            _merge(self._outbox, delta.outbox)
        for record in self._pods.values():
            for tracker in record.masks:
                _add(self._pod_counts, tracker, 1)
        for notification in self._outbox.values():
            _add(self._waiting_of, notification.tracker, 1)
            _add(self._waiting_in, notification.namespace, 1)
            self._order = max(self._order, notification.order)


def _add(counts: dict[str, int], key: str, amount: int) -> None:
    counts[key] = counts.get(key, 0) + amount
    if not counts[key]:
        del counts[key]


def _merge(into: dict[str, V], entries: dict[str, V | None]) -> None:
    for key, value in entries.items():
        if value is None:
            into.pop(key, None)
        else:
            into[key] = value
