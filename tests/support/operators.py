# SPDX-License-Identifier: Apache-2.0
"""Starts operators for a test, and ends them with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from support.evidence import Evidence
from support.process import FAST, Operator


class Operators:
    """The operator processes of one test."""

    def __init__(self, kubeconfig: Path, evidence: Evidence) -> None:
        """Let them use the credentials of `kubeconfig`, and write their output to files of `evidence`."""
        self._kubeconfig = kubeconfig
        self._evidence = evidence
        self._made: list[Operator] = []

    def prepare(self, *, flags: Sequence[str] = (), **env: str) -> Operator:
        """Return an operator with these settings over `FAST`, not started yet; `flags` go on its command line."""
        log = self._evidence.new_file("operator.log")
        log.touch()
        operator = Operator({**FAST, "KUBECONFIG": str(self._kubeconfig), **env}, log, flags=flags)
        self._made.append(operator)
        return operator

    async def start(self, **env: str) -> Operator:
        """Start an operator with these settings over `FAST`, and wait until it is ready."""
        operator = self.prepare(**env)
        await operator.start()
        return operator

    def tails(self) -> str:
        """Return the ends of their logs, for the report of a failed test."""
        return "\n".join(operator.tail() for operator in self._made)

    async def close(self) -> None:
        """Stop what still runs, gracefully, and keep its metrics.

        Raises:
            AssertionError: one did not end well, or a traceback stands in its log.
        """
        try:
            for operator in self._made:
                if operator.running:
                    self._evidence.keep("metrics.txt", await operator.exposition())
                    await operator.stop()
        finally:
            for operator in self._made:
                if operator.running:
                    await operator.kill()
        for operator in self._made:
            assert "Traceback" not in operator.output(), f"a traceback in the log\n{operator.tail()}"
