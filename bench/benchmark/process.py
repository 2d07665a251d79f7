# SPDX-License-Identifier: Apache-2.0
"""A process under measurement: its CPU time, its memory, and whether it is ready."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmark.errors import BenchError

_INHERITED: Final = ("PATH", "HOME", "LANG", "PYTHONPATH", "VIRTUAL_ENV")
_READY_WITHIN: Final = 240.0
_END_WITHIN: Final = 30.0
_POLL: Final = 0.02
_TAIL: Final = 2000
_MIB: Final = 1024


class Process:
    """One process, from its start to its end."""

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str], log: Path, probe: str = "") -> None:
        """Start it.

        Args:
            command: what to run.
            env: beside a few variables of our own environment.
            log: where its output goes.
            probe: URL that answers 200 once it works; empty where there is none.
        """
        self._log = log
        self._probe = probe
        self.began = time.monotonic()
        known = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                list(command), env=known | dict(env), stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def cpu(self) -> float:
        """Seconds of CPU that it has used, all its threads together."""
        # The clock of another process: see clock_getcpuclockid(3).
        return time.clock_gettime((~self._process.pid << 3) | 2)

    def resident(self) -> float:
        """MiB of memory that it holds."""
        return self._status("VmRSS")

    def peak(self) -> float:
        """MiB of memory that it held at most."""
        return self._status("VmHWM")

    def _status(self, field: str) -> float:
        lines = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii").splitlines()
        [line] = [line for line in lines if line.startswith(f"{field}:")]
        return int(line.split()[1]) / _MIB

    async def ready(self) -> float:
        """Wait until it works; seconds since its start.

        Raises:
            BenchError: it ended, or did not become ready.
        """
        while not self._probed():
            if self._process.poll() is not None or time.monotonic() - self.began > _READY_WITHIN:
                raise BenchError(f"{self._process.args!r} did not become ready; its log ends with:\n{self.tail()}")
            await asyncio.sleep(_POLL)
        return time.monotonic() - self.began

    def _probed(self) -> bool:
        if not self._probe:
            return True
        try:
            with urllib.request.urlopen(self._probe, timeout=5) as answer:  # noqa: S310 - our own URL
                return answer.status == 200 and b"standby" not in answer.read()  # noqa: PLR2004 - the HTTP status
        except (urllib.error.URLError, OSError):
            return False

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it, and wait for that."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        deadline = time.monotonic() + _END_WITHIN
        while self._process.poll() is None:
            if time.monotonic() > deadline:
                self._process.kill()
            await asyncio.sleep(_POLL)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def tail(self) -> str:
        """The end of its output."""
        return self._log.read_text(errors="replace")[-_TAIL:]
