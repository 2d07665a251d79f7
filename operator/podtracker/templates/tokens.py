# SPDX-License-Identifier: Apache-2.0
"""What a text is made of, looked at before it is parsed.

Jinja's parser calls itself for what is nested, and so would run out of stack on `((((…`. Here the tokens are counted
first: what gets through cannot nest deeper than the limits below.
"""

from __future__ import annotations

import re
from typing import Final

from jinja2.sandbox import ImmutableSandboxedEnvironment

from podtracker.templates.hints import shortened
from podtracker.templates.vocabulary import TemplateError

ENVIRONMENT: Final = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
"""Reads texts, and is never asked to run one. Lines that hold only `{% … %}` leave nothing behind."""

MAX_TOKENS: Final = 600
"""Words and signs inside `{{ }}` and `{% %}` of one text."""
MAX_TOKENS_HERE: Final = 120
"""The same of one such place: bounds how deep a chain such as `a|upper|lower|…` nests."""
MAX_NESTING: Final = 12
"""Brackets, `not`, signs and inline `if` within each other, in one such place."""
MAX_BLOCKS: Final = 8
"""`{% if %}` within `{% if %}`."""

_TAGS: Final = ("if", "elif", "else", "endif")
_SILENT: Final = frozenset({"whitespace", "data", "comment_begin", "comment", "comment_end", "raw_begin", "raw_end"})
_STRANGE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
"""Control characters, and halves of characters, which no receiver could be sent."""
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)


def check_tokens(source: str) -> None:
    """Refuse what is too long, too deep, or a statement other than `if`.

    Raises:
        TemplateError: it is one of these.
        TemplateSyntaxError: Jinja finds no tokens in it.
    """
    if strange := _STRANGE.search(source):
        line = source.count("\n", 0, strange.start()) + 1
        raise TemplateError(line, f"the character U+{ord(strange[0]):04X} cannot be in a message: take it out")
    counter = _Counter()
    for line, kind, value in ENVIRONMENT.lex(source):
        counter.token(line, kind, value)


class _Counter:
    def __init__(self) -> None:
        self.total = self.here = self.open = self.chained = self.blocks = 0
        self.before = ""
        """The token before, other than white space: where an expression begins, how it begins."""

    def token(self, line: int, kind: str, value: str) -> None:
        if kind in _SILENT:
            return
        self.total += 1
        self.here += 1
        if kind in {"variable_begin", "block_begin"}:
            self.here = self.open = self.chained = 0
        elif self.before == "block_begin":
            self._tag(line, value)
        elif kind == "operator" or (kind == "name" and self.before != "."):
            self._nest(value)
        elif kind == "string":
            _check_escapes(line, value)
        self.before = value if kind == "operator" else kind
        if self.here > MAX_TOKENS_HERE or self.total > MAX_TOKENS:
            raise TemplateError(line, "too much in one text: write fewer and shorter expressions")
        if self.open + self.chained > MAX_NESTING or self.blocks > MAX_BLOCKS:
            raise TemplateError(line, "nested too deeply: write it flatter, with elif or several expressions")

    def _nest(self, value: str) -> None:
        if value in {"(", "[", "{"}:
            self.open += 1
        elif value in {")", "]", "}"}:
            self.open -= 1
        elif value in {"not", "if", "-", "+"}:
            self.chained += 1

    def _tag(self, line: int, value: str) -> None:
        if value not in _TAGS:
            raise TemplateError(
                line, f"{{% {shortened(value)} %}} is not available in a message; of statements there is only if"
            )
        self.blocks += {"if": 1, "endif": -1}.get(value, 0)


def _check_escapes(line: int, literal: str) -> None:
    for escape in _ESCAPE.finditer(literal):
        if escape[1] not in "\\'\"nt":
            raise TemplateError(line, "a backslash in quotes stands before n, t, a quote or a backslash only")
