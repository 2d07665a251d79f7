# SPDX-License-Identifier: Apache-2.0
"""Events that a kubelet, a scheduler and controllers cause for real, told by the operator as it is shipped."""

from __future__ import annotations

import re
from typing import Final

import pytest

from e2e.scene import PATIENCE, Scene, occurrence
from podtracker.ledger import notification_id
from recorder.questions import condition
from recorder.script import ABSENT_IMAGE, LISTEN, config_map, container, job, pod, pod_spec, probe, workload
from support.manifests import Json
from support.waiting import eventually

_LITTLE: Final = {"limits": {"memory": "32Mi"}, "requests": {"memory": "0", "cpu": "0"}}
_KEY: Final = {"configMapKeyRef": {"name": "settings", "key": "absent"}}


async def test_a_crash_loop_is_told_once_and_each_restart_seen_at_most_once(scene: Scene) -> None:
    tracker = await scene.track("CrashLooping", "Restarted")
    made = await scene.create(pod(container("-for=300ms", "-exit=1"), name="crash"))
    await scene.until_line("keeps crashing")
    await scene.until_restarted("crash", 2)
    lines = await scene.settled_lines()
    loops = [line for line in lines if "keeps crashing" in line]
    assert len(loops) == 1, lines
    assert loops[0].startswith(f"Pod {scene.namespace}/crash: container main keeps crashing"), lines
    told = await scene.slack.ids(scene.channel)
    uid = (tracker["metadata"]["uid"], made["metadata"]["uid"])
    restarts = [notification_id(*uid, "Restarted", "main", number) for number in range(1, 10)]
    assert [told[one] for one in restarts if told[one] > 1] == []
    assert sum(told[one] for one in restarts) >= 1


BROKEN: Final[dict[str, tuple[str, Json, str]]] = {
    "an image that nobody can pull": (
        "ImagePullFailed",
        pod({**container(), "image": ABSENT_IMAGE}, name="actor"),
        r"Pod NS/actor: the image of container main cannot be pulled \((ErrImagePull|ImagePullBackOff)\)",
    ),
    "a missing key of a ConfigMap": (
        "StartFailed",
        pod(container(env=[{"name": "LEVEL", "valueFrom": _KEY}])),
        r"Pod NS/actor: container main cannot start \(CreateContainerConfigError\)",
    ),
    "a node that does not exist": (
        "Unschedulable",
        pod(container(), nodeSelector={"pod-tracker.test/absent": "yes"}),
        r"Pod NS/actor cannot be scheduled( \(Unschedulable\))?",
    ),
    "a memory limit that is exceeded": (
        "OOMKilled",
        pod(container("-after=1s", "-memory=200", resources=_LITTLE), restartPolicy="Never"),
        r"Pod NS/actor: container main ran out of memory.*",
    ),
    "a deadline that passes": (
        "Failed",
        pod(container(), activeDeadlineSeconds=2, restartPolicy="Never"),
        r"Pod NS/actor failed.*\(.*DeadlineExceeded\)",
    ),
    "readiness that comes late": (
        "Ready",
        pod(container(LISTEN, "-ready-after=3s", readinessProbe=probe("/ready"))),
        r"Pod NS/actor is ready after ([3-9]|[1-9]\d) s",
    ),
    "a sidecar that stays": (
        "Started",
        pod(container(), initContainers=[container(name="sidecar", restartPolicy="Always")]),
        r"Pod NS/actor started",
    ),
}
"""Event, pod, and what is told, `NS` standing for the namespace."""


@pytest.mark.parametrize("cause", BROKEN)
async def test_an_event_is_told_once(scene: Scene, cause: str) -> None:
    event, body, pattern = BROKEN[cause]
    await scene.create(config_map("settings", present="yes"))
    await scene.track(event)
    await scene.create(body)
    await scene.until_line(f"{scene.namespace}/actor")
    lines = await scene.settled_lines()
    assert len(lines) == 1, lines
    assert re.fullmatch(pattern.replace("NS", scene.namespace), lines[0]), lines


async def test_a_pod_whose_cause_of_trouble_goes_away_has_recovered(scene: Scene) -> None:
    await scene.track("StartFailed", "Recovered")
    await scene.create(config_map("settings", present="yes"))
    await scene.create(pod(container(env=[{"name": "LEVEL", "valueFrom": _KEY}])))
    await scene.until_line("cannot start")
    await scene.api.patch("ConfigMap", "settings", scene.namespace, {"data": {"absent": "not any more"}})
    await scene.until_ready("actor")
    await scene.until_line("recovered")
    lines = await scene.settled_lines()
    assert len(lines) == 2, lines
    assert lines[1] == f"Pod {scene.namespace}/actor recovered"


async def test_an_eviction_is_a_failure_and_a_deletion(scene: Scene) -> None:
    tracker = await scene.track("Failed", "Succeeded", "Deleted")
    made = await scene.create(pod())
    await scene.until_ready("actor")
    await scene.api.evict("actor", scene.namespace)
    await scene.until_told(occurrence(tracker, made, "Failed"), occurrence(tracker, made, "Deleted"))
    lines = await scene.settled_lines()
    assert len(lines) == 2, lines
    assert "EvictionByEvictionAPI" in "\n".join(lines)


async def test_a_forced_deletion_is_told_once(scene: Scene) -> None:
    tracker = await scene.track("Failed", "Deleted")
    made = await scene.create(pod(container("-on-term=-1")))
    await scene.until_ready("actor")
    where = f"--namespace={scene.namespace}"
    await scene.kubectl.aside("delete", "pod", "actor", where, "--force", "--grace-period=0", "--wait=false")
    await scene.until_told(occurrence(tracker, made, "Deleted"))
    assert await scene.settled_lines() == [f"Pod {scene.namespace}/actor was deleted"]


@pytest.mark.parametrize(("code", "event"), [(0, "Succeeded"), (3, "Failed")])
async def test_how_a_job_ends(scene: Scene, code: int, event: str) -> None:
    await scene.track("Succeeded", "Failed", workloadRef={"kind": "Job", "name": "actor"})
    await scene.create(job(container("-for=1s", f"-exit={code}"), backoffLimit=0))
    await scene.until_line(event.lower())
    lines = await scene.settled_lines()
    assert len(lines) == 1, lines
    assert ("exit code 3" in lines[0]) == (code == 3)


async def test_a_rollout_and_its_undoing_tell_each_new_pod_once(scene: Scene) -> None:
    replicas = 20
    tracker = await scene.track("Created", "Ready", workloadRef={"kind": "Deployment", "name": "actor"})
    spec: Json = {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": "actor"}},
        "template": {"metadata": {"labels": {"app": "actor"}}, "spec": pod_spec()},
    }
    where = f"--namespace={scene.namespace}"
    await scene.create(workload("Deployment", spec))
    pods: dict[str, Json] = {}
    for step in ((), ("rollout", "restart"), ("rollout", "undo")):
        if step:
            await scene.kubectl.aside(*step, "deployment/actor", where)
        await scene.kubectl.aside("rollout", "status", "deployment/actor", where, "--timeout=180s")
        for each in await scene.api.pods(scene.namespace, app="actor"):
            if "deletionTimestamp" not in each["metadata"]:
                pods[each["metadata"]["uid"]] = each
    assert len(pods) == 3 * replicas
    wanted = {occurrence(tracker, each, event) for each in pods.values() for event in ("Created", "Ready")}
    await scene.until_told(*wanted)
    await scene.settled_lines()
    told = await scene.slack.ids(scene.channel)
    assert [one for one in wanted if told[one] != 1] == []


async def test_an_ordinal_that_is_replaced_is_a_new_pod(scene: Scene) -> None:
    tracker = await scene.track("Created", "Deleted", pod="actor-0")
    spec: Json = {
        "replicas": 1,
        "serviceName": "actor",
        "selector": {"matchLabels": {"app": "actor"}},
        "template": {"metadata": {"labels": {"app": "actor"}}, "spec": pod_spec()},
    }
    await scene.create(workload("StatefulSet", spec))
    await eventually(lambda: scene.api.pods(scene.namespace, app="actor"), what="the first pod", within=PATIENCE)
    first = await scene.until_ready("actor-0")
    await scene.api.delete("Pod", "actor-0", scene.namespace, grace=1)
    await scene.until_told(occurrence(tracker, first, "Deleted"))

    async def replaced() -> Json | None:
        pods = await scene.api.pods(scene.namespace, app="actor")
        return next((each for each in pods if each["metadata"]["uid"] != first["metadata"]["uid"]), None)

    second = await eventually(replaced, what="the second pod", within=PATIENCE)
    assert second
    await scene.until_told(occurrence(tracker, first, "Created"), occurrence(tracker, second, "Created"))
    await scene.settled_lines()
    told = await scene.slack.ids(scene.channel)
    ours = [occurrence(tracker, first, "Created"), occurrence(tracker, first, "Deleted")]
    ours.append(occurrence(tracker, second, "Created"))
    assert [told[one] for one in ours] == [1, 1, 1]


async def test_a_kubelet_that_stops_and_starts_again_delays_but_doubles_nothing(scene: Scene) -> None:
    if scene.cluster is None:
        pytest.skip("the nodes of this cluster are not ours to touch")
    tracker = await scene.track("Created", "Ready", "Deleted")
    before = await scene.create(pod(name="before"))
    await scene.until_ready("before")
    assert scene.cluster.on_node("systemctl", "stop", "kubelet") is not None
    try:
        during = await scene.create(pod(name="during"))
        await scene.until_told(occurrence(tracker, during, "Created"))
        assert condition(await scene.pod("during"), "Ready") is None
    finally:
        assert scene.cluster.on_node("systemctl", "start", "kubelet") is not None
    await scene.until_ready("during")
    wanted = [occurrence(tracker, each, event) for each in (before, during) for event in ("Created", "Ready")]
    await scene.until_told(*wanted)
    await scene.settled_lines()
    told = await scene.slack.ids(scene.channel)
    assert [told[one] for one in wanted] == [1, 1, 1, 1]
