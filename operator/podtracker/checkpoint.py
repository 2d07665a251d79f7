# SPDX-License-Identifier: Apache-2.0
"""Keeps the ledger in ConfigMaps: a small journal that every commit appends to, and shards that it is folded into.

The journal is the fence. It carries an epoch, bumped when somebody takes over; every write of it names the version
that it read. Who was deposed fails there, and must end. What the shards hold is repeated by the journal until it is
emptied, so a crash between the two changes nothing.
"""

from __future__ import annotations

import asyncio
import binascii
import logging
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import msgspec

from podtracker.errors import KubeError, PodTrackerError
from podtracker.ledger import Delta, Ledger
from podtracker.metrics import Metrics
from podtracker.records import FORMAT, CorruptLedgerError, check_format, decode, encode

logger = logging.getLogger(__name__)

JOURNAL: Final = "pod-tracker-journal"
SHARDS: Final = tuple(f"pod-tracker-ledger-{digit}" for digit in "0123456789abcdef")

FOLD_AT: Final = 192 * 1024
"""Bytes of journal at which it is folded: every commit makes etcd store the whole journal again."""
MAX_SEGMENT: Final = 384 * 1024
"""Bytes of one commit above which it goes straight into the shards; an object may have 1 MiB."""
LINGER: Final = 0.5
"""Seconds that changes nobody waits for are collected before they are committed."""
POSITION_EVERY: Final = 30.0
"""Seconds between commits of nothing but a new position; what is replayed from an older one, the ledger recognises."""
_RETRY: Final = 0.2, 5.0
"""Seconds: first and longest wait after a failed commit."""
_META: Final = "meta"
_SHARD_KEY: Final = "state"


class DeposedError(PodTrackerError):
    """Another instance has taken the journal over: this one must not send or write any more."""


class StoredMap(msgspec.Struct):
    """A ConfigMap: its version, and its binary data by key."""

    version: str
    data: dict[str, str]
    binary: dict[str, bytes]


class MapStore(Protocol):
    """ConfigMaps of the operator's own namespace; every call raises KubeError."""

    async def get_map(self, name: str) -> StoredMap:
        """Read one; not_found where there is none."""
        ...

    async def create_map(self, name: str, *, data: Mapping[str, str], binary: Mapping[str, str]) -> StoredMap:
        """Create one, or set these keys of it; `binary` in base64."""
        ...

    async def patch_map(
        self, name: str, version: str, *, data: Mapping[str, str], binary: Mapping[str, str | None]
    ) -> str:
        """Set keys, or remove those given as None; conflict (409) unless it still has `version`. Gives the new one."""
        ...


class _Meta(msgspec.Struct, kw_only=True):
    """The journal's head."""

    format: int = FORMAT
    epoch: int = 0
    holder: str = ""
    clean: bool = False
    """Whether the last holder ended in order: nothing was in flight."""
    committed: float = 0.0
    """When it was last written, in seconds since 1970 by the writer's clock; only ever compared with a receiver's."""
    doubt_since: float = 0.0
    """Seconds since 1970, 0 for none: an earlier holder ended while something may have been in flight, and nobody has
    found out since."""
    shards: str = ""
    """Digits of the shards that exist."""
    positions: dict[str, str] = msgspec.field(default_factory=dict)
    """resourceVersion by scope up to which everything is in the ledger."""


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
        wall: Callable[[], float],
    ) -> None:
        """Args.

        holder: this instance, as the journal names it.
        positions: the resourceVersions by scope that all of the ledger reflects now; empty strings are not known.
        clock: monotonic seconds; wall: seconds since 1970.
        """
        self._store = store
        self._ledger = ledger
        self._positions = positions
        self._metrics = metrics
        self._clock = clock
        self._wall = wall
        self._holder = holder
        self._meta = _Meta()
        self._version = ""
        self._segments: dict[str, int] = {}
        self._next_segment = 0
        self._shard_versions: dict[str, str] = {}
        self._shard_bytes: dict[str, int] = {}
        self._dirty: set[str] = set()
        self._waiters: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._position_due = clock() + POSITION_EVERY

    @property
    def stored_bytes(self) -> int:
        """Bytes of journal and shards."""
        return sum(self._segments.values()) + sum(self._shard_bytes.values())

    # reading

    async def restore(self) -> Restored:
        """Take the journal over, and fill the ledger with what is stored.

        Raises:
            NewerFormatError: a newer version wrote it; nothing was changed.
            KubeError: the API server did not answer.
        """
        while True:
            try:
                journal = await self._store.get_map(JOURNAL)
            except KubeError as error:
                if not error.not_found:
                    raise
                return await self._start_new(None)
            try:
                self._meta = _read_meta(journal)
                shards = await self._read_shards()
                segments = [decode(journal.binary[key]) for key in sorted(journal.binary)]
            except CorruptLedgerError as error:
                return await self._start_new(str(error))
            if await self._take_over(journal):
                self._dirty = {shard for segment in segments for shard in _touched(segment)}
                self._ledger.load([*shards, *segments])
                return self._restored(fresh=False, problem=None)

    async def _read_shards(self) -> list[Delta]:
        names = [SHARDS[int(digit, 16)] for digit in self._meta.shards]
        try:
            maps = await asyncio.gather(*(self._store.get_map(name) for name in names))
        except KubeError as error:
            if error.not_found:
                raise CorruptLedgerError("a part of the ledger is missing") from error
            raise
        self._shard_versions = {name: stored.version for name, stored in zip(names, maps, strict=True)}
        states = [stored.binary.get(_SHARD_KEY, b"") for stored in maps]
        self._shard_bytes = {name: len(state) for name, state in zip(names, states, strict=True)}
        return [decode(state) for state in states]

    async def _take_over(self, journal: StoredMap) -> bool:
        """Raise the fence. False: somebody wrote after it was read, so what was read is old."""
        meta = self._meta
        meta.epoch, meta.holder = meta.epoch + 1, self._holder
        meta.doubt_since = 0.0 if meta.clean else meta.doubt_since or meta.committed
        meta.clean = False
        try:
            self._version = await self._store.patch_map(JOURNAL, journal.version, data={_META: _text(meta)}, binary={})
        except KubeError as error:
            if error.conflict:
                return False
            raise
        self._segments = {key: len(segment) for key, segment in journal.binary.items()}
        self._next_segment = 1 + max(map(int, journal.binary), default=-1)
        return True

    async def _start_new(self, problem: str | None) -> Restored:
        old = self._meta
        self._meta = _Meta(epoch=old.epoch + 1, holder=self._holder, doubt_since=old.doubt_since or old.committed)
        self._shard_versions, self._shard_bytes = {}, {}
        await self._create_journal()
        return self._restored(fresh=True, problem=problem)

    def _restored(self, *, fresh: bool, problem: str | None) -> Restored:
        meta = self._meta
        return Restored(
            fresh=fresh,
            problem=problem,
            doubt_since=meta.doubt_since or None,
            positions=dict(meta.positions),
            epoch=meta.epoch,
        )

    async def _create_journal(self) -> None:
        journal = await self._store.create_map(JOURNAL, data={_META: _text(self._meta)}, binary={})
        self._version = journal.version
        self._segments = {key: len(segment) for key, segment in journal.binary.items()}
        if self._segments:
            await self._write_journal(dict.fromkeys(self._segments))

    # writing

    async def commit(self) -> None:
        """Return when all that the ledger holds now is kept; many who wait share one write."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(done)
        self._wake.set()
        await done

    async def run(self) -> None:
        """Commit, for ever: at once for those who wait, soon for what changed, now and then for the position.

        Raises:
            DeposedError: another instance has taken over.
        """
        while True:
            if not self._waiters:
                await self._collect()
            await self._commit_once()

    def settled(self) -> None:
        """Nothing that an earlier holder left in flight can matter any more."""
        self._meta.doubt_since = 0.0

    async def close(self, *, clean: bool) -> None:
        """Keep everything in the shards, and note how it ended; `run` must have ended.

        Args:
            clean: nothing was in flight.

        Raises:
            DeposedError: another instance has taken over.
        """
        self._meta.clean = clean and not self._meta.doubt_since
        self._dirty |= _touched(self._ledger.drain())
        await self._fold(self._known_positions())
        self._release()

    async def _collect(self) -> None:
        self._wake.clear()
        while not (self._waiters or self._ledger.changed or self._clock() >= self._position_due):
            try:
                async with asyncio.timeout(LINGER):
                    await self._wake.wait()
            except TimeoutError:
                continue
        if not self._waiters:
            try:
                async with asyncio.timeout(LINGER):
                    await self._wake.wait()
            except TimeoutError:
                return

    async def _commit_once(self) -> None:
        waiters, self._waiters = self._waiters, []
        delta, positions = self._ledger.drain(), self._known_positions()
        self._position_due = self._clock() + POSITION_EVERY
        started = self._clock()
        try:
            if delta or positions != self._meta.positions:
                await self._persist(delta, positions)
        except BaseException:
            self._waiters = waiters + self._waiters
            raise
        self._metrics.checkpoint_seconds.observe(self._clock() - started)
        _answer(waiters)

    def _known_positions(self) -> dict[str, str]:
        known = {scope: version for scope, version in self._positions().items() if version}
        return {**self._meta.positions, **known}

    def _release(self) -> None:
        waiters, self._waiters = self._waiters, []
        _answer(waiters)

    async def _persist(self, delta: Delta, positions: dict[str, str]) -> None:
        """Store a delta that has left the ledger already: it may not be lost, so this tries until it is kept."""
        self._dirty |= _touched(delta)
        segment = encode(delta) if delta else b""
        if len(segment) > MAX_SEGMENT:
            await self._fold(positions)
            return
        self._meta.positions = positions
        await self._write_journal({f"{self._next_segment:010d}": segment} if segment else {})
        if sum(self._segments.values()) > FOLD_AT:
            await self._fold(positions)

    async def _fold(self, positions: dict[str, str]) -> None:
        """Write the shards that changed, then empty the journal.

        The shards may already hold what no commit has brought into the journal yet. That is safe because a pod's mask
        and what waits for it are in one shard: together they are kept or lost.
        """
        parts = _split(self._ledger.snapshot())
        for name in sorted(self._dirty):
            await self._write_shard(name, encode(parts.get(name, Delta())))
        self._dirty.clear()
        self._meta.shards = "".join(name[-1] for name in sorted(self._shard_versions))
        self._meta.positions = positions
        await self._write_journal(dict.fromkeys(self._segments))

    # single writes, tried until they are done

    async def _write_journal(self, segments: Mapping[str, bytes | None]) -> None:
        self._meta.committed = self._wall()
        text = _text(self._meta)
        binary = {key: None if value is None else _base64(value) for key, value in segments.items()}

        async def write() -> None:
            self._version = await self._store.patch_map(JOURNAL, self._version, data={_META: text}, binary=binary)

        async def resolve() -> bool:
            return await self._still_ours(text)

        await self._insist(JOURNAL, write, resolve)
        for key, value in segments.items():
            if value is None:
                self._segments.pop(key, None)
            else:
                self._segments[key] = len(value)
                self._next_segment += 1

    async def _still_ours(self, text: str) -> bool:
        """After a conflict: whether this very write had arrived after all.

        Raises:
            DeposedError: another instance wrote.
        """
        try:
            journal = await self._store.get_map(JOURNAL)
        except KubeError as error:
            if not error.not_found:
                raise
            await self._journal_lost()
            return True
        meta = _read_meta(journal)
        if (meta.epoch, meta.holder) != (self._meta.epoch, self._meta.holder):
            raise DeposedError(f"{meta.holder or 'another instance'} has taken the ledger over (epoch {meta.epoch})")
        self._version = journal.version
        return journal.data.get(_META) == text

    async def _journal_lost(self) -> None:
        """Somebody deleted it under us; what it held is in memory still."""
        logger.error("the journal was deleted while in use, it is made anew")
        self._dirty.update(_split(self._ledger.snapshot()), self._shard_versions)
        await self._create_journal()
        await self._fold(self._meta.positions)

    async def _write_shard(self, name: str, state: bytes) -> None:
        binary = {_SHARD_KEY: _base64(state)}

        async def write() -> None:
            version = self._shard_versions.get(name)
            if version is None:
                self._shard_versions[name] = (await self._store.create_map(name, data={}, binary=binary)).version
            else:
                self._shard_versions[name] = await self._store.patch_map(name, version, data={}, binary=binary)

        async def resolve() -> bool:
            await self._still_ours("")
            try:
                self._shard_versions[name] = (await self._store.get_map(name)).version
            except KubeError as error:
                if not error.not_found:
                    raise
                self._shard_versions.pop(name, None)
            return False

        await self._insist(name, write, resolve)
        self._shard_bytes[name] = len(state)

    async def _insist(
        self, name: str, write: Callable[[], Awaitable[None]], resolve: Callable[[], Awaitable[bool]]
    ) -> None:
        """Write until it is done; `resolve` looks into a conflict, and says True where nothing is left to do."""
        kind = "journal" if name == JOURNAL else "shard"
        wait, longest = _RETRY
        while True:
            try:
                await write()
            except KubeError as error:
                self._metrics.checkpoint_writes.labels(kind, "conflict" if error.conflict else "failed").inc()
                problem = error
            else:
                self._metrics.checkpoint_writes.labels(kind, "written").inc()
                return
            try:
                if (problem.conflict or problem.not_found) and await resolve():
                    return
            except KubeError as error:
                problem = error
            if not problem.conflict:
                logger.warning("cannot keep the ledger", extra={"object": name, "error": str(problem)})
                await asyncio.sleep(problem.retry_after or wait)
                wait = min(longest, wait * 2)


def shard_of(key: str) -> str:
    """The shard that keeps an entry, by its pod's or tracker's uid."""
    return SHARDS[zlib.crc32(key.encode()) % len(SHARDS)]


def _split(delta: Delta) -> dict[str, Delta]:
    parts: dict[str, Delta] = {}
    for uid, tracker in delta.trackers.items():
        parts.setdefault(shard_of(uid), Delta()).trackers[uid] = tracker
    for uid, pod in delta.pods.items():
        parts.setdefault(shard_of(uid), Delta()).pods[uid] = pod
    for key, notification in delta.outbox.items():
        parts.setdefault(shard_of(_pod_of(key)), Delta()).outbox[key] = notification
    return parts


def _touched(delta: Delta) -> set[str]:
    keys = (*delta.trackers, *delta.pods, *map(_pod_of, delta.outbox))
    return {shard_of(key) for key in keys}


def _pod_of(key: str) -> str:
    return key.partition("/")[0]


def _answer(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)


def _read_meta(journal: StoredMap) -> _Meta:
    """Raises NewerFormatError or CorruptLedgerError."""
    try:
        head = msgspec.json.decode(journal.data.get(_META, ""), type=dict[str, Any])
        check_format(int(head.get("format", 0)))
        return msgspec.convert(head, _Meta)
    except (msgspec.DecodeError, msgspec.ValidationError, TypeError, ValueError) as error:
        raise CorruptLedgerError("the journal's head cannot be read") from error


def _text(meta: _Meta) -> str:
    return msgspec.json.encode(meta).decode()


def _base64(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).decode()
