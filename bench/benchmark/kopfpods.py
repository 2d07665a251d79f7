# SPDX-License-Identifier: Apache-2.0
"""The operator with its pods through kopf instead of its own reflector: what design.md decided against, to be measured.

A switch of the benchmark only. kopf calls a handler for each pod's event; all behind it is the operator's own. What
kopf does not show (positions, the end of a list) is made up: a list has ended when nothing listed came for a while.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

import kopf
import msgspec

from podtracker import __main__ as program
from podtracker import handlers, parts
from podtracker.handlers import Access, TrackerSink
from podtracker.pods import Pod, decode_pod
from podtracker.reflector import Reflector

_LIST_ENDED: Final = 1.0
"""Seconds without a listed pod."""

_live: Final[list[KopfReflector]] = []


class KopfReflector(Reflector):
    """Told by kopf what the other one reads by itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._listed_at = 0.0
        self._listing = True

    async def run(self) -> None:
        """Wait for the end of kopf's list, and then for ever."""
        loop = asyncio.get_running_loop()
        self._listed_at = loop.time()
        self._sink.begin_list(gap=False)
        _live.append(self)
        while loop.time() - self._listed_at < _LIST_ENDED:  # noqa: ASYNC110 - kopf tells nothing
            await asyncio.sleep(_LIST_ENDED / 10)
        self._sink.end_list()
        self._listing = False
        self.synced.set()
        await asyncio.Event().wait()

    def silent_for(self) -> float:
        """Kopf does not tell."""
        return 0.0

    async def seen(self, kind: str | None, pod: Pod) -> None:
        """Kopf has seen a pod; a kind of None means that a list showed it."""
        if (preparation := self._sink.prepare((pod,))) is not None:
            await preparation
        if kind is None and self._listing:
            self._listed_at = asyncio.get_running_loop().time()
            self._sink.listed((pod,))
        elif kind == "DELETED":
            self._sink.deleted(pod)
        else:
            self._sink.changed(pod, appeared=kind == "ADDED")


def _registry_for(
    sink: TrackerSink, access: Access, token: Callable[[], Awaitable[str | None]]
) -> kopf.OperatorRegistry:
    registry = _registry_of_trackers(sink, access, token)

    @kopf.on.event("", "v1", "pods", id="pod", registry=registry)
    async def pod_event(event: kopf.RawEvent, **_: Any) -> None:
        pod = decode_pod(msgspec.json.encode(event["object"]))
        for reflector in _live:
            await reflector.seen(event["type"], pod)

    return registry


_registry_of_trackers: Final = handlers.registry_for


def main() -> int:
    """Run the operator's own command line, with the switch thrown."""
    handlers.registry_for = _registry_for
    vars(parts)["Reflector"] = KopfReflector
    return program.main()


if __name__ == "__main__":
    sys.exit(main())
