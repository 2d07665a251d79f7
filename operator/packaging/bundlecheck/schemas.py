# SPDX-License-Identifier: Apache-2.0
"""Schemas of CRDs: turned into JSON Schema that knows no other fields, applied to values, and checked themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from bundlecheck.node import Node

_JSON_KEYS: Final = frozenset({
    "type", "description", "enum", "format", "pattern", "required", "minimum", "maximum", "multipleOf", "minLength",
    "maxLength", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties", "default", "title",
})  # fmt: skip
_OPEN_API_KEYS: Final = _JSON_KEYS | {
    "properties", "additionalProperties", "items", "nullable", "exclusiveMinimum", "exclusiveMaximum", "not", "anyOf",
    "oneOf", "allOf", "example", "externalDocs", "$schema", "id",
}  # fmt: skip
_TYPES: Final = frozenset({"array", "boolean", "integer", "number", "object", "string"})
_FORMS: Final[dict[str, type | tuple[type, ...]]] = {
    "type": str,
    "description": str,
    "format": str,
    "pattern": str,
    "enum": list,
    "required": list,
    "properties": dict,
    "nullable": bool,
    "uniqueItems": bool,
    "x-kubernetes-list-type": str,
    "x-kubernetes-list-map-keys": list,
    **dict.fromkeys(("minimum", "maximum", "multipleOf"), (int, float)),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), int),
}
_BELOW: Final = ("items", "additionalProperties")
_LIST_TYPES: Final = frozenset({"atomic", "map", "set"})
_ROOT: Final = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}

Fault = tuple[str, str]
"""A path and a sentence."""


def strict(schema: dict[str, Any], *, root: bool = True) -> dict[str, Any]:
    """A CRD's schema as JSON Schema that refuses fields which the API server would drop.

    Rules in CEL are left out: only an API server can apply them.
    """
    made = {key: value for key, value in schema.items() if key in _JSON_KEYS}
    for key, strictly in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if schema.get(key) is True and strictly in made:
            made[key] = made.pop(strictly)
    for key in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(key), list):
            made[key] = [_loose(each) for each in schema[key]]
    if isinstance(schema.get("not"), dict):
        made["not"] = _loose(schema["not"])
    if isinstance(schema.get("items"), dict):
        made["items"] = strict(schema["items"], root=False)
    _close(made, schema, root=root)
    if schema.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    if schema.get("nullable") and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    return made


def _close(made: dict[str, Any], schema: dict[str, Any], *, root: bool) -> None:
    properties = schema.get("properties")
    known = dict(properties) if isinstance(properties, dict) else {}
    if root or schema.get("x-kubernetes-embedded-resource"):
        known = {**_ROOT, **known}
        # The API server puts its own schema in the place of the one that a CRD gives for metadata.
        known["metadata"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    if known:
        made["properties"] = {name: strict(each, root=False) for name, each in known.items() if isinstance(each, dict)}
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        made["additionalProperties"] = strict(extra, root=False)
    elif extra is not True and known and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made["additionalProperties"] = False


def _loose(schema: Any) -> Any:
    """A part of a logical combination: it restricts, and does not say which fields there are."""
    if not isinstance(schema, dict):
        return schema
    made = {key: value for key, value in schema.items() if key in _JSON_KEYS}
    if isinstance(schema.get("properties"), dict):
        made["properties"] = {name: _loose(each) for name, each in schema["properties"].items()}
    for key in ("items", "not"):
        if isinstance(schema.get(key), dict):
            made[key] = _loose(schema[key])
    return made


def violations(schema: dict[str, Any], value: Any) -> list[Fault]:
    """Where a value does not fit a CRD's schema; nowhere where the schema itself is malformed."""
    if any(_form_faults(each, "") for each in _parts(schema)):
        return []
    return sorted(_violations(strict(schema), value))


def _parts(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A schema, and those below it."""
    yield schema
    properties = schema.get("properties")
    below = [*(properties.values() if isinstance(properties, dict) else ()), *(schema.get(key) for key in _BELOW)]
    for each in below:
        if isinstance(each, dict):
            yield from _parts(each)


def _violations(schema: dict[str, Any], value: Any) -> Iterator[Fault]:
    for error in Draft202012Validator(schema).iter_errors(value):
        yield Node(None, "").at(*error.absolute_path).path, _sentence(error)


def _sentence(error: Any) -> str:
    """What is wrong, short: the value itself may be long."""
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        surplus = sorted(str(key) for key in error.instance if key not in known)
        return f"unknown field {', '.join(surplus)}"
    if error.validator == "type":
        return f"it must be of type {_words(error.validator_value)}, and is of type {type(error.instance).__name__}"
    if error.validator == "enum":
        return f"{error.instance!r} is none of {_words(error.validator_value)}"
    if error.validator == "required":
        lacking = [key for key in error.validator_value if key not in error.instance]
        return f"{_words(lacking)} is missing"
    return str(error.message)


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def structural_faults(schema: dict[str, Any]) -> Iterator[Fault]:
    """What keeps a schema from being structural, or the API server from accepting it."""
    if schema.get("type") != "object":
        yield "", "the root must be of type object"
    yield from _faults(schema, "", root=True)


def _faults(schema: dict[str, Any], path: str, *, root: bool = False) -> Iterator[Fault]:
    if malformed := _form_faults(schema, path):
        yield from malformed
        return
    yield from _key_faults(schema, path)
    yield from _type_faults(schema, path)
    properties = schema.get("properties")
    if isinstance(properties, dict):
        for key in schema.get("required", ()):
            if key not in properties and not (root and key in _ROOT):
                yield path, f"`{key}` is required, and is no property"
        for name, each in properties.items():
            below = f"{path}.{name}"
            if isinstance(each, dict):
                yield from _faults(each, below)
            else:
                yield below, "it is no schema"
    for key in _BELOW:
        if isinstance(schema.get(key), dict):
            yield from _faults(schema[key], f"{path}.{key}")


def _form_faults(schema: dict[str, Any], path: str) -> list[Fault]:
    """Keywords whose values are of the wrong type: nothing can be said of such a schema."""
    found = [
        (path, f"`{key}` is of type {type(schema[key]).__name__}")
        for key, form in _FORMS.items()
        if key in schema and (not isinstance(schema[key], form) or (isinstance(schema[key], bool) and form is not bool))
    ]
    keys: list[Any] = list(schema)
    found += [(path, f"the key {key!r} is no string") for key in keys if not isinstance(key, str)]
    if not found and not all(isinstance(name, str) for name in schema.get("required", ())):
        found.append((path, "`required` has what is no name"))
    try:
        re.compile(schema.get("pattern", "") if not found else "")
    except re.error as error:
        found.append((path, f"`pattern` is no regular expression: {error}"))
    return found


def _key_faults(schema: dict[str, Any], path: str) -> Iterator[Fault]:
    for key in schema:
        if key not in _OPEN_API_KEYS and not key.startswith("x-kubernetes-"):
            yield path, f"`{key}` has no place in the schema of a CRD"
    if "properties" in schema and schema.get("additionalProperties") not in (None, False, {}):
        yield path, "properties and additionalProperties exclude each other"
    if schema.get("additionalProperties") is False or isinstance(schema.get("items"), list):
        yield path, "additionalProperties must not be false, and items must be one schema"
    if schema.get("uniqueItems"):
        yield path, "uniqueItems must not be true; x-kubernetes-list-type set does it"
    list_type = schema.get("x-kubernetes-list-type")
    if list_type is not None and (list_type not in _LIST_TYPES or schema.get("type") != "array"):
        yield path, f"x-kubernetes-list-type `{list_type}` is unknown, or stands at no array"
    if (list_type == "map") != bool(schema.get("x-kubernetes-list-map-keys")):
        yield path, "x-kubernetes-list-type map and x-kubernetes-list-map-keys go together"


def _type_faults(schema: dict[str, Any], path: str) -> Iterator[Fault]:
    kind = schema.get("type")
    free = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if kind is None and not free:
        yield path, "it has no type"
    elif kind is not None and kind not in _TYPES:
        yield path, f"`{kind}` is no type"
    if kind == "array" and not isinstance(schema.get("items"), dict):
        yield path, "an array must say what its items are"
    if "default" in schema:
        for below, message in _violations(strict(schema, root=False), schema["default"]):
            yield path, f"its default does not fit{f' at {below}' if below else ''}: {message}"
