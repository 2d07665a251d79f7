# SPDX-License-Identifier: Apache-2.0
"""Exactly the own processes end: also children of a killed starter, never a stranger with a recycled pid."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from devcluster import processes
from devcluster.guardian import Guardian
from devcluster.processes import ProcessId
from devcluster.state import State
from devcluster.teardown import end_recorded, family

SLEEP = ["/bin/sleep", "60"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)",
]

STARTER = """
import sys, threading
from pathlib import Path
from devcluster import processes
from devcluster.guardian import Guardian
mark = sys.argv[1]
guardian = Guardian(mark)
def start():
    print(processes.spawn(["/bin/sleep", "60"], log=Path("/dev/null"), env={}, mark=mark), flush=True)
thread = threading.Thread(target=start)
thread.start()
thread.join()
if sys.argv[2] == "release":
    guardian.release()
sys.stdin.read()
"""


@pytest.fixture
def mark() -> Iterator[str]:
    mark = secrets.token_hex(16)
    yield mark
    processes.kill(processes.find_marked(mark))


def _spawn(mark: str, command: list[str] = SLEEP, log: Path = Path(os.devnull)) -> ProcessId:
    process = processes.identify(processes.spawn(command, log=log, env={}, mark=mark))
    assert process is not None
    return process


def test_spawned_process_is_found_by_its_mark_and_leads_a_session(mark: str) -> None:
    process = _spawn(mark)
    assert processes.find_marked(mark) == [process]
    assert os.getsid(process.pid) == process.pid


def test_family_holds_all_its_generations_and_no_other_family(mark: str) -> None:
    first, second, other = (_spawn(f"{mark}.{end}") for end in ("1", "2", "1"))
    assert set(processes.find_marked(mark)) == {first, second, other}
    assert processes.find_marked(f"{mark}.2") == [second]
    assert processes.find_marked(mark[:-1]) == []


def test_end_waits_until_all_are_gone(mark: str) -> None:
    group = [_spawn(mark), _spawn(mark)]
    processes.end(group)
    assert not any(processes.is_alive(process) for process in group)
    with pytest.raises(ProcessLookupError):
        os.kill(group[0].pid, 0)


def test_end_kills_what_ignores_sigterm(mark: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = _spawn(mark, STUBBORN, log)
    _wait(lambda: log.read_text() == "1\n")
    processes.end([process], grace=0.1)
    assert not processes.is_alive(process)


@pytest.mark.parametrize("change", [{"started": 1}, {"boot": "another"}], ids=["recycled", "rebooted"])
def test_stranger_with_the_same_pid_is_left_alone(mark: str, change: dict[str, int | str]) -> None:
    stranger = _spawn(mark)
    recorded = replace(stranger, **change)  # type: ignore[arg-type]
    assert not processes.is_alive(recorded)
    processes.send(recorded, signal.SIGKILL)
    processes.end([recorded])
    assert processes.is_alive(stranger)


def test_process_that_never_was(mark: str) -> None:
    gone = _spawn(mark)
    processes.kill([gone])
    processes.send(gone, signal.SIGKILL)
    assert processes.identify(gone.pid) is None


def test_state_with_a_recycled_pid_ends_nobody_else(mark: str, tmp_path: Path) -> None:
    stranger = _spawn(mark)
    ours = _spawn(f"{family(tmp_path)}.1")
    recorded = State(server="https://127.0.0.1:1").with_process("etcd", replace(stranger, started=1))
    recorded.with_process("kube-apiserver", ours).save(tmp_path)
    assert end_recorded(tmp_path)
    assert processes.is_alive(stranger)
    assert not processes.is_alive(ours)
    assert State.load(tmp_path) is None


def test_processes_are_found_without_a_state(tmp_path: Path) -> None:
    ours = _spawn(f"{family(tmp_path)}.1")
    assert end_recorded(tmp_path)
    assert not processes.is_alive(ours)
    assert not end_recorded(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 2}', b'{"format": 1, "processes": {"etcd": 3}}'])
def test_unreadable_state_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.json").write_bytes(content)
    assert State.load(tmp_path) is None


def test_state_survives_the_disk_and_is_private(mark: str, tmp_path: Path) -> None:
    process = _spawn(mark)
    state = State(server="https://127.0.0.1:1", ready=True).with_process("etcd", process)
    state.save(tmp_path)
    assert State.load(tmp_path) == state
    assert state.alive() == {"etcd": process}
    assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_processes_end_with_their_starter(mark: str, number: signal.Signals) -> None:
    with _starter(mark, "keep") as (starter, process):
        assert processes.is_alive(process), "the end of the thread that started it must not matter"
        starter.send_signal(number)
        starter.wait()
        assert processes.wait_gone(process, 5)


def test_released_processes_stay(mark: str) -> None:
    with _starter(mark, "release") as (starter, process):
        _wait(lambda: not _guardians(mark))
        starter.kill()
        starter.wait()
        assert processes.is_alive(process)


def test_guardian_leaves_after_release(mark: str) -> None:
    guardian = Guardian(mark)
    _wait(lambda: len(_guardians(mark)) == 1)
    guardian.release()
    guardian.release()
    assert _guardians(mark) == []


class _starter:  # noqa: N801 - reads like a function
    """A process that starts another from a thread."""

    def __init__(self, mark: str, what: str) -> None:
        self._starter = subprocess.Popen(  # noqa: S603 - our own code
            [sys.executable, "-c", STARTER, mark, what], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> tuple[subprocess.Popen[str], ProcessId]:
        assert self._starter.stdout is not None
        process = processes.identify(int(self._starter.stdout.readline()))
        assert process is not None
        return self._starter, process

    def __exit__(self, *_: object) -> None:
        self._starter.kill()
        self._starter.__exit__(None, None, None)


def _guardians(mark: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            if "devcluster.guardian" in command and mark in command:
                found.append(entry.name)
    return found


def _wait(fact: object) -> None:
    assert callable(fact)
    deadline = time.monotonic() + 10
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.01)
