# SPDX-License-Identifier: Apache-2.0
"""The stage of the end-to-end tests: a cluster with a kubelet, the shipped image and manifests, Slack as a pod.

CLUSTER=kind (the default) uses the cluster of `python -m kindnode`: started when it is not up, ended again only then;
K8S_IMAGE names another node image than the usual one.
CLUSTER=current uses the cluster of KUBECONFIG, and IMG, which it must be able to pull; it is left as it was found.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest

from devcluster.binaries import ensure_kubectl
from devcluster.progress import to_stderr
from e2e import programs
from e2e import slack as slack_service
from e2e.api import Api, Kubectl
from e2e.deployment import Deployment
from e2e.scene import Scene
from e2e.slack import TOKEN, Slack
from e2e.stage import Stage
from kindnode import operator_image
from kindnode.cluster import Cluster
from support.manifests import REPORTER_SECRET, make_secret

_NEXT = "localhost/pod-tracker/operator:e2e-next"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the operators said beside a failed test."""
    report = yield
    deployment = getattr(item, "funcargs", {}).get("deployment")
    if report.failed and isinstance(deployment, Deployment):
        with contextlib.suppress(AssertionError):
            report.sections.append((f"operators at {call.when}", deployment.logs()))
    return report


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The cluster, and the operator's image on it."""
    chosen = os.environ.get("CLUSTER", "kind")
    if chosen == "current":
        yield _current(tmp_path_factory.mktemp("cluster"))
        return
    assert chosen == "kind", f"CLUSTER={chosen}: the end-to-end tests know kind and current"
    cluster = Cluster(progress=to_stderr)
    install = os.environ.get("CI") == "true"
    ours = cluster.status() is None
    cluster.chosen.node.ensure(install=install)
    image = operator_image.build(cluster, install=install)
    following = operator_image.build(cluster, _NEXT, build_args=["VERSION=99.0.0"])
    began = time.monotonic()
    info = cluster.up(install=install)
    took = time.monotonic() - began
    try:
        operator_image.load(cluster, image)
        operator_image.load(cluster, following)
        kubectl = Kubectl(ensure_kubectl(), info.kubeconfig)
        yield Stage(kubectl, image, following, cluster, took if ours else None)
    finally:
        if ours:
            cluster.down()


def _current(folder: Path) -> Stage:
    image = os.environ.get("IMG", "")
    assert image, "CLUSTER=current: set IMG to an image of the operator that the cluster can pull"
    program = ensure_kubectl()
    kubeconfig = folder / "kubeconfig"
    given = Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    kubeconfig.write_text(Kubectl(program, given)("config", "view", "--raw", "--minify", "--flatten"))
    kubeconfig.chmod(0o600)
    return Stage(Kubectl(program, kubeconfig), image, os.environ.get("NEXT_IMG"), None, None)


@pytest.fixture(scope="session")
def deployment(stage: Stage) -> Iterator[Deployment]:
    """The operator, installed anew, and Slack."""
    deployment = Deployment(stage.kubectl, stage.image, stage.next_image)
    if stage.cluster is None:
        deployment.check_not_installed()
    deployment.remove()
    try:
        programs.make_namespace(stage.kubectl)
        slack_service.start(stage.kubectl, stage.image)
        deployment.apply()
        yield deployment
    finally:
        deployment.remove()
        stage.kubectl("delete", "namespace", programs.NAMESPACE, "--ignore-not-found")


@pytest.fixture
def kubectl(stage: Stage) -> Kubectl:
    """kubectl, as the cluster's administrator."""
    return stage.kubectl


@pytest.fixture
async def api(stage: Stage) -> AsyncIterator[Api]:
    """The API, as the cluster's administrator."""
    async with Api(stage.kubectl.kubeconfig) as api:
        yield api


@pytest.fixture
async def scene(stage: Stage, deployment: Deployment, api: Api) -> AsyncIterator[Scene]:
    """A namespace of the test's own and a Slack channel of its own."""
    namespace, channel = f"e2e-{secrets.token_hex(4)}", f"C{secrets.token_hex(5).upper()}"
    await api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    try:
        # The controller manager makes it too, a little later; pods are refused until it is there.
        await api.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}, namespace)
        await api.apply(make_secret(REPORTER_SECRET, token=TOKEN), namespace)
        yield Scene(api, stage.kubectl, Slack(api), deployment, stage.cluster, namespace, channel)
    finally:
        await api.delete("Namespace", namespace)
