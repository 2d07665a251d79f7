# SPDX-License-Identifier: Apache-2.0
"""Quiet without loss: suspended, muted and collecting trackers tell everything in one message afterwards."""

from __future__ import annotations

import time

from support.kubelet import stamp
from support.manifests import OTHER_CHANNEL
from support.scene import Scene
from support.waiting import eventually

APP = {"matchLabels": {"app": "web"}}


async def test_suspended(scene: Scene) -> None:
    """While suspended nothing is sent, over a restart too; then one summary names all, and single messages go on."""
    operator = await scene.operate()
    await scene.track(selector=APP, events=["Created", "Deleted"], message="{{ pod.name }}!")
    await scene.run("before", app="web")
    await scene.delivered("before!")
    await scene.edit({"suspend": True})
    assert (await scene.handled())["status"] == "Suspended"
    await scene.run("first", app="web")
    await scene.remove("first")
    await scene.fence()
    await operator.restart()
    await scene.run("second", app="web")
    await scene.fence()
    await scene.counted(status="Suspended", suppressed=3, pending=3, delivered=1, podCount=2)
    assert scene.texts() == ["before!"]

    await scene.edit({"suspend": False})
    summary = (
        f"While this tracker was quiet:\n2 pods were created: first, second\nPod {scene.namespace}/first was deleted"
    )
    await scene.delivered("before!", summary)
    await scene.run("after", app="web")
    await scene.delivered("before!", summary, "after!")
    await scene.counted(status="Active", suppressed=3, pending=0, delivered=5)
    assert len(set(scene.occurrences())) == 5


async def test_muted(scene: Scene) -> None:
    """Until muteUntil nothing is sent; then the summary comes by itself, also where the operator was away then."""
    operator = await scene.operate()
    await scene.track("longer", selector=APP, muteUntil="2199-01-01T00:00:00+01:00", channel=OTHER_CHANNEL)
    await scene.track("over", selector=APP, muteUntil="2020-01-01T00:00:00Z", channel=scene.open_channel("over"))
    assert (await scene.handled("longer"))["status"] == "Suspended"
    await scene.handled("over")
    end = int(time.time()) + 8
    await scene.track(selector=APP, muteUntil=stamp(end))
    await scene.handled()
    for pod in ("first", "second"):
        await scene.run(pod, app="web")
    await scene.delivered("Pod first was created", "Pod second was created", channel="over")
    await operator.stop()
    await eventually(lambda: time.time() >= end, what="the end of the mute")
    assert scene.texts(OTHER_CHANNEL) == []
    await operator.start()
    summary = "While this tracker was quiet:\n2 pods were created: first, second"
    told = await scene.delivered(summary, *(f"Pod {pod} was created" for pod in ("first", "second")))
    assert next(message for message in told if message.text == summary).received_at >= end
    await scene.counted(status="Active", suppressed=2, delivered=2)

    await scene.edit({"muteUntil": stamp(time.time() + 1)}, tracker="longer")
    await scene.delivered(summary, channel=OTHER_CHANNEL)


async def test_collected(scene: Scene) -> None:
    """`Digest` collects for DIGEST_INTERVAL and sends one message in the default words; `Auto` sends each at once."""
    await scene.operate(DIGEST_INTERVAL="5")
    await scene.track("digest", selector=APP, grouping="Digest", events=["Created", "Ready"], message="{{ pod.name }}")
    await scene.track("auto", selector=APP, grouping="Auto", channel=OTHER_CHANNEL)
    begin = time.time()
    for pod in ("first", "second", "third"):
        await scene.run(pod, app="web")
    await scene.kubelet.start("first")
    await scene.delivered(*(f"Pod {pod} was created" for pod in ("first", "second", "third")), channel=OTHER_CHANNEL)
    digest = f"3 pods were created: first, second, third\nPod {scene.namespace}/first is ready after 7 s"
    await eventually(lambda: digest in scene.texts(), what=digest)
    [collected] = [message for message in scene.messages() if message.channel != OTHER_CHANNEL]
    assert collected.received_at >= begin + 5
    assert max(message.received_at for message in scene.messages(OTHER_CHANNEL)) < collected.received_at

    await scene.edit({"grouping": "Auto"}, tracker="digest")
    await scene.handled("digest")
    await scene.run("fourth", app="web")
    await eventually(lambda: "fourth" in scene.texts(), what="a single message in the tracker's own words")
