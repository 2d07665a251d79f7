# SPDX-License-Identifier: Apache-2.0
"""Pods that come and go at a steady rate, whatever happens to the API server."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import time
from collections.abc import Coroutine, Iterable, Sequence
from random import Random
from types import TracebackType
from typing import Any, Self

import aiohttp

from chaos.waiting import until
from support.kube import ApiError, Kube
from support.manifests import make_pod


class Churn:
    """Creates pods of the given names at a rate and deletes each after a random life; names are used again.

    An asynchronous context manager; at its end no new pod is made and the living ones stay.
    """

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        names: Sequence[str],
        *,
        rng: Random,
        rate: float = 20.0,
        lives: tuple[float, float] = (0.05, 4.0),
    ) -> None:
        """Args: rate: pods created per second; lives: shortest and longest life in seconds."""
        self.created = 0
        self.deleted = 0
        self.failed = 0
        self.deleting = True
        """Whether pods may die now; those that are due wait otherwise."""
        self._kube = kube
        self._namespace = namespace
        self._free = list(names)
        self._due: list[tuple[float, str]] = []
        self._rng = rng
        self._rate = rate
        self._lives = lives
        self._calls: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="churn")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, and wait for the requests that are under way."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._calls:
            await asyncio.wait(self._calls)

    async def _run(self) -> None:
        moment = time.monotonic()
        while True:
            moment += 1 / self._rate
            await until(moment)
            if self._free:
                self._start(self._create(self._free.pop(self._rng.randrange(len(self._free)))))
            while self.deleting and self._due and self._due[0][0] <= time.monotonic():
                self._start(self._delete(heapq.heappop(self._due)[1]))

    def _start(self, call: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _create(self, name: str) -> None:
        try:
            await self._kube.create(make_pod(name), self._namespace)
            self.created += 1
        except (ApiError, aiohttp.ClientError, TimeoutError, OSError):
            self.failed += 1  # it may exist all the same
        heapq.heappush(self._due, (time.monotonic() + self._rng.uniform(*self._lives), name))

    async def _delete(self, name: str) -> None:
        try:
            await self._kube.delete("Pod", name, self._namespace)
        except (ApiError, aiohttp.ClientError, TimeoutError, OSError):
            self.failed += 1
            heapq.heappush(self._due, (time.monotonic() + 1, name))
            return
        self.deleted += 1
        self._free.append(name)


async def in_bulk(calls: Iterable[Coroutine[Any, Any, Any]], *, at_once: int = 16) -> None:
    """Run many requests, so many at a time, each of which must succeed; give a generator, which makes them in time."""
    waiting = iter(calls)

    async def work() -> None:
        for call in waiting:
            await call

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())
