# SPDX-License-Identifier: Apache-2.0
"""The ledger survives: commits, folds, takeovers, lost answers and crashes anywhere."""

from __future__ import annotations

import asyncio
import random

import pytest

from podtracker.checkpoint import FOLD_AT, MAX_JOURNAL, POSITION_EVERY, Restored
from podtracker.errors import KubeError
from podtracker.journal import JOURNAL, SHARDS, DeposedError
from podtracker.ledger import Delta, Ledger
from podtracker.records import FORMAT, NewerFormatError
from unit.podtracker.builders import NOW
from unit.podtracker.fakes_cluster import CONFLICT, NOT_FOUND, FakeMaps, Lost
from unit.podtracker.ledger_process import Process, in_both, process, random_name, stored
from unit.podtracker.virtual import clock, in_virtual_time, passing

DOWN = KubeError(0, "Unreachable", "connection refused")


# the plain way


@in_virtual_time
async def test_the_first_start_is_fresh() -> None:
    store = FakeMaps()
    restored = await Process(store).start()
    assert restored == Restored(fresh=True, problem=None, doubt_since=None, positions={}, epoch=1)
    assert set(store.maps) == {JOURNAL}


@in_virtual_time
async def test_what_was_committed_is_there_after_a_crash() -> None:
    store = FakeMaps()
    async with process(store) as p:
        p.positions["*"] = "41"
        for number in range(5):
            p.change(number)
            await p.checkpoint.commit()
    ledger, restored = await stored(store)
    assert ledger.snapshot() == p.ledger.snapshot()
    assert (restored.fresh, restored.positions, restored.epoch) == (False, {"*": "41"}, 2)


@in_virtual_time
async def test_what_was_kept_in_order_is_there_without_doubt() -> None:
    store = FakeMaps()
    p = Process(store)
    await p.start()
    p.change()
    await p.stop()
    ledger, restored = await stored(store)
    assert ledger.snapshot() == p.ledger.snapshot()
    assert restored.doubt_since is None


@in_virtual_time
async def test_many_who_wait_share_a_write() -> None:
    async with process(FakeMaps()) as p:
        before = p.store.faults.writes
        p.change()
        await asyncio.gather(*(p.checkpoint.commit() for _ in range(100)))
        assert p.store.faults.writes - before <= 2


@in_virtual_time
async def test_a_commit_of_nothing_writes_nothing() -> None:
    async with process(FakeMaps()) as p:
        p.change()
        await p.checkpoint.commit()
        before = p.store.faults.writes
        for _ in range(10):
            await p.checkpoint.commit()
        assert p.store.faults.writes == before


@in_virtual_time
async def test_a_commit_does_not_end_before_its_changes_are_stored() -> None:
    async with process(FakeMaps()) as p:
        p.change()
        p.store.faults.plan.extend([("before", DOWN)] * 5)
        committing = asyncio.create_task(p.checkpoint.commit())
        await passing(0.3)
        assert not committing.done()
        await passing(60.0)
        assert committing.done()
        assert (await stored(p.store))[0].snapshot() == p.ledger.snapshot()


@in_virtual_time
async def test_what_nobody_waits_for_is_committed_soon() -> None:
    store = FakeMaps()
    async with process(store) as p:
        await passing(10.0)
        p.change()
        await passing(2.0)
        assert (await stored(store))[0].snapshot() == p.ledger.snapshot()


@in_virtual_time
async def test_a_burst_that_nobody_waits_for_is_few_writes() -> None:
    async with process(FakeMaps()) as p:
        before = p.store.faults.writes
        for number in range(200):
            p.change(number)
            await passing(0.01)
        await passing(5.0)
        assert p.store.faults.writes - before <= 8


@in_virtual_time
async def test_a_position_alone_is_committed_now_and_then() -> None:
    store = FakeMaps()
    async with process(store) as p:
        before = store.faults.writes
        for version in range(100):
            p.positions["*"] = str(version)
            await passing(1.0)
        assert 2 <= store.faults.writes - before <= 100 / POSITION_EVERY + 1
        assert int((await stored(store))[1].positions["*"]) >= 60


@in_virtual_time
async def test_a_position_that_is_not_known_now_stays_what_it_was() -> None:
    store = FakeMaps()
    async with process(store) as p:
        p.positions |= {"a": "5", "b": "6"}
        p.change(1)
        await p.checkpoint.commit()
        p.positions["a"] = ""
        p.change(2)
        await p.checkpoint.commit()
    assert (await stored(store))[1].positions == {"a": "5", "b": "6"}


@in_virtual_time
async def test_the_position_of_a_scope_that_is_not_watched_any_more_goes() -> None:
    store = FakeMaps()
    async with process(store) as p:
        p.positions["*"] = "5"
        p.change(1)
        await p.checkpoint.commit()
        p.positions = {"a": ""}
        p.change(2)
        await p.checkpoint.commit()
    assert (await stored(store))[1].positions == {}


# folding


@in_virtual_time
async def test_a_long_journal_is_folded_into_shards() -> None:
    store, dice = FakeMaps(), random.Random(1)  # noqa: S311 - names, no secrets
    async with process(store) as p:
        longest = 0
        for number in range(600):
            p.change(number, f"t{number % 7}", random_name(dice, 400))
            if number % 50 == 49:
                await p.checkpoint.commit()
                longest = max(longest, sum(map(len, store.maps[JOURNAL].binary.values())))
        assert len(store.maps) > 2
        assert longest <= MAX_JOURNAL
        assert p.checkpoint.stored_bytes > 0
    ledger, restored = await stored(store)
    assert ledger.snapshot() == p.ledger.snapshot()
    assert not restored.fresh


@in_virtual_time
async def test_a_commit_does_not_wait_for_a_fold() -> None:
    store, dice = FakeMaps(), random.Random(3)  # noqa: S311 - names, no secrets
    async with process(store) as p:
        for number in range(120):
            p.change(number, "t1", random_name(dice, 400))
        await p.checkpoint.commit()
        assert sum(map(len, store.maps[JOURNAL].binary.values())) > FOLD_AT
        shards = len(store.maps)
        p.change(1000)
        await p.checkpoint.commit()
        assert len(store.maps) <= shards + 1
        assert (await stored(store))[0].knows("t1", "p1000")


@in_virtual_time
async def test_a_commit_that_is_too_large_for_the_journal_goes_into_the_shards() -> None:
    store, dice = FakeMaps(), random.Random(2)  # noqa: S311 - names, no secrets
    async with process(store) as p:
        for number in range(1200):
            p.change(number, "t1", random_name(dice, 400))
        await p.checkpoint.commit()
        assert sum(map(len, store.maps[JOURNAL].binary.values())) == 0
        assert all(sum(map(len, kept.binary.values())) < 900_000 for kept in store.maps.values())
    assert (await stored(store))[0].snapshot() == p.ledger.snapshot()


@in_virtual_time
async def test_the_journal_goes_on_after_a_restart_in_the_middle_of_it() -> None:
    store = FakeMaps()
    kept = Delta()
    for generation in range(5):
        async with process(store, holder=f"h{generation}") as p:
            p.change(generation)
            await p.checkpoint.commit()
            kept = p.ledger.snapshot()
    ledger, restored = await stored(store)
    assert ledger.snapshot() == kept
    assert restored.epoch == 6


# what is in doubt


@in_virtual_time
async def test_after_a_crash_what_was_in_flight_is_in_doubt_since_the_last_commit() -> None:
    store = FakeMaps()
    async with process(store) as p:
        p.change()
        await p.checkpoint.commit()
        committed = NOW + clock()
        await passing(100.0)
        p.change(2)
        await p.checkpoint.commit()
        late = NOW + clock()
    doubt = (await stored(store))[1].doubt_since
    assert doubt is not None
    assert committed <= doubt <= late


@in_virtual_time
async def test_doubt_lives_on_through_crashes_until_it_is_settled() -> None:
    store = FakeMaps()
    async with process(store) as p:
        p.change()
        await p.checkpoint.commit()
    first = (await stored(store))[1].doubt_since
    await passing(1000.0)
    second = Process(store)
    assert (await second.start()).doubt_since == first
    await second.kill()
    third = Process(store)
    assert (await third.start()).doubt_since == first
    third.checkpoint.settled()
    await third.stop(clean=True)
    assert (await stored(store))[1].doubt_since is None


@in_virtual_time
async def test_an_end_with_something_in_flight_leaves_doubt() -> None:
    store = FakeMaps()
    p = Process(store)
    await p.start()
    p.change()
    await p.stop(clean=False)
    assert (await stored(store))[1].doubt_since is not None


@in_virtual_time
async def test_an_orderly_end_does_not_settle_older_doubt() -> None:
    store = FakeMaps()
    async with process(store) as p:
        p.change()
        await p.checkpoint.commit()
    second = Process(store)
    doubt = (await second.start()).doubt_since
    await second.stop(clean=True)
    assert doubt is not None
    assert (await stored(store))[1].doubt_since == doubt


# two at a time


@in_virtual_time
async def test_who_was_deposed_fails_at_its_next_write_and_changes_nothing() -> None:
    store = FakeMaps()
    async with process(store, "old") as old:
        old.change(1)
        await old.checkpoint.commit()
        async with process(store, "new") as new:
            new.change(2)
            await new.checkpoint.commit()
            before = dict(store.maps)
            old.change(3)
            committing = asyncio.create_task(old.checkpoint.commit())
            await passing(60.0)
            assert old.running is not None
            assert old.running.done()
            with pytest.raises(DeposedError, match="new has taken the ledger over"):
                old.running.result()
            assert not committing.done()
            committing.cancel()
            assert store.maps == before


@in_virtual_time
async def test_who_was_deposed_cannot_fold_either() -> None:
    store = FakeMaps()
    old = Process(store, "old")
    await old.start()
    old.change(1)
    await old.checkpoint.commit()
    await old.stop()
    old.change(2)
    async with process(store, "new") as new:
        new.change(3)
        await new.checkpoint.commit()
        with pytest.raises(DeposedError):
            await old.checkpoint.close(clean=True)
    assert (await stored(store))[0].snapshot() == new.ledger.snapshot()


@in_virtual_time
async def test_a_takeover_that_somebody_else_was_faster_at_reads_again() -> None:
    store = FakeMaps()
    async with process(store) as p:
        p.change()
        await p.checkpoint.commit()
        slow = Process(store, "slow")
        store.faults.plan.append(("before", CONFLICT))
        restored = await slow.checkpoint.restore()
        assert not restored.fresh
        assert slow.ledger.snapshot() == p.ledger.snapshot()


# answers that get lost, objects that get lost


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("when", ["before", "after"])
@in_virtual_time
async def test_a_write_whose_answer_is_lost_is_done_once(when: str, times: int) -> None:
    store = FakeMaps()
    async with process(store) as p:
        for number in range(6):
            p.change(number)
            store.faults.plan.extend([(when, DOWN)] * times)
            await p.checkpoint.commit()
            store.faults.plan.clear()
        kept = p.ledger.snapshot()
    ledger, _ = await stored(store)
    assert ledger.snapshot() == kept


@in_virtual_time
async def test_a_journal_that_was_deleted_in_use_is_made_anew_with_everything() -> None:
    store = FakeMaps()
    async with process(store) as p:
        for number in range(3):
            p.change(number)
            await p.checkpoint.commit()
        del store.maps[JOURNAL]
        p.change(7)
        await p.checkpoint.commit()
        p.change(8)
        await p.checkpoint.commit()
        kept = p.ledger.snapshot()
    ledger, restored = await stored(store)
    assert ledger.snapshot() == kept
    assert not restored.fresh


@in_virtual_time
async def test_a_shard_that_was_deleted_or_edited_in_use_is_written_anew() -> None:
    store = FakeMaps()
    p = Process(store)
    await p.start()
    p.change()
    await p.stop()
    shards = [name for name in store.maps if name in SHARDS]
    again = Process(store, "again")
    await again.start()
    again.change(2)
    del store.maps[shards[0]]
    for name in shards[1:]:
        await store.create_map(name, data={"somebody": "was here"}, binary={})
    again.change(1, name="renamed")
    await again.stop()
    assert (await stored(store))[0].snapshot() == again.ledger.snapshot()


@pytest.mark.parametrize("damage", ["head", "segment", "shard", "no shard", "no head", "no end", "no number"])
@in_virtual_time
async def test_a_damaged_ledger_is_told_and_begun_anew(damage: str) -> None:
    store = (await in_both()).store
    shard = next(name for name in store.maps if name in SHARDS)
    journal = store.maps[JOURNAL]
    if damage == "head":
        journal.data = dict.fromkeys(journal.data, "{")
    elif damage == "no head":
        journal.data = {}
    elif damage == "segment":
        journal.binary = dict.fromkeys(journal.binary, b"\x01nonsense")
    elif damage == "no number":
        journal.binary = {f"x{key}": segment for key, segment in journal.binary.items()}
    elif damage == "no end":
        store.maps[shard].data = dict.fromkeys(store.maps[shard].data, "x")
    elif damage == "shard":
        store.maps[shard].binary = dict.fromkeys(store.maps[shard].binary, b"")
    else:
        del store.maps[shard]
    async with process(store, "next") as after:
        assert after.ledger.snapshot() == Ledger().snapshot()
        after.change(5)
        await after.checkpoint.commit()
    ledger, restored = await stored(store)
    assert ledger.snapshot() == after.ledger.snapshot()
    assert not restored.fresh


@in_virtual_time
async def test_what_was_wrong_with_a_damaged_ledger_is_said() -> None:
    store = FakeMaps()
    async with process(store) as p:
        p.change()
        await p.checkpoint.commit()
    store.maps[JOURNAL].binary = dict.fromkeys(store.maps[JOURNAL].binary, b"\x01nonsense")
    _, restored = await stored(store)
    assert restored.fresh
    assert restored.problem
    assert restored.doubt_since is not None


@pytest.mark.parametrize("where", ["head", "segment"])
@in_virtual_time
async def test_a_ledger_of_a_newer_version_is_left_alone(where: str) -> None:
    store = FakeMaps()
    async with process(store) as p:
        p.change()
        await p.checkpoint.commit()
    journal = store.maps[JOURNAL]
    if where == "head":
        journal.data = {
            key: text.replace(f'"format":{FORMAT}', f'"format":{FORMAT + 1}') for key, text in journal.data.items()
        }
    else:
        journal.binary = {key: bytes((FORMAT + 1,)) + raw[1:] for key, raw in journal.binary.items()}
    before = (journal.version, dict(journal.binary))
    with pytest.raises(NewerFormatError):
        await Process(store, "older").checkpoint.restore()
    assert (store.maps[JOURNAL].version, store.maps[JOURNAL].binary) == before


@in_virtual_time
async def test_an_api_server_that_is_away_at_the_start_is_no_fresh_start() -> None:
    class Away(FakeMaps):
        async def get_map(self, name: str) -> object:  # type: ignore[override]
            raise DOWN if name == JOURNAL else NOT_FOUND

    with pytest.raises(KubeError):
        await Process(Away()).checkpoint.restore()


# crashes anywhere


Found = set[tuple[str, str]]
"""Trackers and pods."""


def holds(ledger: Ledger, found: Found) -> bool:
    """Whether a ledger has all of these, told and waiting; it may have more."""
    waiting = {(one.tracker, one.pod_uid) for one in ledger.outbox()}
    return found <= waiting and all(ledger.knows(tracker, pod) for tracker, pod in found)


def whole(ledger: Ledger) -> bool:
    """Whether the pod of everything that waits is known: or it would be found, and told, once more."""
    return all(ledger.knows(waiting.tracker, waiting.pod_uid) for waiting in ledger.outbox())


async def live(p: Process, dice: random.Random, committed: Found) -> Found:
    """Find and commit until the process is killed, or ends in order; gives what was committed."""
    assert p.running is not None
    found = set(committed)
    for _ in range(20):
        for _ in range(dice.randrange(1, 25)):
            number, tracker = dice.randrange(10_000), f"t{dice.randrange(3)}"
            p.change(number, tracker, random_name(dice, 500))
            found.add((tracker, f"p{number}"))
        before = set(found)
        committing = asyncio.create_task(p.checkpoint.commit())
        await asyncio.wait([committing, p.running], return_when=asyncio.FIRST_COMPLETED)
        if p.running.done():
            committing.cancel()
            return committed
        committed = before
    p.store.faults.plan.clear()
    await p.stop(clean=dice.random() < 0.5)
    return found


@pytest.mark.parametrize("seed", range(6))
@in_virtual_time
async def test_a_crash_anywhere_loses_nothing_that_was_committed_and_tears_nothing_apart(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - it chooses crashes
    store = FakeMaps()
    committed: Found = set()
    for life in range(5):
        p = Process(store, f"h{life}")
        await p.start()
        assert holds(p.ledger, committed)
        assert whole(p.ledger)
        store.faults.plan.extend([None] * dice.randrange(1, 40))
        store.faults.plan.append((dice.choice(["before", "after"]), Lost()))
        committed = await live(p, dice, committed)
        store.faults.plan.clear()
        await p.kill()
