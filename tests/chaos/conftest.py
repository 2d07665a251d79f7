# SPDX-License-Identifier: Apache-2.0
"""`make chaos`: what is promised, shown by faults on a real API server."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from random import Random

import pytest

from chaos.arena import Arena, NewArena, Stage, arena
from chaos.chance import chance
from chaos.report import Report
from chaos.scale import SCALES, Scale
from devcluster.binaries import ensure_binaries
from devcluster.local import LocalCluster
from support.install import install, operator_kubeconfig
from support.kube import Kube

_REPORT = pytest.StashKey[Report]()
_SEED = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of `make chaos`."""
    group = parser.getgroup("chaos")
    group.addoption(
        "--chaos-scale",
        default=os.environ.get("CHAOS_SCALE", "short"),
        choices=sorted(SCALES),
        help="how much (environment: CHAOS_SCALE; default short)",
    )
    group.addoption(
        "--chaos-seed", default=os.environ.get("CHAOS_SEED", ""), help="repeat a run (environment: CHAOS_SEED)"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed."""
    config.stash[_REPORT] = Report()
    config.stash[_SEED] = config.getoption("chaos_seed", "") or secrets.token_hex(4)


def pytest_report_header(config: pytest.Config) -> str:
    """Print what it takes to repeat the run."""
    return f"chaos: --chaos-scale={config.getoption('chaos_scale', 'short')} --chaos-seed={config.stash[_SEED]}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Print the tables of a scenario as soon as it has ended: a whole run takes long."""
    report = yield
    terminal = item.config.pluginmanager.get_plugin("terminalreporter")
    for table in item.config.stash[_REPORT].take():
        if terminal is not None:
            terminal.ensure_newline()
            terminal.write_line(f"\n{table}")
    return report


@pytest.fixture(scope="session")
def scale(request: pytest.FixtureRequest) -> Scale:
    """How much."""
    return SCALES[request.config.getoption("chaos_scale", "short")]


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> Random:
    """The randomness of one scenario, the same for the same seed whichever others run."""
    return chance(f"{request.config.stash[_SEED]} {request.node.name}")


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """Where results go."""
    return request.config.stash[_REPORT]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A control plane with the CRD and the operator's rights."""
    cluster = LocalCluster.start(tmp_path_factory.mktemp("cluster"), ensure_binaries(), controller_manager=False)
    try:
        install(cluster)
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def kubeconfig(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kubeconfig of the operator's ServiceAccount."""
    return operator_kubeconfig(cluster, tmp_path_factory.mktemp("operator") / "kubeconfig")


@pytest.fixture
async def stage(cluster: LocalCluster, kubeconfig: Path, tmp_path: Path, rng: Random) -> AsyncIterator[Stage]:
    """What all arenas of a scenario share."""
    async with Kube(cluster.kubeconfig) as kube:
        yield Stage(cluster, kubeconfig, kube, tmp_path, rng)


@pytest.fixture
async def new_arena(stage: Stage) -> AsyncIterator[NewArena]:
    """Opens arenas; they are closed at the end."""
    async with contextlib.AsyncExitStack() as exits:

        async def make(title: str) -> Arena:
            return await exits.enter_async_context(arena(stage, title))

        yield make
