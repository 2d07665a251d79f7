# SPDX-License-Identifier: Apache-2.0
"""Progress for people: what goes on, how long it takes, and never a token."""

from __future__ import annotations

import asyncio
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, TextIO

PATIENCE: Final = 5.0
"""Seconds of silence that a person takes for work; after them a line says what is being waited for."""


class Console:
    """Writes lines stamped with the seconds since the demo's start."""

    def __init__(
        self,
        out: TextIO | None = None,
        *,
        secret: str = "",
        clock: Callable[[], float] = time.monotonic,
        patience: float = PATIENCE,
    ) -> None:
        self._out = out or sys.stdout
        self._secret = secret
        self._clock = clock
        self._patience = patience
        self._start = clock()

    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    def say(self, text: str) -> None:
        """Write what goes on."""
        self._write(f"[{self.elapsed():5.1f} s] {text}")

    def show(self, text: str) -> None:
        """Write a block as it is, set apart: a message, the output of a command."""
        self._write(f"\n{textwrap.indent(text.strip(chr(10)), '    ')}\n")

    @asynccontextmanager
    async def patience(self, what: str) -> AsyncIterator[None]:
        """Say `what` now, and every few seconds again as long as the block inside takes."""
        self.say(what)
        reminder = asyncio.create_task(self._remind(what))
        try:
            yield
        finally:
            reminder.cancel()

    async def _remind(self, what: str) -> None:
        begin = self._clock()
        while True:
            await asyncio.sleep(self._patience)
            self.say(f"… still: {what} ({self._clock() - begin:.0f} s)")

    def _write(self, text: str) -> None:
        # A terminal that was closed, or a pipe that nobody reads any more, must not keep the demo from cleaning up.
        with suppress(OSError):
            self._out.write(f"{redact(text, self._secret)}\n")
            self._out.flush()


def redact(text: str, secret: str) -> str:
    """Take a secret out of a text."""
    return text.replace(secret, "xoxb-(hidden)") if secret else text
