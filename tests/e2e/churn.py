# SPDX-License-Identifier: Apache-2.0
"""Pods that come and go at a steady rate, some of which a kubelet starts."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
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
        self._due: list[tuple[float, str]] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin."""
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, and delete the pods that are left."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        while self._due:
            await self._delete_next()

    async def _run(self) -> None:
        moment = time.monotonic()
        for number in itertools.count():
            moment += 1 / self._rate
            await asyncio.sleep(max(0.0, moment - time.monotonic()))
            # Shielded: a pod whose creation is under way when the churn ends must be known.
            await asyncio.shield(self._create(f"churn-{number}"))
            while self._due and self._due[0][0] <= time.monotonic():
                await asyncio.shield(self._delete_next())

    async def _create(self, name: str) -> None:
        spec = {} if len(self.pods) % self._started == 0 else {"nodeSelector": {"pod-tracker.test/absent": "yes"}}
        self.pods.append(await self._scene.create(make_pod(name=name, **spec)))
        heapq.heappush(self._due, (time.monotonic() + _LIFE, name))

    async def _delete_next(self) -> None:
        _, name = heapq.heappop(self._due)
        await self._scene.api.delete("Pod", name, self._scene.namespace, grace=_GRACE)
