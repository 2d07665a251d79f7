# SPDX-License-Identifier: Apache-2.0
"""The ledger's stored form: compressed, versioned, keys and minimal fields only; no URL, no token, no text.

A format is a number. What was written by an older one is migrated when it is read (`_MIGRATIONS`); what was written by
a newer one is refused: guessing would lose or repeat messages.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Annotated, Final

import msgspec

from podtracker.errors import PodTrackerError
from podtracker.ledger import Delta, Notification, PodRecord, TrackerRecord
from podtracker.lifecycle import Seen

FORMAT: Final = 4


class _StoredPod(msgspec.Struct, array_like=True):
    namespace: str
    name: str
    trackers: tuple[Annotated[int, msgspec.Meta(ge=0)], ...]
    """Places in the list of uids: a thousand pods with a thousand trackers each would be 22 MB of uids."""
    seen: Seen | None = None


class _Stored(msgspec.Struct, array_like=True):
    """A Delta as it is stored."""

    uids: list[str]
    """Of the trackers that know pods."""
    trackers: dict[str, TrackerRecord | None]
    pods: dict[str, _StoredPod | None]
    outbox: dict[str, Notification | None]


def _from_1(packed: bytes) -> bytes:
    """Format 1 knew only of pods that were created: a pod's entry ended with a mask for each tracker that knew it."""
    trackers, pods, outbox = msgspec.msgpack.decode(packed)
    pods = {uid: pod and [pod[0], pod[1], list(pod[2])] for uid, pod in pods.items()}
    return msgspec.msgpack.encode([trackers, pods, outbox])


def _from_2(packed: bytes) -> bytes:
    """Format 2 had the trackers' uids in each pod's entry."""
    trackers, pods, outbox = msgspec.msgpack.decode(packed)
    places: dict[str, int] = {}
    stored = {
        uid: pod and [*pod[:2], [places.setdefault(tracker, len(places)) for tracker in pod[2]], *pod[3:]]
        for uid, pod in pods.items()
    }
    return msgspec.msgpack.encode([list(places), trackers, stored, outbox])


def _from_3(packed: bytes) -> bytes:
    """Format 4 numbers the segments for good, and shards say where they end (journal.py); entries are the same."""
    return packed


_MIGRATIONS: Final[Mapping[int, Callable[[bytes], bytes]]] = {1: _from_1, 2: _from_2, 3: _from_3}
"""From a format to the next: packed bytes to packed bytes."""

_LEVEL: Final = 1
"""zlib's fastest: uids do not compress, names and repeats do at any level."""
_MAX_UNPACKED: Final = 64 * 1024 * 1024
"""Bytes; a stored object is below 1 MiB, so more than this is no ledger."""


class CorruptLedgerError(PodTrackerError):
    """What is stored cannot be read."""


class NewerFormatError(PodTrackerError):
    """What is stored was written by a newer version of the operator."""

    exit_code = 5


def encode(delta: Delta) -> bytes:
    """The stored form: one byte of format, then compressed msgpack."""
    return bytes((FORMAT,)) + zlib.compress(msgspec.msgpack.encode(_stored(delta)), _LEVEL)


def decode(stored: bytes) -> Delta:
    """Read the stored form.

    Raises:
        NewerFormatError: a newer version wrote it.
        CorruptLedgerError: it is damaged.
    """
    if not stored:
        raise CorruptLedgerError("an entry of the ledger is empty")
    check_format(stored[0])
    try:
        packed = _unpack(stored[1:])
        for number in range(stored[0], FORMAT):
            packed = _MIGRATIONS[number](packed)
        return _restored(msgspec.msgpack.decode(packed, type=_Stored))
    except (zlib.error, msgspec.DecodeError, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise CorruptLedgerError(f"an entry of the ledger cannot be read: {type(error).__name__}") from error


def _stored(delta: Delta) -> _Stored:
    places: dict[str, int] = {}
    groups: dict[tuple[str, ...], tuple[int, ...]] = {}

    def stored(pod: PodRecord) -> _StoredPod:
        group = groups.get(pod.trackers)
        if group is None:
            group = groups[pod.trackers] = tuple(places.setdefault(uid, len(places)) for uid in pod.trackers)
        return _StoredPod(pod.namespace, pod.name, group, pod.seen)

    pods = {uid: None if pod is None else stored(pod) for uid, pod in delta.pods.items()}
    return _Stored(list(places), delta.trackers, pods, delta.outbox)


def _restored(stored: _Stored) -> Delta:
    uids = stored.uids
    groups: dict[tuple[int, ...], tuple[str, ...]] = {}

    def restored(pod: _StoredPod) -> PodRecord:
        group = groups.get(pod.trackers)
        if group is None:
            group = groups[pod.trackers] = tuple(uids[place] for place in pod.trackers)
        return PodRecord(pod.namespace, pod.name, group, pod.seen)

    pods = {uid: None if pod is None else restored(pod) for uid, pod in stored.pods.items()}
    return Delta(stored.trackers, pods, stored.outbox)


def check_format(number: int) -> None:
    """Raises NewerFormatError where a newer version than this one wrote what is stored."""
    if number > FORMAT:
        raise NewerFormatError(
            f"the ledger has format {number}, this version knows {FORMAT}: run the newer version again, or delete the"
            " ConfigMaps pod-tracker-journal and pod-tracker-ledger-* to start as new"
        )


def _unpack(compressed: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    packed = unpacker.decompress(compressed, _MAX_UNPACKED)
    if not unpacker.eof:
        raise zlib.error("incomplete, or far too large")
    return packed
