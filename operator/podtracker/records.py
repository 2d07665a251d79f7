# SPDX-License-Identifier: Apache-2.0
"""The ledger's stored form: compressed, versioned, keys and minimal fields only; no URL, no token, no text.

A format is a number. What was written by an older one is migrated when it is read (`_MIGRATIONS`); what was written by
a newer one is refused: guessing would lose or repeat messages.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from podtracker.errors import PodTrackerError
from podtracker.ledger import Delta

FORMAT: Final = 2


def _from_1(packed: bytes) -> bytes:
    """Format 1 knew only of pods that were created: a pod's entry ended with a mask for each tracker that knew it."""
    trackers, pods, outbox = msgspec.msgpack.decode(packed)
    pods = {uid: pod and [pod[0], pod[1], list(pod[2])] for uid, pod in pods.items()}
    return msgspec.msgpack.encode([trackers, pods, outbox])


_MIGRATIONS: Final[Mapping[int, Callable[[bytes], bytes]]] = {1: _from_1}
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
    return bytes((FORMAT,)) + zlib.compress(msgspec.msgpack.encode(delta), _LEVEL)


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
        return msgspec.msgpack.decode(packed, type=Delta)
    except (zlib.error, msgspec.DecodeError, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise CorruptLedgerError(f"an entry of the ledger cannot be read: {type(error).__name__}") from error


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
