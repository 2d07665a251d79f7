# SPDX-License-Identifier: Apache-2.0
"""What the demo removes from a cluster, and what it leaves alone."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from demo.cluster import DemoCluster
from demo.console import Console
from demo.errors import DemoError
from demo.kubectl import Kubectl
from demo.settings import RealSlack
from demo.stage import Checkout, Stage
from demo.tracker import LABEL, OWNER, Tracker
from devcluster.choose import Kind

CRD = ("customresourcedefinitions", "podtrackers.pod-tracker.lost.backend")
POD, TRACKER, SECRET = ("pod", "nginx"), ("podtracker", "pod-tracker"), ("secret", "pod-tracker-reporter")
OPERATOR = ("deployments.apps", "pod-tracker-controller-manager")

OURS: dict[str, Any] = {"metadata": {"labels": {LABEL: OWNER}}}
THEIRS: dict[str, Any] = {"metadata": {"labels": {LABEL: "Helm"}}}
PLAIN: dict[str, Any] = {"metadata": {}}


class Cluster(Kubectl):
    """A kubectl that knows these objects."""

    def __init__(self, objects: dict[tuple[str, str], dict[str, Any]], trackers: str = "") -> None:
        super().__init__(Path("kubectl"), {})
        self.objects = {CRD: PLAIN} | objects
        self.commands: list[str] = []
        self._trackers = trackers

    async def get(self, namespace: str, kind: str, name: str) -> dict[str, Any] | None:  # noqa: ARG002 - its signature
        return self.objects.get((kind, name))

    async def run(self, *arguments: str, stdin: str | None = None, timeout: float = 0) -> str:  # noqa: ARG002, ASYNC109
        self.commands.append(" ".join(arguments))
        return self._trackers if "podtrackers" in arguments else ""

    @property
    def deleted(self) -> list[str]:
        return [command.split(" delete ")[1].split(" --")[0] for command in self.commands if " delete " in command]


def stage(kubectl: Cluster, kind: Kind = Kind.LOCAL, slack: RealSlack | None = None) -> Stage:
    cluster = DemoCluster(kind, Path("kubectl"), "", is_ours=False)
    sample = Tracker.from_sample(Path(__file__).parents[3] / "config/samples/tracker.yaml", slack)
    return Stage(cluster, kubectl, Console(io.StringIO()), sample)


REAL = RealSlack("xoxb-1", "C1")


async def test_on_a_cluster_for_play_all_that_stands_in_the_way_goes() -> None:
    kubectl = Cluster({POD: PLAIN, TRACKER: THEIRS, SECRET: OURS})
    await stage(kubectl).check_untouched()
    await stage(kubectl).clear()
    assert kubectl.deleted == ["podtracker pod-tracker", "pod nginx", "secret pod-tracker-reporter"]


async def test_a_secret_that_is_not_needed_stays() -> None:
    kubectl = Cluster({SECRET: PLAIN})
    await stage(kubectl).clear()
    assert kubectl.deleted == []


async def test_without_the_crd_nobody_asks_for_trackers() -> None:
    kubectl = Cluster({TRACKER: OURS})
    del kubectl.objects[CRD]
    await stage(kubectl, Kind.CURRENT).check_untouched()
    await stage(kubectl).clear()
    assert kubectl.commands == []


@pytest.mark.parametrize(
    ("objects", "slack", "named"),
    [
        ({POD: PLAIN}, None, "pod nginx"),
        ({POD: THEIRS, TRACKER: OURS}, None, "pod nginx"),
        ({TRACKER: PLAIN}, None, "podtracker pod-tracker"),
        ({SECRET: PLAIN}, REAL, "secret pod-tracker-reporter"),
    ],
)
async def test_on_somebodys_cluster_nothing_of_theirs_is_touched(
    objects: dict[tuple[str, str], dict[str, Any]], slack: RealSlack | None, named: str
) -> None:
    kubectl = Cluster(objects)
    with pytest.raises(DemoError, match=f"has a {named} in namespace default that the demo did not make"):
        await stage(kubectl, Kind.CURRENT, slack).check_untouched()
    assert kubectl.deleted == []


async def test_on_somebodys_cluster_our_own_leftovers_are_fine() -> None:
    kubectl = Cluster({POD: OURS, TRACKER: OURS, SECRET: PLAIN}, trackers="pod-tracker\n")
    await stage(kubectl, Kind.CURRENT).check_untouched()


async def test_on_somebodys_cluster_their_trackers_are_not_served() -> None:
    with pytest.raises(DemoError, match=r"would serve too \(other\)"):
        await stage(Cluster({}, trackers="pod-tracker\nother\n"), Kind.CURRENT).check_untouched()


async def test_the_end_removes_only_what_is_ours() -> None:
    kubectl = Cluster({POD: PLAIN, TRACKER: OURS, SECRET: OURS})
    await stage(kubectl).strike()
    assert kubectl.deleted == ["podtracker pod-tracker", "secret pod-tracker-reporter"]


@pytest.mark.parametrize(("spec", "is_rival"), [({"replicas": 1}, True), ({}, True), ({"replicas": 0}, False)])
async def test_a_deployed_operator_is_a_rival(spec: dict[str, int], is_rival: bool) -> None:
    kubectl = Cluster({OPERATOR: {"metadata": {}, "spec": spec}})
    if not is_rival:
        await stage(kubectl).check_no_rival()
        return
    with pytest.raises(DemoError, match="--replicas=0"):
        await stage(kubectl).check_no_rival()


async def test_the_pod_is_made_as_people_make_it() -> None:
    kubectl = Cluster({})
    await stage(kubectl).run_pod()
    assert kubectl.commands == [f"-n default run nginx --image=nginx --labels=run=nginx,{LABEL}={OWNER}"]


def test_an_incomplete_checkout_is_told(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="complete checkout"):
        Checkout(tmp_path).check()
    Checkout(Path(__file__).parents[3]).check()
