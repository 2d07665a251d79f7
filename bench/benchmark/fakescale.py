# SPDX-License-Identifier: Apache-2.0
"""The operator at the fake API server, with more pods than a real one could be filled with here."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import yaml

from benchmark import systems
from benchmark.samples import Allocation
from benchmark.systems import Site

_SETTLED: Final = 6.0
_POLL: Final = 0.05


async def resident(site: Site, pods: int, *, matching: bool) -> Allocation:
    """Its memory, seen from outside."""
    with _fake_server(site.folder, pods, matching=matching) as kubeconfig:
        system = systems.operator(replace(site, operator=kubeconfig))
        try:
            await system.process.ready()
            ready_cpu = system.process.cpu()
            await asyncio.sleep(_SETTLED)
            return Allocation(
                pods=pods,
                matching=matching,
                counted=None,
                resident=round(system.process.resident(), 1),
                peak=round(system.process.peak(), 1),
                ready_cpu=round(ready_cpu, 3),
            )
        finally:
            await system.stop()


async def counted(site: Site, pods: int, *, matching: bool) -> Allocation:
    """Its memory, as its allocator counts it."""
    target = site.folder / "counted"
    target.unlink(missing_ok=True)
    with _fake_server(site.folder, pods, matching=matching) as kubeconfig:
        system = systems.operator(
            replace(site, operator=kubeconfig), module="benchmark.counted", flags={"BENCH_COUNT": str(target)}
        )
        try:
            await system.process.ready()
            await asyncio.sleep(_SETTLED)
            system.process.signal(signal.SIGUSR1)
            while not target.exists():  # noqa: ASYNC110 - another process's file
                await asyncio.sleep(_POLL)
            count = int(target.read_text())
            return Allocation(pods=pods, matching=matching, counted=count, resident=None, peak=None, ready_cpu=None)
        finally:
            await system.stop()


@contextmanager
def _fake_server(folder: Path, pods: int, *, matching: bool) -> Iterator[Path]:
    """A fake API server in a process of its own; gives a kubeconfig for it."""
    command = [sys.executable, "-m", "benchmark.fakeserver", f"--pods={pods}", *(["--matching"] if matching else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None:
            raise RuntimeError("the fake API server has no output")
        port = int(process.stdout.readline())
        kubeconfig = folder / "fake.kubeconfig"
        kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "fake", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
                    "users": [{"name": "fake", "user": {"token": "fake"}}],
                    "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
                    "current-context": "fake",
                }
            )
        )
        yield kubeconfig
    finally:
        process.terminate()
        process.wait()
