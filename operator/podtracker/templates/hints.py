# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a text, and what would be right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final

from jinja2 import nodes

from podtracker.templates.vocabulary import LABEL, VARIABLES, TemplateError

_SHOWN: Final = 40
"""Characters of a wrong word that are repeated."""
_GROUPS: Final = tuple(dict.fromkeys(name.split(".")[0] for name in VARIABLES))


def unknown(path: Sequence[str]) -> str:
    """Why no variable has this path."""
    group, wanted = path[0], ".".join(path)
    parts = [name for name in (*VARIABLES, LABEL) if name.startswith(f"{group}.")]
    if len(path) == 1 and parts:
        return f"{group} is not a text itself: write {', '.join(parts)}"
    if parts:
        return f"{group} has no {quoted('.'.join(path[1:]))}{meant(wanted, parts)}"
    if group in VARIABLES:
        return f"{group} has no parts: write {group}"
    closest = {name.split(".")[-1]: name for name in reversed(tuple(VARIABLES))}
    near = _near(wanted, VARIABLES) or [closest[name] for name in _near(path[-1], closest)]
    hint = f"; did you mean {near[0]}?" if near else f": there are {', '.join(_GROUPS)}"
    return f"there is no variable {quoted(wanted)}{hint}"


def _near(word: str, words: Iterable[str]) -> list[str]:
    small = {name.lower(): name for name in words}
    return [small[name] for name in get_close_matches(word[:_SHOWN].lower(), small, n=1)]


def meant(word: str, words: Iterable[str]) -> str:
    """The word that was probably meant, or all there are; to stand behind the wrong one."""
    near = _near(word, words)
    return f"; did you mean {near[0]}?" if near else f": there are {', '.join(words)}"


def refused(node: nodes.Node) -> TemplateError:
    """Why a kind of node is not available."""
    for kinds, sentence in _REFUSED:
        if isinstance(node, kinds):
            return TemplateError(node.lineno, sentence)
    return TemplateError(node.lineno, f"{type(node).__name__} is not available in a message")


_REFUSED: Final[tuple[tuple[type[nodes.Node] | tuple[type[nodes.Node], ...], str], ...]] = (
    (nodes.Call, "nothing can be called: write a filter, such as pod.name | upper"),
    (nodes.Test, "there are no tests with `is`: write == or !=, as in event.exitCode != none"),
    (
        (nodes.BinExpr, nodes.UnaryExpr),
        "there is no arithmetic: ~ joins texts, and a label's key stands in quotes, as in pod.labels['a.example/b']",
    ),
    ((nodes.Tuple, nodes.List, nodes.Dict), "a list of constants stands right of `in` only"),
)


def quoted(word: str) -> str:
    """A wrong word, as it is repeated."""
    return repr(shortened(word))


def shortened(text: str, length: int = _SHOWN) -> str:
    """At most so many characters of a text."""
    return text if len(text) <= length else text[:length] + "…"
