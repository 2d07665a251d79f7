# SPDX-License-Identifier: Apache-2.0
"""Keeps the ledger: a small journal that every commit appends to, folded now and then into shards.

What the shards hold is repeated by the journal until it is emptied, so a crash between the two changes nothing; and a
shard that was written stays written, so that even a process that lives for a second brings a fold on. Commits are
grouped: all who wait share one write, and what nobody waits for lingers a little.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import math
import zlib
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Final

import msgspec

from podtracker.journal import NO_SEGMENT, SHARDS, Journal, MapStore, segments_of
from podtracker.ledger import Delta, Ledger
from podtracker.metrics import Metrics
from podtracker.records import CorruptLedgerError, decode, encode

FOLD_AT: Final = 32 * 1024
"""Bytes of journal at which it is folded: every commit makes the API server store the whole journal again. Measured: a
commit takes 4 ms at 0 KiB, 9 at 16, 19 at 64, 59 at 190."""
MAX_JOURNAL: Final = 384 * 1024
"""Bytes that the journal may have; a commit that it has no room for goes straight into the shards. An object may have
1 MiB, and base64 takes a third more."""
LINGER: Final = 0.5
"""Seconds that changes nobody waits for are collected before they are committed."""
POSITION_EVERY: Final = 30.0
"""Seconds between commits of nothing but a new position; what is replayed from an older one, the ledger recognises."""


class Restored(msgspec.Struct, frozen=True):
    """What was found at the start."""

    fresh: bool
    """There was no ledger, or none that could be read: what exists now is the baseline."""
    problem: str | None
    """Why it could not be read, where there was one."""
    doubt_since: float | None
    """Seconds since 1970; what the receivers have of later may be unknown to the ledger. None after an orderly end."""
    positions: Mapping[str, str]
    epoch: int


class _Folding(msgspec.Struct):
    """A fold that is under way."""

    parts: dict[str, Delta]
    """The shards that have still to be written, as they were when it began."""
    upto: int
    """The last segment whose content they have: the journal need not hold it any more once they are written."""


class Checkpoint:
    """The ledger's other half."""

    def __init__(
        self,
        store: MapStore,
        ledger: Ledger,
        *,
        holder: str,
        positions: Callable[[], Mapping[str, str]],
        metrics: Metrics,
        clock: Callable[[], float],
        certain_until: Callable[[], float],
    ) -> None:
        """Args.

        holder: this instance, as the journal names it.
        positions: the resourceVersions by scope that all of the ledger reflects now; empty strings are not known.
        clock: monotonic seconds.
        certain_until: seconds since 1970 up to which the ledger knows what receivers have: now, but for lost answers.
        """
        self._ledger = ledger
        self._positions = positions
        self._metrics = metrics
        self._clock = clock
        self._journal = Journal(
            store, holder=holder, metrics=metrics, certain_until=certain_until, lost=self._store_all
        )
        self._dirty: set[str] = set()
        self._folding: _Folding | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._due = math.inf
        """When the next write has to begin, for what waits for it or has changed."""
        self._wake = asyncio.Event()
        self._position_due = clock() + POSITION_EVERY

    @property
    def stored_bytes(self) -> int:
        """Bytes of journal and shards."""
        return self._journal.stored_bytes

    async def restore(self) -> Restored:
        """Take the journal over, and fill the ledger with what is stored.

        Raises:
            NewerFormatError: a newer version wrote it; nothing was changed.
            KubeError: the API server did not answer.
        """
        problem = None
        while True:
            try:
                found = await self._journal.read()
                if found is None:
                    break
                journal, shards = found
                states = [decode(shard.state) for shard in shards.values()]
                ends = {name: shard.upto for name, shard in shards.items()}
                later = _later(ends, [(number, decode(segment)) for number, segment in segments_of(journal)])
            except CorruptLedgerError as error:
                problem = str(error)
                break
            if await self._journal.take_over(journal):
                self._dirty = {name for name, _ in later}
                self._ledger.load([*states, *(part for _, part in later)])
                if self._journal.segment_bytes > FOLD_AT:
                    self._folding = self._begin_fold()
                return self._restored(fresh=False, problem=None)
        await self._journal.create()
        return self._restored(fresh=True, problem=problem)

    def _restored(self, *, fresh: bool, problem: str | None) -> Restored:
        head = self._journal.head
        return Restored(
            fresh=fresh,
            problem=problem,
            doubt_since=head.doubt_since or None,
            positions=dict(head.positions),
            epoch=head.epoch,
        )

    async def commit(self, *, within: float = 0.0) -> None:
        """Return when all that the ledger holds now is kept; many who wait share one write.

        Args:
            within: seconds in which the write has to begin; the more, the more share it.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(done)
        due = self._clock() + within
        if due < self._due:
            self._due = due
            self._wake.set()
        await done

    async def run(self) -> None:
        """Commit, for ever: at once for those who wait, soon for what changed, now and then for the position.

        Raises:
            DeposedError: another instance has taken over.
        """
        while True:
            if self._folding is None:
                await self._collect()
            if self._due_in() <= 0:
                await self._commit_once()
            if self._folding is not None:
                await self._fold_on(self._folding)

    def hasten(self) -> None:
        """The position from before a list is no good any more: commit the one after it at once."""
        self._position_due = self._clock()
        self._wake.set()

    def settled(self) -> None:
        """Nothing that an earlier holder left in flight can matter any more."""
        self._journal.head.doubt_since = 0.0

    async def close(self, *, clean: bool) -> None:
        """Keep everything in the shards, and note how it ended; `run` must have ended.

        Args:
            clean: nothing was in flight.

        Raises:
            DeposedError: another instance has taken over.
        """
        # The fence first: a shard that nobody has written since would take what a deposed process says.
        await self._journal.append(b"")
        self._journal.head.clean = clean and not self._journal.head.doubt_since
        self._dirty |= _touched(self._ledger.drain())
        await self._fold(self._known_positions())
        waiters, self._waiters = self._waiters, []
        _answer(waiters)

    async def _collect(self) -> None:
        """Return when a write has to begin."""
        while (wait := self._due_in()) > 0:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(LINGER, wait)):
                    await self._wake.wait()

    def _due_in(self) -> float:
        """Seconds until a write has to begin, as far as is known now."""
        now = self._clock()
        if self._ledger.changed:
            self._due = min(self._due, now + LINGER)
        return min(self._due, self._position_due) - now

    async def _commit_once(self) -> None:
        waiters, self._waiters, self._due = self._waiters, [], math.inf
        delta, positions = self._ledger.drain(), self._known_positions()
        self._position_due = self._clock() + POSITION_EVERY
        started = self._clock()
        try:
            if delta or positions != self._journal.head.positions:
                await self._persist(delta, positions)
        except BaseException:
            self._waiters = waiters + self._waiters
            self._due = self._clock()
            raise
        self._metrics.checkpoint_seconds.observe(self._clock() - started)
        _answer(waiters)

    def _known_positions(self) -> dict[str, str]:
        """Of the scopes that are watched: the position of another would replay what is told without it meanwhile."""
        stored = self._journal.head.positions
        known = {scope: version or stored.get(scope, "") for scope, version in self._positions().items()}
        return {scope: version for scope, version in known.items() if version}

    async def _persist(self, delta: Delta, positions: dict[str, str]) -> None:
        self._dirty |= _touched(delta)
        segment = encode(delta) if delta else b""
        size = self._journal.segment_bytes + len(segment)
        if size > MAX_JOURNAL:
            await self._fold(positions)
            return
        # Of this moment, not of the one when the segment is written: what comes between the two is in no segment yet.
        parts = self._split_dirty() if size > FOLD_AT and self._folding is None else None
        head = self._journal.head
        before, head.positions = head.positions, positions
        try:
            await self._journal.append(segment)
        except BaseException:
            # The head may be written once more, and must not say that what was not stored is.
            head.positions = before
            raise
        # Unless the journal had been deleted: then everything was stored anew, and newer than these.
        if parts is not None and parts.keys() <= self._dirty:
            self._dirty -= parts.keys()
            self._folding = _Folding(parts=parts, upto=self._journal.last_segment)

    # folding

    def _split_dirty(self) -> dict[str, Delta]:
        """What the shards that changed are to hold, as of now."""
        parts = _split(self._ledger.snapshot(), self._dirty)
        return {name: parts.get(name, Delta()) for name in sorted(self._dirty)}

    def _begin_fold(self) -> _Folding:
        folding = _Folding(parts=self._split_dirty(), upto=self._journal.last_segment)
        self._dirty.clear()
        return folding

    async def _fold_on(self, folding: _Folding) -> None:
        """One step: sixteen shards at a stretch would keep those waiting who want their delivery kept."""
        if folding.parts:
            name, part = next(iter(folding.parts.items()))
            await self._journal.write_shard(name, encode(part), upto=folding.upto)
            del folding.parts[name]
        else:
            await self._journal.clear(folding.upto)
            self._folding = None

    async def _fold(self, positions: dict[str, str]) -> None:
        """Write the shards that changed, then empty the journal: all at once."""
        if self._folding is not None:
            self._dirty |= self._folding.parts.keys()
            self._folding = None
        folding = self._begin_fold()
        self._folding = folding
        while self._folding is folding:
            if not folding.parts:
                self._journal.head.positions = positions
            await self._fold_on(folding)

    async def _store_all(self) -> None:
        self._folding = None
        self._dirty.update(_split(self._ledger.snapshot(), SHARDS), self._journal.shards)
        await self._fold(self._known_positions())


def shard_of(key: str) -> str:
    """The shard that keeps an entry, by its pod's or tracker's uid."""
    return SHARDS[zlib.crc32(key.encode()) % len(SHARDS)]


def _split(delta: Delta, wanted: Container[str]) -> dict[str, Delta]:
    """What of it belongs into which of these shards; it does not change any more."""
    parts: dict[str, Delta] = {}
    for uid, tracker in delta.trackers.items():
        if (name := shard_of(uid)) in wanted:
            # The only records that change in place.
            parts.setdefault(name, Delta()).trackers[uid] = copy.copy(tracker)
    for uid, pod in delta.pods.items():
        if (name := shard_of(uid)) in wanted:
            parts.setdefault(name, Delta()).pods[uid] = pod
    for key, notification in delta.outbox.items():
        if (name := shard_of(_pod_of(key))) in wanted:
            parts.setdefault(name, Delta()).outbox[key] = notification
    return parts


def _later(ends: Mapping[str, int], segments: Iterable[tuple[int, Delta]]) -> list[tuple[str, Delta]]:
    """What of the segments the shards lack, in order; each part with its shard."""
    return [
        (name, part)
        for number, segment in segments
        for name, part in _split(segment, SHARDS).items()
        if number > ends.get(name, NO_SEGMENT)
    ]


def _touched(delta: Delta) -> set[str]:
    keys = (*delta.trackers, *delta.pods, *map(_pod_of, delta.outbox))
    return {shard_of(key) for key in keys}


def _pod_of(key: str) -> str:
    return key.partition("/")[0]


def _answer(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
