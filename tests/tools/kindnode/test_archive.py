# SPDX-License-Identifier: Apache-2.0
"""Docker archives written without an engine."""

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from kindnode.archive import Image, write_archive


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program"
    path.write_bytes(b"#!/bin/true\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def base(tmp_path: Path, program: Path) -> Path:
    path = tmp_path / "base.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(program, arcname="bin/sh")
    return path


def member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def manifest(archive: tarfile.TarFile) -> list[dict[str, Any]]:
    content = json.loads(member(archive, "manifest.json"))
    assert isinstance(content, list)
    return content


def test_every_layer_is_what_the_configuration_says(tmp_path: Path, program: Path, base: Path) -> None:
    images = [
        Image("test/one:1", {"one": program}, entrypoint=["/one"]),
        Image("test/two:1", {"two": program}, base=base),
    ]
    write_archive(tmp_path / "images.tar", images, architecture="amd64")
    with tarfile.open(tmp_path / "images.tar") as archive:
        listed = manifest(archive)
        assert [each["RepoTags"] for each in listed] == [["test/one:1"], ["test/two:1"]]
        for each in listed:
            config = member(archive, each["Config"])
            assert each["Config"] == f"{hashlib.sha256(config).hexdigest()}.json"
            digests = [f"sha256:{hashlib.sha256(member(archive, layer)).hexdigest()}" for layer in each["Layers"]]
            assert json.loads(config)["rootfs"]["diff_ids"] == digests
        assert json.loads(member(archive, listed[0]["Config"]))["config"]["Entrypoint"] == ["/one"]
        assert len(listed[1]["Layers"]) == 2


def test_a_shared_base_is_written_once(tmp_path: Path, program: Path, base: Path) -> None:
    images = [Image(f"test/{name}:1", {name: program}, base=base) for name in ("one", "two")]
    write_archive(tmp_path / "images.tar", images, architecture="amd64")
    with tarfile.open(tmp_path / "images.tar") as archive:
        names = archive.getnames()
    assert len(names) == len(set(names))
    assert sum(name.endswith(".tar") for name in names) == 3


def test_files_keep_their_mode_and_forget_their_time(tmp_path: Path, program: Path) -> None:
    image = Image("test/one:1", {"usr/bin/one": program}, links={"one": "usr/bin/one"})
    contents = []
    for name in ("first", "second"):
        program.touch()
        write_archive(tmp_path / f"{name}.tar", [image], architecture="amd64")
        with tarfile.open(tmp_path / f"{name}.tar") as archive:
            layer = manifest(archive)[0]["Layers"][0]
            (tmp_path / "layer.tar").write_bytes(member(archive, layer))
        contents.append(layer)
    assert contents[0] == contents[1]
    with tarfile.open(tmp_path / "layer.tar") as archive:
        info = archive.getmember("usr/bin/one")
        assert (info.mode & 0o777, info.uid, info.mtime) == (0o755, 0, 0)
        assert archive.getmember("one").linkname == "usr/bin/one"
