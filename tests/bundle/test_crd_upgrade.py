# SPDX-License-Identifier: Apache-2.0
"""Which changes of a CRD OLM v1 would refuse between releases."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from bundle.tree import REPOSITORY
from bundlecheck.crd_upgrade import compare, load_crd
from bundlecheck.errors import InputError
from bundlecheck.node import Node

_CRD: Final = REPOSITORY / "config" / "crd" / "bases" / "pod-tracker.lost.backend_podtrackers.yaml"

Change = Callable[[Any, Any], object]
"""Gets the CRD, and the schema of its spec."""


def _crd() -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"kind": "Thing", "plural": "things"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": _spec()}}},
                }
            ],
        },
    }


def _spec() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "maxLength": 10, "minLength": 1},
            "mode": {"type": "string", "enum": ["A", "B"], "default": "A"},
            "free": {"type": "string"},
            "list": {
                "type": "array",
                "items": {"type": "object", "properties": {"count": {"type": "integer", "minimum": 1}}},
            },
            "map": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    }


def _compared(change: Change) -> list[tuple[str, str]]:
    old, new = _crd(), _crd()
    change(new, new["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"])
    findings = compare(Node(old, "old"), Node(new, "new"))
    return [
        (finding.check.removeprefix("crd-upgrade-"), finding.path.rpartition("spec.properties.")[2])
        for finding in findings
    ]


def _add_version(crd: Any, _: Any) -> None:
    extra = copy.deepcopy(crd["spec"]["versions"][0])
    crd["spec"]["versions"].append({**extra, "name": "v2", "storage": False})


_REFUSED: Final[list[tuple[str, str, Change]]] = [
    ("scope", "spec.scope", lambda crd, _: crd["spec"].update(scope="Cluster")),
    ("version-removed", "spec.versions", lambda crd, _: crd["spec"]["versions"][0].update(name="v2")),
    ("required-added", "", lambda _, spec: spec["required"].append("free")),
    ("field-removed", "", lambda _, spec: spec["properties"].pop("free")),
    ("type-changed", "free.type", lambda _, spec: spec["properties"]["free"].update(type="integer")),
    ("default-changed", "free.default", lambda _, spec: spec["properties"]["free"].update(default="x")),
    ("default-changed", "mode.default", lambda _, spec: spec["properties"]["mode"].update(default="B")),
    ("default-changed", "mode.default", lambda _, spec: spec["properties"]["mode"].pop("default")),
    ("enum-tightened", "free.enum", lambda _, spec: spec["properties"]["free"].update(enum=["x"])),
    ("enum-tightened", "mode.enum", lambda _, spec: spec["properties"]["mode"].update(enum=["A"])),
    ("bound-tightened", "free.maxLength", lambda _, spec: spec["properties"]["free"].update(maxLength=5)),
    ("bound-tightened", "name.maxLength", lambda _, spec: spec["properties"]["name"].update(maxLength=9)),
    ("bound-tightened", "name.minLength", lambda _, spec: spec["properties"]["name"].update(minLength=2)),
    ("bound-tightened", "list.maxItems", lambda _, spec: spec["properties"]["list"].update(maxItems=3)),
    (
        "bound-tightened",
        "list.items.properties.count.minimum",
        lambda _, spec: spec["properties"]["list"]["items"]["properties"]["count"].update(minimum=2),
    ),
    (
        "type-changed",
        "map.additionalProperties.type",
        lambda _, spec: spec["properties"]["map"]["additionalProperties"].update(type="integer"),
    ),
    ("unknown-change", "free.pattern", lambda _, spec: spec["properties"]["free"].update(pattern="^a")),
    (
        "unknown-change",
        "map.additionalProperties",
        lambda _, spec: spec["properties"]["map"].pop("additionalProperties"),
    ),
    (
        "unknown-change",
        "free.x-kubernetes-validations",
        lambda _, spec: spec["properties"]["free"].update({"x-kubernetes-validations": [{"rule": "true"}]}),
    ),
]

_ALLOWED: Final[list[tuple[str, Change]]] = [
    ("nothing", lambda *_: None),
    ("a new field", lambda _, spec: spec["properties"].update(more={"type": "string", "maxLength": 3})),
    ("a wider enum", lambda _, spec: spec["properties"]["mode"]["enum"].append("C")),
    ("no longer required", lambda _, spec: spec.pop("required")),
    ("a lower minimum", lambda _, spec: spec["properties"]["name"].update(minLength=0)),
    ("a higher maximum", lambda _, spec: spec["properties"]["name"].update(maxLength=11)),
    ("no maximum", lambda _, spec: spec["properties"]["name"].pop("maxLength")),
    ("another description", lambda _, spec: spec["properties"]["name"].update(description="Another.")),
    ("a new version", _add_version),
    ("other columns", lambda crd, _: crd["spec"]["versions"][0].update(additionalPrinterColumns=[])),
]


@pytest.mark.parametrize(("rule", "path", "change"), _REFUSED, ids=[f"{rule}-{path}" for rule, path, _ in _REFUSED])
def test_a_change_that_breaks_is_refused(rule: str, path: str, change: Change) -> None:
    found = _compared(change)
    assert [name for name, _ in found] == [rule]
    assert not path or found[0][1].endswith(path)


@pytest.mark.parametrize(("what", "change"), _ALLOWED, ids=[what for what, _ in _ALLOWED])
def test_a_change_that_loosens_is_allowed(what: str, change: Change) -> None:
    assert _compared(change) == [], what


def test_a_removed_version_that_was_never_stored_is_allowed() -> None:
    old = _crd()
    _add_version(old, None)
    assert compare(Node(old, ""), Node(_crd(), "")) == []
    old["status"] = {"storedVersions": ["v1", "v2"]}
    assert [finding.check for finding in compare(Node(old, ""), Node(_crd(), ""))] == ["crd-upgrade-version-removed"]


def test_our_crd_may_take_its_own_place() -> None:
    assert compare(load_crd(_CRD), load_crd(_CRD)) == []


def test_different_crds_are_not_compared() -> None:
    other = _crd()
    other["metadata"]["name"] = "others.example.com"
    with pytest.raises(InputError, match="different CRDs"):
        compare(Node(_crd(), ""), Node(other, ""))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a: [", "not YAML"),
        ("kind: ConfigMap\n", "not one CustomResourceDefinition"),
        ("", "not one CustomResourceDefinition"),
    ],
    ids=["broken", "other", "empty"],
)
def test_what_is_no_crd_is_told(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "crd.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=words):
        load_crd(path)
    with pytest.raises(InputError, match="is no file"):
        load_crd(tmp_path / "nothing.yaml")
