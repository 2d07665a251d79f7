# SPDX-License-Identifier: Apache-2.0
"""How many deliveries of one namespace are under way at once: its dead receivers must not use up what others need."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from podtracker.errors import DeliveryError, Failure


class Turns:
    """Hands out turns, per namespace in the order in which they are asked for."""

    def __init__(self, each: int, total: int | None = None) -> None:
        """Args: each: turns that one namespace may hold; total: turns that all may hold together."""
        self._each = each
        self._total = None if total is None else asyncio.Semaphore(total)
        self._namespaces: dict[str, asyncio.Semaphore] = {}
        self._users: dict[str, int] = {}

    @asynccontextmanager
    async def turn(self, namespace: str, *, until: float) -> AsyncIterator[None]:
        """Hold a turn; wait for one no longer than `until`, a time of the event loop's clock.

        Raises:
            DeliveryError: none came free.
        """
        own = self._namespaces.setdefault(namespace, asyncio.Semaphore(self._each))
        self._users[namespace] = self._users.get(namespace, 0) + 1
        try:
            await _acquire(own, until)
            try:
                if self._total is None:
                    yield
                    return
                await _acquire(self._total, until)
                try:
                    yield
                finally:
                    self._total.release()
            finally:
                own.release()
        finally:
            self._users[namespace] -= 1
            if not self._users[namespace]:
                del self._users[namespace], self._namespaces[namespace]


async def _acquire(semaphore: asyncio.Semaphore, until: float) -> None:
    if not semaphore.locked():
        await semaphore.acquire()
        return
    try:
        async with asyncio.timeout_at(until):
            await semaphore.acquire()
    except TimeoutError:
        problem = "too many deliveries of this namespace wait for receivers that do not answer; it is tried again"
        raise DeliveryError(Failure.RETRY, "Busy", problem) from None
