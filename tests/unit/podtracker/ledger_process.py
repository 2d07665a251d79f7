# SPDX-License-Identifier: Apache-2.0
"""An operator process, as far as it keeps its ledger, and what the next one finds."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from podtracker.checkpoint import Checkpoint, Restored
from podtracker.journal import DeposedError
from podtracker.ledger import Ledger
from podtracker.metrics import Metrics
from unit.podtracker.builders import CREATED, NOW, SEEN, record, who
from unit.podtracker.fakes_cluster import FakeMaps, Lost
from unit.podtracker.virtual import clock


class Process:
    """One operator process, as far as it keeps its ledger."""

    def __init__(self, store: FakeMaps, holder: str = "a") -> None:
        self.store = store
        self.ledger = Ledger()
        self.positions: dict[str, str] = {}
        self.checkpoint = Checkpoint(
            store,
            self.ledger,
            holder=holder,
            positions=lambda: dict(self.positions),
            metrics=Metrics(),
            clock=clock,
            certain_until=lambda: NOW + clock(),
        )
        self.running: asyncio.Task[None] | None = None

    async def start(self) -> Restored:
        restored = await self.checkpoint.restore()
        self.running = asyncio.create_task(self.checkpoint.run())
        return restored

    async def stop(self, *, clean: bool = True) -> None:
        """In order."""
        await self.kill()
        await self.checkpoint.close(clean=clean)

    async def kill(self) -> None:
        """At once."""
        if self.running is not None:
            self.running.cancel()
            with suppress(asyncio.CancelledError, DeposedError, Lost):
                await self.running

    def change(self, number: int = 1, tracker: str = "t1", name: str = "nginx") -> None:
        """A pod was found."""
        if self.ledger.tracker(tracker) is None:
            self.ledger.put_tracker(tracker, record())
        known = self.ledger.pod(f"p{number}")
        trackers = dict.fromkeys((*(known.trackers if known is not None else ()), tracker))
        self.ledger.put_pod(f"p{number}", "team", name, trackers, SEEN)
        self.ledger.found(tracker, CREATED, pod=who(f"p{number}", name, "team"))


@asynccontextmanager
async def process(store: FakeMaps, holder: str = "a") -> AsyncIterator[Process]:
    made = Process(store, holder)
    await made.start()
    try:
        yield made
    finally:
        await made.kill()


async def stored(store: FakeMaps) -> tuple[Ledger, Restored]:
    """What the next process finds."""
    after = Process(store, "next")
    restored = await after.checkpoint.restore()
    return after.ledger, restored


async def in_both() -> Process:
    """One that was killed: of its store a shard holds one pod, and the journal another."""
    p = Process(FakeMaps())
    await p.start()
    p.change(1)
    await p.stop()
    async with process(p.store) as p:
        p.change(2)
        await p.checkpoint.commit()
    return p


def random_name(dice: random.Random, size: int = 150) -> str:
    """A name that does not compress to less than so many bytes."""
    return dice.randbytes(size).hex()
