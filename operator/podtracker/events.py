# SPDX-License-Identifier: Apache-2.0
"""Kubernetes Events on a tracker, such as that a condition of it changed; a repeat raises the count of the first."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from podtracker.api import API_VERSION, KIND
from podtracker.errors import KubeError
from podtracker.times import rfc3339
from podtracker.trackers import Notice, TrackerIdentity

COMPONENT = "pod-tracker"
LIFETIME = 3600.0
"""Seconds that the API server keeps an Event (its --event-ttl default); an older one is made anew, not counted up."""
_FEW = 10
"""Events that are not worth looking through."""
_MAX_MESSAGE = 1024
"""Characters; the API server refuses a longer message in an Event."""


class EventApi(Protocol):
    """Where Events are written; both raise KubeError."""

    async def create_event(self, namespace: str, event: Mapping[str, Any]) -> None:
        """Create a core/v1 Event."""
        ...

    async def patch_event(self, namespace: str, name: str, patch: Mapping[str, Any]) -> None:
        """Merge-patch a core/v1 Event; not_found where it has expired."""
        ...


class _Shown(msgspec.Struct):
    name: str
    count: int
    at: float


class EventRecorder:
    """Writes Events, and remembers them for as long as the API server does."""

    def __init__(self, api: EventApi, *, instance: str, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        """Args: instance: this process, as Events name it; clock: monotonic seconds; wall: seconds since 1970."""
        self._api = api
        self._instance = instance
        self._clock = clock
        self._wall = wall
        self._shown: dict[tuple[str, str, str], _Shown] = {}
        self._prune_at = _FEW

    async def record(self, tracker: TrackerIdentity, notice: Notice) -> None:
        """Show it.

        Raises:
            KubeError: it could not be written.
        """
        now = self._clock()
        key = (tracker.uid, notice.reason, notice.message)
        shown = self._shown.get(key)
        if shown is not None and now - shown.at < LIFETIME:
            try:
                await self._repeat(tracker, shown)
            except KubeError as error:
                if not error.not_found:
                    raise
            else:
                shown.at = now
                return
        name = f"{tracker.name[:220].rstrip('-.')}.{_unique(key, self._wall())}"
        await self._api.create_event(tracker.namespace, self._event(tracker, notice, name))
        self._prune(now)
        self._shown[key] = _Shown(name=name, count=1, at=now)

    def _prune(self, now: float) -> None:
        if len(self._shown) >= self._prune_at:
            self._shown = {key: shown for key, shown in self._shown.items() if now - shown.at < LIFETIME}
            self._prune_at = 2 * len(self._shown) + _FEW

    async def _repeat(self, tracker: TrackerIdentity, shown: _Shown) -> None:
        patch = {"count": shown.count + 1, "lastTimestamp": rfc3339(self._wall())}
        await self._api.patch_event(tracker.namespace, shown.name, patch)
        shown.count += 1

    def _event(self, tracker: TrackerIdentity, notice: Notice, name: str) -> dict[str, Any]:
        now = rfc3339(self._wall())
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": tracker.namespace},
            "involvedObject": {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "namespace": tracker.namespace,
                "name": tracker.name,
                "uid": tracker.uid,
            },
            "type": "Warning" if notice.warning else "Normal",
            "reason": notice.reason,
            "message": notice.message[:_MAX_MESSAGE],
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "reportingInstance": self._instance,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }


def _unique(key: tuple[str, str, str], wall: float) -> str:
    return hashlib.sha256("|".join((*key, repr(wall))).encode()).hexdigest()[:16]
