# SPDX-License-Identifier: Apache-2.0
"""Decides what is news: pods and trackers in, notifications out. Pure and synchronous: no IO, no clock.

Whether a pod was created is not a question of the event's type (a relist repeats, a watch may begin late) but of two
facts: its creationTimestamp against the tracker's `match_since`, and the ledger. What happened to it since is a
question of its status against what the ledger knows of it (lifecycle.py). Times are seconds since 1970.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence

import msgspec

from podtracker.api import TROUBLES, Event, PodTrackerSpec
from podtracker.ledger import PLAIN, Detail, Ledger, Notification, PodIdentity, PodRecord, TrackerRecord
from podtracker.lifecycle import NOTHING, Grace, Happening, Seen, episode_open, step
from podtracker.matching import TrackerIndex, signature
from podtracker.pods import Pod
from podtracker.times import epoch_seconds
from podtracker.trackers import Tracker


class Backfill(msgspec.Struct, frozen=True):
    """One list of a tracker's pods that is under way, for a tracker that came after the watch had begun."""

    tracker: str
    namespace: str


class _Departed(msgspec.Struct):
    """A pod that went, and the trackers that need not be told of it."""

    pod: Pod | None
    """None where only a list's silence told that it went, or where it was too old to be news to a tracker to come."""
    told: set[str]


REMEMBERED_DEPARTED = 1000
"""Pods that are remembered after they went, when no backfill is under way; see `Engine._departed`."""


MAX_REASON = 100
"""Characters kept of a reason: whoever may write a pod's status chooses it."""
LATEST_TRACKER = 600.0
"""Seconds by which a tracker may reach the operator later than pods that were made after it."""
REMEMBERED_AHEAD = 10_000
"""Pods looked at beside the watch that are remembered; the watch is not that far behind."""
DEFAULT_GRACE = Grace()


def _no_labels(_: PodTrackerSpec) -> Collection[str]:
    return ()


class Relist(msgspec.Struct):
    """A full list of a scope that is under way: what the ledger knows and the list has not shown yet."""

    namespace: str | None
    unseen: set[str]


class Engine:
    """The meeting of pods and trackers."""

    def __init__(
        self,
        index: TrackerIndex,
        ledger: Ledger,
        *,
        changed: Callable[[str], None],
        grace: Grace = DEFAULT_GRACE,
        labels: Callable[[PodTrackerSpec], Collection[str]] = _no_labels,
    ) -> None:
        """Args.

        changed: called with a tracker's uid when its pod count or its outbox may have changed.
        grace: how long things may last.
        labels: the pod's labels that a tracker's message asks for.
        """
        self._index = index
        self._ledger = ledger
        self._changed = changed
        self._grace = grace
        self._labels = labels
        self._ahead: OrderedDict[str, int] = OrderedDict()
        """The resourceVersion at which a pod was looked at beside the watch, which may show older ones after it."""
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
        selector = signature(tracker.spec)
        record = self._ledger.tracker(tracker.uid)
        known = self._index.get(tracker.uid) is not None
        self._index.put(tracker)
        if record is None:
            since = 0 if tracker.spec.start_policy == "All" else tracker.created
            self._ledger.put_tracker(
                tracker.uid,
                TrackerRecord(namespace=tracker.namespace, selector=selector, match_since=since, unlisted=True),
            )
        elif record.selector != selector:
            self._ledger.part_all(tracker.uid)
            self._ledger.put_tracker(
                tracker.uid,
                msgspec.structs.replace(
                    record, selector=selector, match_since=max(edited, tracker.created), unlisted=True
                ),
            )
        else:
            if missed and not known:
                self._ledger.unlist(tracker.uid)
            return record.unlisted
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

    def observe(self, pod: Pod, *, now: float, appeared: bool = True) -> list[Notification]:
        """A pod as it is now; seeing it again changes nothing.

        Args:
            pod: the pod.
            now: the time.
            appeared: the watch shows it for the first time. One that it only shows changed, and that a tracker does not
                know although it has seen all its pods, was relabelled into its selector: not new.
        """
        if self._ahead and self._ahead.get(pod.uid, 0) >= pod.version > 0:
            return []
        return self._sight(pod, now, appeared=appeared)

    def confirm(self, pod: Pod, *, now: float) -> list[Notification]:
        """A pod as it was just read beside the watch, which may show older states of it after this."""
        self._ahead[pod.uid] = pod.version
        while len(self._ahead) > REMEMBERED_AHEAD:
            self._ahead.popitem(last=False)
        return self._sight(pod, now, appeared=False)

    def remove(self, pod: Pod, *, now: float) -> list[Notification]:
        """The pod is gone; its object is how it was in the end."""
        found = self._sight(pod, now, appeared=False) if self._ledger.pod(pod.uid) is not None else []
        return found + self._depart(pod.uid, pod, now)

    def _sight(self, pod: Pod, now: float, *, appeared: bool) -> list[Notification]:
        meant = self._index.matching(pod)
        if not meant and self._ledger.pod(pod.uid) is None:
            return []
        return self._meet(meant, pod, now, appeared=appeared)

    def _meet(self, meant: Sequence[Tracker], pod: Pod, now: float, *, appeared: bool) -> list[Notification]:
        record = self._ledger.pod(pod.uid)
        before = NOTHING if record is None or record.seen is None else record.seen
        look = step(before, pod, now=now, grace=self._grace)
        known = self._still_known(record, meant)
        knowing = frozenset(known)
        found: list[Notification] = []
        for tracker in meant:
            if tracker.uid in knowing:
                news: Sequence[Happening] = look.happenings if record is not None and record.seen is not None else ()
            elif self._told_of_departed(tracker.uid, pod.uid):
                continue
            else:
                life = look.happenings if before is NOTHING else None
                news = self._news_of_unknown(tracker, pod, now, appeared=appeared, life=life)
                known.append(tracker.uid)
            if news or tracker.uid not in knowing:
                self._changed(tracker.uid)
            if news:
                found += self._tell(tracker, pod, news, before, now)
        self._ledger.put_pod(pod.uid, pod.namespace, pod.name, known, look.seen)
        return found

    def _still_known(self, record: PodRecord | None, meant: Sequence[Tracker]) -> list[str]:
        """The trackers that know the pod, without those that do not mean it any more since its labels changed."""
        if record is None:
            return []
        wanted = {tracker.uid for tracker in meant}
        known = []
        for uid in record.trackers:
            if uid in wanted or self._index.get(uid) is None:
                known.append(uid)
            else:
                self._changed(uid)
        return known

    def _told_of_departed(self, tracker: str, pod_uid: str) -> bool:
        gone = self._departed.get(pod_uid)
        return gone is not None and tracker in gone.told

    def _news_of_unknown(
        self, tracker: Tracker, pod: Pod, now: float, *, appeared: bool, life: Sequence[Happening] | None = None
    ) -> Sequence[Happening]:
        """What is news of a pod to a tracker that did not know it: its whole life, or nothing; `life` where known."""
        record = self._ledger.tracker(tracker.uid)
        if record is None or record.baseline or pod.created < record.match_since:
            return ()
        if not appeared and not record.unlisted and tracker.spec.name is None:
            return ()
        return step(NOTHING, pod, now=now, grace=self._grace).happenings if life is None else life

    def _tell(
        self, tracker: Tracker, pod: Pod, news: Sequence[Happening], before: Seen, now: float
    ) -> list[Notification]:
        found: list[Notification] = []
        for happening in news:
            if happening.event not in tracker.spec.events:
                continue
            if happening.event is Event.RECOVERED and not _was_in_trouble(tracker.spec, before, news):
                continue
            identity = PodIdentity(uid=pod.uid, namespace=pod.namespace, name=pod.name)
            detail = self._detail(tracker.spec, happening, pod)
            waiting = self._ledger.found(
                tracker.uid, happening, pod=identity, quiet=is_quiet(tracker.spec, now), detail=detail
            )
            if waiting is not None:
                found.append(waiting)
        return found

    def _detail(self, spec: PodTrackerSpec, happening: Happening, pod: Pod) -> Detail:
        wanted = self._labels(spec)
        labels = pod.labels if wanted else {}
        node = pod.node if happening.event is not Event.CREATED or spec.message is not None else ""
        detail = Detail(
            container=happening.container,
            reason=happening.reason[:MAX_REASON],
            exit_code=happening.exit_code,
            restarts=happening.restarts,
            seconds=happening.seconds,
            node=node,
            labels=tuple((key, labels[key]) for key in sorted(wanted) if key in labels),
        )
        return PLAIN if detail == PLAIN else detail

    def _depart(self, uid: str, pod: Pod | None, now: float) -> list[Notification]:
        held = self._ledger.forget_pod(uid)
        self._ahead.pop(uid, None)
        found: list[Notification] = []
        kept = pod.copied() if pod is not None and now - pod.created < LATEST_TRACKER else None
        gone = self._departed.setdefault(uid, _Departed(pod=kept, told=set()))
        if held is not None:
            identity = PodIdentity(uid=uid, namespace=held.namespace, name=held.name)
            for tracker in held.trackers:
                self._changed(tracker)
                found += self._tell_deleted(tracker, identity, now)
            gone.told.update(held.trackers)
        while len(self._departed) > REMEMBERED_DEPARTED and not self._backfills:
            self._departed.popitem(last=False)
        return found

    def _tell_deleted(self, uid: str, pod: PodIdentity, now: float) -> list[Notification]:
        tracker = self._index.get(uid)
        if tracker is None or Event.DELETED not in tracker.spec.events:
            return []
        happening = Happening(event=Event.DELETED)
        waiting = self._ledger.found(uid, happening, pod=pod, quiet=is_quiet(tracker.spec, now))
        return [] if waiting is None else [waiting]

    # whole lists

    def begin_relist(self, namespace: str | None) -> Relist:
        """A list of everything in a scope begins; a namespace of None is all."""
        self._relisting.add(namespace)
        self._backfills = [open_ for open_ in self._backfills if namespace not in {None, open_.namespace}]
        return Relist(namespace=namespace, unseen=set(self._ledger.pods_in(namespace)))

    def relisting(self, namespace: str) -> bool:
        """Whether a list of everything in a namespace is under way; no backfill may be begun before it ends."""
        return not self._relisting.isdisjoint({None, namespace})

    def relisted(self, relist: Relist, pods: Sequence[Pod], *, now: float) -> list[Notification]:
        """A page of that list."""
        found: list[Notification] = []
        for pod in pods:
            relist.unseen.discard(pod.uid)
            found += self._sight(pod, now, appeared=True)
        return found

    def end_relist(self, relist: Relist, *, now: float) -> list[Notification]:
        """The list is complete: pods that it lacks were deleted while nobody looked."""
        found: list[Notification] = []
        for pod_uid in sorted(relist.unseen):
            found += self._depart(pod_uid, None, now)
        self._ledger.end_baseline(relist.namespace)
        self._relisting.discard(relist.namespace)
        return found

    def begin_backfill(self, tracker: Tracker, *, now: float) -> tuple[Backfill, list[Notification]]:
        """A list for one new tracker begins; call before it is asked for.

        Returns:
            The backfill, and what is news of pods that the list cannot show any more.
        """
        backfill = Backfill(tracker=tracker.uid, namespace=tracker.namespace)
        self._backfills.append(backfill)
        found: list[Notification] = []
        for gone in self._departed.values():
            if gone.pod is not None and self._means(tracker.uid, gone.pod):
                found += self._consider_departed(tracker, gone, gone.pod, now)
        return backfill, found

    def backfilled(self, backfill: Backfill, pods: Sequence[Pod], *, now: float) -> list[Notification]:
        """A page of that list; nothing, where a relist has ended the backfill."""
        tracker = self._index.get(backfill.tracker)
        if backfill not in self._backfills or tracker is None:
            return []
        found: list[Notification] = []
        for pod in pods:
            if not self._means(tracker.uid, pod):
                continue
            gone = self._departed.get(pod.uid)
            if gone is not None:
                found += self._consider_departed(tracker, gone, pod, now)
            elif self._ledger.pod(pod.uid) is None:
                found += self._meet((tracker,), pod, now, appeared=True)
            elif not self._ledger.knows(tracker.uid, pod.uid):
                found += self._join(tracker, pod, now)
        return found

    def end_backfill(self, backfill: Backfill) -> bool:
        """The list is complete, or given up. False: a relist has ended it before, so it has to be made again."""
        if backfill not in self._backfills:
            return False
        self._backfills.remove(backfill)
        return True

    def _means(self, tracker: str, pod: Pod) -> bool:
        return self._index.means(tracker, pod)

    def _join(self, tracker: Tracker, pod: Pod, now: float) -> list[Notification]:
        """A tracker learns from its list of a pod that others know already.

        The list may be ahead of the watch or behind it. What is ahead is told to all now, so that the watch finds
        nothing new in it. Deadlines stay the watch's: one from an old state would never be taken back.
        """
        record = self._ledger.pod(pod.uid)
        if record is None or record.seen is None:
            return self._sight(pod, now, appeared=True)
        look = step(record.seen, pod, now=now, grace=self._grace)
        found: list[Notification] = []
        for uid in record.trackers:
            if look.happenings and (other := self._index.get(uid)) is not None:
                found += self._tell(other, pod, look.happenings, record.seen, now)
                self._changed(uid)
        found += self._tell(tracker, pod, self._news_of_unknown(tracker, pod, now, appeared=True), NOTHING, now)
        seen = msgspec.structs.replace(look.seen, deadlines=record.seen.deadlines)
        self._ledger.join(tracker.uid, pod.uid, seen)
        self._changed(tracker.uid)
        return found

    def _consider_departed(self, tracker: Tracker, gone: _Departed, pod: Pod, now: float) -> list[Notification]:
        if tracker.uid in gone.told:
            return []
        gone.told.add(tracker.uid)
        news = self._news_of_unknown(tracker, pod, now, appeared=True)
        if news:
            news = (*news, Happening(event=Event.DELETED))
            self._changed(tracker.uid)
        return self._tell(tracker, pod, news, NOTHING, now)


def is_quiet(spec: PodTrackerSpec, now: float) -> bool:
    """Whether a tracker wants nothing sent now."""
    return spec.suspend or (spec.mute_until is not None and now < epoch_seconds(spec.mute_until))


def _was_in_trouble(spec: PodTrackerSpec, before: Seen, news: Sequence[Happening]) -> bool:
    """Whether a recovery is from something that the tracker asked to hear of; one that asks for none hears of all."""
    asked = tuple(TROUBLES.intersection(spec.events)) or tuple(TROUBLES)
    return episode_open(before, asked) or any(happening.event in asked for happening in news)
