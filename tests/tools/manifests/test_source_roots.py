# SPDX-License-Identifier: Apache-2.0
"""`operator/` and `operator/packaging/` are folders, not packages: as packages they would hide other people's."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from manifests.cli import REPOSITORY


@pytest.mark.parametrize("folder", ["operator", "operator/packaging"])
def test_is_no_package(folder: str) -> None:
    assert (REPOSITORY / folder).is_dir()
    assert not (REPOSITORY / folder / "__init__.py").exists()


@pytest.mark.parametrize("cwd", [".", "operator"])
def test_the_standard_librarys_operator_and_the_package_packaging_stay_visible(cwd: str) -> None:
    script = "import operator, packaging.version; print(operator.__file__); print(packaging.version.__file__)"
    roots = os.pathsep.join(str(REPOSITORY / root) for root in (".", "operator", "operator/packaging"))
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-c", script],
        cwd=REPOSITORY / cwd,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": roots},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    operator, packaging = map(Path, done.stdout.split())
    assert operator.is_relative_to(sysconfig.get_path("stdlib"))
    assert packaging.is_relative_to(sysconfig.get_path("purelib"))
