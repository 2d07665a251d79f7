# SPDX-License-Identifier: Apache-2.0
"""Builds the Go baselines into the project's cache, where they are not yet."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

from benchmark.errors import BenchError
from devcluster import pins
from devcluster.cache import Cache, cache_root
from devcluster.lock import exclusive
from devcluster.progress import Narrator, to_stderr
from devcluster.runner import Runner
from devcluster.toolchain import ensure_go

SOURCES: Final = Path(__file__).resolve().parent.parent / "baselines"
_PROGRAMS: Final = ("informer", "controller")
_SHOWN: Final = ("k8s.io/client-go", "sigs.k8s.io/controller-runtime")


def baselines() -> Path:
    """The folder of the programs.

    Raises:
        BenchError: they cannot be built.
    """
    cache = Cache(cache_root())
    folder = cache.root / "bench" / _digest()
    if all((folder / program).exists() for program in _PROGRAMS):
        return folder
    cache.root.mkdir(parents=True, exist_ok=True)
    with exclusive(cache.build_lock, what=f"builds into {cache.root}", progress=to_stderr):
        narrator = Narrator(to_stderr)
        cache.temporary.mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        what = f"building the Go baselines, usually 3 min on 2 cores; log: {cache.build_log}"
        narrator.say(what)
        with Runner(cache.build_log, narrator) as runner:
            go = ensure_go(cache, pins.go_line((SOURCES / "go.mod").read_text()), runner, narrator=narrator)
            command = [str(go.program), "-C", str(SOURCES), "build", "-trimpath", "-ldflags=-s -w", f"-o={folder}/"]
            if runner.run([*command, *(f"./{program}" for program in _PROGRAMS)], env=go.env, what=what) != 0:
                raise BenchError(f"The Go baselines cannot be built; see {cache.build_log}.")
    return folder


def versions() -> dict[str, str]:
    """The versions of the modules that the baselines are made of."""
    text = (SOURCES / "go.mod").read_text()
    return {module: pins.module_version(text, module) for module in _SHOWN} | {"go": _go_version(text)}


def _go_version(text: str) -> str:
    found = re.search(r"^go (\S+)$", text, re.MULTILINE)
    return found[1] if found else ""


def _digest() -> str:
    seen = hashlib.sha256()
    for path in sorted(SOURCES.rglob("*")):
        if path.suffix in {".go", ".mod", ".sum"}:
            seen.update(path.read_bytes())
    return seen.hexdigest()[:16]
