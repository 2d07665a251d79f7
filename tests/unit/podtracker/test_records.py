# SPDX-License-Identifier: Apache-2.0
"""The stored form: small, versioned, and refused where it cannot be read."""

from __future__ import annotations

import uuid
import zlib

import msgspec
import pytest

from podtracker import records
from podtracker.api import Event
from podtracker.ledger import Delta, Ledger, PodRecord
from podtracker.lifecycle import Seen
from podtracker.records import FORMAT, CorruptLedgerError, NewerFormatError, check_format, decode, encode
from unit.podtracker.builders import CREATED, SEEN, record, who


def busy() -> Delta:
    ledger = Ledger()
    for number in range(20):
        ledger.put_tracker(f"t{number}", record())
        ledger.put_pod(f"p{number}", "team", "nginx", (f"t{number}",), SEEN)
        ledger.found(f"t{number}", CREATED, pod=who(f"p{number}", "nginx", "team"))
    ledger.drop_tracker("t3")
    ledger.forget_pod("p4")
    return ledger.drain()


def test_what_is_stored_can_be_read() -> None:
    delta = busy()
    assert decode(encode(delta)) == delta
    assert None in delta.trackers.values()
    assert None in delta.pods.values()
    assert decode(encode(Delta())) == Delta()


def test_the_first_byte_is_the_format() -> None:
    assert encode(Delta())[0] == FORMAT


def test_format_1_is_read_for_ever() -> None:
    # Written by the first version. Never change this: write a migration instead.
    packed = msgspec.msgpack.encode(
        [
            {"t1": ["team", "nginx", 1798761600, 2, 1, 0, False], "t2": None},
            {"p1": ["team", "nginx", {"t1": 1}]},
            {"p1/i1": ["i1", 7, "t1", "Created", "team", "nginx", "p1"]},
        ]
    )
    delta = decode(b"\x01" + zlib.compress(packed))
    tracker, pod, note = delta.trackers["t1"], delta.pods["p1"], delta.outbox["p1/i1"]
    assert tracker is not None
    assert (tracker.namespace, tracker.selector, tracker.match_since) == ("team", "nginx", 1798761600)
    assert (tracker.delivered, tracker.dropped) == (2, 1)
    assert delta.trackers["t2"] is None
    assert pod is not None
    assert (pod.namespace, pod.name, pod.trackers, pod.seen) == ("team", "nginx", ("t1",), None)
    assert note is not None
    assert (note.id, note.order, note.tracker, note.event, note.key) == ("i1", 7, "t1", Event.CREATED, "p1/i1")


def test_format_2_is_read_for_ever() -> None:
    # Written by the second version. Never change this: write a migration instead.
    packed = msgspec.msgpack.encode(
        [
            {"t1": ["team", "nginx", 1798761600, 2, 1, 0, False, True, 3, "nonce"]},
            {"p1": ["team", "nginx", ["t1", "t2"], [5, {"app": 2}]], "p2": ["team", "web", ["t2"]], "p3": None},
            {"p1/i1": ["i1", 7, "t1", "Ready", "team", "nginx", "p1", 1798761601, True, ["app", "Error"]]},
        ]
    )
    delta = decode(b"\x02" + zlib.compress(packed))
    tracker, pod, note = delta.trackers["t1"], delta.pods["p1"], delta.outbox["p1/i1"]
    assert tracker is not None
    assert (tracker.unlisted, tracker.suppressed, tracker.tested) == (True, 3, "nonce")
    assert pod == PodRecord("team", "nginx", ("t1", "t2"), Seen(5, {"app": 2}))
    assert delta.pods["p2"] == PodRecord("team", "web", ("t2",))
    assert delta.pods["p3"] is None
    assert note is not None
    assert (note.at, note.quiet, note.detail.container, note.detail.reason) == (1798761601, True, "app", "Error")


def test_a_thousand_trackers_of_a_thousand_pods_fit() -> None:
    """Of the sixteen objects that share them, each may have a mebibyte."""
    ledger = Ledger()
    trackers = tuple(str(uuid.uuid4()) for _ in range(1000))
    for uid in trackers:
        ledger.put_tracker(uid, record())
    for number in range(1000):
        ledger.put_pod(str(uuid.uuid4()), "team", f"web-{number}", trackers, SEEN)
    delta = ledger.snapshot()
    stored = encode(delta)
    assert len(stored) < 16 * 64 * 1024
    assert decode(stored) == delta


GOOD = encode(busy())


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"\x01",
        GOOD[:-1],
        GOOD[: len(GOOD) // 2],
        b"\x01" + b"nonsense",
        b"\x01" + zlib.compress(b"nonsense"),
        b"\x01" + zlib.compress(msgspec.msgpack.encode({"trackers": 7})),
        b"\x01" + zlib.compress(msgspec.msgpack.encode([{"t": ["only"]}, {}, {}])),
        b"\x03" + zlib.compress(msgspec.msgpack.encode([["t1"], {}, {"p": ["team", "nginx", [1]]}, {}])),
        b"\x03" + zlib.compress(msgspec.msgpack.encode([["t1"], {}, {"p": ["team", "nginx", [-1]]}, {}])),
        b"\x00" + GOOD[1:],
    ],
    ids=[
        "nothing",
        "only a format",
        "cut",
        "half",
        "not packed",
        "not msgpack",
        "no delta",
        "no record",
        "no tracker",
        "no place",
        "format 0",
    ],
)
def test_what_is_damaged_is_refused(stored: bytes) -> None:
    with pytest.raises(CorruptLedgerError):
        decode(stored)


def test_what_would_fill_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_MAX_UNPACKED", 1000)
    assert decode(encode(Delta())) == Delta()
    with pytest.raises(CorruptLedgerError):
        decode(GOOD)


@pytest.mark.parametrize("number", [FORMAT + 1, 255])
def test_what_a_newer_version_wrote_is_refused_in_a_sentence(number: int) -> None:
    with pytest.raises(NewerFormatError, match="run the newer version again, or delete"):
        decode(bytes((number,)) + GOOD[1:])
    with pytest.raises(NewerFormatError):
        check_format(number)
    check_format(FORMAT)
