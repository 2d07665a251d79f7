# SPDX-License-Identifier: Apache-2.0
"""The container engine: podman with a configuration, a store and networks of its own, or the machine's as it is."""

import os
import resource
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from devcluster.cache import Cache
from devcluster.errors import ClusterError
from devcluster.progress import Narrator
from devcluster.runner import Runner

_ASK_TIMEOUT: Final = 60.0
_LOG_TAIL_LINES: Final = 12
_MOST_FILES: Final = 20000
_MOST_PROCESSES: Final = 32768
_PID_MAX: Final = Path("/proc/sys/kernel/pid_max")
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def containers_conf(folder: Path, *, files: int, processes: int) -> str:
    """Return the configuration of the engine, with all it keeps under `folder`.

    Args:
        folder: where networks and state lie.
        files: how many open files a container may have; podman's own default may be above what the machine allows.
        processes: how many processes a container may have; the same.
    """
    return f"""\
[containers]
default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]
[engine]
# crun refuses machines with both kinds of cgroups mounted.
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "{folder}/run/libpod"
static_dir = "{folder}/storage/libpod"
volume_path = "{folder}/storage/volumes"
[network]
network_backend = "netavark"
network_config_dir = "{folder}/networks"
"""


def storage_conf(folder: Path) -> str:
    """Return the configuration of the engine's store, which lies under `folder`."""
    return f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/storage"\nrunroot = "{folder}/run"\n'


def forget_former_boot(folder: Path, boot: str) -> None:
    """Remove what podman keeps of what runs, where the machine was started anew since: nothing of it runs any more.

    Podman expects that from a file system in memory, which the cache folder is not.

    Args:
        folder: of the engine.
        boot: what identifies the time from this start of the machine to the next.
    """
    mark = folder / "boot"
    if mark.exists() and mark.read_text() != boot:
        shutil.rmtree(folder / "run", ignore_errors=True)
    mark.write_text(boot)


class Engine:
    """Runs the engine and other long commands, with their output in one log."""

    def __init__(self, cache: Cache, narrator: Narrator, machines: str | None = None) -> None:
        """Write the configuration into the cache folder, where the engine is our own.

        Args:
            cache: where the log lies, and all that our own engine keeps.
            narrator: tells what goes on.
            machines: `docker` or `podman`: that of this machine, as it is configured; None for our own podman.

        Raises:
            OSError: the cache folder cannot be written.
        """
        self.own = machines is None
        self.program = machines or "podman"
        self.log = cache.root / "kindnode.log"
        self.narrator = narrator
        cache.root.mkdir(parents=True, exist_ok=True)
        provider = {"KIND_EXPERIMENTAL_PROVIDER": self.program}
        self.environment: Mapping[str, str] = {**os.environ, **provider, **(_own(cache) if self.own else {})}

    def ask(self, *args: str, timeout: float = _ASK_TIMEOUT) -> str | None:
        """Return what the engine prints for these arguments, or None when it fails or takes too long."""
        try:
            done = subprocess.run(
                [self.program, *args],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=timeout,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None

    def must(self, argv: Sequence[str], what: str, *, timeout: float = 900.0) -> None:
        """Run a command to its end, and say what it is for; nothing of it is left when this process ends before.

        Raises:
            ClusterError: it failed.
        """
        self.narrator.say(what)
        begin = self.log.stat().st_size if self.log.exists() else 0
        try:
            with Runner(self.log, self.narrator) as runner:
                code = runner.run(argv, env=self.environment, what=what, timeout=timeout)
        except TimeoutError as exc:
            raise ClusterError(f"{exc}; log: {self.log}") from exc
        if code != 0:
            tail = "\n".join(self.since(begin).splitlines()[-_LOG_TAIL_LINES:])
            raise ClusterError(f"{what} failed with exit code {code}; the log {self.log} ends with:\n{tail}")

    def since(self, begin: int) -> str:
        """Return what was written to the log after its byte `begin`."""
        with self.log.open("rb") as file:
            file.seek(begin)
            return file.read().decode(errors="replace")


def _own(cache: Cache) -> Mapping[str, str]:
    """Write the configuration of our own engine; return the environment that makes podman use it, and apt quiet."""
    folder = cache.root / "podman"
    folder.mkdir(parents=True, exist_ok=True)
    forget_former_boot(folder, _BOOT_ID.read_text().strip())
    files = min(_MOST_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    processes = min(_MOST_PROCESSES, int(_PID_MAX.read_text()))
    conf, storage = folder / "containers.conf", folder / "storage.conf"
    conf.write_text(containers_conf(folder, files=files, processes=processes))
    storage.write_text(storage_conf(folder))
    return {
        "CONTAINERS_CONF": str(conf),
        "CONTAINERS_STORAGE_CONF": str(storage),
        "DEBIAN_FRONTEND": "noninteractive",
    }
