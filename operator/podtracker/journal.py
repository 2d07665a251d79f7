# SPDX-License-Identifier: Apache-2.0
"""The stored ledger's objects: a journal that is also the fence, and shards; written by compare-and-swap.

The journal's head carries an epoch, bumped when somebody takes over; every write names the version that it read. Who
was deposed fails there, and must end. Writes are tried until they are done: what was given to store may not be lost.

Segments are numbered, and no number comes twice as long as the ledger lives. Each shard says of which ledger it is and
up to which segment it goes: whoever reads them replays only later ones over it, so a shard that was written is never
taken back, whether or not its writer lived to note it in the head.
"""

from __future__ import annotations

import asyncio
import binascii
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import msgspec

from podtracker.errors import KubeError, PodTrackerError
from podtracker.metrics import Metrics
from podtracker.records import FORMAT, CorruptLedgerError, check_format

logger = logging.getLogger(__name__)

JOURNAL: Final = "pod-tracker-journal"
SHARDS: Final = tuple(f"pod-tracker-ledger-{digit}" for digit in "0123456789abcdef")

_RETRY: Final = 0.2, 5.0
"""Seconds: first and longest wait after a failed write."""
_HEAD: Final = "meta"
_STATE: Final = "state"
_UPTO: Final = "upto"
_OF: Final = "ledger"
NO_SEGMENT: Final = -1


class DeposedError(PodTrackerError):
    """Another instance has taken the journal over: this one must not send or write any more."""

    exit_code = 4


class StoredMap(msgspec.Struct):
    """A ConfigMap: its version, and its binary data by key."""

    version: str
    data: dict[str, str]
    binary: dict[str, bytes]


class StoredShard(msgspec.Struct, frozen=True):
    """A shard, as it was read."""

    state: bytes
    upto: int
    """The number of the last segment that it holds."""


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


class Head(msgspec.Struct, kw_only=True):
    """The journal's head."""

    format: int = FORMAT
    epoch: int = 0
    holder: str = ""
    clean: bool = False
    """Whether the last holder ended in order: nothing was in flight."""
    committed: float = 0.0
    """Up to when the writer knew what receivers have, in seconds since 1970 by its clock; compared with theirs only."""
    doubt_since: float = 0.0
    """Seconds since 1970, 0 for none: an earlier holder ended while something may have been in flight, and nobody has
    found out since."""
    ledger: str = ""
    """By which shards are known to belong to it, and not to one that was given up."""
    shards: str = ""
    """Digits of the shards that have to exist; others may."""
    next_segment: int = 0
    """The number of the next segment, higher than any that was ever given."""
    positions: dict[str, str] = msgspec.field(default_factory=dict)
    """resourceVersion by scope up to which everything is in the ledger."""


class Journal:
    """The stored objects, as this instance has read or written them last."""

    def __init__(
        self,
        store: MapStore,
        *,
        holder: str,
        metrics: Metrics,
        certain_until: Callable[[], float],
        lost: Callable[[], Awaitable[None]],
    ) -> None:
        """Args.

        holder: this instance, as the head names it.
        certain_until: seconds since 1970 up to which the ledger knows what the receivers have.
        lost: called when the journal was deleted while in use, and is there again but empty: stores everything anew.
        """
        self._store = store
        self._metrics = metrics
        self._certain_until = certain_until
        self._holder = holder
        self._lost = lost
        self.head = Head()
        self._version = ""
        self._segments: dict[int, int] = {}
        """Bytes by number."""
        self._shard_versions: dict[str, str] = {}
        self._shard_bytes: dict[str, int] = {}

    @property
    def segment_bytes(self) -> int:
        """Bytes of what was appended and not cleared."""
        return sum(self._segments.values())

    @property
    def last_segment(self) -> int:
        """The number that was given last, whether or not its write was ever answered."""
        return self.head.next_segment - 1

    @property
    def stored_bytes(self) -> int:
        """Bytes of journal and shards."""
        return self.segment_bytes + sum(self._shard_bytes.values())

    @property
    def shards(self) -> tuple[str, ...]:
        """The shards that exist."""
        return tuple(self._shard_versions)

    # taking over

    async def read(self) -> tuple[StoredMap, dict[str, StoredShard]] | None:
        """The journal and the shards; None where there is no journal.

        Raises:
            NewerFormatError: a newer version wrote it.
            CorruptLedgerError: it cannot be read, or a shard is missing.
            KubeError: the API server did not answer.
        """
        journal = await self._look_up(JOURNAL)
        if journal is None:
            return None
        self.head = _read_head(journal)
        found = dict(zip(SHARDS, await asyncio.gather(*map(self._look_up, SHARDS)), strict=True))
        needed = {SHARDS[int(digit, 16)] for digit in self.head.shards}
        maps = {
            name: stored
            for name, stored in found.items()
            if stored is not None and (name in needed or stored.data.get(_OF) == self.head.ledger)
        }
        if not needed <= maps.keys():
            raise CorruptLedgerError("a part of the ledger is missing")
        shards = {name: _read_shard(stored) for name, stored in maps.items()}
        self._shard_versions = {name: stored.version for name, stored in maps.items()}
        self._shard_bytes = {name: len(shard.state) for name, shard in shards.items()}
        return journal, shards

    async def _look_up(self, name: str) -> StoredMap | None:
        try:
            return await self._store.get_map(name)
        except KubeError as error:
            if not error.not_found:
                raise
            return None

    async def take_over(self, journal: StoredMap) -> bool:
        """Raise the fence over what was read. False: somebody has written since, so it has to be read again.

        Raises:
            KubeError: the API server did not answer.
        """
        head = self.head
        head.format, head.epoch, head.holder = FORMAT, head.epoch + 1, self._holder
        head.doubt_since = 0.0 if head.clean else head.doubt_since or head.committed
        head.clean = False
        head.ledger = head.ledger or secrets.token_hex(8)
        self._segments = {number: len(segment) for number, segment in segments_of(journal)}
        head.next_segment = max(head.next_segment, 1 + max(self._segments, default=NO_SEGMENT))
        try:
            self._version = await self._store.patch_map(JOURNAL, journal.version, data={_HEAD: _text(head)}, binary={})
        except KubeError as error:
            if error.conflict:
                return False
            raise
        return True

    async def create(self) -> None:
        """Begin a journal, in place of what may be there; the head's doubt lives on.

        Raises:
            KubeError: the API server did not answer.
        """
        old = self.head
        self.head = Head(epoch=old.epoch + 1, holder=self._holder, doubt_since=old.doubt_since or old.committed)
        self.head.ledger = secrets.token_hex(8)
        self._shard_versions, self._shard_bytes = {}, {}
        await self._create()

    async def _create(self) -> None:
        self.head.committed = self._certain_until()
        journal = await self._store.create_map(JOURNAL, data={_HEAD: _text(self.head)}, binary={})
        self._version = journal.version
        self._segments = {}
        if journal.binary:
            await self._write(dict.fromkeys(journal.binary))

    # writing, until it is done

    async def append(self, segment: bytes) -> None:
        """Write the head, and a segment where it is not empty.

        Raises:
            DeposedError: another instance has taken over.
        """
        if not segment:
            await self._write({})
            return
        number = self.head.next_segment
        self.head.next_segment += 1
        await self._write({_key(number): _base64(segment)})
        self._segments[number] = len(segment)

    async def clear(self, upto: int) -> None:
        """Write the head, and remove the segments up to a number: the shards hold what they said.

        Raises:
            DeposedError: another instance has taken over.
        """
        self.head.shards = "".join(name[-1] for name in sorted(self._shard_versions))
        await self._write({_key(number): None for number in self._segments if number <= upto})
        self._segments = {number: size for number, size in self._segments.items() if number > upto}

    async def write_shard(self, name: str, state: bytes, *, upto: int) -> None:
        """Replace the state of a shard, which holds the segments up to a number.

        Raises:
            DeposedError: another instance has taken over.
        """
        binary = {_STATE: _base64(state)}

        async def write() -> None:
            data = {_OF: self.head.ledger, _UPTO: str(upto)}
            version = self._shard_versions.get(name)
            if version is None:
                self._shard_versions[name] = (await self._store.create_map(name, data=data, binary=binary)).version
            else:
                self._shard_versions[name] = await self._store.patch_map(name, version, data=data, binary=binary)

        async def resolve() -> bool:
            if await self._still_ours(""):
                return True
            found = await self._look_up(name)
            if found is None:
                self._shard_versions.pop(name, None)
            else:
                self._shard_versions[name] = found.version
            return False

        await self._insist(name, write, resolve)
        self._shard_bytes[name] = len(state)

    async def _write(self, binary: Mapping[str, str | None]) -> None:
        self.head.committed = self._certain_until()
        text = _text(self.head)

        async def write() -> None:
            self._version = await self._store.patch_map(JOURNAL, self._version, data={_HEAD: text}, binary=binary)

        await self._insist(JOURNAL, write, lambda: self._still_ours(text))

    async def _still_ours(self, text: str) -> bool:
        """After a conflict: whether the write of this head had arrived after all, or everything was stored anew.

        Raises:
            DeposedError: another instance wrote.
        """
        journal = await self._look_up(JOURNAL)
        if journal is None:
            logger.error("the journal was deleted while in use, it is made anew")
            # Whoever reads it before everything is stored anew must not believe positions that nothing stands behind.
            self.head.positions, self.head.shards, self.head.ledger = {}, "", secrets.token_hex(8)
            await self._create()
            await self._lost()
            return True
        head = _read_head(journal)
        if (head.epoch, head.holder) != (self.head.epoch, self.head.holder):
            raise DeposedError(f"{head.holder or 'another instance'} has taken the ledger over (epoch {head.epoch})")
        self._version = journal.version
        return journal.data.get(_HEAD) == text

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


def _read_head(journal: StoredMap) -> Head:
    """Raises NewerFormatError or CorruptLedgerError."""
    try:
        head = msgspec.json.decode(journal.data.get(_HEAD, ""), type=dict[str, Any])
        check_format(int(head.get("format", 0)))
        return msgspec.convert(head, Head)
    except (msgspec.DecodeError, msgspec.ValidationError, TypeError, ValueError) as error:
        raise CorruptLedgerError("the journal's head cannot be read") from error


def _read_shard(stored: StoredMap) -> StoredShard:
    """Raises CorruptLedgerError. Before format 4 a shard did not say where it ends: the journal repeats it all."""
    try:
        upto = int(stored.data.get(_UPTO, str(NO_SEGMENT)))
    except ValueError as error:
        raise CorruptLedgerError("a shard does not say where it ends") from error
    return StoredShard(state=stored.binary.get(_STATE, b""), upto=upto)


def segments_of(journal: StoredMap) -> list[tuple[int, bytes]]:
    """The segments in order, each with its number.

    Raises:
        CorruptLedgerError: the journal has something else in it.
    """
    try:
        return sorted((int(key), segment) for key, segment in journal.binary.items())
    except ValueError as error:
        raise CorruptLedgerError("the journal has an entry that is no segment") from error


def _key(number: int) -> str:
    return f"{number:010d}"


def _text(head: Head) -> str:
    return msgspec.json.encode(head).decode()


def _base64(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).decode()
