# SPDX-License-Identifier: Apache-2.0
"""A tracker's own text: what it may name, and how it is filled in.

Whoever may write a tracker writes these texts, so the operator runs nothing of them. Jinja's parser reads the text,
`tree` takes what its allow-list names and refuses the rest, and what is left is walked: every part of a text is looked
at once at most, so a text of a bounded length takes a bounded time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

from podtracker.api import MAX_MESSAGE
from podtracker.templates.vocabulary import Author, Program, Subject, TemplateError

__all__ = ["Subject", "Template", "TemplateError", "compile_message"]

_KEPT: Final = 256
"""Compiled texts that are kept; some 20 KB each at most."""


class Template:
    """A text that was found good."""

    def __init__(self, program: Program, label_keys: frozenset[str]) -> None:
        self._program = program
        self.label_keys = label_keys
        """The labels of the pod that it reads."""

    def render(self, subject: Subject, *, escape: Callable[[str], str], limit: int) -> str:
        """The text for an occurrence; the default one where nothing else would be said.

        Args:
            subject: what the variables name.
            escape: applied to the values of variables, never to the author's own words. It may look at single
                characters only.
            limit: characters that the result has at most; what is longer ends with an ellipsis.
        """
        text = _within(self._program(subject), escape, limit)
        return text or _within(iter((subject.text,)), escape, limit)


def compile_message(source: str) -> Template:
    """Read a tracker's text.

    Raises:
        TemplateError: it cannot be used.
    """
    if len(source) > MAX_MESSAGE:
        raise TemplateError(1, f"the text has {len(source)} characters; write at most {MAX_MESSAGE}")
    outcome = _compiled(source)
    if isinstance(outcome, Template):
        return outcome
    # Made anew: an exception that is raised twice would collect the frames of both.
    raise TemplateError(*outcome)


@lru_cache(maxsize=_KEPT)
def _compiled(source: str) -> Template | tuple[int, str]:
    from podtracker.templates import tree  # noqa: PLC0415 - loads Jinja, which an operator without such texts never needs

    try:
        return Template(*tree.compile_text(source))
    except TemplateError as error:
        return error.line, error.message


def _within(parts: Iterator[str], escape: Callable[[str], str], limit: int) -> str:
    shown: list[str] = []
    room = limit - len("…")
    for part in parts:
        text = part if isinstance(part, Author) else escape(part)
        if len(text) > room:
            shown += (_beginning(part, escape, room), "…")
            break
        shown.append(text)
        room -= len(text)
    return "".join(shown).strip()


def _beginning(part: str, escape: Callable[[str], str], room: int) -> str:
    """As much of a part as fits once it is escaped; cutting afterwards could cut an escape sequence in two."""
    if isinstance(part, Author):
        return part[:room]
    low, high = 0, min(len(part), room)
    while low < high:
        middle = (low + high + 1) // 2
        if len(escape(part[:middle])) <= room:
            low = middle
        else:
            high = middle - 1
    return escape(part[:low])
