# SPDX-License-Identifier: Apache-2.0
"""Pods that come and go at a steady rate, some of which a kubelet starts."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from types import TracebackType
from typing import Final, Self

from e2e.scene import Scene
from recorder.script import pod as make_pod
from support.manifests import Json

_LIFE: Final = 6.0
"""Seconds from a pod's creation to its deletion."""

_GRACE: Final = 1

_AT_ONCE: Final = 8
"""Requests under way; more would only wait for each other in the API server."""


class Churn:
    """Creates pods at a rate and deletes each after its life; an asynchronous context manager, at whose end all go."""

    def __init__(self, scene: Scene, rate: float, *, started: int = 5) -> None:
        """Args.

        scene: whose namespace they live in.
        rate: pods created per second.
        started: one pod in so many reaches the kubelet, which starts about two a second; the others find no node.
        """
        self.pods: list[Json] = []
        """All that were created, as the API server made them."""
        self._scene = scene
        self._rate = rate
        self._started = started
        self._over = asyncio.Event()
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin."""
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, and delete the pods that are left."""
        self._over.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        moment = time.monotonic()
        async with asyncio.TaskGroup() as lives:
            for number in itertools.count():
                moment += 1 / self._rate
                if await self._is_over_in(moment - time.monotonic()):
                    break
                spec = {} if number % self._started == 0 else {"nodeSelector": {"pod-tracker.test/absent": "yes"}}
                lives.create_task(self._live(make_pod(name=f"churn-{number}", **spec)))

    async def _live(self, pod: Json) -> None:
        async with self._turn:
            if self._over.is_set():
                return
            self.pods.append(await self._scene.create(pod))
        await self._is_over_in(_LIFE)
        async with self._turn:
            await self._scene.api.delete("Pod", pod["metadata"]["name"], self._scene.namespace, grace=_GRACE)

    async def _is_over_in(self, seconds: float) -> bool:
        """Wait, no longer than until the end; tell whether that has come."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), max(0.0, seconds))
        return self._over.is_set()
