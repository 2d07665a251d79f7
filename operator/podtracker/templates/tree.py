# SPDX-License-Identifier: Apache-2.0
"""The language of a tracker's text: the part of Jinja that can neither loop, nor call, nor grow.

What Jinja's parser gives is translated node by node; a kind of node that is not listed here is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from jinja2 import nodes
from jinja2.exceptions import TemplateSyntaxError
from jinja2.parser import Parser

from podtracker.api import Event
from podtracker.templates.hints import meant, quoted, refused, shortened, unknown
from podtracker.templates.tokens import ENVIRONMENT, check_tokens
from podtracker.templates.values import (
    COMPARISONS,
    PLAIN_FILTERS,
    Kind,
    Typed,
    always,
    changed,
    common,
    default,
    joined,
    printed,
    sequence,
    truncate,
)
from podtracker.templates.vocabulary import FILTERS, MAX_LABELS, VARIABLES, Author, Program, Subject, TemplateError

_LABEL_KEY: Final = re.compile(r"[A-Za-z0-9._/-]{1,317}")
_EVENTS: Final = tuple(event.value for event in Event)
_LONGEST_ERROR: Final = 200
"""Characters taken of an error of Jinja's; it may repeat the text."""


def compile_text(source: str) -> tuple[Program, frozenset[str]]:
    """Translate a text of at most MAX_MESSAGE characters; gives its program and the labels that it reads.

    Raises:
        TemplateError: it is not of this language.
    """
    try:
        check_tokens(source)
        tree = Parser(ENVIRONMENT, source).parse()
    except TemplateSyntaxError as error:
        raise TemplateError(error.lineno, shortened(error.message or "this is not Jinja", _LONGEST_ERROR)) from None
    compiler = _Compiler()
    return sequence(compiler.body(tree.body)), frozenset(compiler.labels)


class _Compiler:
    def __init__(self) -> None:
        self.labels: set[str] = set()
        self._translate: dict[type[nodes.Node], Callable[[Any], Typed]] = {
            nodes.Const: self._constant,
            nodes.TemplateData: lambda node: (always(Author(node.data)), Kind.TEXT),
            nodes.Name: self._variable,
            nodes.Getattr: self._variable,
            nodes.Getitem: self._variable,
            nodes.Compare: self._comparison,
            nodes.And: self._and,
            nodes.Or: self._or,
            nodes.Not: self._not,
            nodes.CondExpr: self._condition,
            nodes.Concat: self._concatenation,
            nodes.Filter: self._filter,
        }

    def body(self, statements: Iterable[nodes.Node]) -> list[Program]:
        """The parts of a text."""
        parts: list[Program] = []
        for statement in statements:
            if isinstance(statement, nodes.Output):
                parts += (printed(self._expression(node)[0]) for node in statement.nodes)
            elif isinstance(statement, nodes.If):
                parts.append(self._if(statement))
            else:
                raise refused(statement)
        return parts

    def _if(self, node: nodes.If) -> Program:
        branches = [
            (self._expression(branch.test)[0], sequence(self.body(branch.body))) for branch in (node, *node.elif_)
        ]
        otherwise = sequence(self.body(node.else_))

        def choose(subject: Subject) -> Iterator[str]:
            for test, body in branches:
                if test(subject):
                    return body(subject)
            return otherwise(subject)

        return choose

    def _expression(self, node: nodes.Node) -> Typed:
        translate = self._translate.get(type(node))
        if translate is None:
            raise refused(node)
        return translate(node)

    def _constant(self, node: nodes.Const) -> Typed:
        value = node.value
        if isinstance(value, str):
            return always(Author(value)), Kind.TEXT
        if isinstance(value, bool):
            return always(value), Kind.TRUTH
        if isinstance(value, int):
            return always(value), Kind.NUMBER
        if value is None:
            return always(None), Kind.ANY
        raise TemplateError(node.lineno, "write whole numbers, without a point")

    # variables

    def _variable(self, node: nodes.Expr) -> Typed:
        path = _path(node)
        if path[:2] == ["pod", "labels"]:
            return self._label(path[2:], node.lineno)
        name = ".".join(path)
        variable = VARIABLES.get(name)
        if variable is None:
            raise TemplateError(node.lineno, unknown(path))
        return variable.read, Kind.NUMBER if variable.number else Kind.TEXT

    def _label(self, keys: Sequence[str], line: int) -> Typed:
        if len(keys) != 1 or not _LABEL_KEY.fullmatch(keys[0]):
            key = shortened(".".join(keys)) if keys and _LABEL_KEY.fullmatch(".".join(keys)) else "app"
            raise TemplateError(line, f"write one label's key in quotes: pod.labels['{key}']")
        [key] = keys
        self.labels.add(key)
        if len(self.labels) > MAX_LABELS:
            raise TemplateError(line, f"a message can read at most {MAX_LABELS} different labels")
        return (lambda subject: subject.label(key)), Kind.TEXT

    # operators

    def _comparison(self, node: nodes.Compare) -> Typed:
        left, kind = self._expression(node.expr)
        operand: nodes.Node = node.expr
        tests: list[tuple[Callable[[Any, Any], bool], Callable[[Subject], Any]]] = []
        for step in node.ops:
            right, other = self._members(step) if step.op in {"in", "notin"} else self._expression(step.expr)
            _check_comparable(step, kind, other)
            _check_event(operand, step.op, step.expr)
            tests.append((COMPARISONS[step.op], right))
            operand, kind = step.expr, other

        def compare(subject: Subject) -> bool:
            value: Any = left(subject)
            for test, right in tests:
                against = right(subject)
                if not test(value, against):
                    return False
                value = against
            return True

        return compare, Kind.TRUTH

    def _members(self, step: nodes.Operand) -> tuple[Callable[[Subject], Any], Kind]:
        """What may stand right of `in`: a text to look into, or a list of constants."""
        if not isinstance(step.expr, nodes.List | nodes.Tuple):
            evaluate, kind = self._expression(step.expr)
            if kind in {Kind.NUMBER, Kind.TRUTH}:
                raise TemplateError(step.expr.lineno, "right of `in` stands a text or a list of constants")
            return evaluate, kind
        members = tuple(item.value for item in step.expr.items if isinstance(item, nodes.Const))
        if len(members) != len(step.expr.items):
            raise TemplateError(step.expr.lineno, "a list holds constants only, such as ['Failed', 'OOMKilled']")
        return (lambda _: members), Kind.ANY

    def _and(self, node: nodes.And) -> Typed:
        (left, kind), (right, other) = self._expression(node.left), self._expression(node.right)
        return (lambda subject: left(subject) and right(subject)), common(kind, other)

    def _or(self, node: nodes.Or) -> Typed:
        (left, kind), (right, other) = self._expression(node.left), self._expression(node.right)
        return (lambda subject: left(subject) or right(subject)), common(kind, other)

    def _not(self, node: nodes.Not) -> Typed:
        inner, _ = self._expression(node.node)
        return (lambda subject: not inner(subject)), Kind.TRUTH

    def _condition(self, node: nodes.CondExpr) -> Typed:
        test, _ = self._expression(node.test)
        good, kind = self._expression(node.expr1)
        if node.expr2 is None:
            return (lambda subject: good(subject) if test(subject) else None), kind
        bad, other = self._expression(node.expr2)
        return (lambda subject: good(subject) if test(subject) else bad(subject)), common(kind, other)

    def _concatenation(self, node: nodes.Concat) -> Typed:
        return joined([self._expression(operand)[0] for operand in node.nodes]), Kind.TEXT

    # filters

    def _filter(self, node: nodes.Filter) -> Typed:
        if node.node is None or node.name not in FILTERS:
            raise TemplateError(node.lineno, f"there is no filter {quoted(node.name)}{meant(node.name, FILTERS)}")
        inner, kind = self._expression(node.node)
        arguments = _arguments(node)
        if node.name == "default":
            return default(inner, kind, arguments, node.lineno)
        if node.name == "truncate":
            return changed(inner, truncate(arguments, node.lineno)), Kind.TEXT
        if arguments:
            raise TemplateError(node.lineno, f"{node.name} takes nothing in brackets")
        return changed(inner, PLAIN_FILTERS[node.name]), Kind.TEXT


def _check_comparable(step: nodes.Operand, kind: Kind, other: Kind) -> None:
    if step.op in {"in", "notin"} or Kind.ANY in {kind, other}:
        return
    if kind is not other:
        raise TemplateError(
            step.expr.lineno,
            f"{kind.value} is compared with {other.value}: write numbers without quotes, texts with them",
        )
    if kind is Kind.TRUTH and step.op not in {"eq", "ne"}:
        raise TemplateError(step.expr.lineno, "only numbers and texts can be more or less than others")


def _check_event(left: nodes.Node, op: str, right: nodes.Node) -> None:
    """An event that does not exist would make a condition that never holds."""
    if op in {"eq", "ne"} and isinstance(left, nodes.Const):
        left, right = right, left
    if not isinstance(left, nodes.Getattr | nodes.Getitem) or _path(left) != ["event", "type"]:
        return
    if op in {"in", "notin"} and isinstance(right, nodes.Const):
        return
    for item in right.items if isinstance(right, nodes.List | nodes.Tuple) else (right,):
        if isinstance(item, nodes.Const) and isinstance(item.value, str) and item.value not in _EVENTS:
            raise TemplateError(item.lineno, f"there is no event {quoted(item.value)}{meant(item.value, _EVENTS)}")


def _path(node: nodes.Node) -> list[str]:
    """The words of `pod.labels['app']`."""
    path: list[str] = []
    while not isinstance(node, nodes.Name):
        if isinstance(node, nodes.Getattr):
            path.append(node.attr)
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
            path.append(node.arg.value)
        elif isinstance(node, nodes.Getitem):
            raise TemplateError(node.lineno, "in brackets stands a constant in quotes, as in pod.labels['app']")
        else:
            raise TemplateError(node.lineno, "only pod, event, tracker and workload have parts")
        node = node.node
    return [node.name, *reversed(path)]


def _arguments(node: nodes.Filter) -> list[Any]:
    if node.kwargs or node.dyn_args or node.dyn_kwargs:
        raise TemplateError(node.lineno, f"write what {node.name} takes without names: {node.name}(…)")
    constants = [argument.value for argument in node.args if isinstance(argument, nodes.Const)]
    if len(constants) != len(node.args):
        raise TemplateError(node.lineno, f"{node.name} takes constants only: a number, or a text in quotes")
    return constants
