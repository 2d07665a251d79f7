# SPDX-License-Identifier: Apache-2.0
"""Puts `config/` on a cluster the way an administrator would, and fetches the operator's credentials."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from devcluster.local import LocalCluster
from support.kube import Kube

REPOSITORY: Final = Path(__file__).resolve().parents[2]
CONFIG: Final = REPOSITORY / "config"

OPERATOR_NAMESPACE: Final = "pod-tracker-system"
OPERATOR_ACCOUNT: Final = "pod-tracker-controller-manager"
OPERATOR_ROLE: Final = "pod-tracker-manager-role"
LEADER_ROLE: Final = "pod-tracker-leader-role"

_TOKEN_LIFE: Final = "3h"


def install(cluster: LocalCluster) -> None:
    """Apply the CRD and the operator's rights."""
    install_crd(cluster)
    install_rights(cluster)


def install_crd(cluster: LocalCluster) -> None:
    """Apply the CRD and wait until the API server serves it."""
    cluster.kubectl("apply", "--server-side", "-f", str(CONFIG / "crd" / "bases"))
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(CONFIG / "crd" / "bases"))


def install_rights(cluster: LocalCluster) -> None:
    """Make the operator's namespace and apply its ServiceAccount, role and binding."""
    cluster.kubectl("create", "namespace", OPERATOR_NAMESPACE)
    cluster.kubectl("apply", "--server-side", "-k", str(CONFIG / "rbac"))


async def forget(kube: Kube) -> None:
    """Delete what operators keep for their successors: Lease and ledger. The next one starts as the first ever."""
    for kind in ("Lease", "ConfigMap"):
        for kept in await kube.list(kind, OPERATOR_NAMESPACE):
            name = kept["metadata"]["name"]
            if name.startswith("pod-tracker-"):
                await kube.delete(kind, name, OPERATOR_NAMESPACE)


def operator_kubeconfig(cluster: LocalCluster, path: Path, *, account: str = OPERATOR_ACCOUNT) -> Path:
    """Write a kubeconfig to `path` with a token of a ServiceAccount of the operator's namespace; return `path`."""
    done = cluster.kubectl("create", "token", account, f"--namespace={OPERATOR_NAMESPACE}", f"--duration={_TOKEN_LIFE}")
    return cluster.kubeconfig_for_token(path, done.stdout.strip())
