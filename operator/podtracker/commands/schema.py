# SPDX-License-Identifier: Apache-2.0
"""What the API server would say of a tracker, found without one: the CRD's schema and rules, and its own words.

The sentences are those of the API server without the value that it puts before them.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

import msgspec

from podtracker.api import MAX_NAME, Resource
from podtracker.commands.rules import holds, said_by
from podtracker.redact import Token

NOT_CHECKED: Final = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete"
    " validation"
)

_STRING: Final[Mapping[str, Any]] = {"type": "string"}
_STRINGS: Final[Mapping[str, Any]] = {"type": "object", "additionalProperties": _STRING}
_METADATA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "name": _STRING,
        "generateName": _STRING,
        "namespace": _STRING,
        "labels": _STRINGS,
        "annotations": _STRINGS,
        "finalizers": {"type": "array"},
        "ownerReferences": {"type": "array"},
        # The rest is the API server's, and stands in manifests that were read from it.
        "uid": {},
        "resourceVersion": {},
        "generation": {},
        "creationTimestamp": {},
        "deletionTimestamp": {},
        "deletionGracePeriodSeconds": {},
        "managedFields": {},
        "selfLink": {},
    },
}
_SHOWN: Final = frozenset({"string", "integer", "number", "boolean"})
"""Types of wrong values that are repeated; the others could be of any size."""
_TOP: Final = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})
_SUBDOMAIN: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_TIME: Final = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|[+-][0-9]{2}:[0-9]{2})")
_LAST_HOUR: Final = 23
_LAST_MINUTE: Final = 59


class Problem(msgspec.Struct, frozen=True):
    """Something that the API server would refuse."""

    field: str
    """Its path; empty for the object as a whole."""
    message: str
    blocks: bool = False
    """Whether the API server looks at no rules where it found this."""


def problems(body: Mapping[str, Any]) -> list[Problem]:
    """All that is wrong with a PodTracker; its status is left alone, as the API server does."""
    schema = _schema()
    found = [_unknown(name) for name in body if name not in _TOP]
    found += _metadata(body.get("metadata"))
    spec = schema["properties"]["spec"]
    if body.get("spec") is not None:
        found += _field(spec, body["spec"], "spec")
    if any(problem.blocks for problem in found):
        return [*found, Problem("", NOT_CHECKED)]
    return [*found, *_rules(schema, _known(schema, body), "")]


@cache
def _schema() -> Mapping[str, Any]:
    """The schema as the CRD has it, with `$ref` and "this or null" resolved."""
    document = msgspec.json.schema(Resource, schema_hook=_string)
    resolved: Mapping[str, Any] = _resolved(document, document["$defs"])
    return resolved


def _string(kind: type) -> dict[str, Any]:
    if kind is Token:
        return {"type": "string"}
    raise NotImplementedError(kind)


def _resolved(source: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(source, list):
        return [_resolved(item, definitions) for item in source]
    if not isinstance(source, dict):
        return source
    while "anyOf" in source or "$ref" in source:
        if "anyOf" in source:
            [inner] = [option for option in source["anyOf"] if option != {"type": "null"}]
        else:
            inner = definitions[source["$ref"].removeprefix("#/$defs/")]
        source = inner | {key: value for key, value in source.items() if key not in {"anyOf", "$ref"}}
    return {key: _resolved(value, definitions) for key, value in source.items() if key != "$defs"}


# the schema


def _field(schema: Mapping[str, Any], value: Any, path: str) -> Iterator[Problem]:
    """What is wrong with one field and all in it, rules aside."""
    wanted = schema.get("type", "string" if "enum" in schema else None)
    actual = _type_of(value)
    if wanted is not None and wanted != actual:
        yield Problem(path, f'{path} in body must be of type {wanted}: "{actual}"', blocks=True)
    if "enum" in schema and actual in _SHOWN and value not in schema["enum"]:
        supported = ", ".join(f'"{choice}"' for choice in sorted(schema["enum"]))
        shown = json.dumps(value, ensure_ascii=False)
        yield Problem(path, f"Unsupported value: {shown}: supported values: {supported}", blocks=True)
    if wanted != actual:
        return
    if actual == "string":
        yield from _text(schema, value, path)
    elif actual == "array":
        yield from _list(schema, value, path)
    elif actual == "object":
        yield from _object(schema, value, path)


def _text(schema: Mapping[str, Any], value: str, path: str) -> Iterator[Problem]:
    if len(value) > schema.get("maxLength", len(value)):
        yield Problem(path, f"Too long: may not be more than {schema['maxLength']} bytes", blocks=True)
    elif schema.get("format") == "date-time" and not _is_date_time(value):
        yield Problem(path, f'{path} in body must be of type date-time: "{value}"', blocks=True)
    if len(value) < schema.get("minLength", 0):
        yield Problem(path, f"{path} in body should be at least {schema['minLength']} chars long")


def _list(schema: Mapping[str, Any], value: list[Any], path: str) -> Iterator[Problem]:
    if len(value) > schema.get("maxItems", len(value)):
        yield Problem(path, f"Too many: {len(value)}: must have at most {schema['maxItems']} items", blocks=True)
        return
    if len(value) < schema.get("minItems", 0):
        yield Problem(path, f"{path} in body should have at least {schema['minItems']} items")
    for place, item in enumerate(value):
        where = f"{path}[{place}]"
        yield from _field(schema.get("items", {}), item, where)
        if schema.get("x-kubernetes-list-type") == "set" and isinstance(item, str) and item in value[:place]:
            yield Problem(where, f"Duplicate value: {json.dumps(item, ensure_ascii=False)}")


def _object(schema: Mapping[str, Any], value: Mapping[str, Any], path: str) -> Iterator[Problem]:
    fields = schema.get("properties", {})
    others = schema.get("additionalProperties")
    told = {said_by(rule["rule"]) for rule in schema.get("x-kubernetes-validations", ())}
    if len(value) > schema.get("maxProperties", len(value)):
        yield Problem(path, f"Too many: {len(value)}: must have at most {schema['maxProperties']} items", blocks=True)
        return
    for name in schema.get("required", ()):
        if name not in told and value.get(name) is None:
            yield Problem(f"{path}.{name}", "Required value", blocks=True)
    for name, inner in value.items():
        where = f"{path}.{name}"
        if name not in fields and not others:
            yield _unknown(where)
        elif inner is not None:
            # The API server drops an explicit null, so it means the same as nothing.
            yield from _field(fields.get(name, others), inner, where)


def _metadata(metadata: Any) -> Iterator[Problem]:
    metadata = {} if metadata is None else metadata
    yield from _field(_METADATA, metadata, "metadata")
    if not isinstance(metadata, dict):
        return
    name = metadata.get("name")
    if not name and not metadata.get("generateName"):
        yield Problem("metadata.name", "Required value: name or generateName is required", blocks=True)
    elif isinstance(name, str) and name and not re.fullmatch(_SUBDOMAIN, name):
        yield Problem(
            "metadata.name",
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must"
            " start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
            f" '{_SUBDOMAIN}')",
        )
    if isinstance(name, str) and len(name) > MAX_NAME:
        yield Problem("metadata.name", f"must be no more than {MAX_NAME} characters")


def _unknown(path: str) -> Problem:
    return Problem(path, f'unknown field "{path}"')


# the rules


def _known(schema: Mapping[str, Any], value: Any) -> Any:
    """What the API server keeps of a value: neither unknown fields nor null."""
    if isinstance(value, dict) and "properties" in schema:
        fields = schema["properties"]
        return {name: _known(fields[name], value[name]) for name in fields if value.get(name) is not None}
    if isinstance(value, list):
        return [_known(schema.get("items", {}), item) for item in value]
    return value


def _rules(schema: Mapping[str, Any], value: Any, path: str) -> Iterator[Problem]:
    """What the rules say of a field and all in it; its types are right."""
    for rule in schema.get("x-kubernetes-validations", ()):
        if not holds(rule["rule"], value):
            yield Problem(path, rule["message"])
    if isinstance(value, dict):
        for name, inner in schema.get("properties", {}).items():
            if name in value and name != "status":
                yield from _rules(inner, value[name], f"{path}.{name}".removeprefix("."))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _rules(schema.get("items", {}), item, f"{path}[{place}]")


# values


def _type_of(value: Any) -> str:
    for kind, name in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (list, "array")):
        if isinstance(value, kind):
            return name
    return "object" if isinstance(value, dict) else "null"


def _is_date_time(text: str) -> bool:
    """As the API server has it (kube-openapi: strfmt.IsDateTime): it looks no closer at an offset."""
    date, *rest = text.lower().split("t")
    time = _TIME.fullmatch(rest[0]) if rest else None
    if time is None or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", date):
        return False
    try:
        dt.date.fromisoformat(date)
    except ValueError:
        return False
    return int(time[1]) <= _LAST_HOUR and int(time[2]) <= _LAST_MINUTE and int(time[3]) <= _LAST_MINUTE
