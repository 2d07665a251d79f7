# SPDX-License-Identifier: Apache-2.0
"""Virtual time: an event loop whose clock jumps to the next timer as soon as nothing else is left to do.

An hour passes in a millisecond, in the same order every time; and a test that waits for something that can never come
fails at once, instead of hanging.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

P = ParamSpec("P")

_TICK = 1e-9
"""Seconds that pass with every turn of the loop, so that no timer is due at the instant that set it."""


class _Jumping(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 5_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if timeout is None and not ready:
            raise AssertionError("deadlock: the test waits for something that nothing is going to do")
        self.now += _TICK if ready or timeout is None else timeout + _TICK
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop; its `time()` is virtual."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test in virtual time; it fails when a task of its is still running or failed unseen."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        unseen: list[str] = []

        async def watched() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(str(context)))
            await test(*args, **kwargs)

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(watched())
        assert not unseen

    return run


def clock() -> float:
    """The running loop's virtual time."""
    return asyncio.get_running_loop().time()


async def passing(seconds: float) -> None:
    """Let virtual time pass, and everything happen that is due within it."""
    await asyncio.sleep(seconds)


async def quiet() -> None:
    """Return once nothing more happens without time passing."""
    await asyncio.sleep(1e-4)
