# SPDX-License-Identifier: Apache-2.0
"""The ledger after crashes at any write: each pod as it once was, no earlier than committed; and short lives get on."""

from __future__ import annotations

import asyncio
import random
from typing import TypeAlias

import msgspec
import pytest

from podtracker import checkpoint
from podtracker.journal import JOURNAL, SHARDS
from podtracker.ledger import Ledger, Notification, PodRecord
from podtracker.records import FORMAT
from unit.podtracker.builders import CREATED, SEEN, record, who
from unit.podtracker.fakes_cluster import FakeMaps, Lost
from unit.podtracker.ledger_process import Process, in_both, process, random_name, stored
from unit.podtracker.virtual import in_virtual_time, passing

State: TypeAlias = tuple[PodRecord | None, frozenset[Notification]]
"""What is known of a pod, and what waits because of it: of the same moment, or something is told twice or never."""

PODS = [f"p{number}" for number in range(8)]


def state(ledger: Ledger, pod: str) -> State:
    waiting = frozenset(one for one in ledger.outbox() if one.pod_uid == pod)
    known = ledger.pod(pod)
    return None if known is None else msgspec.structs.replace(known), waiting


class History:
    """All states that each pod has had, over all lives."""

    def __init__(self) -> None:
        self.states: dict[str, list[State]] = {pod: [(None, frozenset())] for pod in PODS}
        self.committed = dict.fromkeys(PODS, 0)
        """The place of the state that must not be forgotten any more."""
        self.happened = 0

    def step(self, ledger: Ledger, dice: random.Random) -> None:
        """Something happens to a pod, or is told."""
        pod = dice.choice(PODS)
        _, waiting = state(ledger, pod)
        if waiting and dice.random() < 0.5:
            ledger.settle([min(waiting, key=lambda one: one.order)], delivered=True)
        elif ledger.pod(pod) is not None and dice.random() < 0.1:
            ledger.forget_pod(pod)
        else:
            self.happened += 1
            happening = msgspec.structs.replace(CREATED, container=f"c{self.happened}")
            ledger.put_pod(pod, "team", random_name(dice, 100), ("t1",), SEEN)
            ledger.found("t1", happening, pod=who(pod, "nginx", "team"))
        self.states[pod].append(state(ledger, pod))

    def places(self) -> dict[str, int]:
        return {pod: len(states) - 1 for pod, states in self.states.items()}

    def resume(self, ledger: Ledger) -> None:
        """Compare with what was restored, and go on from there."""
        for pod, states in self.states.items():
            found = state(ledger, pod)
            assert found in states[self.committed[pod] :], f"{pod} is as it never was since the last commit"
            self.committed[pod] = 0
            self.states[pod] = [found]


async def live(p: Process, history: History, dice: random.Random) -> None:
    """Go on until the process is killed."""
    assert p.running is not None
    while not p.running.done():
        places = history.places()
        committing = asyncio.create_task(p.checkpoint.commit())
        while not committing.done() and not p.running.done():
            history.step(p.ledger, dice)
            for _ in range(dice.randrange(3)):
                await asyncio.sleep(0)
        if committing.done():
            history.committed = places
        committing.cancel()


@pytest.mark.parametrize("seed", range(20))
@in_virtual_time
async def test_after_a_crash_at_any_write_each_pod_is_as_it_was_at_one_moment(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - it chooses crashes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "FOLD_AT", 3_000)
        patch.setattr(checkpoint, "MAX_JOURNAL", 12_000)
        store, history = FakeMaps(), History()
        for life in range(12):
            p = Process(store, f"h{life}")
            await p.start()
            if p.ledger.tracker("t1") is None:
                p.ledger.put_tracker("t1", record())
            history.resume(p.ledger)
            store.faults.plan.extend([None] * dice.randrange(1, 40))
            store.faults.plan.append((dice.choice(["before", "after"]), Lost()))
            await live(p, history, dice)
            store.faults.plan.clear()
            await p.kill()


@in_virtual_time
async def test_lives_of_four_writes_each_still_fold_the_journal() -> None:
    store, dice = FakeMaps(), random.Random(5)  # noqa: S311 - names, no secrets
    sizes = []
    for life in range(120):
        p = Process(store, f"h{life}")
        await p.start()
        store.faults.plan.extend([None] * 3)
        store.faults.plan.append(("before", Lost()))
        assert p.running is not None
        while not p.running.done():
            p.change(dice.randrange(200), "t1", random_name(dice, 4_000))
            await passing(0.3)
        store.faults.plan.clear()
        await p.kill()
        sizes.append(sum(map(len, store.maps[JOURNAL].binary.values())))
    assert max(sizes) < 4 * checkpoint.FOLD_AT
    assert min(sizes[60:]) < checkpoint.FOLD_AT


@in_virtual_time
async def test_a_ledger_of_format_3_is_taken_over_and_goes_on() -> None:
    p = await in_both()
    store = p.store
    for stored_map in store.maps.values():
        stored_map.binary = {key: b"\x03" + raw[1:] for key, raw in stored_map.binary.items()}
        if "meta" not in stored_map.data:
            stored_map.data = {}
            continue
        head = msgspec.json.decode(stored_map.data["meta"])
        del head["ledger"], head["next_segment"]
        stored_map.data = {"meta": msgspec.json.encode(head | {"format": 3}).decode()}
    again = Process(store, "again")
    await again.start()
    assert again.ledger.snapshot() == p.ledger.snapshot()
    assert msgspec.json.decode(store.maps[JOURNAL].data["meta"])["format"] == FORMAT
    again.change(1, name="renamed")
    again.change(3)
    await again.checkpoint.commit()
    assert (await stored(store))[0].snapshot() == again.ledger.snapshot()
    last = Process(store, "last")
    await last.start()
    last.change(2, name="renamed")
    await last.stop()
    await again.kill()
    assert (await stored(store))[0].snapshot() == last.ledger.snapshot()


@in_virtual_time
async def test_shards_of_a_ledger_that_was_given_up_are_not_believed() -> None:
    store = FakeMaps()
    p = Process(store)
    await p.start()
    p.change(1)
    await p.stop()
    del store.maps[JOURNAL]
    async with process(store, "fresh") as fresh:
        fresh.change(2)
        await fresh.checkpoint.commit()
        kept = fresh.ledger.snapshot()
    assert (await stored(store))[0].snapshot() == kept


@in_virtual_time
async def test_what_is_written_after_everything_was_folded_counts() -> None:
    store = FakeMaps()
    for life in range(4):
        p = Process(store, f"h{life}")
        await p.start()
        p.change(life)
        await p.stop()
        async with process(store, f"again{life}") as again:
            again.change(life, name="renamed")
            await again.checkpoint.commit()
            kept = again.ledger.snapshot()
        assert (await stored(store))[0].snapshot() == kept


@in_virtual_time
async def test_a_segment_that_arrived_unanswered_before_an_orderly_end_does_not_come_back() -> None:
    store = FakeMaps()
    p = Process(store)
    await p.start()
    p.change()
    store.faults.plan.append(("after", Lost()))
    assert p.running is not None
    await asyncio.wait([p.running])
    p.ledger.settle(p.ledger.outbox(), delivered=True)
    await p.stop()
    ledger, _ = await stored(store)
    assert ledger.outbox() == []


@in_virtual_time
async def test_an_end_that_is_cut_short_keeps_no_position_without_what_lies_before_it() -> None:
    store = FakeMaps()
    p = Process(store)
    await p.start()
    p.change(1)
    await p.checkpoint.commit()
    p.change(2)
    p.positions["*"] = "7"
    store.faults.plan.append(("before", Lost()))
    assert p.running is not None
    await asyncio.wait([p.running])
    store.faults.plan.extend([None, ("before", Lost())])
    with pytest.raises(Lost):
        await p.stop(clean=True)
    ledger, restored = await stored(store)
    assert not ledger.knows("t1", "p2")
    assert restored.positions == {}
    assert restored.doubt_since is not None


@in_virtual_time
async def test_a_journal_that_is_deleted_in_the_middle_of_a_fold_takes_nothing_newer_along() -> None:
    store, dice = FakeMaps(), random.Random(6)  # noqa: S311 - names, no secrets
    p = Process(store)
    await p.start()
    for number in range(300):
        p.change(number, "t1", random_name(dice, 400))
    await p.checkpoint.commit()
    await passing(5.0)
    first = store.maps[SHARDS[0]].version
    for number in range(300):
        p.change(number, "t1", random_name(dice, 400))
    await p.checkpoint.commit()
    while store.maps[SHARDS[0]].version == first:  # noqa: ASYNC110 - to the turn of the loop
        await asyncio.sleep(0)
    for number in range(300):
        p.change(number, "t1", "renamed")
    p.positions["*"] = "7"
    del store.maps[JOURNAL]
    for name in SHARDS:
        store.maps[name].version = "edited"
    while JOURNAL not in store.maps or '"*":"7"' not in store.maps[JOURNAL].data["meta"]:  # noqa: ASYNC110 - too
        await asyncio.sleep(0)
    for _ in range(100):
        await asyncio.sleep(0)
    await p.kill()
    ledger, restored = await stored(store)
    assert restored.positions == {"*": "7"}
    assert {one.name for one in ledger.snapshot().pods.values() if one is not None} == {"renamed"}


@in_virtual_time
async def test_a_position_after_a_list_is_committed_at_once() -> None:
    store = FakeMaps()
    async with process(store) as p:
        p.positions["*"] = "7"
        await passing(1.0)
        assert (await stored(store))[1].positions == {}
    async with process(store) as p:
        p.positions["*"] = "8"
        p.checkpoint.hasten()
        await passing(0.01)
    assert (await stored(store))[1].positions == {"*": "8"}
