# SPDX-License-Identifier: Apache-2.0
"""What happens on the cluster while a system is measured: pods come, change and go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

from benchmark import podbodies
from benchmark.connection import Connection, Endpoint

LANES: Final = 16
"""Requests at the same time, where as many pods as possible are made."""
_POLL: Final = 0.1
_MERGE: Final = "application/merge-patch+json"

Labels = Callable[[str], Mapping[str, str]]
"""The labels of a pod, by its name."""
Clock = dict[str, float]
"""By a pod's name: when something was, in seconds of the monotonic clock, which all processes of a machine share."""


@dataclass
class Created:
    """What was created."""

    asked: Clock = field(default_factory=dict)
    """When each request was sent."""
    answered: Clock = field(default_factory=dict)
    """When each was answered."""


class Load:
    """Changes pods of one cluster."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    async def create(self, namespace: str, names: Sequence[str], labels: Labels) -> Created:
        """Create pods as fast as the API server takes them."""
        created = Created()
        await self._spread(names, lambda connection, name: _create(connection, namespace, name, labels, created))
        return created

    async def create_steadily(self, namespace: str, names: Sequence[str], labels: Labels, *, rate: float) -> Created:
        """Create pods at a rate per second."""
        created = Created()
        async with AsyncExitStack() as stack:
            connections = [await stack.enter_async_context(Connection(self.endpoint)) for _ in range(2)]
            begin = time.monotonic()
            for place, name in enumerate(names):
                await asyncio.sleep(max(0.0, begin + place / rate - time.monotonic()))
                await _create(connections[place % 2], namespace, name, labels, created)
        return created

    async def run(self, namespace: str, names: Sequence[str]) -> None:
        """Make the status of pods that of pods that run."""
        await self._spread(names, lambda connection, name: _patch_status(connection, namespace, name, 0))

    async def churn(self, namespace: str, names: Sequence[str], *, rate: float, seconds: float) -> int:
        """Change the status of pods at a rate per second, in turn; how many changes there were."""
        lanes = 8
        changes = 0
        begin = time.monotonic()

        async def lane(number: int) -> None:
            nonlocal changes
            async with Connection(self.endpoint) as connection:
                place = number
                while (due := place / rate) < seconds:
                    await asyncio.sleep(max(0.0, begin + due - time.monotonic()))
                    # The clock makes every change one, in whatever round.
                    version = int(begin) + place // len(names)
                    await _patch_status(connection, namespace, names[place % len(names)], version)
                    changes += 1
                    place += lanes

        await asyncio.gather(*map(lane, range(lanes)))
        return changes

    async def clear(self, namespace: str, labels: str) -> None:
        """Delete all pods that have a label, and wait until they are gone."""
        path = f"{_pods(namespace)}?labelSelector={labels}"
        async with Connection(self.endpoint) as connection:
            await connection.call("DELETE", path, b'{"gracePeriodSeconds": 0}')
            while b'"items":[]' not in await connection.call("GET", f"{path}&limit=1"):  # noqa: ASYNC110 - elsewhere
                await asyncio.sleep(_POLL)

    async def _spread(self, names: Sequence[str], act: Callable[[Connection, str], Awaitable[object]]) -> None:
        rest: Iterator[str] = iter(names)

        async def lane() -> None:
            async with Connection(self.endpoint) as connection:
                for name in rest:
                    await act(connection, name)

        await asyncio.gather(*(lane() for _ in range(min(LANES, len(names)))))


async def _create(connection: Connection, namespace: str, name: str, labels: Labels, created: Created) -> None:
    body = podbodies.body(name, labels(name))
    created.asked[name] = time.monotonic()
    await connection.call("POST", _pods(namespace), body)
    created.answered[name] = time.monotonic()


async def _patch_status(connection: Connection, namespace: str, name: str, version: int) -> None:
    path = f"{_pods(namespace)}/{name}/status"
    await connection.call("PATCH", path, podbodies.running(version), content_type=_MERGE)


def _pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"
