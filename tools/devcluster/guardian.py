# SPDX-License-Identifier: Apache-2.0
"""A small process that ends a group of processes when their starter dies, even by SIGKILL.

The starter holds the only write end of a pipe; the guardian reads the other. End of file without the word of release
means that the starter is gone: then all processes that carry the group's mark are ended. (`PR_SET_PDEATHSIG` would
fire when the *thread* that started a child ends, which kills clusters started from a worker thread.)
"""

import os
import sys
from pathlib import Path
from typing import Final

from devcluster import processes

_RELEASE: Final = b"release"
_ORPHAN_GRACE: Final = 2.0
"""Seconds that orphans get for a clean end: nobody is left who could want their data."""


class Guardian:
    """Watches over one group of processes on behalf of the process that made it."""

    def __init__(self, mark: str) -> None:
        """Start the guardian of the processes that carry `mark`.

        Raises:
            OSError: no process or pipe can be made.
        """
        ours, self._lifeline = os.pipe()  # neither end is inherited by whatever else this process starts
        source_root = str(Path(__file__).resolve().parent.parent)
        try:
            self._pid = processes.spawn(
                [sys.executable, "-S", "-m", __name__, mark],
                log=Path(os.devnull),
                env={**os.environ, "PYTHONPATH": source_root},
                mark="guardian",
                stdin=ours,
            )
        except OSError:
            os.close(self._lifeline)
            raise
        finally:
            os.close(ours)
        self._process = processes.identify(self._pid)

    def release(self) -> None:
        """End the guardian and leave the processes alone: they were ended, or shall stay. Calling it again is fine."""
        if self._lifeline < 0:
            return
        try:
            os.write(self._lifeline, _RELEASE)
        except BrokenPipeError:  # somebody killed the guardian; there is nothing to release
            pass
        finally:
            os.close(self._lifeline)
            self._lifeline = -1
        if self._process is not None:
            processes.wait_gone(self._process, processes.END_GRACE)


def main(mark: str) -> None:
    """Wait for the starter's word or end, and in the latter case end the processes that carry `mark`."""
    if sys.stdin.buffer.read() != _RELEASE:
        processes.end(processes.find_marked(mark), grace=_ORPHAN_GRACE)


if __name__ == "__main__":
    main(sys.argv[1])
