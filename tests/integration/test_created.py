# SPDX-License-Identifier: Apache-2.0
"""The founding behaviour: a pod is created, Slack hears of it once, and of nothing else."""

from __future__ import annotations

import asyncio
import re

from fakeslack.server import FakeSlack
from support.manifests import CHANNEL, OTHER_CHANNEL, Json, created_at, make_pod, make_secret, make_tracker
from support.scene import NewNamespace, Scene
from support.waiting import eventually, until_second_after

FOUNDING_MANIFEST = """\
apiVersion: "pod-tracker.lost.backend/v1"
kind: "PodTracker"
metadata: {name: pod-tracker}
spec:
  name: "nginx"                      # exact pod name
  reporter: {kind: "slack", key: "xoxb-…", channel: "C0821GM4602"}
"""


async def test_founding_example(scene: Scene, slack: FakeSlack) -> None:
    """`kubectl apply` of the founding manifest and `kubectl run` post one message, with the inline token."""
    inline = scene.new_token()
    slack.tokens.add(inline)
    await scene.operate()
    await scene.kubectl("apply", "-n", scene.namespace, "-f", "-", stdin=FOUNDING_MANIFEST.replace("xoxb-…", inline))
    await scene.kubectl("run", "nginx", "--image=nginx", "-n", scene.namespace)

    [message] = await scene.delivered("Pod nginx was created")
    assert (message.channel, message.token) == ("C0821GM4602", inline)
    assert message.metadata is not None
    assert message.metadata["event_type"] == "pod_tracker"
    [occurrence] = message.metadata["event_payload"]["ids"]
    assert re.fullmatch(r"\w{16,}", occurrence)

    await scene.fence(key=inline)
    assert scene.texts() == ["Pod nginx was created"]
    assert len(scene.posts()) == 1


async def test_tracker_itself_is_no_news(scene: Scene) -> None:
    """Creating, editing, re-applying, deleting and making a tracker again posts nothing."""
    pod = await scene.run("nginx")
    await until_second_after(created_at(pod))
    await scene.operate()
    manifest = make_tracker()
    await scene.kube.apply(manifest, scene.namespace)
    await scene.handled()
    await scene.kube.apply(manifest, scene.namespace)
    await scene.edit({"reporter": {"channel": OTHER_CHANNEL}})
    await scene.handled()
    await scene.edit({"reporter": {"channel": CHANNEL}})
    await scene.kube.patch("PodTracker", "pod-tracker", scene.namespace, {"metadata": {"labels": {"team": "a"}}})
    await scene.handled()
    await scene.kube.delete("PodTracker", "pod-tracker", scene.namespace)
    await scene.kube.apply(manifest, scene.namespace)
    await scene.handled()
    await scene.kube.delete("PodTracker", "pod-tracker", scene.namespace)

    await scene.fence()
    await scene.fence(channel=OTHER_CHANNEL)
    assert scene.posts() == []


async def test_edited_tracker_repeats_nothing(scene: Scene) -> None:
    """A pod that was reported is not reported again when its tracker changes or is applied again."""
    await scene.operate()
    await scene.track()
    await scene.run("nginx")
    await scene.delivered("Pod nginx was created")
    await scene.edit({"reporter": {"channel": OTHER_CHANNEL}})
    await scene.handled()
    await scene.kube.apply(make_tracker(), scene.namespace)
    await scene.handled()

    await scene.fence()
    await scene.fence(channel=OTHER_CHANNEL)
    assert scene.texts() == ["Pod nginx was created"]


async def test_renamed_target_counts_from_the_edit(scene: Scene) -> None:
    """A tracker whose `name` is edited reports pods made afterwards, and not the older one that it now means."""
    await scene.operate()
    await scene.track(pod="nginx")
    old = await scene.run("web")
    await until_second_after(created_at(old))
    await scene.edit({"name": "web"})
    assert (await scene.handled())["podCount"] == 1
    await scene.fence()
    assert scene.texts() == []

    await scene.run("nginx")
    await scene.remove("web")
    await scene.run("web")
    await scene.delivered("Pod web was created")
    await scene.fence()
    assert scene.texts() == ["Pod web was created"]


async def test_older_pods_are_no_news(scene: Scene) -> None:
    """Pods older than the tracker are never reported, also not after the operator restarts."""
    await until_second_after(created_at(await scene.run("nginx")))
    operator = await scene.operate()
    await scene.track()
    assert (await scene.handled())["podCount"] == 1
    await scene.fence()
    await operator.restart()
    await scene.fence()
    assert scene.texts() == []


async def test_restart_repeats_nothing(scene: Scene) -> None:
    """What was reported before a restart, graceful or not, is not reported after it."""
    operator = await scene.operate()
    await scene.track()
    await scene.run("nginx")
    await scene.delivered("Pod nginx was created")
    await operator.restart()
    await scene.fence()
    await operator.kill()
    await operator.start()
    await scene.fence()
    assert scene.texts() == ["Pod nginx was created"]


async def test_pod_right_after_its_tracker(scene: Scene) -> None:
    """A pod made at once after its tracker is reported, whichever of the two watches is faster."""
    await scene.operate()
    for number in range(20):
        await scene.track(f"after-{number}", pod=f"after-{number}")
        await scene.run(f"after-{number}")
    texts = [f"Pod after-{number} was created" for number in range(20)]
    await scene.delivered(*texts)
    await scene.fence()
    assert sorted(scene.texts()) == sorted(texts)


async def test_pod_and_tracker_at_the_same_time(scene: Scene) -> None:
    """Made at the same moment, the order in which the API server took them decides, by its whole seconds.

    The pod often reaches the operator first here: the tracker must find it in its list of the namespace.
    """
    await scene.operate()
    expected = []
    for number in range(20):
        name = f"same-{number}"
        pod, tracker = await asyncio.gather(
            scene.kube.create(make_pod(name), scene.namespace),
            scene.kube.create(make_tracker(name, pod=name), scene.namespace),
        )
        if created_at(pod) >= created_at(tracker):
            expected.append(f"Pod {name} was created")
    assert expected
    await scene.delivered(*expected)
    await scene.fence()
    assert sorted(scene.texts()) == sorted(expected)


async def test_pod_before_its_tracker_within_a_second(scene: Scene) -> None:
    """Creation times are whole seconds: a pod of the tracker's own second counts as new, an older one does not."""
    await scene.operate()
    expected = []
    for number in range(20):
        name = f"before-{number}"
        pod = await scene.run(name)
        tracker = await scene.track(name, pod=name)
        if created_at(pod) >= created_at(tracker):
            expected.append(f"Pod {name} was created")
    assert expected
    await scene.delivered(*expected)
    await scene.fence()
    assert sorted(scene.texts()) == sorted(expected)


async def test_another_name_is_no_news(scene: Scene) -> None:
    """Only the exact name counts."""
    await scene.operate()
    await scene.track()
    for other in ("nginx-2", "my-nginx", "ngin", "nginxx"):
        await scene.run(other)
    await scene.fence()
    assert scene.texts() == []


async def test_another_namespace_is_no_news(scene: Scene, new_namespace: NewNamespace) -> None:
    """A tracker sees its own namespace only, although the operator sees both."""
    other = await new_namespace()
    await scene.operate(WATCH_NAMESPACE=f"{scene.namespace},{other}")
    await scene.track()
    await scene.handled()
    await scene.kube.create(make_pod("nginx"), other)
    await scene.kube.apply(make_secret(token=scene.token), other)
    await scene.fence()
    await scene.fence(namespace=other)
    assert scene.texts() == []
    assert (await scene.status())["podCount"] == 0


async def test_created_again_is_news_again(scene: Scene) -> None:
    """A pod deleted and created again is another pod: one more message, under another id."""
    await scene.operate()
    await scene.track()
    for times in (1, 2, 3):
        await scene.run("nginx")
        await scene.delivered(*["Pod nginx was created"] * times)
        await scene.remove("nginx")
    await scene.fence()
    assert scene.texts() == ["Pod nginx was created"] * 3
    assert len(set(scene.occurrences())) == 3


async def test_updates_are_no_news(scene: Scene) -> None:
    """Changes of labels, annotations and status of a pod post nothing."""
    operator = await scene.operate()
    await scene.track()
    await scene.run("nginx")
    await scene.delivered("Pod nginx was created")
    before = await operator.metric("pod_tracker_pod_events_total")
    running = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    changes: list[tuple[Json, str]] = [
        ({"metadata": {"labels": {"tier": "front"}}}, ""),
        ({"metadata": {"annotations": {"note": "changed"}}}, ""),
        ({"status": running}, "status"),
        ({"status": {"phase": "Succeeded"}}, "status"),
    ]
    for change, subresource in changes:
        await scene.kube.patch("Pod", "nginx", scene.namespace, change, subresource=subresource)

    async def seen() -> bool:
        return await operator.metric("pod_tracker_pod_events_total") >= before + len(changes)

    await eventually(seen, what="the operator to see the updates")
    await scene.fence()
    assert scene.texts() == ["Pod nginx was created"]
