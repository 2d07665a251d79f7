# SPDX-License-Identifier: Apache-2.0
"""The cluster that all systems share, with its namespaces, trackers and crowd of pods."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmark.connection import Endpoint
from benchmark.load import Load
from benchmark.systems import Site
from devcluster.binaries import ensure_binaries
from devcluster.local import LocalCluster
from support.install import forget, install, operator_kubeconfig
from support.kube import ApiError, Kube
from support.manifests import Json, make_secret, make_tracker
from support.waiting import eventually

TOLD: Final = {"bench": "told"}
"""Labels of the pods that are told of while a system runs."""
ACT: Final = "bench-act"
"""Namespace of these."""
CROWD: Final = "bench-crowd"
"""Namespace of the pods that are there before a system starts."""
TENTH: Final = 10
SLOTS: Final = 1000
"""Trackers, where there are many; each means the pods of one slot."""


@dataclass
class Stage:
    """What a workload acts on."""

    cluster: LocalCluster
    kube: Kube
    load: Load
    site: Site
    crowd: list[str] = field(default_factory=list)

    async def fill(self, count: int) -> None:
        """Let the crowd be of so many pods, all running."""
        names = [f"crowd-{number:05}" for number in range(len(self.crowd), count)]
        await self.load.create(CROWD, names, _crowd_labels)
        await self.load.run(CROWD, names)
        self.crowd += names

    async def track(self, namespace: str, *trackers: Json) -> None:
        """Let exactly these trackers be in a namespace."""
        wanted = {tracker["metadata"]["name"] for tracker in trackers}
        for known in await self.kube.list("PodTracker", namespace):
            if known["metadata"]["name"] not in wanted:
                await self.kube.delete("PodTracker", known["metadata"]["name"], namespace)
        for tracker in trackers:
            await self.kube.apply(tracker, namespace)

    async def untrack(self) -> None:
        """Let no tracker mean the crowd."""
        await self.track(CROWD)

    async def forget(self) -> None:
        """Let the next operator start as the first ever."""
        await forget(self.kube)


def told(_: str) -> dict[str, str]:
    """The labels of every pod that is told of."""
    return TOLD


def _crowd_labels(name: str) -> dict[str, str]:
    """One tracker may mean the whole crowd, a tenth of it, or the ten pods of a slot."""
    slot = int(name.removeprefix("crowd-")) % SLOTS
    return {"crowd": "yes", "tenth": "no" if slot % TENTH else "yes", "slot": f"s{slot:03}"}


def tracker_of(name: str, **labels: str) -> Json:
    """A tracker of the pods that have these labels, which reports to the receiver."""
    return make_tracker(name, kind="webhook", selector={"matchLabels": labels})


def tracker_of_pod(name: str) -> Json:
    """A tracker of the one pod of this name, as in the founding example."""
    return make_tracker(name, kind="webhook", pod=name)


@asynccontextmanager
async def stage(folder: Path, programs: Path) -> AsyncIterator[Stage]:
    """A cluster with two namespaces and a receiver; it ends with the context."""
    cluster = LocalCluster.start(folder / "cluster", ensure_binaries(), controller_manager=False)
    try:
        install(cluster)
        async with Kube(cluster.kubeconfig) as kube:
            with _receiver() as port:
                hook = f"http://127.0.0.1:{port}/hook"
                # The storage of a new kind takes a moment, and refuses requests meanwhile.
                await eventually(lambda: _listed(kube), what="the trackers' storage")
                for namespace in (ACT, CROWD):
                    await kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
                    await kube.apply(make_secret(url=hook), namespace)
                site = Site(
                    folder=folder,
                    admin=cluster.kubeconfig,
                    operator=operator_kubeconfig(cluster, folder / "operator.kubeconfig"),
                    programs=programs,
                    hook=hook,
                    labels=",".join(f"{key}={value}" for key, value in TOLD.items()),
                )
                yield Stage(cluster, kube, Load(Endpoint.of(cluster.kubeconfig)), site)
    finally:
        cluster.stop()


async def _listed(kube: Kube) -> bool:
    try:
        await kube.list("PodTracker")
    except ApiError:
        return False
    return True


@contextmanager
def _receiver() -> Iterator[int]:
    """The receiver's process; gives its port."""
    process = subprocess.Popen([sys.executable, "-m", "benchmark.receiver"], stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None:
            raise RuntimeError("the receiver has no output")
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()
