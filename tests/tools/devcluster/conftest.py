# SPDX-License-Identifier: Apache-2.0
"""A cache folder of the test's own, and programs that pretend to be Go, Docker and kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from devcluster.cache import Cache

SYSTEM_PATH = "/usr/bin:/bin"

AddProgram = Callable[[str, str], Path]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """An empty cache folder, which the code under test uses too."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("DEVCLUSTER_BIN_DIR", raising=False)
    return Cache(tmp_path / "cache" / "pod-tracker")


@pytest.fixture
def add_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AddProgram:
    """Puts shell scripts on PATH, which otherwise holds nothing at all."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def add(name: str, script: str) -> Path:
        program = folder / name
        program.write_text(f"#!/bin/sh\nPATH={SYSTEM_PATH}\n{script}\n")
        program.chmod(0o755)
        return program

    return add


@pytest.fixture
def said() -> list[str]:
    """Lines of progress; pass its `append`."""
    return []
