# SPDX-License-Identifier: Apache-2.0
"""Mutations of the catalog."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from bundle.changes import (
    Change,
    add_file,
)
from bundle.tree import Tree


def _second_release(tree: Tree) -> dict[str, Any]:
    """The older of the catalog's two releases."""
    return next(each for each in tree.blobs if each["schema"] == "olm.bundle")


def _each_channel(change: Callable[[list[dict[str, Any]]], object]) -> Change:
    """Change the entries of every channel."""

    def apply(tree: Tree) -> None:
        for each in tree.blobs:
            if each["schema"] == "olm.channel":
                change(each["entries"])

    return apply


def _cycle(tree: Tree) -> None:
    """A head over two entries that replace one another."""
    older = _second_release(tree)
    extra = json.loads(json.dumps(older))
    extra["name"] = "pod-tracker.v0.0.9"
    next(each for each in extra["properties"] if each["type"] == "olm.package")["value"]["version"] = "0.0.9"
    tree.blobs.append(extra)
    for each in tree.blobs:
        if each["schema"] == "olm.channel":
            tail = each["entries"][0]
            tail["replaces"] = extra["name"]
            each["entries"].append({"name": extra["name"], "replaces": tail["name"]})


def _stranded(tree: Tree) -> None:
    """Two entries aside that replace one another, and that nothing else replaces."""
    for version in ("0.0.8", "0.0.9"):
        extra = json.loads(json.dumps(_second_release(tree)))
        extra["name"] = f"pod-tracker.v{version}"
        next(each for each in extra["properties"] if each["type"] == "olm.package")["value"]["version"] = version
        tree.blobs.append(extra)
    for each in tree.blobs:
        if each["schema"] == "olm.channel":
            each["entries"] += [
                {"name": "pod-tracker.v0.0.8", "replaces": "pod-tracker.v0.0.9"},
                {"name": "pod-tracker.v0.0.9", "replaces": "pod-tracker.v0.0.8"},
            ]


def _two_heads(entries: list[dict[str, Any]]) -> None:
    for each in entries:
        each.pop("replaces", None)
        each.pop("skips", None)


def _without_bundle(entries: list[dict[str, Any]]) -> None:
    entries[0]["replaces"] = "pod-tracker.v0.0.1"
    entries.insert(0, {"name": "pod-tracker.v0.0.1"})


def _property(tree: Tree, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in _second_release(tree)["properties"] if each["type"] == kind)
    return found


def _rename_channels(tree: Tree) -> None:
    for each in tree.blobs:
        if each["schema"] == "olm.channel" and each["name"] != tree.blob("olm.package")["defaultChannel"]:
            each["name"] = "alpha"


def _property_image(tree: Tree) -> None:
    """An older release whose objects stand in the catalog, beside its image."""
    _second_release(tree)["properties"].append({"type": "olm.bundle.object", "value": {"data": "e30="}})


CHANGES: Final[list[tuple[str, Change]]] = [
    ("catalog-yaml", add_file("catalog/broken.yaml", "a: [")),
    ("catalog-yaml", lambda tree: tree.blobs.append({"schema": "olm.bundel"})),
    ("catalog-package", lambda tree: tree.blobs.append({**tree.blob("olm.package")})),
    ("catalog-package", lambda tree: tree.blobs.append({"schema": "olm.deprecations", "package": "x", "entries": []})),
    ("catalog-default-channel", lambda tree: tree.blob("olm.package").update(defaultChannel="nightly")),
    (
        "catalog-channel-entries",
        lambda tree: tree.blobs.append(
            {"schema": "olm.channel", "package": "pod-tracker", "name": "fast", "entries": []}
        ),
    ),
    ("catalog-channel-head", _each_channel(_two_heads)),
    ("catalog-channel-cycle", _cycle),
    ("catalog-channel-stranded", _stranded),
    ("catalog-replaces-exists", _each_channel(lambda entries: entries[0].update(replaces="pod-tracker.v0.0.1"))),
    ("catalog-skips", _each_channel(lambda entries: entries[-1].update(skipRange=">=0.0"))),
    (
        "catalog-entry-bundle",
        _each_channel(_without_bundle),
    ),
    (
        "catalog-bundle-entry",
        lambda tree: tree.blobs.append(
            {
                **_second_release(tree),
                "name": "pod-tracker.v0.0.1",
                "properties": [
                    {"type": "olm.package", "value": {"packageName": "pod-tracker", "version": "0.0.1"}},
                    {"type": "olm.csv.metadata", "value": {}},
                ],
            }
        ),
    ),
    ("catalog-bundle-package", lambda tree: _property(tree, "olm.package")["value"].update(version="v0.1")),
    ("catalog-bundle-package", lambda tree: _property(tree, "olm.package")["value"].update(packageName="other")),
    (
        "catalog-bundle-version",
        lambda tree: _property(tree, "olm.package")["value"].update(version=tree.spec["version"]),
    ),
    ("catalog-bundle-image", lambda tree: _second_release(tree).update(image="")),
    ("catalog-bundle-image", lambda tree: _second_release(tree).update(image="https://quay.io/x")),
    ("catalog-bundle-object", _property_image),
    (
        "catalog-bundle-metadata",
        lambda tree: _second_release(tree)["properties"].remove(_property(tree, "olm.csv.metadata")),
    ),
    (
        "catalog-deprecations",
        lambda tree: tree.blobs.append(
            {
                "schema": "olm.deprecations",
                "package": "pod-tracker",
                "entries": [{"reference": {"schema": "olm.channel", "name": "gone"}, "message": "It went."}],
            }
        ),
    ),
    ("catalog-channel-names", _rename_channels),
    (
        "catalog-has-bundle",
        lambda tree: [
            each["properties"].remove(next(part for part in each["properties"] if part["type"] == "olm.gvk"))
            for each in tree.blobs
            if each["name"] == tree.csv["metadata"]["name"]
        ],
    ),
]
