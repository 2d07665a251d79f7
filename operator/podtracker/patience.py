# SPDX-License-Identifier: Apache-2.0
"""Patience with the API server while the operator starts; later, everything has its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from podtracker.errors import KubeError

T = TypeVar("T")

logger = logging.getLogger(__name__)

LIMIT = 60.0
"""Seconds in which the API server must answer."""
_RETRY = 1.0
"""Seconds between tries."""


async def patiently(
    ask: Callable[[], Awaitable[T]], *, what: str, final: Callable[[KubeError], bool], clock: Callable[[], float]
) -> T:
    """Ask until there is an answer.

    Args:
        ask: what to try.
        what: its name, for the log.
        final: whether an error is an answer too, and is raised at once.
        clock: monotonic seconds.

    Raises:
        KubeError: a final one, or the last before patience ran out.
    """
    deadline = clock() + LIMIT
    while True:
        try:
            return await ask()
        except KubeError as error:
            if final(error) or clock() > deadline:
                raise
            logger.warning("the API server is not there yet", extra={"asked": what, "error": str(error)})
            await asyncio.sleep(_RETRY)
