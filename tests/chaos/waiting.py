# SPDX-License-Identifier: Apache-2.0
"""Deliberate durations: how long an outage, a freeze or a burst lasts. Everything else waits on facts."""

from __future__ import annotations

import asyncio
import time


async def until(moment: float) -> None:
    """Return when the monotonic clock shows `moment`."""
    await asyncio.sleep(max(0.0, moment - time.monotonic()))


async def lasting(seconds: float) -> None:
    """Let something last so long."""
    await asyncio.sleep(seconds)
