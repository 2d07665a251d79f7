# SPDX-License-Identifier: Apache-2.0
"""How much chaos: `full` is what the promises are measured by, `short` fits into CI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Scale:
    """The sizes of the scenarios; durations are in seconds."""

    kills: int
    """`kill -9`, half of them where Slack can be read back."""
    api_restarts: int
    speedup: int
    """How much faster than life the outage of Slack is played."""
    burst_watch: float
    """How long the quiet channel is watched beside the flooded one, at least."""
    rounds: int
    """Of each kind of hand-over."""
    freeze: float
    cells: int
    """Pairs of replicas that play the rounds side by side."""
    objects: int
    """Matching pods, each with a tracker of its own."""
    measured: float
    """How long what that costs is measured."""
    thorough: bool
    """Whether variants that differ little from others are played too."""


SCALES: Final = {
    "full": Scale(
        kills=200,
        api_restarts=10,
        speedup=20,
        burst_watch=30,
        rounds=20,
        freeze=60,
        cells=5,
        objects=10_000,
        measured=30,
        thorough=True,
    ),
    "short": Scale(
        kills=25,
        api_restarts=3,
        speedup=60,
        burst_watch=15,
        rounds=2,
        freeze=20,
        cells=2,
        objects=1_000,
        measured=10,
        thorough=False,
    ),
}
