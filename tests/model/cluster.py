# SPDX-License-Identifier: Apache-2.0
"""What is true: pods and trackers with their history, and what operators keep; one revision counts all of it."""

from __future__ import annotations

import asyncio
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from podtracker.election import StoredLease
from podtracker.errors import KubeError
from podtracker.journal import StoredMap
from unit.podtracker.builders import NOW, inline, stamp, tracker_body

BEGIN = 5_000.0
"""The virtual loop's time at its start."""


def wall() -> float:
    """Seconds since 1970, on every clock there is: the API server's, the receiver's, the operators'."""
    return NOW + asyncio.get_running_loop().time() - BEGIN


@dataclass(frozen=True)
class Pod:
    """One life of a pod."""

    uid: str
    namespace: str
    name: str
    created: int


@dataclass(frozen=True)
class Change:
    """One line of the pods' history."""

    revision: int
    kind: str
    """`ADDED`, `MODIFIED` or `DELETED`."""
    pod: Pod


@dataclass
class Tracker:
    """A tracker and the names it has had."""

    uid: str
    namespace: str
    created: int
    names: list[tuple[str, int]]
    """Each name with the second from which it stood there."""
    channel: str
    written: int
    generation: int = 1
    deleted: bool = False

    @property
    def name(self) -> str:
        """The name of the pods it means now."""
        return self.names[-1][0]

    def body(self) -> dict[str, Any]:
        """The object as the API server shows it."""
        return tracker_body(
            self.uid,
            uid=self.uid,
            namespace=self.namespace,
            pod_name=self.name,
            created=self.created,
            generation=self.generation,
            reporter=inline(channel=self.channel),
            edited=self.written,
        )


def not_found(what: str) -> KubeError:
    return KubeError(404, "NotFound", f"{what} does not exist")


def conflict() -> KubeError:
    return KubeError(409, "Conflict", "the object has been modified")


def gone() -> KubeError:
    return KubeError(410, "Expired", "too old resource version")


@dataclass
class Cluster:
    """The API server's data."""

    revision: int = 100
    compacted: int = 0
    """What happened before this revision is forgotten."""
    pods: dict[str, Pod] = field(default_factory=dict)
    """Those that live, by uid."""
    versions: dict[str, int] = field(default_factory=dict)
    """The revision at which each living pod was last written."""
    past: list[Change] = field(default_factory=list)
    trackers: dict[str, Tracker] = field(default_factory=dict)
    """All there ever were, by uid."""
    tracker_past: list[tuple[str, dict[str, Any] | None]] = field(default_factory=list)
    """Uid and body of each change, None where it was deleted."""
    maps: dict[str, StoredMap] = field(default_factory=dict)
    leases: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def news(self, patience: float) -> bool:
        """Wait for the next change of a pod or tracker; False where none came within so many seconds."""
        try:
            async with asyncio.timeout(patience):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    def tell(self) -> None:
        """Wake all who wait for news."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _next(self) -> int:
        self.revision += 1
        return self.revision

    # pods

    def make_pod(self, namespace: str, name: str) -> Pod:
        """Create a pod; one of that name is deleted first."""
        for pod in [pod for pod in self.pods.values() if (pod.namespace, pod.name) == (namespace, name)]:
            self.delete_pod(pod)
        revision = self._next()
        pod = Pod(uid=f"p{revision}", namespace=namespace, name=name, created=int(wall()))
        self.pods[pod.uid], self.versions[pod.uid] = pod, revision
        self._happened(revision, "ADDED", pod)
        return pod

    def touch_pod(self, pod: Pod) -> None:
        """Modify a pod."""
        self.versions[pod.uid] = self._next()
        self._happened(self.revision, "MODIFIED", pod)

    def delete_pod(self, pod: Pod) -> None:
        """Delete a pod."""
        del self.pods[pod.uid], self.versions[pod.uid]
        self._happened(self._next(), "DELETED", pod)

    def _happened(self, revision: int, kind: str, pod: Pod) -> None:
        self.past.append(Change(revision, kind, pod))
        self.tell()

    def changes(self, namespace: str | None, after: int) -> list[Change]:
        """The pods' history from a revision on."""
        found = []
        for change in reversed(self.past):
            if change.revision <= after:
                break
            if namespace in {None, change.pod.namespace}:
                found.append(change)
        return found[::-1]

    # trackers

    def make_tracker(self, namespace: str, name: str, channel: str) -> Tracker:
        """Create a tracker."""
        now = int(wall())
        tracker = Tracker(f"t{self._next()}", namespace, now, [(name, now)], channel, now)
        self.trackers[tracker.uid] = tracker
        self._heard_of(tracker, tracker.body())
        return tracker

    def edit_tracker(self, tracker: Tracker, *, name: str = "", channel: str = "") -> None:
        """Change a tracker's spec."""
        self._next()
        tracker.generation += 1
        tracker.written = int(wall())
        tracker.channel = channel or tracker.channel
        if name and name != tracker.name:
            tracker.names.append((name, tracker.written))
        self._heard_of(tracker, tracker.body())

    def delete_tracker(self, tracker: Tracker) -> None:
        """Delete a tracker."""
        self._next()
        tracker.deleted = True
        self._heard_of(tracker, None)

    def _heard_of(self, tracker: Tracker, body: dict[str, Any] | None) -> None:
        self.tracker_past.append((tracker.uid, body))
        self.tell()

    def living_trackers(self) -> list[Tracker]:
        """Those that exist."""
        return [tracker for tracker in self.trackers.values() if not tracker.deleted]

    # what operators keep

    def get_map(self, name: str) -> StoredMap:
        """Read a ConfigMap."""
        if name not in self.maps:
            raise not_found(name)
        stored = self.maps[name]
        return StoredMap(version=stored.version, data=dict(stored.data), binary=dict(stored.binary))

    def create_map(self, name: str, data: Mapping[str, str], binary: Mapping[str, str]) -> StoredMap:
        """Server-side apply: create it, or set these keys."""
        stored = self.maps.setdefault(name, StoredMap(version="", data={}, binary={}))
        self._set(stored, data, binary)
        return self.get_map(name)

    def patch_map(self, name: str, version: str, data: Mapping[str, str], binary: Mapping[str, str | None]) -> str:
        """Merge-patch it, if it is still at `version`."""
        stored = self.maps.get(name)
        if stored is None:
            raise not_found(name)
        if stored.version != version:
            raise conflict()
        self._set(stored, data, binary)
        return stored.version

    def _set(self, stored: StoredMap, data: Mapping[str, str], binary: Mapping[str, str | None]) -> None:
        stored.version = str(self._next())
        stored.data |= data
        for key, value in binary.items():
            if value is None:
                stored.binary.pop(key, None)
            else:
                stored.binary[key] = binascii.a2b_base64(value)

    def get_lease(self, name: str) -> StoredLease:
        """Read the Lease."""
        if name not in self.leases:
            raise not_found(name)
        version, spec = self.leases[name]
        return StoredLease(version, spec.get("holderIdentity", ""), spec.get("leaseTransitions", 0))

    def put_lease(self, name: str, version: str | None, spec: Mapping[str, Any]) -> StoredLease:
        """Create it, or merge-patch it if it is still at `version`."""
        old = self.leases.get(name)
        if version is not None and old is None:
            raise not_found(name)
        if version is not None and old is not None and old[0] != version:
            raise conflict()
        self.leases[name] = str(self._next()), {**(old[1] if old else {}), **spec}
        return self.get_lease(name)


def pod_json(pod: Pod, revision: int) -> dict[str, Any]:
    """A pod as lists and watches show it, as far as the operator reads it."""
    return {
        "metadata": {
            "name": pod.name,
            "namespace": pod.namespace,
            "uid": pod.uid,
            "creationTimestamp": stamp(pod.created),
            "resourceVersion": str(revision),
        }
    }


def line_of(change: Change) -> bytes:
    """A line of a watch."""
    return json.dumps({"type": change.kind, "object": pod_json(change.pod, change.revision)}).encode() + b"\n"
