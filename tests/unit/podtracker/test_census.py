# SPDX-License-Identifier: Apache-2.0
"""The trackers that exist and what is remembered of them, at the start and now and then."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import pytest

from podtracker.census import HEAL_INTERVAL, Census, CrdMissingError
from podtracker.checkpoint import Restored
from podtracker.errors import KubeError
from podtracker.patience import LIMIT
from unit.podtracker.assembly import Operator, operator
from unit.podtracker.builders import NOW, pod, tracker_body
from unit.podtracker.fakes import DOWN, FORBIDDEN, NOT_FOUND
from unit.podtracker.virtual import clock, in_virtual_time, passing, quiet

FRESH = Restored(fresh=True, problem=None, doubt_since=None, positions={}, epoch=1)
RESUMED = Restored(fresh=False, problem=None, doubt_since=None, positions={"*": "41"}, epoch=2)


class FakeLister:
    """Lists of trackers: answers in turn, then the last again."""

    def __init__(self, *answers: list[dict[str, Any]] | KubeError) -> None:
        self.answers = deque(answers)
        self.asked: list[str | None] = []
        self.gate: asyncio.Event | None = None

    async def list_trackers(self, namespace: str | None) -> list[dict[str, Any]]:
        self.asked.append(namespace)
        answer = self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, KubeError):
            raise answer
        found = list(answer)
        if self.gate is not None:
            await self.gate.wait()
        return found


def census(o: Operator, lister: FakeLister, *scopes: str | None) -> Census:
    return Census(
        lister=lister,
        scopes=scopes or (None,),
        reconciler=o.reconciler,
        dispatcher=o.dispatcher,
        board=o.board,
        index=o.index,
        ledger=o.ledger,
        metrics=o.metrics,
        clock=clock,
    )


# the first list


@in_virtual_time
async def test_all_scopes_are_listed() -> None:
    o, lister = Operator(), FakeLister([tracker_body()])
    assert len(await census(o, lister, "a", "b").first()) == 2
    assert lister.asked == ["a", "b"]


@in_virtual_time
async def test_without_the_crd_it_says_how_to_install_it() -> None:
    with pytest.raises(CrdMissingError, match="kubectl apply"):
        await census(Operator(), FakeLister(NOT_FOUND)).first()


@in_virtual_time
async def test_an_api_server_that_comes_back_in_time_is_waited_for() -> None:
    lister = FakeLister(*[DOWN] * 20, [tracker_body()])
    assert len(await census(Operator(), lister).first()) == 1


@in_virtual_time
async def test_an_api_server_that_stays_away_ends_the_start() -> None:
    began = clock()
    with pytest.raises(KubeError):
        await census(Operator(), FakeLister(DOWN)).first()
    assert clock() - began == pytest.approx(LIMIT, abs=3.0)


@in_virtual_time
async def test_one_forbidden_namespace_of_two_stops_nothing_and_loses_nothing() -> None:
    there, elsewhere = tracker_body(uid="t1"), tracker_body(uid="t2", namespace="a")
    async with operator() as o:
        lister = FakeLister([elsewhere], [there], FORBIDDEN, [])
        counted = census(o, lister, "a", "team")
        counted.take_stock(RESUMED, await counted.first(), ran_before=True)
        assert o.reconciler.known() == {"t1", "t2"}
        keeping_up = asyncio.create_task(counted.keep_up())
        await passing(HEAL_INTERVAL + 1.0)
        keeping_up.cancel()
        assert o.reconciler.known() == {"t2"}
        assert o.ledger.tracker("t2") is not None


@in_virtual_time
async def test_where_everything_is_forbidden_the_start_ends() -> None:
    with pytest.raises(KubeError):
        await census(Operator(), FakeLister(FORBIDDEN), None).first()


# taking stock


@in_virtual_time
async def test_at_a_fresh_start_what_exists_is_the_baseline() -> None:
    async with operator() as o:
        census(o, FakeLister([])).take_stock(FRESH, [tracker_body()], ran_before=False)
        under_way = o.engine.begin_relist(None)
        o.dispatcher.submit(o.engine.relisted(under_way, [pod(uid="p1")], now=NOW))
        o.engine.end_relist(under_way, now=NOW)
        o.create_pod(uid="p2")
        await passing(1.0)
        assert len(o.slack.attempts) == 1
        assert o.pods.asked == []
        assert "LedgerMissing" not in o.events.reasons


@pytest.mark.parametrize(("problem", "ran_before"), [("it is damaged", True), (None, True), ("it is damaged", False)])
@in_virtual_time
async def test_a_ledger_that_should_be_there_and_is_not_is_told(problem: str | None, ran_before: bool) -> None:
    async with operator() as o:
        restored = Restored(fresh=True, problem=problem, doubt_since=None, positions={}, epoch=3)
        census(o, FakeLister([])).take_stock(restored, [tracker_body()], ran_before=ran_before)
        await passing(1.0)
        assert "LedgerMissing" in o.events.reasons
        assert o.metrics.registry.get_sample_value("pod_tracker_gaps_total") == 1


@in_virtual_time
async def test_what_waited_is_sent_and_nothing_else_again() -> None:
    before = Operator()
    before.reconciler.adopt([tracker_body()], resumed=False)
    before.engine.observe(pod(uid="told"), now=NOW)
    before.ledger.settle(before.ledger.outbox(), delivered=True)
    before.engine.observe(pod(uid="waits"), now=NOW)
    async with operator() as o:
        o.ledger.load([before.ledger.snapshot()])
        census(o, FakeLister([])).take_stock(RESUMED, [tracker_body()], ran_before=True)
        o.create_pod(uid="told")
        o.create_pod(uid="new")
        await passing(1.0)
        assert len(o.slack.attempts) == 2
        assert o.pods.asked == []
        await passing(10.0)
        assert o.sink.last()["delivered"] == 3


@in_virtual_time
async def test_what_waited_for_a_tracker_that_is_gone_is_dropped() -> None:
    before = Operator()
    before.reconciler.adopt([tracker_body()], resumed=False)
    before.engine.observe(pod(uid="waits"), now=NOW)
    async with operator() as o:
        o.ledger.load([before.ledger.snapshot()])
        census(o, FakeLister([])).take_stock(RESUMED, [], ran_before=True)
        await passing(1.0)
        assert o.slack.attempts == []
        assert o.ledger.trackers() == ()
        assert list(o.ledger.pods_in(None)) == []


@in_virtual_time
async def test_a_tracker_made_while_the_operator_was_away_lists_its_pods_where_the_watch_goes_on() -> None:
    async with operator() as o:
        census(o, FakeLister([])).take_stock(RESUMED, [tracker_body()], ran_before=True)
        await passing(1.0)
        assert len(o.pods.asked) == 1


@in_virtual_time
async def test_doubt_is_handed_on() -> None:
    async with operator() as o:
        restored = Restored(fresh=False, problem=None, doubt_since=NOW - 50.0, positions={"*": "1"}, epoch=2)
        census(o, FakeLister([])).take_stock(restored, [tracker_body()], ran_before=True)
        o.create_pod(uid="p1")
        await passing(1.0)
        assert [since for _, since in o.slack.looked_back] == [NOW - 50.0]


# counting again


@in_virtual_time
async def test_a_deletion_that_nobody_saw_is_found() -> None:
    async with operator() as o:
        one, two = tracker_body(uid="t1"), tracker_body("b", uid="t2")
        o.reconciler.adopt([one, two], resumed=False)
        keeping = asyncio.create_task(census(o, FakeLister([two])).keep_up())
        await passing(HEAL_INTERVAL + 1)
        assert o.reconciler.known() == {"t2"}
        keeping.cancel()


@in_virtual_time
async def test_a_change_that_nobody_saw_is_found() -> None:
    async with operator() as o:
        o.reconciler.adopt([tracker_body()], resumed=False)
        newer = [tracker_body(generation=2, pod_name="redis", edited=NOW + 5), tracker_body("b", uid="t2")]
        keeping = asyncio.create_task(census(o, FakeLister(newer)).keep_up())
        await passing(HEAL_INTERVAL + 1)
        assert o.reconciler.known() == {"t1", "t2"}
        o.create_pod("redis", created=NOW + 5)
        await passing(1.0)
        assert o.slack.texts == ["Pod redis was created"]
        keeping.cancel()


@in_virtual_time
async def test_a_list_that_failed_changes_nothing_and_is_made_again() -> None:
    async with operator() as o:
        o.reconciler.adopt([tracker_body()], resumed=False)
        lister = FakeLister(DOWN, [tracker_body()])
        keeping = asyncio.create_task(census(o, lister).keep_up())
        await passing(2 * HEAL_INTERVAL + 1)
        assert o.reconciler.known() == {"t1"}
        assert len(lister.asked) == 2
        keeping.cancel()


@in_virtual_time
async def test_a_tracker_made_while_the_list_travels_stays() -> None:
    async with operator() as o:
        o.reconciler.adopt([tracker_body()], resumed=False)
        lister = FakeLister([tracker_body()])
        lister.gate = asyncio.Event()
        keeping = asyncio.create_task(census(o, lister).keep_up())
        await passing(HEAL_INTERVAL + 1)
        o.reconciler.changed(tracker_body("b", uid="t2"))
        lister.gate.set()
        await quiet()
        assert o.reconciler.known() == {"t1", "t2"}
        keeping.cancel()


@in_virtual_time
async def test_a_tracker_deleted_while_the_list_travels_does_not_come_back() -> None:
    async with operator() as o:
        o.reconciler.adopt([tracker_body()], resumed=False)
        lister = FakeLister([tracker_body()])
        lister.gate = asyncio.Event()
        keeping = asyncio.create_task(census(o, lister).keep_up())
        await passing(HEAL_INTERVAL + 1)
        o.reconciler.deleted("t1")
        lister.gate.set()
        await quiet()
        assert o.reconciler.known() == frozenset()
        keeping.cancel()


# gaps


@pytest.mark.parametrize(("namespace", "told"), [(None, {"t1", "t2"}), ("team", {"t1"}), ("third", set())])
@in_virtual_time
async def test_a_gap_is_told_to_the_trackers_of_its_namespace(namespace: str | None, told: set[str]) -> None:
    async with operator() as o:
        o.reconciler.adopt([tracker_body(uid="t1"), tracker_body(uid="t2", namespace="other")], resumed=False)
        await passing(1.0)
        census(o, FakeLister([])).gap(namespace)
        await passing(1.0)
        assert {uid for uid, notice in o.events.recorded if notice.reason == "WatchGap"} == told
        assert o.metrics.registry.get_sample_value("pod_tracker_gaps_total") == 1
