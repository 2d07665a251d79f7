# SPDX-License-Identifier: Apache-2.0
"""Scratch clones of this repository in which versions are released with the Makefile, as release engineers do it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from support.install import REPOSITORY

_TIMEOUT: Final = 300.0
_IDENTITY: Final = ("-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")


@dataclass(frozen=True)
class Clone:
    """A clone of what is committed here."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Self:
        """Clone this repository, as it lies here, into a folder that does not exist yet, and commit all of it."""
        listed = _run(REPOSITORY, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        for name in filter(None, listed.split("\0")):
            if (REPOSITORY / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(REPOSITORY / name, folder / name)
        clone = cls(folder)
        clone.git("init", "--quiet")
        clone.commit("All")
        return clone

    def git(self, *arguments: str) -> str:
        """Run git; return what it prints."""
        return _run(self.folder, "git", *_IDENTITY, *arguments)

    def commit(self, message: str) -> None:
        """Commit everything."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", f"--message={message}")

    def make_target(self, *arguments: str, check: bool = True, **environment: str) -> str:
        """Run make with this interpreter, the clone's own programs and more environment; return what it prints.

        Raises:
            AssertionError: it failed, or with `check` unset it did not.
        """
        roots = os.pathsep.join(str(self.folder / part) for part in ("operator", "operator/packaging", "tools"))
        env = {**os.environ, "PYTHONPATH": roots, "PYTHONDONTWRITEBYTECODE": "1", **environment}
        command = ["make", "-o", ".venv/.complete", f"PYTHON={sys.executable}", *arguments]
        done = subprocess.run(  # noqa: S603 - make, in a clone
            command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
        assert (done.returncode == 0) is check, done.stdout + done.stderr
        return done.stdout + done.stderr

    def news(self, line: str) -> None:
        """Write into the changelog what is new, and commit it."""
        file = self.folder / "CHANGELOG.md"
        text = file.read_text(encoding="utf-8")
        assert "## [Unreleased]\n" in text
        file.write_text(text.replace("## [Unreleased]\n", f"## [Unreleased]\n\n- {line}\n", 1), encoding="utf-8")
        self.commit(line)


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run(  # noqa: S603 - git, with our arguments
        command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout
