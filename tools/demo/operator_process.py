# SPDX-License-Identifier: Apache-2.0
"""The operator as a process of its own, with nothing but its ServiceAccount's rights."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import aiohttp

from demo.errors import DemoError
from devcluster import ports, processes
from devcluster.guardian import Guardian
from devcluster.pki import write_private

T = TypeVar("T")

STOP_TIMEOUT: Final = 25.0
"""Seconds between SIGTERM and SIGKILL: the operator drains for up to 20."""

TAIL_LINES: Final = 15

_POLL: Final = 0.1
_OK: Final = 200
OPERATOR_SETTINGS: Final = frozenset({
    "ALLOW_INLINE_KEYS", "APPRISE_SCHEMES", "BLOCKED_RETRY", "CLUSTER_NAME", "DIGEST_INTERVAL", "DRAIN_TIMEOUT",
    "EGRESS_ALLOW", "HEALTH_PROBE_BIND_ADDRESS", "LEASE_DURATION", "LEASE_RENEW_DEADLINE", "LEASE_RETRY",
    "LOG_FORMAT", "LOG_LEVEL", "METRICS_BIND_ADDRESS", "MOUNT_GRACE", "POD_NAME", "POD_NAMESPACE",
    "POD_SERVICE_ACCOUNT", "POD_UID", "RECOVERY_HOLD", "RETRY_BACKOFF", "RETRY_BACKOFF_MAX", "SECRET_REFRESH",
    "SLACK_API_URL", "SLACK_BURST", "SLACK_RATE", "SLACK_TIMEOUT", "UNSCHEDULABLE_GRACE", "WATCH_NAMESPACE",
    "WATCH_SILENCE", "WEBHOOK_TIMEOUT",
})  # fmt: skip
"""Variables that the operator obeys; what the user's shell has of them must not bend the demo."""

_NOT_INHERITED: Final = OPERATOR_SETTINGS | {"SLACK_TOKEN", "SLACK_CHANNEL"}
_PROXIES: Final = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"})


class OperatorDiedError(DemoError):
    """The operator ended although nobody asked it to."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the operator answers on loopback."""

    health: int
    metrics: int

    @classmethod
    def choose(cls) -> Self:
        """Choose free ports."""
        return cls(*ports.choose(2))


def environment(
    base: Mapping[str, str],
    *,
    kubeconfig: Path,
    bound: Ports,
    namespace: str,
    watch: str,
    slack_api_url: str | None,
) -> dict[str, str]:
    """Return the operator's environment.

    Args:
        base: what it inherits, except for settings of its own and the token, which it has to find in the cluster.
        kubeconfig: server and token to use.
        bound: its ports.
        namespace: its own namespace.
        watch: the namespace whose trackers it obeys; empty for all.
        slack_api_url: the demo's Slack on loopback, which must not be sought behind a proxy; None for the real one.
    """
    inherited = {name: value for name, value in base.items() if name not in _NOT_INHERITED}
    if slack_api_url is not None:
        inherited = {name: value for name, value in inherited.items() if name.upper() not in _PROXIES}
        inherited["SLACK_API_URL"] = slack_api_url
    elif base.get("SLACK_API_URL"):
        inherited["SLACK_API_URL"] = base["SLACK_API_URL"]
    return {
        **inherited,
        "KUBECONFIG": str(kubeconfig),
        "POD_NAMESPACE": namespace,
        "WATCH_NAMESPACE": watch,
        "HEALTH_PROBE_BIND_ADDRESS": f"{ports.LOOPBACK}:{bound.health}",
        "METRICS_BIND_ADDRESS": f"{ports.LOOPBACK}:{bound.metrics}",
    }


def write_kubeconfig(path: Path, admin: Mapping[str, Any], token: str) -> None:
    """Write a kubeconfig for the cluster of `admin` (as `kubectl config view --minify` gives it) that uses `token`."""
    cluster = admin["clusters"][0]["cluster"]
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "demo", "cluster": cluster}],
        "users": [{"name": "operator", "user": {"token": token}}],
        "contexts": [{"name": "demo", "context": {"cluster": "demo", "user": "operator"}}],
        "current-context": "demo",
    }
    write_private(path, json.dumps(content).encode())


class OperatorProcess:
    """One run of the operator; an asynchronous context manager that ends it, also when the demo is killed."""

    def __init__(self, env: Mapping[str, str], log: Path, bound: Ports) -> None:
        """Prepare a run with `env` that writes to `log`."""
        self.log = log
        self.ports = bound
        mark = secrets.token_hex(16)
        self._env = {**env, processes.MARK: mark}
        self._guardian = Guardian(mark) if processes.supported() else None
        self._process: Process | None = None

    async def __aenter__(self) -> Self:
        """Start it."""
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "podtracker",
                "run",
                stdin=DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                env=self._env,
                start_new_session=True,  # Ctrl-C is for the demo, which then ends the operator properly
            )
        finally:
            os.close(descriptor)
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it."""
        await self.stop()

    async def stop(self) -> None:
        """Let it drain and end; kill it when that takes too long. Can be repeated."""
        process, self._process = self._process, None
        try:
            if process is not None and process.returncode is None:
                process.terminate()
                try:
                    async with asyncio.timeout(STOP_TIMEOUT):
                        await process.wait()
                finally:
                    if process.returncode is None:
                        process.kill()
        except TimeoutError:
            pass
        finally:
            if self._guardian is not None:
                self._guardian.release()

    async def wait_ready(self) -> None:
        """Wait until it says that it lists and watches; raises OperatorDiedError when it ends instead."""
        url = f"http://{ports.LOOPBACK}:{self.ports.health}/readyz"
        await self.alive(_answers(url))

    async def alive(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of `work`, which only makes sense while the operator lives.

        Raises:
            OperatorDiedError: it ended first; the text has its last words.
        """
        task = asyncio.create_task(work)
        death = asyncio.create_task(self._died())
        try:
            await asyncio.wait((task, death), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise OperatorDiedError(f"The operator ended with exit status {death.result()}. {self.last_words()}")
        finally:
            task.cancel()
            death.cancel()
            await asyncio.gather(task, death, return_exceptions=True)

    def last_words(self) -> str:
        """Tell the end of its log."""
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:] if self.log.exists() else []
        if not lines:
            return f"Its log {self.log} is empty."
        return "\n".join([f"Its log {self.log} ends with:", *(f"    {line}" for line in lines)])

    async def _died(self) -> int:
        if self._process is None:
            raise DemoError("The operator was not started.")
        return await self._process.wait()


async def _answers(url: str) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
        while True:
            try:
                async with session.get(url) as response:
                    if response.status == _OK:
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(_POLL)
