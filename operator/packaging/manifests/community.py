# SPDX-License-Identifier: Apache-2.0
"""The tree that OperatorHub's repositories want: a folder for each release, and a file for their pipeline."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from manifests.errors import ReleaseError

_CI: Final = """\
# SPDX-License-Identifier: Apache-2.0
# How OperatorHub's pipeline takes new versions: each names the one that it replaces. `reviewers` are GitHub names.
updateGraph: replaces-mode
reviewers: []
"""


def export(releases: Path, package: str, output: Path) -> tuple[str, ...]:
    """Write `operators/PACKAGE/` under a folder; returns the versions in it.

    A ci.yaml that is there already stays: it has reviewers by then.

    Raises:
        ReleaseError: nothing is released yet.
    """
    versions = sorted(path.name for path in releases.iterdir() if path.is_dir()) if releases.is_dir() else []
    if not versions:
        raise ReleaseError("nothing is released yet: make release VERSION=x.y.z first")
    folder = output / "operators" / package
    for version in versions:
        shutil.rmtree(folder / version, ignore_errors=True)
        shutil.copytree(releases / version, folder / version)
    if not (folder / "ci.yaml").exists():
        (folder / "ci.yaml").write_text(_CI, encoding="utf-8")
    return tuple(versions)
