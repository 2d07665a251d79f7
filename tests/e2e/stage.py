# SPDX-License-Identifier: Apache-2.0
"""What all tests share."""

from __future__ import annotations

from dataclasses import dataclass

from e2e.api import Kubectl
from kindnode.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Stage:
    """A cluster, and the image under test on it."""

    kubectl: Kubectl
    image: str
    next_image: str | None
    """One of another version, where there is one."""
    cluster: Cluster | None
    """Where it is the one of kindnode, so that its node can be touched."""
    start: float | None
    """Seconds that its start took, where it was started now and nothing had to be built."""
