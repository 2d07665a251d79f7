# SPDX-License-Identifier: Apache-2.0
"""The queue's contract, which is client-go's: a key waits once, is worked on once at a time, and is never lost."""

from __future__ import annotations

import asyncio

from podtracker.workqueue import WorkQueue
from unit.podtracker.virtual import clock, in_virtual_time, passing, quiet


async def taken(queue: WorkQueue) -> list[str]:
    """What can be had now."""
    found = []
    while True:
        try:
            async with asyncio.timeout(0.001):
                found.append(await queue.get())
        except TimeoutError:
            return found


@in_virtual_time
async def test_keys_come_in_the_order_they_were_added_each_once() -> None:
    queue = WorkQueue()
    for key in ("a", "b", "a", "c", "b"):
        queue.add(key)
    assert len(queue) == 3
    assert await taken(queue) == ["a", "b", "c"]
    assert len(queue) == 0


@in_virtual_time
async def test_groups_have_their_turns() -> None:
    queue = WorkQueue(lambda key: key[0])
    for number in range(1000):
        queue.add(f"a{number:03}")
    queue.add("b1")
    queue.add("c1")
    queue.add("b2")
    assert [await queue.get() for _ in range(6)] == ["a000", "b1", "c1", "a001", "b2", "a002"]
    queue.add("b1")
    queue.done("b1")
    assert [await queue.get() for _ in range(2)] == ["a003", "b1"]
    assert len(await taken(queue)) == 996
    assert not queue._ready


@in_virtual_time
async def test_getting_waits_for_a_key() -> None:
    queue = WorkQueue()
    getting = asyncio.create_task(queue.get())
    await passing(60.0)
    assert not getting.done()
    queue.add("a")
    assert await getting == "a"


@in_virtual_time
async def test_a_key_added_while_it_is_worked_on_comes_again_after() -> None:
    queue = WorkQueue()
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    queue.add("a")
    assert await taken(queue) == []
    queue.done("a")
    assert await taken(queue) == ["a"]
    queue.done("a")
    assert await taken(queue) == []


@in_virtual_time
async def test_a_key_that_was_done_can_be_added_again() -> None:
    queue = WorkQueue()
    for _ in range(3):
        queue.add("a")
        assert await queue.get() == "a"
        queue.done("a")


@in_virtual_time
async def test_many_workers_never_have_the_same_key() -> None:
    queue = WorkQueue()
    busy: set[str] = set()
    worked: list[str] = []

    async def work() -> None:
        while True:
            key = await queue.get()
            assert key not in busy
            busy.add(key)
            await asyncio.sleep(1.0)
            busy.discard(key)
            worked.append(key)
            queue.done(key)

    workers = [asyncio.create_task(work()) for _ in range(4)]
    for _ in range(3):
        for key in ("a", "b"):
            queue.add(key)
        await passing(0.3)
    await passing(10.0)
    for worker in workers:
        worker.cancel()
    assert sorted(worked) == ["a", "a", "b", "b"]


@in_virtual_time
async def test_a_key_for_later_comes_then() -> None:
    queue = WorkQueue()
    began = clock()
    queue.add_after("a", 30.0)
    assert len(queue) == 0
    assert await queue.get() == "a"
    assert 30.0 <= clock() - began < 30.1


@in_virtual_time
async def test_the_sooner_of_two_times_counts() -> None:
    queue = WorkQueue()
    began = clock()
    queue.add_after("a", 30.0)
    queue.add_after("a", 10.0)
    queue.add_after("a", 20.0)
    assert await queue.get() == "a"
    assert 10.0 <= clock() - began < 10.1
    queue.done("a")
    await passing(60.0)
    assert await taken(queue) == []


@in_virtual_time
async def test_now_wins_over_later() -> None:
    queue = WorkQueue()
    queue.add_after("a", 10.0)
    queue.add("a")
    assert await taken(queue) == ["a"]
    queue.done("a")
    await passing(60.0)
    assert await taken(queue) == []


@in_virtual_time
async def test_later_adds_nothing_to_a_key_that_waits() -> None:
    queue = WorkQueue()
    queue.add("a")
    queue.add_after("a", 1.0)
    assert await taken(queue) == ["a"]
    queue.done("a")
    await passing(60.0)
    assert await taken(queue) == []


@in_virtual_time
async def test_a_worker_may_plan_its_own_key_for_later() -> None:
    queue = WorkQueue()
    queue.add("a")
    key = await queue.get()
    queue.add_after(key, 5.0)
    queue.done(key)
    assert await taken(queue) == []
    await passing(6.0)
    assert await taken(queue) == ["a"]


@in_virtual_time
async def test_a_time_that_comes_while_the_key_is_worked_on_is_not_lost() -> None:
    queue = WorkQueue()
    queue.add("a")
    key = await queue.get()
    queue.add_after(key, 5.0)
    await passing(10.0)
    assert await taken(queue) == []
    queue.done(key)
    assert await taken(queue) == ["a"]


@in_virtual_time
async def test_discarding_forgets_what_was_planned() -> None:
    queue = WorkQueue()
    queue.add_after("a", 5.0)
    queue.discard("a")
    queue.discard("a")
    await passing(60.0)
    assert await taken(queue) == []
    queue.add_after("a", 5.0)
    await passing(6.0)
    assert await taken(queue) == ["a"]


@in_virtual_time
async def test_closing_forgets_all_that_was_planned() -> None:
    queue = WorkQueue()
    for key in ("a", "b"):
        queue.add_after(key, 5.0)
    queue.add("c")
    queue.close()
    await passing(60.0)
    assert await taken(queue) == ["c"]


@in_virtual_time
async def test_a_worker_that_is_cancelled_while_it_waits_takes_no_key_with_it() -> None:
    queue = WorkQueue()
    getting = asyncio.create_task(queue.get())
    await quiet()
    queue.add("a")
    getting.cancel()
    await quiet()
    if getting.cancelled():
        assert await taken(queue) == ["a"]
    else:
        assert getting.result() == "a"
