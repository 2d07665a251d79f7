# SPDX-License-Identifier: Apache-2.0
"""Waiting on facts instead of sleeping."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, overload

POLL: Final = 0.03
"""Seconds between two looks at a fact."""

PATIENCE: Final = 30.0
"""Seconds after which a fact is taken for missing; far more than any of them needs on a busy machine."""

T = TypeVar("T")


@overload
async def eventually(probe: Callable[[], Awaitable[T]], *, what: str = ..., within: float = ...) -> T: ...
@overload
async def eventually(probe: Callable[[], T], *, what: str = ..., within: float = ...) -> T: ...
async def eventually(probe: Callable[[], Any], *, what: str = "", within: float = PATIENCE) -> Any:
    """Call `probe` until it returns something true, and return that.

    An AssertionError inside the probe means "not yet"; its text is kept for the report.

    Raises:
        AssertionError: `within` seconds passed; tells `what` was awaited and what the probe said last.
    """
    deadline = time.monotonic() + within
    while True:
        said: object
        try:
            result = probe()
            if inspect.isawaitable(result):
                result = await result
            if result:
                return result
            said = result
        except AssertionError as error:
            said = error
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {within:g} s for {what or 'the probe'}; the last look said: {said}")
        await asyncio.sleep(POLL)


async def until_second_after(timestamp: float) -> None:
    """Wait until the clock shows a later whole second: Kubernetes' creation times have no finer grain."""
    await eventually(lambda: int(time.time()) > int(timestamp), what="the next second", within=3)
