# SPDX-License-Identifier: Apache-2.0
"""Root file systems of Debian packages, as tar files, made once and kept."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kindnode import pins
from kindnode.engine import Engine

_NO_DOCS: Final = "--dpkgopt=path-exclude=/usr/share/{}/*"


def root_file_system(engine: Engine, folder: Path, name: str, variant: str, packages: Sequence[str]) -> Path:
    """Return a tar file of a Debian root file system with these packages; made anew when they change.

    Args:
        engine: runs mmdebstrap and keeps its output.
        folder: where the file is kept.
        name: what it is for; begins the file's name.
        variant: what mmdebstrap installs besides the packages, such as `minbase`.
        packages: Debian packages.

    Raises:
        ClusterError: mmdebstrap failed.
    """
    path = folder / f"{name}-{pins.SUITE}-{pins.digest_of(variant, packages)}.tar"
    if path.exists():
        return path
    for old in folder.glob(f"{name}-{pins.SUITE}-*.tar"):
        old.unlink()
    unfinished = path.with_suffix(".unfinished.tar")
    engine.must(
        [
            str(shutil.which("mmdebstrap")),
            f"--variant={variant}",
            f"--include={','.join(packages)}",
            *(_NO_DOCS.format(folder) for folder in ("doc", "man", "locale", "info")),
            pins.SUITE,
            str(unfinished),
        ],
        f"installing Debian packages for the {name} image, usually 1 min",
    )
    unfinished.rename(path)
    return path
