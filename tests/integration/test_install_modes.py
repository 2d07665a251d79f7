# SPDX-License-Identifier: Apache-2.0
"""The operator as OLM installs it from the bundle, in each install mode: the CSV's Deployment, rights and environment.

The API server and the controller manager are real; kubelets are not, so the processes are started here as those would:
the image's entry point, the container's arguments, and the environment that its pods' fields give. Only what belongs to
the machine is other: the API server and the token come from a kubeconfig, and the ports are free ones of loopback.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

from devcluster.local import LocalCluster
from fakeslack.server import FakeSlack
from support.audit import Call, Right, calls_of
from support.evidence import Evidence
from support.kube import Kube
from support.manifests import REPORTER_SECRET, make_pod, make_secret, make_tracker, make_workload
from support.olm import INSTALL_MODES, Installation, read_csv
from support.process import Operator
from support.scene import NewNamespace
from support.waiting import eventually

CSV: Final = read_csv()
WORKLOADS: Final = ("Deployment", "CronJob")
PATIENCE: Final = 40.0
"""Seconds; the pace is the real one, a message a second and channel."""

Install = Callable[..., Awaitable["Stage"]]


@dataclass
class Stage:
    """An installation, the processes of its pods, and what a team does."""

    installation: Installation
    cluster: LocalCluster
    kube: Kube
    slack: FakeSlack
    evidence: Evidence
    token: str
    replicas: list[Operator]

    async def told(self, *texts: str) -> None:
        """Wait until these texts and no others have arrived."""

        def arrived() -> bool:
            assert sorted(message.text for message in self.slack.messages) == sorted(texts), self.slack.summary()
            return True

        await eventually(arrived, what=f"the messages {texts}", within=PATIENCE)

    async def track(self, namespace: str, pod: str) -> str:
        """Make a tracker, its Secret and its pod in a namespace; return the message that is due."""
        await self.kube.apply(make_secret(token=self.token), namespace)
        await self.kube.create(make_tracker(pod=pod), namespace)
        return await self.run(namespace, pod)

    async def run(self, namespace: str, pod: str) -> str:
        """Make a pod that a tracker waits for; return the message that is due."""
        await self.kube.create(make_pod(pod), namespace)
        return f"Pod {pod} was created"

    async def track_workloads(self, namespace: str) -> list[str]:
        """Let a Deployment and a Job of a CronJob make pods that a tracker means; return the messages that are due."""
        for kind in WORKLOADS:
            meant = {"kind": kind, "name": kind.lower()}
            await self.kube.create(make_tracker(kind.lower(), workloadRef=meant), namespace)
            await self.kube.create(make_workload(kind, kind.lower()), namespace)
        job = ("create", "job", "--from=cronjob/cronjob", "by-hand", "-n", namespace)
        await asyncio.to_thread(self.cluster.kubectl, *job)

        async def made() -> list[str]:
            pods = [pod["metadata"] for pod in await self.kube.list("Pod", namespace)]
            names = {kind.lower() for kind in WORKLOADS}
            found = [pod["name"] for pod in pods if pod.get("labels", {}).get("app") in names]
            return found if len(found) == len(WORKLOADS) else []

        return [f"Pod {pod} was created" for pod in await eventually(made, what="the pods of both workloads")]

    async def change_tokens(self, namespace: str) -> None:
        """Let Slack's verdict change to and fro, until the same Event is due again."""
        for token, reason in [(self.evidence.new_token(), "InvalidAuth"), (self.token, "TokenAccepted")] * 2:
            await self.kube.apply(make_secret(REPORTER_SECRET, token=token), namespace)
            await self._reason(namespace, reason)

        async def counted() -> bool:
            events = await self.kube.list("Event", namespace)
            return {("InvalidAuth", 2)} <= {(event["reason"], event.get("count")) for event in events}

        await eventually(counted, what="an Event that was counted up", within=PATIENCE)

    async def _reason(self, namespace: str, reason: str) -> None:
        async def found() -> bool:
            tracker = await self.kube.get("PodTracker", "pod-tracker", namespace)
            conditions = tracker.get("status", {}).get("conditions", [])
            assert reason in {each["reason"] for each in conditions}, conditions
            return True

        await eventually(found, what=f"the reason {reason}", within=PATIENCE)


@pytest.fixture
async def install(
    cluster: LocalCluster, kube: Kube, slack: FakeSlack, evidence: Evidence, token: str, tmp_path: Path
) -> AsyncIterator[Install]:
    """Installs the bundle into a namespace for an OperatorGroup's targets, and starts its replicas."""
    stages: list[Stage] = []

    async def begin(namespace: str, *targets: str) -> Stage:
        settings = {"SLACK_API_URL": slack.url, "SECRET_REFRESH": "1"}
        installation = Installation(CSV, namespace, targets, settings)
        stage = Stage(installation, cluster, kube, slack, evidence, token, [])
        stages.append(stage)
        await asyncio.to_thread(installation.install, cluster)
        config = cluster.kubeconfig_for_token(
            tmp_path / "kubeconfig", await kube.token_of(installation.account, namespace)
        )
        for pod in await installation.replicas(kube):
            stage.replicas.append(installation.process(pod, config, evidence.new_file("operator.log")))
        await stage.replicas[0].start()
        for replica in stage.replicas[1:]:
            replica.spawn()
        return stage

    yield begin
    for stage in stages:
        for replica in stage.replicas:
            if replica.running:
                await replica.stop()
            assert "Traceback" not in replica.output(), replica.tail()
        await asyncio.to_thread(stage.installation.remove, cluster)


async def test_own_namespace(install: Install, new_namespace: NewNamespace) -> None:
    """The OperatorGroup means the operator's own namespace."""
    own, elsewhere = await new_namespace(), await new_namespace()
    await hears_just(await install(own, own), [own], [elsewhere])


async def test_single_namespace(install: Install, new_namespace: NewNamespace) -> None:
    """It means one other namespace."""
    own, watched, elsewhere = await new_namespace(), await new_namespace(), await new_namespace()
    await hears_just(await install(own, watched), [watched], [own, elsewhere])


async def test_multi_namespace(install: Install, new_namespace: NewNamespace) -> None:
    """It means several."""
    own, one, two, elsewhere = [await new_namespace() for _ in range(4)]
    await hears_just(await install(own, one, two), [one, two], [own, elsewhere])


async def test_all_namespaces(install: Install, new_namespace: NewNamespace) -> None:
    """It means all, those made later too."""
    own, one = await new_namespace(), await new_namespace()
    stage = await install(own)
    await hears_just(stage, [one, await new_namespace(), own], [])


async def hears_just(stage: Stage, watched: list[str], deaf: list[str]) -> None:
    """Say that it delivers there, is deaf here, and did so with the rights of the CSV, all of them."""
    await standby_and_probes(stage)
    for number, namespace in enumerate(deaf):
        await stage.track(namespace, f"unheard-{number}")
    due = [await stage.track(namespace, f"heard-{number}") for number, namespace in enumerate(watched)]
    due += await stage.track_workloads(watched[0])
    await stage.told(*due)
    await stage.change_tokens(watched[0])
    for namespace in deaf:
        assert "status" not in await stage.kube.get("PodTracker", "pod-tracker", namespace)
    await stage.told(*due)
    leader, standby = stage.replicas
    await leader.stop()
    await eventually(lambda: leads(standby), what="the other replica to lead", within=PATIENCE)
    await stage.kube.delete("Pod", "heard-0", watched[0])
    due.append(await stage.run(watched[0], "heard-0"))
    await stage.told(*due)
    await standby.stop()
    used_all_rights(stage)


async def leads(replica: Operator) -> bool:
    """Whether a replica is the leader."""
    status, text = await replica.answer("/readyz")
    return status == 200 and "standby" not in text


async def standby_and_probes(stage: Stage) -> None:
    """Every replica answers the CSV's probes; one leads, the others stand by."""
    container = stage.installation.container
    assert len(stage.replicas) == 2
    for replica in stage.replicas:
        for probe in ("livenessProbe", "readinessProbe"):
            path = container[probe]["httpGet"]["path"]

            async def answers(replica: Operator = replica, path: str = path) -> bool:
                return await replica.probe(path) == 200

            await eventually(answers, what=f"{path} of a replica", within=PATIENCE)
    said = [(await replica.answer("/readyz"))[1] for replica in stage.replicas]
    assert ["standby" in text for text in said] == [False, True]


def used_all_rights(stage: Stage) -> None:
    """Nothing was refused, nothing was done by other rights than the CSV's, and each of those was used."""
    installation = stage.installation
    assert stage.cluster.audit_log is not None
    calls = [call for call in calls_of(installation.user, stage.cluster.audit_log) if call.user == installation.user]
    assert [call for call in calls if not call.allowed] == []
    about_resources = [call for call in calls if call.resource]
    assert [call for call in about_resources if not _by(call, installation)] == []
    rights = installation.rights()
    used = {_one_shard(right) for call in about_resources for right in call.needs(rights)}
    assert used == {_one_shard(right) for right in rights}


def _by(call: Call, installation: Installation) -> bool:
    return f'Role "{installation.csv["metadata"]["name"]}-{installation.namespace}-' in call.reason


def _one_shard(right: Right) -> Right:
    """Take the shards of the ledger as one: which of them are written depends on the uids of pods."""
    return replace(right, name=re.sub(r"^(pod-tracker-ledger)-\w$", r"\1", right.name))


def test_these_are_the_modes_of_the_csv() -> None:
    supported = [mode["type"] for mode in CSV["spec"]["installModes"] if mode["supported"]]
    assert supported == list(INSTALL_MODES)
