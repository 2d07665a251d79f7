# SPDX-License-Identifier: Apache-2.0
"""What a machine must have before a node image can be made on it, and the Debian package of each piece."""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devcluster.errors import ClusterError
from kindnode.engine import Engine


@dataclass(frozen=True, slots=True)
class Piece:
    """A program or file that is needed."""

    name: str
    places: Sequence[str]
    """Where it may lie; a name without slash is looked for on PATH."""
    package: str
    why: str

    def is_there(self) -> bool:
        """Tell whether this machine has it."""
        return any(Path(place).exists() if "/" in place else shutil.which(place) for place in self.places)


PIECES: Final = (
    Piece("podman", ["podman"], "podman", "runs the nodes"),
    Piece("conmon", ["conmon", "/usr/libexec/podman/conmon"], "conmon", "watches over podman's containers"),
    Piece("runc", ["runc"], "runc", "starts podman's containers"),
    Piece("netavark", ["/usr/lib/podman/netavark", "/usr/libexec/podman/netavark"], "netavark", "makes their network"),
    Piece("aardvark-dns", ["/usr/lib/podman/aardvark-dns", "/usr/libexec/podman/aardvark-dns"], "aardvark-dns",
          "resolves the names of nodes"),
    Piece("iptables", ["iptables"], "iptables", "forwards the API server's port"),
    Piece("mmdebstrap", ["mmdebstrap"], "mmdebstrap", "makes the node's root file system"),
)  # fmt: skip


def missing(has: Callable[[Piece], bool] = Piece.is_there) -> list[Piece]:
    """Return the pieces that this machine lacks."""
    return [piece for piece in PIECES if not has(piece)]


def sentence(lacking: Sequence[Piece]) -> str:
    """Return what to tell a user whose machine lacks these pieces."""
    lines = [f"There is no {piece.name}, which {piece.why}: Debian package {piece.package}." for piece in lacking]
    packages = " ".join(dict.fromkeys(piece.package for piece in lacking))
    return "\n".join([*lines, f"Install them with: apt-get install --no-install-recommends {packages}"])


def may_install(*, asked: bool, ci: str, uid: int) -> bool:
    """Tell whether packages may be installed: only by root, and only when asked to or in CI."""
    return uid == 0 and (asked or ci == "true")


def ensure(engine: Engine, *, install: bool) -> None:
    """Make sure that the machine has all pieces.

    Args:
        engine: runs apt and keeps its output.
        install: install what is missing when this user may.

    Raises:
        ClusterError: a piece is missing, or the user is not root; the text says what to do.
    """
    if os.geteuid() != 0:
        raise ClusterError("Making a kind node from packages needs root: run it with sudo, or use CLUSTER=current.")
    lacking = missing()
    if not lacking:
        return
    if not may_install(asked=install, ci=os.environ.get("CI", ""), uid=os.geteuid()) or not shutil.which("apt-get"):
        raise ClusterError(f"{sentence(lacking)}\nOr let this command do it: --install")
    packages = list(dict.fromkeys(piece.package for piece in lacking))
    apt = str(shutil.which("apt-get"))
    engine.must([apt, "update", "-q"], "reading the lists of Debian packages")
    engine.must(
        [apt, "install", "-qy", "--no-install-recommends", *packages], f"installing {', '.join(packages)} with apt"
    )
    left = missing()
    if left:
        raise ClusterError(sentence(left))
