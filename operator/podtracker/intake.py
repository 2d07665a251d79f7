# SPDX-License-Identifier: Apache-2.0
"""From the reflector through the engine to the dispatcher: one scope's pods."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from podtracker.dispatch import Dispatcher
from podtracker.engine import Engine, Relist
from podtracker.owners import Owners
from podtracker.pods import Pod


class Intake:
    """The reflector's sink."""

    def __init__(
        self,
        engine: Engine,
        dispatcher: Dispatcher,
        namespace: str | None,
        *,
        owners: Owners,
        on_gap: Callable[[str | None], None],
        on_list: Callable[[], None],
        wall: Callable[[], float],
    ) -> None:
        """Args.

        on_gap: told the namespace (None for all) in which pods may have come and gone unseen.
        on_list: told that a list is complete, and the position a new one.
        wall: seconds since 1970.
        """
        self._owners = owners
        self._wall = wall
        self._on_gap = on_gap
        self._on_list = on_list
        self._engine = engine
        self._dispatcher = dispatcher
        self._namespace = namespace
        self._relist: Relist | None = None

    def prepare(self, pods: Sequence[Pod]) -> Awaitable[None] | None:
        """Learn what workloads these pods belong to, where that decides who means them and is not known."""
        return self._owners.unresolved(pods)

    def begin_list(self, *, gap: bool) -> None:
        """A list of the scope begins."""
        if gap and self._relist is None:
            self._on_gap(self._namespace)
        self._relist = self._engine.begin_relist(self._namespace)

    def listed(self, pods: Sequence[Pod]) -> None:
        """A page of that list."""
        if self._relist is not None:
            self._dispatcher.submit(self._engine.relisted(self._relist, pods, now=self._wall()))

    def end_list(self) -> None:
        """The list is complete."""
        if self._relist is not None:
            self._dispatcher.submit(self._engine.end_relist(self._relist, now=self._wall()))
            self._on_list()
        self._relist = None

    def changed(self, pod: Pod, *, appeared: bool) -> None:
        """A pod was added or modified."""
        self._dispatcher.submit(self._engine.observe(pod, now=self._wall(), appeared=appeared))

    def deleted(self, pod: Pod) -> None:
        """A pod was deleted."""
        self._dispatcher.submit(self._engine.remove(pod, now=self._wall()))
