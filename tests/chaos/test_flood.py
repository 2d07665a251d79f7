# SPDX-License-Identifier: Apache-2.0
"""Scenario 5: 500 pods in ten seconds into a channel that takes one message per second; another notices nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from chaos.arena import Arena, NewArena
from chaos.oracle import ids_of
from chaos.report import Report, percentile, spread
from chaos.scale import Scale
from chaos.waiting import lasting, until
from fakeslack.outcomes import RateLimited
from fakeslack.server import Request
from support.manifests import CHANNEL, OTHER_CHANNEL

_PODS = 500
_SECONDS = 10.0
_TRACKERS = 10
_QUIET_EVERY = 1.1
"""Seconds between two pods of the quiet channel, which takes one message per second too."""
_QUIET_LIMIT = 1.0


async def test_flood(new_arena: NewArena, scale: Scale, report: Report) -> None:
    arena = await new_arena("flood")
    arena.slack.pace(1.0, burst=3)
    flooded = [f"web-{number}" for number in range(_TRACKERS)]
    await arena.track(*flooded)
    await arena.track("quiet", channel=OTHER_CHANNEL)
    proxy = await arena.new_proxy()
    operator = arena.new_replica(proxy, {"SLACK_RATE": "1", "SLACK_BURST": "3"})
    operator.spawn()
    await operator.leads()
    began = time.monotonic()
    quiet = asyncio.create_task(_one_by_one(arena, "quiet"))
    await _flood(arena, flooded, began)
    flood_took = time.monotonic() - began
    await arena.told(within=_PODS)
    drained = time.monotonic() - began
    await until(began + scale.burst_watch)
    quiet.cancel()
    await asyncio.wait([quiet])
    verdict = await arena.settled()
    delays = arena.delays("quiet")
    posts = [post for post in arena.slack.requests if post.method == "chat.postMessage"]
    refused = [post for post in posts if isinstance(post.outcome, RateLimited)]
    early = _too_early([post for post in posts if post.body["channel"] == CHANNEL])
    digests = [len(ids_of(message)) for message in arena.messages if message.channel == CHANNEL]
    report.add(
        f"5. {_PODS} pods in {_SECONDS:g} s into one channel, Slack takes 1 message/s",
        {
            **verdict.rows(),
            "flood took": flood_took,
            "all told after": drained,
            "messages into the flooded channel": len(digests),
            "pods per message": spread(digests, ""),
            "429 answers": len(refused),
            "posts within a Retry-After": early,
            "the quiet channel, pod made to message": spread(delays),
        },
    )
    verdict.require()
    assert verdict.expected >= _PODS
    assert early == 0
    assert len(delays) >= 10
    assert percentile(delays, 0.95) < _QUIET_LIMIT


async def _flood(arena: Arena, names: Sequence[str], began: float) -> None:
    """Make `_PODS` pods in `_SECONDS`: each name again and again, since a tracker means one name."""
    rounds = _PODS // len(names)

    async def come_and_go(place: int, name: str) -> None:
        for turn in range(rounds):
            await until(began + _SECONDS * (turn + place / len(names)) / rounds)
            await arena.run(name)
            if turn < rounds - 1:
                await arena.remove(name)

    await asyncio.gather(*(come_and_go(place, name) for place, name in enumerate(names)))


async def _one_by_one(arena: Arena, name: str) -> None:
    while True:
        await arena.run(name)
        await lasting(_QUIET_EVERY)
        await arena.remove(name)


def _too_early(posts: Sequence[Request]) -> int:
    """Count the posts that came although an earlier answer had asked to wait longer."""
    early, not_before = 0, 0.0
    for post in posts:
        early += post.received_at < not_before
        if isinstance(post.outcome, RateLimited):
            not_before = max(not_before, post.received_at + (post.outcome.retry_after or 0))
    return early
