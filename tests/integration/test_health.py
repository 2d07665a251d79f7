# SPDX-License-Identifier: Apache-2.0
"""Alive, ready, leading: what the probes say in trouble, and who goes on; all operators go through a proxy."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import time
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest

from chaos.proxy import Proxy
from chaos.recorder import Recorder
from devcluster.local import LocalCluster
from fakeslack.outcomes import Hang
from fakeslack.server import FakeSlack
from support.install import LEADER_ROLE, OPERATOR_NAMESPACE, OPERATOR_ROLE
from support.kube import Kube
from support.manifests import Json, make_pod, make_role_binding, make_secret, make_service_account, make_tracker
from support.process import START_PATIENCE, Operator
from support.scene import NewNamespace, Scene
from support.waiting import eventually

LEASE = "pod-tracker-leader"
SILENT = {"WATCH_SILENCE": "1"}
"""A watch is deaf after 2.7 s. Bookmarks come once a minute: there has to be a clock that ticks."""
OUTAGE = 4
"""Failed renewals of the Lease, one per second, after which an outage has lasted longer than a watch may be silent."""
REFUSALS = 2
"""Tries of a watch that broke; with the waits before, between and after them they take as long."""
TICK = 0.2
"""Seconds between two changes that every watch of the namespace hears, and between two probes."""
DEPOSED = 4
"""The exit status of a leader that does not lead any more."""


@pytest.fixture
async def proxy(cluster: LocalCluster) -> AsyncIterator[Proxy]:
    """The operators' way to the API server; the test itself has its own."""
    async with Proxy(cluster.server, cluster.ca_file, Recorder()) as proxy:
        yield proxy


@pytest.fixture
def operator_kubeconfig(operator_kubeconfig: Path, proxy: Proxy, tmp_path: Path) -> Path:
    """The same credentials, through the proxy; stands in for the session's in this file."""
    return proxy.kubeconfig(tmp_path / "kubeconfig", operator_kubeconfig)


@contextlib.asynccontextmanager
async def _ticking(scene: Scene) -> AsyncIterator[None]:
    """Let a pod that nobody tracks change all the time."""
    await scene.run("clock")

    async def tick() -> None:
        for number in itertools.count():
            labels = {"metadata": {"labels": {"tick": str(number)}}}
            await scene.kube.patch("Pod", "clock", scene.namespace, labels)
            await asyncio.sleep(TICK)

    async with _beside(tick()):
        yield


@contextlib.asynccontextmanager
async def _alive(operator: Operator) -> AsyncIterator[None]:
    """Probe all the time; it must be alive every time."""

    async def probe() -> None:
        while True:
            assert await operator.answer("/healthz") == (200, "leader\n"), operator.tail()
            await asyncio.sleep(TICK)

    async with _beside(probe()):
        yield


@contextlib.asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do endless work meanwhile; where it fails, so does this."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        yield
        task.cancel()


async def _says(operator: Operator, path: str, status: int, text: str = "") -> None:
    async def said() -> bool:
        found = await operator.answer(path)
        assert found[0] == status, found
        assert text in found[1], found
        return True

    try:
        await eventually(said, what=f"{path} to say {status} {text}", within=START_PATIENCE)
    except AssertionError as error:
        error.add_note(operator.tail())
        raise


async def _complaints(operator: Operator, words: str, times: int) -> None:
    """Wait until an operator has complained so often from now on."""
    before = operator.output().count(words)
    await eventually(
        lambda: operator.output().count(words) >= before + times, what=f"{times} times {words!r}", within=30
    )


# liveness


async def test_deaf_watch(scene: Scene, proxy: Proxy) -> None:
    """A pod watch that stays open and brings nothing is named; it ends by itself, and nothing was missed."""
    operator = await scene.operate(**SILENT)
    await scene.track()
    await scene.handled()
    async with _ticking(scene):
        await _says(operator, "/healthz", 200, "leader")
        proxy.deafen(on=True)
        uid = (await scene.run("nginx"))["metadata"]["uid"]
        await _says(operator, "/healthz", 503, "watch: a pod watch has been silent for ")
        _, said = await operator.answer("/healthz")
        assert len(said.splitlines()) == 1, said
        assert uid not in proxy.recorder.pods
        assert scene.posts() == []
        proxy.deafen(on=False)
        await _says(operator, "/healthz", 200, "leader")
        await scene.delivered("Pod nginx was created")
        await scene.fence()
    assert len(scene.posts()) == 1
    assert operator.running


async def test_alive_without_the_api_server(scene: Scene, proxy: Proxy) -> None:
    """However long the API server is away: alive then, and when it is back, with all the watch missed still to come."""
    operator = await scene.operate(**SILENT)
    await scene.track()
    await scene.handled()
    async with _ticking(scene), _alive(operator):
        await proxy.stop()
        await _complaints(operator, "cannot renew the lease", OUTAGE)
        await scene.run("nginx")
        await proxy.start()
        await scene.delivered("Pod nginx was created")
        await scene.fence()
    assert len(scene.posts()) == 1


async def test_alive_while_slack_hangs(scene: Scene, slack: FakeSlack) -> None:
    """Every request to Slack runs into its time-out, one after the other: alive, and told once when that is over."""
    operator = await scene.operate(SLACK_TIMEOUT="0.5", RETRY_BACKOFF_MAX="0.2")
    await scene.track()
    await scene.handled()
    for method in ("chat.postMessage", "conversations.history"):
        slack.script(*[Hang()] * 2, method=method)
    async with _alive(operator):
        await scene.run("nginx")
        await slack.wait_for(lambda fake: sum(request.outcome == Hang() for request in fake.requests) == 4, timeout=30)
        assert scene.messages() == []
        await scene.delivered("Pod nginx was created")
    await scene.counted(delivered=1, pending=0)


# several namespaces


async def test_forbidden_namespace(
    scene: Scene, new_namespace: NewNamespace, proxy: Proxy, cluster: LocalCluster, kube: Kube, tmp_path: Path
) -> None:
    """Of two namespaces one may not be read any more: the other is not held up by it, and it goes on when it may."""
    other = await new_namespace()
    async with _own_account(scene, tmp_path, cluster) as direct:
        bindings = {name: _binding(scene, "watched", OPERATOR_ROLE) for name in (scene.namespace, other)}
        for name, binding in bindings.items():
            await kube.create(binding, name)
        kubeconfig = str(proxy.kubeconfig(tmp_path / "own", direct))
        operator = await scene.operate(WATCH_NAMESPACE=f"{scene.namespace},{other}", KUBECONFIG=kubeconfig, **SILENT)
        await kube.create(make_secret(token=scene.token), other)
        for name in (scene.namespace, other):
            await kube.create(make_tracker(), name)
        await scene.fence()
        await scene.fence(namespace=other)
        async with _ticking(scene), _alive(operator):
            await kube.delete("RoleBinding", "watched", other)
            # Watches that are open stay so until they end.
            proxy.cut()
            await kube.create(make_pod(), other)
            await _complaints(operator, f'"namespace": "{other}", "error": "403 Forbidden', REFUSALS)
            await scene.run("nginx")
            await scene.delivered("Pod nginx was created")
            await kube.create(bindings[other], other)
            await scene.delivered("Pod nginx was created", "Pod nginx was created")
        await operator.stop()
    assert len(set(scene.occurrences())) == 2


@contextlib.asynccontextmanager
async def _own_account(scene: Scene, folder: Path, cluster: LocalCluster) -> AsyncIterator[Path]:
    """Make an account that may lead, and read no namespace yet; give its kubeconfig.

    It belongs to the scene's namespace: what it is refused on purpose is no fault of the operator's own rights.
    """
    await scene.kube.create(make_service_account("own"), scene.namespace)
    leader = _binding(scene, f"leader-{scene.namespace}", LEADER_ROLE, kind="Role")
    await scene.kube.create(leader, OPERATOR_NAMESPACE)
    try:
        token = await scene.kube.token_of("own", scene.namespace)
        yield cluster.kubeconfig_for_token(folder / "direct", token)
    finally:
        await scene.kube.delete("RoleBinding", f"leader-{scene.namespace}", OPERATOR_NAMESPACE)


def _binding(scene: Scene, name: str, role: str, *, kind: str = "ClusterRole") -> Json:
    return make_role_binding(name, role=role, kind=kind, account="own", account_namespace=scene.namespace)


# leading


@pytest.mark.parametrize(("number", "limit"), [(signal.SIGTERM, 3.0), (signal.SIGKILL, 20.0)], ids=["term", "kill"])
async def test_takeover(scene: Scene, number: signal.Signals, limit: float) -> None:
    """Both replicas are ready, and say which they are; when the leader ends, the other tells what happens."""
    leader = await scene.operate()
    standby = scene.operators.prepare(WATCH_NAMESPACE=scene.namespace, SLACK_API_URL=scene.slack.url)
    standby.spawn()
    await _says(standby, "/readyz", 200, "standby")
    assert await standby.answer("/readyz") == await standby.answer("/healthz") == (200, "standby\n")
    assert await leader.answer("/readyz") == await leader.answer("/healthz") == (200, "leader\n")
    await scene.track()
    await scene.handled()
    began = time.monotonic()
    leader.terminate(number)
    await _says(standby, "/readyz", 200, "leader")
    took = time.monotonic() - began
    assert await leader.wait_exit(10) == (0 if number is signal.SIGTERM else -number)
    assert took <= limit
    await scene.run("nginx")
    await scene.delivered("Pod nginx was created")


async def test_deposed(scene: Scene, kube: Kube) -> None:
    """Its Lease names another: it ends at once, with what waits left to the other, who tells each exactly once."""
    operator = await scene.operate(SLACK_RATE="1", SLACK_BURST="1", DRAIN_TIMEOUT="30")
    names = [f"t-{number}" for number in range(6)]
    for name in names:
        await scene.track(name)
        await scene.handled(name)
    await scene.run("nginx")
    await eventually(scene.messages, what="the first message")
    await kube.patch("Lease", LEASE, OPERATOR_NAMESPACE, {"spec": {"holderIdentity": "another"}})
    assert await operator.wait_exit(5) == DEPOSED, operator.tail()
    told = len(scene.posts())
    assert told < len(names)
    assert '"lost leadership"' in operator.output()
    await scene.operate(POD_UID="another")
    await scene.delivered(*["Pod nginx was created"] * len(names))
    assert len(set(scene.occurrences())) == len(names)
    assert {post.outcome for post in scene.posts()} == {scene.posts()[0].outcome}


async def test_deleted_lease(scene: Scene, kube: Kube) -> None:
    """Somebody deletes the Lease: the pod goes on, if need be after the restart that an exit status of 4 asks for."""
    operator = await scene.operate()
    await scene.track()
    await scene.run("nginx")
    await scene.delivered("Pod nginx was created")
    before = (await kube.get("Lease", LEASE, OPERATOR_NAMESPACE))["metadata"]["uid"]
    await kube.delete("Lease", LEASE, OPERATOR_NAMESPACE)

    async def over() -> bool:
        leases = await kube.list("Lease", OPERATOR_NAMESPACE)
        return not operator.running or any(lease["metadata"]["uid"] != before for lease in leases)

    await eventually(over, what="the operator to notice")
    if not operator.running:
        assert await operator.wait_exit(1) == DEPOSED, operator.tail()
        await operator.start()
    await scene.remove("nginx")
    await scene.run("nginx")
    await scene.delivered("Pod nginx was created", "Pod nginx was created")
    await scene.fence()
    assert len(scene.posts()) == len(set(scene.occurrences())) == 2
