# SPDX-License-Identifier: Apache-2.0
"""What is news of pods that live on: events, selectors, relabelled pods, deadlines, quiet times."""

from __future__ import annotations

from typing import Any

from podtracker.api import Event, PodTrackerSpec
from podtracker.engine import REMEMBERED_AHEAD, Engine
from podtracker.ledger import Ledger, Notification
from podtracker.lifecycle import Grace
from podtracker.matching import TrackerIndex
from unit.podtracker.builders import NOW, looping, pod, ready, stamp, tracker

APP = {"app": "web"}
ALL = [event.value for event in Event]


class World:
    """An engine with what stands around it."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.index = TrackerIndex()
        self.engine = Engine(
            self.index, self.ledger, changed=lambda _: None, grace=Grace(60, 150, 180), labels=self._labels
        )

    @staticmethod
    def _labels(spec: PodTrackerSpec) -> tuple[str, ...]:
        return ("app",) if spec.message else ()

    def track(
        self, uid: str = "t1", *, generation: int = 1, created: int = NOW, listed: bool = True, **spec: Any
    ) -> None:
        fields = {"events": ALL, **spec}
        if not {"name", "selector", "workloadRef"} & fields.keys():
            fields["selector"] = {"matchLabels": APP}
        made = tracker(uid, generation=generation, created=created, spec=fields)
        self.engine.track(made, edited=created)
        if listed:
            self.engine.listed(uid)

    def observe(self, uid: str = "p1", *, now: float = NOW, appeared: bool = True, **fields: Any) -> list[str]:
        fields.setdefault("labels", APP)
        return events(self.engine.observe(pod("web", uid=uid, **fields), now=now, appeared=appeared))


def events(found: list[Notification]) -> list[str]:
    return [one.event for one in found]


def test_a_life_is_told_event_by_event() -> None:
    world = World()
    world.track()
    assert world.observe() == ["Created"]
    assert world.observe(status=ready()) == ["Started", "Ready"]
    assert world.observe(status=looping()) == ["Restarted", "CrashLooping"]
    assert world.observe(status=looping()) == []
    assert events(world.engine.remove(pod("web", uid="p1", labels=APP), now=NOW)) == ["Deleted"]
    assert world.observe(status=ready()) == []


def test_only_what_was_asked_for_is_told_and_the_rest_is_no_news_later() -> None:
    world = World()
    world.track(events=["Ready"])
    assert world.observe(status=looping()) == []
    world.track(generation=2, events=["Created", "CrashLooping", "Started"])
    assert world.observe(status=looping()) == []
    assert world.observe(status=ready(restarts=2)) == []


def test_each_tracker_hears_what_it_asked_for() -> None:
    world = World()
    world.track("t1", events=["Created"])
    world.track("t2", events=["Ready"])
    found = world.engine.observe(pod("web", uid="p1", labels=APP, status=ready()), now=NOW)
    assert [(one.tracker, one.event) for one in found] == [("t1", "Created"), ("t2", "Ready")]
    assert found[1].detail.seconds == 5


def test_an_older_pod_is_the_baseline_and_what_follows_is_news() -> None:
    world = World()
    world.track()
    assert world.observe(created=NOW - 5, status=ready()) == []
    assert world.observe(created=NOW - 5, status=looping()) == ["Restarted", "CrashLooping"]


def test_with_the_policy_all_what_exists_is_news_too() -> None:
    world = World()
    world.track(startPolicy="All")
    assert world.observe(created=NOW - 500, status=ready()) == ["Created", "Started", "Ready"]
    world.track(generation=2, startPolicy="All", selector={"matchLabels": {"app": "other"}})
    assert world.observe("p2", created=NOW - 500, labels={"app": "other"}, status=ready()) == []


def test_a_pod_relabelled_into_the_match_is_the_baseline() -> None:
    world = World()
    world.track()
    assert world.observe(labels={"app": "other"}) == []
    assert world.observe(appeared=False, status=ready()) == []
    assert world.ledger.pod_count("t1") == 1
    assert world.observe(appeared=False, status=looping()) == ["Restarted", "CrashLooping"]


def test_a_pod_that_is_only_seen_changed_before_its_tracker_has_listed_is_new() -> None:
    world = World()
    world.track(listed=False)
    assert world.observe(appeared=False) == ["Created"]


def test_a_pod_relabelled_out_of_the_match_is_not_counted_and_its_end_is_no_news() -> None:
    world = World()
    world.track()
    world.observe()
    assert world.observe(appeared=False, labels={"app": "other"}, status=looping()) == []
    assert world.ledger.pod_count("t1") == 0
    assert world.engine.remove(pod("web", uid="p1", labels={"app": "other"}), now=NOW) == []


def test_a_paused_tracker_keeps_its_pods() -> None:
    world = World()
    world.track()
    world.observe()
    world.engine.pause("t1")
    assert world.observe(status=ready()) == []
    assert world.ledger.pod_count("t1") == 1


def test_pods_that_vanished_are_told_as_deleted() -> None:
    world = World()
    world.track()
    world.observe("p1")
    world.observe("p2")
    under_way = world.engine.begin_relist(None)
    assert world.engine.relisted(under_way, [pod("web", uid="p2", labels=APP)], now=NOW) == []
    [gone] = world.engine.end_relist(under_way, now=NOW)
    assert (gone.event, gone.pod, gone.pod_uid) == ("Deleted", "web", "p1")


def test_a_list_finds_what_happened_meanwhile() -> None:
    world = World()
    world.track()
    world.observe("p1")
    under_way = world.engine.begin_relist(None)
    found = world.engine.relisted(under_way, [pod("web", uid="p1", labels=APP, status=looping(3))], now=NOW)
    assert events(found) == ["Started", "Restarted", "CrashLooping"]


# trackers that come late


def test_a_late_tracker_hears_the_whole_life_of_a_pod_that_is_not_older() -> None:
    world = World()
    world.track("t1")
    world.observe(status=ready())
    world.track("t2", listed=False)
    late = tracker("t2", spec={"selector": {"matchLabels": APP}, "events": ALL})
    backfill, _ = world.engine.begin_backfill(late, now=NOW)
    found = world.engine.backfilled(backfill, [pod("web", uid="p1", labels=APP, status=ready())], now=NOW)
    assert [(one.tracker, one.event) for one in found] == [("t2", "Created"), ("t2", "Started"), ("t2", "Ready")]
    assert world.observe(status=ready()) == []


def test_a_list_that_is_ahead_of_the_watch_tells_everybody_and_the_watch_finds_nothing_new() -> None:
    world = World()
    world.track("t1")
    world.observe()
    world.track("t2", listed=False)
    late = tracker("t2", spec={"selector": {"matchLabels": APP}, "events": ALL})
    backfill, _ = world.engine.begin_backfill(late, now=NOW)
    found = world.engine.backfilled(backfill, [pod("web", uid="p1", labels=APP, status=ready())], now=NOW)
    assert [(one.tracker, one.event) for one in found] == [
        ("t1", "Started"),
        ("t1", "Ready"),
        ("t2", "Created"),
        ("t2", "Started"),
        ("t2", "Ready"),
    ]
    assert world.observe(status=ready()) == []


def test_a_pod_that_came_and_went_before_its_tracker_is_told_with_its_end() -> None:
    world = World()
    world.engine.remove(pod("web", uid="p1", labels=APP, status=ready()), now=NOW)
    world.track(listed=False)
    late = tracker("t1", spec={"selector": {"matchLabels": APP}, "events": ALL})
    _, found = world.engine.begin_backfill(late, now=NOW)
    assert events(found) == ["Created", "Started", "Ready", "Deleted"]


# deadlines


def nowhere(since: int = NOW) -> dict[str, Any]:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "lastTransitionTime": stamp(since),
    }
    return {"phase": "Pending", "conditions": [condition]}


def test_a_deadline_is_in_the_ledger_until_the_pod_was_looked_at_again() -> None:
    world = World()
    world.track()
    assert world.observe(status=nowhere()) == ["Created"]
    assert world.ledger.due_pods(NOW + 59) == []
    assert world.ledger.due_pods(NOW + 60) == ["p1"]
    again = pod("web", uid="p1", labels=APP, version=2, status=nowhere())
    assert events(world.engine.confirm(again, now=NOW + 60)) == ["Unschedulable"]
    assert world.ledger.due_pods(NOW + 999) == []


def test_a_pod_that_is_well_when_it_is_looked_at_again_is_told_as_that() -> None:
    world = World()
    world.track()
    world.observe(status=nowhere())
    again = pod("web", uid="p1", labels=APP, version=9, status=ready())
    assert events(world.engine.confirm(again, now=NOW + 60)) == ["Started", "Ready"]
    assert world.ledger.due_pods(NOW + 999) == []


def test_the_watch_that_is_behind_a_look_does_not_go_back() -> None:
    world = World()
    world.track()
    world.observe(status=nowhere())
    world.engine.confirm(pod("web", uid="p1", labels=APP, version=9, status=ready()), now=NOW + 60)
    assert world.observe(version=5, status=nowhere(), now=NOW + 61) == []
    assert world.ledger.due_pods(NOW + 999) == []
    assert world.observe(version=10, status=looping(), now=NOW + 62) == ["Restarted", "CrashLooping"]


def test_looks_beside_the_watch_are_not_remembered_without_end() -> None:
    world = World()
    for number in range(REMEMBERED_AHEAD + 10):
        world.engine.confirm(pod(uid=f"p{number}"), now=NOW)
    assert len(world.engine._ahead) == REMEMBERED_AHEAD


# recoveries


def test_a_recovery_is_told_to_those_who_heard_of_the_trouble() -> None:
    world = World()
    world.track("heard", events=["CrashLooping", "Recovered"])
    world.track("other", events=["OOMKilled", "Recovered"])
    world.track("any", events=["Recovered"])
    world.observe(status=looping())
    found = world.engine.observe(pod("web", uid="p1", labels=APP, status=ready()), now=NOW + 500)
    assert [(one.tracker, one.event) for one in found] == [("heard", "Recovered"), ("any", "Recovered")]


# quiet times


def test_what_is_found_while_suspended_is_kept_and_counted() -> None:
    world = World()
    world.track(suspend=True)
    [found] = world.engine.observe(pod("web", uid="p1", labels=APP), now=NOW)
    assert found.quiet
    record = world.ledger.tracker("t1")
    assert record is not None
    assert record.suppressed == 1


def test_a_mute_ends_by_itself() -> None:
    world = World()
    world.track(muteUntil=stamp(NOW + 60))
    assert world.engine.observe(pod("web", uid="p1", labels=APP), now=NOW + 59)[0].quiet
    assert not world.engine.observe(pod("web", uid="p2", labels=APP), now=NOW + 60)[0].quiet


# what is kept of an occurrence


def test_labels_are_kept_only_where_the_message_reads_them() -> None:
    world = World()
    world.track("t1", message="{{ pod.labels.app }}", events=["Created"])
    world.track("t2", events=["Created"])
    found = world.engine.observe(pod("web", uid="p1", labels={**APP, "x": "y"}), now=NOW)
    assert [one.detail.labels for one in found] == [(("app", "web"),), ()]
