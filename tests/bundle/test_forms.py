# SPDX-License-Identifier: Apache-2.0
"""Versions, ranges, names and YAML, as OLM's tools read them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bundlecheck import names, semver
from bundlecheck.reading import parse, read_bytes
from bundlecheck.schemas import structural_faults, violations


@pytest.mark.parametrize("text", ["0.1.0", "1.2.3-rc.1", "1.2.3+build.5", "1.0.0-0", "1.0.0--x"])
def test_strict_versions(text: str) -> None:
    assert semver.is_strict(text)


@pytest.mark.parametrize("text", ["", "v0.1.0", "0.1", "01.0.0", "1.2.3-01", "1.2.3 ", "1.2.3-", "1.2.3.4"])
def test_no_strict_versions(text: str) -> None:
    assert not semver.is_strict(text)


@pytest.mark.parametrize(
    "text",
    [">=0.1.0 <0.2.0", ">= 0.1.0", "1.0.0", "<1.0.0 || >=2.0.0 <3.0.0", "!=1.0.0", ">=1.x", "1.2.x", ">=1.0.0-rc.1"],
)
def test_ranges(text: str) -> None:
    assert semver.is_range(text)


@pytest.mark.parametrize("text", ["", ">=0.1", "~1.0.0", ">=1.0.0 ||", ">=v1.0.0", "x", ">="])
def test_no_ranges(text: str) -> None:
    assert not semver.is_range(text)


@pytest.mark.parametrize(
    "text",
    [
        "quay.io/a/b:v1",
        "b",
        "localhost:5000/a/b",
        "quay.io/a/b@sha256:" + "0" * 64,
        "quay.io/a/b:v1@sha256:" + "0" * 64,
    ],
)
def test_images(text: str) -> None:
    assert names.is_image(text)


@pytest.mark.parametrize(
    "text", ["", "https://quay.io/a", "quay.io/A/b", "a b", "quay.io/a:", "quay.io/a@sha256:12", "a/"]
)
def test_no_images(text: str) -> None:
    assert not names.is_image(text)


def test_the_tag_of_an_image() -> None:
    assert names.image_tag("localhost:5000/a") == "latest"
    assert names.image_tag("quay.io/a:v1") == "v1"
    assert names.image_tag("quay.io/a@sha256:" + "0" * 64) is None


def test_addresses() -> None:
    assert names.is_email("Somebody <a@b.example>")
    assert not names.is_email("a.example")
    assert not names.is_email("")
    assert names.is_url("https://a.example/b")
    assert not names.is_url("a.example/b")
    assert not names.is_url("https://[")


def test_yaml_is_read_as_in_go() -> None:
    assert parse(b"a: y\nb: off\nc: 'n'\n") == ({"a": True, "b": False, "c": "n"},)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a: 1\nb: 2\na: 3\n", "`a` appears twice, the second time in line 3"),
        (b"a: &x 1\nb: *x\n", "alias"),
        (b"\xff\xfe", "not UTF-8"),
        (b"a: b: c", "not YAML"),
        (b"!!python/object:os.system {}", "not YAML"),
        (b"{" * 5000, "nested too deeply|not YAML"),
    ],
    ids=["repeated", "alias", "bytes", "broken", "tag", "deep"],
)
def test_yaml_that_is_refused(content: bytes, words: str) -> None:
    said = parse(content)
    assert isinstance(said, str)
    assert any(word in said for word in words.split("|"))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert read_bytes(tmp_path / "pipe") == "it is no regular file"


def test_schemas_refuse_what_the_api_server_drops() -> None:
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "port": {"x-kubernetes-int-or-string": True},
                    "none": {"type": "string", "nullable": True},
                    "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                    "map": {"type": "object", "additionalProperties": {"type": "integer"}},
                },
                "oneOf": [{"required": ["port"]}, {"required": ["map"]}],
            }
        },
    }
    good = {"kind": "A", "metadata": {"labels": {}}, "spec": {"port": "x", "none": None, "any": {"b": 1}}}
    assert violations(schema, good) == []
    assert [path for path, _ in violations(schema, {"spec": {"port": 1, "colour": 1}})] == ["spec"]
    assert [path for path, _ in violations(schema, {"spec": {"map": {"a": "b"}}})] == ["spec.map.a"]
    assert [path for path, _ in violations(schema, {"spec": {}})] == ["spec"]


@pytest.mark.parametrize(
    "part",
    [
        {},
        {"type": "array"},
        {"type": "text"},
        {"type": "string", "$ref": "#/a"},
        {"type": "object", "properties": {}, "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["b"]},
        {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "map"},
        {"type": "string", "x-kubernetes-list-type": "set"},
        {"type": "string", "default": 7},
    ],
    ids=str,
)
def test_schemas_that_are_not_structural(part: dict[str, object]) -> None:
    faults = list(structural_faults({"type": "object", "properties": {"a": part}}))
    assert [path for path, _ in faults] == [".a"]
