# SPDX-License-Identifier: Apache-2.0
"""Every event that a tracker can ask for, from what kubelets write into a status: told once, whatever restarts."""

from __future__ import annotations

from typing import Any, Final

from support.kubelet import condition, ended, now, ready, running, waiting
from support.manifests import CHANNEL, OTHER_CHANNEL, created_at, make_pod
from support.scene import Scene

EVENTS: Final = [
    "Created",
    "Started",
    "Ready",
    "Restarted",
    "CrashLooping",
    "OOMKilled",
    "ImagePullFailed",
    "StartFailed",
    "Unschedulable",
    "Failed",
    "Succeeded",
    "Deleted",
    "Recovered",
]
EVERY_POD: Final[dict[str, Any]] = {"selector": {}}


async def test_every_event_is_told_once(scene: Scene) -> None:
    """Each event in its own words; nothing again when a status is repeated, or the operator restarted or killed."""
    operator = await scene.operate(UNSCHEDULABLE_GRACE="1", RECOVERY_HOLD="1", CLUSTER_NAME="prod", SLACK_BURST="200")
    await scene.track("all", **EVERY_POD, events=EVENTS)
    await scene.track("alerts", **EVERY_POD, events=["CrashLooping", "OOMKilled"], channel=OTHER_CHANNEL)
    pods = ("well", "flaky", "hungry", "typo", "config", "huge", "evicted", "task", "gone")
    created = {pod: created_at(await scene.run(pod)) for pod in pods}
    told = [f"Pod {pod} was created" for pod in pods]
    kubelet, who = scene.kubelet, f"[prod] Pod {scene.namespace}/"

    async def tells(*texts: str) -> None:
        told.extend(f"{who}{text}" for text in texts)
        await scene.delivered(*told, channel=CHANNEL)

    await kubelet.start("well", after=75)
    await tells("well started", "well is ready after 1 min 15 s")

    crashed = ended(now(), 1, "Error")
    await kubelet.report("flaky", running(now()), last=crashed, restarts=1)
    await tells("flaky started", "flaky: container flaky crashed (exit code 1, Error), restarted 1 time")
    await kubelet.report("flaky", waiting("CrashLoopBackOff"), last=crashed, restarts=1)
    await tells("flaky: container flaky keeps crashing (exit code 1, Error)")
    at = now()
    await kubelet.report("flaky", running(at), ready(at), last=crashed, restarts=2)
    await tells(
        "flaky: container flaky crashed (exit code 1, Error), restarted 2 times",
        f"flaky is ready after {at - int(created['flaky'])} s",
        "flaky recovered",
    )
    await kubelet.report("flaky", waiting("CrashLoopBackOff"), last=crashed, restarts=2)
    await tells("flaky: container flaky keeps crashing (exit code 1, Error)")

    out_of_memory = ended(now(), 137, "OOMKilled")
    await kubelet.report("hungry", running(now()), last=out_of_memory, restarts=1)
    await kubelet.report("typo", waiting("ErrImagePull"), phase="Pending")
    await kubelet.report("config", waiting("CreateContainerConfigError"), phase="Pending")
    no_room = condition("PodScheduled", False, now(), "Unschedulable")
    await kubelet.report("huge", None, no_room, phase="Pending")
    await kubelet.report("evicted", phase="Failed", reason="Evicted")
    await kubelet.report("task", ended(now(), 0, "Completed"), phase="Succeeded")
    await scene.remove("gone")
    await tells(
        "hungry started",
        "hungry: container hungry ran out of memory (exit code 137, OOMKilled)",
        "hungry: container hungry crashed (exit code 137, OOMKilled), restarted 1 time",
        "typo: the image of container typo cannot be pulled (ErrImagePull)",
        "config: container config cannot start (CreateContainerConfigError)",
        "huge cannot be scheduled (Unschedulable)",
        "evicted failed (Evicted)",
        "task started",
        "task succeeded",
        "gone was deleted",
    )

    await kubelet.report("typo", waiting("ImagePullBackOff"), phase="Pending")
    for pod in pods[:-1]:
        await scene.kube.patch("Pod", pod, scene.namespace, {"metadata": {"annotations": {"note": "changed"}}})
    await operator.stop()
    await scene.remove("typo")
    await operator.start()
    await tells("typo was deleted")
    # The next message to a place goes once the last is recorded; a kill before that may repeat it.
    await scene.fence()
    await operator.kill()
    await scene.remove("task")
    await operator.start()
    await tells("task was deleted")

    await scene.fences()
    assert sorted(scene.texts(CHANNEL)) == sorted(told)
    assert len(set(scene.occurrences(CHANNEL))) == len(told)
    looping = f"{who}flaky: container flaky keeps crashing (exit code 1, Error)"
    killed = f"{who}hungry: container hungry ran out of memory (exit code 137, OOMKilled)"
    await scene.delivered(looping, looping, killed, channel=OTHER_CHANNEL)


async def test_deadlines_survive_a_restart(scene: Scene) -> None:
    """Grace times and hold-downs go on while no operator runs; what is well again by then is not told."""
    seconds = 10
    graces = dict.fromkeys(("UNSCHEDULABLE_GRACE", "MOUNT_GRACE", "RECOVERY_HOLD"), str(seconds))
    operator = await scene.operate(**graces)
    await scene.track(**EVERY_POD, events=["Unschedulable", "StartFailed", "CrashLooping", "Recovered"])
    for pod in ("huge", "lucky", "flaky"):
        await scene.run(pod)
    await scene.kube.create(make_pod("mounts", node="node-1"), scene.namespace)
    kubelet, who = scene.kubelet, f"Pod {scene.namespace}/"
    await kubelet.report("flaky", waiting("CrashLoopBackOff"), last=ended(now(), 1, "Error"), restarts=1)
    told = [f"{who}flaky: container flaky keeps crashing (exit code 1, Error)"]
    await scene.delivered(*told)

    begin = now()
    no_room = condition("PodScheduled", False, begin, "Unschedulable")
    for pod in ("huge", "lucky"):
        await kubelet.report(pod, None, no_room, phase="Pending")
    scheduled, no_sandbox = condition("PodScheduled", True, begin), condition("PodReadyToStartContainers", False, begin)
    await kubelet.report("mounts", None, scheduled, no_sandbox, phase="Pending")
    await kubelet.report("flaky", running(begin), ready(begin), last=ended(begin, 1, "Error"), restarts=1)
    await scene.fence()
    await operator.kill()
    await kubelet.report("lucky", None, condition("PodScheduled", True, now()), phase="Pending")
    await operator.start()

    told += [
        f"{who}huge cannot be scheduled (Unschedulable)",
        f"{who}mounts cannot start (NotReadyToStartContainers)",
        f"{who}flaky recovered",
    ]
    messages = await scene.delivered(*told)
    assert min(message.received_at for message in messages[1:]) >= begin + seconds
    await operator.restart()
    await scene.fence()
    assert sorted(scene.texts()) == sorted(told)


async def test_interest_begins_with_the_edit(scene: Scene) -> None:
    """Events that are asked for later are told from then on; what happened before is not, and `Created` may be left."""
    await scene.operate()
    await scene.track(**EVERY_POD)
    await scene.run("web")
    await scene.kubelet.start("web")
    await scene.delivered("Pod web was created")
    await scene.fence()
    await scene.edit({"events": ["Ready", "Started", "Restarted", "Deleted"]})
    await scene.handled()
    await scene.fence()
    assert scene.texts() == ["Pod web was created"]

    await scene.run("late")
    await scene.remove("web")
    await scene.delivered("Pod web was created", f"Pod {scene.namespace}/web was deleted")


async def test_what_a_deletion_ends_is_no_failure(scene: Scene) -> None:
    """A container that ends because its pod is deleted neither failed nor crashed; what the cluster evicts did fail."""
    await scene.operate()
    await scene.track(**EVERY_POD, events=["Failed", "Succeeded", "Restarted", "CrashLooping", "Deleted"])
    for pod in ("stopped", "drained"):
        await scene.kube.create(make_pod(pod, node="node-1"), scene.namespace)
        await scene.kubelet.start(pod)
    kubelet, at = scene.kubelet, now()
    for pod in ("stopped", "drained"):
        await scene.remove(pod, grace=30)
    await kubelet.report("stopped", ended(at, 137, "Error"), phase="Failed")
    disrupted = condition("DisruptionTarget", True, at, "EvictionByEvictionAPI")
    await kubelet.report("drained", ended(at, 143, "Error"), disrupted, phase="Failed")
    for pod in ("stopped", "drained"):
        await scene.remove(pod)
    expected = [
        f"Pod {scene.namespace}/stopped was deleted",
        f"Pod {scene.namespace}/drained failed (EvictionByEvictionAPI)",
        f"Pod {scene.namespace}/drained was deleted",
    ]
    await scene.delivered(*expected)
    await scene.fence()
    assert sorted(scene.texts()) == sorted(expected)
