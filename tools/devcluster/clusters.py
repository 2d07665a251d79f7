# SPDX-License-Identifier: Apache-2.0
"""The one cluster that the command line keeps: bring it up, look at it, take it down."""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from devcluster import components, kind
from devcluster.binaries import ensure_binaries, ensure_kubectl
from devcluster.cache import Cache, cache_root
from devcluster.choose import Kind, choose
from devcluster.components import Layout
from devcluster.errors import ClusterError
from devcluster.kind import KindTool
from devcluster.kubeconfig import CONTEXT
from devcluster.local import LocalCluster
from devcluster.lock import exclusive
from devcluster.pki import KeyPair, write_private
from devcluster.probe import Probe
from devcluster.progress import Narrator, Progress, silent
from devcluster.state import State
from devcluster.teardown import end_recorded

_RECORD: Final = "cluster.json"
_KUBECTL_TIMEOUT: Final = 30.0
_CONTROL_PLANE: Final = (components.ETCD, components.APISERVER, components.CONTROLLER_MANAGER)


@dataclass(frozen=True, slots=True)
class Info:
    """A cluster that answers."""

    kind: Kind
    server: str
    version: str
    """The API server's, such as `v1.36.3`."""
    context: str
    kubeconfig: Path | None
    """The file to set KUBECONFIG to; None for the user's own cluster."""
    pids: dict[str, int] = field(default_factory=dict)
    """The processes of a local cluster, by component."""


class Clusters:
    """The cluster of this user's cache folder."""

    def __init__(self, cache: Cache | None = None, progress: Progress = silent) -> None:
        """Use the given cache folder, by default the user's; sentences about what goes on go to `progress`."""
        cache = cache or Cache(cache_root())
        self._folder = cache.clusters / "default"
        self._lock = cache.clusters / "default.lock"
        self._kind_log = cache.clusters / "kind.log"
        self._progress = progress
        self._narrator = Narrator(progress)

    def up(self, asked: Kind, *, port: int | None = None) -> Info:
        """Return a running cluster of the kind asked for; start it unless it runs already.

        Args:
            asked: the kind; `AUTO` also takes whatever runs already.
            port: port of a new local cluster's API server; a free one by default.

        Raises:
            ClusterError: there can be no such cluster; the text says why and what to do.
        """
        if asked is Kind.CURRENT:
            return current()
        with self._locked():
            running = self._look()
            if running is not None:
                if asked not in (Kind.AUTO, running.kind):
                    msg = f"A {running.kind} cluster is up already: take it down first, then ask for {asked} again."
                    raise ClusterError(msg)
                self._progress(f"The {running.kind} cluster is already up.")
                return running
            self._remove_remains()
            tool = KindTool.find(self._kind_log, self._narrator) if asked in (Kind.AUTO, Kind.KIND) else ""
            choice = choose(asked, lambda: tool if isinstance(tool, str) else self._obstacle(tool))
            self._progress(f"Cluster: {choice.kind} ({choice.why}).")
            if isinstance(tool, KindTool) and choice.kind is Kind.KIND:
                return self._up_kind(tool)
            return self._up_local(port)

    def status(self, asked: Kind) -> Info | None:
        """Return the running cluster, or None; with `CURRENT` the user's own.

        Raises:
            ClusterError: the user's own cluster does not answer.
        """
        return current() if asked is Kind.CURRENT else self._look()

    def down(self) -> bool:
        """End the cluster, also one whose start crashed, and remove its data; tell whether there was one.

        Raises:
            ClusterError: it cannot be ended; the text says what to do.
        """
        with self._locked():
            return self._remove_remains()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with exclusive(self._lock, what="starts or ends the cluster", progress=self._progress):
            yield

    def _look(self) -> Info | None:
        record = self._record()
        if record.get("kind") == Kind.KIND:
            return self._look_at_kind()
        return self._look_at_local()

    def _look_at_local(self) -> Info | None:
        state = State.load(self._folder)
        layout = Layout(self._folder.resolve())
        if state is None or not state.ready or not set(_CONTROL_PLANE) <= state.alive().keys():
            return None
        probe = Probe(
            port=int(state.server.rpartition(":")[2]),
            ca=layout.pki / "ca.crt",
            pair=KeyPair(cert=layout.pki / "admin.crt", key=layout.pki / "admin.key"),
        )
        version = probe.version()
        if version is None:
            return None
        pids = {name: process.pid for name, process in state.alive().items()}
        return Info(Kind.LOCAL, state.server, version, CONTEXT, layout.kubeconfig, pids)

    def _look_at_kind(self) -> Info | None:
        kubeconfig = Layout(self._folder).kubeconfig
        try:
            server, version = _ask(kubeconfig)
        except ClusterError:
            return None
        return Info(Kind.KIND, server, version, kind.CONTEXT, kubeconfig)

    def _up_local(self, port: int | None) -> Info:
        binaries = ensure_binaries(self._progress)
        cluster = LocalCluster.start(
            self._folder, binaries, scheduler=True, port=port, detached=True, progress=self._progress
        )
        info = self._look_at_local()
        if info is None:
            cluster.stop()
            msg = f"The local cluster stopped right after its start; see the logs in {self._folder / 'logs'}."
            raise ClusterError(msg)
        return info

    def _obstacle(self, tool: KindTool) -> str | None:
        if tool.exists():
            return (
                f"a kind cluster named {kind.NAME} exists that this command did not make "
                f"(`kind delete cluster --name {kind.NAME}` removes it)"
            )
        return tool.obstacle()

    def _up_kind(self, tool: KindTool) -> Info:
        self._folder.mkdir(parents=True, exist_ok=True)
        # Written first: after a crash half way `down` still knows that the cluster is ours.
        write_private(self._folder / _RECORD, json.dumps({"kind": Kind.KIND, "engine": tool.engine}).encode())
        kubeconfig = Layout(self._folder).kubeconfig
        try:
            tool.create(kubeconfig)
            server, version = _ask(kubeconfig)
        except BaseException:
            self._remove_remains()
            raise
        return Info(Kind.KIND, server, version, kind.CONTEXT, kubeconfig)

    def _remove_remains(self) -> bool:
        """End and remove what is there, whole or not; tell whether there was something."""
        record = self._record()
        ended = end_recorded(self._folder)
        if record.get("kind") == Kind.KIND:
            tool = KindTool.find(self._kind_log, self._narrator, engine=record.get("engine"))
            if isinstance(tool, str):
                msg = f"The kind cluster {kind.NAME} cannot be ended: {tool}. Remedy that and run it again."
                raise ClusterError(msg)
            tool.delete(Layout(self._folder).kubeconfig)
            ended = True
        if self._folder.exists():
            shutil.rmtree(self._folder)
        return ended

    def _record(self) -> dict[str, Any]:
        try:
            content = json.loads((self._folder / _RECORD).read_bytes())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


def current() -> Info:
    """Return the cluster that the user's kubeconfig points at; nothing is started or changed.

    Raises:
        ClusterError: it does not answer, or there is none.
    """
    context = _kubectl(None, "config", "current-context")
    server, version = _ask(None)
    return Info(Kind.CURRENT, server, version, context, None)


def _ask(kubeconfig: Path | None) -> tuple[str, str]:
    """Return the URL and the version of the API server that a kubeconfig, by default the user's, points at."""
    server = _kubectl(kubeconfig, "config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")
    answer = json.loads(_kubectl(kubeconfig, "get", "--raw", "/version", "--request-timeout=10s"))
    return server, str(answer["gitVersion"])


def _kubectl(kubeconfig: Path | None, *args: str) -> str:
    env = os.environ if kubeconfig is None else {**os.environ, "KUBECONFIG": str(kubeconfig)}
    whose = "The cluster of your KUBECONFIG" if kubeconfig is None else f"The cluster of {kubeconfig}"
    remedy = "choose one with `kubectl config use-context`, or unset CLUSTER" if kubeconfig is None else "take it down"
    try:
        done = subprocess.run(
            [ensure_kubectl(), *args], env=env, capture_output=True, text=True, check=False, timeout=_KUBECTL_TIMEOUT
        )
    except subprocess.TimeoutExpired as exc:
        msg = f"{whose} does not answer within {_KUBECTL_TIMEOUT:.0f} s: {remedy}."
        raise ClusterError(msg) from exc
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        msg = f"{whose} cannot be used ({said}): {remedy}."
        raise ClusterError(msg)
    return done.stdout.strip()
