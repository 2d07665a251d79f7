# SPDX-License-Identifier: Apache-2.0
"""A value in a document that knows where it stands, and that can be asked for what is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Node:
    """A value, its file and its path. What is absent, or not of the kind asked for, is a node without a value, None.

    So a check reads `csv.at("spec", "icon").items()` and need not care whether there is a spec: that is for the checks
    of the document's shape.
    """

    value: Any
    file: str
    path: str = ""

    def at(self, *keys: str | int) -> Node:
        """The value under these keys of mappings and numbers of lists."""
        value, path = self.value, self.path
        for key in keys:
            if isinstance(key, int):
                path = f"{path}[{key}]"
                value = value[key] if isinstance(value, list) and key < len(value) else None
            else:
                path = _join(path, key)
                value = value.get(key) if isinstance(value, dict) else None
        return Node(value, self.file, path)

    def items(self) -> list[Node]:
        """The items of a list; none where it is no list."""
        return [self.at(index) for index in range(len(self.value))] if isinstance(self.value, list) else []

    def fields(self) -> Iterator[tuple[str, Node]]:
        """The keys that are strings, and their values; none where it is no mapping."""
        if isinstance(self.value, dict):
            for key in self.value:
                if isinstance(key, str):
                    yield key, self.at(key)

    @property
    def exists(self) -> bool:
        """Whether there is anything."""
        return self.value is not None

    @property
    def text(self) -> str:
        """The value when it is a string, else an empty one."""
        return self.value if isinstance(self.value, str) else ""

    @property
    def mapping(self) -> dict[Any, Any]:
        """The value when it is a mapping, else an empty one."""
        return self.value if isinstance(self.value, dict) else {}

    def texts(self) -> list[str]:
        """The strings of a list."""
        return [item for item in self.value if isinstance(item, str)] if isinstance(self.value, list) else []


def _join(path: str, key: str) -> str:
    if not _PLAIN_KEY.fullmatch(key):
        return f"{path}['{key}']"
    return f"{path}.{key}" if path else key
