# SPDX-License-Identifier: Apache-2.0
"""Semantic versions as opm parses them: strictly; and the ranges of `olm.skipRange`."""

from __future__ import annotations

import re
from typing import Any, Final

_NUMBER: Final = r"(0|[1-9]\d*)"
_WORD: Final = r"(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)"
_VERSION: Final = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_WORD}(?:\.{_WORD})*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
_TERM: Final = re.compile(r"(>=|<=|==|!=|=|!|>|<)?\s*(\S+)")
_WILD: Final = re.compile(r"\d+(\.\d+)?\.[xX]")

Version = tuple[int, int, int]


def is_strict(text: str) -> bool:
    """Whether it is `X.Y.Z` with optional pre-release and build parts: no `v`, no leading zeros."""
    return _VERSION.fullmatch(text) is not None


def core(text: str) -> Version | None:
    """The three numbers of a version; None when it is none."""
    match = _VERSION.fullmatch(text)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def precedence(text: str) -> tuple[Any, ...]:
    """A key that sorts versions as semver does: 1.0.0-rc.2 < 1.0.0-rc.10 < 1.0.0.

    Raises:
        ValueError: it is no version.
    """
    match = _VERSION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no semantic version")
    words = match[4].split(".") if match[4] else []
    ranked = tuple((0, int(word), "") if word.isdigit() else (1, 0, word) for word in words)
    return int(match[1]), int(match[2]), int(match[3]), not words, ranked


def is_range(text: str) -> bool:
    """Whether it is a range: comparisons side by side, alternatives apart by `||`."""
    return all(_is_conjunction(part.strip()) for part in text.split("||"))


def _is_conjunction(text: str) -> bool:
    position = 0
    while position < len(text):
        match = _TERM.match(text, position)
        if match is None or not (is_strict(match[2]) or _WILD.fullmatch(match[2])):
            return False
        position = match.end()
        while position < len(text) and text[position].isspace():
            position += 1
    return bool(text)
