# SPDX-License-Identifier: Apache-2.0
"""Rendered manifests against the files on disk: what differs, and making it the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final, Literal, NamedTuple

from manifests.render import MARK

_HEAD: Final = 1024
"""Bytes in which the header is looked for: it is the second line."""


class Difference(NamedTuple):
    """A file that is not what the templates give; `path` is relative to the root, with slashes."""

    path: str
    problem: Literal["missing", "differs", "surplus"]


def compare(rendered: Mapping[str, str], root: Path) -> list[Difference]:
    """Every file under `root` that is missing, differs, or carries our header although no template makes it."""
    found = [Difference(path, problem) for path, text in rendered.items() if (problem := _state(root / path, text))]
    found += [Difference(path, "surplus") for path in _generated(rendered, root) if path not in rendered]
    return sorted(found)


def update(rendered: Mapping[str, str], root: Path) -> list[Difference]:
    """Make the files under `root` what the templates give; returns what had to be changed. Other files are left alone.

    Raises:
        OSError: a file cannot be written or removed.
    """
    differences = compare(rendered, root)
    for path, problem in differences:
        target = root / path
        if problem == "surplus":
            target.unlink()
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(rendered[path].encode())
    return differences


def _state(target: Path, text: str) -> Literal["missing", "differs"] | None:
    if not target.is_file():
        return "missing"
    return None if target.read_bytes() == text.encode() else "differs"


def _generated(rendered: Mapping[str, str], root: Path) -> Iterator[str]:
    """Files with our header, in the folders that hold manifests."""
    for folder in sorted({PurePosixPath(path).parts[0] for path in rendered}):
        for file in (root / folder).rglob("*"):
            if file.is_file() and _has_header(file):
                yield file.relative_to(root).as_posix()


def _has_header(file: Path) -> bool:
    with file.open("rb") as stream:
        lines = stream.read(_HEAD).splitlines()
    return any(line.removeprefix(b"<!-- ").startswith(MARK.encode()) for line in lines)
