# SPDX-License-Identifier: Apache-2.0
"""WATCH_NAMESPACE: all namespaces, one, or several, with no more rights than that needs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from devcluster.local import LocalCluster
from support.install import LEADER_ROLE, OPERATOR_NAMESPACE, OPERATOR_ROLE, operator_kubeconfig
from support.kube import Kube
from support.manifests import Json, make_pod, make_role_binding, make_secret, make_service_account, make_tracker
from support.scene import NewNamespace, Scene

NAMESPACED_ACCOUNT = "namespaced"
"""A ServiceAccount that has the operator's ClusterRole bound in single namespaces only."""


@pytest.fixture
async def namespaced_kubeconfig(cluster: LocalCluster, kube: Kube, tmp_path: Path) -> Path:
    """A kubeconfig of an account without any right outside of the namespaces it is bound in."""
    await kube.apply(make_service_account(NAMESPACED_ACCOUNT), OPERATOR_NAMESPACE)
    await kube.apply(_binding("namespaced-leader", LEADER_ROLE, kind="Role"), OPERATOR_NAMESPACE)
    path = tmp_path / "kubeconfig"
    return await asyncio.to_thread(operator_kubeconfig, cluster, path, account=NAMESPACED_ACCOUNT)


def _binding(name: str, role: str, *, kind: str = "ClusterRole") -> Json:
    return make_role_binding(
        name, role=role, kind=kind, account=NAMESPACED_ACCOUNT, account_namespace=OPERATOR_NAMESPACE
    )


async def _bind(scene: Scene, namespace: str) -> None:
    await scene.kube.create(_binding("pod-tracker", OPERATOR_ROLE), namespace)


async def _populate(scene: Scene, namespace: str, pod: str) -> None:
    """Put a tracker of `pod`, its Secret, and the pod into a namespace."""
    await scene.kube.apply(make_secret(token=scene.token), namespace)
    await scene.kube.create(make_tracker(pod=pod), namespace)
    await scene.kube.create(make_pod(pod), namespace)


async def test_all_namespaces(scene: Scene, new_namespace: NewNamespace) -> None:
    """Empty: every namespace, also one made later."""
    await scene.operate(WATCH_NAMESPACE="")
    await _populate(scene, scene.namespace, "first")
    await scene.delivered("Pod first was created")
    await _populate(scene, await new_namespace(), "second")
    await scene.delivered("Pod first was created", "Pod second was created")


async def test_one_namespace(scene: Scene, new_namespace: NewNamespace, namespaced_kubeconfig: Path) -> None:
    """One namespace, with rights in that one only: others are not looked at, and their trackers stay without status."""
    other = await new_namespace()
    await _bind(scene, scene.namespace)
    await scene.operate(WATCH_NAMESPACE=scene.namespace, KUBECONFIG=str(namespaced_kubeconfig))
    await _populate(scene, other, "other")
    await _populate(scene, scene.namespace, "own")
    await scene.delivered("Pod own was created")
    await scene.fence()
    assert scene.texts() == ["Pod own was created"]
    assert "status" not in await scene.kube.get("PodTracker", "pod-tracker", other)


async def test_two_namespaces(scene: Scene, new_namespace: NewNamespace, namespaced_kubeconfig: Path) -> None:
    """Several, separated by commas and perhaps blanks, with rights in just those."""
    second, unwatched = await new_namespace(), await new_namespace()
    for namespace in (scene.namespace, second, unwatched):
        await _bind(scene, namespace)
    await scene.operate(WATCH_NAMESPACE=f"{scene.namespace}, {second}", KUBECONFIG=str(namespaced_kubeconfig))
    await _populate(scene, unwatched, "unwatched")
    await _populate(scene, scene.namespace, "first")
    await _populate(scene, second, "second")
    await scene.delivered("Pod first was created", "Pod second was created")
    await scene.fence()
    await scene.fence(namespace=second)
    assert len(scene.posts()) == 2
