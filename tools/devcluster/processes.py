# SPDX-License-Identifier: Apache-2.0
"""Start processes that outlive a terminal, and end exactly those: never a stranger that got a recycled pid.

A process is known by pid, start time and boot. Each also carries a mark in its environment, by which its group is
found when the starter died before it could write the pid down.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MARK: Final = "DEVCLUSTER_MARK"
"""Environment variable with the mark of the group that a process belongs to: `family.generation`, or a single word."""

END_GRACE: Final = 10.0
"""Seconds between SIGTERM and SIGKILL."""

_PROC = Path("/proc")
_POLL = 0.02
_DEAD_STATES: Final = frozenset("ZXx")
_STATE, _THREADS, _STARTED = 0, 17, 19
"""Places in /proc/PID/stat, counted from the state, which follows the command."""


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process, once and for all: a later process with the same pid differs in `started` or `boot`."""

    pid: int
    started: int
    """Clock ticks between boot and the start of the process."""
    boot: str
    """The kernel's id of this boot."""


def supported() -> bool:
    """Tell whether this system has the `/proc` that start times and marks are read from."""
    return (_PROC / "self" / "stat").exists() and (_PROC / "self" / "environ").exists()


def identify(pid: int) -> ProcessId | None:
    """Return the identity of the living process `pid`, or None where there is none (a zombie counts as gone)."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The second field is the command in parentheses and may hold blanks and parentheses itself.
    fields = stat.rpartition(")")[2].split()
    # A killed program first shows as a zombie while its other threads, and with them its ports, are still there.
    if fields[_STATE] in _DEAD_STATES and int(fields[_THREADS]) <= 1:
        return None
    return ProcessId(pid=pid, started=int(fields[_STARTED]), boot=_boot_id())


def is_alive(process: ProcessId) -> bool:
    """Tell whether this very process still runs."""
    return identify(process.pid) == process


def send(process: ProcessId, number: signal.Signals) -> None:
    """Signal this very process; do nothing when it is gone or its pid belongs to somebody else by now."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    except OSError:  # a sandbox without pidfd: a recycling between check and signal stays possible, by microseconds
        if is_alive(process):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)
        return
    try:
        # The descriptor holds on to the process, so its pid cannot be recycled between this check and the signal.
        if is_alive(process):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, number)
    finally:
        os.close(pidfd)


def spawn(argv: Sequence[str], *, log: Path, env: Mapping[str, str], mark: str, stdin: int | None = None) -> int:
    """Start a process in a session of its own with its output appended to `log`; return its pid.

    Not `subprocess.Popen`: that object complains about a child that shall outlive it.

    Raises:
        OSError: the program cannot be executed, or the log cannot be written.
    """
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    source = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) if stdin is None else stdin
    try:
        return os.posix_spawn(
            argv[0],
            list(argv),
            {**env, MARK: mark},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, source, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
            ],
            setsid=True,
            setsigmask=[],
            # Python ignores these, and an ignored signal stays ignored in a child.
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM],
        )
    finally:
        os.close(output)
        if stdin is None:
            os.close(source)


def find_marked(mark: str) -> list[ProcessId]:
    """Return the living processes of this user that carry `mark`, or are of this family, but not the caller."""
    exact, family = f"{MARK}={mark}".encode(), f"{MARK}={mark}.".encode()
    found = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        process = identify(int(entry.name))
        if process is None:
            continue
        with contextlib.suppress(OSError):  # somebody else's process, or gone by now
            settings = (entry / "environ").read_bytes().split(b"\0")
            if any(each == exact or each.startswith(family) for each in settings) and is_alive(process):
                found.append(process)
    return found


def end(group: Iterable[ProcessId], *, grace: float = END_GRACE) -> None:
    """End these processes and wait until they are gone: SIGTERM to all, SIGKILL to those left after `grace` seconds."""
    group = list(group)
    _end_with(signal.SIGTERM, group, grace)
    kill(group)


def kill(group: Iterable[ProcessId]) -> None:
    """End these processes without giving them a chance to clean up, and wait until they are gone."""
    _end_with(signal.SIGKILL, list(group), END_GRACE)


def _end_with(number: signal.Signals, group: Sequence[ProcessId], patience: float) -> None:
    for process in group:
        send(process, number)
    deadline = time.monotonic() + patience
    for process in group:
        wait_gone(process, deadline - time.monotonic())


def wait_gone(process: ProcessId, timeout: float) -> bool:
    """Wait up to `timeout` seconds for the end of a process; tell whether it came."""
    deadline = time.monotonic() + timeout
    while is_alive(process):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL)
    reap(process.pid)
    return True


def reap(pid: int) -> None:
    """Take the exit status of a child that ended, so that no zombie is left; harmless for all others."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _boot_id() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
