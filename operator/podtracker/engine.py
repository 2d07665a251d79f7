# SPDX-License-Identifier: Apache-2.0
"""Decides what is news: pods and trackers in, notifications out. Pure and synchronous: no IO, no clock.

Whether a pod was created is not a question of the event's type (a relist repeats, a watch may begin late) but of two
facts: its creationTimestamp against the tracker's `match_since`, and the ledger.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from podtracker.api import Tracker
from podtracker.ledger import Event, Ledger, Notification, TrackerRecord
from podtracker.matching import TrackerIndex
from podtracker.pods import Pod


class Backfill(msgspec.Struct, frozen=True):
    """One list of a tracker's pods that is under way, for a tracker that came after the watch had begun."""

    tracker: str
    namespace: str


class _Departed(msgspec.Struct):
    """A pod that went, and the trackers that need not be told of it."""

    pod: Pod | None
    """None where only a list's silence told that it went."""
    told: set[str]


REMEMBERED_DEPARTED = 1000
"""Pods that are remembered after they went, when no backfill is under way; see `Engine._departed`."""


class Relist(msgspec.Struct):
    """A full list of a scope that is under way: what the ledger knows and the list has not shown yet."""

    namespace: str | None
    unseen: set[str]


class Engine:
    """The meeting of pods and trackers."""

    def __init__(self, index: TrackerIndex, ledger: Ledger, *, changed: Callable[[str], None]) -> None:
        """Args: changed: called with a tracker's uid when its pod count or its outbox may have changed."""
        self._index = index
        self._ledger = ledger
        self._changed = changed
        self._backfills: list[Backfill] = []
        self._relisting: set[str | None] = set()
        self._departed: OrderedDict[str, _Departed] = OrderedDict()
        """The pods that went last. A backfill and the watch are two views of the same pods: one that the list still has
        must neither be told twice nor come back to life, and one that was made and deleted before its tracker became
        known is news all the same."""

    # trackers

    def track(self, tracker: Tracker, *, edited: int, missed: bool = True) -> bool:
        """Take a tracker, or its newest spec.

        Args:
            tracker: what the API server has now.
            edited: when its spec was last written, in seconds since 1970 by the API server's clock; the selector may
                have been changed then.
            missed: whether pods may have gone by while it was not tracked, if it was not.

        Returns:
            Whether its pods must be listed once, because the watch may have passed them already.
        """
        selector = tracker.spec.name or ""
        record = self._ledger.tracker(tracker.uid)
        known = self._index.get(tracker.uid) is not None
        self._index.put(tracker)
        if record is None:
            self._ledger.put_tracker(
                tracker.uid,
                TrackerRecord(
                    namespace=tracker.namespace, selector=selector, match_since=tracker.created, unlisted=True
                ),
            )
        elif record.selector != selector:
            self._ledger.drop_masks(tracker.uid)
            self._ledger.put_tracker(
                tracker.uid,
                msgspec.structs.replace(
                    record, selector=selector, match_since=max(edited, tracker.created), unlisted=True
                ),
            )
        else:
            return record.unlisted or (missed and not known)
        self._changed(tracker.uid)
        return True

    def untrack(self, uid: str) -> None:
        """The tracker is gone, and with it what was held for it."""
        self._index.drop(uid)
        self._ledger.drop_tracker(uid)
        self._backfills = [backfill for backfill in self._backfills if backfill.tracker != uid]

    def listed(self, uid: str) -> None:
        """All pods of a tracker have been seen, or are about to be in a list of everything."""
        self._ledger.listed(uid)

    def pause(self, uid: str) -> None:
        """The tracker's spec cannot be understood: match nothing, forget nothing."""
        self._index.drop(uid)

    # pods, one at a time

    def observe(self, pod: Pod) -> list[Notification]:
        """A pod as it is now; seeing it again changes nothing."""
        found: list[Notification] = []
        for tracker in self._index.matching(pod):
            found += self._consider(tracker.uid, pod)
        return found

    def remove(self, pod: Pod) -> None:
        """The pod is gone."""
        self._depart(pod.uid, pod)

    def _depart(self, uid: str, pod: Pod | None) -> None:
        held = self._ledger.forget_pod(uid)
        for tracker in held:
            self._changed(tracker)
        gone = self._departed.setdefault(uid, _Departed(pod=pod, told=set()))
        gone.told.update(held)
        while len(self._departed) > REMEMBERED_DEPARTED and not self._backfills:
            self._departed.popitem(last=False)

    # whole lists

    def begin_relist(self, namespace: str | None) -> Relist:
        """A list of everything in a scope begins; a namespace of None is all."""
        self._relisting.add(namespace)
        self._backfills = [open_ for open_ in self._backfills if namespace not in {None, open_.namespace}]
        return Relist(namespace=namespace, unseen=set(self._ledger.pods_in(namespace)))

    def relisting(self, namespace: str) -> bool:
        """Whether a list of everything in a namespace is under way; no backfill may be begun before it ends."""
        return not self._relisting.isdisjoint({None, namespace})

    def relisted(self, relist: Relist, pods: Sequence[Pod]) -> list[Notification]:
        """A page of that list."""
        found: list[Notification] = []
        for pod in pods:
            relist.unseen.discard(pod.uid)
            for tracker in self._index.matching(pod):
                found += self._consider(tracker.uid, pod)
        return found

    def end_relist(self, relist: Relist) -> None:
        """The list is complete: pods that it lacks were deleted while nobody looked."""
        for pod_uid in relist.unseen:
            self._depart(pod_uid, None)
        self._ledger.end_baseline(relist.namespace)
        self._relisting.discard(relist.namespace)

    def begin_backfill(self, tracker: Tracker) -> tuple[Backfill, list[Notification]]:
        """A list for one new tracker begins; call before it is asked for.

        Returns:
            The backfill, and what is news of pods that the list cannot show any more.
        """
        backfill = Backfill(tracker=tracker.uid, namespace=tracker.namespace)
        self._backfills.append(backfill)
        found: list[Notification] = []
        for gone in self._departed.values():
            if gone.pod is not None and self._means(tracker.uid, gone.pod):
                found += self._consider_departed(tracker.uid, gone, gone.pod)
        return backfill, found

    def backfilled(self, backfill: Backfill, pods: Sequence[Pod]) -> list[Notification]:
        """A page of that list; nothing, where a relist has ended the backfill."""
        if backfill not in self._backfills:
            return []
        found: list[Notification] = []
        for pod in pods:
            if not self._means(backfill.tracker, pod):
                continue
            gone = self._departed.get(pod.uid)
            if gone is None:
                found += self._consider(backfill.tracker, pod)
            else:
                found += self._consider_departed(backfill.tracker, gone, pod)
        return found

    def end_backfill(self, backfill: Backfill) -> bool:
        """The list is complete, or given up. False: a relist has ended it before, so it has to be made again."""
        if backfill not in self._backfills:
            return False
        self._backfills.remove(backfill)
        return True

    def _means(self, tracker: str, pod: Pod) -> bool:
        return any(candidate.uid == tracker for candidate in self._index.matching(pod))

    def _consider_departed(self, tracker: str, gone: _Departed, pod: Pod) -> list[Notification]:
        if tracker in gone.told:
            return []
        found = self._consider(tracker, pod)
        gone.told.add(tracker)
        self._ledger.drop_mask(tracker, pod.uid)
        return found

    def _consider(self, tracker: str, pod: Pod) -> list[Notification]:
        if self._ledger.mask(tracker, pod.uid) is not None:
            return []
        gone = self._departed.get(pod.uid)
        if gone is not None and tracker in gone.told:
            return []
        record = self._ledger.tracker(tracker)
        news = record is not None and not record.baseline and pod.created >= record.match_since
        self._ledger.put_mask(tracker, pod.uid, pod.namespace, pod.name, Event.CREATED.bit)
        self._changed(tracker)
        if not news:
            return []
        found = self._ledger.found(tracker, Event.CREATED, namespace=pod.namespace, pod=pod.name, pod_uid=pod.uid)
        return [] if found is None else [found]
