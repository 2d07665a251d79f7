# SPDX-License-Identifier: Apache-2.0
"""Lines that say what goes on and since when."""

import sys
import time
from collections.abc import Callable
from typing import Final

Progress = Callable[[str], None]
"""Takes one line for the user."""

HEARTBEAT: Final = 15.0
"""Seconds between two lines about the same thing."""


def to_stderr(line: str) -> None:
    """Show a line to the user at once."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def silent(_: str) -> None:
    """Show nothing."""


class Narrator:
    """Says what goes on, with the time since its making, and repeats itself when it goes on for long."""

    def __init__(self, progress: Progress, now: Callable[[], float] = time.monotonic) -> None:
        """Start counting; lines go to `progress`."""
        self._progress = progress
        self._now = now
        self._begin = now()
        self._last = self._begin

    def say(self, text: str) -> None:
        """Show a line such as `[2m05s] building etcd`."""
        self._last = self._now()
        minutes, seconds = divmod(int(self._last - self._begin), 60)
        stamp = f"{minutes}m{seconds:02d}s" if minutes else f"{seconds}s"
        self._progress(f"[{stamp}] {text}")

    def say_again(self, text: str) -> None:
        """Show a line if the last one is a heartbeat ago; to be called often."""
        if self._now() - self._last >= HEARTBEAT:
            self.say(text)
