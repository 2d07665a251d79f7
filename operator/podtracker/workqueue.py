# SPDX-License-Identifier: Apache-2.0
"""A queue of keys to work on, level-triggered: a key waits at most once, and is never worked on twice at a time.

The contract is that of client-go's workqueue: whoever adds a key that is being worked on gets it worked on again after.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable


def _one_group(_: str) -> str:
    return ""


class WorkQueue:
    """Keys, in the order they became due within their group; groups in turn."""

    def __init__(self, group: Callable[[str], str] = _one_group) -> None:
        """Args: group: of a key; one of a thousand keys keeps those of others no longer waiting."""
        self._group = group
        self._ready: OrderedDict[str, deque[str]] = OrderedDict()
        self._waiting: set[str] = set()
        self._busy: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: str) -> None:
        """The key is due now; a later time that was set for it is forgotten."""
        self._cancel_timer(key)
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._busy:
            self._append(key)

    def add_after(self, key: str, delay: float) -> None:
        """The key is due in `delay` seconds, or sooner if that was said before."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if key in self._waiting or (timer is not None and timer.when() <= loop.time() + delay):
            return
        self._cancel_timer(key)
        self._timers[key] = loop.call_later(delay, self.add, key)

    def discard(self, key: str) -> None:
        """Nothing is to be done for this key any more."""
        self._cancel_timer(key)

    async def get(self) -> str:
        """The next key; `done` must follow."""
        while not self._ready:
            self._filled.clear()
            await self._filled.wait()
        group, keys = self._ready.popitem(last=False)
        key = keys.popleft()
        if keys:
            self._ready[group] = keys
        self._waiting.discard(key)
        self._busy.add(key)
        return key

    def done(self, key: str) -> None:
        """The work on this key ended; if it was added meanwhile, it is due again."""
        self._busy.discard(key)
        if key in self._waiting:
            self._append(key)

    def close(self) -> None:
        """Forget all that was planned for later."""
        for key in tuple(self._timers):
            self._cancel_timer(key)

    def _append(self, key: str) -> None:
        self._ready.setdefault(self._group(key), deque()).append(key)
        self._filled.set()

    def _cancel_timer(self, key: str) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
