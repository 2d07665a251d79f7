# SPDX-License-Identifier: Apache-2.0
"""What the mutations are made of: changes of a bundle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from bundle.tree import Tree

Change = Callable[[Tree], object]

BUNDLE: Final = "operators.operatorframework.io.bundle"


def kube_object(kind: str, api: str = "v1", name: str = "extra", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name}, **fields}


def set_annotation(key: str, value: Any) -> Change:
    def change(tree: Tree) -> None:
        tree.annotations[key] = value

    return change


def drop_annotation(key: str) -> Change:
    def change(tree: Tree) -> None:
        del tree.annotations[key]

    return change


def set_spec(key: str, value: Any) -> Change:
    def change(tree: Tree) -> None:
        tree.spec[key] = value

    return change


def add(document: dict[str, Any]) -> Change:
    def change(tree: Tree) -> None:
        tree.add(document)

    return change


def add_file(name: str, content: Any) -> Change:
    def change(tree: Tree) -> None:
        tree.files[name] = content

    return change


def add_rule(rule: dict[str, Any], part: str = "permissions") -> Change:
    """Ask for a right, in the CSV and in config/rbac."""

    def change(tree: Tree) -> None:
        account = tree.pod["serviceAccountName"]
        tree.install.setdefault(part, []).append({"serviceAccountName": account, "rules": [rule]})
        for name in [name for name in tree.files if name.startswith("config/")]:
            del tree.files[name]

    return change


def append(tree: Tree, name: str, text: str) -> None:
    tree.files[name] = tree.text(name) + text
