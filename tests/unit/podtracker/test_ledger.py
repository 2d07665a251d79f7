# SPDX-License-Identifier: Apache-2.0
"""The operator's memory: masks by tracker and pod, the outbox, and what of them changed."""

from __future__ import annotations

import hashlib

import pytest

from podtracker.api import Event
from podtracker.ledger import (
    MAX_PENDING,
    MAX_PENDING_IN_NAMESPACE,
    Delta,
    Detail,
    Ledger,
    Notification,
    TrackerRecord,
    notification_id,
)
from podtracker.lifecycle import Seen
from unit.podtracker.builders import CREATED, NOW, SEEN, note, record, who


@pytest.fixture
def ledger() -> Ledger:
    kept = Ledger()
    for uid in ("t1", "t2"):
        kept.put_tracker(uid, record())
    return kept


def hold(ledger: Ledger, tracker: str, pod: str, namespace: str = "team") -> None:
    known = ledger.pod(pod)
    ledger.put_pod(pod, namespace, "nginx", dict.fromkeys((*(known.trackers if known else ()), tracker)), SEEN)


def forget(ledger: Ledger, pod: str) -> set[str]:
    held = ledger.forget_pod(pod)
    return set(held.trackers) if held is not None else set()


def find(ledger: Ledger, pod: str, tracker: str = "t1", namespace: str = "team") -> Notification:
    found = ledger.found(tracker, CREATED, pod=who(f"{pod}-uid", pod, namespace))
    assert found is not None
    return found


def kept(ledger: Ledger, tracker: str = "t1") -> TrackerRecord:
    found = ledger.tracker(tracker)
    assert found is not None
    return found


# names that are for ever


def test_ids_are_stable_for_ever() -> None:
    expected = hashlib.sha256(b"t1|p1|Created").hexdigest()[:32]
    assert notification_id("t1", "p1", Event.CREATED) == expected


def test_ids_differ_by_tracker_and_pod() -> None:
    ids = {notification_id(tracker, pod, Event.CREATED) for tracker in ("t1", "t2") for pod in ("p1", "p2")}
    assert len(ids) == 4


@pytest.mark.parametrize(
    ("container", "restarts", "hashed"),
    [("app", 0, b"t1|p1|Restarted|app|0"), ("app", 3, b"t1|p1|Restarted|app|3"), ("", 2, b"t1|p1|Restarted||2")],
)
def test_ids_name_the_container_and_its_restart(container: str, restarts: int, hashed: bytes) -> None:
    expected = hashlib.sha256(hashed).hexdigest()[:32]
    assert notification_id("t1", "p1", Event.RESTARTED, container, restarts) == expected


# pods


def test_an_unknown_pod_is_known_to_nobody(ledger: Ledger) -> None:
    assert not ledger.knows("t1", "p1")
    assert not ledger.knows("nobody", "p1")
    assert ledger.pod_count("t1") == 0
    assert ledger.pod_count("nobody") == 0


def test_pods_are_known_per_tracker(ledger: Ledger) -> None:
    hold(ledger, "t1", "p1")
    assert ledger.knows("t1", "p1")
    assert not ledger.knows("t2", "p1")
    hold(ledger, "t2", "p1")
    hold(ledger, "t1", "p2")
    assert (ledger.pod_count("t1"), ledger.pod_count("t2")) == (2, 1)


def test_a_pod_put_again_is_replaced_and_counted_once(ledger: Ledger) -> None:
    hold(ledger, "t1", "p1")
    assert not ledger.put_pod("p1", "team", "nginx", ("t1",), SEEN)
    assert ledger.put_pod("p1", "team", "nginx", ("t1",), None)
    assert ledger.knows("t1", "p1")
    assert ledger.pod_count("t1") == 1
    assert forget(ledger, "p1") == {"t1"}


def test_a_pod_that_nobody_knows_is_forgotten(ledger: Ledger) -> None:
    hold(ledger, "t1", "p1")
    assert ledger.put_pod("p1", "team", "nginx", (), SEEN)
    assert not ledger.put_pod("p2", "team", "nginx", (), SEEN)
    assert ledger.pod("p1") is None
    assert ledger.pod_count("t1") == 0


def test_deadlines_are_found_in_order_and_go_with_their_pod(ledger: Ledger) -> None:
    for pod, at in (("p1", NOW + 20), ("p2", NOW + 10), ("p3", NOW + 30)):
        ledger.put_pod(pod, "team", "nginx", ("t1",), Seen(1, {}, {}, {"Unschedulable": at, "Recovered": at + 5}))
    assert ledger.due_pods(NOW + 9) == []
    assert ledger.due_pods(NOW + 20) == ["p2", "p1"]
    ledger.no_deadlines("p2")
    ledger.forget_pod("p3")
    assert ledger.due_pods(NOW + 60) == ["p1"]
    other = Ledger()
    other.load([ledger.snapshot()])
    assert other.due_pods(NOW + 60) == ["p1"]


# tests


def test_a_test_is_asked_for_once_per_nonce_and_counts_as_nothing(ledger: Ledger) -> None:
    asked = ledger.ask_test("t1", "one")
    assert asked is not None
    assert ledger.ask_test("t1", "one") is None
    assert ledger.awaits_test("t1", "one")
    ledger.settle([asked], delivered=True)
    assert not ledger.awaits_test("t1", "one")
    assert ledger.ask_test("t1", "one") is None
    assert (kept(ledger).delivered, kept(ledger).dropped) == (0, 0)
    assert ledger.ask_test("t1", "two") is not None
    assert ledger.ask_test("nobody", "one") is None


# what is found while it is quiet


def test_what_is_found_quietly_is_counted_and_waits(ledger: Ledger) -> None:
    found = ledger.found("t1", CREATED, pod=who("p1"), quiet=True)
    assert found is not None
    assert found.quiet
    assert (kept(ledger).suppressed, ledger.pending("t1")) == (1, 1)


def test_what_waits_already_is_not_found_again(ledger: Ledger) -> None:
    assert ledger.found("t1", CREATED, pod=who("p1")) is not None
    assert ledger.found("t1", CREATED, pod=who("p1")) is None
    assert ledger.pending("t1") == 1


def test_forgetting_a_pod_gives_who_knew_it(ledger: Ledger) -> None:
    hold(ledger, "t1", "p1")
    hold(ledger, "t2", "p1")
    hold(ledger, "t1", "p2")
    assert forget(ledger, "p1") == {"t1", "t2"}
    assert forget(ledger, "p1") == set()
    assert not ledger.knows("t1", "p1")
    assert (ledger.pod_count("t1"), ledger.pod_count("t2")) == (1, 0)


def test_pods_by_namespace(ledger: Ledger) -> None:
    hold(ledger, "t1", "p1")
    hold(ledger, "t2", "p2", namespace="other")
    assert set(ledger.pods_in("team")) == {"p1"}
    assert set(ledger.pods_in("other")) == {"p2"}
    assert set(ledger.pods_in(None)) == {"p1", "p2"}
    assert set(ledger.pods_in("empty")) == set()


def test_a_pod_is_known_as_long_as_one_tracker_holds_it(ledger: Ledger) -> None:
    hold(ledger, "t1", "p1")
    hold(ledger, "t2", "p1")
    ledger.part("t1", "p1")
    ledger.part("t1", "p1")
    assert set(ledger.pods_in(None)) == {"p1"}
    assert ledger.knows("t2", "p1")
    ledger.part_all("t2")
    ledger.part_all("t2")
    assert set(ledger.pods_in(None)) == set()


def test_parting_leaves_other_trackers_and_the_record(ledger: Ledger) -> None:
    for pod in ("p1", "p2"):
        hold(ledger, "t1", pod)
        hold(ledger, "t2", pod)
    ledger.part_all("t1")
    assert ledger.pod_count("t1") == 0
    assert ledger.pod_count("t2") == 2
    assert ledger.tracker("t1") is not None
    assert forget(ledger, "p1") == {"t2"}


# the outbox


def test_the_outbox_counts_each_occurrence_once(ledger: Ledger) -> None:
    find(ledger, "a")
    find(ledger, "b")
    find(ledger, "a", tracker="t2")
    assert ledger.waiting == 3
    assert (ledger.pending("t1"), ledger.pending("t2"), ledger.pending("nobody")) == (2, 1, 0)


def test_the_outbox_keeps_the_order_in_which_things_were_found(ledger: Ledger) -> None:
    names = [f"pod-{number}" for number in range(20)]
    for place, name in enumerate(names):
        find(ledger, name, tracker=("t1", "t2")[place % 2])
    assert [one.pod for one in ledger.outbox()] == names


def test_settling_counts_delivered_and_dropped_once(ledger: Ledger) -> None:
    notes = [find(ledger, name) for name in "abc"]
    ledger.settle(notes[:2], delivered=True)
    ledger.settle(notes[:2], delivered=True)
    ledger.settle(notes[2:], delivered=False)
    assert (kept(ledger).delivered, kept(ledger).dropped) == (2, 1)
    assert ledger.waiting == 0
    assert ledger.pending("t1") == 0


def test_settling_what_nobody_put_changes_nothing(ledger: Ledger) -> None:
    ledger.settle([note("a"), note("b", tracker="nobody")], delivered=True)
    assert kept(ledger).delivered == 0
    assert ledger.waiting == 0


def test_dropping_a_tracker_drops_all_that_is_held_for_it(ledger: Ledger) -> None:
    hold(ledger, "t1", "p1")
    hold(ledger, "t2", "p1")
    find(ledger, "a")
    find(ledger, "a", tracker="t2")
    ledger.drop_tracker("t1")
    ledger.drop_tracker("t1")
    assert ledger.tracker("t1") is None
    assert ledger.trackers() == ("t2",)
    assert not ledger.knows("t1", "p1")
    assert ledger.waiting == 1
    assert ledger.pending("t1") == 0
    assert forget(ledger, "p1") == {"t2"}


def test_settling_after_the_tracker_went_keeps_the_count_right(ledger: Ledger) -> None:
    found = find(ledger, "a")
    ledger.drop_tracker("t1")
    ledger.settle([found], delivered=True)
    assert ledger.waiting == 0


# the quota


def test_a_tracker_over_its_quota_loses_what_comes_and_keeps_what_waits(ledger: Ledger) -> None:
    notes = [find(ledger, f"pod-{number}") for number in range(MAX_PENDING)]
    for number in range(3):
        assert ledger.found("t1", CREATED, pod=who(f"late-{number}", "late", "team")) is None
    assert (kept(ledger).dropped, kept(ledger).unannounced) == (3, 3)
    assert ledger.pending("t1") == MAX_PENDING
    find(ledger, "other", tracker="t2")
    ledger.settle(notes[:1], delivered=True)
    find(ledger, "next")


def test_a_namespace_over_its_quota_leaves_others_alone(ledger: Ledger) -> None:
    trackers = [f"x{number}" for number in range(MAX_PENDING_IN_NAMESPACE // MAX_PENDING)]
    for uid in trackers:
        ledger.put_tracker(uid, record())
        for number in range(MAX_PENDING):
            find(ledger, f"pod-{number}", tracker=uid)
    assert ledger.found("t1", CREATED, pod=who("late", "late", "team")) is None
    find(ledger, "fine", tracker="t2", namespace="other")
    assert ledger.waiting == MAX_PENDING_IN_NAMESPACE + 1


def test_however_many_namespaces_are_full_the_next_one_finds_room(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("podtracker.ledger.MAX_PENDING_IN_NAMESPACE", 20)
    monkeypatch.setattr("podtracker.ledger.MAX_PENDING_IN_ALL", 100)
    monkeypatch.setattr("podtracker.ledger.SPARED", 4)
    taken = []
    for number in range(12):
        ledger.put_tracker(f"x{number}", record(f"team-{number}"))
        found = [
            ledger.found(f"x{number}", CREATED, pod=who(f"pod-{each}", "pod", f"team-{number}")) for each in range(40)
        ]
        taken.append(sum(one is not None for one in found))
    assert taken == [20, 20, 20, 20, 10, 5, 4, 4, 4, 4, 4, 4]
    for notification in ledger.outbox()[:40]:
        ledger.settle([notification], delivered=True)
    assert ledger.found("x11", CREATED, pod=who("late", "late", "team-11")) is not None


def test_long_words_take_the_room_of_several(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podtracker.ledger.MAX_PENDING_IN_NAMESPACE", 90)
    labels = tuple((f"k{number}", "v" * 63) for number in range(8))
    long = Detail(container="c" * 63, reason="r" * 100, node="n" * 63, labels=labels)
    found = [ledger.found("t1", CREATED, pod=who(f"pod-{n}", "pod", "team"), detail=long) for n in range(90)]
    waiting = [one for one in found if one is not None]
    assert [one.weight for one in waiting] == [5] * 18
    again = Ledger()
    again.load([ledger.snapshot()])
    assert again._weight_in == ledger._weight_in == {"team": 90}
    assert again._weight == ledger._weight == 90
    ledger.settle(waiting, delivered=True)
    assert (ledger._weight_in, ledger._weight) == ({}, 0)
    assert find(ledger, "short").weight == 1


@pytest.mark.parametrize(("told", "left"), [(2, 3), (5, 0), (9, 0)])
def test_what_a_message_told_of_is_announced(ledger: Ledger, told: int, left: int) -> None:
    kept(ledger).unannounced = 5
    ledger.announced("t1", told)
    ledger.announced("nobody", told)
    assert kept(ledger).unannounced == left


# the baseline


@pytest.mark.parametrize(
    ("namespace", "left"), [(None, set()), ("team", {"t3"}), ("other", {"t1", "t2"}), ("third", {"t1", "t2", "t3"})]
)
def test_the_baseline_ends_with_the_list_of_its_namespace(
    ledger: Ledger, namespace: str | None, left: set[str]
) -> None:
    ledger.put_tracker("t3", record("other"))
    for uid in ("t1", "t2", "t3"):
        ledger.begin_baseline(uid)
    ledger.end_baseline(namespace)
    assert {uid for uid in ledger.trackers() if kept(ledger, uid).baseline} == left


# what changed


def busy(ledger: Ledger) -> None:
    """Some of everything."""
    hold(ledger, "t1", "p1")
    hold(ledger, "t2", "p1")
    hold(ledger, "t2", "p2")
    settled = find(ledger, "a")
    find(ledger, "b", tracker="t2")
    ledger.settle([settled], delivered=True)
    ledger.forget_pod("p2")


def test_a_drain_gives_what_changed_since_the_last(ledger: Ledger) -> None:
    before = ledger.changed
    assert ledger.drain()
    assert (before, ledger.changed) == (True, False)
    assert not ledger.drain()
    hold(ledger, "t1", "p1")
    found = find(ledger, "a")
    delta = ledger.drain()
    assert set(delta.pods) == {"p1"}
    assert delta.outbox == {found.key: found}
    assert delta.trackers == {}
    ledger.settle([found], delivered=True)
    ledger.forget_pod("p1")
    delta = ledger.drain()
    assert delta.pods == {"p1": None}
    assert delta.outbox == {found.key: None}
    assert set(delta.trackers) == {"t1"}
    ledger.drop_tracker("t1")
    assert ledger.drain().trackers == {"t1": None}


def counts(ledger: Ledger) -> dict[str, tuple[int, int]]:
    return {uid: (ledger.pod_count(uid), ledger.pending(uid)) for uid in ledger.trackers()}


@pytest.mark.parametrize("how", ["snapshot", "drains", "snapshot and drains", "drains twice"])
def test_a_ledger_lives_on_in_another(ledger: Ledger, how: str) -> None:
    deltas: list[Delta] = [ledger.drain()]
    busy(ledger)
    first = ledger.snapshot() if "snapshot" in how else None
    deltas.append(ledger.drain())
    if how != "snapshot":
        ledger.drop_tracker("t2")
        hold(ledger, "t1", "p3")
        deltas.append(ledger.drain())
    other = Ledger()
    other.load(([first] if first else []) + (deltas if "drains" in how else []) * (2 if "twice" in how else 1))
    assert other.snapshot() == ledger.snapshot()
    assert counts(other) == counts(ledger)
    assert other.waiting == ledger.waiting
    assert not other.changed


def test_order_goes_on_in_another_ledger(ledger: Ledger) -> None:
    find(ledger, "a")
    other = Ledger()
    other.load([ledger.snapshot()])
    assert find(other, "b").order > ledger.outbox()[0].order
    assert [one.pod for one in other.outbox()] == ["a", "b"]
