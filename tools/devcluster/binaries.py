# SPDX-License-Identifier: Apache-2.0
"""The programs of the control plane: built once from pinned sources into the cache folder."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from devcluster import pins
from devcluster.cache import Cache, cache_root
from devcluster.errors import BuildError, disk_full, sentence
from devcluster.lock import exclusive
from devcluster.pins import PROGRAMS, Program
from devcluster.progress import Narrator, Progress, to_stderr
from devcluster.runner import Runner
from devcluster.store import Store
from devcluster.toolchain import Go, ensure_go

BIN_DIR_VARIABLE: Final = "DEVCLUSTER_BIN_DIR"
"""Environment variable with a folder of ready-made programs; then nothing is built."""

COLD_BYTES: Final = 6 * 1024**3
"""Disk space that a build with an empty cache takes."""

WARM_BYTES: Final = 1 * 1024**3
"""Disk space to ask for when the cache already holds what a build leaves: the programs and their link."""

_SECONDS_SHOWN: Final = 100
_LOG_TAIL_LINES: Final = 15
_DISK_FULL_WORDS: Final = ("no space left on device", "disk quota exceeded")
_NETWORK_WORDS: Final = (
    "dial tcp",
    "no such host",
    "i/o timeout",
    "proxyconnect",
    "TLS handshake",
    "x509: ",
    "connection re",
)
_MEMORY_WORDS: Final = ("signal: killed", "cannot allocate memory")


@dataclass(frozen=True, slots=True)
class Binaries:
    """Paths of the programs; each field is named as its program, with underscores."""

    etcd: Path
    kube_apiserver: Path
    kubectl: Path
    kube_controller_manager: Path
    kube_scheduler: Path

    def paths(self) -> list[Path]:
        """Return the paths of all programs."""
        return [getattr(self, each.name) for each in fields(self)]


def ensure_binaries(progress: Progress = to_stderr) -> Binaries:
    """Return the programs; build those that are missing or damaged, which takes up to 9 minutes on 2 cores.

    Raises:
        BuildError: they cannot be built; the text says what to do.
    """
    paths = ensure_programs(PROGRAMS, progress)
    return Binaries(**{field.name: paths[field.name.replace("_", "-")] for field in fields(Binaries)})


def ensure_kubectl(progress: Progress = to_stderr) -> Path:
    """Return kubectl only: the one on PATH, else ours, built when needed.

    Raises:
        BuildError: it cannot be built; the text says what to do.
    """
    on_path = shutil.which("kubectl")
    if on_path:
        return Path(on_path)
    kubectl = [program for program in PROGRAMS if program.name == "kubectl"]
    return ensure_programs(kubectl, progress)["kubectl"]


def ensure_programs(
    programs: Sequence[Program], progress: Progress = to_stderr, *, family: Sequence[Program] = PROGRAMS
) -> dict[str, Path]:
    """Return the paths of these programs by their names; build those that are missing or damaged.

    Args:
        programs: those that are needed now.
        progress: gets a line now and then.
        family: all that are pinned together; they share a folder, which a change of any pin renews.

    Raises:
        BuildError: they cannot be built; the text says what to do.
    """
    given = os.environ.get(BIN_DIR_VARIABLE)
    if given and family is PROGRAMS:
        return _given(Path(given), programs)
    cache = Cache(cache_root())
    try:
        store = Store(cache.programs / pins.digest(family))
        if any(store.problem(program.name) for program in programs):
            with exclusive(cache.build_lock, what=f"builds into {cache.root}", progress=progress):
                _Build(cache, store, progress).run(programs)
    except OSError as exc:
        raise BuildError(sentence(exc, cache.root)) from exc
    return {program.name: store.path(program.name) for program in programs}


def _given(folder: Path, programs: Sequence[Program]) -> dict[str, Path]:
    for program in programs:
        if not os.access(folder / program.name, os.X_OK):
            msg = f"{BIN_DIR_VARIABLE} names {folder}, but there is no program {program.name}: unset it to build them."
            raise BuildError(msg)
    return {program.name: (folder / program.name).absolute() for program in programs}


class _Build:
    """One build, made while the lock is held."""

    def __init__(self, cache: Cache, store: Store, progress: Progress) -> None:
        self._cache = cache
        self._store = store
        self._narrator = Narrator(progress)

    def run(self, programs: Sequence[Program]) -> None:
        todo = [program for program in programs if self._is_needed(program)]
        if not todo:  # somebody built them while we waited for the lock
            return
        try:
            self._prepare()
            with Runner(self._cache.build_log, self._narrator) as runner:
                go = ensure_go(self._cache, pins.minimal_go(todo), runner, narrator=self._narrator)
                for number, program in enumerate(todo, start=1):
                    self._build(go, runner, program, f"{number} of {len(todo)}")
        finally:
            shutil.rmtree(self._cache.temporary, ignore_errors=True)
        self._narrator.say(f"built {', '.join(program.name for program in todo)}")

    def _is_needed(self, program: Program) -> bool:
        problem = self._store.problem(program.name)
        if problem is not None and problem != "missing":
            self._narrator.say(f"{self._store.path(program.name)} is {problem}; building it again")
        return problem is not None

    def _prepare(self) -> None:
        """Remove what a killed build left, and refuse to begin what the disk cannot hold."""
        shutil.rmtree(self._cache.temporary, ignore_errors=True)
        self._cache.temporary.mkdir(parents=True, exist_ok=True)
        self._cache.build_log.write_bytes(b"")
        present = _size_of(self._cache.go_build) + _size_of(self._cache.go_modules)
        needed = max(WARM_BYTES, COLD_BYTES - present)
        free = shutil.disk_usage(self._cache.root).free
        if free < needed:
            msg = (
                f"Building needs {needed / 1024**3:.1f} GiB in {self._cache.root}, where "
                f"{free / 1024**3:.1f} GiB are free: free some space there, or set XDG_CACHE_HOME to a larger disk."
            )
            raise BuildError(msg)

    def _build(self, go: Go, runner: Runner, program: Program, place: str) -> None:
        unfinished = self._cache.temporary / program.name
        seconds = program.usual_seconds
        usual = f"{seconds} s" if seconds < _SECONDS_SHOWN else f"{seconds / 60:.0f} min"
        line = f"building {program.name} ({place}), usually {usual} on 2 cores; log: {self._cache.build_log}"
        self._narrator.say(line)
        begin = self._cache.build_log.stat().st_size
        code = runner.run(
            [
                str(go.program),
                "-C",
                str(program.source),
                "build",
                *pins.build_flags(),
                f"-o={unfinished}",
                program.package,
            ],
            env=go.env,
            what=line,
        )
        if code != 0:
            raise BuildError(self._failure(program, code, begin))
        self._store.add(program.name, unfinished)

    def _failure(self, program: Program, code: int, begin: int) -> str:
        """Return the sentence for a failed build, from what Go wrote after `begin`."""
        output = self._cache.build_log.read_bytes()[begin:].decode(errors="replace")
        if any(word in output for word in _DISK_FULL_WORDS):
            return disk_full(self._cache.root)
        again = "Run it again: it goes on where it stopped."
        if code < 0:
            return f"Building {program.name} was killed by signal {-code}. {again}"
        if any(word in output for word in _MEMORY_WORDS):
            return f"Building {program.name} ran out of memory; it needs about 3 GB. Free some. {again}"
        tail = "\n".join(output.splitlines()[-_LOG_TAIL_LINES:])
        if any(word in output for word in _NETWORK_WORDS):
            return (
                f"Go could not download the sources of {program.name}: check the network, or set GOPROXY to a module "
                f"proxy that you can reach. {again} Log: {self._cache.build_log}\n{tail}"
            )
        return f"Building {program.name} failed with exit code {code}; log: {self._cache.build_log}\n{tail}"


def _size_of(folder: Path) -> int:
    """Return the bytes in all files under `folder`; 0 when it does not exist."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 - 100,000 files
            except FileNotFoundError:
                continue
    return total
