# SPDX-License-Identifier: Apache-2.0
"""More than one tracker: each is told, and those that do not match cost nothing."""

from __future__ import annotations

import asyncio
from collections import Counter

from support.manifests import CHANNEL, OTHER_CHANNEL, make_tracker
from support.scene import Scene
from support.waiting import eventually

MANY = 1000


async def test_two_trackers_two_channels(scene: Scene) -> None:
    """Two trackers of one pod with two channels: one message in each."""
    await scene.operate()
    await scene.track("first", channel=CHANNEL)
    await scene.track("second", channel=OTHER_CHANNEL)
    await scene.run("nginx")
    await scene.delivered(*["Pod nginx was created"] * 2)
    await scene.fence(channel=CHANNEL)
    await scene.fence(channel=OTHER_CHANNEL)
    assert Counter(message.channel for message in scene.messages()) == {CHANNEL: 1, OTHER_CHANNEL: 1}


async def test_two_trackers_one_channel(scene: Scene) -> None:
    """Two trackers of one pod with the same channel: one message for each, under an id of its own."""
    await scene.operate()
    await scene.track("first")
    await scene.track("second")
    await scene.run("nginx")
    await scene.delivered(*["Pod nginx was created"] * 2)
    await scene.fence()
    assert scene.texts() == ["Pod nginx was created"] * 2
    assert len(set(scene.occurrences())) == 2


async def test_deleted_tracker_leaves_the_other_alone(scene: Scene) -> None:
    """A tracker that is gone reports nothing more; the other of the same pod goes on."""
    await scene.operate()
    await scene.track("first", channel=CHANNEL)
    await scene.track("second", channel=OTHER_CHANNEL)
    await scene.fence()
    await scene.kube.delete("PodTracker", "first", scene.namespace)
    await scene.fence()
    await scene.run("nginx")
    await scene.delivered("Pod nginx was created")
    await scene.fence()
    assert [message.channel for message in scene.messages()] == [OTHER_CHANNEL]


async def test_thousand_trackers_cost_what_matches(scene: Scene) -> None:
    """Of 1,000 trackers a pod's event looks at the one that matches, or at none; and they share their auth.test."""
    limit = asyncio.Semaphore(16)

    async def make(number: int) -> None:
        async with limit:
            await scene.kube.create(make_tracker(f"p-{number}", pod=f"p-{number}"), scene.namespace)

    await asyncio.gather(*(make(number) for number in range(MANY)))
    operator = await scene.operate()

    async def all_known() -> bool:
        return await operator.metric("pod_tracker_trackers") >= MANY

    await eventually(all_known, what="the operator to know all trackers", within=30)

    async def counted() -> tuple[float, float]:
        return (
            await operator.metric("pod_tracker_candidates_total"),
            await operator.metric("pod_tracker_pod_events_total"),
        )

    candidates, events = await counted()
    await scene.run("p-500")
    await scene.delivered("Pod p-500 was created")
    assert await counted() == (candidates + 1, events + 1)

    await scene.run("unknown")
    await scene.run("p-999")
    await scene.delivered("Pod p-500 was created", "Pod p-999 was created")
    assert await counted() == (candidates + 2, events + 3)

    checks = [request for request in scene.slack.requests if request.method == "auth.test"]
    assert 1 <= len(checks) <= 5, "trackers that are looked at together share one; a slow machine needs a few rounds"
