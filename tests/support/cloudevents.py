# SPDX-License-Identifier: Apache-2.0
"""The receiver of webhooks that CloudEvents' own Go SDK makes (tools/go/cloudevents): built when a test needs it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from devcluster.binaries import ensure_programs
from devcluster.pins import Program

_PROGRAM: Final = Program("cloudevents-receiver", "pod-tracker.lost.backend/tools/cloudevents", "cloudevents", 10)
_PATIENCE: Final = 15.0


def ensure_receiver() -> Path:
    """The program; building it takes seconds.

    Raises:
        BuildError: it cannot be built; the text says what to do.
    """
    return ensure_programs((_PROGRAM,), family=(_PROGRAM,))[_PROGRAM.name]


class Receiver:
    """One that runs."""

    def __init__(self, output: asyncio.StreamReader) -> None:
        self._output = output
        self.port = 0

    async def next(self) -> dict[str, Any]:
        """What it says of the next request."""
        async with asyncio.timeout(_PATIENCE):
            said: dict[str, Any] = json.loads(await self._output.readline())
        return said


@asynccontextmanager
async def receiver(program: Path, *, key: str, token: str) -> AsyncIterator[Receiver]:
    """A receiver that wants this HMAC key and this bearer token."""
    process = await asyncio.create_subprocess_exec(
        program, stdout=asyncio.subprocess.PIPE, env={"RECEIVER_HMAC_KEY": key, "RECEIVER_TOKEN": token}
    )
    assert process.stdout is not None
    made = Receiver(process.stdout)
    try:
        made.port = int((await made.next())["port"])
        yield made
    finally:
        process.kill()
        await process.wait()
