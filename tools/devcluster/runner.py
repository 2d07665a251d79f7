# SPDX-License-Identifier: Apache-2.0
"""Run a long command with its output in a log, a line of progress now and then, and nothing left when it is stopped."""

import math
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from devcluster import processes
from devcluster.guardian import Guardian
from devcluster.progress import Narrator

_POLL: Final = 0.05


def run(  # noqa: PLR0913 - settings by name
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    log: Path,
    what: str,
    narrator: Narrator,
    timeout: float = math.inf,
) -> int:
    """Run a command to its end and return its exit code, or the negative number of the signal that killed it.

    However this process ends meanwhile, by Ctrl-C or by SIGKILL, the command and its children end too.

    Args:
        argv: the command; the program with its path.
        env: its environment.
        log: its output is appended here.
        what: what is said about it while it runs.
        narrator: says it.
        timeout: seconds until it is ended.

    Raises:
        TimeoutError: it ran for longer than `timeout`.
        OSError: it cannot be started.
    """
    mark = secrets.token_hex(16)
    guardian = Guardian(mark)
    deadline = time.monotonic() + timeout
    try:
        pid = processes.spawn(argv, log=log, env=env, mark=mark)
        while time.monotonic() < deadline:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            narrator.say_again(what)
            time.sleep(_POLL)
        msg = f"{what}: no end after {timeout:.0f} s"
        raise TimeoutError(msg)
    finally:
        processes.end(processes.find_marked(mark))
        guardian.release()
