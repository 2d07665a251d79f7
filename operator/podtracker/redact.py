# SPDX-License-Identifier: Apache-2.0
"""Tokens that cannot be printed by accident, and the last net that takes them out of any text that is printed."""

from __future__ import annotations

import json
import re

MASK = "***"

_LOOKS_LIKE_A_TOKEN = re.compile(r"\bxox[a-z](?:\.xox[a-z])?-[^\s\"',;)\]}]+|\bxapp-[^\s\"',;)\]}]+")
"""Slack's token prefixes. The field takes any string, so known values are masked as well: see `Redactor`."""

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
    """Masks credentials in text: all that were ever shown to `learn`, and whatever looks like a Slack token.

    Values are kept for the life of the process: a log line may come later than the tracker that brought its token.
    """

    def __init__(self) -> None:
        self._known: dict[str, None] = {}

    def learn(self, token: Token) -> None:
        """Remember a credential, so that it is masked from now on."""
        value = token.reveal()
        if len(value) >= _SHORTEST_MASKED and value not in self._known:
            shapes = (value, repr(value)[1:-1], json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1])
            # The longest first, or one that begins with another would keep its tail.
            self._known = dict.fromkeys(sorted((*self._known, *shapes), key=len, reverse=True))

    def __call__(self, text: str) -> str:
        """The text without the credentials."""
        for value in self._known:
            if value in text:
                text = text.replace(value, MASK)
        return _LOOKS_LIKE_A_TOKEN.sub(MASK, text)
