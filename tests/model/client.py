# SPDX-License-Identifier: Apache-2.0
"""One operator's way to the API server, in the shape of `KubeClient`.

Every request may be slow or lost, before or after its effect, and the operator may die at any of these points.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from types import SimpleNamespace
from typing import Any, Protocol, TypeVar

from model.cluster import Change, Cluster, Pod, gone, line_of, not_found, pod_json
from model.fates import Fate, Fates
from model.judge import Judge, Memory
from podtracker.election import StoredLease
from podtracker.errors import KubeError
from podtracker.journal import JOURNAL, StoredMap
from unit.podtracker.builders import bookmark_line, error_line, page

T = TypeVar("T")

_BOOKMARK = 60.0
"""Seconds between bookmarks of a watch that has nothing else to show."""
_CONNECTING = 0.1
"""Seconds until a connection is refused."""


class Life(Protocol):
    """The operator whose requests these are."""

    memory: Memory

    def passes(self, what: str) -> None:
        """It is at a point where it may die, or be dead already; raises CancelledError then."""
        ...

    async def carry(self, fate: Fate, effect: Callable[[], T]) -> T:
        """Let a request arrive, perhaps later, perhaps after its sender's death."""
        ...


class Client:
    """What the operator is given for its `KubeClient`."""

    configuration = SimpleNamespace(host="")
    bearer_token = None

    def __init__(self, cluster: Cluster, life: Life, judge: Judge, fates: Fates, *, page_size: int) -> None:
        self._cluster = cluster
        self._life = life
        self._judge = judge
        self._fates = fates
        self._page_size = page_size
        self._snapshots: dict[str, tuple[int, list[Pod]]] = {}
        self._cuts = 0
        self._places: dict[str | None, int] = {}
        self._listed: set[str] = set()
        """The pods that any list has shown, or is about to."""
        self.failing = False
        self.away = False
        """Whether this operator finds no API server."""

    def cut(self) -> None:
        """Break the watches."""
        self._cuts += 1
        self._cluster.tell()

    def follows(self) -> bool:
        """Whether its watches run and have shown everything."""
        return bool(self._places) and not any(self._cluster.changes(*place) for place in self._places.items())

    # requests

    def _connect(self) -> None:
        self.failing = self.away
        if self.away:
            raise KubeError(0, "Unreachable", "connection refused")

    async def _ask(self, what: str, effect: Callable[[], T]) -> T:
        """One request: the way there, the effect, the way back."""
        fate = self._fates.take()
        self._life.passes(what)
        if self.away or fate.lost_there:
            await asyncio.sleep(fate.there or _CONNECTING)
            self._connect()
            raise KubeError(0, "Unreachable", "connection reset")
        self._connect()
        if fate.turn == 15:
            raise KubeError(503, "ServiceUnavailable", "try again", retry_after=1.0)
        answer = await self._life.carry(fate, effect)
        self._life.passes(what)
        await asyncio.sleep(fate.back)
        self._life.passes(what)
        if fate.lost_back or self.away:
            raise KubeError(0, "Unreachable", "connection reset")
        return answer

    async def _quick(self, effect: Callable[[], T]) -> T:
        """A request to which nothing happens but an outage."""
        self._life.passes("")
        self._connect()
        return effect()

    # pods

    async def list_pods(
        self,
        namespace: str | None,
        *,
        limit: int,
        continue_token: str,
        field_selector: str = "",
        label_selector: str = "",
    ) -> bytes:
        assert limit > 0
        assert not label_selector
        self._judge.begins(self._life.memory)
        name = field_selector.partition("=")[2]
        body, shown = await self._ask("list", lambda: self._page(namespace, name, continue_token))
        if not name:
            self._judge.listed(self._life.memory, namespace, shown, first=not continue_token)
        return body

    def _page(self, namespace: str | None, name: str, token: str) -> tuple[bytes, list[Pod]]:
        cluster = self._cluster
        key, _, offset = token.partition(":")
        if not token:
            key = str(len(self._snapshots))
            found = [pod for pod in cluster.pods.values() if namespace in {None, pod.namespace}]
            self._snapshots[key] = cluster.revision, [pod for pod in found if name in {"", pod.name}]
        revision, pods = self._snapshots[key]
        if revision < cluster.compacted:
            raise gone()
        begin, end = int(offset or 0), int(offset or 0) + self._page_size
        self._listed |= {pod.uid for pod in pods}
        items = [pod_json(pod, cluster.versions.get(pod.uid, revision)) for pod in pods[begin:end]]
        return page(items, version=revision, token=f"{key}:{end}" if end < len(pods) else ""), pods[begin:end]

    @contextlib.asynccontextmanager
    async def watch_pods(
        self,
        namespace: str | None,
        *,
        resource_version: str,
        timeout: int,  # noqa: ASYNC109 - the port's
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        begin = int(resource_version)
        self._judge.begins(self._life.memory)
        self._judge.watching(self._life.memory, namespace)
        await self._ask("watch", lambda: self._check(begin))
        self._places[namespace] = begin
        try:
            yield self._stream(namespace, begin, timeout)
        finally:
            del self._places[namespace]

    def _check(self, revision: int) -> None:
        if revision < self._cluster.compacted:
            raise gone()

    async def _stream(self, namespace: str | None, begin: int, seconds: float) -> AsyncIterator[bytes]:
        """The watch: the pods' history piece by piece; pieces may be merged or repeated, the stream cut or ended."""
        clock = asyncio.get_running_loop().time
        ends, place, cuts = clock() + seconds, begin, self._cuts
        while clock() < ends:
            changes = self._cluster.changes(namespace, place)
            fate = Fate()
            if changes:
                fate = self._fates.take()
                await asyncio.sleep(fate.there)
            elif cuts == self._cuts and not await self._cluster.news(min(_BOOKMARK, ends - clock())):
                self._life.passes("watch")
                yield bookmark_line(self._cluster.revision)
                continue
            self._life.passes("watch")
            if cuts != self._cuts or self.away or fate.lost_there or fate.lost_back:
                raise KubeError(0, "Unreachable", "connection reset")
            if fate.turn in {1, 2}:
                yield error_line(410 if fate.turn == 1 else 500)
                return
            if fate.turn in {3, 4}:
                changes = changes[:1]
            if changes:
                again = self._again(namespace, begin, place) if fate.turn in {9, 10} else []
                place = changes[-1].revision
                shown = self._merged(changes) if fate.turn in {5, 6, 7, 8} else changes
                async for piece in self._pieces([*again, *shown], fate):
                    yield piece
                self._places[namespace] = place
            if fate.turn == 13:
                return

    def _again(self, namespace: str | None, begin: int, end: int) -> list[Change]:
        """What was shown since `begin`, but for what would revive the dead."""
        shown = [change for change in self._cluster.changes(namespace, begin) if change.revision <= end]
        gone = {change.pod.uid for change in shown if change.kind == "DELETED"}
        return [change for change in shown if change.pod.uid not in gone]

    def _merged(self, changes: list[Change]) -> list[Change]:
        """What is left where the API server shows only the last of several changes of a pod."""
        made = {change.pod.uid for change in changes if change.kind == "ADDED"}
        last = {change.pod.uid: change for change in changes}
        shown = []
        for change in last.values():
            if change.kind == "DELETED" and change.pod.uid in made - self._listed:
                self._judge.merged_away(self._life.memory, change.pod)
            else:
                shown.append(change)
        return sorted(shown, key=lambda change: change.revision)

    async def _pieces(self, changes: list[Change], fate: Fate) -> AsyncIterator[bytes]:
        """The lines; the last may come in two pieces. A line counts as shown with the piece that ends it."""
        lines = [line_of(change) for change in changes]
        held = b""
        if lines and fate.turn in {11, 12}:
            self._judge.watched(self._life.memory, changes[:-1])
            changes, held = changes[-1:], lines.pop()
            yield b"".join([*lines, held[:20]])
            lines = [held[20:]]
            await asyncio.sleep(fate.back)
            self._life.passes("watch")
        self._judge.watched(self._life.memory, changes)
        if lines:
            yield b"".join(lines)

    # trackers

    async def list_trackers(self, namespace: str | None) -> list[dict[str, Any]]:
        bodies = await self._ask("trackers", lambda: self._bodies(namespace))
        for body in bodies:
            self._judge.told_of(self._life.memory, body)
        return bodies

    def _bodies(self, namespace: str | None) -> list[dict[str, Any]]:
        living = self._cluster.living_trackers()
        return [tracker.body() for tracker in living if namespace in {None, tracker.namespace}]

    async def apply_status(self, namespace: str, name: str, uid: str, status: Mapping[str, Any]) -> None:
        assert (namespace, name) == (self._cluster.trackers[uid].namespace, uid)
        await self._quick(lambda: self._set_status(uid, status))

    def _set_status(self, uid: str, status: Mapping[str, Any]) -> None:
        if self._cluster.trackers[uid].deleted:
            raise not_found(uid)
        self._judge.status[uid] = status

    async def create_event(self, namespace: str, event: Mapping[str, Any]) -> None:
        assert namespace == event["metadata"]["namespace"]
        await self._quick(lambda: None)

    async def patch_event(self, namespace: str, name: str, patch: Mapping[str, Any]) -> None:
        assert all((namespace, name, patch))
        await self._quick(lambda: None)

    # what operators keep

    async def get_map(self, name: str) -> StoredMap:
        try:
            return await self._ask("read", lambda: self._cluster.get_map(name))
        except KubeError as error:
            if error.not_found:
                self._judge.nothing_kept(self._life.memory)
            raise

    async def create_map(self, name: str, *, data: Mapping[str, str], binary: Mapping[str, str]) -> StoredMap:
        return await self._ask(_kind(name), lambda: self._cluster.create_map(name, data, binary))

    async def patch_map(
        self, name: str, version: str, *, data: Mapping[str, str], binary: Mapping[str, str | None]
    ) -> str:
        return await self._ask(_kind(name), lambda: self._cluster.patch_map(name, version, data, binary))

    async def get_lease(self, name: str) -> StoredLease:
        return await self._quick(lambda: self._cluster.get_lease(name))

    async def create_lease(self, name: str, spec: Mapping[str, Any]) -> StoredLease:
        return await self._quick(lambda: self._cluster.put_lease(name, None, spec))

    async def patch_lease(self, name: str, version: str, spec: Mapping[str, Any]) -> StoredLease:
        return await self._quick(lambda: self._cluster.put_lease(name, version, spec))


def _kind(name: str) -> str:
    return "journal" if name == JOURNAL else "shard"
