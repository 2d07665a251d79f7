# SPDX-License-Identifier: Apache-2.0
"""A webhook's receiver that keeps what it accepted, for judging."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from devcluster import ports


@dataclass
class Hook:
    """What came."""

    url: str = ""
    events: list[tuple[float, str, str]] = field(default_factory=list)
    """When (monotonic seconds), the CloudEvent's id, and the pod's uid."""

    def told(self) -> set[str]:
        """The uids of the pods that were told."""
        return {pod for _, _, pod in self.events}

    def repeats(self) -> list[tuple[float, float, str]]:
        """For each event that came again: when its id came first, when it came again, and the id."""
        first: dict[str, float] = {}
        found = []
        for at, one, _ in self.events:
            if one in first:
                found.append((first[one], at, one))
            else:
                first[one] = at
        return found


@asynccontextmanager
async def hook() -> AsyncIterator[Hook]:
    """A receiver on loopback; it ends with the context."""
    made = Hook()

    async def receive(request: web.Request) -> web.Response:
        body = await request.json()
        made.events.append((time.monotonic(), body["id"], body["data"]["pod"]["uid"]))
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/hook", receive)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, ports.LOOPBACK, ports.choose(1)[0])
        await site.start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        yield made
    finally:
        await runner.cleanup()
