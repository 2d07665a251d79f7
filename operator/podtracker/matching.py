# SPDX-License-Identifier: Apache-2.0
"""Which trackers mean a pod, at a cost of what matches and not of what exists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from podtracker.api import Tracker
from podtracker.pods import Pod


class TrackerIndex:
    """Trackers by namespace and pod name."""

    def __init__(self) -> None:
        self._trackers: dict[str, Tracker] = {}
        self._by_name: dict[tuple[str, str], dict[str, Tracker]] = {}
        self.looked_at = 0
        """Trackers handed out as candidates since the start: the cost of matching, for a metric."""

    def __len__(self) -> int:
        return len(self._trackers)

    def __iter__(self) -> Iterator[Tracker]:
        return iter(self._trackers.values())

    def get(self, uid: str) -> Tracker | None:
        """The tracker of this uid, where it is known."""
        return self._trackers.get(uid)

    def put(self, tracker: Tracker) -> None:
        """Add a tracker, or take its newest spec."""
        self.drop(tracker.uid)
        self._trackers[tracker.uid] = tracker
        self._by_name.setdefault(_key_of(tracker), {})[tracker.uid] = tracker

    def drop(self, uid: str) -> None:
        """Forget a tracker; one that is not there is fine."""
        tracker = self._trackers.pop(uid, None)
        if tracker is None:
            return
        key = _key_of(tracker)
        bucket = self._by_name[key]
        del bucket[uid]
        if not bucket:
            del self._by_name[key]

    def matching(self, pod: Pod) -> Iterable[Tracker]:
        """The trackers that mean this pod."""
        found = self._by_name.get((pod.namespace, pod.name))
        if not found:
            return ()
        self.looked_at += len(found)
        return tuple(found.values())


def _key_of(tracker: Tracker) -> tuple[str, str]:
    return tracker.namespace, tracker.spec.name or ""
