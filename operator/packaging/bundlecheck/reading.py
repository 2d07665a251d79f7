# SPDX-License-Identifier: Apache-2.0
"""Reads YAML as Go programs do, and refuses what they would read differently from what a person sees."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

MAX_BYTES: Final = 4 * 1024**2
"""Four times what a whole bundle may have; a larger file is not read."""

_MAY_BE_ALIAS: Final = re.compile(r"(?:^|[\s\[{,:-])\*[^\s*]", re.MULTILINE)
"""A quick first look: most files have none, and finding out for certain takes as long as reading them."""

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Refused(yaml.YAMLError):
    """It is YAML, and is not wanted."""


class _Loader(_Base):  # type: ignore[misc]  # the quick loader exists only where PyYAML was built with it
    """Refuses repeated keys, as Go does where Python takes the last; `y` and `n` are booleans, as in Go."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Build a mapping, once per key."""
        seen = set()
        for key, _ in getattr(node, "value", ()):
            name = (key.tag, str(key.value))
            if name in seen:
                msg = f"the key `{key.value}` appears twice, the second time in line {key.start_mark.line + 1}"
                raise _Refused(msg)
            seen.add(name)
        return super().construct_mapping(node, deep=deep)


_Loader.bool_values = {**_Base.bool_values, "y": True, "n": False}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^[yYnN]$"), list("yYnN"))


@dataclass(frozen=True, slots=True)
class File:
    """A file: its documents, or why there are none."""

    name: str
    """Relative to what is checked, with slashes."""
    content: bytes
    documents: tuple[Any, ...] = ()
    fault: str = ""
    """A sentence; empty when the file could be read."""


def read_bytes(path: Path) -> bytes | str:
    """The content of a file, or a sentence that says why it cannot be had."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return "it is no regular file"
        size = status.st_size
        if size > MAX_BYTES:
            return f"it has {size} bytes; no file of a bundle or catalog needs more than {MAX_BYTES}"
        return path.read_bytes()
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"


def read_yaml(path: Path, name: str) -> File:
    """Read one file; never raises for what stands in it."""
    content = read_bytes(path)
    if isinstance(content, str):
        return File(name, b"", fault=content)
    documents = parse(content)
    if isinstance(documents, str):
        return File(name, content, fault=documents)
    return File(name, content, documents)


def parse(content: bytes) -> tuple[Any, ...] | str:
    """The documents in it, or a sentence that says why there are none."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        return f"it is not UTF-8: {error}"
    try:
        if _MAY_BE_ALIAS.search(text) and any(
            isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=_Loader)
        ):
            return "it has an alias (`*name`); the readers of bundles differ on them, so write the value out"
        return tuple(yaml.load_all(text, Loader=_Loader))
    except _Refused as error:
        return str(error)
    except (yaml.YAMLError, ValueError) as error:
        return f"it is not YAML: {' '.join(str(error).split())}"
    except RecursionError:
        return "it is nested too deeply to be read"
