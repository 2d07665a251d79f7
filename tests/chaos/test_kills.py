# SPDX-License-Identifier: Apache-2.0
"""Scenario 1: `kill -9` at random moments while pods come and go at 20 per second."""

from __future__ import annotations

import time

import pytest

from chaos.arena import Arena, NewArena
from chaos.chance import branch
from chaos.churn import Churn
from chaos.oracle import occurrence
from chaos.proxy import Proxy
from chaos.replica import Replica
from chaos.report import Report, spread
from chaos.scale import Scale
from chaos.waiting import lasting
from chaos.webhook import hook
from podtracker.dispatch import AHEAD
from support.manifests import REPORTER_SECRET, created_at, make_secret, make_tracker
from support.waiting import eventually

_NAMES = [f"web-{number}" for number in range(80)]
_DURING_START = 0.15
"""The share of kills that come before the operator leads."""
_FRESH = 0.05
"""The share of kills after which another pod takes over, which has to wait for the lease to run out."""
_AMBIGUOUS = 0.3
"""The share of lives in which one write to the ledger or the lease arrives and its answer is lost."""
_MARGIN = 1.0
"""Seconds between a delivery and the commit that keeps it, on a loaded machine, beyond what may run ahead."""
_LEASE = {
    "LEASE_DURATION": "3",
    "LEASE_RENEW_DEADLINE": "2",
    "LEASE_RETRY": "0.5",
    "SLACK_TIMEOUT": "1",
    "WEBHOOK_TIMEOUT": "1",
}
"""Shorter than the defaults, to keep those waits short."""


@pytest.mark.parametrize("readable", [False, True], ids=["blind", "readback"])
async def test_kills(new_arena: NewArena, scale: Scale, report: Report, *, readable: bool) -> None:
    arena = await new_arena("kills")
    arena.read_back(allowed=readable)
    # So that many a kill finds a message under way, before or after it took effect.
    arena.slack.transit = arena.slack.silence = 0, 0.05
    await arena.track(*_NAMES)
    proxy = await arena.new_proxy()
    # The default installation watches all namespaces.
    operator = arena.new_replica(proxy, {"WATCH_NAMESPACE": "", **_LEASE})
    kills = scale.kills // 2 + (scale.kills % 2 if readable else 0)
    began = time.monotonic()
    starts: list[float] = []
    operator.spawn()
    await operator.leads()
    async with Churn(arena.kube, arena.namespace, _NAMES, rng=branch(arena.rng)) as churn:
        fresh = sum([await _life_and_death(arena, proxy, operator, starts) for _ in range(kills)])
        starts.append(await operator.leads() - operator.started_at)
    verdict = await arena.settled()
    report.add(
        f"1. kill -9 at random moments, pods at 20/s, Slack {'readable' if readable else 'not readable'}",
        {
            "kills": kills,
            "kills followed by another pod's replica": fresh,
            "writes whose answer was lost": proxy.lost_replies,
            "pods made": churn.created,
            "pods deleted": churn.deleted,
            **verdict.rows(),
            "start to leader": spread(starts),
            "took": time.monotonic() - began,
        },
    )
    verdict.require(resent=0 if readable else kills)


async def test_kills_with_a_webhook(new_arena: NewArena, scale: Scale, report: Report) -> None:
    """Every pod that was shown is told; what comes again carries an id already seen, of the second before a kill."""
    arena = await new_arena("hooks")
    proxy = await arena.new_proxy()
    operator = arena.new_replica(proxy, {"WATCH_NAMESPACE": "", "EGRESS_ALLOW": "127.0.0.0/8", **_LEASE})
    starts: list[float] = []
    killed: list[float] = []
    async with hook() as receiver:
        await arena.kube.apply(make_secret(REPORTER_SECRET, url=receiver.url), arena.namespace)
        body = await arena.kube.create(make_tracker("hook", kind="webhook", selector={}), arena.namespace)
        uid, since = body["metadata"]["uid"], int(created_at(body))
        operator.spawn()
        await operator.leads()
        async with Churn(arena.kube, arena.namespace, _NAMES, rng=branch(arena.rng)) as churn:
            for _ in range(scale.kills // 2):
                await _life_and_death(arena, proxy, operator, starts, killed)
            starts.append(await operator.leads() - operator.started_at)

        def due() -> set[str]:
            seen = arena.recorder.pods.values()
            return {one.uid for one in seen if one.namespace == arena.namespace and one.created >= since}

        def complete() -> bool:
            missing = due() - receiver.told()
            assert not missing, f"{len(missing)} of {len(due())} pods not told: {sorted(missing)[:10]}"
            return True

        try:
            await eventually(complete, what="every pod to be told", within=120)
        except AssertionError as error:
            error.add_note(await arena.evidence())
            raise
        repeats = receiver.repeats()
        report.add(
            "1. kill -9 at random moments, pods at 20/s, a webhook",
            {
                "kills": len(killed),
                "pods made": churn.created,
                "pods to tell": len(due()),
                "events received": len(receiver.events),
                "lost": len(due() - receiver.told()),
                "events received again": len(repeats),
                "most seconds before a kill": max((_before(first, killed) for first, _, _ in repeats), default=0.0),
                "start to leader": spread(starts),
            },
        )
        assert receiver.told() <= due()
        assert {(one, pod) for _, one, pod in receiver.events} == {(occurrence(uid, pod), pod) for pod in due()}
        assert all(_before(first, killed) <= AHEAD + _MARGIN for first, _, _ in repeats), repeats


def _before(moment: float, killed: list[float]) -> float:
    """Seconds from a moment to the next kill."""
    return min((kill - moment for kill in killed if kill >= moment), default=float("inf"))


async def _life_and_death(
    arena: Arena, proxy: Proxy, operator: Replica, starts: list[float], killed: list[float] | None = None
) -> bool:
    """Kill the operator at a random moment and start it again; return whether as another replica."""
    rng = arena.rng
    if rng.random() < _DURING_START:
        await lasting(rng.uniform(0, 1.5))
    else:
        took = await operator.leads() - operator.started_at
        starts.append(took)
        if rng.random() < _AMBIGUOUS:
            proxy.lose_replies[rng.choice(("/configmaps/", "/leases/"))] = 1
        # A start takes about a second. On a machine so busy that it takes ten, a life of one second does nothing, and
        # after 75 s of that the API server has forgotten what nobody had the time to note: no fault of the operator's.
        await lasting(rng.uniform(0.1, 1.5) * max(1.0, took))
    await operator.kill()
    if killed is not None:
        killed.append(time.monotonic())
    fresh = rng.random() < _FRESH
    if fresh:
        operator.become(f"{arena.namespace}-{rng.getrandbits(32):08x}")
    operator.spawn()
    return fresh
