# SPDX-License-Identifier: Apache-2.0
"""A message is under way when its sender dies, and takes effect only after the next leader could have looked for it."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from chaos.arena import NewArena
from chaos.report import Report
from chaos.scale import Scale
from chaos.waiting import lasting
from support.waiting import eventually

_TIMEOUT = 10.0
"""Seconds after which nobody counts on a message any more."""
_SETTINGS = {
    "SLACK_TIMEOUT": f"{_TIMEOUT:g}",
    "WEBHOOK_TIMEOUT": f"{_TIMEOUT:g}",
    "LEASE_DURATION": "3",
    "LEASE_RENEW_DEADLINE": "2",
    "LEASE_RETRY": "0.5",
}
_MARGIN = 0.5
_LOOKED = 1.5
"""Seconds in which a leader that does not wait has looked for the message, and sent it again."""


@pytest.mark.parametrize("successor", ["the same pod", "another pod", "another pod, answer lost"])
async def test_late(new_arena: NewArena, scale: Scale, report: Report, successor: str) -> None:
    """Where Slack can be read back, nothing is told twice, but by a container that is back at once (delivery.md)."""
    if successor == "another pod" and not scale.thorough:
        pytest.skip("full scale only")
    arena = await new_arena("late")
    arena.read_back(allowed=True)
    leader = arena.new_replica(await arena.new_proxy(), _SETTINGS)
    leader.spawn()
    await leader.leads()
    other = await arena.new_proxy()
    standby = arena.new_replica(other, _SETTINGS)
    if successor != "the same pod":
        standby.spawn()
        await standby.stands_by()
    await arena.track("web")
    await arena.fence()
    arena.slack.detain()
    await arena.run("web")
    await eventually(lambda: arena.slack.under_way == 1, what="the message to be under way")
    sent = time.monotonic()
    await leader.kill()
    if successor == "another pod, answer lost":
        other.lose_replies["/leases/"] = 1
    heir = leader if successor == "the same pod" else standby
    if heir is leader:
        heir.spawn()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(sent + _TIMEOUT - _MARGIN - time.monotonic()):
            await heir.leads()
            await lasting(_LOOKED)
    took = time.monotonic() - sent
    arena.slack.release()
    led = await heir.leads() - sent
    verdict = await arena.settled()
    report.add(
        f"A message takes effect only after its sender has died and {successor} leads",
        {"the next leader seen after": led, "the effect after": took, **verdict.rows()},
    )
    verdict.require(resent=1 if heir is leader else 0)
