# SPDX-License-Identifier: Apache-2.0
"""What was reported, of which pod, for which tracker; and what still waits to be.

The ledger is the operator's memory: whether a pod is news is answered here, never by how its event arrived. It is plain
data without IO. It notes which of its entries changed, so that a checkpoint can keep just those.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec

from podtracker.lifecycle import Happening, Seen

V = TypeVar("V")

MAX_PENDING = 5_000
"""Occurrences that may wait for one tracker; what comes on top is dropped, counted and announced."""
MAX_PENDING_IN_NAMESPACE = 20_000
"""Occurrences that may wait for all trackers of one namespace, where others leave room for them."""
MAX_PENDING_IN_ALL = 60_000
"""Occurrences that may wait altogether: the stored ledger has to take them, sixteen objects of a mebibyte. A namespace
may have no more than there is room left, so the fuller it is, the less each may add."""
SPARED = 500
"""Occurrences that may wait for a namespace all the same: however many others have dead receivers, the watch goes on
and nobody is left without."""
HEAVY = 150
"""Characters of names and words for which an occurrence counts once more in the quotas of namespaces."""


class Detail(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """What is known of an occurrence beyond the pod; words and numbers, never free text."""

    container: str = ""
    reason: str = ""
    """Kubernetes' own word, such as `OOMKilled` or `Evicted`."""
    exit_code: int | None = None
    restarts: int = 0
    """How often the container had been started again."""
    seconds: int | None = None
    """For Ready: how long it took from the pod's creation."""
    node: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    """Those of the pod's labels that the tracker's message asks for."""


class PodIdentity(msgspec.Struct, frozen=True):
    """Which pod an occurrence is of."""

    uid: str
    namespace: str
    name: str


PLAIN = Detail()
"""Nothing more to say."""
TEST = "Test"
"""The event of the message that the test annotation asks for; no pod is meant, `detail.reason` is the nonce."""


class Notification(msgspec.Struct, frozen=True, array_like=True):
    """One occurrence that one tracker wants told."""

    id: str
    """Stable for ever: the same occurrence has the same id after any restart."""
    order: int
    """Grows with every occurrence found, so that order survives a restart."""
    tracker: str
    """The tracker's uid."""
    event: str
    """One of the API's events, or `TEST`."""
    namespace: str
    pod: str
    """The pod's name."""
    pod_uid: str
    at: int = 0
    """When it happened, in seconds since 1970 as Kubernetes noted it; 0 where nobody did."""
    quiet: bool = False
    """Found while the tracker was suspended or muted: told in the summary afterwards."""
    detail: Detail = PLAIN

    @property
    def weight(self) -> int:
        """How many it counts for in the quotas of namespaces: one whose words are long takes the room of several."""
        detail = self.detail
        size = len(self.pod) + len(detail.container) + len(detail.reason) + len(detail.node)
        return 1 + (size + sum(len(value) for _, value in detail.labels)) // HEAVY

    @property
    def key(self) -> str:
        """The outbox' key: begins with the pod's uid, so that a pod's mask and its notifications are kept together."""
        return f"{self.pod_uid}/{self.id}"


def notification_id(tracker_uid: str, pod_uid: str, event: str, container: str = "", restarts: int = 0) -> str:
    """The id of an occurrence: a hash of what makes it this one (design.md, "Fixed names"). Stable for ever."""
    parts = (tracker_uid, pod_uid, event) + ((container, str(restarts)) if container or restarts else ())
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]


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
    suppressed: int = 0
    """Occurrences found while it was suspended or muted."""
    tested: str = ""
    """The nonce of the last test that was asked for: the same one asks nothing again."""


class PodRecord(msgspec.Struct, array_like=True):
    """A living pod that some tracker means."""

    namespace: str
    name: str
    trackers: tuple[str, ...]
    """The uids of the trackers that know it: whatever happened until now, they need not be told any more."""
    seen: Seen | None = None
    """What is known to have happened to it; None where that was never looked at."""


class Delta(msgspec.Struct, array_like=True):
    """Entries by key as they are now; None where there is none any more. Applying one twice changes nothing."""

    trackers: dict[str, TrackerRecord | None] = msgspec.field(default_factory=dict)
    pods: dict[str, PodRecord | None] = msgspec.field(default_factory=dict)
    outbox: dict[str, Notification | None] = msgspec.field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.trackers or self.pods or self.outbox)


class Ledger:
    """What is known of each living pod that some tracker means, and the outbox of what is not delivered yet."""

    def __init__(self) -> None:
        self._trackers: dict[str, TrackerRecord] = {}
        self._pods: dict[str, PodRecord] = {}
        self._outbox: dict[str, Notification] = {}
        self._pod_counts: dict[str, int] = {}
        self._waiting_of: dict[str, int] = {}
        self._weight_in: dict[str, int] = {}
        self._weight = 0
        self._due: dict[str, int] = {}
        """By pod: when something will have lasted too long."""
        self._groups: dict[tuple[str, ...], tuple[str, ...]] = {}
        """One object for equal groups of trackers: ten thousand pods of one tracker share it."""
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

    def unlist(self, uid: str) -> None:
        """Pods of a tracker may have gone by: they have to be listed."""
        record = self._trackers.get(uid)
        if record is not None and not record.unlisted:
            record.unlisted = True
            self._changed_trackers.add(uid)

    def tested(self, uid: str, nonce: str) -> bool:
        """A test was asked for; False where it is the one that was asked for last, or the tracker is not known."""
        record = self._trackers.get(uid)
        if record is None or record.tested == nonce:
            return False
        record.tested = nonce
        self._changed_trackers.add(uid)
        return True

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
        self.part_all(uid)

    def part_all(self, uid: str) -> None:
        """Forget which pods a tracker knows, as when its selector moves."""
        if self.pod_count(uid):
            for pod_uid in [pod_uid for pod_uid, record in self._pods.items() if uid in record.trackers]:
                self.part(uid, pod_uid)
        self._groups = {group: group for group in self._groups if uid not in group}

    # pods

    def pod(self, pod_uid: str) -> PodRecord | None:
        """What is known of a living pod; to be changed through the ledger only."""
        return self._pods.get(pod_uid)

    def knows(self, tracker: str, pod_uid: str) -> bool:
        """Whether a tracker knows a living pod."""
        record = self._pods.get(pod_uid)
        return record is not None and tracker in record.trackers

    def put_pod(self, pod_uid: str, namespace: str, name: str, trackers: Iterable[str], seen: Seen | None) -> bool:
        """Remember a living pod, or what is new of it; one that no tracker knows is forgotten.

        Returns:
            Whether that changed anything.
        """
        group = tuple(trackers)
        old = self._pods.get(pod_uid)
        if old is not None and (old.name, old.trackers, old.seen) == (name, group, seen):
            return False
        if not group:
            self.forget_pod(pod_uid)
            return old is not None
        group = self._groups.setdefault(group, group)
        before = old.trackers if old is not None else ()
        if before != group:
            was, now = frozenset(before), frozenset(group)
            for tracker in was - now:
                _add(self._pod_counts, tracker, -1)
            for tracker in now - was:
                _add(self._pod_counts, tracker, 1)
        self._pods[pod_uid] = PodRecord(namespace=namespace, name=name, trackers=group, seen=seen)
        self._note_due(pod_uid, seen)
        self._changed_pods.add(pod_uid)
        return True

    def join(self, tracker: str, pod_uid: str, seen: Seen | None) -> None:
        """One more tracker knows a pod: as `put_pod`, at the cost of one where a thousand do."""
        record = self._pods[pod_uid]
        group = (*record.trackers, tracker)
        group = self._groups.setdefault(group, group)
        self._pods[pod_uid] = PodRecord(namespace=record.namespace, name=record.name, trackers=group, seen=seen)
        _add(self._pod_counts, tracker, 1)
        self._note_due(pod_uid, seen)
        self._changed_pods.add(pod_uid)

    def part(self, tracker: str, pod_uid: str) -> None:
        """The tracker does not mean the pod any more."""
        record = self._pods.get(pod_uid)
        if record is not None and tracker in record.trackers:
            left = tuple(uid for uid in record.trackers if uid != tracker)
            self.put_pod(pod_uid, record.namespace, record.name, left, record.seen)

    def forget_pod(self, pod_uid: str) -> PodRecord | None:
        """The pod is gone; gives what was known of it."""
        record = self._pods.pop(pod_uid, None)
        if record is None:
            return None
        for tracker in record.trackers:
            _add(self._pod_counts, tracker, -1)
        self._due.pop(pod_uid, None)
        self._changed_pods.add(pod_uid)
        return record

    def due_pods(self, now: float) -> list[str]:
        """The uids of the pods that have to be looked at again, the longest due first."""
        due = [(at, pod_uid) for pod_uid, at in self._due.items() if at <= now]
        return [pod_uid for _, pod_uid in sorted(due)]

    def no_deadlines(self, pod_uid: str) -> None:
        """Nothing of a pod can last too long any more."""
        record = self._pods.get(pod_uid)
        if record is not None and record.seen is not None:
            seen = msgspec.structs.replace(record.seen, deadlines={})
            self.put_pod(pod_uid, record.namespace, record.name, record.trackers, seen)

    def _note_due(self, pod_uid: str, seen: Seen | None) -> None:
        due = seen.due if seen is not None else None
        if due is not None:
            self._due[pod_uid] = due
        else:
            self._due.pop(pod_uid, None)

    def pods_in(self, namespace: str | None) -> Iterator[str]:
        """The uids of the known living pods of a namespace, or of all."""
        return (uid for uid, record in self._pods.items() if namespace is None or record.namespace == namespace)

    def pod_count(self, tracker: str) -> int:
        """How many living pods match a tracker."""
        return self._pod_counts.get(tracker, 0)

    # the outbox

    def found(
        self, tracker: str, happening: Happening, *, pod: PodIdentity, quiet: bool = False, detail: Detail = PLAIN
    ) -> Notification | None:
        """An occurrence was found and has to be delivered.

        Returns:
            What waits for delivery now; None where it waits already, or where too much waits: then it is dropped and
            counted.
        """
        event = happening.event
        key = notification_id(tracker, pod.uid, event, happening.container, happening.restarts)
        if f"{pod.uid}/{key}" in self._outbox:
            return None
        record = self._trackers[tracker]
        if quiet:
            record.suppressed += 1
            self._changed_trackers.add(tracker)
        if self.pending(tracker) >= MAX_PENDING or self._weight_in.get(pod.namespace, 0) >= self._room():
            record.dropped += 1
            record.unannounced += 1
            self._changed_trackers.add(tracker)
            return None
        return self._wait(key, tracker, event, pod, at=happening.at, quiet=quiet, detail=detail)

    def _room(self) -> int:
        """How many occurrences of one namespace may wait now."""
        return min(MAX_PENDING_IN_NAMESPACE, max(SPARED, MAX_PENDING_IN_ALL - self._weight))

    def ask_test(self, tracker: str, nonce: str) -> Notification | None:
        """A test message was asked for; None where this nonce was the last one already."""
        if not self.tested(tracker, nonce):
            return None
        record = self._trackers[tracker]
        key = notification_id(tracker, nonce, TEST)
        nobody = PodIdentity(uid="", namespace=record.namespace, name="")
        return self._wait(key, tracker, TEST, nobody, detail=Detail(reason=nonce))

    def awaits_test(self, tracker: str, nonce: str) -> bool:
        """Whether that test waits to be sent."""
        return f"/{notification_id(tracker, nonce, TEST)}" in self._outbox

    def _wait(
        self,
        key: str,
        tracker: str,
        event: str,
        pod: PodIdentity,
        *,
        at: int = 0,
        quiet: bool = False,
        detail: Detail = PLAIN,
    ) -> Notification:
        self._order += 1
        notification = Notification(
            id=key,
            order=self._order,
            tracker=tracker,
            event=event,
            namespace=pod.namespace,
            pod=pod.name,
            pod_uid=pod.uid,
            at=at,
            quiet=quiet,
            detail=detail,
        )
        self._put_in(notification)
        return notification

    def settle(self, notifications: Sequence[Notification], *, delivered: bool) -> None:
        """These need no delivery any more: the receiver has them, or can never take them."""
        for notification in notifications:
            record = self._trackers.get(notification.tracker)
            if self._take_out(notification.key) and record is not None and notification.event != TEST:
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
            self._weigh(notification, 1)
        self._outbox[notification.key] = notification
        self._changed_outbox.add(notification.key)

    def _take_out(self, key: str) -> bool:
        notification = self._outbox.pop(key, None)
        if notification is None:
            return False
        self._weigh(notification, -1)
        self._changed_outbox.add(key)
        return True

    def _weigh(self, notification: Notification, sign: int) -> None:
        weight = sign * notification.weight
        _add(self._waiting_of, notification.tracker, sign)
        _add(self._weight_in, notification.namespace, weight)
        self._weight += weight

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
        for pod_uid, record in self._pods.items():
            record.trackers = self._groups.setdefault(record.trackers, record.trackers)
            self._note_due(pod_uid, record.seen)
            for tracker in record.trackers:
                _add(self._pod_counts, tracker, 1)
        for notification in self._outbox.values():
            self._weigh(notification, 1)
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
