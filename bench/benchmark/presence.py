# SPDX-License-Identifier: Apache-2.0
"""Workloads in which nothing is told: being there, starting at a crowd of pods, and pods that change meanwhile."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from benchmark.samples import Churn
from benchmark.samples import Start as StartSample
from benchmark.stage import ACT, CROWD, SLOTS, TOLD, Stage, tracker_of
from benchmark.systems import Start

CHURN_RATE: Final = 350.0
"""Changes per second."""
_SETTLED: Final = 2.0


async def start_at_crowd(stage: Stage, start: Start, matching: str, *, settle: float) -> StartSample:
    """A first start where a crowd is already.

    Args:
        stage: with its crowd.
        start: the system.
        matching: what of the crowd trackers mean: one of `MATCHING`.
        settle: seconds until its memory is looked at.
    """
    trackers = MATCHING[matching]
    await stage.track(CROWD, *trackers)
    await stage.forget()
    system = start(stage.site)
    try:
        ready = await system.process.ready()
        ready_cpu = system.process.cpu()
        await asyncio.sleep(settle)
        return StartSample(
            system=system.name,
            pods=len(stage.crowd),
            matching=matching,
            trackers=len(trackers),
            ready_seconds=round(ready, 3),
            ready_cpu=round(ready_cpu, 4),
            settled_cpu=round(system.process.cpu() - ready_cpu, 4),
            settle=settle,
            resident=round(system.process.resident(), 1),
            peak=round(system.process.peak(), 1),
        )
    finally:
        await system.stop()


MATCHING: Final = {
    "none": [],
    "10 %": [tracker_of("tenth", tenth="yes")],
    "all": [tracker_of("all", crowd="yes")],
    "all, 1,000 trackers": [tracker_of(f"slot-{slot:03}", slot=f"s{slot:03}") for slot in range(SLOTS)],
}
"""Trackers by what of the crowd they mean."""


async def churn(stage: Stage, start: Start, *, seconds: float) -> Churn:
    """The crowd changes, and no tracker means it."""
    await stage.track(CROWD)
    await stage.track(ACT, tracker_of("told", **TOLD))
    await stage.forget()
    system = start(stage.site)
    try:
        await system.process.ready()
        await asyncio.sleep(_SETTLED)
        resting = system.process.cpu()
        await asyncio.sleep(seconds)
        before, began = system.process.cpu(), time.monotonic()
        events = await stage.load.churn(CROWD, stage.crowd, rate=CHURN_RATE, seconds=seconds)
        await asyncio.sleep(0.5)
        took = time.monotonic() - began
        return Churn(
            system=system.name,
            events=events,
            seconds=round(took, 3),
            cpu=round(system.process.cpu() - before, 4),
            idle_cpu=round((before - resting) / seconds * took, 4),
        )
    finally:
        await system.stop()
