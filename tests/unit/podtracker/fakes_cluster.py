# SPDX-License-Identifier: Apache-2.0
"""Fakes of the operator's own objects: ConfigMaps and the Lease, with versions, conflicts and faults."""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import Mapping
from typing import Any

from podtracker.election import StoredLease
from podtracker.errors import KubeError
from podtracker.journal import StoredMap

NOT_FOUND = KubeError(404, "NotFound", "no such thing")
CONFLICT = KubeError(409, "Conflict", "the object has been modified")


class Lost(Exception):  # noqa: N818 - it is the fault that is injected, not an error of ours
    """The process ends here."""


class Faults:
    """What goes wrong with the next writes: before they are done, after, or not at all."""

    def __init__(self) -> None:
        self.plan: deque[tuple[str, Exception] | None] = deque()
        self.writes = 0

    def begin(self) -> tuple[str, Exception] | None:
        self.writes += 1
        fault = self.plan.popleft() if self.plan else None
        if fault is not None and fault[0] == "before":
            raise fault[1]
        return fault

    @staticmethod
    def end(fault: tuple[str, Exception] | None) -> None:
        if fault is not None:
            raise fault[1]


class FakeMaps:
    """ConfigMaps; every write makes a new version."""

    def __init__(self) -> None:
        self.maps: dict[str, StoredMap] = {}
        self.faults = Faults()
        self._version = 0

    def _next(self) -> str:
        self._version += 1
        return str(self._version)

    async def get_map(self, name: str) -> StoredMap:
        await asyncio.sleep(0)
        found = self.maps.get(name)
        if found is None:
            raise NOT_FOUND
        return StoredMap(version=found.version, data=dict(found.data), binary=dict(found.binary))

    async def create_map(self, name: str, *, data: Mapping[str, str], binary: Mapping[str, str]) -> StoredMap:
        await asyncio.sleep(0)
        fault = self.faults.begin()
        old = self.maps.get(name, StoredMap(version="", data={}, binary={}))
        unpacked = {key: base64.b64decode(value) for key, value in binary.items()}
        self.maps[name] = StoredMap(version=self._next(), data={**old.data, **data}, binary={**old.binary, **unpacked})
        self.faults.end(fault)
        return await self.get_map(name)

    async def patch_map(
        self, name: str, version: str, *, data: Mapping[str, str], binary: Mapping[str, str | None]
    ) -> str:
        await asyncio.sleep(0)
        fault = self.faults.begin()
        old = self.maps.get(name)
        if old is None:
            raise NOT_FOUND
        if old.version != version:
            raise CONFLICT
        changed = dict(old.binary)
        for key, value in binary.items():
            if value is None:
                changed.pop(key, None)
            else:
                changed[key] = base64.b64decode(value)
        self.maps[name] = StoredMap(version=self._next(), data={**old.data, **data}, binary=changed)
        self.faults.end(fault)
        return self.maps[name].version


class FakeLeases:
    """One Lease; `slow` is how many seconds each request takes."""

    def __init__(self) -> None:
        self.lease: StoredLease | None = None
        self.specs: list[dict[str, Any]] = []
        self.slow = 0.0
        self.down = False
        self.next_get = 0.0
        """Seconds that the next read takes until it arrives."""
        self.faults = Faults()
        self._version = 0

    async def _arrive(self) -> None:
        await asyncio.sleep(self.slow / 2)
        if self.down:
            raise KubeError(0, "Unreachable", "connection refused")

    def put(self, holder: str, transitions: int = 0) -> None:
        """Somebody else writes."""
        self._version += 1
        self.lease = StoredLease(version=str(self._version), holder=holder, transitions=transitions)

    async def get_lease(self, name: str) -> StoredLease:
        assert name
        late, self.next_get = self.next_get, 0.0
        await asyncio.sleep(late)
        await self._arrive()
        found = self.lease
        await asyncio.sleep(self.slow / 2)
        if found is None:
            raise NOT_FOUND
        return found

    async def create_lease(self, name: str, spec: Mapping[str, Any]) -> StoredLease:
        assert name
        return await self._write(spec)

    async def patch_lease(self, name: str, version: str, spec: Mapping[str, Any]) -> StoredLease:
        assert name
        return await self._write(spec, version)

    async def _write(self, spec: Mapping[str, Any], version: str | None = None) -> StoredLease:
        await self._arrive()
        fault = self.faults.begin()
        old = self.lease
        if version is not None and old is None:
            raise NOT_FOUND
        if version is not None and old is not None and old.version != version:
            raise CONFLICT
        self.specs.append(dict(spec))
        holder = spec.get("holderIdentity", old.holder if old else "")
        self.put(holder, spec.get("leaseTransitions", old.transitions if old else 0))
        made = self.lease
        await asyncio.sleep(self.slow / 2)
        self.faults.end(fault)
        assert made is not None
        return made
