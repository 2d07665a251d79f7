# SPDX-License-Identifier: Apache-2.0
"""Which kind of cluster to use: the one place that decides."""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from devcluster.errors import ClusterError

VARIABLE: Final = "CLUSTER"
"""Environment variable with the kind of cluster that is meant when none is given."""


class Kind(enum.StrEnum):
    """What a cluster is made of."""

    AUTO = "auto"
    """kind where it works, else local."""
    LOCAL = "local"
    """A control plane of processes on loopback, without nodes."""
    KIND = "kind"
    """Nodes in containers."""
    CURRENT = "current"
    """The user's own, that KUBECONFIG points at; never taken unless asked for by name."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The kind to use, never `AUTO`, and why as part of a sentence."""

    kind: Kind
    why: str


def requested(given: str | None, environment: Mapping[str, str]) -> Kind:
    """Return the kind the user asked for, by flag before environment.

    Raises:
        ClusterError: there is no such kind.
    """
    name = given or environment.get(VARIABLE) or Kind.AUTO
    try:
        return Kind(name)
    except ValueError as exc:
        msg = f"There is no kind of cluster {name!r}: choose one of {', '.join(Kind)} with --kind or {VARIABLE}."
        raise ClusterError(msg) from exc


def choose(asked: Kind, kind_obstacle: Callable[[], str | None]) -> Choice:
    """Decide which kind to use.

    Args:
        asked: what the user asked for.
        kind_obstacle: returns why kind cannot be used here, or None when it can; called only when that matters.

    Raises:
        ClusterError: kind was asked for by name and cannot be used.
    """
    if asked in (Kind.LOCAL, Kind.CURRENT):
        return Choice(asked, "as asked")
    obstacle = kind_obstacle()
    if obstacle is None:
        return Choice(Kind.KIND, "as asked" if asked is Kind.KIND else "it is installed and works")
    if asked is Kind.KIND:
        msg = f"kind cannot be used here: {obstacle}. Remedy that, or use CLUSTER=local."
        raise ClusterError(msg)
    return Choice(Kind.LOCAL, f"kind cannot be used: {obstacle}")
