# SPDX-License-Identifier: Apache-2.0
"""A Slack with weather: every request takes a while, and an outage lasts until it is lifted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

from aiohttp import web

from fakeslack.outcomes import Outcome
from fakeslack.server import FakeSlack
from fakeslack.workspace import Workspace

HISTORY_SCOPE = "channels:history"
"""With it the bot may read back what it sent."""


class ChaosSlack(FakeSlack):
    """One front of a workspace; several can share one, to tell apart who sent what."""

    def __init__(
        self, *, tokens: set[str], channels: set[str], rng: Random, workspace: Workspace | None = None
    ) -> None:
        """Args: workspace: that of another front, to share its messages, scopes and channels."""
        super().__init__(tokens=tokens, channels=channels)
        if workspace is not None:
            self.workspace = workspace
        self.weather: Callable[[str], Outcome] | None = None
        """What becomes of each request for a method, for as long as it is set."""
        self.transit = 0.0, 0.0
        """Shortest and longest seconds until a message that was received takes effect."""
        self.silence = 0.0, 0.0
        """Shortest and longest seconds from the effect of a request to its answer."""
        self.under_way = 0
        """Messages that were received and have not taken effect."""
        self._rng = rng
        self._released = asyncio.Event()
        self._released.set()
        self._serving: set[asyncio.Task[web.StreamResponse]] = set()

    def detain(self) -> None:
        """Keep the messages that come from now on under way until `release`; later ones too, behind them."""
        self._released.clear()

    def release(self) -> None:
        """Let what is under way take effect."""
        self._released.set()

    async def stop(self) -> None:
        """Close the port and every connection, and forget the requests that wait for their effect."""
        await super().stop()
        for task in tuple(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _next_outcome(self, method: str) -> Outcome:
        return super()._next_outcome(method) if self.weather is None else self.weather(method)

    async def _serve(self, http: web.Request) -> web.StreamResponse:
        await http.read()
        # What has arrived takes effect, whatever becomes of its sender meanwhile.
        task = asyncio.create_task(self._serve_late(http))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        return await asyncio.shield(task)

    async def _serve_late(self, http: web.Request) -> web.StreamResponse:
        if http.match_info["method"] == "chat.postMessage":
            self.under_way += 1
            try:
                await asyncio.sleep(self._rng.uniform(*self.transit))
                await self._released.wait()
            finally:
                self.under_way -= 1
        return await super()._serve(http)

    async def _respond(self, http: web.Request, outcome: Outcome, reply: dict[str, Any] | None) -> web.StreamResponse:
        await asyncio.sleep(self._rng.uniform(*self.silence))
        return await super()._respond(http, outcome, reply)
