# SPDX-License-Identifier: Apache-2.0
"""What the probes of the shipped Deployment make of trouble in the network; a restart only where one helps.

All of it with an operator that takes a watch for deaf after 41 s instead of 4 min, and is probed more often, so that
each trouble lasts longer than a restart would take to come. 41 s is still longer than a request may take (30 s): before
one has failed, nobody can know that the API server is away.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import pytest

from e2e import deaf, programs
from e2e.deployment import NAME, Deployment, leader, operator_pods, restarts
from e2e.harm import api_server_black_holed, black_holed
from e2e.scene import Scene, occurrence
from e2e.stage import Stage
from recorder.script import LISTEN, container, pod, probe
from support.install import OPERATOR_NAMESPACE
from support.manifests import Json
from support.waiting import eventually

_IMPATIENT: Final = {"WATCH_SILENCE": "15", "SLACK_TIMEOUT": "4"}
_WITHOUT_API_SERVER: Final = 60.0
"""Seconds: 41 until a watch is deaf, three probes, and room."""

_WITHOUT_SLACK: Final = 25.0
"""Seconds for several attempts, and more probes than a restart needs."""

_UNTIL_RESTARTED: Final = 120.0
_HANDOVER: Final = 60.0


@pytest.fixture(scope="module")
def impatient(stage: Stage, deployment: Deployment) -> Iterator[None]:
    """The operator as it is for these tests, and a pod that changes all the time, so that watches have what to hear."""
    if stage.cluster is None:
        pytest.skip("the nodes of this cluster are not ours to touch")
    where = f"--namespace={programs.NAMESPACE}"
    clock = pod(
        container(LISTEN, "-ready-for=2s", readinessProbe=probe("/ready"), securityContext=programs.SECURITY),
        name="clock",
        securityContext={**programs.POD_SECURITY, "runAsUser": 65532},
    )
    clock["metadata"]["namespace"] = programs.NAMESPACE
    stage.kubectl.apply(clock)
    stage.kubectl("wait", "--for=condition=Ready", "pod/clock", where, "--timeout=60s")
    deaf.start(stage.kubectl, stage.image, stage.cluster)
    deployment.change(_IMPATIENT, livenessProbe={"periodSeconds": 3})
    yield
    deployment.change(dict.fromkeys(_IMPATIENT), livenessProbe={"periodSeconds": 20})
    stage.kubectl("delete", "pod", "clock", where, "--grace-period=1")


@pytest.fixture
def through_proxy(impatient: None, deployment: Deployment) -> Iterator[None]:  # noqa: ARG001 - comes first
    """The operator speaks to the API server through the pod that can make watches deaf."""
    deployment.change({"KUBERNETES_SERVICE_HOST": deaf.HOST, "KUBERNETES_SERVICE_PORT": str(deaf.PORT)})
    yield
    deployment.change({"KUBERNETES_SERVICE_HOST": None, "KUBERNETES_SERVICE_PORT": None})


@pytest.mark.usefixtures("impatient")
async def test_an_api_server_that_swallows_everything_restarts_nothing(scene: Scene) -> None:
    assert scene.cluster
    tracker = await scene.track("Created", "Deleted")
    before = await _told_of_one(scene, tracker, "before")
    pods = await operator_pods(scene.api)
    async with api_server_black_holed(scene.cluster, pods):
        during = await scene.create(pod(name="during"))
        await scene.api.delete("Pod", "before", scene.namespace, grace=1)
        await _lasts(scene, pods, _WITHOUT_API_SERVER)
        assert occurrence(tracker, during, "Created") not in await scene.slack.ids(scene.channel)
    after = await scene.create(pod(name="after"))
    await _require_each_once(scene, *(occurrence(tracker, each, "Created") for each in (before, during, after)),
                             occurrence(tracker, before, "Deleted"))  # fmt: skip
    await _require_no_restart(scene, pods)


@pytest.mark.usefixtures("impatient")
async def test_a_leader_without_api_server_is_replaced_and_sends_nothing_more(scene: Scene) -> None:
    assert scene.cluster
    tracker = await scene.track("Created")
    old = await eventually(lambda: leader(scene.api), what="a leader", within=_HANDOVER)
    assert old
    async with api_server_black_holed(scene.cluster, [old]):
        during = await scene.create(pod(name="during"))
        await scene.until_told(occurrence(tracker, during, "Created"))
        new = await leader(scene.api)
        assert new is not None
        assert new["metadata"]["uid"] != old["metadata"]["uid"]
    after = await scene.create(pod(name="after"))
    await _require_each_once(scene, *(occurrence(tracker, each, "Created") for each in (during, after)))
    await _require_no_restart(scene, [new])
    # Whoever lost the lead ends as soon as it learns of that, and waits for it anew.
    again = await eventually(lambda: _restarted(scene, old), what="the old leader starts anew", within=_HANDOVER)
    assert again
    assert restarts([again]) == restarts([old]) + 1
    await eventually(lambda: _all_ready(scene), what="both replicas are ready", within=_HANDOVER)


@pytest.mark.usefixtures("impatient")
async def test_a_slack_that_swallows_everything_restarts_nothing(scene: Scene) -> None:
    assert scene.cluster
    tracker = await scene.track("Created", "Deleted")
    before = await _told_of_one(scene, tracker, "before")
    pods = await operator_pods(scene.api)
    [slack] = await scene.api.pods(programs.NAMESPACE, app="slack")
    async with black_holed(scene.cluster, pods, slack):
        during = await scene.create(pod(name="during"))
        await scene.api.delete("Pod", "before", scene.namespace, grace=1)
        await _lasts(scene, pods, _WITHOUT_SLACK)
        assert occurrence(tracker, during, "Created") not in await scene.slack.ids(scene.channel)
    await _require_each_once(scene, *(occurrence(tracker, each, "Created") for each in (before, during)),
                             occurrence(tracker, before, "Deleted"))  # fmt: skip
    await _require_no_restart(scene, pods)


@pytest.mark.usefixtures("through_proxy")
async def test_a_watch_that_stays_deaf_fails_liveness_and_loses_nothing(scene: Scene) -> None:
    tracker = await scene.track("Created")
    before = await _told_of_one(scene, tracker, "before")
    old = await eventually(lambda: leader(scene.api), what="a leader", within=_HANDOVER)
    assert old
    standby = [each for each in await operator_pods(scene.api) if each["metadata"]["uid"] != old["metadata"]["uid"]]
    await deaf.switch(scene.api, deaf=True)
    try:
        during = await scene.create(pod(name="during"))
        await eventually(lambda: _restarted(scene, old), what="a restart of the deaf leader", within=_UNTIL_RESTARTED)
    finally:
        await deaf.switch(scene.api, deaf=False)
    complaints = [
        each["message"]
        for each in await scene.api.list("Event", OPERATOR_NAMESPACE)
        if each["reason"] == "Unhealthy" and each["involvedObject"]["uid"] == old["metadata"]["uid"]
    ]
    assert any("Liveness probe failed" in each and "503" in each for each in complaints), complaints
    after = await scene.create(pod(name="after"))
    await _require_each_once(scene, *(occurrence(tracker, each, "Created") for each in (before, during, after)))
    await _require_no_restart(scene, standby)


async def _told_of_one(scene: Scene, tracker: Json, name: str) -> Json:
    made = await scene.create(pod(name=name))
    await scene.until_told(occurrence(tracker, made, "Created"))
    return made


async def _lasts(scene: Scene, pods: list[Json], seconds: float) -> None:
    """Let the trouble last; no container may be restarted meanwhile."""
    end = time.monotonic() + seconds

    async def over() -> bool:
        await _require_no_restart(scene, pods)
        return time.monotonic() >= end

    await eventually(over, what="the end of the trouble", within=2 * seconds)


async def _require_no_restart(scene: Scene, pods: list[Json]) -> None:
    names = {each["metadata"]["name"] for each in pods}
    now = [each for each in await operator_pods(scene.api) if each["metadata"]["name"] in names]
    assert len(now) == len(pods)
    assert restarts(now) == restarts(pods)


async def _restarted(scene: Scene, old: Json) -> Json | None:
    now = await scene.api.get("Pod", old["metadata"]["name"], OPERATOR_NAMESPACE)
    return now if restarts([now]) > restarts([old]) else None


async def _all_ready(scene: Scene) -> bool:
    deployment = await scene.api.get("Deployment", NAME, OPERATOR_NAMESPACE)
    return bool(deployment["status"].get("readyReplicas") == deployment["spec"]["replicas"])


async def _require_each_once(scene: Scene, *wanted: str) -> None:
    await scene.until_told(*wanted, within=_UNTIL_RESTARTED)
    await scene.settled_lines()
    told = await scene.slack.ids(scene.channel)
    assert [told[one] for one in wanted] == [1] * len(wanted)
