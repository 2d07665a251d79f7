# SPDX-License-Identifier: Apache-2.0
"""A lock between processes that the kernel releases when its holder dies."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from devcluster.progress import Narrator, Progress

_POLL: Final = 0.1
_PID_DIGITS: Final = 32


@contextlib.contextmanager
def exclusive(path: Path, *, what: str, progress: Progress) -> Iterator[None]:
    """Hold the lock file `path`; while another process holds it, wait and say for whom.

    Args:
        path: the lock file; made when missing and never removed, since removing it would let two in.
        what: what the holder does, as in "process 17, which {what}".
        progress: gets a line at once when there is a wait, then one every heartbeat.

    Raises:
        OSError: the file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _acquire(descriptor, what, progress)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, what: str, progress: Progress) -> None:
    narrator = Narrator(progress)
    announced = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, _PID_DIGITS, 0).decode(errors="replace") or "unknown"
            (narrator.say_again if announced else narrator.say)(f"waiting for process {holder}, which {what}")
            announced = True
            time.sleep(_POLL)
        else:
            return
