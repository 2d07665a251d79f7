# SPDX-License-Identifier: Apache-2.0
"""Clusters made by kind, with Docker or Podman."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from devcluster import pins
from devcluster.errors import ClusterError
from devcluster.progress import Narrator
from devcluster.runner import Runner

NAME: Final = "pod-tracker"
"""Name of the one kind cluster that this package makes and ends."""

CONTEXT: Final = f"kind-{NAME}"
"""Name that kind gives to its kubeconfig context."""

PUBLISHED_IMAGE: Final = "kindest/node:v1.36.4@sha256:099e049362a1526b2db71494e1947aae99bd16290d7c895f2b7ea312e3cbfaed"
"""The node image to pull when there is none: that of kind v0.33.0, which does not publish every patch version."""

_PROVIDER_VARIABLE: Final = "KIND_EXPERIMENTAL_PROVIDER"
_ENGINES: Final = ("docker", "podman")
_ANSWER_TIMEOUT: Final = 5.0
_LIST_TIMEOUT: Final = 30.0
_PULL_TIMEOUT: Final = 600.0
_CREATE_TIMEOUT: Final = 600.0
_LOG_TAIL_LINES: Final = 8


class KindTool:
    """kind, the container engine it shall use, and where both write their output."""

    def __init__(self, kind: str, engine: str, log: Path, narrator: Narrator) -> None:
        """Use the program `kind` with the engine `docker` or `podman`."""
        self._kind = kind
        self.engine = engine
        self._log = log
        self._narrator = narrator

    @classmethod
    def find(cls, log: Path, narrator: Narrator, engine: str | None = None) -> Self | str:
        """Return kind when it and an engine work (or this engine does), else why not, as part of a sentence."""
        kind = shutil.which("kind")
        if kind is None:
            return "there is no program kind on PATH"
        wanted = engine or os.environ.get(_PROVIDER_VARIABLE)
        reasons = []
        for candidate in [wanted] if wanted else _ENGINES:
            if shutil.which(candidate) is None:
                reasons.append(f"there is no program {candidate} on PATH")
            elif _run([candidate, "info"], timeout=_ANSWER_TIMEOUT) is None:
                reasons.append(f"{candidate} does not work (`{candidate} info` says why)")
            else:
                return cls(kind, candidate, log, narrator)
        return " and ".join(reasons)

    def node_image(self) -> str | None:
        """Return a node image of the pinned minor version, pulled when there is none; None when that fails."""
        minor = ".".join(pins.kubernetes_version().split(".")[:2])
        listed = _run([self.engine, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"], timeout=_LIST_TIMEOUT)
        present = local_image((listed or "").split(), minor)
        if present is not None:
            return present
        if _run([self.engine, "image", "inspect", PUBLISHED_IMAGE], timeout=_LIST_TIMEOUT) is not None:
            return PUBLISHED_IMAGE
        self._narrator.say(f"pulling {PUBLISHED_IMAGE} with {self.engine}")
        pull = [str(shutil.which(self.engine)), "pull", PUBLISHED_IMAGE]
        return PUBLISHED_IMAGE if self._run_logged(pull, "pulling the node image", _PULL_TIMEOUT) else None

    def obstacle(self) -> str | None:
        """Return why there can be no node, as part of a sentence, or None."""
        if self.node_image() is None:
            return f"there is no node image, and pulling {PUBLISHED_IMAGE} failed (see {self._log})"
        return None

    def exists(self) -> bool:
        """Tell whether there is a cluster of our name, whoever made it."""
        listed = _run([self._kind, "get", "clusters"], timeout=_LIST_TIMEOUT, env=self._environment())
        return NAME in (listed or "").split()

    def create(self, kubeconfig: Path) -> None:
        """Make the cluster and write its kubeconfig; the user's own is left alone.

        Raises:
            ClusterError: kind failed.
        """
        image = self.node_image()
        if image is None:
            raise ClusterError(f"kind cannot make a cluster: {self.obstacle()}.")
        self._must(
            ["create", "cluster", "--name", NAME, "--image", image, "--kubeconfig", str(kubeconfig), "--wait", "180s"],
            f"creating the kind cluster {NAME}, usually 1 min; log: {self._log}",
        )

    def delete(self, kubeconfig: Path) -> None:
        """End the cluster.

        Raises:
            ClusterError: kind failed.
        """
        self._must(
            ["delete", "cluster", "--name", NAME, "--kubeconfig", str(kubeconfig)], f"deleting the kind cluster {NAME}"
        )

    def _must(self, args: Sequence[str], what: str) -> None:
        self._narrator.say(what)
        if not self._run_logged([self._kind, *args], what, _CREATE_TIMEOUT):
            tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])
            msg = f"kind failed while {what}; the log {self._log} ends with:\n{tail}"
            raise ClusterError(msg)

    def _run_logged(self, command: Sequence[str], what: str, timeout: float) -> bool:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        try:
            with Runner(self._log, self._narrator) as runner:
                code = runner.run(command, env=self._environment(), what=what, timeout=timeout)
        except TimeoutError:
            return False
        return code == 0

    def _environment(self) -> dict[str, str]:
        return {**os.environ, _PROVIDER_VARIABLE: self.engine}


def local_image(references: Sequence[str], minor: str) -> str | None:
    """Return the node image with the highest patch version of `minor` (such as `v1.36`) among these references."""
    tag = re.compile(rf"(?:^|/)kindest/node:{re.escape(minor)}\.(\d+)\S*$")
    patches = {reference: int(match[1]) for reference in references if (match := tag.search(reference))}
    return max(patches, key=lambda reference: patches[reference], default=None)


def _run(command: Sequence[str], *, timeout: float, env: dict[str, str] | None = None) -> str | None:
    """Return what a command prints, or None when it fails or does not end in time."""
    try:
        done = subprocess.run(
            command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=timeout
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
