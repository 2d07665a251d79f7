# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from podtracker.matching import TrackerIndex
from unit.podtracker.builders import pod, tracker


def uids(index: TrackerIndex, name: str = "nginx", namespace: str = "team") -> list[str]:
    return [found.uid for found in index.matching(pod(name, namespace=namespace))]


def test_an_empty_index_matches_nothing() -> None:
    index = TrackerIndex()
    assert uids(index) == []
    assert len(index) == 0
    assert list(index) == []
    assert index.get("t1") is None


def test_name_and_namespace_must_both_be_equal() -> None:
    index = TrackerIndex()
    index.put(tracker("t1"))
    assert uids(index) == ["t1"]
    assert uids(index, name="nginx-1") == []
    assert uids(index, name="ngin") == []
    assert uids(index, namespace="other") == []


def test_all_trackers_of_a_pod_match_in_the_order_they_came() -> None:
    index = TrackerIndex()
    for uid in ("t2", "t1", "t3"):
        index.put(tracker(uid))
    index.put(tracker("t4", namespace="other"))
    assert uids(index) == ["t2", "t1", "t3"]
    assert len(index) == 4


def test_putting_again_takes_the_newest_spec() -> None:
    index = TrackerIndex()
    index.put(tracker("t1"))
    newer = tracker("t1", generation=2)
    index.put(newer)
    assert uids(index) == ["t1"]
    assert index.get("t1") == newer
    assert len(index) == 1


def test_an_edited_name_moves_the_tracker() -> None:
    index = TrackerIndex()
    index.put(tracker("t1"))
    index.put(tracker("t2"))
    index.put(tracker("t1", pod_name="redis"))
    assert uids(index, name="redis") == ["t1"]
    assert uids(index) == ["t2"]


def test_dropping() -> None:
    index = TrackerIndex()
    index.put(tracker("t1"))
    index.put(tracker("t2"))
    index.drop("t1")
    index.drop("t1")
    index.drop("never seen")
    assert uids(index) == ["t2"]
    index.drop("t2")
    assert uids(index) == []
    assert len(index) == 0


def test_a_match_may_change_the_index_while_it_is_read() -> None:
    index = TrackerIndex()
    index.put(tracker("t1"))
    index.put(tracker("t2"))
    for found in index.matching(pod()):
        index.drop(found.uid)
    assert len(index) == 0


def test_a_pod_event_costs_what_its_matches_cost() -> None:
    index = TrackerIndex()
    for number in range(1000):
        index.put(tracker(f"t{number}", pod_name=f"pod-{number}"))
    index.put(tracker("second", pod_name="pod-7"))
    assert uids(index, name="pod-7") == ["t7", "second"]
    assert index.looked_at == 2
    assert uids(index, name="pod-7", namespace="other") == []
    assert uids(index, name="nobody") == []
    assert index.looked_at == 2
