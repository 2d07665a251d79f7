# SPDX-License-Identifier: Apache-2.0
"""What workload a pod belongs to: asked once, found by convention where it is gone, waited for while nobody answers."""

from __future__ import annotations

import asyncio

import pytest

from podtracker.matching import TrackerIndex
from podtracker.owners import REMEMBERED, Owners, by_convention
from podtracker.pods import Owner
from unit.podtracker.builders import pod, tracker
from unit.podtracker.fakes import DOWN, FORBIDDEN, FakeOwners
from unit.podtracker.virtual import clock, in_virtual_time, passing


class Scene:
    """Owners of pods in a namespace where a tracker means a Deployment and another a CronJob."""

    def __init__(self) -> None:
        self.source, self.index = FakeOwners(), TrackerIndex()
        self.index.put(tracker("t1", spec={"workloadRef": {"kind": "Deployment", "name": "web"}}))
        self.index.put(tracker("t2", spec={"workloadRef": {"kind": "CronJob", "name": "night"}}))
        self.owners = Owners(self.source, self.index, clock=clock)


def belongs(name: str, kind: str = "Deployment") -> Owner:
    return Owner(kind=kind, name=name, uid=f"{name}-uid", controller=True, api_version="apps/v1")


@in_virtual_time
async def test_each_replica_set_is_asked_for_once() -> None:
    s = Scene()
    s.source.owned = {"web-1": belongs("web"), "web-2": belongs("web"), "alone": None}
    pods = [pod(f"p{number}", owner=("ReplicaSet", ("web-1", "web-2", "alone")[number % 3])) for number in range(30)]
    await s.owners.resolve(pods)
    await s.owners.resolve(pods)
    assert sorted(s.source.asked) == [("team", "ReplicaSet", name) for name in ("alone", "web-1", "web-2")]
    assert [bool(s.index.matching(one)) for one in pods[:3]] == [True, True, False]


@in_virtual_time
async def test_nothing_is_asked_where_nobody_wants_to_know() -> None:
    s = Scene()
    await s.owners.resolve(
        [pod("a"), pod("b", owner=("StatefulSet", "x")), pod("c", owner=("ReplicaSet", "x"), namespace="o")]
    )
    assert s.source.asked == []


@in_virtual_time
async def test_a_pod_that_claims_another_tenants_owner_changes_nothing_there() -> None:
    s = Scene()
    s.index.put(tracker("t3", namespace="mallory", spec={"workloadRef": {"kind": "Deployment", "name": "web"}}))
    claiming, mine = (pod("p", owner=("ReplicaSet", "web-1"), namespace=where) for where in ("mallory", "team"))
    assert claiming.controller == mine.controller
    await s.owners.resolve([claiming])
    s.source.owned = {"web-1": belongs("web")}
    await s.owners.resolve([mine])
    assert [one.uid for one in s.index.matching(mine)] == ["t1"]
    assert s.index.matching(claiming) == ()


@in_virtual_time
async def test_what_is_gone_or_forbidden_is_found_by_its_name() -> None:
    s = Scene()
    s.source.owned = {"web-5": FORBIDDEN}
    gone = pod("p", owner=("ReplicaSet", "web-7d9f"), labels={"pod-template-hash": "7d9f"})
    shut = pod("p", owner=("ReplicaSet", "web-5"), labels={"pod-template-hash": "5"})
    job = pod("p", owner=("Job", "night-29000000"))
    await s.owners.resolve([gone, shut, job])
    assert [[one.uid for one in s.index.matching(each)] for each in (gone, shut, job)] == [["t1"], ["t1"], ["t2"]]


@in_virtual_time
async def test_the_workloads_of_others_are_not_ours() -> None:
    """Argo's Rollouts make ReplicaSets, and OpenKruise has a StatefulSet of its own."""
    s = Scene()
    s.index.put(tracker("t3", spec={"workloadRef": {"kind": "StatefulSet", "name": "db"}}))
    rollout = Owner(kind="Rollout", name="web", uid="r", controller=True, api_version="argoproj.io/v1alpha1")
    s.source.owned = {"web-1": rollout}
    rolled = pod("p", owner=("ReplicaSet", "web-1"))
    await s.owners.resolve([rolled, pod("q", owner=("ReplicaSet", "web-2"), owner_group="example.org")])
    assert s.source.asked == [("team", "ReplicaSet", "web-1")]
    assert not s.index.matching(rolled)
    assert not s.index.matching(pod("p", owner=("StatefulSet", "db"), owner_group="apps.kruise.io"))
    assert s.index.matching(pod("p", owner=("StatefulSet", "db")))


@in_virtual_time
async def test_it_waits_while_the_api_server_is_away() -> None:
    s = Scene()
    s.source.owned = {"web-1": DOWN}
    mine = pod("p", owner=("ReplicaSet", "web-1"))
    waiting = asyncio.create_task(s.owners.resolve([mine]))
    await passing(30.0)
    assert not waiting.done()
    s.source.owned = {"web-1": belongs("web")}
    await passing(5.0)
    assert waiting.done()
    assert s.index.matching(mine)


@pytest.mark.parametrize(
    ("kind", "name", "labels", "parent"),
    [
        ("ReplicaSet", "web-7d9f", {"pod-template-hash": "7d9f"}, "web"),
        ("ReplicaSet", "web-7d9f", {}, ""),
        ("ReplicaSet", "web-7d9f", {"pod-template-hash": "other"}, ""),
        ("Job", "night-29000000", {}, "night"),
        ("Job", "by-hand", {}, ""),
        ("Job", "solo", {}, ""),
    ],
)
def test_names_by_convention(kind: str, name: str, labels: dict[str, str], parent: str) -> None:
    assert by_convention(Owner(kind=kind, name=name), pod(labels=labels)) == parent


@in_virtual_time
async def test_parents_are_not_remembered_without_end() -> None:
    s = Scene()
    s.index.parents.update({("team", f"old-{number}"): "x" for number in range(REMEMBERED)})
    await s.owners.resolve([pod("p", owner=("ReplicaSet", "web-1"))])
    assert len(s.index.parents) == REMEMBERED
    assert ("team", "web-1-uid") in s.index.parents
