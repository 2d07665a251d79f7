# SPDX-License-Identifier: Apache-2.0
"""Sees every pod of a scope, in order: a paged list, then a watch that resumes where it broke off.

What the API server answers decides how to go on: after an ordinary end or a cut connection the watch resumes from the
last resourceVersion it has shown; after 410 Gone the list is made again and the engine compares; all else waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import itertools
import logging
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Protocol, Self

import msgspec

from podtracker.errors import KubeError
from podtracker.metrics import Metrics
from podtracker.pods import Pod, PodEvent, decode_bookmark, decode_error, decode_event, decode_page, decode_pod_event

logger = logging.getLogger(__name__)

PAGE = 250
"""Pods per page: about 2 MB of JSON, decoded in 3 ms."""
WATCH_TIMEOUT = 300
"""Seconds after which the API server is asked to end a watch; with jitter, so that many do not end together."""
BACKOFF, BACKOFF_MAX = 1.0, 10.0
"""Seconds between tries while the API server fails."""
TURN = 32
"""Chunks after which others have their turn in any case; mostly the next chunk has to be waited for anyway."""
SHORT_WATCH = 1.0
"""Seconds; a watch that ends sooner did not end by its time, whatever it looks like."""
TRIES_BEFORE_RELIST = 3
"""Errors in a row at one resourceVersion before it is given up for a list."""


_START = "start"


class PodApi(Protocol):
    """What the reflector asks of the API server; a namespace of None means all."""

    async def list_pods(
        self,
        namespace: str | None,
        *,
        limit: int,
        continue_token: str,
        field_selector: str = "",
        label_selector: str = "",
    ) -> bytes:
        """One page of pods, as JSON.

        Raises:
            KubeError: gone where the continue token is too old.
        """
        ...

    def watch_pods(
        self, namespace: str | None, *, resource_version: str, timeout: int
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """A watch, as chunks of lines of JSON; `timeout` in seconds is for the server.

        Raises:
            KubeError: gone where the resourceVersion is too old.
        """
        ...


class PodSink(Protocol):
    """Who is told. All that tells is synchronous: order is kept because nothing can overtake."""

    def prepare(self, pods: Sequence[Pod]) -> Awaitable[None] | None:
        """What finds out what has to be known about these pods before they are told; None where that is known."""
        ...

    def begin_list(self, *, gap: bool) -> None:
        """A list of the scope begins; what it does not show by its end does not exist.

        Args:
            gap: pods may have come and gone unseen before it.
        """
        ...

    def listed(self, pods: Sequence[Pod]) -> None:
        """A page of that list."""
        ...

    def end_list(self) -> None:
        """The list is complete."""
        ...

    def changed(self, pod: Pod, *, appeared: bool) -> None:
        """A pod was added, or modified; `appeared`: the watch shows it for the first time."""
        ...

    def deleted(self, pod: Pod) -> None:
        """A pod was deleted."""
        ...


class _End(enum.Enum):
    """Why a watch came to its end."""

    TIMEOUT = "timeout"
    SILENCE = "silence"
    GONE = "gone"
    ERROR = "error"
    CUT = "cut"


class Reflector:
    """One scope's pods."""

    def __init__(
        self,
        api: PodApi,
        namespace: str | None,
        sink: PodSink,
        *,
        metrics: Metrics,
        clock: Callable[[], float],
        resume: str = "",
        silence: float = 90.0,
    ) -> None:
        """Args.

        resume: the resourceVersion up to which the sink knows everything; empty where it must list first.
        silence: seconds without a byte after which a watch is dead; bookmarks come about once a minute.
        """
        self._silence = silence
        self._api = api
        self._namespace = namespace
        self._sink = sink
        self._metrics = metrics
        self._clock = clock
        self._resource_version = resume
        self._failures = 0
        self._heard = clock()
        self._held_up = False
        self.synced = asyncio.Event()
        """Set once everything was seen that existed at the start and may be seen, and the watch runs."""
        self.events = 0
        """Watch events of pods seen since the start."""

    @property
    def position(self) -> str:
        """The resourceVersion up to which the sink has been told everything; empty before and during a list."""
        return self._resource_version

    def silent_for(self) -> float:
        """Seconds since anything came from the API server; 0 while nothing is read for a reason that is known."""
        return 0.0 if self._held_up else self._clock() - self._heard

    async def run(self) -> None:
        """List and watch, for ever."""
        cause = _START
        while True:
            if not self._resource_version and not await self._tried(self._list(cause)):
                continue
            began = self._clock()
            end = await self._watch()
            if end is _End.TIMEOUT and self._clock() - began < SHORT_WATCH:
                end = _End.CUT
            self._metrics.watch_ends.labels(end.value).inc()
            if end is _End.GONE or (end is _End.ERROR and self._failures + 1 >= TRIES_BEFORE_RELIST):
                cause, self._resource_version = end.value, ""
            if end is _End.SILENCE:
                await self._pause()
            elif end is not _End.TIMEOUT:
                await self._excused_pause()

    # listing

    async def _tried(self, listing: Awaitable[None]) -> bool:
        try:
            await listing
        except KubeError as error:
            self._report("cannot list pods", error)
            if error.forbidden:
                # Nothing is to be seen here; what waits for the first sight must not wait for a person.
                self.synced.set()
            await self._excused_pause(error.retry_after)
            return False
        except msgspec.DecodeError as error:
            self._report("cannot read a list of pods", error)
            await self._excused_pause()
            return False
        return True

    async def _list(self, cause: str) -> None:
        self._metrics.lists.labels(cause).inc()
        self._sink.begin_list(gap=cause != _START)
        token = ""
        while True:
            page = decode_page(await self._api.list_pods(self._namespace, limit=PAGE, continue_token=token))
            self._heard = self._clock()
            if (preparation := self._sink.prepare(page.items)) is not None:
                await self._held_up_by(preparation)
            self._sink.listed(page.items)
            token = page.metadata.continue_token
            if not token:
                break
        self._sink.end_list()
        self._resource_version = page.metadata.resource_version
        self._failures = 0

    # watching

    async def _watch(self) -> _End:
        timeout = int(WATCH_TIMEOUT * random.uniform(0.85, 1.0))  # noqa: S311 - it spreads load, it protects nothing
        try:
            async with (
                asyncio.timeout(timeout + self._silence),
                self._api.watch_pods(
                    self._namespace, resource_version=self._resource_version, timeout=timeout
                ) as chunks,
            ):
                self.synced.set()
                return await self._read(chunks)
        except TimeoutError:
            return _End.SILENCE
        except KubeError as error:
            self._report("the watch of pods broke", error)
            return _End.GONE if error.gone else (_End.ERROR if error.status else _End.CUT)
        except msgspec.DecodeError as error:
            self._report("cannot read the watch of pods", error)
            return _End.ERROR

    async def _read(self, chunks: AsyncIterator[bytes]) -> _End:
        lines = _Lines()
        async with _Silence(self._silence) as silence:
            for number in itertools.count(1):
                chunk = await anext(chunks, b"")
                if not chunk:
                    break
                self._heard = self._clock()
                silence.broken()
                for line in lines.feed(chunk):
                    event = self._pod_event(line)
                    if isinstance(event, _End):
                        return event
                    if event is not None:
                        if (preparation := self._sink.prepare((event.object,))) is not None:
                            await silence.excused(self._held_up_by(preparation))
                        self._tell(event)
                    self._failures = 0
                if number % TURN == 0:
                    await asyncio.sleep(0)
        return _End.TIMEOUT

    def _pod_event(self, line: bytes) -> PodEvent | _End | None:
        """What a line says of a pod; else it was a bookmark, or is the end."""
        try:
            return decode_pod_event(line)
        except msgspec.ValidationError:
            event = decode_event(line)
            if event.type == "BOOKMARK":
                self._resource_version = decode_bookmark(event.object).metadata.resource_version
                return None
            if event.type != "ERROR":
                raise
        problem = decode_error(event.object)
        self._report("the API server ended the watch of pods", KubeError(problem.code, problem.reason, problem.message))
        return _End.GONE if problem.code == 410 else _End.ERROR  # noqa: PLR2004 - the HTTP status itself

    def _tell(self, event: PodEvent) -> None:
        self.events += 1
        pod = event.object
        if event.type == "DELETED":
            self._sink.deleted(pod)
        else:
            self._sink.changed(pod, appeared=event.type == "ADDED")
        self._resource_version = pod.metadata.resource_version

    async def _held_up_by(self, reason: Awaitable[None]) -> None:
        with self._excused():
            await reason

    @contextlib.contextmanager
    def _excused(self) -> Iterator[None]:
        """Nothing is read, and it is known why: that is no deafness, neither now nor when it is over."""
        self._held_up = True
        try:
            yield
        finally:
            self._held_up = False
            self._heard = self._clock()

    # trouble

    async def _excused_pause(self, retry_after: float | None = None) -> None:
        """After an answer that said no, or a connection that broke: a restart would change nothing."""
        with self._excused():
            await self._pause(retry_after)

    async def _pause(self, retry_after: float | None = None) -> None:
        self._failures += 1
        doubled = min(BACKOFF_MAX, BACKOFF * 2 ** min(self._failures - 1, 5))
        await asyncio.sleep(retry_after or doubled * random.uniform(0.5, 1.0))  # noqa: S311 - it spreads load

    def _report(self, what: str, error: Exception) -> None:
        logger.warning(
            what, extra={"namespace": self._namespace or "*", "error": str(error), "failures": self._failures}
        )


class _Silence:
    """Raises TimeoutError once nothing was heard for so long. One timer serves any number of events: it looks again."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._timeout = asyncio.timeout(None)
        self._timer = self._loop.call_at(self._heard + limit, self._look)

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        await self._timeout.__aexit__(kind, error, trace)

    def broken(self) -> None:
        """Something was heard."""
        self._heard = self._loop.time()

    async def excused(self, wait: Awaitable[None]) -> None:
        """Wait for something else; nothing can be heard meanwhile."""
        self._heard = math.inf
        await wait
        self._timer.cancel()
        self._heard = self._loop.time()
        self._timer = self._loop.call_at(self._heard + self._limit, self._look)

    def _look(self) -> None:
        due = self._heard + self._limit
        if self._loop.time() >= due:
            self._timeout.reschedule(self._loop.time())
        elif due < math.inf:
            self._timer = self._loop.call_at(due, self._look)


class _Lines:
    """Whole lines out of chunks, however the chunks are cut."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Sequence[bytes]:
        """The lines that this chunk completes; what comes after one is of no meaning in JSON."""
        if not self._rest and chunk.find(b"\n") == len(chunk) - 1:
            # One whole line, as nearly always: it is not copied.
            return (chunk,) if len(chunk) > 1 else ()
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        return [line for line in lines if line]
