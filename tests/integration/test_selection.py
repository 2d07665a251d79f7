# SPDX-License-Identifier: Apache-2.0
"""Which pods a tracker means: by name, by labels, or by the workload they belong to; and from when on."""

from __future__ import annotations

import asyncio
from typing import Final

from support.manifests import CHANNEL, OTHER_CHANNEL, Json, created_at, make_pod, make_workload
from support.scene import Scene
from support.waiting import until_second_after

WEB: Final[Json] = {"matchLabels": {"app": "web"}}
OTHER: Final[Json] = {"matchLabels": {"app": "other"}}


def created(*pods: str) -> list[str]:
    return [f"Pod {pod} was created" for pod in pods]


async def _means(scene: Scene, count: int, tracker: str = "pod-tracker") -> None:
    """Wait until a tracker has taken its newest spec and has found so many pods by it."""
    await scene.handled(tracker)
    await scene.counted(tracker, podCount=count)


async def test_labels(scene: Scene) -> None:
    """matchLabels, each operator of matchExpressions, both together, and the empty selector, which means every pod."""
    await scene.operate()
    selectors: dict[str, Json] = {
        "labels": {"matchLabels": {"app": "web", "tier": "front"}},
        "in": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "api"]}]},
        "not-in": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web", "api"]}]},
        "exists": {"matchExpressions": [{"key": "tier", "operator": "Exists"}]},
        "absent": {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]},
        "both": {**WEB, "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["front"]}]},
        "every": {},
    }
    for name, selector in selectors.items():
        await scene.track(name, selector=selector, channel=scene.open_channel(name))
    await scene.run("front", app="web", tier="front")
    await scene.run("back", app="web", tier="back")
    await scene.run("api", app="api")
    await scene.run("db", app="db")
    await scene.run("plain")
    await scene.fences()
    expected = {
        "labels": ("front",),
        "in": ("front", "back", "api"),
        "not-in": ("db", "plain"),
        "exists": ("front", "back"),
        "absent": ("plain",),
        "both": ("back",),
        "every": ("front", "back", "api", "db", "plain"),
    }
    for name, pods in expected.items():
        await scene.delivered(*created(*pods), channel=name)
    await scene.counted("in", podCount=3, delivered=3)


async def test_labels_that_no_pod_can_have(scene: Scene) -> None:
    """A selector that would silently mean nothing is told; mended, it means what it says from then on."""
    await scene.operate()
    await scene.track(selector={"matchLabels": {"app:": "web"}})
    condition = await scene.condition("Ready", "False", "InvalidSpec")
    assert condition["message"].startswith("spec.selector has a key or a value that no label can have")
    assert (await scene.status())["status"] == "Invalid"
    await scene.edit({"selector": {"matchLabels": {"app:": None, "app": "web"}}})
    await _means(scene, 0)
    await scene.run("web", app="web")
    await scene.delivered(*created("web"))


async def test_relabelled_pods(scene: Scene) -> None:
    """A pod relabelled into the match is not new, but what happens to it then is told; one relabelled out is left."""
    await scene.operate()
    await scene.track(selector=WEB, events=["Created", "Ready", "Deleted"])
    await scene.handled()
    await scene.run("stays", app="web")
    await scene.run("leaves", app="web")
    await scene.run("joins", app="other")
    await scene.relabel("joins", app="web")
    await scene.relabel("leaves", app="other")
    await scene.kubelet.start("joins")
    await scene.kubelet.start("leaves")
    ready = f"Pod {scene.namespace}/joins is ready after 7 s"
    await scene.delivered(*created("stays", "leaves"), ready)
    for pod in ("joins", "leaves"):
        await scene.remove(pod)
    await scene.fence()
    await scene.delivered(*created("stays", "leaves"), ready, f"Pod {scene.namespace}/joins was deleted")
    await scene.counted(podCount=1, delivered=4)


async def test_edited_selector_begins_anew(scene: Scene) -> None:
    """After an edit of what is meant, pods that exist are not new, and neither are they when the edit is undone."""
    operator = await scene.operate()
    await scene.track(selector=WEB)
    await scene.run("web-1", app="web")
    last = await scene.run("other-1", app="other")
    await scene.delivered(*created("web-1"))
    await until_second_after(created_at(last))
    await scene.edit({"selector": OTHER})
    await _means(scene, 1)
    last = await scene.run("other-2", app="other")
    await scene.run("web-2", app="web")
    await scene.delivered(*created("web-1", "other-2"))

    await until_second_after(created_at(last))
    await scene.edit({"selector": WEB})
    await _means(scene, 2)
    await operator.restart()
    await scene.edit({"selector": None, "workloadRef": {"kind": "ReplicaSet", "name": "web"}})
    await _means(scene, 0)
    await scene.edit({"workloadRef": None, "name": "other-1"})
    await _means(scene, 1)
    await scene.fence()
    assert sorted(scene.texts()) == sorted(created("web-1", "other-2"))

    await scene.remove("other-1")
    await scene.run("other-1")
    await scene.delivered(*created("web-1", "other-2", "other-1"))


async def test_selector_that_loses_a_label_begins_anew(scene: Scene) -> None:
    """Taking a demand away is an edit too, though the API server notes no time for what is only removed."""
    await scene.operate()
    await scene.track(selector={"matchLabels": {"app": "web", "tier": "front"}})
    last = await scene.run("back", app="web", tier="back")
    await scene.run("front", app="web", tier="front")
    await scene.delivered(*created("front"))
    await until_second_after(created_at(last))
    await scene.edit({"selector": {"matchLabels": {"tier": None}}})
    await _means(scene, 2)
    await scene.fence()
    assert scene.texts() == created("front")
    await scene.run("next", app="web")
    await scene.delivered(*created("front", "next"))


async def test_annotations_are_no_edits(scene: Scene) -> None:
    """What is written elsewhere in the tracker later does not make pods old that came after the selector's edit."""
    operator = await scene.operate()
    await scene.track(selector=WEB)
    await scene.handled()
    await operator.stop()
    await scene.edit({"selector": OTHER})
    last = await scene.run("other", app="other")
    await until_second_after(created_at(last))
    await scene.kubectl("-n", scene.namespace, "annotate", "podtracker", "pod-tracker", "note=later")
    await operator.start()
    await scene.delivered(*created("other"))


async def test_start_policy(scene: Scene) -> None:
    """`All` tells the pods that exist when the tracker is made, with all that they have been through; `New` does not.

    Once: not again after an edit of something else, or a restart; and a moved selector tells no old pods either way.
    """
    operator = await scene.operate()
    await scene.kube.create(make_workload("Deployment", "shop"), scene.namespace)
    [old] = await scene.pods("shop")
    other = await scene.run("other", app="other")
    await scene.kubelet.start(old)
    await until_second_after(created_at(other))
    meant: Json = {"workloadRef": {"kind": "Deployment", "name": "shop"}, "events": ["Created", "Ready"]}
    await scene.track("all", **meant, startPolicy="All")
    await scene.track("new", **meant, channel=OTHER_CHANNEL)
    ready = f"Pod {scene.namespace}/{old} is ready after 7 s"
    await scene.delivered(*created(old), ready)
    await _means(scene, 1, "new")

    await scene.edit({"message": "{{ event.text }}!"}, tracker="all")
    await scene.handled("all")
    await operator.restart()
    await scene.edit({"workloadRef": None, "selector": OTHER}, tracker="all")
    await _means(scene, 1, "all")
    await scene.fences()
    assert sorted(scene.texts()) == sorted([*created(old), ready])

    await scene.run("next", app="other")
    await scene.delivered(*created(old), ready, "Pod next was created!")


async def test_workloads(scene: Scene) -> None:
    """Pods of a workload, directly or through its ReplicaSets and Jobs, of this one workload only; rollouts too."""
    await scene.operate()
    kinds = ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob")
    for kind in kinds:
        channel = scene.open_channel(kind)
        await scene.track(kind.lower(), workloadRef={"kind": kind, "name": kind.lower()}, channel=channel)
    versions = {"Deployment": "apps/v1", "CronJob": "batch/v1"}
    for kind, version in versions.items():
        meant = {"apiVersion": version, "kind": kind, "name": kind.lower()}
        await scene.track(f"{kind.lower()}-again", workloadRef=meant, channel=OTHER_CHANNEL)
    for kind in kinds:
        for name in (kind.lower(), "other"):
            workload = await scene.kube.create(make_workload(kind, name), scene.namespace)
            if kind == "DaemonSet":
                # Its controller makes pods for nodes only, of which there are none.
                pod = make_pod(f"{name}-1", labels={"app": name}, owner=workload)
                await scene.kube.create(pod, scene.namespace)
    await scene.kubectl("create", "job", "--from=cronjob/cronjob", "by-hand", "-n", scene.namespace)
    pods = {kind: await scene.pods(kind.lower()) for kind in kinds}
    for kind in kinds:
        await scene.delivered(*created(*pods[kind]), channel=kind)

    again: Json = {"template": {"metadata": {"annotations": {"rollout": "2"}}}}
    await scene.kube.patch("Deployment", "deployment", scene.namespace, {"spec": again})
    pods["Deployment"] = await scene.pods("deployment", 2)
    await scene.delivered(*created(*pods["Deployment"]), channel="Deployment")
    await scene.fences()
    for kind in kinds:
        await scene.delivered(*created(*pods[kind]), channel=kind)
    await scene.delivered(*created(*pods["Deployment"], *pods["CronJob"]), channel=OTHER_CHANNEL)


async def test_workload_that_is_gone_by_now(scene: Scene) -> None:
    """Pods made and deleted with their ReplicaSet or Job while no operator ran are told all the same."""
    operator = await scene.operate()
    workloads = {"Deployment": CHANNEL, "CronJob": OTHER_CHANNEL}
    events = ["Created", "Deleted"]
    for kind, channel in workloads.items():
        meant = {"kind": kind, "name": kind.lower()}
        await scene.track(kind.lower(), workloadRef=meant, events=events, channel=channel)
    await scene.fences()
    await operator.stop()
    for kind in workloads:
        await scene.kube.create(make_workload(kind, kind.lower()), scene.namespace)
    # As the CronJob's controller names them: after the minute it was due.
    await scene.kubectl("create", "job", "--from=cronjob/cronjob", "cronjob-29384756", "-n", scene.namespace)
    pods = {kind: await scene.pods(kind.lower()) for kind in workloads}
    background = {"Deployment": "deployment", "CronJob": "cronjob"}
    await asyncio.gather(*(scene.kube.delete(kind, name, scene.namespace) for kind, name in background.items()))
    for kind in workloads:
        await scene.pods(kind.lower(), 0)
    await operator.start()
    for kind, channel in workloads.items():
        [pod] = pods[kind]
        await scene.delivered(*created(pod), f"Pod {scene.namespace}/{pod} was deleted", channel=channel)
