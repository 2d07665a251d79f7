# SPDX-License-Identifier: Apache-2.0
"""Scenario 3: pods are made while the operator is down, within the watch window and past it."""

from __future__ import annotations

import asyncio

import pytest

from chaos.arena import Arena, NewArena
from chaos.etcd import compact
from chaos.proxy import Proxy
from chaos.replica import Replica
from chaos.report import Report
from chaos.scale import Scale

_PODS = [f"web-{number}" for number in range(20)]
_DELETED = _PODS[::4]
_RESTARTS = 10


async def _down_and_up(arena: Arena, proxy: Proxy, operator: Replica, way: str) -> None:
    """Make 20 pods and delete five of them while the operator is down."""
    await operator.stop()
    uids = dict(zip(_PODS, await arena.run(*_PODS), strict=True))
    await arena.remove(*_DELETED)
    if way == "forced":
        proxy.expire_watches = 1
    elif way == "real":
        await asyncio.to_thread(arena.stage.cluster.stop_apiserver, kill=True)
        await asyncio.to_thread(arena.stage.cluster.start_apiserver)
        await compact(arena.stage.cluster)
    if way != "within":
        arena.excused |= {uids[pod] for pod in _DELETED}
    operator.spawn()
    await operator.leads()


@pytest.mark.parametrize("way", ["within", "forced", "real"])
async def test_downtime(new_arena: NewArena, scale: Scale, report: Report, way: str) -> None:
    if way == "real" and not scale.thorough:
        pytest.skip("full scale only")
    arena = await new_arena(f"down-{way}")
    arena.read_back(allowed=True)
    await arena.track(*_PODS)
    proxy = await arena.new_proxy()
    operator = arena.new_replica(proxy)
    operator.spawn()
    await operator.leads()
    await arena.fence()
    await _down_and_up(arena, proxy, operator, way)
    told = 20 if way == "within" else 15
    verdict = await arena.settled()
    gaps = await operator.number("pod_tracker_gaps_total")
    gap_events = await arena.events("WatchGap") if way == "within" else await arena.noted("WatchGap", len(_PODS) + 1)
    before = len(arena.messages)
    restarts = _RESTARTS if way == "within" else 2
    for turn in range(restarts):
        await (operator.stop() if turn % 2 else operator.kill())
        operator.spawn()
        await operator.leads()
    await arena.fence()
    again = len(arena.messages) - before
    report.add(
        f"3. 20 pods made and 5 of them deleted while the operator is down; the saved position is {_WORDS[way]}",
        {
            **verdict.rows(),
            "gaps reported by the metric": gaps,
            "Events WatchGap": len(gap_events),
            f"messages in {restarts} restarts": again,
        },
    )
    verdict.require()
    assert verdict.told == told
    assert again == 0
    assert (gaps, bool(gap_events)) == ((0.0, False) if way == "within" else (1.0, True))


_WORDS = {"within": "in the watch window", "forced": "refused with 410", "real": "gone with the API server's memory"}
