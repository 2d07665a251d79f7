# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podtracker.api import LabelSelector
from podtracker.matching import Selection, TrackerIndex, is_looser, query, signature
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


# labels

SELECTORS: list[tuple[dict[str, Any], dict[str, str], bool]] = [
    ({}, {}, True),
    ({}, {"a": "1"}, True),
    ({"matchLabels": {"a": "1"}}, {"a": "1", "b": "2"}, True),
    ({"matchLabels": {"a": "1"}}, {"a": "2"}, False),
    ({"matchLabels": {"a": "1", "b": "2"}}, {"a": "1"}, False),
    ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, {"a": "2"}, True),
    ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, {"a": "3"}, False),
    ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, {}, False),
    ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {}, True),
    ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {"a": "1"}, False),
    ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"a": ""}, True),
    ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"b": ""}, False),
    ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"b": ""}, True),
    ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"a": "x"}, False),
    (
        {"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]},
        {"a": "1"},
        False,
    ),
]


@pytest.mark.parametrize(("selector", "labels", "meant"), SELECTORS)
def test_selectors_mean_what_they_mean_to_kubernetes(
    selector: dict[str, Any], labels: dict[str, str], meant: bool
) -> None:
    index = TrackerIndex()
    index.put(tracker("t1", spec={"selector": selector}))
    assert bool(index.matching(pod("x", labels=labels))) is meant
    assert index.matching(pod("x", labels=labels, namespace="other")) == ()
    index.drop("t1")
    assert index.matching(pod("x", labels=labels)) == ()
    assert index.matching(pod("x")) == ()


LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("123"))
REQUIREMENTS = st.one_of(
    st.fixed_dictionaries(
        {
            "key": st.sampled_from("abc"),
            "operator": st.sampled_from(["In", "NotIn"]),
            "values": st.lists(st.sampled_from("123"), min_size=1, max_size=3),
        }
    ),
    st.fixed_dictionaries({"key": st.sampled_from("abc"), "operator": st.sampled_from(["Exists", "DoesNotExist"])}),
)
ANY_SELECTOR = st.fixed_dictionaries(
    {"matchLabels": LABELS, "matchExpressions": st.lists(REQUIREMENTS, max_size=3)},
)


@given(st.lists(ANY_SELECTOR, max_size=6), LABELS)
def test_the_index_finds_what_looking_at_every_tracker_finds(
    selectors: list[dict[str, Any]], labels: dict[str, str]
) -> None:
    index = TrackerIndex()
    for number, selector in enumerate(selectors):
        index.put(tracker(f"t{number}", spec={"selector": selector}))
    meant = {
        f"t{number}"
        for number, selector in enumerate(selectors)
        if Selection(msgspec.convert(selector, LabelSelector)).selects(labels)
    }
    found = [one.uid for one in index.matching(pod("x", labels=labels))]
    assert [
        one for one in (f"t{n}" for n in range(len(selectors))) if index.means(one, pod("x", labels=labels))
    ] == sorted(found)
    assert set(found) == meant
    assert len(found) == len(meant)


def test_a_thousand_selectors_of_other_labels_cost_nothing() -> None:
    index = TrackerIndex()
    for number in range(1000):
        index.put(tracker(f"t{number}", spec={"selector": {"matchLabels": {"app": f"a{number}"}}}))
    assert [one.uid for one in index.matching(pod("x", labels={"app": "a7"}))] == ["t7"]
    assert index.looked_at == 1


# workloads


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet", "ReplicaSet", "Job"])
def test_a_pod_belongs_to_its_controller(kind: str) -> None:
    index = TrackerIndex()
    index.put(tracker("t1", spec={"workloadRef": {"kind": kind, "name": "web"}}))
    assert len(index.matching(pod("web-1", owner=(kind, "web")))) == 1
    assert index.matching(pod("web-1", owner=(kind, "other"))) == ()
    assert index.matching(pod("web-1", owner=("Other", "web"))) == ()
    assert index.matching(pod("web-1")) == ()
    assert index.orphan(pod("web-1", owner=(kind, "web"))) is None


@pytest.mark.parametrize(("kind", "between"), [("Deployment", "ReplicaSet"), ("CronJob", "Job")])
def test_a_pod_belongs_to_what_its_controller_belongs_to(kind: str, between: str) -> None:
    index = TrackerIndex()
    mine = pod("web-1", owner=(between, "web-abc"))
    assert index.orphan(mine) is None
    index.put(tracker("t1", spec={"workloadRef": {"kind": kind, "name": "web"}}))
    owner = index.orphan(mine)
    assert owner is not None
    assert (owner.kind, owner.name) == (between, "web-abc")
    assert index.matching(mine) == ()
    index.parents["team", owner.uid] = "web"
    assert index.orphan(mine) is None
    assert [one.uid for one in index.matching(mine)] == ["t1"]
    assert index.orphan(pod("x", owner=(between, "y"), namespace="other")) is None
    index.drop("t1")
    assert index.orphan(pod("x", owner=(between, "y"))) is None


# what stands for a selection


def test_signatures_differ_where_the_pods_do() -> None:
    specs = [
        {},
        {"selector": {}},
        {"selector": {"matchLabels": {"a": "1"}}},
        {"selector": {"matchLabels": {"a": "2"}}},
        {"workloadRef": {"kind": "Job", "name": "a"}},
        {"workloadRef": {"kind": "CronJob", "name": "a"}},
    ]
    assert len({signature(tracker("t", spec=spec).spec) for spec in specs}) == len(specs)
    assert signature(tracker("t").spec) == "nginx"
    two = [{"selector": {"matchLabels": dict(order)}} for order in ([("a", "1"), ("b", "2")], [("b", "2"), ("a", "1")])]
    assert len({signature(tracker("t", spec=spec).spec) for spec in two}) == 1


def test_the_signature_of_the_largest_selector_is_short() -> None:
    def of(last: str) -> str:
        values = [f"{number:02}{'v' * 61}" for number in range(31)]
        demands = [{"key": f"k{number}", "operator": "In", "values": [*values, last]} for number in range(16)]
        return signature(tracker("t", spec={"selector": {"matchExpressions": demands}}).spec)

    assert len(of("a")) < 100
    assert of("a") == of("a") != of("b")


A, B, X = {"a": "1"}, {"b": "2"}, [{"key": "x", "operator": "Exists"}]


@pytest.mark.parametrize(
    ("spec", "than", "looser"),
    [
        ({"matchLabels": A}, {"matchLabels": A | B}, True),
        ({}, {"matchLabels": A}, True),
        ({"matchLabels": A}, {"matchLabels": A, "matchExpressions": X}, True),
        ({"matchLabels": A, "matchExpressions": X}, {"matchLabels": A | B, "matchExpressions": X}, True),
        ({"matchLabels": A}, {"matchLabels": A}, False),
        ({"matchLabels": A | B}, {"matchLabels": A}, False),
        ({"matchLabels": {"a": "2"}}, {"matchLabels": A | B}, False),
        ({"matchLabels": A, "matchExpressions": X}, {"matchLabels": A | B}, False),
    ],
)
def test_a_selector_that_only_loses_demands_is_looser(spec: Any, than: Any, *, looser: bool) -> None:
    one, other = (tracker("t", spec={"selector": selector}).spec for selector in (spec, than))
    assert is_looser(one, other) is looser
    assert not is_looser(one, tracker("t").spec)
    assert not is_looser(tracker("t").spec, one)


def test_lists_are_narrowed_as_far_as_the_api_server_can() -> None:
    everything = {
        "matchLabels": {"a": "1"},
        "matchExpressions": [
            {"key": "b", "operator": "In", "values": ["1", "2"]},
            {"key": "c", "operator": "NotIn", "values": ["3"]},
            {"key": "d", "operator": "Exists"},
            {"key": "e", "operator": "DoesNotExist"},
        ],
    }
    assert query(tracker("t", spec={"selector": everything}).spec) == {
        "label_selector": "a=1,b in (1,2),c notin (3),d,!e"
    }
    values = [f"{number:063}" for number in range(32)]
    long = {"matchExpressions": [{"key": key, "operator": "In", "values": values} for key in ("a", "b")]}
    assert query(tracker("t", spec={"selector": long}).spec) == {}
    assert query(tracker("t").spec) == {"field_selector": "metadata.name=nginx"}
    assert query(tracker("t", spec={"workloadRef": {"kind": "Job", "name": "a"}}).spec) == {}
