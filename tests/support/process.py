# SPDX-License-Identifier: Apache-2.0
"""The operator as its users run it: a process with a kubeconfig, settings from the environment, and signals."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from devcluster import ports
from support.waiting import POLL, eventually

FAST: Final[Mapping[str, str]] = {
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "debug",
    "SLACK_RATE": "50",
    "SLACK_BURST": "50",
    "SLACK_TIMEOUT": "1",
    "WEBHOOK_TIMEOUT": "1",
    "RETRY_BACKOFF": "0.1",
    "RETRY_BACKOFF_MAX": "1",
    "SECRET_REFRESH": "1",
    "DRAIN_TIMEOUT": "3",
}
"""Settings that keep tests short and otherwise change nothing; BLOCKED_RETRY keeps its ten minutes on purpose."""

START_PATIENCE: Final = 30.0
"""Seconds until a start that does not become ready counts as failed."""

END_PATIENCE: Final = 12.0
"""Seconds that an end may take beside the drain: the limits that the operator sets itself (app.py), and some."""

_numbers = itertools.count(1)

_INHERITED: Final = ("PATH", "HOME", "LANG", "PYTHONPATH", "VIRTUAL_ENV")
"""Of the tests' own environment; the rest (proxies, a KUBECONFIG) must not reach the operator."""

_LOG_TAIL: Final = 4000
"""Characters of the log that an assertion's text shows."""


class Operator:
    """One operator process, and the next one with the same settings after `restart`."""

    def __init__(
        self, env: Mapping[str, str], log: Path, *, flags: Sequence[str] = (), command: Sequence[str] | None = None
    ) -> None:
        """Prepare `podtracker run`, or `command`; what `env` lacks keeps its default, but ports are free ones."""
        self.health_port, self.metrics_port = ports.choose(2)
        self.log = log
        self._command = [*(command or self.command("run")), *flags]
        self._env = {
            **{name: os.environ[name] for name in _INHERITED if name in os.environ},
            "POD_UID": f"test-{next(_numbers)}",
            "HEALTH_PROBE_BIND_ADDRESS": f"127.0.0.1:{self.health_port}",
            "METRICS_BIND_ADDRESS": f"127.0.0.1:{self.metrics_port}",
            **env,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def command(*words: str) -> list[str]:
        """Return the command line of one of the program's commands."""
        return [sys.executable, "-m", "podtracker", *words]

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def resident(self) -> int:
        """Bytes of memory that it holds."""
        lines = Path(f"/proc/{self._require().pid}/status").read_text(encoding="ascii").splitlines()
        [line] = [line for line in lines if line.startswith("VmRSS:")]
        return int(line.split()[1]) * 1024

    @property
    def drain_timeout(self) -> float:
        """The operator's own limit for its drain, in seconds."""
        return float(self._env.get("DRAIN_TIMEOUT", "20"))

    def spawn(self) -> None:
        """Start the process without waiting for anything."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                self._command, env=self._env, cwd=self.log.parent, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    async def start(self) -> None:
        """Start the process and wait until it is ready, and the leader."""
        self.spawn()
        try:
            await eventually(self._is_ready, what="the operator's /readyz", within=START_PATIENCE)
        except AssertionError as error:
            error.add_note(self.tail())
            raise

    async def wait_exit(self, within: float) -> int:
        """Wait for the end of the process and return its exit status.

        Raises:
            AssertionError: it still runs after `within` seconds.
        """
        process = self._require()
        deadline = time.monotonic() + within
        while process.poll() is None:
            assert time.monotonic() < deadline, f"no exit within {within:g} s\n{self.tail()}"
            await asyncio.sleep(POLL)
        return process.returncode

    def terminate(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end, as Kubernetes does."""
        self._require().send_signal(number)

    async def stop(self) -> None:
        """Ask it to end; it must do so with status 0, and not much later than its drain timeout."""
        self.terminate()
        status = await self.wait_exit(self.drain_timeout + END_PATIENCE)
        assert status == 0, f"exit {status} after SIGTERM\n{self.tail()}"

    async def kill(self) -> None:
        """End it without a chance to do anything."""
        process = self._require()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await self.wait_exit(5)

    async def restart(self) -> None:
        """End it gracefully and start it again."""
        await self.stop()
        await self.start()

    async def probe(self, path: str) -> int:
        """Return the HTTP status of a health endpoint, or 0 where nobody listens."""
        return (await self.answer(path))[0]

    async def answer(self, path: str) -> tuple[int, str]:
        """Return the HTTP status of a health endpoint and its text; 0 and the reason where nobody listens."""
        return await self._get(self.health_port, path)

    async def exposition(self) -> str:
        """Return what /metrics says."""
        status, text = await self._get(self.metrics_port, "/metrics")
        assert status == 200, f"/metrics answered {status}"
        return text

    async def metric(self, name: str, **labels: str) -> float:
        """Return the value of a metric, summed over all label sets that hold `labels`; 0 where there is none."""
        families = text_string_to_metric_families(await self.exposition())
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    def output(self) -> str:
        """Return everything it wrote to stdout and stderr, over all its starts."""
        return self.log.read_text(errors="replace")

    def tail(self) -> str:
        """Return the end of its output, for an assertion's text."""
        return f"--- the operator's log ends with:\n{self.output()[-_LOG_TAIL:]}"

    async def _is_ready(self) -> bool:
        process = self._require()
        if process.poll() is not None:
            raise RuntimeError(f"the operator ended by itself with status {process.returncode}\n{self.tail()}")
        status, text = await self._get(self.health_port, "/readyz")
        assert status == 200, f"{status} {text}"
        assert "standby" not in text, text
        return True

    async def _get(self, port: int, path: str) -> tuple[int, str]:
        timeout = aiohttp.ClientTimeout(total=5)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(f"http://127.0.0.1:{port}{path}") as answer,
            ):
                return answer.status, await answer.text()
        except aiohttp.ClientError as error:
            return 0, str(error)

    def _require(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "start the operator first"
        return self._process
