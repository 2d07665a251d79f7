# SPDX-License-Identifier: Apache-2.0
"""Workloads in which pods come and messages follow: some each second, a burst, and after a kill."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from benchmark import systems
from benchmark.load import Clock, Created
from benchmark.samples import Delivery, Recovery
from benchmark.stage import ACT, TOLD, Stage, told, tracker_of, tracker_of_pod
from benchmark.systems import CONTROLLER, FLOOR, Start, System
from benchmark.writes import Writes

STEADY_RATE: Final = 20.0
"""Pods per second."""
_PATIENCE: Final = 10.0
"""Seconds without a new message after which those that are missing are lost."""
_SETTLED: Final = 2.0
"""Seconds for which a system works before it is measured, and after its last message: what it still writes counts."""
_POLL: Final = 0.25
_RECOVERY_RATE: Final = 20.0
_RECOVERY_PODS: Final = 200

_numbers = itertools.count(1)


async def steady(stage: Stage, start: Start, *, pods: int) -> Delivery:
    """Pods at a steady pace."""
    names = _names("steady", pods)
    return await _delivered(stage, start, names, lambda: stage.load.create_steadily(ACT, names, told, rate=STEADY_RATE))


async def burst(stage: Stage, start: Start, *, pods: int) -> Delivery:
    """As many pods at once as the API server takes."""
    names = _names("burst", pods)
    return await _delivered(stage, start, names, lambda: stage.load.create(ACT, names, told))


async def recovery(stage: Stage, start: Callable[[], System]) -> Recovery:
    """Kill -9, a start at once, and pods all the while."""
    await stage.track(ACT, tracker_of("told", **TOLD))
    await stage.forget()
    systems.forget_received(stage.site)
    names = _names("killed", _RECOVERY_PODS)
    system = start()
    try:
        await system.process.ready()
        await _warm_up(stage, system)
        await system.process.stop(signal.SIGKILL)
        killed = time.monotonic()
        system = start()
        created = await stage.load.create_steadily(ACT, names, told, rate=_RECOVERY_RATE)
        await _arrived(stage, system, names)
    finally:
        await system.stop()
        await stage.load.clear(ACT, "bench=told")
    came = {name: stamp for name, stamp in system.stamps().items() if name in created.answered}
    return Recovery(
        system=system.name,
        pods=len(stage.crowd),
        first_seconds=round(min(came.values()) - killed, 3) if came else None,
        lost=len(names) - len(came),
        made=len(names),
    )


async def _delivered(
    stage: Stage, start: Start, names: Sequence[str], act: Callable[[], Awaitable[Created]]
) -> Delivery:
    await stage.track(ACT, *_trackers(start, names))
    await stage.forget()
    systems.forget_received(stage.site)
    system = start(stage.site)
    try:
        await system.process.ready()
        await _warm_up(stage, system)
        writes = await Writes.begin(stage.load.endpoint)
        before, began = system.process.cpu(), time.monotonic()
        created = await act()
        await _arrived(stage, system, names)
        await asyncio.sleep(_SETTLED)
        cpu, written = system.process.cpu() - before, await writes.end()
        peak, resident = system.process.peak(), system.process.resident()
    finally:
        await system.stop()
        await stage.load.clear(ACT, "bench=told")
    stamps = system.stamps()
    return _sample(
        system.name, names, created, stamps, began=began, cpu=cpu, resident=resident, peak=peak, writes=written
    )


def _sample(
    system: str,
    names: Sequence[str],
    created: Created,
    stamps: Clock,
    *,
    began: float,
    cpu: float,
    resident: float,
    peak: float,
    writes: dict[str, int],
) -> Delivery:
    found = {name: stamps[name] for name in names if name in stamps}
    return Delivery(
        system=system,
        pods=len(names),
        delivered=len(found),
        latencies=[_milliseconds(stamp - created.asked[name]) for name, stamp in found.items()],
        after_answer=[_milliseconds(stamp - created.answered[name]) for name, stamp in found.items()],
        arrivals=sorted(round(stamp - began, 3) for stamp in found.values()),
        created_seconds=round(max(created.answered.values()) - began, 3),
        last_seconds=round(max(found.values(), default=began) - began, 3),
        cpu=round(cpu, 4),
        resident=round(resident, 1),
        peak=round(peak, 1),
        writes=writes,
    )


def _trackers(start: Start, names: Iterable[str]) -> list[dict[str, object]]:
    """One tracker of all; the founding design has one for each pod."""
    return [tracker_of_pod(name) for name in names] if start is systems.controller else [tracker_of("told", **TOLD)]


async def _warm_up(stage: Stage, system: System) -> None:
    """Let it tell of one pod, where it can: connections are open, trackers known."""
    if system.name not in {FLOOR, CONTROLLER}:
        [name] = _names("warm", 1)
        await stage.load.create(ACT, [name], told)
        await _arrived(stage, system, [name])
    await asyncio.sleep(_SETTLED)


async def _arrived(stage: Stage, system: System, names: Sequence[str]) -> None:
    """Wait until the messages about these pods are there, or come no more."""
    if system.name == FLOOR:
        return
    missing, since = len(names), time.monotonic()
    while missing and time.monotonic() - since < _PATIENCE:
        await asyncio.sleep(_POLL)
        left = len(set(names) - systems.received(stage.site).keys())
        if left < missing:
            missing, since = left, time.monotonic()


def _names(kind: str, count: int) -> list[str]:
    run = next(_numbers)
    return [f"{kind}-{run}-{number:04}" for number in range(count)]


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 2)
