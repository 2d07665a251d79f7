# SPDX-License-Identifier: Apache-2.0
"""An API server without the CRD, and one that goes away; on a cluster of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from devcluster.binaries import Binaries
from devcluster.local import LocalCluster
from fakeslack.outcomes import RateLimited
from fakeslack.server import FakeSlack
from support.install import install_crd, install_rights
from support.install import operator_kubeconfig as write_operator_kubeconfig
from support.kube import Kube
from support.operators import Operators
from support.scene import Scene


@pytest.fixture(scope="module")
def bare_cluster(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A control plane with the operator's rights and, at first, without the CRD."""
    cluster = LocalCluster.start(tmp_path_factory.mktemp("outage"), binaries, controller_manager=False, audit=True)
    try:
        install_rights(cluster)
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def cluster(bare_cluster: LocalCluster) -> LocalCluster:
    """The same with the CRD; stands in for the session's cluster in this file."""
    install_crd(bare_cluster)
    return bare_cluster


@pytest.fixture
async def kube(bare_cluster: LocalCluster) -> AsyncIterator[Kube]:
    """The API as the administrator, with or without the CRD; stands in for the session's in this file."""
    async with Kube(bare_cluster.kubeconfig) as kube:
        yield kube


@pytest.fixture(scope="module")
def operator_kubeconfig(bare_cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kubeconfig of the operator's ServiceAccount; stands in for the session's in this file."""
    return write_operator_kubeconfig(bare_cluster, tmp_path_factory.mktemp("operator") / "kubeconfig")


async def test_missing_crd(operators: Operators) -> None:
    """Without the CRD: status 3 and the command that installs it. Has to be the first test of this file."""
    operator = operators.prepare()
    operator.spawn()
    assert await operator.wait_exit(20) == 3
    assert "kubectl apply" in operator.output()


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
async def test_api_server_restarts(scene: Scene, slack: FakeSlack, *, kill: bool) -> None:
    """The operator goes on by itself: what is made afterwards is reported, and nothing twice."""
    operator = await scene.operate()
    for pod in ("nginx", "web"):
        await scene.track(pod, pod=pod)
    await scene.run("nginx")
    await scene.delivered("Pod nginx was created")
    # What Slack asked to bring later is brought, API server or not.
    slack.script(RateLimited(retry_after=1))
    await scene.track("api", pod="api")
    await scene.run("api")
    await slack.wait_for(lambda fake: any(post.outcome == RateLimited(1) for post in fake.requests))

    await asyncio.to_thread(scene.cluster.stop_apiserver, kill=kill)
    await scene.delivered("Pod nginx was created", "Pod api was created")
    assert await operator.probe("/healthz") == 200
    await asyncio.to_thread(scene.cluster.start_apiserver)

    await scene.run("web")
    await scene.track("late", pod="late")
    await scene.run("late")
    expected = [f"Pod {pod} was created" for pod in ("nginx", "api", "web", "late")]
    await scene.delivered(*expected)
    await scene.remove("nginx")
    await scene.run("nginx")
    await scene.delivered(*expected, "Pod nginx was created")
    await scene.fence()
    assert len(scene.messages()) == len(set(scene.occurrences())) == 5
    assert operator.running
    await scene.counted("nginx", podCount=1, delivered=2)
