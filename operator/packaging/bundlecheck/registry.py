# SPDX-License-Identifier: Apache-2.0
"""The list of checks: each is a function with an id, a severity, a source and a remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from bundlecheck.findings import Finding, Severity
from bundlecheck.node import Node
from bundlecheck.subject import Subject

ERROR: Final = Severity.ERROR
WARNING: Final = Severity.WARNING

Problems = Iterator[tuple[Node, str]]
"""What a check yields: the place, and a sentence of what is wrong there."""

Function = Callable[[Subject], Problems]


@dataclass(frozen=True, slots=True)
class Check:
    """One check."""

    id: str
    severity: Severity
    source: str
    remedy: str
    needs_csv: bool
    function: Function

    @property
    def summary(self) -> str:
        """What must hold, in one line."""
        return (self.function.__doc__ or "").partition("\n")[0]

    def run(self, subject: Subject) -> Iterator[Finding]:
        """What it finds. A bundle without a CSV is told once, not by each check of the CSV."""
        if self.needs_csv and not subject.csv.exists:
            return
        for node, message in self.function(subject):
            yield Finding(
                self.id, self.severity, subject.shown(node.file), node.path, message, self.remedy, self.source
            )


CHECKS: dict[str, Check] = {}
"""Every check by its id; importing `bundlecheck.checks` fills it."""


def check(
    identifier: str, severity: Severity, source: str, remedy: str, *, needs_csv: bool = True
) -> Callable[[Function], Function]:
    """Register a check; its docstring's first line says what must hold.

    Args:
        identifier: unique, and the same for ever: people write it into their CI.
        severity: of each of its findings.
        source: section of the packaging notes, and who enforces it.
        remedy: what to do, in a sentence.
        needs_csv: whether it has nothing to say about a bundle without a CSV.
    """

    def register(function: Function) -> Function:
        if identifier in CHECKS:
            msg = f"two checks are named {identifier}"
            raise ValueError(msg)
        CHECKS[identifier] = Check(identifier, severity, source, remedy, needs_csv, function)
        return function

    return register
