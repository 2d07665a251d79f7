# SPDX-License-Identifier: Apache-2.0
"""An operator process that is killed, frozen and replaced, and that may be a standby."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from devcluster import ports
from support.process import Operator
from support.waiting import eventually

_PROBE = aiohttp.ClientTimeout(total=2)


class Replica(Operator):
    """One replica; its identity is the POD_UID, which outlives the process as a pod outlives its containers."""

    def __init__(self, env: Mapping[str, str], log: Path) -> None:
        """Prepare it; ports are chosen so that they stay free between two lives."""
        health, metrics = ports.choose(2)
        addresses = {
            "HEALTH_PROBE_BIND_ADDRESS": f"127.0.0.1:{health}",
            "METRICS_BIND_ADDRESS": f"127.0.0.1:{metrics}",
        }
        super().__init__({**env, **addresses}, log)
        self.health_port, self.metrics_port = health, metrics
        self.started_at = 0.0
        """When the process of now was started, on the monotonic clock."""

    def spawn(self) -> None:
        """Start the process without waiting for anything."""
        assert not self.running, "end it first"
        self.started_at = time.monotonic()
        super().spawn()

    def become(self, pod_uid: str) -> None:
        """Take another identity from the next start on."""
        self._env["POD_UID"] = pod_uid

    async def role(self) -> str:
        """Return `leader`, `standby`, or nothing where it is neither or does not answer."""
        try:
            async with (
                aiohttp.ClientSession(timeout=_PROBE) as session,
                session.get(f"http://127.0.0.1:{self.health_port}/readyz") as answer,
            ):
                return (await answer.text()).strip() if answer.ok else ""
        except (aiohttp.ClientError, TimeoutError, OSError):
            return ""

    async def leads(self, within: float = 60.0) -> float:
        """Wait until it is the leader; return when that was seen, on the monotonic clock."""
        await self._plays("leader", within)
        return time.monotonic()

    async def stands_by(self, within: float = 30.0) -> None:
        """Wait until it is a standby."""
        await self._plays("standby", within)

    async def _plays(self, role: str, within: float) -> None:
        async def plays() -> bool:
            if not self.running:
                raise RuntimeError(f"the operator ended by itself with status {self.exit_status}\n{self.tail()}")
            return await self.role() == role

        try:
            await eventually(plays, what=f"/readyz to say {role}", within=within)
        except AssertionError as error:
            error.add_note(self.tail())
            raise

    @property
    def exit_status(self) -> int | None:
        """The status it ended with, None while it runs."""
        return self._require().poll()

    @property
    def pid(self) -> int:
        """The process."""
        return self._require().pid

    async def freeze(self) -> None:
        """Stop it in the middle of whatever it does, and wait until it has stopped."""
        self.terminate(signal.SIGSTOP)
        stat = Path(f"/proc/{self.pid}/stat")
        await eventually(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", what="the process to stop")

    def thaw(self) -> None:
        """Let it go on."""
        self.terminate(signal.SIGCONT)

    def said(self, message: str) -> list[dict[str, Any]]:
        """Return the log entries with this message, over all its lives."""
        entries = []
        for line in self.output().splitlines():
            if message in line and line.startswith("{"):
                entry = json.loads(line)
                if entry.get("message") == message:
                    entries.append(entry)
        return entries

    async def number(self, name: str, **labels: str) -> float:
        """Return a metric, 0 where there is no such thing or nobody answers now."""
        try:
            return await self.metric(name, **labels)
        except (AssertionError, aiohttp.ClientError, TimeoutError):
            return 0.0


async def end(replicas: list[Replica]) -> None:
    """Kill whatever still runs."""
    for replica in replicas:
        if replica.running:
            replica.thaw()
            await replica.kill()
