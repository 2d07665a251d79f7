# SPDX-License-Identifier: Apache-2.0
"""kubectl as the demo uses it: the same commands that the user will type afterwards."""

from __future__ import annotations

import asyncio
import json
import os
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from demo.errors import DemoError

TIMEOUT: Final = 90.0
"""Seconds; the longest command waits for a pod's end."""


class KubectlError(DemoError):
    """A command failed; the text is the command and what it said."""


class Kubectl:
    """Runs one kubectl against one cluster."""

    def __init__(self, program: Path, environment: Mapping[str, str]) -> None:
        """Use `program` with `environment` on top of the process's own."""
        self.program = program
        # Plugins for logging in inherit the environment, and the Slack token is none of their business.
        inherited = {name: value for name, value in os.environ.items() if name != "SLACK_TOKEN"}
        self._environment = {**inherited, "KUBERC": "off", **environment}

    async def run(self, *arguments: str, stdin: str | None = None, timeout: float = TIMEOUT) -> str:  # noqa: ASYNC109
        """Run a command and return its output; raises KubectlError when it fails or takes longer than `timeout`."""
        process = await self._spawn(arguments, PIPE if stdin is not None else DEVNULL, PIPE)
        try:
            async with asyncio.timeout(timeout):
                output, errors = await process.communicate(None if stdin is None else stdin.encode())
        except TimeoutError:
            raise KubectlError(f"`{_spelled(arguments)}` did not end within {timeout:.0f} s.") from None
        finally:
            await _end(process)
        if process.returncode != 0:
            raise KubectlError(f"`{_spelled(arguments)}` failed: {errors.decode(errors='replace').strip()}")
        return output.decode(errors="replace")

    async def apply(self, *objects: Mapping[str, Any]) -> None:
        """Apply objects server-side, so that no annotation repeats them; nothing of them is in a command line."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        await self.run(
            "apply", "--server-side", "--field-manager=pod-tracker-demo", "-f", "-", stdin=json.dumps(listed)
        )

    async def get(self, namespace: str, kind: str, name: str) -> dict[str, Any] | None:
        """Read one object; None where there is none."""
        output = await self.run("-n", namespace, "get", kind, name, "--ignore-not-found", "-o", "json")
        found = json.loads(output) if output.strip() else None
        return found if isinstance(found, dict) else None

    @asynccontextmanager
    async def lines(self, *arguments: str) -> AsyncIterator[AsyncIterator[str]]:
        """Run a command that goes on, such as a watch, and give its lines as they come; it ends with the block."""
        process = await self._spawn(arguments, DEVNULL, DEVNULL)
        try:
            yield _lines(process)
        finally:
            await _end(process)

    async def _spawn(self, arguments: tuple[str, ...], stdin: int, stderr: int) -> Process:
        # A session of its own: Ctrl-C is for the demo, which still needs its commands to clean up.
        return await asyncio.create_subprocess_exec(
            self.program,
            *arguments,
            stdin=stdin,
            stdout=PIPE,
            stderr=stderr,
            env=self._environment,
            start_new_session=True,
        )


async def _lines(process: Process) -> AsyncIterator[str]:
    stream = process.stdout
    while stream is not None and (line := await stream.readline()):
        yield line.decode(errors="replace").rstrip("\n")


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


def _spelled(arguments: tuple[str, ...]) -> str:
    return " ".join(("kubectl", *arguments))
