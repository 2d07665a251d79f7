# SPDX-License-Identifier: Apache-2.0
"""From one version to the next, as OLM and the Deployment's controller do it: trackers and the ledger stay.

The new version is made in a scratch clone with `make release`. Kubelets are played: a pod's process is started when the
controller makes the pod, told to be ready when it answers, and ended when the controller deletes it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from devcluster.binaries import Binaries
from devcluster.local import LocalCluster
from fakeslack.server import FakeSlack
from podtracker import __version__
from support.audit import calls_of
from support.evidence import Evidence
from support.install import REPOSITORY, install_crd
from support.kube import Kube
from support.manifests import Json, make_pod, make_secret, make_tracker
from support.olm import Installation, read_csv
from support.process import Operator
from support.releases import Clone
from support.scene import NewNamespace
from support.waiting import eventually

NEW: Final = "99.0.0"
TEAM: Final = "team-a"
PATIENCE: Final = 60.0
CRD: Final = "podtrackers.pod-tracker.lost.backend"


@pytest.fixture(scope="module")
def cluster(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A control plane whose CRD may change; stands in for the session's in this file."""
    cluster = LocalCluster.start(tmp_path_factory.mktemp("upgrade"), binaries, audit=True)
    try:
        install_crd(cluster)
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository as the release after this version."""
    clone = Clone.make(tmp_path_factory.mktemp("newer") / "clone")
    clone.news("Something.")
    clone.make_target("release", f"VERSION={__version__}")
    clone.commit(f"Release {__version__}")
    clone.news("Something more.")
    clone.make_target("release", f"VERSION={NEW}")
    return clone.folder


@dataclass
class Node:
    """Plays the kubelet of the operator's pods."""

    kube: Kube
    installation: Installation
    kubeconfig: Path
    evidence: Evidence
    sources: dict[str, Path]
    """Where the code of each version is, by its image."""
    processes: dict[str, Operator] = field(default_factory=dict)
    """By the uids of their pods."""
    stopped: list[Operator] = field(default_factory=list)

    async def settle(self, image: str) -> None:
        """Do what kubelets do until all pods are of this image and ready, and nothing else runs."""

        async def settled() -> bool:
            pods = await self._pods()
            await self._end({uid for uid in self.processes if uid not in pods})
            for uid, pod in pods.items():
                await self._begin(uid, pod)
            images = [pod["spec"]["containers"][0]["image"] for pod in pods.values()]
            ready = [uid for uid, pod in pods.items() if _is_ready(pod)]
            assert images == [image] * 2, images
            return len(ready) == len(images)

        await eventually(settled, what=f"two pods with {image}", within=PATIENCE)

    async def leader(self) -> Operator:
        """Wait for the one that leads."""

        async def leads() -> Operator | None:
            for process in self.processes.values():
                status, text = await process.answer("/readyz")
                if status == 200 and "standby" not in text:
                    return process
            return None

        found = await eventually(leads, what="a leader", within=PATIENCE)
        assert found is not None
        return found

    async def _pods(self) -> dict[str, Json]:
        pods = await self.kube.list("Pod", self.installation.namespace)
        return {pod["metadata"]["uid"]: pod for pod in pods}

    async def _begin(self, uid: str, pod: Json) -> None:
        if uid not in self.processes:
            sources = self.sources[pod["spec"]["containers"][0]["image"]]
            log = self.evidence.new_file("operator.log")
            self.processes[uid] = self.installation.process(pod, self.kubeconfig, log, sources=sources)
            self.processes[uid].spawn()
        elif not _is_ready(pod) and await self.processes[uid].probe("/readyz") == 200:
            conditions = [{"type": kind, "status": "True"} for kind in ("Ready", "ContainersReady")]
            status = {"status": {"phase": "Running", "conditions": conditions}}
            name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
            await self.kube.patch("Pod", name, namespace, status, subresource="status")

    async def _end(self, uids: set[str]) -> None:
        for uid in uids:
            process = self.processes.pop(uid)
            self.stopped.append(process)
            await process.stop()

    async def close(self) -> None:
        """End all."""
        await self._end(set(self.processes))
        for process in self.stopped:
            assert "Traceback" not in process.output(), process.tail()


def _is_ready(pod: Json) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", ()))


@pytest.fixture
async def nodes() -> AsyncIterator[list[Node]]:
    """Those that the test has made; their processes end with it."""
    made: list[Node] = []
    yield made
    for node in made:
        await node.close()


async def test_an_upgrade_keeps_trackers_and_ledger(
    *,
    cluster: LocalCluster,
    kube: Kube,
    new_namespace: NewNamespace,
    slack: FakeSlack,
    token: str,
    evidence: Evidence,
    newer: Path,
    nodes: list[Node],
    tmp_path: Path,
) -> None:
    """What was told is not told again, what waits is told once, and what happens in between too."""
    own, team = await new_namespace(), await new_namespace()
    settings = {"SLACK_API_URL": slack.url, "SECRET_REFRESH": "1", "DRAIN_TIMEOUT": "2"}
    old = Installation(read_csv(), own, (team,), settings)
    new = Installation(read_csv(newer / "bundle"), own, (team,), settings)
    sources = {old.container["image"]: REPOSITORY / "operator", new.container["image"]: newer / "operator"}
    assert len(sources) == 2

    await asyncio.to_thread(old.install, cluster)
    config = cluster.kubeconfig_for_token(tmp_path / "kubeconfig", await kube.token_of(old.account, own))
    node = Node(kube, old, config, evidence, sources)
    nodes.append(node)
    await node.settle(old.container["image"])
    await kube.apply(make_secret(token=token), team)
    await kube.create(make_tracker(selector={}, events=["Created", "Deleted"]), team)
    await kube.create(make_pod("first"), team)
    await told(slack, "Pod first was created")
    slack.tokens.discard(token)
    await kube.create(make_pod("waits"), team)
    leader = await node.leader()
    await eventually(lambda: pending(leader, 1), what="an occurrence that waits", within=PATIENCE)
    tracker = await kube.get("PodTracker", "pod-tracker", team)
    ledger = await uids(kube, own)
    assert ledger

    await asyncio.to_thread(upgrade_crd, cluster, newer)
    await asyncio.to_thread(new.install, cluster)
    await kube.create(make_pod("meanwhile"), team)
    await kube.delete("Pod", "first", team)
    await node.settle(new.container["image"])
    await asyncio.to_thread(remove_old_roles, cluster, old)
    good = evidence.new_token()
    slack.tokens.add(good)
    await kube.apply(make_secret(token=good), team)
    expected = ["Pod first was created", "Pod waits was created", "Pod meanwhile was created"]
    expected.append(f"Pod {team}/first was deleted")
    await told(slack, *expected)
    await kube.create(make_pod("afterwards"), team)
    await told(slack, *expected, "Pod afterwards was created")

    after = await kube.get("PodTracker", "pod-tracker", team)
    assert (after["metadata"]["uid"], after["spec"]) == (tracker["metadata"]["uid"], tracker["spec"])
    assert ledger.items() <= (await uids(kube, own)).items()

    async def counted() -> bool:
        status = (await kube.get("PodTracker", "pod-tracker", team))["status"]
        assert (status["delivered"], status["pending"]) == (5, 0), status
        return True

    await eventually(counted, what="the counters over both versions", within=PATIENCE)
    spoke_with_the_api_server(cluster, new)


def upgrade_crd(cluster: LocalCluster, newer: Path) -> None:
    """Let the new CRD take the old one's place, as OLM does before the new Deployment."""
    cluster.kubectl(
        "apply", "--server-side", "-f", str(newer / "bundle/manifests/pod-tracker.lost.backend_podtrackers.yaml")
    )
    crd = json.loads(cluster.kubectl("get", "crd", CRD, "--output=json").stdout)
    assert crd["metadata"]["labels"]["app.kubernetes.io/version"] == NEW


def remove_old_roles(cluster: LocalCluster, old: Installation) -> None:
    """Delete what belonged to the old CSV, as OLM does once the new one runs."""
    selector = f"--selector=olm.owner={old.csv['metadata']['name']}"
    for namespace in {old.namespace, *old.targets}:
        cluster.kubectl("delete", "role,rolebinding", selector, f"--namespace={namespace}")


def spoke_with_the_api_server(cluster: LocalCluster, new: Installation) -> None:
    """Both versions were at work, and neither was refused anything."""
    assert cluster.audit_log is not None
    text = cluster.audit_log.read_text(encoding="utf-8")
    for version in (__version__, NEW):
        assert f'"userAgent":"pod-tracker/{version}"' in text
    assert [call for call in calls_of(new.user, cluster.audit_log) if not call.allowed] == []


async def pending(operator: Operator, count: int) -> bool:
    """Whether so many occurrences wait."""
    return await operator.metric("pod_tracker_pending") == count


async def uids(kube: Kube, namespace: str) -> dict[str, str]:
    """The uids of the ledger's objects, by their names."""
    kept = [each["metadata"] for each in await kube.list("ConfigMap", namespace)]
    return {each["name"]: each["uid"] for each in kept if each["name"].startswith("pod-tracker-")}


async def told(slack: FakeSlack, *texts: str) -> None:
    """Wait until Slack has these messages and no others."""

    def arrived() -> bool:
        assert sorted(message.text for message in slack.messages) == sorted(texts), slack.summary()
        return True

    await eventually(arrived, what=f"the messages {texts}", within=PATIENCE)
