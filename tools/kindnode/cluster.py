# SPDX-License-Identifier: Apache-2.0
"""The one cluster of the end-to-end tests: make it, look at it, end it."""

import contextlib
import functools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devcluster.binaries import ensure_kubectl
from devcluster.cache import Cache, cache_root
from devcluster.errors import ClusterError
from devcluster.lock import exclusive
from devcluster.progress import Narrator, Progress, silent
from kindnode import actor, recipe
from kindnode.engine import Engine
from kindnode.node import VARIABLE, Chooser, Chosen, kind_program

NAME: Final = "pod-tracker-e2e"
"""Name of the cluster."""

NODE: Final = f"{NAME}-control-plane"
"""Name of its only node, and of the container that plays it."""

_CLUSTER_LABEL: Final = "io.x-k8s.kind.cluster"
_CREATE_TIMEOUT: Final = 400.0
_REMOVE_TIMEOUT: Final = 180.0
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


@dataclass(frozen=True, slots=True)
class _Made:
    """What is remembered of a cluster that was begun: that it is ours, and what it runs on."""

    engine: str
    """`docker` or `podman` of the machine; empty for our own podman."""
    image: str
    digest: str


class Cluster:
    """The cluster of this user's cache folder."""

    def __init__(
        self, cache: Cache | None = None, progress: Progress = silent, environment: Mapping[str, str] = os.environ
    ) -> None:
        """Use the given cache folder, by default the user's; lines about what goes on go to `progress`."""
        cache = cache or Cache(cache_root())
        self._cache = cache
        self._progress = progress
        self._environment = environment
        self._narrator = Narrator(progress)
        self._chooser = Chooser(cache, self._narrator, progress, environment)
        self.kubeconfig = cache.root / "kindnode" / "kubeconfig"
        self._mark = cache.root / "kindnode" / "cluster.json"
        self._modules_mark = cache.root / "kindnode" / "made-lib-modules"

    @functools.cached_property
    def chosen(self) -> Chosen:
        """What the cluster runs on, or is to run on.

        Raises:
            ClusterError: there can be none; the text says why and what to do.
        """
        made = self._made()
        return self._chooser.choose() if made is None else self._chosen_for(made)

    @property
    def engine(self) -> Engine:
        """The engine that runs its node."""
        return self.chosen.engine

    def up(self, *, install: bool = False) -> Info:
        """Return the running cluster; make it, and what it is made from, unless it runs.

        Raises:
            ClusterError: there can be none; the text says why and what to do.
        """
        self._require_what_was_asked()
        engine, node = self.chosen.engine, self.chosen.node
        node.ensure(install=install)
        kind = kind_program(engine, self._progress)
        with self._locked():
            running = self.status()
            if running is not None:
                made = self._made()
                if made is not None and made.digest != node.digest:
                    self._narrator.say("the cluster runs a former node image: `down` and `up` renew it")
                return running
            self._require_ours()
            self._delete()
            self._make(kind)
            running = self.status()
            if running is None:
                raise ClusterError(f"The cluster {NAME} was made but does not answer; log: {engine.log}")
            self._narrator.say(f"the cluster {NAME} is up")
            return running

    def status(self) -> Info | None:
        """Return the cluster when it answers, else None."""
        if not self.kubeconfig.exists():
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
        made = self._made()
        chosen = self._chooser.own() if made is None else self._chosen_for(made)
        if not shutil.which(chosen.engine.program):
            return False
        with self._locked():
            return self._delete(chosen.engine)

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
        self._kind(kind_program(self.engine, self._progress), load, f"loading {archive.name}", _CREATE_TIMEOUT)

    def on_node(self, *command: str) -> str | None:
        """Return what a command prints that is run on the node, or None when it fails."""
        return self.engine.ask("exec", NODE, *command)

    def _locked(self) -> contextlib.AbstractContextManager[None]:
        lock = self._cache.root / "kindnode-cluster.lock"
        return exclusive(lock, what=f"starts or ends the cluster {NAME}", progress=self._progress)

    def _made(self) -> _Made | None:
        """What is remembered of the cluster that was begun, or None."""
        try:
            return _Made(**json.loads(self._mark.read_text()))
        except FileNotFoundError:
            return None

    def _chosen_for(self, made: _Made) -> Chosen:
        return self._chooser.published(made.engine, made.image) if made.engine else self._chooser.own()

    def _require_what_was_asked(self) -> None:
        made, asked = self._made(), self._environment.get(VARIABLE, "")
        if made is not None and asked not in {"", made.image}:
            raise ClusterError(f"The cluster {NAME} runs {made.image}, not {asked}: `make cleanup-test-e2e` ends it.")

    def _require_ours(self) -> None:
        """Our own store has no other clusters; one of this name on an engine of the machine may be somebody else's."""
        if not self.engine.own and self._made() is None and self._containers(self.engine):
            raise ClusterError(
                f"There is a kind cluster {NAME} that these tools did not make: they leave it alone. End it with `kind "
                f"delete cluster --name {NAME}`, or use it with CLUSTER=current."
            )

    def _make(self, kind: Path) -> None:
        engine, node = self.chosen.engine, self.chosen.node
        self._mark.parent.mkdir(parents=True, exist_ok=True)
        made = {"engine": "" if engine.own else engine.program, "image": node.name, "digest": node.digest}
        self._mark.write_text(json.dumps(made))
        create = ["create", "cluster", f"--image={node.name}", "--wait=120s"]
        if engine.own:
            self._make_modules_folder()
            config = self.kubeconfig.with_name("cluster.yaml")
            config.write_text(recipe.CLUSTER)
            create.append(f"--config={config}")
        try:
            self._kind(kind, create, f"creating the cluster {NAME}, usually 1 min", _CREATE_TIMEOUT)
            if not engine.own:
                self.load(actor.archive(self._cache, self._progress))
        except BaseException:
            self._delete()
            raise

    def _make_modules_folder(self) -> None:
        """Make the folder where a kernel without modules has none; `down` removes it again."""
        if not _MODULES.exists():
            self._modules_mark.parent.mkdir(parents=True, exist_ok=True)
            self._modules_mark.touch()
            _MODULES.mkdir()
            self._narrator.say(f"made the empty folder {_MODULES}, which kind mounts into the node")

    def _containers(self, engine: Engine) -> list[str]:
        listed = engine.ask("ps", "--all", "--quiet", f"--filter=label={_CLUSTER_LABEL}={NAME}")
        return (listed or "").split()

    def _delete(self, engine: Engine | None = None) -> bool:
        """Remove the cluster's containers: what `kind delete` does, without needing kind."""
        engine = engine or self.engine
        there = self._containers(engine)
        if there:
            self._narrator.say(f"deleting the cluster {NAME}")
            grace = ["--time=1"] if engine.program == "podman" else []
            if engine.ask("rm", "--force", "--volumes", *grace, *there, timeout=_REMOVE_TIMEOUT) is None:
                raise ClusterError(
                    f"{engine.program} could not remove the containers of {NAME}: {' '.join(there)}; log: {engine.log}"
                )
        if engine.own:
            # The node's /var is a volume with a name, which outlives its container; ours are alone in our store.
            engine.ask("volume", "prune", "--force")
        self.kubeconfig.unlink(missing_ok=True)
        self._mark.unlink(missing_ok=True)
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
