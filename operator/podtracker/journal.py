# SPDX-License-Identifier: Apache-2.0
"""The stored ledger's objects: a journal that is also the fence, and shards; written by compare-and-swap.

The journal's head carries an epoch, bumped when somebody takes over; every write names the version that it read. Who
was deposed fails there, and must end. Writes are tried until they are done: what was given to store may not be lost.
"""

from __future__ import annotations

import asyncio
import binascii
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
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


class DeposedError(PodTrackerError):
    """Another instance has taken the journal over: this one must not send or write any more."""

    exit_code = 4


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
    shards: str = ""
    """Digits of the shards that exist."""
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
        self._segments: dict[str, int] = {}
        self._next_segment = 0
        self._shard_versions: dict[str, str] = {}
        self._shard_bytes: dict[str, int] = {}

    @property
    def segment_bytes(self) -> int:
        """Bytes of what was appended and not cleared."""
        return sum(self._segments.values())

    @property
    def segments(self) -> tuple[str, ...]:
        """The keys of what was appended and not cleared."""
        return tuple(self._segments)

    @property
    def stored_bytes(self) -> int:
        """Bytes of journal and shards."""
        return self.segment_bytes + sum(self._shard_bytes.values())

    @property
    def shards(self) -> tuple[str, ...]:
        """The shards that exist."""
        return tuple(self._shard_versions)

    # taking over

    async def read(self) -> tuple[StoredMap, list[bytes]] | None:
        """The journal and the states of the shards; None where there is no journal.

        Raises:
            NewerFormatError: a newer version wrote it.
            CorruptLedgerError: it cannot be read, or a shard is missing.
            KubeError: the API server did not answer.
        """
        try:
            journal = await self._store.get_map(JOURNAL)
        except KubeError as error:
            if not error.not_found:
                raise
            return None
        self.head = _read_head(journal)
        names = [SHARDS[int(digit, 16)] for digit in self.head.shards]
        try:
            maps = await asyncio.gather(*(self._store.get_map(name) for name in names))
        except KubeError as error:
            if not error.not_found:
                raise
            raise CorruptLedgerError("a part of the ledger is missing") from error
        states = [stored.binary.get(_STATE, b"") for stored in maps]
        self._shard_versions = {name: stored.version for name, stored in zip(names, maps, strict=True)}
        self._shard_bytes = {name: len(state) for name, state in zip(names, states, strict=True)}
        return journal, states

    async def take_over(self, journal: StoredMap) -> bool:
        """Raise the fence over what was read. False: somebody has written since, so it has to be read again.

        Raises:
            KubeError: the API server did not answer.
        """
        head = self.head
        head.epoch, head.holder = head.epoch + 1, self._holder
        head.doubt_since = 0.0 if head.clean else head.doubt_since or head.committed
        head.clean = False
        try:
            self._version = await self._store.patch_map(JOURNAL, journal.version, data={_HEAD: _text(head)}, binary={})
        except KubeError as error:
            if error.conflict:
                return False
            raise
        self._segments = {key: len(segment) for key, segment in journal.binary.items()}
        self._next_segment = 1 + max(map(int, journal.binary), default=-1)
        return True

    async def create(self) -> None:
        """Begin a journal, in place of what may be there; the head's doubt lives on.

        Raises:
            KubeError: the API server did not answer.
        """
        old = self.head
        self.head = Head(epoch=old.epoch + 1, holder=self._holder, doubt_since=old.doubt_since or old.committed)
        self._shard_versions, self._shard_bytes = {}, {}
        await self._create()

    async def _create(self) -> None:
        self.head.committed = self._certain_until()
        journal = await self._store.create_map(JOURNAL, data={_HEAD: _text(self.head)}, binary={})
        self._version = journal.version
        self._segments = {key: len(segment) for key, segment in journal.binary.items()}
        if self._segments:
            await self.clear(self.segments)

    # writing, until it is done

    async def append(self, segment: bytes) -> None:
        """Write the head, and a segment where it is not empty.

        Raises:
            DeposedError: another instance has taken over.
        """
        key = f"{self._next_segment:010d}"
        await self._write({key: _base64(segment)} if segment else {})
        if segment:
            self._segments[key] = len(segment)
            self._next_segment += 1

    async def clear(self, segments: Iterable[str]) -> None:
        """Write the head, and remove segments: the shards hold what they said.

        Raises:
            DeposedError: another instance has taken over.
        """
        self.head.shards = "".join(name[-1] for name in sorted(self._shard_versions))
        gone = dict.fromkeys(segments)
        await self._write(gone)
        self._segments = {key: size for key, size in self._segments.items() if key not in gone}

    async def write_shard(self, name: str, state: bytes) -> None:
        """Replace the state of a shard.

        Raises:
            DeposedError: another instance has taken over.
        """
        binary = {_STATE: _base64(state)}

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

    async def _write(self, binary: Mapping[str, str | None]) -> None:
        self.head.committed = self._certain_until()
        text = _text(self.head)

        async def write() -> None:
            self._version = await self._store.patch_map(JOURNAL, self._version, data={_HEAD: text}, binary=binary)

        await self._insist(JOURNAL, write, lambda: self._still_ours(text))

    async def _still_ours(self, text: str) -> bool:
        """After a conflict: whether the write of this head had arrived after all.

        Raises:
            DeposedError: another instance wrote.
        """
        try:
            journal = await self._store.get_map(JOURNAL)
        except KubeError as error:
            if not error.not_found:
                raise
            logger.error("the journal was deleted while in use, it is made anew")  # noqa: TRY400 - foreseen
            # Whoever reads it before everything is stored anew must not believe positions that nothing stands behind.
            self.head.positions, self.head.shards = {}, ""
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


def _text(head: Head) -> str:
    return msgspec.json.encode(head).decode()


def _base64(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).decode()
