# SPDX-License-Identifier: Apache-2.0
"""What an operator was shown and what it wrote, as proxies saw it pass: a memory apart from the operator's."""

from __future__ import annotations

import datetime as dt
import itertools
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

LIST: Final = "LIST"
"""The way of a pod that stood in a list; the others are the types of watch events."""


class _Meta(msgspec.Struct):
    uid: str
    name: str
    namespace: str
    creationTimestamp: str  # noqa: N815 - the field's name


class _Pod(msgspec.Struct):
    metadata: _Meta


class _PodList(msgspec.Struct):
    items: list[_Pod] = msgspec.field(default_factory=list)


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


_EVENTS: Final = msgspec.json.Decoder(_Event)
_PODS: Final = msgspec.json.Decoder(_Pod)
_LISTS: Final = msgspec.json.Decoder(_PodList)


@dataclass(slots=True)
class Sighting:
    """A pod that a list or a watch showed."""

    uid: str
    namespace: str
    name: str
    created: int
    """Seconds since 1970, by the API server's clock."""
    order: int
    """Its place among all pods by first sight."""
    ways: set[str] = field(default_factory=set)
    """`LIST`, `ADDED`, `MODIFIED`, `DELETED`."""


@dataclass(frozen=True, slots=True)
class Write:
    """A request that changes something, as it was answered."""

    at: float
    """Seconds since the epoch."""
    method: str
    path: str
    size: int
    """Bytes of the body."""
    status: int
    """0 where the API server gave no answer."""


class Recorder:
    """Shared by all proxies of one stage."""

    def __init__(self) -> None:
        self.pods: dict[str, Sighting] = {}
        """By uid."""
        self.writes: list[Write] = []
        self.lists = 0
        """Lists of pods that were answered, by page."""
        self.expired: list[str] = []
        """Each `410 Gone` that was passed on or made up for a list or a watch of pods, with where it came from."""
        self.unread: list[str] = []
        """What could not be understood: with it, nothing that is found here can be trusted."""
        self._order = itertools.count()

    def saw_list(self, body: bytes) -> None:
        """A page of pods was delivered."""
        self.lists += 1
        for pod in _LISTS.decode(body).items:
            self._saw(pod.metadata, LIST)

    def saw_event(self, line: bytes) -> None:
        """A line of a watch of pods was delivered."""
        event = _EVENTS.decode(line)
        if event.type == "ERROR":
            if b'"code":410' in bytes(event.object).replace(b" ", b""):
                self.expired.append("stream")
        elif event.type != "BOOKMARK":
            self._saw(_PODS.decode(event.object).metadata, event.type)

    def saw_write(self, method: str, path: str, size: int, status: int) -> None:
        """A request that changes something was answered, or lost."""
        self.writes.append(Write(time.time(), method, path, size, status))

    def writes_to(self, part: str, *, since: float = 0.0) -> list[Write]:
        """Return the writes to paths that contain `part`, after a moment in seconds since the epoch."""
        return [write for write in self.writes if part in write.path and write.at >= since]

    def _saw(self, meta: _Meta, way: str) -> None:
        sighting = self.pods.get(meta.uid)
        if sighting is None:
            created = int(dt.datetime.fromisoformat(meta.creationTimestamp).timestamp())
            sighting = Sighting(meta.uid, meta.namespace, meta.name, created, next(self._order))
            self.pods[meta.uid] = sighting
        sighting.ways.add(way)


def distinct(values: Iterable[str]) -> list[str]:
    """Return the values without repeats, in their order."""
    return list(dict.fromkeys(values))
