# SPDX-License-Identifier: Apache-2.0
"""A webhook's receiver on loopback that answers what it is told to, and keeps what it accepted."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from support.manifests import Json
from support.receivers import OK, Answer, RawServer, Received, raw_server
from support.waiting import eventually


@dataclass
class Hook:
    """What came, and what to say to it."""

    server: RawServer
    accepted: list[Received] = field(default_factory=list)
    """The requests that were answered with 200."""
    times: list[float] = field(default_factory=list)
    """When each request came, in seconds since 1970."""
    _script: deque[Answer] = field(default_factory=deque)

    def url(self, path: str = "/hook", *, host: str = "127.0.0.1") -> str:
        """Where it listens."""
        return f"http://{host}:{self.server.port}{path}"

    def script(self, *answers: Answer) -> None:
        """Decide what the next requests are answered, in turn; after them it accepts everything again."""
        self._script.extend(answers)

    @property
    def requests(self) -> list[Received]:
        """All requests, whatever became of them."""
        return self.server.requests

    @property
    def events(self) -> list[Json]:
        """The bodies that were accepted."""
        return [json.loads(request.body) for request in self.accepted]

    async def told(self, *what: tuple[str, str]) -> list[Json]:
        """Wait until these have been accepted and no others, in any order, as event and pod; return them in order."""

        def arrived() -> bool:
            told = [(event["data"]["event"], event["data"].get("pod", {}).get("name", "")) for event in self.events]
            assert sorted(told) == sorted(what), told
            return True

        await eventually(arrived, what=f"the events {what}")
        return self.events

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the newest request."""
        self.times.append(time.time())
        if self._script:
            await self._script.popleft()(reader, writer)
        else:
            self.accepted.append(self.server.requests[-1])
            await OK(reader, writer)


@asynccontextmanager
async def hook() -> AsyncIterator[Hook]:
    """A receiver; it ends with the context."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await made.answer(reader, writer)

    async with raw_server(answer) as server:
        made = Hook(server)
        yield made
