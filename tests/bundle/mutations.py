# SPDX-License-Identifier: Apache-2.0
"""Ways to break a bundle: each is one change, and only the check that it is named for may refuse it."""

from __future__ import annotations

from typing import Final, NamedTuple

from bundle import mutations_catalog, mutations_csv, mutations_install, mutations_layout
from bundle.changes import Change

_CHANGES: Final = (
    *mutations_layout.CHANGES,
    *mutations_csv.CHANGES,
    *mutations_install.CHANGES,
    *mutations_catalog.CHANGES,
)


class Mutation(NamedTuple):
    """A change, and the id of the check that must refuse it."""

    check: str
    change: Change
    number: int

    @property
    def id(self) -> str:
        return f"{self.check}-{self.number}" if self.number else self.check


def _numbered() -> list[Mutation]:
    counts: dict[str, int] = {}
    found = []
    for check, change in _CHANGES:
        found.append(Mutation(check, change, counts.get(check, 0)))
        counts[check] = counts.get(check, 0) + 1
    return found


MUTATIONS: Final = _numbered()
