# SPDX-License-Identifier: Apache-2.0
"""The stage of the integration tests: a real API server, a fake Slack, and the operator as its own ServiceAccount."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest

from devcluster.binaries import Binaries, ensure_binaries
from devcluster.local import LocalCluster
from fakeslack.server import FakeSlack
from support.evidence import Evidence
from support.install import forget, install
from support.install import operator_kubeconfig as write_operator_kubeconfig
from support.kube import Kube
from support.manifests import CHANNEL, OTHER_CHANNEL, REPORTER_SECRET, make_secret
from support.operators import Operators
from support.scene import NewNamespace, Scene


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the operators said beside a failed test."""
    report = yield
    operators = getattr(item, "funcargs", {}).get("operators")
    if report.failed and isinstance(operators, Operators):
        report.sections.append((f"operators at {call.when}", operators.tails()))
    return report


@pytest.fixture(scope="session")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """What the session uses and produces, for the tests that run last."""
    return Evidence(tmp_path_factory.mktemp("evidence"))


@pytest.fixture(scope="session")
def binaries() -> Binaries:
    """The programs of the control plane; built when missing, which takes minutes once."""
    return ensure_binaries()


@pytest.fixture(scope="session")
def cluster(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A control plane with the CRD and the operator's ServiceAccount and rights, as `config/` has them."""
    cluster = LocalCluster.start(tmp_path_factory.mktemp("cluster"), binaries, audit=True)
    try:
        install(cluster)
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def operator_kubeconfig(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kubeconfig with a token of the operator's ServiceAccount."""
    return write_operator_kubeconfig(cluster, tmp_path_factory.mktemp("operator") / "kubeconfig")


@pytest.fixture
async def kube(cluster: LocalCluster) -> AsyncIterator[Kube]:
    """The API as the administrator."""
    async with Kube(cluster.kubeconfig) as kube:
        yield kube


@pytest.fixture
async def new_namespace(kube: Kube, evidence: Evidence) -> AsyncIterator[NewNamespace]:
    """Makes namespaces that can take pods at once; they are deleted at the end, without waiting for it."""
    made: list[str] = []

    async def make() -> str:
        name = f"test-{secrets.token_hex(4)}"
        await kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        made.append(name)
        # The controller manager makes it too, a little later; pods are refused until it is there.
        await kube.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}, name)
        return name

    yield make
    for name in made:
        await evidence.keep_namespace(kube, name)
        await kube.delete("Namespace", name)


@pytest.fixture
async def namespace(new_namespace: NewNamespace) -> str:
    """A namespace of the test's own."""
    return await new_namespace()


@pytest.fixture
def token(evidence: Evidence) -> str:
    """A Slack token that works."""
    return evidence.new_token()


@pytest.fixture
async def slack(token: str) -> AsyncIterator[FakeSlack]:
    """A Slack with two channels, both with the bot in it."""
    async with FakeSlack(tokens={token}, channels={CHANNEL, OTHER_CHANNEL}) as slack:
        yield slack


@pytest.fixture
async def operators(kube: Kube, operator_kubeconfig: Path, evidence: Evidence) -> AsyncIterator[Operators]:
    """Starts operators without memory of earlier tests; they are stopped at the end, and must stop well."""
    await forget(kube)
    operators = Operators(operator_kubeconfig, evidence)
    yield operators
    await operators.close()


@pytest.fixture
async def scene(
    *,
    cluster: LocalCluster,
    kube: Kube,
    slack: FakeSlack,
    namespace: str,
    token: str,
    operators: Operators,
    evidence: Evidence,
) -> Scene:
    """All of that together, with the token in the Secret that trackers use by default."""
    await kube.apply(make_secret(REPORTER_SECRET, token=token), namespace)
    return Scene(
        cluster=cluster,
        kube=kube,
        slack=slack,
        namespace=namespace,
        token=token,
        new_token=evidence.new_token,
        operators=operators,
    )
