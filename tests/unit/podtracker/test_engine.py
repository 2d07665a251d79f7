# SPDX-License-Identifier: Apache-2.0
"""What is news: the behaviour that must hold, as pure cases."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from podtracker.api import Event
from podtracker.engine import REMEMBERED_DEPARTED, Backfill, Engine
from podtracker.ledger import MAX_PENDING, Ledger, Notification, notification_id
from podtracker.matching import TrackerIndex
from podtracker.pods import Pod
from podtracker.trackers import Tracker
from unit.podtracker.builders import CREATED, NOW, pod, tracker, who


class World:
    """An engine with what stands around it."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.index = TrackerIndex()
        self.changed: list[str] = []
        self.engine = Engine(self.index, self.ledger, changed=self.changed.append)

    def tracking(self, *trackers: Tracker) -> World:
        for one in trackers:
            self.engine.track(one, edited=one.created)
        self.changed.clear()
        return self


@pytest.fixture
def world() -> World:
    return World().tracking(tracker("t1"))


def names(found: Sequence[Notification]) -> list[tuple[str, str]]:
    return [(one.tracker, one.pod) for one in found]


# one pod at a time


def test_a_new_pod_is_reported_once(world: World) -> None:
    new = pod(uid="p1")
    assert world.engine.observe(new, now=NOW) == [
        Notification(
            id=notification_id("t1", "p1", Event.CREATED),
            order=1,
            tracker="t1",
            event=Event.CREATED,
            namespace="team",
            pod="nginx",
            pod_uid="p1",
            at=NOW,
        )
    ]
    assert world.ledger.waiting == 1
    assert world.ledger.pod_count("t1") == 1
    assert world.changed == ["t1"]


def test_updates_and_repeats_of_a_pod_are_no_news(world: World) -> None:
    world.engine.observe(pod(uid="p1"), now=NOW)
    world.changed.clear()
    for version in range(2, 20):
        assert world.engine.observe(pod(uid="p1", version=version), now=NOW) == []
    assert world.ledger.waiting == 1
    assert world.changed == []


def test_settled_pods_stay_told(world: World) -> None:
    found = world.engine.observe(pod(uid="p1"), now=NOW)
    world.ledger.settle(found, delivered=True)
    assert world.engine.observe(pod(uid="p1", version=2), now=NOW) == []


@pytest.mark.parametrize(
    ("created", "news"),
    [(NOW - 86_400, False), (NOW - 1, False), (NOW, True), (NOW + 1, True)],
    ids=["a day older", "a second older", "the same second", "younger"],
)
def test_pods_older_than_the_tracker_are_baseline(world: World, created: int, news: bool) -> None:
    old = pod(created=created)
    assert bool(world.engine.observe(old, now=NOW)) is news
    assert world.engine.observe(old, now=NOW) == []
    assert world.ledger.pod_count("t1") == 1


def test_other_names_and_namespaces_are_not_meant(world: World) -> None:
    assert world.engine.observe(pod("nginx-2"), now=NOW) == []
    assert world.engine.observe(pod(namespace="other"), now=NOW) == []
    assert list(world.ledger.pods_in(None)) == []
    assert world.changed == []


def test_two_trackers_of_a_pod_hear_of_it_once_each() -> None:
    world = World().tracking(tracker("t1"), tracker("t2"), tracker("t3", namespace="other"))
    found = world.engine.observe(pod(uid="p1"), now=NOW)
    assert names(found) == [("t1", "nginx"), ("t2", "nginx")]
    assert len({one.id for one in found}) == 2


def test_each_tracker_has_its_own_since() -> None:
    world = World().tracking(tracker("old", created=NOW - 60), tracker("new", created=NOW))
    assert names(world.engine.observe(pod(created=NOW - 30), now=NOW)) == [("old", "nginx")]


def test_deleted_and_created_again_is_news_again(world: World) -> None:
    first, second = pod(uid="p1"), pod(uid="p2", created=NOW + 5)
    assert names(world.engine.observe(first, now=NOW)) == [("t1", "nginx")]
    world.engine.remove(first, now=NOW)
    assert world.ledger.pod_count("t1") == 0
    assert names(world.engine.observe(second, now=NOW)) == [("t1", "nginx")]
    assert world.ledger.waiting == 2


def test_deleted_and_created_again_although_the_deletion_was_not_seen(world: World) -> None:
    world.engine.observe(pod(uid="p1"), now=NOW)
    assert names(world.engine.observe(pod(uid="p2", created=NOW + 5), now=NOW)) == [("t1", "nginx")]


def test_a_deletion_is_no_news_and_takes_back_nothing(world: World) -> None:
    found = world.engine.observe(pod(uid="p1"), now=NOW)
    world.engine.remove(pod(uid="p1"), now=NOW)
    world.engine.remove(pod(uid="p1"), now=NOW)
    assert world.ledger.pending("t1") == len(found)
    assert world.ledger.pod_count("t1") == 0


def test_the_deletion_of_a_pod_that_nobody_means_costs_nothing(world: World) -> None:
    world.engine.remove(pod("stranger"), now=NOW)
    assert world.changed == []


# trackers


def test_a_tracker_needs_a_list_of_its_own_until_it_had_one(world: World) -> None:
    assert world.engine.track(tracker("t2"), edited=NOW) is True
    assert world.engine.track(tracker("t2"), edited=NOW) is True
    world.engine.listed("t2")
    world.engine.listed("t2")
    assert world.engine.track(tracker("t2", generation=2), edited=NOW + 60) is False
    assert world.engine.track(tracker("t2", generation=3, pod_name="redis"), edited=NOW + 90) is True


def test_that_a_tracker_needs_a_list_survives_a_restart() -> None:
    first, second = World().tracking(tracker("t1"), tracker("t2")), World()
    first.engine.listed("t2")
    second.ledger.load([first.ledger.snapshot()])
    assert second.engine.track(tracker("t1"), edited=NOW, missed=False) is True
    assert second.engine.track(tracker("t2"), edited=NOW, missed=False) is False
    second.engine.listed("nobody")


def test_an_edit_that_keeps_the_name_sends_nothing_again(world: World) -> None:
    world.engine.observe(pod(uid="p1"), now=NOW)
    world.engine.track(tracker("t1", generation=2), edited=NOW + 60)
    assert world.engine.observe(pod(uid="p1", version=2), now=NOW) == []
    assert names(world.engine.observe(pod(uid="p2", created=NOW + 30), now=NOW)) == [("t1", "nginx")]


def test_an_edited_name_moves_since(world: World) -> None:
    world.engine.observe(pod(uid="p1"), now=NOW)
    assert world.engine.track(tracker("t1", pod_name="redis", generation=2), edited=NOW + 60) is True
    assert world.ledger.pod_count("t1") == 0
    assert world.engine.observe(pod("nginx", uid="p3", created=NOW + 70), now=NOW) == []
    assert world.engine.observe(pod("redis", uid="r1", created=NOW + 59), now=NOW) == []
    assert names(world.engine.observe(pod("redis", uid="r2", created=NOW + 60), now=NOW)) == [("t1", "redis")]


def test_an_edited_name_leaves_what_waits(world: World) -> None:
    world.engine.observe(pod(uid="p1"), now=NOW)
    world.engine.track(tracker("t1", pod_name="redis", generation=2), edited=NOW + 60)
    assert world.ledger.pending("t1") == 1


def test_since_is_never_before_the_tracker(world: World) -> None:
    world.engine.track(tracker("t1", pod_name="redis", generation=2), edited=NOW - 3600)
    assert world.engine.observe(pod("redis", created=NOW - 1), now=NOW) == []


def test_an_edit_there_and_back_sends_nothing_again(world: World) -> None:
    assert names(world.engine.observe(pod(uid="p1"), now=NOW)) == [("t1", "nginx")]
    world.engine.track(tracker("t1", pod_name="redis", generation=2), edited=NOW + 10)
    world.engine.track(tracker("t1", generation=3), edited=NOW + 20)
    assert world.engine.observe(pod(uid="p1", version=2), now=NOW) == []
    assert world.ledger.pod_count("t1") == 1


def test_a_tracker_that_is_gone_hears_no_more(world: World) -> None:
    world.engine.observe(pod(uid="p1"), now=NOW)
    world.engine.untrack("t1")
    world.engine.untrack("t1")
    assert world.engine.observe(pod(uid="p2"), now=NOW) == []
    assert world.ledger.waiting == 0
    assert world.ledger.tracker("t1") is None
    assert list(world.ledger.pods_in(None)) == []


def test_one_tracker_goes_the_other_stays() -> None:
    world = World().tracking(tracker("t1"), tracker("t2"))
    world.engine.observe(pod(uid="p1"), now=NOW)
    world.engine.untrack("t1")
    assert world.engine.observe(pod(uid="p1", version=2), now=NOW) == []
    assert names(world.engine.observe(pod(uid="p2"), now=NOW)) == [("t2", "nginx")]


def test_a_paused_tracker_matches_nothing_and_forgets_nothing(world: World) -> None:
    world.engine.observe(pod(uid="p1"), now=NOW)
    world.engine.pause("t1")
    assert world.engine.observe(pod(uid="p2", created=NOW + 1), now=NOW) == []
    assert world.ledger.pending("t1") == 1
    assert world.engine.track(tracker("t1", generation=3), edited=NOW + 60) is True
    backfill, _ = world.engine.begin_backfill(tracker("t1", generation=3), now=NOW)
    listed = [pod(uid="p1"), pod(uid="p2", created=NOW + 1), pod(uid="p3", created=NOW - 1)]
    assert [one.pod_uid for one in world.engine.backfilled(backfill, listed, now=NOW)] == ["p2"]
    assert world.ledger.pod_count("t1") == 3


def test_pausing_what_is_not_there_is_fine() -> None:
    World().engine.pause("nobody")


def test_a_watch_that_goes_back_over_a_deletion_tells_nothing_again(world: World) -> None:
    assert len(world.engine.observe(pod(uid="p1"), now=NOW)) == 1
    world.engine.remove(pod(uid="p1"), now=NOW)
    assert world.engine.observe(pod(uid="p1"), now=NOW) == []


def test_a_pod_deleted_during_a_pause_is_gone_after_it(world: World) -> None:
    world.engine.observe(pod(uid="p1"), now=NOW)
    world.engine.pause("t1")
    world.engine.remove(pod(uid="p1"), now=NOW)
    world.engine.track(tracker("t1", generation=3), edited=NOW + 60)
    assert world.ledger.pod_count("t1") == 0


# relists


def relist(world: World, *pages: Sequence[str], namespace: str | None = None) -> list[str]:
    """A whole list of pods by uid; gives the uids that were news."""
    under_way = world.engine.begin_relist(namespace)
    found: list[Notification] = []
    for uids in pages:
        found += world.engine.relisted(under_way, [pod(uid=uid) for uid in uids], now=NOW)
    world.engine.end_relist(under_way, now=NOW)
    return [one.pod_uid for one in found]


def test_a_relist_repeats_nothing_and_finds_what_was_missed(world: World) -> None:
    world.engine.observe(pod(uid="p1"), now=NOW)
    assert relist(world, ["p1", "p2"], ["p3"]) == ["p2", "p3"]
    assert relist(world, ["p1", "p2"], ["p3"]) == []
    assert world.ledger.pod_count("t1") == 3


def test_a_relist_does_not_report_older_pods(world: World) -> None:
    under_way = world.engine.begin_relist(None)
    assert world.engine.relisted(under_way, [pod(created=NOW - 1)], now=NOW) == []
    world.engine.end_relist(under_way, now=NOW)
    assert world.ledger.pod_count("t1") == 1


def test_a_pod_that_the_list_lacks_was_deleted(world: World) -> None:
    for uid in ("p1", "p2"):
        world.engine.observe(pod(uid=uid), now=NOW)
    world.changed.clear()
    assert relist(world, ["p2"]) == []
    assert world.ledger.pod_count("t1") == 1
    assert world.changed == ["t1"]


def test_a_relist_of_one_namespace_says_nothing_of_others() -> None:
    world = World().tracking(tracker("t1"), tracker("t2", namespace="other"))
    world.engine.observe(pod(uid="p1"), now=NOW)
    world.engine.observe(pod(uid="p2", namespace="other"), now=NOW)
    relist(world, [], namespace="other")
    assert (world.ledger.pod_count("t1"), world.ledger.pod_count("t2")) == (1, 0)


def test_a_relist_that_broke_off_and_began_again_counts_nothing_twice(world: World) -> None:
    world.engine.observe(pod(uid="p1"), now=NOW)
    broken = world.engine.begin_relist(None)
    found = world.engine.relisted(broken, [pod(uid="p2")], now=NOW)
    assert [one.pod_uid for one in found] == ["p2"]
    assert relist(world, ["p2", "p3"]) == ["p3"]
    assert world.ledger.pod_count("t1") == 2


def test_to_a_tracker_of_which_nothing_is_remembered_all_that_exists_is_old() -> None:
    world = World().tracking(tracker("known"), tracker("new"))
    world.ledger.begin_baseline("known")
    found = relist(world, ["p1", "p2"])
    assert found == ["p1", "p2"]
    assert world.ledger.pending("known") == 0
    assert world.ledger.pod_count("known") == 2
    assert names(world.engine.observe(pod(uid="p3"), now=NOW)) == [("known", "nginx"), ("new", "nginx")]


def test_baseline_pods_stay_baseline_in_the_next_list() -> None:
    world = World().tracking(tracker("t1"))
    world.ledger.begin_baseline("t1")
    assert relist(world, ["p1"]) == []
    assert relist(world, ["p1", "p2"]) == ["p2"]


def test_a_list_that_broke_off_leaves_what_it_showed_and_what_follows_baseline() -> None:
    world = World().tracking(tracker("t1"))
    world.ledger.begin_baseline("t1")
    broken = world.engine.begin_relist(None)
    assert world.engine.relisted(broken, [pod(uid="p1")], now=NOW) == []
    assert relist(world, ["p1", "p2"]) == []
    assert relist(world, ["p1", "p2", "p3"]) == ["p3"]


def test_the_list_of_one_namespace_ends_the_baseline_of_its_own_trackers_only() -> None:
    world = World().tracking(tracker("t1"), tracker("t2", namespace="other"))
    for uid in ("t1", "t2"):
        world.ledger.begin_baseline(uid)
    relist(world, [], namespace="other")
    assert world.engine.observe(pod(uid="p1"), now=NOW) == []
    assert names(world.engine.observe(pod(uid="p2", namespace="other"), now=NOW)) == [("t2", "nginx")]


def test_a_tracker_that_missed_nothing_needs_no_list_of_its_own() -> None:
    world = World().tracking(tracker("t1"))
    world.engine.listed("t1")
    world.engine.pause("t1")
    assert world.engine.track(tracker("t1"), edited=NOW, missed=False) is False
    assert world.engine.track(tracker("t2"), edited=NOW, missed=False) is True


# what waits has a limit


def test_what_is_over_the_quota_is_dropped_and_counted_and_not_found_again(world: World) -> None:
    for number in range(MAX_PENDING):
        assert world.ledger.found("t1", CREATED, pod=who(f"w{number}", "x", "team")) is not None
    assert world.engine.observe(pod(uid="p1"), now=NOW) == []
    assert world.engine.observe(pod(uid="p1", version=2), now=NOW) == []
    record = world.ledger.tracker("t1")
    assert record is not None
    assert (record.dropped, record.unannounced) == (1, 1)
    assert world.ledger.pod_count("t1") == 1
    assert world.changed[-1] == "t1"


# backfills: a list for one new tracker, beside the watch


def begin(world: World, uid: str = "t1") -> Backfill:
    """A backfill that finds nothing at once."""
    backfill, found = world.engine.begin_backfill(tracker(uid), now=NOW)
    assert found == []
    return backfill


def test_a_pod_that_the_watch_had_passed_is_found_by_the_backfill(world: World) -> None:
    world.engine.observe(pod(uid="p1"), now=NOW)
    world.engine.track(tracker("t2"), edited=NOW)
    backfill = begin(world, "t2")
    assert names(world.engine.backfilled(backfill, [pod(uid="p1"), pod(uid="p0", created=NOW - 1)], now=NOW)) == [
        ("t2", "nginx")
    ]
    world.engine.end_backfill(backfill)
    assert (world.ledger.pod_count("t1"), world.ledger.pod_count("t2")) == (1, 2)


@pytest.mark.parametrize("watch_first", [True, False])
def test_the_watch_and_the_backfill_show_the_same_pod(world: World, watch_first: bool) -> None:
    backfill = begin(world)
    found: list[Notification] = []
    if watch_first:
        found += world.engine.observe(pod(uid="p1"), now=NOW)
    found += world.engine.backfilled(backfill, [pod(uid="p1")], now=NOW)
    if not watch_first:
        found += world.engine.observe(pod(uid="p1"), now=NOW)
    assert names(found) == [("t1", "nginx")]


def test_a_backfill_is_for_its_tracker_only() -> None:
    world = World().tracking(tracker("t1"), tracker("t2"))
    found = world.engine.backfilled(begin(world, "t2"), [pod(uid="p1"), pod("redis"), pod(namespace="other")], now=NOW)
    assert names(found) == [("t2", "nginx")]


def test_a_pod_reported_and_deleted_while_the_list_travelled_is_not_told_again(world: World) -> None:
    backfill = begin(world)
    world.engine.observe(pod(uid="p1"), now=NOW)
    world.engine.remove(pod(uid="p1"), now=NOW)
    assert world.engine.backfilled(backfill, [pod(uid="p1")], now=NOW) == []
    assert world.ledger.pod_count("t1") == 0


def test_a_deletion_shown_twice_makes_no_news(world: World) -> None:
    backfill = begin(world)
    world.engine.observe(pod(uid="p1"), now=NOW)
    world.engine.remove(pod(uid="p1"), now=NOW)
    world.engine.remove(pod(uid="p1"), now=NOW)
    assert world.engine.backfilled(backfill, [pod(uid="p1")], now=NOW) == []
    assert world.ledger.pod_count("t1") == 0


def test_a_pod_deleted_while_the_list_travelled_that_the_tracker_had_not_seen_is_told_once(world: World) -> None:
    backfill = begin(world)
    world.engine.remove(pod(uid="p1"), now=NOW)
    assert names(world.engine.backfilled(backfill, [pod(uid="p1")], now=NOW)) == [("t1", "nginx")]
    assert world.ledger.pod_count("t1") == 0
    assert list(world.ledger.pods_in(None)) == []
    assert world.engine.backfilled(backfill, [pod(uid="p1")], now=NOW) == []


def test_an_old_pod_deleted_while_the_list_travelled_is_not_told(world: World) -> None:
    backfill = begin(world)
    world.engine.remove(pod(uid="p1", created=NOW - 1), now=NOW)
    assert world.engine.backfilled(backfill, [pod(uid="p1", created=NOW - 1)], now=NOW) == []
    assert world.ledger.pod_count("t1") == 0


def test_a_deletion_in_another_namespace_does_not_concern_the_backfill(world: World) -> None:
    backfill = begin(world)
    world.engine.remove(pod(uid="p1", namespace="other"), now=NOW)
    assert names(world.engine.backfilled(backfill, [pod(uid="p2")], now=NOW)) == [("t1", "nginx")]


def test_two_backfills_at_a_time_do_not_mix() -> None:
    world = World().tracking(tracker("t1"), tracker("t2"))
    first = begin(world, "t1")
    world.engine.observe(pod(uid="p1"), now=NOW)
    second = begin(world, "t2")
    world.engine.remove(pod(uid="p1"), now=NOW)
    assert world.engine.backfilled(first, [pod(uid="p1")], now=NOW) == []
    assert world.engine.backfilled(second, [pod(uid="p1")], now=NOW) == []
    assert list(world.ledger.pods_in(None)) == []


@pytest.mark.parametrize("how", ["untrack", "pause"])
def test_a_backfill_whose_tracker_went_finds_nothing(world: World, how: str) -> None:
    backfill = begin(world)
    (world.engine.untrack if how == "untrack" else world.engine.pause)("t1")
    assert world.engine.backfilled(backfill, [pod(uid="p1")], now=NOW) == []
    world.engine.end_backfill(backfill)
    world.engine.end_backfill(backfill)
    assert world.ledger.waiting == 0
    assert list(world.ledger.pods_in(None)) == []


def test_a_backfill_whose_tracker_was_renamed_finds_nothing(world: World) -> None:
    backfill = begin(world)
    world.engine.track(tracker("t1", pod_name="redis", generation=2), edited=NOW)
    assert world.engine.backfilled(backfill, [pod(uid="p1")], now=NOW) == []


def test_a_backfill_and_a_relist_show_the_same_pod(world: World) -> None:
    found = world.engine.backfilled(begin(world), [pod(uid="p1")], now=NOW)
    assert [one.pod_uid for one in found] == ["p1"]
    assert relist(world, ["p1"]) == []


def test_a_pod_that_a_relist_found_deleted_while_the_backfill_travelled_is_not_told_again(world: World) -> None:
    # The watch showed p1, the backfill's list was taken, p1 was deleted, the watch ended with 410, the relist lacks it.
    world.engine.observe(pod(uid="p1"), now=NOW)
    backfill = begin(world)
    relist(world, [])
    assert world.engine.backfilled(backfill, [pod(uid="p1")], now=NOW) == []
    assert world.ledger.pod_count("t1") == 0


def test_a_relist_ends_the_backfills_of_its_scope() -> None:
    world = World().tracking(tracker("t1"), tracker("t2", namespace="other"))
    ended, kept = begin(world, "t1"), world.engine.begin_backfill(tracker("t2", namespace="other"), now=NOW)[0]
    under_way = world.engine.begin_relist("team")
    assert world.engine.backfilled(ended, [pod(uid="p1")], now=NOW) == []
    assert names(world.engine.backfilled(kept, [pod(uid="p2", namespace="other")], now=NOW)) == [("t2", "nginx")]
    assert world.engine.end_backfill(ended) is False
    assert world.engine.end_backfill(kept) is True
    world.engine.end_relist(under_way, now=NOW)
    assert world.ledger.pod_count("t1") == 0


@pytest.mark.parametrize(("scope", "here", "there"), [(None, True, True), ("team", True, False), ("x", False, False)])
def test_while_a_relist_is_under_way_no_backfill_may_begin(scope: str | None, here: bool, there: bool) -> None:
    world = World()
    assert not world.engine.relisting("team")
    under_way = world.engine.begin_relist(scope)
    under_way = world.engine.begin_relist(scope)  # it broke off and began again
    assert (world.engine.relisting("team"), world.engine.relisting("other")) == (here, there)
    world.engine.end_relist(under_way, now=NOW)
    assert not world.engine.relisting("team")


def test_a_backfill_that_a_relist_ended_is_made_again_and_repeats_nothing(world: World) -> None:
    first = begin(world)
    assert len(world.engine.backfilled(first, [pod(uid="p1")], now=NOW)) == 1
    assert relist(world, ["p1", "p2"]) == ["p2"]
    assert world.engine.end_backfill(first) is False
    second = begin(world)
    assert [one.pod_uid for one in world.engine.backfilled(second, [pod(uid="p1"), pod(uid="p3")], now=NOW)] == ["p3"]
    assert world.engine.end_backfill(second) is True
    assert world.ledger.pod_count("t1") == 3


# pods that came and went before their tracker was known


def test_a_pod_that_came_and_went_before_its_tracker_was_known_is_told_once() -> None:
    world = World()
    world.engine.observe(pod(uid="p1"), now=NOW)
    world.engine.remove(pod(uid="p1"), now=NOW)
    world.engine.track(tracker("t1"), edited=NOW)
    backfill, found = world.engine.begin_backfill(tracker("t1"), now=NOW)
    assert names(found) == [("t1", "nginx")]
    assert world.engine.backfilled(backfill, [pod(uid="p1")], now=NOW) == []
    world.engine.end_backfill(backfill)
    assert world.engine.begin_backfill(tracker("t1"), now=NOW)[1] == []
    assert world.ledger.pod_count("t1") == 0
    assert list(world.ledger.pods_in(None)) == []


@pytest.mark.parametrize(
    "gone",
    [pod(uid="p1", created=NOW - 1), pod("redis", uid="p1"), pod(uid="p1", namespace="other")],
    ids=["older", "another name", "another namespace"],
)
def test_of_the_pods_that_went_only_those_that_are_meant_are_told(gone: Pod) -> None:
    world = World()
    world.engine.remove(gone, now=NOW)
    world.engine.track(tracker("t1"), edited=NOW)
    assert world.engine.begin_backfill(tracker("t1"), now=NOW)[1] == []


def test_a_backfill_that_is_tried_again_tells_nothing_again(world: World) -> None:
    backfill = begin(world)
    assert len(world.engine.backfilled(backfill, [pod(uid="p1"), pod(uid="p2")], now=NOW)) == 2
    world.engine.remove(pod(uid="p1"), now=NOW)
    world.engine.end_backfill(backfill)
    assert world.engine.backfilled(begin(world), [pod(uid="p1"), pod(uid="p2")], now=NOW) == []
    assert world.ledger.pod_count("t1") == 1


def test_the_pods_that_went_are_not_remembered_without_end() -> None:
    world = World()
    for number in range(REMEMBERED_DEPARTED + 5):
        world.engine.remove(pod(uid=f"p{number}"), now=NOW)
    world.engine.track(tracker("t1"), edited=NOW)
    assert len(world.engine.begin_backfill(tracker("t1"), now=NOW)[1]) == REMEMBERED_DEPARTED


def test_pods_that_go_while_a_backfill_travels_are_all_remembered(world: World) -> None:
    backfill = begin(world)
    many = [pod(uid=f"p{number}") for number in range(REMEMBERED_DEPARTED + 5)]
    for one in many:
        world.engine.observe(one, now=NOW)
        world.engine.remove(one, now=NOW)
    assert world.engine.backfilled(backfill, many, now=NOW) == []
