# SPDX-License-Identifier: Apache-2.0
"""Randomness that can be repeated."""

from __future__ import annotations

import zlib
from random import Random


def chance(seed: str) -> Random:
    """Return the randomness that belongs to a seed."""
    return Random(zlib.crc32(seed.encode()))  # noqa: S311 - it is to be repeated, not to be a secret


def branch(rng: Random) -> Random:
    """Return randomness of its own for a part whose draws come at times that differ from run to run."""
    return chance(str(rng.random()))
