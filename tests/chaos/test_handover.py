# SPDX-License-Identifier: Apache-2.0
"""Scenario 6: two replicas; the leader is killed, told to go, frozen and woken, or cut off from the API server."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from chaos.arena import Arena, NewArena
from chaos.chance import branch
from chaos.churn import Churn
from chaos.proxy import Proxy
from chaos.replica import Replica
from chaos.report import Report, spread
from chaos.scale import Scale
from chaos.slackside import ChaosSlack
from chaos.waiting import lasting, until
from support.waiting import eventually

_NAMES = [f"web-{number}" for number in range(20)]
_KILL_LIMIT = 20.0
_TERM_LIMIT = 3.0
"""Seconds, by the median: several pairs share the machine."""
_BACKLOG = 2
_DEPOSED = 4
"""The exit status of a leader that finds that another one leads."""


@dataclass
class _Player:
    """A replica with its own way to the API server and its own address of Slack."""

    replica: Replica
    proxy: Proxy
    front: ChaosSlack

    def posts(self) -> int:
        """How many messages it has tried to send so far."""
        return sum(request.method == "chat.postMessage" for request in self.front.requests)


@dataclass
class _Results:
    kill: list[float] = field(default_factory=list)
    term: list[float] = field(default_factory=list)
    freeze: list[float] = field(default_factory=list)
    cut_off: list[float] = field(default_factory=list)
    """Seconds from the end of a leader to the lead of the other."""
    too_late: list[int] = field(default_factory=list)
    """Messages that a leader tried to send after it was woken, or after the other led."""
    to_the_end: list[float] = field(default_factory=list)
    """Seconds from its waking, or from its first sight of the API server, to its end."""


class _Cell:
    """Two players, one of which leads."""

    def __init__(self, arena: Arena, results: _Results, freeze: float) -> None:
        self._arena = arena
        self._results = results
        self._freeze = freeze
        self._players: list[_Player] = []

    async def open(self) -> None:
        """Start both."""
        for _ in range(2):
            front = await self._arena.new_front()
            proxy = await self._arena.new_proxy()
            self._players.append(_Player(self._arena.new_replica(proxy, slack=front), proxy, front))
        leader, standby = self._players
        leader.replica.spawn()
        await leader.replica.leads()
        standby.replica.spawn()
        await standby.replica.stands_by()

    async def kill(self) -> None:
        """The leader's node dies."""
        leader, standby = self._players
        began = time.monotonic()
        await leader.replica.kill()
        self._results.kill.append(await standby.replica.leads() - began)
        await self._replace(leader)

    async def term(self) -> None:
        """The leader is told to go, as in a rolling upgrade."""
        leader, standby = self._players

        async def caught_up() -> bool:
            return await leader.replica.metric("pod_tracker_pending") <= _BACKLOG

        # What waits is delivered before the hand-over, and is no part of its cost.
        await eventually(caught_up, what="the leader to catch up", within=60)
        began = time.monotonic()
        leader.replica.terminate()
        self._results.term.append(await standby.replica.leads() - began)
        assert await leader.replica.wait_exit(15) == 0, leader.replica.tail()
        await self._replace(leader)

    async def freeze(self) -> None:
        """The leader's node stands still, and goes on as if nothing had been."""
        leader, standby = self._players
        began = time.monotonic()
        await leader.replica.freeze()
        self._results.freeze.append(await standby.replica.leads() - began)
        await until(began + self._freeze)
        posts = leader.posts()
        leader.replica.thaw()
        await self._deposed(leader, posts)

    async def cut_off(self) -> None:
        """The leader reaches Slack, but the API server no more."""
        leader, standby = self._players
        began = time.monotonic()
        leader.proxy.blackhole(on=True)
        self._results.cut_off.append(await standby.replica.leads() - began)
        posts = leader.posts()
        await lasting(self._arena.rng.uniform(0, 2))
        leader.proxy.blackhole(on=False)
        await self._deposed(leader, posts)

    async def _deposed(self, leader: _Player, posts: int) -> None:
        """The old leader finds out, and ends; it had tried to send so many messages before."""
        began = time.monotonic()
        assert await leader.replica.wait_exit(30) == _DEPOSED, leader.replica.tail()
        self._results.to_the_end.append(time.monotonic() - began)
        self._results.too_late.append(leader.posts() - posts)
        await self._replace(leader)

    async def _replace(self, gone: _Player) -> None:
        """Start a replica in place of the one that ended: another pod, which stands by."""
        gone.replica.become(f"{self._arena.namespace}-{self._arena.rng.getrandbits(32):08x}")
        gone.replica.spawn()
        await gone.replica.stands_by()
        self._players.reverse()


async def test_handover(new_arena: NewArena, scale: Scale, report: Report) -> None:
    results = _Results()
    shares = [scale.rounds // scale.cells + (place < scale.rounds % scale.cells) for place in range(scale.cells)]
    began = time.monotonic()
    arenas = [await new_arena(f"handover-{place}") for place in range(scale.cells)]
    async with asyncio.TaskGroup() as group:
        for arena, rounds in zip(arenas, shares, strict=True):
            group.create_task(_play(arena, results, rounds, scale.freeze))
    verdicts = [await arena.settled() for arena in arenas]
    report.add(
        f"6. two replicas, {scale.rounds} rounds of each by {scale.cells} pairs at a time, frozen {scale.freeze:g} s",
        {
            "take-over after kill -9": spread(results.kill),
            "take-over after SIGTERM": spread(results.term),
            "take-over after SIGSTOP": spread(results.freeze),
            "take-over from a leader without API server": spread(results.cut_off),
            "messages tried by a deposed leader": sum(results.too_late),
            "SIGCONT or API server back to exit 4": spread(results.to_the_end),
            **{name: sum(verdict.rows()[name] for verdict in verdicts) for name in verdicts[0].rows()},
            "took": time.monotonic() - began,
        },
    )
    for verdict in verdicts:
        verdict.require()
    assert max(results.kill + results.freeze + results.cut_off) <= _KILL_LIMIT
    assert statistics.median(results.term) <= _TERM_LIMIT
    assert sum(results.too_late) == 0


async def _play(arena: Arena, results: _Results, rounds: int, freeze: float) -> None:
    arena.read_back(allowed=True)
    arena.slack.transit = arena.slack.silence = 0, 0.05
    await arena.track(*_NAMES)
    cell = _Cell(arena, results, freeze)
    await cell.open()
    acts: list[Callable[[], Awaitable[None]]] = [cell.kill, cell.term, cell.freeze, cell.cut_off] * rounds
    async with Churn(arena.kube, arena.namespace, _NAMES, rng=branch(arena.rng), rate=5):
        for act in acts:
            await lasting(arena.rng.uniform(0.2, 2))
            await act()
