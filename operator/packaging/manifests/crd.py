# SPDX-License-Identifier: Apache-2.0
"""From the API's Python types to the structural schema in the CRD.

msgspec writes JSON Schema; the API server takes a narrower kind: a type everywhere, no `$ref`, no `null` beside a type.
What has no counterpart is refused here, with the field's path, and so is a field that breaks one of our own rules:
every field says what it means, every string and list has a bound (the cost of CEL rules depends on it), and nothing
judges a credential.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from manifests.errors import SchemaError
from podtracker.redact import Token

Schema = dict[str, Any]

_CREDENTIAL: Final = "x-credential"
"""Marks a `Token` between msgspec and the end of this module; it is not part of the result."""

_IGNORED: Final = frozenset({"title", "default", _CREDENTIAL})
"""`title` repeats the Python class. A default in a CRD can never be changed again, so the operator has them in code."""

_DEFAULT: Final = "x-default"
"""Asks for one all the same, where the design has frozen it."""

_KEYWORDS: Final = (
    "description",
    "type",
    "format",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "items",
    "required",
    "properties",
    "additionalProperties",
    "maxProperties",
    "default",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
)
"""All that a field's schema may have, in the order in which it is written."""

_JUDGING: Final = frozenset({"enum", "pattern", "format", "minLength", "x-kubernetes-validations"})
"""Keywords whose violation makes the API server print the value back. It does not for `maxLength`."""

_ITEM: Final = "[]"
"""Ends the path of a list's items; what they mean is said by the list."""

_HAS_FIELD: Final = re.compile(r"has\(self\.(\w+)\)")
"""A rule that says that a field is there."""


def structural_schema(root: Any) -> Schema:
    """The schema of a custom resource; `root` is the struct of its `spec` and `status`, bare or `Annotated`.

    Raises:
        SchemaError: a type has no structural counterpart, or a field breaks one of the rules above.
    """
    document = msgspec.json.schema(root, schema_hook=_custom_type)
    schema = _Converter(document.pop("$defs", {})).convert(document, "")
    identity = {
        "apiVersion": {"description": "Version of this object's schema.", "type": "string"},
        "kind": {"description": "Kind of this object.", "type": "string"},
        "metadata": {"type": "object"},
    }
    return {**schema, "properties": {**identity, **schema["properties"]}}


def _custom_type(kind: type) -> Schema:
    if kind is Token:
        return {"type": "string", _CREDENTIAL: True}
    raise NotImplementedError(kind)


class _Converter:
    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions

    def convert(self, source: Schema, path: str, inside: tuple[str, ...] = ()) -> Schema:
        """One field's schema; `inside` are the structs around it."""
        source, inside = self._resolve(source, path, inside)
        if "enum" in source:
            source = {"type": _enum_type(source["enum"], path), **source}
        if source.get("type") == "integer":
            source = {"format": "int64", **source}
        source = {key: value for key, value in source.items() if key != "default"}
        if _DEFAULT in source:
            source = {**_without(source, _DEFAULT), "default": source[_DEFAULT]}
        if source.get("type") == "object" and "additionalProperties" in source:
            inner = self.convert(source["additionalProperties"], path + _ITEM, inside)
            source = {**source, "additionalProperties": inner}
        elif source.get("type") == "object":
            source = self._object(source, path, inside)
        if source.get("type") == "array":
            items = source.get("items")
            if not isinstance(items, dict):
                raise SchemaError(f"{path}: write a list of one type, such as tuple[str, ...]")
            source = {**source, "items": self.convert(items, path + _ITEM, inside)}
        _check(source, path)
        return {keyword: source[keyword] for keyword in _KEYWORDS if keyword in source}

    def _resolve(self, source: Schema, path: str, inside: tuple[str, ...]) -> tuple[Schema, tuple[str, ...]]:
        """Replace references by what they name, and "this or null" by "this": null is written as an absent field."""
        while "anyOf" in source or "$ref" in source:
            if "anyOf" in source:
                options = [option for option in source["anyOf"] if option != {"type": "null"}]
                if len(options) != 1:
                    raise SchemaError(f"{path}: a field has one type, or one and None; this has {len(options)}")
                rest, inner = _without(source, "anyOf"), options[0]
            else:
                name = source["$ref"].removeprefix("#/$defs/")
                if name in inside:
                    raise SchemaError(f"{path}: {name} contains itself, which a structural schema cannot say")
                inside = (*inside, name)
                rest, inner = _without(source, "$ref"), self._definitions[name]
            source = {**inner, **{key: value for key, value in rest.items() if key not in _IGNORED}}
        return source, inside

    def _object(self, source: Schema, path: str, inside: tuple[str, ...]) -> Schema:
        if "properties" not in source:
            raise SchemaError(f"{path}: an object lists its fields; use a msgspec.Struct")
        properties = {
            name: self.convert(field, f"{path}.{name}" if path else name, inside)
            for name, field in source["properties"].items()
        }
        required = [name for name in source.get("required", ()) if name not in _said_by_rule(source)]
        return {**_without(source, "required"), "properties": properties} | ({"required": required} if required else {})


def _said_by_rule(source: Schema) -> set[str]:
    """Fields whose absence has a sentence of its own.

    `required` would be looked at first, answer "Required value" and keep the rules from running.
    """
    return {
        match[1] for rule in source.get("x-kubernetes-validations", ()) if (match := _HAS_FIELD.fullmatch(rule["rule"]))
    }


def _enum_type(values: list[Any], path: str) -> str:
    if all(isinstance(value, str) for value in values):
        return "string"
    raise SchemaError(f"{path}: the values of a Literal are strings")


def _check(field: Schema, path: str) -> None:
    where = path or "the root"
    if unknown := field.keys() - set(_KEYWORDS) - _IGNORED:
        raise SchemaError(f"{where}: {', '.join(sorted(unknown))} has no counterpart in the CRD's schema")
    if "type" not in field:
        raise SchemaError(f"{where}: the field needs one definite type")
    if not field.get("description") and not path.endswith(_ITEM):
        raise SchemaError(f"{where}: say what it means, with Meta(description=...)")
    if field["type"] == "string" and not {"maxLength", "enum"} & field.keys():
        raise SchemaError(f"{where}: bound the string, with Meta(max_length=...)")
    if field["type"] == "array" and "maxItems" not in field:
        raise SchemaError(f"{where}: bound the list, with Meta(max_length=...)")
    if "additionalProperties" in field and "maxProperties" not in field:
        raise SchemaError(f"{where}: bound the map, with Meta(max_length=...)")
    if field.get(_CREDENTIAL) and (judging := sorted(_JUDGING & field.keys())):
        raise SchemaError(
            f"{where}: {', '.join(judging)} on a credential would make the API server print it back;"
            " put a rule on the struct around it"
        )


def _without(mapping: Mapping[str, Any], key: str) -> Schema:
    return {name: value for name, value in mapping.items() if name != key}
