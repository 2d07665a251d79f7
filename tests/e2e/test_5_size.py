# SPDX-License-Identifier: Apache-2.0
"""What the operator takes of memory and CPU, within the limits that it is shipped with."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from devcluster.progress import to_stderr
from e2e.churn import Churn
from e2e.deployment import CONTAINER, leader, operator_pods, restarts
from e2e.scene import Scene, occurrence
from support.install import OPERATOR_NAMESPACE
from support.manifests import Json
from support.waiting import eventually

_PODS: Final = 5_000
_RATE: Final = 50.0
_STARTED: Final = 50
_CHURN_TIME: Final = 600.0
_DELIVERY_TIME: Final = 300.0
_SAMPLE: Final = 3.0
_MIB: Final = 2**20
_PEAK: Final = (
    "cat /sys/fs/cgroup/memory.peak 2>/dev/null || cat /sys/fs/cgroup/memory/memory.max_usage_in_bytes 2>/dev/null"
    " || echo 0"
)


@dataclass(slots=True)
class Usage:
    """What the kubelet has seen of one pod's container."""

    working_set: list[int] = field(default_factory=list)
    """Bytes, one per look."""
    cpu: list[float] = field(default_factory=list)
    """Seconds since the container's start, one per look."""


async def test_the_memory_limit_holds_under_churn(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    tracker = await scene.track("Created", "Deleted")
    lead = await eventually(lambda: leader(scene.api), what="a leader", within=60)
    assert lead
    pods = await operator_pods(scene.api)
    usage = {pod["metadata"]["name"]: Usage() for pod in pods}
    began = time.monotonic()
    async with _watched(scene, lead["spec"]["nodeName"], usage):
        async with Churn(scene, _RATE, started=_STARTED) as churn:
            await eventually(lambda: len(churn.pods) >= _PODS, what=f"{_PODS} pods", within=_CHURN_TIME)
        took = time.monotonic() - began
        await eventually(lambda: _all_settled(scene, len(churn.pods)), what="the messages", within=_DELIVERY_TIME)
    now = await operator_pods(scene.api)
    assert {pod["metadata"]["uid"] for pod in now} == {pod["metadata"]["uid"] for pod in pods}
    assert restarts(now) == restarts(pods)
    peak = await scene.kubectl.aside(
        "exec", f"--namespace={OPERATOR_NAMESPACE}", lead["metadata"]["name"], "--", "sh", "-c", _PEAK
    )
    with capsys.disabled():
        to_stderr(f"\n{len(churn.pods)} pods made and deleted in {took:.0f} s, {len(churn.pods) / took:.0f} a second")
        for name, used in usage.items():
            role = "leader" if name == lead["metadata"]["name"] else "standby"
            cpu = used.cpu[-1] - used.cpu[0]
            most = max(used.working_set) / _MIB
            to_stderr(f"{role}: working set at most {most:.0f} MiB, CPU {cpu:.1f} s")
        to_stderr(f"leader: cgroup's own peak {int(peak) / _MIB:.0f} MiB of {_limit(lead)}")
    wanted = [occurrence(tracker, pod, event) for pod in churn.pods for event in ("Created", "Deleted")]
    told = await scene.slack.ids(scene.channel)
    assert [one for one in wanted if told[one] != 1] == []


@contextlib.asynccontextmanager
async def _watched(scene: Scene, node: str, usage: dict[str, Usage]) -> AsyncIterator[None]:
    """Ask the kubelet again and again meanwhile."""
    over = asyncio.Event()

    async def look() -> None:
        while not over.is_set():
            await _sample(scene, node, usage)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), _SAMPLE)
        await _sample(scene, node, usage)

    async with asyncio.TaskGroup() as group:
        group.create_task(look())
        try:
            yield
        finally:
            over.set()


async def _sample(scene: Scene, node: str, usage: dict[str, Usage]) -> None:
    raw = await scene.kubectl.aside("get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary")
    summary: dict[str, Any] = json.loads(raw)
    for pod in summary["pods"]:
        used = usage.get(pod["podRef"]["name"])
        if used is None:
            continue
        for container in pod.get("containers", ()):
            if container["name"] == CONTAINER:
                used.working_set.append(container["memory"]["workingSetBytes"])
                used.cpu.append(container["cpu"]["usageCoreNanoSeconds"] / 1e9)


async def _all_settled(scene: Scene, pods: int) -> bool:
    """Tell whether the tracker says that all is told; nothing may be given up."""
    status = (await scene.api.get("PodTracker", "tracker", scene.namespace))["status"]
    assert not status.get("dropped"), status
    assert status.get("delivered", 0) >= 2 * pods, status
    return True


def _limit(pod: Json) -> str:
    [container] = pod["spec"]["containers"]
    limit: str = container["resources"]["limits"]["memory"]
    return limit
