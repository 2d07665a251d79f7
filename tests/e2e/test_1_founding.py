# SPDX-License-Identifier: Apache-2.0
"""The founding example, with a container that a kubelet runs and the operator as it is shipped."""

from __future__ import annotations

import json

import pytest

from e2e.api import Api
from e2e.deployment import leader, operator_pods, restarts
from e2e.scene import Scene, occurrence
from e2e.stage import Stage
from recorder.questions import condition
from recorder.script import pod
from support.install import OPERATOR_NAMESPACE
from support.waiting import eventually


async def test_a_pod_that_reaches_running_gives_exactly_one_message(scene: Scene) -> None:
    tracker = await scene.track(pod="nginx")
    made = await scene.create(pod(name="nginx"))
    await scene.until_told(occurrence(tracker, made, "Created"))
    await scene.until_ready("nginx")
    assert await scene.settled_lines() == ["Pod nginx was created"]
    where = f"--namespace={scene.namespace}"

    async def row() -> bool:
        columns = (await scene.kubectl.aside("get", "podtrackers", "tracker", where, "--no-headers")).split()
        return columns[:6] == ["tracker", "nginx", "slack", "Active", "1", "1"]

    await eventually(row, what="the row of kubectl get podtrackers", within=30)


def test_a_cluster_whose_parts_are_there_is_up_within_a_minute(stage: Stage) -> None:
    if stage.start is None:
        pytest.skip("the cluster was up before")
    assert stage.start < 60


async def test_both_replicas_run_as_shipped(scene: Scene, api: Api) -> None:
    pods = await operator_pods(api)
    assert len(pods) == 2
    assert [condition(each, "Ready") for each in pods] == ["True", "True"]
    assert restarts(pods) == 0
    assert await leader(api) is not None
    namespace = await api.get("Namespace", OPERATOR_NAMESPACE)
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for each in pods:
        [container] = each["spec"]["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert each["metadata"]["annotations"].get("kubectl.kubernetes.io/default-container") == "manager"
    name = pods[0]["metadata"]["name"]
    said = await scene.kubectl.aside(
        "exec", f"--namespace={OPERATOR_NAMESPACE}", name, "--", "python", "-c",
        "import os, json; print(json.dumps([os.getuid(), os.access('/', os.W_OK)]))",
    )  # fmt: skip
    assert json.loads(said) == [65532, False]
