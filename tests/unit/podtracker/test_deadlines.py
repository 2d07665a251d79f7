# SPDX-License-Identifier: Apache-2.0
"""What lasted too long is told after a look at the pod itself, however late the watch is, and whoever is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from podtracker.deadlines import AT_ONCE, RETRY, Deadlines
from podtracker.owners import Owners
from unit.podtracker.assembly import Operator, operator
from unit.podtracker.builders import NOW, page, pod, pod_body, ready, stamp, tracker_body
from unit.podtracker.fakes import DOWN, FORBIDDEN
from unit.podtracker.virtual import clock, in_virtual_time, passing

NOWHERE = {
    "phase": "Pending",
    "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": stamp(NOW)}
    ],
}


def body(uid: str = "p1", version: int = 2, status: Any = NOWHERE) -> dict[str, Any]:
    return pod_body(uid=uid, version=version) | {"status": status}


@asynccontextmanager
async def watching() -> AsyncIterator[Operator]:
    async with operator() as o:
        began = clock()
        deadlines = Deadlines(
            o.pods,
            o.engine,
            o.ledger,
            owners=Owners(o.owned, o.index, clock=clock),
            dispatcher=o.dispatcher,
            wall=lambda: NOW + clock() - began,
        )
        o.reconciler.adopt([tracker_body(spec={"events": ["Unschedulable", "Ready"]})], resumed=False)
        running = asyncio.create_task(deadlines.run())
        try:
            yield o
            assert not running.done()
        finally:
            running.cancel()


@in_virtual_time
async def test_a_pod_that_is_still_unschedulable_is_told() -> None:
    async with watching() as o:
        o.create_pod(uid="p1", status=NOWHERE)
        o.pods.answers.append(page([body()]))
        await passing(58.0)
        assert o.pods.asked == []
        await passing(4.0)
        assert len(o.slack.texts) == 1
        assert "nginx" in o.slack.texts[0]
        assert [asked["fields"] for asked in o.pods.asked] == ["metadata.name=nginx"]
        await passing(600.0)
        assert len(o.pods.asked) == 1


@in_virtual_time
async def test_a_pod_that_got_over_it_is_told_as_what_it_is() -> None:
    async with watching() as o:
        o.create_pod(uid="p1", status=NOWHERE)
        o.pods.answers.append(page([body(status=ready())]))
        await passing(70.0)
        assert len(o.slack.texts) == 1
        assert "ready" in o.slack.texts[0]


@in_virtual_time
async def test_a_pod_that_is_gone_or_was_made_anew_is_no_news() -> None:
    async with watching() as o:
        o.create_pod("a", uid="p1", status=NOWHERE)
        o.create_pod(uid="p1", status=NOWHERE)
        o.pods.answers.append(page([body(uid="another")]))
        await passing(600.0)
        assert o.slack.texts == []
        assert len(o.pods.asked) == 1
        assert o.ledger.due_pods(NOW + 9999) == []


@in_virtual_time
async def test_a_pod_that_goes_while_it_is_read_does_not_come_back() -> None:
    async with watching() as o:
        o.create_pod(uid="p1", status=NOWHERE)
        o.pods.answers.append(page([body()]))
        o.pods.gate = asyncio.Event()
        await passing(62.0)
        assert len(o.pods.asked) == 1
        o.dispatcher.submit(o.engine.remove(pod(uid="p1"), now=NOW + 62))
        o.pods.gate.set()
        await passing(5.0)
        assert o.slack.texts == []
        assert o.ledger.pod("p1") is None


@in_virtual_time
async def test_an_api_server_that_is_away_is_asked_again() -> None:
    async with watching() as o:
        o.create_pod(uid="p1", status=NOWHERE)
        o.pods.answers.extend([DOWN, DOWN, page([body()])])
        await passing(90.0)
        assert len(o.slack.texts) == 1


@in_virtual_time
async def test_a_namespace_that_may_not_be_read_keeps_no_other_waiting() -> None:
    async with watching() as o:
        o.reconciler.changed(tracker_body(uid="t2", namespace="closed", spec={"events": ["Unschedulable"]}))
        await passing(1.0)
        o.pods.refused["closed"] = FORBIDDEN
        for number in range(AT_ONCE + 5):
            found = pod(uid=f"c{number}", namespace="closed", status=NOWHERE)
            o.dispatcher.submit(o.engine.observe(found, now=NOW))
        o.create_pod(uid="p1", status=NOWHERE)
        o.pods.answers.append(page([body()]))
        asked = len(o.pods.asked)
        await passing(90.0)
        assert len(o.slack.texts) == 1
        closed = [one for one in o.pods.asked[asked:] if one["namespace"] == "closed"]
        assert 2 <= len(closed) <= 30 / RETRY + 1


@in_virtual_time
async def test_a_deadline_survives_a_restart() -> None:
    async with watching() as o:
        o.create_pod(uid="p1", status=NOWHERE)
        kept = o.ledger.snapshot()
    async with watching() as again:
        again.ledger.load([kept])
        again.pods.answers.append(page([body()]))
        await passing(70.0)
        assert len(again.slack.texts) == 1


@in_virtual_time
async def test_many_that_are_due_together_are_all_told() -> None:
    async with watching() as o:
        for number in range(100):
            o.dispatcher.submit(o.engine.observe(pod(uid=f"p{number}", status=NOWHERE), now=NOW))
            o.pods.answers.append(page([body(f"p{number}")]))
        await passing(90.0)
        assert len(o.pods.asked) == 100
        assert o.ledger.due_pods(NOW + 9999) == []
