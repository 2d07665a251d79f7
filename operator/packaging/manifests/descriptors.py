# SPDX-License-Identifier: Apache-2.0
"""How consoles show a tracker: the descriptors' lines, with what the API's types say of each field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from manifests.errors import SourceError
from manifests.sources import DESCRIPTORS_FILE, Descriptor, Descriptors

_PREFIX: Final = "urn:alm:descriptor:"


def described(descriptors: Descriptors, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The CSV's resources, specDescriptors and statusDescriptors.

    Raises:
        SourceError: a line is about a field that does not exist, or a top-level field has no line.
    """
    parts = schema["properties"]
    return {
        "resources": [msgspec.to_builtins(used) for used in descriptors.resources],
        "spec": _lines(descriptors.spec, parts["spec"], "spec"),
        "status": _lines(descriptors.status, parts["status"], "status"),
    }


def _lines(lines: Iterable[Descriptor], schema: Mapping[str, Any], part: str) -> list[dict[str, Any]]:
    described = [_line(line, schema, part) for line in lines]
    if missing := schema["properties"].keys() - {line["path"] for line in described}:
        raise SourceError(f"{DESCRIPTORS_FILE}: {part}: no line for {', '.join(sorted(missing))}")
    return described


def _line(line: Descriptor, schema: Mapping[str, Any], part: str) -> dict[str, Any]:
    field = schema
    for name in line.path.split("."):
        try:
            field = field["properties"][name]
        except KeyError:
            raise SourceError(f"{DESCRIPTORS_FILE}: {part}.{line.path}: the API has no such field") from None
    return {
        "path": line.path,
        "displayName": line.display_name,
        "description": field["description"],
        "xDescriptors": [_PREFIX + end for end in line.x],
    }
