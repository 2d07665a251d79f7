# SPDX-License-Identifier: Apache-2.0
"""What the parts of a text come to. Everything here has an answer for every value: nothing fails when it is filled in.

A value knows whose it is: `Author` stands in the text itself, `Joined` is made of parts, any other `str` came from a
variable.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Any, Final, TypeAlias

from jinja2.filters import do_title, do_truncate

from podtracker.templates.tokens import ENVIRONMENT
from podtracker.templates.vocabulary import MAX_TRUNCATE, Author, Program, Subject, TemplateError, Value


class Kind(Enum):
    """What an expression gives, as far as that is known beforehand."""

    TEXT = "a text"
    NUMBER = "a number"
    TRUTH = "true or false"
    ANY = "a value"


Evaluate: TypeAlias = Callable[[Subject], Value]
Typed: TypeAlias = tuple[Evaluate, Kind]


class Joined(str):
    """What `~` gives: a text that still knows which of its parts are the author's."""

    __slots__ = ("parts",)
    parts: tuple[str, ...]


def always(value: Value) -> Evaluate:
    """A constant."""
    return lambda _: value


def shown(value: Value) -> tuple[str, ...]:
    """The parts of a value as they are shown, the author's as `Author`."""
    if isinstance(value, Joined):
        return value.parts
    if isinstance(value, Author):
        return (value,)
    return () if value is None else (str(value),)


def printed(evaluate: Evaluate) -> Program:
    """`{{ … }}`."""
    return lambda subject: iter(shown(evaluate(subject)))


def sequence(parts: Sequence[Program]) -> Program:
    """One after the other."""

    def run(subject: Subject) -> Iterator[str]:
        for part in parts:
            yield from part(subject)

    return run


def common(one: Kind, other: Kind) -> Kind:
    """What is known of a value that is one of two."""
    return one if one is other else Kind.ANY


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """What is not known is neither more nor less than anything."""

    def test(left: Any, right: Any) -> bool:
        same = isinstance(left, str) == isinstance(right, str)
        return same and left is not None and right is not None and compare(left, right)

    return test


def _within(value: Any, container: Any) -> bool:
    if isinstance(container, str):
        return isinstance(value, str) and value in container
    return isinstance(container, tuple) and value in container


COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": _ordered(operator.lt),
    "lteq": _ordered(operator.le),
    "gt": _ordered(operator.gt),
    "gteq": _ordered(operator.ge),
    "in": _within,
    "notin": lambda value, container: not _within(value, container),
}


def joined(operands: Sequence[Evaluate]) -> Evaluate:
    """`a ~ b`."""

    def join(subject: Subject) -> Joined:
        parts = tuple(part for operand in operands for part in shown(operand(subject)))
        text = Joined("".join(parts))
        text.parts = parts
        return text

    return join


# filters


def changed(inner: Evaluate, change: Callable[[str], str]) -> Evaluate:
    """A filter that makes a text of a text."""

    def apply(subject: Subject) -> str:
        value = inner(subject)
        text = change("" if value is None else str(value))
        # A mixed text counts as a value: nobody could say which part of the result is whose.
        return Author(text) if isinstance(value, Author) else text

    return apply


def truncate(arguments: Sequence[Any], line: int) -> Callable[[str], str]:
    """The filter with its arguments, or a TemplateError."""
    length, mid_word = (*arguments, False)[:2] if arguments else (None, None)
    if (
        type(length) is not int
        or not len(_CUT) <= length <= MAX_TRUNCATE
        or type(mid_word) is not bool
        or len(arguments) > 2  # noqa: PLR2004 - those two
    ):
        raise TemplateError(line, f"write truncate(80) or truncate(80, true), a number from 3 to {MAX_TRUNCATE}")
    return lambda text: do_truncate(ENVIRONMENT, text, length, mid_word, _CUT, 0)


def default(inner: Evaluate, kind: Kind, arguments: Sequence[Any], line: int) -> Typed:
    """The filter with its arguments, or a TemplateError."""
    given, empty_too = (*arguments, False)[:2] if arguments else (None, None)
    if type(given) not in {str, int} or type(empty_too) is not bool or len(arguments) > 2:  # noqa: PLR2004 - those two
        raise TemplateError(line, "write default('none'), with a text or a whole number")
    other: Value = Author(given) if isinstance(given, str) else given

    def apply(subject: Subject) -> Value:
        value = inner(subject)
        return other if value is None or (empty_too and not value) else value

    return apply, common(kind, Kind.TEXT if isinstance(given, str) else Kind.NUMBER)


_CUT: Final = "..."
PLAIN_FILTERS: Final[dict[str, Callable[[str], str]]] = {
    "upper": str.upper,
    "lower": str.lower,
    "capitalize": str.capitalize,
    "title": do_title,
    "trim": str.strip,
}
