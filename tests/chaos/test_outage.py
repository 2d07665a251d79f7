# SPDX-License-Identifier: Apache-2.0
"""Scenario 4: ten minutes without Slack, played faster, with `kill -9` in the middle."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable

from chaos.arena import Arena, NewArena
from chaos.chance import branch
from chaos.churn import Churn
from chaos.oracle import ids_of
from chaos.report import Report, spread
from chaos.scale import Scale
from chaos.waiting import until
from fakeslack.outcomes import DropBefore, Hang, Outcome, ServerError

_OUTAGE = 600.0
"""Seconds of life."""
_KILLS = 2
_NAMES = [f"web-{number}" for number in range(12)]
_WEATHER: tuple[tuple[str, Outcome | None], ...] = (
    ("503", ServerError(503)),
    ("500", ServerError(500)),
    ("hang", Hang()),
    ("drop", DropBefore()),
    ("refuse", None),
)


async def test_outage(new_arena: NewArena, scale: Scale, report: Report) -> None:
    arena = await new_arena("outage")
    arena.read_back(allowed=True)
    await arena.track(*_NAMES)
    faster = scale.speedup
    proxy = await arena.new_proxy()
    operator = arena.new_replica(
        proxy,
        {
            "SLACK_RATE": f"{faster:g}",
            "SLACK_TIMEOUT": f"{max(10 / faster, 0.3):g}",
            "RETRY_BACKOFF": f"{1 / faster:g}",
            "RETRY_BACKOFF_MAX": f"{60 / faster:g}",
        },
    )
    operator.spawn()
    await operator.leads()
    length = _OUTAGE / faster
    async with Churn(arena.kube, arena.namespace, _NAMES, rng=branch(arena.rng), rate=8, lives=(0.05, 1)) as churn:
        began = time.monotonic()
        weather = asyncio.create_task(_bad_weather(arena, length))
        for turn in range(_KILLS):
            await until(began + length * (turn + 1) / (_KILLS + 1))
            await operator.kill()
            operator.spawn()
        kinds = await weather
        accepted = len(arena.messages)
        waiting = await operator.number("pod_tracker_pending")
    over = time.time()
    verdict = await arena.told()
    recovered = time.time() - over
    verdict = await arena.settled()
    after = [message.received_at for message in arena.messages[accepted:]]
    busiest = _busiest_second(after)
    report.add(
        f"4. Slack down for {_OUTAGE:g} s, {faster} times faster ({length:g} s), {_KILLS} kill -9",
        {
            "weather": ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())),
            "requests while down": sum(kinds.values()),
            "messages accepted while down": accepted,
            "pods made meanwhile": churn.created,
            "waiting at its end": waiting,
            **verdict.rows(),
            "all told after": recovered,
            "pods per message afterwards": spread([len(ids_of(message)) for message in arena.messages], ""),
            f"most messages in a second (pace {faster}/s, burst 3)": busiest,
        },
    )
    verdict.require()
    assert busiest <= faster + 3


async def _bad_weather(arena: Arena, length: float) -> Counter[str]:
    """Let Slack fail in ever changing ways; return how many requests met each."""
    seen: Counter[str] = Counter()
    end = time.monotonic() + length
    while (left := end - time.monotonic()) > 0:
        kind, outcome = arena.rng.choice(_WEATHER)
        arena.slack.weather = None if outcome is None else _always(outcome)
        if outcome is None:
            await arena.slack.stop()
        before = len(arena.slack.requests)
        await until(time.monotonic() + min(left, arena.rng.uniform(0.3, length / 8)))
        seen[kind] += len(arena.slack.requests) - before
        if outcome is None:
            arena.slack.weather = _always(ServerError(503))
            await arena.slack.start()
    arena.slack.weather = None
    return seen


def _always(outcome: Outcome) -> Callable[[str], Outcome]:
    return lambda _method: outcome


def _busiest_second(moments: list[float]) -> int:
    return max((sum(start <= moment < start + 1 for moment in moments) for start in moments), default=0)
