# SPDX-License-Identifier: Apache-2.0
"""What `/healthz` and `/readyz` answer. Liveness fails where only a restart helps, never because another is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

BEAT = 1.0
"""Seconds between two beats of the event loop."""


class Watch(Protocol):
    """A watch of pods."""

    synced: asyncio.Event

    def silent_for(self) -> float:
        """Seconds since anything came from the API server."""
        ...


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """In seconds."""

    lag: float = 10.0
    """That the event loop may be late."""
    silence: float
    """That a watch may be silent while the API server answers others."""
    idle: float = 300.0
    """That something due may see no attempt; every attempt is bounded far below."""


class Health:
    """Gives what is wrong, in a sentence, or None."""

    def __init__(
        self,
        *,
        limits: Limits,
        watches: Callable[[], Mapping[str, Watch]],
        api_server_away: Callable[[], bool],
        idle_for: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        """Args.

        watches: the watches by scope; none before this instance leads.
        api_server_away: whether the last request found no API server.
        idle_for: seconds that something due has seen no attempt.
        clock: monotonic seconds.
        """
        self._limits = limits
        self._watches = watches
        self._api_server_away = api_server_away
        self._idle_for = idle_for
        self._clock = clock
        self._beat_at = clock()
        self.leads = False
        """Whether this instance has the lead."""
        self.watching_trackers = asyncio.Event()
        """Set once trackers are watched."""

    async def beat(self) -> None:
        """Show, for ever, that the event loop turns."""
        while True:
            self._beat_at = self._clock()
            await asyncio.sleep(BEAT)

    def role(self) -> str:
        """What this instance is."""
        return "leader" if self.leads else "standby"

    def lag(self) -> str | None:
        """The event loop is stuck."""
        late = self._clock() - self._beat_at - BEAT
        return f"the event loop is {late:.0f} s late" if late > self._limits.lag else None

    def deaf(self) -> str | None:
        """A watch hears nothing, although there is something to hear."""
        silence = max((watch.silent_for() for watch in self._watches().values()), default=0.0)
        if silence <= self._limits.silence or self._api_server_away():
            return None
        return f"a pod watch has been silent for {silence:.0f} s although the API server answers"

    def stuck(self) -> str | None:
        """Deliveries do not move, although they could."""
        idle = self._idle_for() if self.leads else 0.0
        return f"something due has seen no attempt for {idle:.0f} s" if idle > self._limits.idle else None

    def not_ready(self) -> str | None:
        """A standby is ready to lead; a leader is ready once it sees pods and trackers."""
        if not self.leads:
            return None
        if not all(watch.synced.is_set() for watch in self._watches().values()):
            return "the first list of pods is not complete"
        return None if self.watching_trackers.is_set() else "trackers are not watched yet"
