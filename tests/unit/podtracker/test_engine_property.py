# SPDX-License-Identifier: Apache-2.0
"""Any legal interleaving of a cluster's life with what is seen of it: each news once, and nothing else.

The cluster is a log of pods made and deleted. The watch shows the log in order, at its own pace, some lines twice; a
410 makes it jump over a part of the log and list instead; a tracker's backfill is a snapshot that travels on its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from hypothesis import given, note, settings
from hypothesis import strategies as st

from podtracker.engine import Backfill, Engine, Relist
from podtracker.ledger import Ledger, Notification
from podtracker.matching import TrackerIndex
from podtracker.pods import Pod
from podtracker.trackers import Tracker
from unit.podtracker.builders import NOW, pod, tracker

T = TypeVar("T")

NAMES = ("nginx", "redis")


@dataclass
class Listing:
    """A list on its way."""

    snapshot: list[Pod] | None = None
    """None until the API server has looked."""
    position: int = 0
    """The length of the log when it looked: where a watch goes on."""


@dataclass
class World:
    """One namespace, what the engine was shown of it (`must`: so it has to tell), and what it told."""

    now: int = NOW
    ledger: Ledger = field(default_factory=Ledger)
    log: list[tuple[str, Pod]] = field(default_factory=list)
    alive: dict[str, Pod] = field(default_factory=dict)
    known: dict[str, Pod] = field(default_factory=dict)
    departed: list[Pod] = field(default_factory=list)
    shown: int = 0
    line: tuple[str, Pod] | None = None
    """What this watch showed last."""
    trackers: dict[str, Tracker] = field(default_factory=dict)
    must: dict[str, set[str]] = field(default_factory=dict)
    told: Counter[tuple[str, str]] = field(default_factory=Counter)
    relist: tuple[Relist, Listing] | None = None
    missing: dict[str, Tracker] = field(default_factory=dict)
    """Trackers whose pods are still to be listed."""
    backfills: dict[str, tuple[Backfill, Tracker, Listing]] = field(default_factory=dict)
    serial: int = 0

    def __post_init__(self) -> None:
        self.engine = Engine(TrackerIndex(), self.ledger, changed=lambda _: None)

    # the cluster

    def time_passes(self, _: int) -> None:
        self.now += 1

    def pod_made(self, choice: int) -> None:
        name = NAMES[choice % len(NAMES)]
        for one in [one for one in self.alive.values() if one.name == name]:
            self._gone(one)  # a name is free once its pod is gone
        self.serial += 1
        new = pod(name, uid=f"p{self.serial}", created=self.now)
        self.alive[new.uid] = self.known[new.uid] = new
        self.log.append(("ADDED", new))

    def pod_updated(self, choice: int) -> None:
        for one in picked(self.alive.values(), choice):
            self.log.append(("MODIFIED", one))

    def pod_deleted(self, choice: int) -> None:
        for one in picked(self.alive.values(), choice):
            self._gone(one)

    def _gone(self, one: Pod) -> None:
        del self.alive[one.uid]
        self.log.append(("DELETED", one))

    # trackers

    def tracker_made(self, choice: int) -> None:
        if len(self.trackers) == 3:
            return
        self.serial += 1
        new = tracker(f"t{self.serial}", pod_name=NAMES[choice % len(NAMES)], created=self.now)
        self.trackers[new.uid], self.must[new.uid] = new, set()
        assert self.engine.track(new, edited=self.now)
        self.missing[new.uid] = new

    def tracker_edited(self, choice: int) -> None:
        for meant in picked(self.trackers.values(), choice):
            unlisted = meant.uid in self.missing or meant.uid in self.backfills
            assert self.engine.track(meant, edited=self.now) is unlisted

    def tracker_deleted(self, choice: int) -> None:
        for meant in picked(self.trackers.values(), choice):
            self.engine.untrack(meant.uid)
            del self.trackers[meant.uid], self.must[meant.uid]
            self.told = Counter({key: count for key, count in self.told.items() if key[0] != meant.uid})

    # what is seen of it

    def watch_goes_on(self, choice: int) -> None:
        if self.relist is None:
            for kind, one in self.log[self.shown : self.shown + 1 + choice]:
                self._show(kind, one)
                self.shown += 1

    def watch_repeats_a_line(self, _: int) -> None:
        if self.relist is None and self.line is not None:
            self._show(*self.line)

    def _show(self, kind: str, one: Pod) -> None:
        self.line = kind, one
        if kind == "DELETED":
            self._told(self.engine.remove(one, now=NOW))
            self.departed.append(one)
        else:
            self._owe(one, self.trackers.values())
            self._told(self.engine.observe(one, now=NOW))

    def relist_steps(self, choice: int) -> None:
        if self.relist is None:
            self.line = None
            self.relist = (self.engine.begin_relist(None), Listing())
            return
        relist, listing = self.relist
        if listing.snapshot is None:
            listing.snapshot, listing.position = list(self.alive.values()), len(self.log)
            return
        page, listing.snapshot = listing.snapshot[: 1 + choice], listing.snapshot[1 + choice :]
        for one in page:
            self._owe(one, self.trackers.values())
        self._told(self.engine.relisted(relist, page, now=NOW))
        if not listing.snapshot:
            self._told(self.engine.end_relist(relist, now=NOW))
            self.relist, self.shown = None, listing.position

    def backfill_begins(self, choice: int) -> None:
        for meant in picked(self.missing.values(), choice):
            if meant.uid not in self.trackers:
                del self.missing[meant.uid]
            elif not self.engine.relisting(meant.namespace):
                for one in self.departed:
                    self._owe(one, [meant])
                backfill, found = self.engine.begin_backfill(meant, now=NOW)
                self.backfills[meant.uid] = (backfill, meant, Listing())
                del self.missing[meant.uid]
                self._told(found)

    def backfill_steps(self, choice: int) -> None:
        for backfill, meant, listing in picked(self.backfills.values(), choice):
            if listing.snapshot is None:
                listing.snapshot = [one for one in self.alive.values() if one.name == meant.spec.name]
                continue
            found = self.engine.backfilled(backfill, listing.snapshot, now=NOW)
            if self.engine.end_backfill(backfill):
                self.engine.listed(meant.uid)
                for one in listing.snapshot:
                    self._owe(one, [meant])
            else:
                assert not found
                self.missing[meant.uid] = meant
            self._told(found)
            del self.backfills[meant.uid]

    def _owe(self, one: Pod, trackers: Iterable[Tracker]) -> None:
        for meant in trackers:
            if one.name == meant.spec.name and one.created >= meant.created:
                self.must[meant.uid].add(one.uid)

    # what must hold

    def _told(self, found: list[Notification]) -> None:
        for one in found:
            meant, seen = self.trackers[one.tracker], self.known[one.pod_uid]
            assert (seen.name, seen.created >= meant.created) == (meant.spec.name, True), "told what is no news"
            self.told[one.tracker, one.pod_uid] += 1
            assert self.told[one.tracker, one.pod_uid] == 1, "told twice"

    def arrive(self) -> None:
        """Let all that is under way come to its end."""
        while self.relist is not None:
            self.relist_steps(0)
        while self.missing or self.backfills:
            self.backfill_begins(0)
            self.backfill_steps(0)
        self.watch_goes_on(len(self.log))

    def judge(self) -> None:
        for uid, meant in self.trackers.items():
            heard = {pod_uid for who, pod_uid in self.told if who == uid}
            assert self.must[uid] <= heard, "was shown news and did not tell"
            living = {one.uid for one in self.alive.values() if one.name == meant.spec.name}
            assert {one for one in living if self.known[one].created >= meant.created} <= heard, "lives, was never told"
            assert self.ledger.pod_count(uid) == len(living), "counts pods that do not live, or not all that do"
        assert self.ledger.waiting == self.told.total()


def picked(things: Iterable[T], choice: int) -> list[T]:
    found = list(things)
    return [found[choice % len(found)]] if found else []


STEPS: tuple[Callable[[World, int], None], ...] = (
    World.time_passes,
    World.pod_made,
    World.pod_made,
    World.pod_updated,
    World.pod_deleted,
    World.tracker_made,
    World.tracker_made,
    World.tracker_edited,
    World.tracker_deleted,
    World.watch_goes_on,
    World.watch_goes_on,
    World.watch_repeats_a_line,
    World.relist_steps,
    World.relist_steps,
    World.backfill_begins,
    World.backfill_begins,
    World.backfill_steps,
    World.backfill_steps,
)
"""What can happen next; what stands twice happens twice as often."""


# A byte is a step: its low half says which, its high half which of the pods, trackers or lines.
@given(st.binary(min_size=20, max_size=120))
@settings(max_examples=250, deadline=None, derandomize=True, database=None, report_multiple_bugs=False)
def test_each_news_is_told_once_and_nothing_else(life: bytes) -> None:
    world = World()
    for byte in life:
        step = STEPS[byte % len(STEPS)]
        note(step.__name__)
        step(world, byte // len(STEPS) % 4)
    world.arrive()
    world.judge()
