# SPDX-License-Identifier: Apache-2.0
"""Whether a CRD may take the place of an older one: by OLM v1's crd-upgrade-safety, which refuses the whole upgrade.

`compare` knows the rules; a change of a schema that it does not know is told as unknown, as OLM does, except those of
descriptions and examples, which mean nothing to stored objects. (OLM v1 of before summer 2025 refused those too.) So a
CEL rule on a field that is released cannot be changed any more, only put on new fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bundlecheck.errors import InputError
from bundlecheck.findings import Finding, Severity
from bundlecheck.node import Node
from bundlecheck.reading import read_yaml
from bundlecheck.subject import CRD_KIND

SOURCE: Final = "§1e; OLM v1, crd-upgrade-safety"

_LOWER_BOUNDS: Final = ("minimum", "minLength", "minItems", "minProperties")
_UPPER_BOUNDS: Final = ("maximum", "maxLength", "maxItems", "maxProperties")
_BELOW: Final = ("items", "additionalProperties")
_WORDS: Final = ("description", "example", "externalDocs", "title")
_HANDLED: Final = frozenset({
    "type", "required", "enum", "default", "properties", *_LOWER_BOUNDS, *_UPPER_BOUNDS, *_BELOW, *_WORDS,
})  # fmt: skip

_REMEDIES: Final = {
    "scope": "Keep the scope; another scope needs another CRD.",
    "version-removed": "Keep the version, with served: false where it is not wanted, until no cluster stores it.",
    "required-added": "Leave the field optional, and let a CEL rule or the operator ask for it.",
    "field-removed": "Keep the field, and ignore it.",
    "type-changed": "Keep the type; add another field.",
    "default-changed": "Keep the default as it was; defaults freeze when they are released.",
    "enum-tightened": "Keep every value; say in the description which are obsolete.",
    "bound-tightened": "Keep the bound, or loosen it.",
    "unknown-change": "Undo it, or make it in a new version of the CRD.",
}


def load_crd(path: Path) -> Node:
    """Read a CRD.

    Raises:
        InputError: the file is missing, is not YAML, or is no CRD.
    """
    if not path.is_file():
        raise InputError(f"{path} is no file; give the YAML of a CustomResourceDefinition")
    file = read_yaml(path, path.name)
    if file.fault:
        raise InputError(f"{path}: {file.fault}")
    if len(file.documents) != 1 or Node(file.documents[0], "").at("kind").value != CRD_KIND:
        raise InputError(f"{path} is not one CustomResourceDefinition")
    return Node(file.documents[0], path.name)


def compare(old: Node, new: Node) -> list[Finding]:
    """What OLM v1 would refuse when `new` takes the place of `old`."""
    findings = []
    if old.at("metadata", "name").value != new.at("metadata", "name").value:
        raise InputError(
            f"{old.at('metadata', 'name').value} and {new.at('metadata', 'name').value} are different CRDs; give two"
            " releases of one"
        )
    for node, rule, message in _changes(old, new):
        identifier = f"crd-upgrade-{rule}"
        findings.append(Finding(identifier, Severity.ERROR, node.file, node.path, message, _REMEDIES[rule], SOURCE))
    return findings


Change = tuple[Node, str, str]
"""The place in the new CRD, the rule, and a sentence."""


def _changes(old: Node, new: Node) -> Iterator[Change]:
    before, now = old.at("spec", "scope"), new.at("spec", "scope")
    if before.value != now.value:
        yield now, "scope", f"the scope was {before.value}, and is {now.value}"
    versions = {each.at("name").value: each for each in new.at("spec", "versions").items()}
    for each in old.at("spec", "versions").items():
        name = each.at("name").value
        if name in versions:
            schema = ("schema", "openAPIV3Schema")
            yield from _schema_changes(each.at(*schema), versions[name].at(*schema))
        elif each.at("storage").value is True or name in old.at("status", "storedVersions").texts():
            yield new.at("spec", "versions"), "version-removed", f"the stored version {name} is gone"


def _schema_changes(old: Node, new: Node) -> Iterator[Change]:
    """The changes of one schema, and of those below it."""
    if old.at("type").value != new.at("type").value:
        yield new.at("type"), "type-changed", f"the type was {old.at('type').value}, and is {new.at('type').value}"
        return
    yield from _required_changes(old, new)
    yield from _default_changes(old, new)
    yield from _enum_changes(old, new)
    yield from _bound_changes(old, new)
    yield from _other_changes(old, new)
    for name, each in old.at("properties").fields():
        if new.at("properties", name).exists:
            yield from _schema_changes(each, new.at("properties", name))
        else:
            yield new.at("properties"), "field-removed", f"the field {name} is gone"
    for key in _BELOW:
        if old.at(key).mapping and new.at(key).mapping:
            yield from _schema_changes(old.at(key), new.at(key))
        elif old.at(key).exists != new.at(key).exists or bool(old.at(key).mapping) != bool(new.at(key).mapping):
            yield new.at(key), "unknown-change", f"{key} is another"


def _required_changes(old: Node, new: Node) -> Iterator[Change]:
    added = [name for name in new.at("required").texts() if name not in old.at("required").texts()]
    if added:
        yield new.at("required"), "required-added", f"{', '.join(added)} became required"


def _default_changes(old: Node, new: Node) -> Iterator[Change]:
    before, now = "default" in old.mapping, "default" in new.mapping
    if before and not now:
        yield new.at("default"), "default-changed", f"the default {old.at('default').value!r} is gone"
    elif now and not before:
        yield new.at("default"), "default-changed", f"the default {new.at('default').value!r} is new"
    elif old.at("default").value != new.at("default").value:
        message = f"the default was {old.at('default').value!r}, and is {new.at('default').value!r}"
        yield new.at("default"), "default-changed", message


def _enum_changes(old: Node, new: Node) -> Iterator[Change]:
    before, now = _list(old.at("enum")), _list(new.at("enum"))
    if now is None:
        if before is not None:
            yield new.at("enum"), "unknown-change", "the enum is gone"
    elif before is None:
        yield new.at("enum"), "enum-tightened", "the values were free, and are an enum"
    elif gone := [value for value in before if value not in now]:
        yield new.at("enum"), "enum-tightened", f"{', '.join(map(str, gone))} is no longer allowed"


def _list(node: Node) -> list[Any] | None:
    return node.value if isinstance(node.value, list) and node.value else None


def _bound_changes(old: Node, new: Node) -> Iterator[Change]:
    for keys, tighter in ((_LOWER_BOUNDS, 1), (_UPPER_BOUNDS, -1)):
        for key in keys:
            before, now = old.at(key).value, new.at(key).value
            if now is None:
                continue
            if before is None:
                yield new.at(key), "bound-tightened", f"{key} {now} is new"
            elif (now - before) * tighter > 0:
                yield new.at(key), "bound-tightened", f"{key} was {before}, and is {now}"


def _other_changes(old: Node, new: Node) -> Iterator[Change]:
    for key in sorted((old.mapping.keys() | new.mapping.keys()) - _HANDLED):
        if old.at(key).value != new.at(key).value:
            yield new.at(key), "unknown-change", f"{key} is another"
