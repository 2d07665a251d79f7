# SPDX-License-Identifier: Apache-2.0
"""Tells what has lasted too long: a pod that cannot be scheduled, volumes that never come, a recovery that held.

Deadlines are in the ledger and survive restarts. When one passes, the pod is read anew before anything is told: the
watch may be behind, as after a downtime, and the pod may be well by now.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from podtracker.dispatch import Dispatcher
from podtracker.engine import Engine
from podtracker.errors import KubeError
from podtracker.ledger import Ledger
from podtracker.owners import Owners
from podtracker.pods import decode_page

logger = logging.getLogger(__name__)

LOOK = 1.0
"""Seconds between looks at the clock: deadlines are whole seconds, and of minutes."""
RETRY = 5.0
"""Seconds until pods of a namespace that could not be read are asked for again."""
AT_ONCE = 20
"""Pods read for one look, so that a thousand that become due together do not crowd the API server."""


class PodSource(Protocol):
    """Where pods are read."""

    async def list_pods(self, namespace: str | None, *, limit: int, continue_token: str, field_selector: str) -> bytes:
        """One page of pods, as JSON; raises KubeError."""
        ...


class Deadlines:
    """The clock's side of the engine."""

    def __init__(
        self,
        source: PodSource,
        engine: Engine,
        ledger: Ledger,
        *,
        owners: Owners,
        dispatcher: Dispatcher,
        wall: Callable[[], float],
    ) -> None:
        """Args: wall: seconds since 1970."""
        self._source = source
        self._engine = engine
        self._ledger = ledger
        self._owners = owners
        self._dispatcher = dispatcher
        self._wall = wall
        self._resting: dict[str, float] = {}
        """Namespaces whose pods could not be read, with when they are asked for again."""

    async def run(self) -> None:
        """Watch the clock, for ever."""
        while True:
            due = self._due(self._wall())
            for uid in due[:AT_ONCE]:
                await self._look_at(uid)
            if len(due) <= AT_ONCE:
                await asyncio.sleep(LOOK)

    def _due(self, now: float) -> list[str]:
        self._resting = {namespace: until for namespace, until in self._resting.items() if until > now}
        return [uid for uid in self._ledger.due_pods(now) if self._namespace(uid) not in self._resting]

    def _namespace(self, uid: str) -> str:
        record = self._ledger.pod(uid)
        return record.namespace if record is not None else ""

    async def _look_at(self, uid: str) -> None:
        namespace = self._namespace(uid)
        if not namespace or namespace in self._resting:
            return
        try:
            await self._read_anew(uid)
        except KubeError as error:
            # One namespace that may not be read any more must not keep the others waiting.
            logger.warning("cannot read a pod", extra={"namespace": namespace, "error": str(error)})
            self._resting[namespace] = self._wall() + RETRY

    async def _read_anew(self, uid: str) -> None:
        record = self._ledger.pod(uid)
        if record is None:
            return
        raw = await self._source.list_pods(
            record.namespace, limit=1, continue_token="", field_selector=f"metadata.name={record.name}"
        )
        pod = next((pod for pod in decode_page(raw).items if pod.uid == uid), None)
        if pod is None:
            # It is gone; the watch will say so.
            self._ledger.no_deadlines(uid)
            return
        await self._owners.resolve((pod,))
        if self._ledger.pod(uid) is None:
            # The watch has seen it go meanwhile.
            return
        self._dispatcher.submit(self._engine.confirm(pod, now=self._wall()))
