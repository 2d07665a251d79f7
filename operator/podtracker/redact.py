# SPDX-License-Identifier: Apache-2.0
"""Tokens that cannot be printed by accident, and the last net that takes them out of any text that is printed."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

MASK = "***"

_LOOKS_LIKE_A_TOKEN = re.compile(r"\bxox[a-z](?:\.xox[a-z])?-[^\s\"',;)\]}]+|\bxapp-[^\s\"',;)\]}]+")
"""Slack's token prefixes. The field takes any string, so known values are masked as well: see `Redactor`."""

MOST_KEPT: Final = 2_000_000
"""Characters of all that is remembered: some 20,000 tokens of the usual length."""
_SHORTEST_MASKED = 4
"""Characters. Masking every occurrence of a shorter value would only make logs unreadable."""


class Token:
    """A credential. `repr` and `str` hide it, `reveal` gives it; equality and hashing go by value."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The credential itself, for the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return f"Token({MASK})"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Token) and other._value == self._value

    def __hash__(self) -> int:
        return hash(("Token", self._value))

    def __bool__(self) -> bool:
        return bool(self._value)


class Redactor:
    """Masks credentials in text: those that were shown to `learn`, and whatever looks like a Slack token.

    Values outlive the tracker that brought them: a log line may come later. Those learned longest ago go when there are
    too many: tenants rotate their Secrets as they please. What is in use is learned again and again.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[str, frozenset[str]] = OrderedDict()
        """By value, how it could stand in a text."""
        self._size = 0
        self._shapes: list[str] = []
        """Of all values. The longest first, or one that begins with another would keep its tail."""

    def learn(self, token: Token) -> None:
        """Remember a credential, so that it is masked from now on."""
        value = token.reveal()
        if len(value) < _SHORTEST_MASKED:
            return
        if value in self._known:
            self._known.move_to_end(value)
            return
        shapes = frozenset(
            (value, repr(value)[1:-1], json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1])
        )
        self._known[value] = shapes
        self._size += _size(shapes)
        while self._size > MOST_KEPT and len(self._known) > 1:
            _, forgotten = self._known.popitem(last=False)
            self._size -= _size(forgotten)
        self._shapes = []

    def __call__(self, text: str) -> str:
        """The text without the credentials."""
        if not self._shapes:
            every = {shape for shapes in self._known.values() for shape in shapes}
            self._shapes = sorted(every, key=len, reverse=True)
        for value in self._shapes:
            if value in text:
                text = text.replace(value, MASK)
        return _LOOKS_LIKE_A_TOKEN.sub(MASK, text)


def _size(shapes: Iterable[str]) -> int:
    return sum(map(len, shapes))
