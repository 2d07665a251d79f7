# SPDX-License-Identifier: Apache-2.0
"""Building: whole or not at all, once, and with a sentence for every bad end. A script plays Go."""

from __future__ import annotations

import errno
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from devcluster import pins
from devcluster.binaries import ensure_binaries, ensure_kubectl
from devcluster.cache import Cache
from devcluster.errors import BuildError
from devcluster.processes import identify

from .conftest import AddProgram

GO = """
test "$1" = env && echo go1.26.6 && exit
for each; do case $each in -o=*) out=${each#-o=};; esac; done
echo "$@" >> "${XDG_CACHE_HOME}/calls"
%s
echo program > "$out"
"""
ENSURE = "from devcluster.__main__ import main; import sys; sys.exit(main(['build']))"


class Usage(NamedTuple):
    """As of shutil.disk_usage."""

    total: int
    used: int
    free: int


pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(autouse=True)
def _go(add_program: AddProgram) -> None:
    add_program("go", GO % "")


def _calls(cache: Cache) -> list[str]:
    return (cache.root.parent / "calls").read_text().splitlines()


def test_all_programs_are_built_once(cache: Cache, said: list[str]) -> None:
    binaries = ensure_binaries(said.append)
    assert [path.read_text() for path in binaries.paths()] == ["program\n"] * 5
    assert all(path.is_relative_to(cache.programs / pins.digest()) for path in binaries.paths())
    assert len(_calls(cache)) == 5
    assert said[1] == f"[0s] building kube-apiserver (2 of 5), usually 5 min on 2 cores; log: {cache.build_log}"
    assert not cache.temporary.exists()
    assert ensure_binaries(said.append) == binaries
    assert len(_calls(cache)) == 5


def test_flags_of_a_build(cache: Cache) -> None:
    ensure_binaries()
    call = next(call for call in _calls(cache) if "kube-apiserver" in call)
    assert call.startswith(f"-C {pins.SOURCES / 'kubernetes'} build -trimpath -ldflags -s -w -X ")
    assert "version.gitVersion=v1.36.3 " in call
    assert call.endswith(" k8s.io/kubernetes/cmd/kube-apiserver")


def test_only_the_damaged_program_is_built_again(cache: Cache, said: list[str]) -> None:
    damaged = ensure_binaries().kube_apiserver
    damaged.write_text("x")
    ensure_binaries(said.append)
    assert said[0] == f"[0s] {damaged} is damaged: it has 1 bytes instead of 8; building it again"
    assert damaged.read_text() == "program\n"
    assert len(_calls(cache)) == 6


def test_kubectl_alone(cache: Cache) -> None:
    assert ensure_kubectl().read_text() == "program\n"
    assert len(_calls(cache)) == 1


def test_kubectl_on_path_is_enough(add_program: AddProgram) -> None:
    program = add_program("kubectl", "")
    assert ensure_kubectl() == program


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("echo 'write x: no space left on device'; exit 1", r"The disk of .* is full: free some space"),
        (
            "echo 'dial tcp: lookup x: no such host'; exit 1",
            r"could not download the sources .* or set GOPROXY .*\n.*dial",
        ),
        ("echo 'compile: signal: killed'; exit 1", r"ran out of memory; it needs about 3 GB"),
        ("kill -9 $$", r"Building etcd was killed by signal 9\. Run it again: it goes on where it stopped\."),
        ("echo 'x.go:1: syntax error'; exit 1", r"failed with exit code 1; log: .*build\.log\n.*x\.go:1: syntax error"),
    ],
    ids=["disk", "network", "memory", "killed", "other"],
)
def test_sentence_for_a_failed_build(add_program: AddProgram, script: str, sentence: str) -> None:
    add_program("go", GO % script)
    with pytest.raises(BuildError, match=sentence):
        ensure_binaries()


def test_next_run_goes_on_after_a_failed_one(cache: Cache, add_program: AddProgram) -> None:
    add_program("go", GO % "case $out in *kubectl) exit 1;; esac")
    with pytest.raises(BuildError):
        ensure_binaries()
    built = len(_calls(cache)) - 1
    add_program("go", GO % "")
    ensure_binaries()
    assert len(_calls(cache)) - built - 1 == 5 - built


def test_too_little_space_is_told_before_anything_is_built(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12, 2 * 1024**3))
    with pytest.raises(BuildError, match=r"needs \d\.\d GiB in .*, where 2\.0 GiB are free: free some space there"):
        ensure_binaries()
    assert not (cache.root.parent / "calls").exists()


def test_disk_that_runs_full_under_us(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Path, __: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "chmod", full)
    with pytest.raises(BuildError, match=r"The disk of .* is full: free some space"):
        ensure_binaries()


def test_cache_that_cannot_be_written(cache: Cache) -> None:
    cache.root.parent.mkdir()
    cache.root.write_text("a file where the folder should be")
    with pytest.raises(BuildError, match=r"Check that this path exists and that you may write there"):
        ensure_binaries()


def test_given_folder_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for program in pins.PROGRAMS:
        (tmp_path / program.name).touch(mode=0o755)
    monkeypatch.setenv("DEVCLUSTER_BIN_DIR", str(tmp_path))
    assert ensure_binaries().etcd == tmp_path / "etcd"
    (tmp_path / "etcd").unlink()
    with pytest.raises(BuildError, match="there is no program etcd: unset it to build them"):
        ensure_binaries()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_build_leaves_no_go_behind(cache: Cache, add_program: AddProgram, number: signal.Signals) -> None:
    add_program("go", GO % 'echo half > "$out"; echo $$ > "$XDG_CACHE_HOME/pid"; exec sleep 60')
    builder = subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, "-c", ENSURE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    pid_file = cache.root.parent / "pid"
    _wait(lambda: pid_file.exists() and pid_file.read_text().strip())
    builder.send_signal(number)
    _, stderr = builder.communicate(timeout=20)
    if number is signal.SIGKILL:
        assert builder.returncode == -number
    else:
        assert builder.returncode == 128 + number
        assert stderr.splitlines()[-1].startswith("Stopped; nothing that was begun is left running.")
    _wait(lambda: identify(int(pid_file.read_text())) is None)
    add_program("go", GO % "")
    assert ensure_binaries().etcd.read_text() == "program\n"


def _wait(fact: object) -> None:
    assert callable(fact)
    deadline = time.monotonic() + 10
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.01)
