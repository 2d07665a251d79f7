# SPDX-License-Identifier: Apache-2.0
"""Find and end what runs in a local cluster's folder, whoever started it and however that one died."""

import hashlib
import os
from pathlib import Path

from devcluster import processes
from devcluster.components import ETCD
from devcluster.errors import ClusterError
from devcluster.state import State


def end_recorded(workdir: Path) -> bool:
    """End whatever still runs of the cluster in `workdir`, also of a start that crashed; tell whether something did.

    Exactly its own processes: a stranger with a recycled pid is left alone.
    """
    workdir = workdir.resolve()
    state = State.load(workdir)
    recorded = state.alive() if state else {}
    running = {*recorded.values(), *processes.find_marked(family(workdir))}
    # The API server's shutdown wants to reach etcd, so etcd comes last.
    storage = recorded.get(ETCD)
    processes.end(process for process in running if process != storage)
    if storage is not None:
        processes.end([storage])
    State.remove(workdir)
    return bool(running)


def family(workdir: Path) -> str:
    """Return what marks the processes of all clusters in this folder: it finds them even when their record is lost."""
    return hashlib.sha256(f"{os.getuid()}:{workdir}".encode()).hexdigest()[:32]


def require_idle(workdir: Path) -> None:
    """Refuse a folder in which a cluster still runs, and a system on which none could be ended again.

    Raises:
        ClusterError: there could be no cluster in `workdir`.
    """
    if not processes.supported():
        msg = "The local cluster needs Linux with /proc; use CLUSTER=kind or CLUSTER=current on this system."
        raise ClusterError(msg)
    if processes.find_marked(family(workdir)):
        msg = f"A cluster already runs in {workdir}: end it first, or use another folder."
        raise ClusterError(msg)
