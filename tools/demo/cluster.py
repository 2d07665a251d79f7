# SPDX-License-Identifier: Apache-2.0
"""The cluster the demo plays in: the one that runs, or a new one that ends with the demo."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devcluster.binaries import ensure_kubectl
from devcluster.choose import Kind
from devcluster.clusters import Clusters, Info
from devcluster.guardian import Guardian
from devcluster.progress import Progress
from devcluster.teardown import family


@dataclass(frozen=True, slots=True)
class DemoCluster:
    """A cluster that answers."""

    kind: Kind
    kubectl: Path
    kubeconfig: str
    """Value for KUBECONFIG; empty where the user's own settings hold."""
    is_ours: bool
    """The demo started it and ends it, with all that is in it."""

    @property
    def is_somebodys(self) -> bool:
        """It may hold what people need; the others are for play."""
        return self.kind is Kind.CURRENT


@contextmanager
def cluster_for_demo(asked: Kind, progress: Progress) -> Iterator[DemoCluster]:
    """Give a running cluster of the kind asked for; one that had to be started ends with the block.

    Raises:
        ClusterError: there can be no such cluster; the text says why and what to do.
    """
    clusters = Clusters(progress=progress)
    ran_before = clusters.status(asked) is not None
    info = clusters.up(asked)
    progress(f"Using the {info.kind} cluster at {info.server} (context {info.context}, Kubernetes {info.version})")
    is_ours = not ran_before and info.kind is not Kind.CURRENT
    guardian = _guardian(info) if is_ours else None
    try:
        kubeconfig = "" if info.kubeconfig is None else str(info.kubeconfig)
        yield DemoCluster(info.kind, ensure_kubectl(progress), kubeconfig, is_ours)
    finally:
        if is_ours:
            progress("Taking the cluster down")
            clusters.down()
        if guardian is not None:
            guardian.release()


def _guardian(info: Info) -> Guardian | None:
    """Return what ends a local cluster, which outlives its starter on purpose, when the demo is killed."""
    if info.kind is not Kind.LOCAL or info.kubeconfig is None:
        return None
    return Guardian(family(info.kubeconfig.parent.resolve()))
