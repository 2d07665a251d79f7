# SPDX-License-Identifier: Apache-2.0
"""What was reported, of which pod, for which tracker; and what still waits to be.

The ledger is the operator's memory: whether a pod is news is answered here, never by how its event arrived. It is plain
data without IO; a checkpoint makes it durable.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterator, Sequence

import msgspec


class Event(enum.StrEnum):
    """What can happen to a pod that a tracker may ask for."""

    CREATED = "Created"

    @property
    def bit(self) -> int:
        """The event's place in a pod's mask."""
        return _BITS[self]


_BITS = {Event.CREATED: 1}


class Notification(msgspec.Struct, frozen=True):
    """One occurrence that one tracker wants told."""

    id: str
    """Stable for ever: the same occurrence has the same id after any restart."""
    tracker: str
    """The tracker's uid."""
    event: Event
    namespace: str
    pod: str
    """The pod's name."""
    pod_uid: str


def notification_id(tracker_uid: str, pod_uid: str, event: Event) -> str:
    """The id of an occurrence: a hash of what makes it this one (design.md, "Fixed names")."""
    return hashlib.sha256(f"{tracker_uid}|{pod_uid}|{event.value}".encode()).hexdigest()[:32]


class TrackerRecord(msgspec.Struct):
    """What is remembered of a tracker."""

    selector: str
    """The selector that `match_since` belongs to."""
    match_since: int
    """Seconds since 1970: pods created earlier are not news to this tracker."""
    delivered: int = 0
    dropped: int = 0


class _PodRecord(msgspec.Struct):
    namespace: str
    name: str
    holders: tuple[str, ...]
    """The uids of the trackers that hold a mask of this pod; when none does, the record goes."""


class Ledger:
    """Masks of reported events per tracker and living pod, and the outbox of what is not delivered yet."""

    def __init__(self) -> None:
        self._trackers: dict[str, TrackerRecord] = {}
        self._masks: dict[str, dict[str, int]] = {}
        self._pods: dict[str, _PodRecord] = {}
        self._outbox: dict[str, dict[str, Notification]] = {}
        self.waiting = 0
        """Occurrences in the outbox, of all trackers."""

    # trackers

    def tracker(self, uid: str) -> TrackerRecord | None:
        """The record of a tracker, where it has one."""
        return self._trackers.get(uid)

    def put_tracker(self, uid: str, record: TrackerRecord) -> None:
        """Start or replace a tracker's record."""
        self._trackers[uid] = record

    def drop_tracker(self, uid: str) -> None:
        """Forget a tracker with everything held for it."""
        self._trackers.pop(uid, None)
        self.waiting -= len(self._outbox.pop(uid, ()))
        self.drop_masks(uid)

    def drop_masks(self, uid: str) -> None:
        """Forget which pods a tracker has seen, as when its selector moves."""
        for pod_uid in self._masks.pop(uid, {}):
            self._release(uid, pod_uid)

    # pods

    def mask(self, tracker: str, pod_uid: str) -> int | None:
        """The events of a pod that need not be told to a tracker any more; None where it does not know the pod."""
        masks = self._masks.get(tracker)
        return None if masks is None else masks.get(pod_uid)

    def put_mask(self, tracker: str, pod_uid: str, namespace: str, name: str, mask: int) -> None:
        """Remember a living pod for a tracker."""
        masks = self._masks.setdefault(tracker, {})
        if pod_uid not in masks:
            record = self._pods.get(pod_uid)
            if record is None:
                record = self._pods[pod_uid] = _PodRecord(namespace=namespace, name=name, holders=())
            record.holders += (tracker,)
        masks[pod_uid] = mask

    def drop_mask(self, tracker: str, pod_uid: str) -> None:
        """The pod does not live, as far as this tracker is concerned."""
        if self._masks.get(tracker, {}).pop(pod_uid, None) is not None:
            self._release(tracker, pod_uid)

    def forget_pod(self, pod_uid: str) -> dict[str, int]:
        """The pod is gone; gives the masks that were held of it, by tracker uid."""
        record = self._pods.pop(pod_uid, None)
        return {} if record is None else {tracker: self._masks[tracker].pop(pod_uid) for tracker in record.holders}

    def pods_in(self, namespace: str | None) -> Iterator[str]:
        """The uids of the known living pods of a namespace, or of all."""
        return (uid for uid, record in self._pods.items() if namespace is None or record.namespace == namespace)

    def pod_count(self, tracker: str) -> int:
        """How many living pods match a tracker."""
        return len(self._masks.get(tracker, ()))

    # the outbox

    def put_pending(self, notification: Notification) -> None:
        """An occurrence was found and has to be delivered."""
        waiting = self._outbox.setdefault(notification.tracker, {})
        self.waiting += notification.id not in waiting
        waiting[notification.id] = notification

    def settle(self, notifications: Sequence[Notification], *, delivered: bool) -> None:
        """These need no delivery any more: the receiver has them, or can never take them."""
        for notification in notifications:
            waiting = self._outbox.get(notification.tracker)
            if waiting is None or waiting.pop(notification.id, None) is None:
                continue
            self.waiting -= 1
            if not waiting:
                del self._outbox[notification.tracker]
            record = self._trackers.get(notification.tracker)
            if record is not None:
                record.delivered += delivered
                record.dropped += not delivered

    def pending_count(self, tracker: str) -> int:
        """How many occurrences wait for delivery."""
        return len(self._outbox.get(tracker, ()))

    def _release(self, tracker: str, pod_uid: str) -> None:
        record = self._pods[pod_uid]
        record.holders = tuple(holder for holder in record.holders if holder != tracker)
        if not record.holders:
            del self._pods[pod_uid]
