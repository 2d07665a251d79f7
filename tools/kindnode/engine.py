# SPDX-License-Identifier: Apache-2.0
"""Podman with a configuration, a store and networks of its own: the machine's are neither read nor changed."""

import os
import resource
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


class Engine:
    """Runs podman and other long commands, with their output in one log."""

    def __init__(self, cache: Cache, narrator: Narrator) -> None:
        """Write the configuration into the cache folder.

        Raises:
            OSError: the cache folder cannot be written.
        """
        self.folder = cache.root / "podman"
        self.log = cache.root / "kindnode.log"
        self.narrator = narrator
        self.folder.mkdir(parents=True, exist_ok=True)
        files = min(_MOST_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        processes = min(_MOST_PROCESSES, int(_PID_MAX.read_text()))
        conf, storage = self.folder / "containers.conf", self.folder / "storage.conf"
        conf.write_text(containers_conf(self.folder, files=files, processes=processes))
        storage.write_text(storage_conf(self.folder))
        self.environment: Mapping[str, str] = {
            **os.environ,
            "CONTAINERS_CONF": str(conf),
            "CONTAINERS_STORAGE_CONF": str(storage),
            "KIND_EXPERIMENTAL_PROVIDER": "podman",
            "DEBIAN_FRONTEND": "noninteractive",  # for apt
        }

    def ask(self, *args: str) -> str | None:
        """Return what `podman ARGS` prints, or None when it fails."""
        done = subprocess.run(
            ["podman", *args],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_ASK_TIMEOUT,
        )
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
