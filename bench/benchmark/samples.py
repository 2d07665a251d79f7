# SPDX-License-Identifier: Apache-2.0
"""What was measured, raw: stored as JSON, and all that the report is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

FORMAT: Final = 1


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One system, some pods, and the messages about them."""

    system: str
    pods: int
    delivered: int
    latencies: list[float]
    """Milliseconds from the request to create a pod until its message was at the receiver."""
    after_answer: list[float]
    """Milliseconds from the API server's answer to that request; below zero where the message was faster."""
    arrivals: list[float]
    """Seconds since the load began at which messages came."""
    created_seconds: float
    """Seconds since the load began at which the last pod was made."""
    last_seconds: float
    """And at which the last message was there."""
    cpu: float
    """Seconds of CPU that the system used meanwhile."""
    resident: float
    """MiB at the end."""
    peak: float
    writes: dict[str, int]
    """Requests that wrote, by the API's resource; those for pods are the load's."""


class Churn(msgspec.Struct, frozen=True, kw_only=True):
    """One system while pods change that nobody asked about."""

    system: str
    events: int
    seconds: float
    cpu: float
    idle_cpu: float
    """Seconds of CPU in as long a time without events."""


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """One start of a system at a crowd of pods."""

    system: str
    pods: int
    matching: str
    trackers: int
    ready_seconds: float
    ready_cpu: float
    """Seconds of CPU until it was ready."""
    settled_cpu: float
    """And in the seconds after, until it had settled."""
    settle: float
    """So many seconds."""
    resident: float
    """MiB when it had settled."""
    peak: float


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """One kill -9 while pods come."""

    system: str
    pods: int
    """That existed."""
    first_seconds: float | None
    """From the kill to the first message of a pod made after it; None where none came."""
    lost: int
    """Of the pods made from the kill on, those that no message came about."""
    made: int


class Allocation(msgspec.Struct, frozen=True, kw_only=True):
    """The operator at the fake API server."""

    pods: int
    matching: bool
    counted: int | None
    """Bytes that its allocator had given out; None where its memory was looked at from outside."""
    resident: float | None
    peak: float | None
    ready_cpu: float | None


class Machine(msgspec.Struct, kw_only=True):
    """Where it was measured, and what."""

    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    versions: dict[str, str]
    date: str
    scale: str
    rounds: int
    minutes: float = 0.0
    remark: str = ""
    """What whoever reads the numbers has to know beside; written by hand."""


class Samples(msgspec.Struct, kw_only=True):
    """One run."""

    machine: Machine
    format: int = FORMAT
    starts: list[Start] = []
    steady: list[Delivery] = []
    burst: list[Delivery] = []
    churn: list[Churn] = []
    recovery: list[Recovery] = []
    allocations: list[Allocation] = []

    def store(self, path: Path) -> None:
        """Write it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.encode(self) + b"\n")


def load(path: Path) -> Samples | None:
    """Read a stored run; None where there is none, or one of another format."""
    if not path.exists():
        return None
    known = msgspec.json.decode(path.read_bytes(), type=dict[str, object])
    return msgspec.convert(known, Samples) if known.get("format") == FORMAT else None
