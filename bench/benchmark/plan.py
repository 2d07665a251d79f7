# SPDX-License-Identifier: Apache-2.0
"""What a run measures, in which order, and how often: in rounds, so that every system meets the same hours."""

from __future__ import annotations

import datetime as dt
import os
import platform
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from benchmark import builds, delivery, fakescale, presence, systems
from benchmark.presence import MATCHING
from benchmark.samples import Machine, Samples
from benchmark.stage import Stage, stage
from devcluster.pins import kubernetes_version

SYSTEMS: Final = (systems.operator, systems.informer, systems.controller)
_PACKAGES: Final = ("kopf", "kubernetes", "aiohttp", "msgspec")


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    name: str
    rounds: int
    """Of what the bars are about."""
    rare: int
    """Of the rest."""
    steady_pods: int
    burst_pods: int
    crowds: tuple[int, ...]
    fake_pods: int
    churn_seconds: float
    settle: float


SCALES: Final = {
    "usual": Scale("usual", 5, 1, 120, 2000, (10_000,), 100_000, 4.0, 4.0),
    "full": Scale("full", 7, 5, 600, 2000, (1_000, 10_000), 100_000, 20.0, 10.0),
    "glance": Scale("glance", 1, 1, 60, 300, (1_000,), 10_000, 2.0, 2.0),
}


async def run(folder: Path, scale: Scale, say: Callable[[str], None]) -> Samples:
    """Measure everything."""
    began = time.monotonic()
    say("building the baselines, where that was not done before")
    programs = builds.baselines()
    samples = Samples(machine=_machine(scale))
    async with stage(folder, programs) as found:
        plan = _Plan(found, scale, samples, say)
        await plan.run()
    samples.machine.minutes = round((time.monotonic() - began) / 60, 1)
    return samples


class _Plan:
    """One run."""

    def __init__(self, found: Stage, scale: Scale, samples: Samples, say: Callable[[str], None]) -> None:
        self._stage = found
        self._scale = scale
        self._samples = samples
        self._say = say

    async def run(self) -> None:
        scale = self._scale
        await self._rounds("idle, no pods", scale.rounds, self._starts(SYSTEMS, "none"))
        for crowd in scale.crowds:
            self._say(f"a crowd of {crowd:,} pods")
            await self._stage.fill(crowd)
            await self._at_crowd(crowd)
        await self._with_messages()
        await self._at_fake()

    async def _at_crowd(self, crowd: int) -> None:
        scale = self._scale
        largest = crowd == scale.crowds[-1]
        often = scale.rounds if largest else scale.rare
        await self._rounds(f"start at {crowd:,}, all matching", often, self._starts(SYSTEMS, "all"))
        for matching in ("none", "10 %"):
            rare = self._starts(SYSTEMS[:1], matching)
            await self._rounds(f"start at {crowd:,}, {matching} matching", scale.rare, rare)
        if largest:
            await self._rounds(
                "start, pods through kopf", scale.rare, self._starts((systems.operator_with_kopf,), "all")
            )
            many = [name for name in MATCHING if "1,000" in name]
            await self._rounds("start, 1,000 trackers", scale.rare, self._starts(SYSTEMS[:1], *many))
            await self._stage.untrack()

    async def _with_messages(self) -> None:
        scale = self._scale
        small, usual = (systems.floor, systems.informer, systems.operator), (systems.informer, systems.operator)
        await self._rounds("20 pods/s", scale.rounds, [self._steady(start) for start in small])
        rare = (systems.controller, systems.operator_with_kopf)
        await self._rounds("20 pods/s, the others", scale.rare, [self._steady(start) for start in rare])
        await self._rounds("burst", scale.rounds, [self._burst(start) for start in usual])
        await self._rounds("churn", scale.rounds, [self._churn(start) for start in small])
        await self._rounds("kill -9", scale.rounds, [self._kill_operator])
        await self._rounds("kill -9, the informer", scale.rare, [self._kill_informer])
        if scale.rare > 1:
            kopf = systems.operator_with_kopf
            await self._rounds("burst, pods through kopf", scale.rare, [self._burst(kopf)])
            await self._rounds("churn, pods through kopf", scale.rare, [self._churn(kopf)])

    async def _at_fake(self) -> None:
        site, pods = self._stage.site, self._scale.fake_pods

        async def one(count: int, *, matching: bool, seen: bool) -> None:
            look = fakescale.resident if seen else fakescale.counted
            self._samples.allocations.append(await look(site, count, matching=matching))

        for matching in (False, True):
            self._say(f"{pods:,} pods of a fake API server, {'all' if matching else 'none'} matching")
            await one(pods, matching=matching, seen=True)
            await one(0, matching=matching, seen=False)
            await one(pods, matching=matching, seen=False)

    async def _rounds(self, what: str, rounds: int, acts: list[Callable[[], Awaitable[None]]]) -> None:
        for number in range(1, rounds + 1):
            self._say(f"{what}: round {number} of {rounds}")
            for act in acts:
                await act()

    def _starts(self, starts: tuple[systems.Start, ...], *matchings: str) -> list[Callable[[], Awaitable[None]]]:
        def one(start: systems.Start, matching: str) -> Callable[[], Awaitable[None]]:
            async def act() -> None:
                found = await presence.start_at_crowd(self._stage, start, matching, settle=self._scale.settle)
                self._samples.starts.append(found)

            return act

        return [one(start, matching) for matching in matchings for start in starts]

    def _steady(self, start: systems.Start) -> Callable[[], Awaitable[None]]:
        async def act() -> None:
            self._samples.steady.append(await delivery.steady(self._stage, start, pods=self._scale.steady_pods))

        return act

    def _burst(self, start: systems.Start) -> Callable[[], Awaitable[None]]:
        async def act() -> None:
            self._samples.burst.append(await delivery.burst(self._stage, start, pods=self._scale.burst_pods))

        return act

    def _churn(self, start: systems.Start) -> Callable[[], Awaitable[None]]:
        async def act() -> None:
            seconds = self._scale.churn_seconds
            self._samples.churn.append(await presence.churn(self._stage, start, seconds=seconds))

        return act

    async def _kill_operator(self) -> None:
        site = self._stage.site
        self._samples.recovery.append(await delivery.recovery(self._stage, lambda: systems.operator(site)))

    async def _kill_informer(self) -> None:
        site = self._stage.site
        self._samples.recovery.append(await delivery.recovery(self._stage, lambda: systems.informer(site)))


def _machine(scale: Scale) -> Machine:
    facts = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.partition(":")[2].strip() for line in facts if line.startswith("model name")), "unknown")
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return Machine(
        cpu=model,
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(pages * size / 1024**3, 1),
        kernel=platform.release(),
        versions={
            "podtracker": version("podtracker"),
            "python": platform.python_version(),
            **{package: version(package) for package in _PACKAGES},
            **builds.versions(),
            "kubernetes (cluster)": kubernetes_version(),
        },
        date=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
        scale=scale.name,
        rounds=scale.rounds,
    )
