# SPDX-License-Identifier: Apache-2.0
"""Nobody breaks out of a tracker's text, leaks, hangs or exhausts with it, whatever it is; and it stays Jinja."""

from __future__ import annotations

import gc
import inspect
import sys
import time
import tracemalloc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from podtracker.api import MAX_MESSAGE
from podtracker.templates import Template, _compiled
from podtracker.templates.hints import refused
from podtracker.templates.tree import compile_text
from podtracker.templates.vocabulary import VARIABLES, Subject, TemplateError
from templates.hostile_texts import BOUNDED, REFUSED
from unit.podtracker.occurrences import crash, escape, subject
from unit.podtracker.test_templates import LIMIT, problem

ALL: Final = {f"refused: {name}": source for name, source in REFUSED.items()} | BOUNDED


@pytest.mark.parametrize("source", REFUSED.values(), ids=REFUSED)
def test_hostile_texts_are_refused(source: str) -> None:
    found = problem(source)
    assert found.message
    assert found.line >= 1
    assert len(str(found)) < 400


@pytest.mark.parametrize("source", BOUNDED.values(), ids=BOUNDED)
def test_hostile_texts_that_are_accepted_stay_small(source: str) -> None:
    about = subject(crash(pod="<" * 253, container="<" * 63, reason="<" * 5000), text="<" * 1000)
    template = Template(*compile_text(source))
    for limit in (LIMIT, 300, 2):
        assert len(template.render(about, escape=escape, limit=limit)) <= limit


def _seconds(call: Callable[[], object]) -> float:
    """Of this process alone, the least of a few: others may use the machine."""
    spent = []
    for _ in range(4):
        begin = time.process_time()
        call()
        spent.append(time.process_time() - begin)
    return min(spent)


def _try(source: str) -> Template | None:
    try:
        return Template(*compile_text(source))
    except TemplateError:
        return None


@pytest.mark.parametrize("source", ALL.values(), ids=ALL)
def test_hostile_texts_cost_little_time(source: str) -> None:
    source = source[:MAX_MESSAGE]
    assert _seconds(lambda: _try(source)) < 0.05
    template = _try(source)
    if template is not None:
        about = subject(text="<" * 1000)
        assert _seconds(lambda: template.render(about, escape=escape, limit=LIMIT)) < 0.02


def test_hostile_texts_cost_little_memory() -> None:
    about = subject(text="<" * 1000)
    sources = [source[:MAX_MESSAGE] for source in ALL.values()]
    for source in sources:
        _try(source)
    gc.collect()
    tracemalloc.start()
    try:
        for source in sources:
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            template = _try(source)
            if template is not None:
                template.render(about, escape=escape, limit=LIMIT)
            _, peak = tracemalloc.get_traced_memory()
            assert peak - before < 2_000_000, source[:40]
        before, _ = tracemalloc.get_traced_memory()
        kept = [_try(source) for source in BOUNDED.values()]
        after, _ = tracemalloc.get_traced_memory()
        assert (after - before) / len(kept) * (_compiled.cache_info().maxsize or 0) < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("source", ALL.values(), ids=ALL)
def test_hostile_texts_need_little_stack(source: str) -> None:
    """Whoever compiles may be deep in calls himself: a third of the default stack is enough."""
    source = source[:MAX_MESSAGE]
    _try(source)

    def deep(frames: int) -> None:
        if frames:
            deep(frames - 1)
            return
        template = _try(source)
        if template is not None:
            template.render(subject(), escape=escape, limit=LIMIT)

    deep(sys.getrecursionlimit() - _frames() - 340)


def _frames() -> int:
    """How deep in calls this is."""
    frame, depth = inspect.currentframe(), 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    return depth


def test_a_kind_of_node_that_nobody_thought_of_is_refused() -> None:
    assert "Keyword is not available" in refused(nodes.Keyword("a", nodes.Const(1), lineno=1)).message


# any text at all

SECRET = "\ue000"
"""What all values are made of; `mark` leaves none."""
MARKED = subject(
    crash(
        pod=SECRET * 253,
        container=SECRET * 63,
        reason=SECRET * 200,
        node=SECRET,
        labels=(("app", SECRET * 63),),
    ),
    cluster=SECRET,
    text=SECRET * 600,
)


def mark(text: str) -> str:
    return text.replace(SECRET, "\ue001\ue002")


WORDS = """
{{ }} {% %} {# #} {%- -%} if elif else endif raw endraw for in not and or is none true pod name labels app event type
text cluster . [ ] ( ) ' " | ~ , = == != < > <= >= + - * / ** : ; upper truncate(9) default('a') 1 99 1.5 \\ \\n
é _ __class__
"""
FRAGMENTS = st.sampled_from(
    (
        *WORDS.split(),
        " ",
        "\n",
        "{{ pod.name }}",
        "{{ event.text",
        "pod.labels['app']",
        "{% if ",
        "{% endif %}",
        "\u2028",
    )
)
ANY_TEXT = st.one_of(
    st.text(max_size=60),
    st.lists(FRAGMENTS, max_size=60).map("".join),
    st.lists(FRAGMENTS, max_size=60).map(" ".join),
    st.lists(FRAGMENTS, max_size=30).map(lambda parts: f"{{{{ {' '.join(parts)} }}}}"),
    st.tuples(FRAGMENTS, st.integers(1, 400)).map(lambda pair: pair[0] * pair[1]),
)


@given(source=ANY_TEXT, limit=st.integers(2, LIMIT))
def test_any_text_is_compiled_or_refused_and_never_leaks_a_value(source: str, limit: int) -> None:
    template = _try(source[:MAX_MESSAGE])
    if template is None:
        found = problem(source[:MAX_MESSAGE])
        assert found.line >= 1
        assert len(str(found)) < 400
        return
    text = template.render(MARKED, escape=mark, limit=limit)
    assert SECRET not in text
    assert 0 < len(text) <= limit


# the same as Jinja's own answer


TEXTS = st.sampled_from(["pod.name", "pod.labels['app']", "pod.labels.team", "event.reason", "cluster", "''", "'a b<'"])
NUMBERS = st.sampled_from(["event.restarts", "event.exitCode", "0", "3", "12"])
TRUTHS = st.sampled_from(["true", "false", "event.restarts > 2"])
SIGNS = st.sampled_from(["==", "!=", "<", ">", "<=", ">="])
CHANGES = st.sampled_from(
    ["upper", "lower", "title", "capitalize", "trim", "truncate(5)", "truncate(4, true)", "default('x', true)"]
)
Typed: TypeAlias = tuple[str, str, str]
"""Expressions of a text, of a number, and of true or false."""


def _grown(parts: tuple[Typed, Typed, Typed, str, str]) -> Typed:
    one, two, three, sign, change = parts
    return (
        f"({one[0]} ~ {two[1]} ~ {three[0]}) | {change}",
        f"({one[1]} if {two[2]} else {three[1]})",
        f"({one[0]} {sign} {two[0]} and {three[2]} or {one[1]} {sign} {two[1]} or not {one[0]} in {three[0]})",
    )


EXPRESSIONS = st.recursive(
    st.tuples(TEXTS, NUMBERS, TRUTHS),
    lambda inner: st.tuples(inner, inner, inner, SIGNS, CHANGES).map(_grown),
    max_leaves=4,
)
PIECES = st.one_of(
    st.sampled_from(["plain ", "\n", "  ", "<b>", "{# no #}"]),
    EXPRESSIONS.map(lambda one: f"{{{{ {one[0]} }}}}"),
    EXPRESSIONS.map(lambda one: f"{{{{- {one[1]} -}}}}"),
    EXPRESSIONS.map(
        lambda one: f"{{% if {one[2]} %}}{{{{ {one[2]} }}}}\n{{% elif {one[1]} %}}b{{% else %}}c{{% endif %}}\n"
    ),
)


@given(source=st.lists(PIECES, max_size=5).map("".join))
def test_what_is_accepted_means_what_jinja_means_by_it(source: str) -> None:
    about = subject()
    template = _try(source[:MAX_MESSAGE])
    if template is None:
        assert any(word in problem(source).message for word in ("too much", "too deeply", "characters"))
        return
    mine = template.render(about, escape=str, limit=100_000)
    assert mine == (_JINJA.from_string(source).render(_context(about)).strip() or about.text)


_JINJA = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
_JINJA.policies["truncate.leeway"] = 0


def _context(about: Subject) -> dict[str, Any]:
    groups: dict[str, Any] = {}
    for name, variable in VARIABLES.items():
        group, _, part = name.partition(".")
        if part:
            setattr(groups.setdefault(group, SimpleNamespace()), part, variable.read(about))
        else:
            groups[group] = variable.read(about)
    groups["pod"].labels = dict(about.detail.labels)
    return groups
