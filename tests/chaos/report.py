# SPDX-License-Identifier: Apache-2.0
"""The results of the scenarios, as tables for people."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence


class Report:
    """Collects tables until somebody prints them."""

    def __init__(self) -> None:
        self._tables: list[str] = []

    def add(self, title: str, rows: Mapping[str, object]) -> None:
        """Add a table of two columns."""
        width = max(len(name) for name in rows)
        lines = [f"  {name:<{width}}  {_shown(value)}" for name, value in rows.items()]
        self._tables.append("\n".join([title, *lines]))

    def take(self) -> list[str]:
        """Return the tables that were added since the last time."""
        tables, self._tables = self._tables, []
        return tables


def spread(values: Sequence[float], unit: str = "s") -> str:
    """Return the count, median, 95th percentile and maximum of some values."""
    if not values:
        return "none"
    ranked = sorted(values)
    return (
        f"n={len(ranked)}  p50 {statistics.median(ranked):.2f} {unit}  "
        f"p95 {percentile(ranked, 0.95):.2f} {unit}  max {ranked[-1]:.2f} {unit}"
    )


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of the values does not exceed."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, max(0, round(share * len(ranked) + 0.5) - 1))]


def _shown(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
