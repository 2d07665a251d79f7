# SPDX-License-Identifier: Apache-2.0
"""The one cluster on the node image: make it, look at it, end it."""

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devcluster.binaries import ensure_kubectl
from devcluster.cache import Cache, cache_root
from devcluster.errors import ClusterError
from devcluster.lock import exclusive
from devcluster.progress import Narrator, Progress, silent
from kindnode import pins, recipe
from kindnode.engine import Engine
from kindnode.image import NodeImage

NAME: Final = "pod-tracker-e2e"
"""Name of the cluster; it lives in an engine store of our own, so nobody else's can have it."""

NODE: Final = f"{NAME}-control-plane"
"""Name of its only node, and of the container that plays it."""

_CLUSTER_LABEL: Final = "io.x-k8s.kind.cluster"
_CREATE_TIMEOUT: Final = 400.0
_LOG_TAIL_LINES: Final = 15
_POLL: Final = 0.2
_MODULES: Final = Path("/lib/modules")
"""Kind mounts this folder of the machine into the node."""


@dataclass(frozen=True, slots=True)
class Info:
    """A cluster that answers."""

    kubeconfig: Path
    version: str
    """The API server's, such as `v1.36.3`."""


class Cluster:
    """The cluster of this user's cache folder."""

    def __init__(self, cache: Cache | None = None, progress: Progress = silent) -> None:
        """Use the given cache folder, by default the user's; lines about what goes on go to `progress`."""
        cache = cache or Cache(cache_root())
        self._cache = cache
        self._progress = progress
        self._narrator = Narrator(progress)
        self.engine = Engine(cache, self._narrator)
        self.image = NodeImage(cache, self.engine, progress)
        self.kubeconfig = cache.root / "kindnode" / "kubeconfig"
        self._made_of = cache.root / "kindnode" / "cluster-digest"
        self._modules_mark = cache.root / "kindnode" / "made-lib-modules"

    def up(self, *, install: bool = False) -> Info:
        """Return the running cluster; make it, and what it is made from, unless it runs.

        Raises:
            ClusterError: there can be none; the text says why and what to do.
        """
        self.image.ensure(install=install)
        kind = self.image.kind()
        with self._locked():
            running = self.status()
            if running is not None:
                if not self._is_current():
                    self._narrator.say("the cluster runs a former node image: `down` and `up` renew it")
                return running
            self._delete()
            self._make_modules_folder()
            config = self.kubeconfig.with_name("cluster.yaml")
            config.parent.mkdir(parents=True, exist_ok=True)
            config.write_text(recipe.CLUSTER)
            try:
                self._kind(
                    kind,
                    ["create", "cluster", f"--image={pins.node_image()}", f"--config={config}", "--wait=120s"],
                    f"creating the cluster {NAME}, usually 1 min",
                    _CREATE_TIMEOUT,
                )
            except BaseException:
                self._delete()
                raise
            running = self.status()
            if running is None:
                raise ClusterError(f"The cluster {NAME} was made but does not answer; log: {self.engine.log}")
            self._made_of.write_text(pins.digest())
            self._narrator.say(f"the cluster {NAME} is up")
            return running

    def status(self) -> Info | None:
        """Return the cluster when it answers, else None."""
        if not self.kubeconfig.exists() or not shutil.which("podman"):
            return None
        try:
            answer = json.loads(self.kubectl("get", "--raw", "/version", "--request-timeout=10s").stdout)
        except (ValueError, subprocess.TimeoutExpired):
            return None
        return Info(self.kubeconfig, str(answer["gitVersion"]))

    def down(self) -> bool:
        """End the cluster, also one whose start was stopped half way; tell whether there was one.

        Raises:
            ClusterError: it cannot be ended.
        """
        if not shutil.which("podman"):
            return False
        with self._locked():
            return self._delete()

    def kubectl(self, *args: str, input: str | None = None) -> subprocess.CompletedProcess[str]:  # noqa: A002
        """Run kubectl as the cluster's administrator; its exit code is the caller's to look at."""
        return subprocess.run(
            [ensure_kubectl(self._progress), *args],
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
            input=input,
            capture_output=True,
            text=True,
            check=False,
            timeout=60.0,
        )

    def load(self, archive: Path) -> None:
        """Put the images of a docker archive on the node.

        Raises:
            ClusterError: kind failed.
        """
        load = ["load", "image-archive", str(archive)]
        self._kind(self.image.kind(), load, f"loading {archive.name}", _CREATE_TIMEOUT)

    def on_node(self, *command: str) -> str | None:
        """Return what a command prints that is run on the node, or None when it fails."""
        return self.engine.ask("exec", NODE, *command)

    def _locked(self) -> contextlib.AbstractContextManager[None]:
        lock = self._cache.root / "kindnode-cluster.lock"
        return exclusive(lock, what=f"starts or ends the cluster {NAME}", progress=self._progress)

    def _is_current(self) -> bool:
        """Tell whether the running cluster was made of the image of today's pins."""
        return self._made_of.exists() and self._made_of.read_text() == pins.digest()

    def _make_modules_folder(self) -> None:
        """Make the folder where a kernel without modules has none; `down` removes it again."""
        if not _MODULES.exists():
            self._modules_mark.parent.mkdir(parents=True, exist_ok=True)
            self._modules_mark.touch()
            _MODULES.mkdir()
            self._narrator.say(f"made the empty folder {_MODULES}, which kind mounts into the node")

    def _delete(self) -> bool:
        """Remove the cluster's containers from our own store: what `kind delete` does, without needing kind."""
        listed = self.engine.ask("ps", "--all", "--quiet", f"--filter=label={_CLUSTER_LABEL}={NAME}") or ""
        there = listed.split()
        if there:
            self._narrator.say(f"deleting the cluster {NAME}")
            if self.engine.ask("rm", "--force", "--volumes", "--time=1", *there) is None:
                raise ClusterError(f"podman could not remove the containers of {NAME}: {' '.join(there)}")
        # The node's /var is a volume with a name, which outlives its container; nobody else has volumes in our store.
        self.engine.ask("volume", "prune", "--force")
        self.kubeconfig.unlink(missing_ok=True)
        self._made_of.unlink(missing_ok=True)
        if self._modules_mark.exists():
            with contextlib.suppress(OSError):  # somebody put something there, or removed it
                _MODULES.rmdir()
            self._modules_mark.unlink()
        return bool(there)

    def _kind(self, kind: Path, args: Sequence[str], what: str, timeout: float) -> None:
        """Run kind. Not with a `Runner`: that would end the name server which podman starts and which shall stay."""
        self._narrator.say(what)
        where = [] if any(each.startswith("--kubeconfig") for each in args) else [f"--kubeconfig={self.kubeconfig}"]
        if args[0] == "load":
            where = []
        begin = self.engine.log.stat().st_size if self.engine.log.exists() else 0
        deadline = time.monotonic() + timeout
        with self.engine.log.open("ab") as log:
            process = subprocess.Popen(
                [kind, *args, f"--name={NAME}", *where],
                env=self.engine.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            try:
                while process.poll() is None and time.monotonic() < deadline:
                    self._narrator.say_again(what)
                    time.sleep(_POLL)
            finally:
                if process.poll() is None:
                    process.terminate()
                code = process.wait()
        if code != 0:
            tail = "\n".join(self.engine.since(begin).splitlines()[-_LOG_TAIL_LINES:])
            raise ClusterError(f"kind failed while {what}; the log {self.engine.log} ends with:\n{tail}")
