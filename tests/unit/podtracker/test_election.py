# SPDX-License-Identifier: Apache-2.0
"""Leadership: one at a time, handed on quickly, and never two who send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from podtracker.election import Elector, NotLeadingError, Timing
from podtracker.errors import KubeError
from unit.podtracker.fakes_cluster import CONFLICT, FakeLeases
from unit.podtracker.virtual import clock, in_virtual_time, passing

TIMING = Timing(duration=8.0, renew_deadline=5.0, retry=1.0, in_flight=10.0)
DOWN = KubeError(0, "Unreachable", "connection refused")


def candidate(store: FakeLeases, identity: str) -> Elector:
    return Elector(store, identity=identity, timing=TIMING, clock=clock, now=lambda: "2027-01-01T00:00:00.000000Z")


@asynccontextmanager
async def leader(store: FakeLeases, identity: str) -> AsyncIterator[tuple[Elector, asyncio.Task[None]]]:
    """One that leads and renews."""
    elector = candidate(store, identity)
    await elector.acquire()
    renewing = asyncio.create_task(elector.run())
    try:
        yield elector, renewing
    finally:
        renewing.cancel()
        with suppress(asyncio.CancelledError, NotLeadingError):
            await renewing


@in_virtual_time
async def test_the_first_leads_at_once() -> None:
    store = FakeLeases()
    elector = candidate(store, "a")
    assert not elector.leading()
    began = clock()
    await elector.acquire()
    assert elector.leading()
    assert elector.created
    assert clock() - began < 0.1
    assert store.specs[0] == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 8,
        "acquireTime": "2027-01-01T00:00:00.000000Z",
        "renewTime": "2027-01-01T00:00:00.000000Z",
        "leaseTransitions": 0,
    }


@in_virtual_time
async def test_who_renews_leads_on() -> None:
    store = FakeLeases()
    async with leader(store, "a") as (elector, renewing):
        for _ in range(100):
            await passing(1.0)
            assert elector.leading()
        assert not renewing.done()


@in_virtual_time
async def test_a_second_waits_while_the_first_renews() -> None:
    store = FakeLeases()
    async with leader(store, "a"):
        second = candidate(store, "b")
        waiting = asyncio.create_task(second.acquire())
        await passing(600.0)
        assert not waiting.done()
        assert second.asked
        assert not second.leading()
        waiting.cancel()


@in_virtual_time
async def test_a_released_lease_is_taken_at_once() -> None:
    store = FakeLeases()
    async with leader(store, "a") as (first, renewing):
        second = candidate(store, "b")
        waiting = asyncio.create_task(second.acquire())
        await passing(10.0)
        renewing.cancel()
        await first.release()
        assert not first.leading()
        await passing(TIMING.retry + 0.1)
        assert waiting.done()
        assert second.leading()
        assert not second.created
        assert store.lease is not None
        assert (store.lease.holder, store.lease.transitions) == ("b", 1)


@in_virtual_time
async def test_a_holder_that_is_gone_is_succeeded_when_nothing_of_it_can_be_in_flight() -> None:
    store = FakeLeases()
    async with leader(store, "a") as (_, renewing):
        second = candidate(store, "b")
        waiting = asyncio.create_task(second.acquire())
        await passing(10.0)
        renewing.cancel()
        gone = clock()
        last_can_arrive = gone + TIMING.renew_deadline + TIMING.in_flight
        await passing(TIMING.duration + 1.0)
        assert store.lease is not None
        assert not waiting.done()
        while not waiting.done():
            await passing(0.1)
        assert last_can_arrive - TIMING.retry <= clock() <= last_can_arrive + 2 * TIMING.retry
        assert second.leading()


@in_virtual_time
async def test_the_same_pod_restarted_goes_on_at_once() -> None:
    store = FakeLeases()
    async with leader(store, "a") as (_, renewing):
        renewing.cancel()
        again = candidate(store, "a")
        began = clock()
        await again.acquire()
        assert clock() - began < 0.1
        assert again.leading()


@in_virtual_time
async def test_a_leader_that_cannot_renew_pauses_and_goes_on_when_it_can() -> None:
    store = FakeLeases()
    async with leader(store, "a") as (elector, renewing):
        store.down = True
        await passing(TIMING.renew_deadline - 1.1)
        assert elector.leading()
        await passing(2.2)
        lost = elector.leading()
        waiting = asyncio.create_task(elector.wait_leading())
        await passing(600.0)
        assert (lost, waiting.done(), renewing.done()) == (False, False, False)
        store.down = False
        await passing(2.0)
        assert waiting.done()
        assert elector.leading()


@in_virtual_time
async def test_who_leads_does_not_wait_for_it() -> None:
    async with leader(FakeLeases(), "a") as (elector, _):
        began = clock()
        await elector.wait_leading()
        assert clock() - began < 0.01


@in_virtual_time
async def test_a_leader_whose_lease_somebody_holds_ends() -> None:
    store = FakeLeases()
    async with leader(store, "a") as (elector, renewing):
        store.put("b")
        await passing(2.0)
        with pytest.raises(NotLeadingError, match="b holds the lease"):
            renewing.result()
        await elector.release()
        assert store.lease is not None
        assert store.lease.holder == "b"


@in_virtual_time
async def test_a_leader_whose_lease_is_deleted_ends() -> None:
    store = FakeLeases()
    async with leader(store, "a") as (_, renewing):
        store.lease = None
        await passing(2.0)
        with pytest.raises(NotLeadingError, match="deleted"):
            renewing.result()


@pytest.mark.parametrize("when", ["before", "after"])
@in_virtual_time
async def test_a_renewal_whose_answer_is_lost_ends_nothing(when: str) -> None:
    store = FakeLeases()
    async with leader(store, "a") as (elector, renewing):
        for _ in range(10):
            store.faults.plan.append((when, DOWN))
            await passing(3.0)
            assert elector.leading()
        assert not renewing.done()


@in_virtual_time
async def test_a_strangers_edit_of_the_lease_ends_nothing() -> None:
    store = FakeLeases()
    async with leader(store, "a") as (elector, renewing):
        store.put("a", transitions=5)
        await passing(3.0)
        assert elector.leading()
        assert not renewing.done()


@in_virtual_time
async def test_of_two_who_try_at_once_one_leads() -> None:
    store = FakeLeases()
    store.put("")
    electors = [candidate(store, name) for name in "abc"]
    waiting = [asyncio.create_task(elector.acquire()) for elector in electors]
    await passing(0.5)
    assert sum(task.done() for task in waiting) == 1
    assert sum(elector.leading() for elector in electors) == 1
    for task in waiting:
        task.cancel()


@in_virtual_time
async def test_an_api_server_that_is_away_is_asked_again() -> None:
    store = FakeLeases()
    store.down = True
    elector = candidate(store, "a")
    waiting = asyncio.create_task(elector.acquire())
    await passing(60.0)
    assert not waiting.done()
    asked = elector.asked
    store.down = False
    await passing(2.0)
    assert (asked, elector.asked) == (False, True)
    assert waiting.done()


@pytest.mark.parametrize("fault", [("before", CONFLICT), ("before", DOWN)], ids=["conflict", "down"])
@in_virtual_time
async def test_a_first_write_that_fails_is_tried_again(fault: tuple[str, Exception]) -> None:
    store = FakeLeases()
    store.faults.plan.append(fault)
    elector = candidate(store, "a")
    await elector.acquire()
    assert elector.leading()


@in_virtual_time
async def test_somebody_elses_takeover_while_the_last_holder_may_still_send_ends_the_wait() -> None:
    store = FakeLeases()
    store.put("gone")
    second = candidate(store, "b")
    waiting = asyncio.create_task(second.acquire())
    await passing(TIMING.duration + 2.5)
    assert store.lease is not None
    assert store.lease.holder == "b"
    store.put("c")
    await passing(5.0)
    with pytest.raises(NotLeadingError):
        waiting.result()


@pytest.mark.parametrize("slow", [0.5, 3.0, 6.0, 9.0, 20.0])
@in_virtual_time
async def test_a_slow_api_server_does_not_make_two_leaders(slow: float) -> None:
    """Each request takes that long; the holder renews as well as it can."""
    store = FakeLeases()
    async with leader(store, "a") as (first, renewing):
        store.slow = slow
        second = candidate(store, "b")
        waiting = asyncio.create_task(second.acquire())
        last_send = clock()
        for _ in range(600):
            await passing(0.2)
            if first.leading():
                last_send = clock()
            if waiting.done():
                assert clock() >= last_send + TIMING.in_flight - 0.2
                assert not first.leading()
                break
        waiting.cancel()
        del renewing


@in_virtual_time
async def test_a_single_slow_look_does_not_depose_a_holder_that_renews() -> None:
    store = FakeLeases()
    async with leader(store, "a") as (first, renewing):
        store.next_get = TIMING.duration + 1.0
        second = candidate(store, "b")
        waiting = asyncio.create_task(second.acquire())
        for _ in range(60):
            await passing(1.0)
            assert first.leading()
        assert not renewing.done()
        assert not waiting.done()
        waiting.cancel()


@in_virtual_time
async def test_releasing_survives_an_api_server_that_is_away() -> None:
    store = FakeLeases()
    async with leader(store, "a") as (elector, _):
        store.down = True
        await elector.release()
        assert not elector.leading()


@pytest.mark.parametrize(("holder", "left"), [("a", ""), ("b", "b")])
@in_virtual_time
async def test_a_lease_that_changed_under_way_is_released_where_it_is_still_held(holder: str, left: str) -> None:
    """As by a renewal that was given up and arrived all the same; or by another who has taken over."""
    store = FakeLeases()
    async with leader(store, "a") as (elector, renewing):
        renewing.cancel()
        store.put(holder)
        await elector.release()
        assert store.lease is not None
        assert store.lease.holder == left


@in_virtual_time
async def test_releasing_what_was_never_held_is_fine() -> None:
    store = FakeLeases()
    await candidate(store, "a").release()
    assert store.specs == []
