# SPDX-License-Identifier: Apache-2.0
"""Scenario 2: the API server dies and comes back, etcd forgets, and `410 Gone` comes wherever it can."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import aiohttp

from chaos.arena import Arena, NewArena
from chaos.chance import branch
from chaos.churn import Churn
from chaos.etcd import compact
from chaos.proxy import Proxy
from chaos.replica import Replica
from chaos.report import Report
from chaos.scale import Scale
from chaos.waiting import lasting
from support.kube import ApiError
from support.waiting import eventually

_NAMES = [f"web-{number}" for number in range(60)]
_FILLERS = 600
"""Pods that nobody tracks; more than a page, so that lists have a `continue`."""


_MEANWHILE = 5
"""Pods made while the operator is down."""


class _Play:
    """The parts of the play, and how often each fault was there."""

    def __init__(self, arena: Arena, proxy: Proxy, operator: Replica, churn: Churn) -> None:
        self.arena = arena
        self.proxy = proxy
        self.operator = operator
        self.churn = churn
        self.restarts = 0
        self.compactions = 0
        self.gaps = 0.0
        """Gaps that operators reported before they ended."""

    async def die_under_load(self) -> None:
        """The API server dies while the operator runs."""
        await self._restart_api()

    async def forget_while_down(self) -> None:
        """The operator dies, then the API server, and etcd forgets what was in between; the pods of then still live."""
        # A pod that dies in such a gap is seen by nobody; that it is reported is not promised.
        self.churn.deleting = False
        await self.arena.told()
        self.gaps += await self.operator.number("pod_tracker_gaps_total")
        await self.operator.kill()
        await self.arena.run(*(f"gap-{self.compactions}-{number}" for number in range(_MEANWHILE)))
        await self._restart_api()
        await compact(self.arena.stage.cluster)
        self.compactions += 1
        expired = len(self.arena.recorder.expired)
        self.operator.spawn()
        await self.operator.leads()
        await eventually(lambda: len(self.arena.recorder.expired) > expired, what="410 Gone for the saved position")
        await self.arena.told()
        self.churn.deleting = True

    async def expire_everything(self) -> None:
        """The API server restarts; a watch expires, then the second page of the list after it, then a watch again."""
        self.proxy.expire_watches = self.proxy.expire_continues = 1
        await self._restart_api()
        await eventually(lambda: not self.proxy.expire_continues, what="a `continue` to expire", within=60)
        self.proxy.expire_watches = 1
        self.proxy.cut()
        await eventually(lambda: not self.proxy.expire_watches, what="a watch to expire", within=60)

    async def _restart_api(self) -> None:
        cluster = self.arena.stage.cluster
        await asyncio.to_thread(cluster.stop_apiserver, kill=True)
        await lasting(self.arena.rng.uniform(0, 1))
        await asyncio.to_thread(cluster.start_apiserver)
        self.restarts += 1
        await eventually(self._answers, what="the API server")

    async def _answers(self) -> bool:
        try:
            return bool(await self.arena.kube.list("Namespace"))
        except (ApiError, aiohttp.ClientError, TimeoutError):
            return False


async def test_api_server(new_arena: NewArena, scale: Scale, report: Report) -> None:
    arena = await new_arena("apiserver")
    arena.read_back(allowed=True)
    gaps = scale.api_restarts // 3 + 1
    await arena.track(*_NAMES, *(f"gap-{turn}-{number}" for turn in range(gaps) for number in range(_MEANWHILE)))
    await arena.run(*(f"filler-{number}" for number in range(_FILLERS)))
    proxy = await arena.new_proxy()
    operator = arena.new_replica(proxy)
    operator.spawn()
    await operator.leads()
    began = time.monotonic()
    async with Churn(arena.kube, arena.namespace, _NAMES, rng=branch(arena.rng), rate=10) as churn:
        play = _Play(arena, proxy, operator, churn)
        acts = (play.die_under_load, play.expire_everything, play.forget_while_down)
        for turn in range(scale.api_restarts):
            await acts[turn % len(acts)]()
            await arena.fence()
    verdict = await arena.settled()
    gone = Counter(arena.recorder.expired)
    report.add(
        "2. the API server is killed, etcd forgets, 410 on lists and watches",
        {
            "API server killed": play.restarts,
            "etcd compacted, the operator being down": play.compactions,
            "410 Gone": ", ".join(f"{way} {count}" for way, count in sorted(gone.items())),
            "gaps reported": play.gaps + await operator.number("pod_tracker_gaps_total"),
            "requests of the test that failed": churn.failed,
            "pods made": churn.created,
            **verdict.rows(),
            "took": time.monotonic() - began,
        },
    )
    verdict.require()
    assert operator.running
