# SPDX-License-Identifier: Apache-2.0
"""Run long commands with their output in a log, a line of progress now and then, and nothing left when stopped."""

import math
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from devcluster import processes
from devcluster.guardian import Guardian
from devcluster.progress import Narrator

_POLL: Final = 0.05


class Runner:
    """Runs commands one after the other; a context manager.

    However this process ends meanwhile, by Ctrl-C or by SIGKILL, the command that runs and its children end too.
    """

    def __init__(self, log: Path, narrator: Narrator) -> None:
        """Append what the commands write to `log`, and let `narrator` tell what takes long."""
        self._log = log
        self._narrator = narrator
        self._mark = secrets.token_hex(16)
        self._guardian: Guardian | None = None

    def __enter__(self) -> Self:
        """Get ready to run commands."""
        self._guardian = Guardian(self._mark)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what still runs."""
        self._end()
        if self._guardian is not None:
            self._guardian.release()

    def run(self, argv: Sequence[str], *, env: Mapping[str, str], what: str, timeout: float = math.inf) -> int:
        """Run a command to its end and return its exit code, or the negative number of the signal that killed it.

        Args:
            argv: the command; the program with its path.
            env: its environment.
            what: what is said about it every heartbeat while it runs.
            timeout: seconds until it is ended.

        Raises:
            TimeoutError: it ran for longer than `timeout`.
            OSError: it cannot be started.
        """
        deadline = time.monotonic() + timeout
        try:
            pid = processes.spawn(argv, log=self._log, env=env, mark=self._mark)
            while time.monotonic() < deadline:
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    return os.waitstatus_to_exitcode(status)
                self._narrator.say_again(what)
                time.sleep(_POLL)
            msg = f"{what}: no end after {timeout:.0f} s"
            raise TimeoutError(msg)
        finally:
            self._end()

    def _end(self) -> None:
        processes.end(processes.find_marked(self._mark))
