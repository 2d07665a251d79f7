# SPDX-License-Identifier: Apache-2.0
"""Two builds do not collide, and the one that waits says for whom."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from devcluster.lock import exclusive

HOLDER = """
import sys
from pathlib import Path
from devcluster.lock import exclusive
with exclusive(Path(sys.argv[1]), what="builds", progress=print):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_waits_for_the_holder_and_names_it(tmp_path: Path, said: list[str]) -> None:
    lock = tmp_path / "folder" / "lock"
    with _holder(lock) as holder:
        assert holder.stdin is not None

        def release(line: str) -> None:
            said.append(line)
            holder.stdin.close()  # type: ignore[union-attr]

        with exclusive(lock, what="builds", progress=release):
            assert said == [f"[0s] waiting for process {holder.pid}, which builds"]
            assert lock.read_text() == str(os.getpid())


def test_lock_of_a_killed_holder_is_free(tmp_path: Path, said: list[str]) -> None:
    lock = tmp_path / "lock"
    with _holder(lock) as holder:
        holder.kill()
        holder.wait()
        with exclusive(lock, what="builds", progress=said.append):
            assert said == []


def _holder(lock: Path) -> subprocess.Popen[str]:
    """Start a process that holds the lock until its input ends."""
    holder = subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, "-c", HOLDER, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder
