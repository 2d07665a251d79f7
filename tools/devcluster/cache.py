# SPDX-License-Identifier: Apache-2.0
"""The one folder that everything built or downloaded goes to; removing it removes all of it."""

import os
from dataclasses import dataclass
from pathlib import Path


def cache_root() -> Path:
    """Return the folder of this project in the user's cache, which may not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says to ignore relative paths.
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "pod-tracker"


@dataclass(frozen=True, slots=True)
class Cache:
    """The parts of the cache folder."""

    root: Path

    @property
    def programs(self) -> Path:
        """Finished programs, one folder per digest of their sources."""
        return self.root / "bin"

    @property
    def toolchains(self) -> Path:
        """Installed Go toolchains, one folder per digest of their pin."""
        return self.root / "go"

    @property
    def go_build(self) -> Path:
        """Go's build cache."""
        return self.root / "go-build"

    @property
    def go_modules(self) -> Path:
        """Go's module cache."""
        return self.root / "go-mod"

    @property
    def go_path(self) -> Path:
        """Where Go keeps the checksum database."""
        return self.root / "go-path"

    @property
    def temporary(self) -> Path:
        """Work files of a build; what is found here at the start of one was left by a killed one."""
        return self.root / "tmp"

    @property
    def build_log(self) -> Path:
        """Output of the last build."""
        return self.root / "build.log"

    @property
    def build_lock(self) -> Path:
        """Held by the process that builds."""
        return self.root / "build.lock"

    @property
    def clusters(self) -> Path:
        """One folder per cluster that the command line manages."""
        return self.root / "clusters"
