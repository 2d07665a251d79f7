# SPDX-License-Identifier: Apache-2.0
"""The life of the process: the order in which things start and end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from podtracker import handlers, web
from podtracker.checkpoint import Restored
from podtracker.election import NotLeadingError
from podtracker.journal import DeposedError
from podtracker.kube import KubeClient
from podtracker.metrics import Metrics
from podtracker.parts import Parts
from podtracker.patience import patiently
from podtracker.redact import Redactor
from podtracker.settings import Settings

T = TypeVar("T")

logger = logging.getLogger(__name__)

_LOOK_AGAIN = 1.0
"""Seconds between looks at something that nothing announces."""
DOUBT_LASTS = 60.0
"""Seconds after which what an earlier process left in flight has been asked for wherever something waits."""
STATUS_PATIENCE = 1.0
"""Seconds for the last status, of which the next leader writes the rest."""
KOPF_STARTS = 2.0
"""Seconds that kopf may take to start when it is to end already."""
END_PATIENCE = 4.0
"""Seconds for the last writes, and as many for kopf to end: with DRAIN_TIMEOUT below Kubernetes' grace of 30 s."""


class App:
    """The operator."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._settings = parts.settings
        self._clock = parts.clock
        self._ledger = parts.ledger
        self._checkpoint = parts.checkpoint
        self._elector = parts.elector
        self._queue = parts.queue
        self._board = parts.board
        self._dispatcher = parts.dispatcher
        self._census = parts.census
        self._health = parts.health
        self._stop_kopf = asyncio.Event()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Wait for the lead, work until SIGTERM or SIGINT, then deliver what waits, and return.

        Raises:
            CrdMissingError: there is nothing to watch.
            NotLeadingError, DeposedError: another instance took the lead.
            NewerFormatError: a newer version wrote the ledger.
            KubeError: the API server did not answer at the start.
            SettingsError: an address cannot be listened on.
        """
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._close_reporters)
            await stack.enter_async_context(web.serving(self._probes(), self._settings.health_address))
            await stack.enter_async_context(
                web.serving(web.metrics_app(self._parts.metrics), self._settings.metrics_address)
            )
            self._catch_signals()
            beating = self._start(self._health.beat(), "heartbeat")
            stack.push_async_callback(_cancelled, [beating])
            stack.push_async_callback(self._elector.release)
            waited = await self._unless_stopped(self._elector.acquire())
            if waited is not None:
                await self._lead(waited)

    async def _lead(self, waited: float) -> None:
        renewing = self._start(self._elector.run(), "lease")
        try:
            found = await self._unless_stopped(self._begin(), renewing)
            if found is None:
                return
            restored, trackers = found
            self._health.leads = True
            self._parts.metrics.takeover_seconds.set(waited)
            logger.info("became leader", extra={"epoch": restored.epoch, "waited": round(waited, 3)})
            await self._work(restored, trackers, renewing)
        finally:
            await _cancelled([renewing])

    async def _begin(self) -> tuple[Restored, list[dict[str, Any]]]:
        restored = await patiently(
            self._checkpoint.restore, what="ledger", final=lambda error: error.forbidden, clock=self._clock
        )
        return restored, await self._census.first()

    async def _work(self, restored: Restored, trackers: list[dict[str, Any]], renewing: asyncio.Task[None]) -> None:
        self._census.take_stock(restored, trackers, ran_before=not self._elector.created)
        jobs = self._jobs(restored)
        checkpoint = self._start(self._checkpoint.run(), "checkpoint")
        tasks = [self._start(coroutine, name) for name, coroutine in jobs]
        doubt = self._start(self._settle_doubt(), "doubt")
        kopf = self._start(self._run_kopf(), "kopf")
        logger.info("started", extra={"namespaces": ",".join(self._settings.watch_namespaces) or "*"})
        try:
            await self._until_stopped([*tasks, checkpoint, renewing, kopf])
        except (NotLeadingError, DeposedError) as error:
            logger.error("lost leadership", extra={"error": str(error)})  # noqa: TRY400 - foreseen
            await _cancelled([*tasks, checkpoint])
            await self._dispatcher.close()
            await self._close_reporters()
            raise
        else:
            await self._wind_down(tasks, checkpoint)
        finally:
            await _cancelled([renewing, doubt])
            await self._elector.release()
            await self._end_kopf(kopf)

    # starting

    def _jobs(self, restored: Restored) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        return [
            *((f"reflector {place}", reflector.run()) for place, reflector in enumerate(self._parts.reflect(restored))),
            ("reconciler", self._parts.reconciler.run()),
            ("status", self._board.run()),
            ("census", self._census.keep_up()),
            ("deadlines", self._parts.deadlines.run()),
        ]

    @staticmethod
    def _start(coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return asyncio.create_task(coroutine, name=name)

    async def _run_kopf(self) -> None:
        kube = self._parts.kube
        registry = handlers.registry_for(self._parts.reconciler, kube.configuration, kube.bearer_token)
        ready = asyncio.create_task(self._catch_signals_again(), name="signals")
        try:
            await handlers.run(
                registry, self._settings.watch_namespaces, stop=self._stop_kopf, ready=self._health.watching_trackers
            )
        finally:
            ready.cancel()

    async def _unless_stopped(self, work: Coroutine[Any, Any, T], *others: asyncio.Task[None]) -> T | None:
        """What the work gives, or None where the end was asked for first; raises what ends one of the others."""
        task, stopping = asyncio.create_task(work), asyncio.create_task(self._stopping.wait())
        try:
            done, _ = await asyncio.wait([task, stopping, *others], return_when=asyncio.FIRST_COMPLETED)
            for other in done.intersection(others):
                other.result()
            return task.result() if task.done() else None
        finally:
            await _cancelled([task, stopping])

    # running

    async def _until_stopped(self, tasks: list[asyncio.Task[None]]) -> None:
        stopping = asyncio.create_task(self._stopping.wait(), name="stopping")
        try:
            done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task is stopping:
                    continue
                if task.get_name() == "kopf" and task.exception() is None:
                    continue
                task.result()
                raise RuntimeError(f"the task {task.get_name()} ended, which it never should")
        finally:
            stopping.cancel()

    async def _settle_doubt(self) -> None:
        """Once the receivers were asked what they have, what an earlier process left in flight is history."""
        await asyncio.sleep(DOUBT_LASTS)
        while self._dispatcher.doubtful:  # noqa: ASYNC110 - rare, and nothing waits for it
            await asyncio.sleep(_LOOK_AGAIN)
        self._dispatcher.doubt(None)
        self._checkpoint.settled()

    # ending

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)

    async def _catch_signals_again(self) -> None:
        """Kopf takes the signals for itself when it starts; they are ours, to drain before kopf ends (kopf.md §3)."""
        await self._health.watching_trackers.wait()
        self._catch_signals()

    async def _wind_down(self, tasks: list[asyncio.Task[None]], checkpoint: asyncio.Task[None]) -> None:
        """No more pods, then no more messages, then no more status; within DRAIN_TIMEOUT and twice END_PATIENCE."""
        logger.info("stopping", extra={"waiting": self._ledger.waiting})
        await _cancelled([task for task in tasks if task.get_name() != "status"])
        self._queue.close()
        left = await self._dispatcher.drain(self._settings.drain_timeout)
        clean = await self._dispatcher.close()
        await self._close_reporters()
        await _cancelled([*tasks, checkpoint])
        # Before kopf ends: it would wait for what was started after itself.
        last = asyncio.create_task(self._write_last(clean=clean), name="last writes")
        await asyncio.wait([last], timeout=END_PATIENCE)
        await _cancelled([last])
        logger.info("stopped", extra={"undelivered": left, "clean": clean})

    async def _close_reporters(self) -> None:
        """Also before kopf ends, which waits for tasks that were started after itself; once more does no harm."""
        for reporter in self._parts.reporters.values():
            await reporter.close()

    async def _end_kopf(self, kopf: asyncio.Task[None]) -> None:
        """Kopf does not end well while it starts: it is given the time to."""
        starting = asyncio.create_task(self._health.watching_trackers.wait(), name="starting")
        await asyncio.wait([starting, kopf], timeout=KOPF_STARTS, return_when=asyncio.FIRST_COMPLETED)
        await _cancelled([starting])
        self._stop_kopf.set()
        await asyncio.wait([kopf], timeout=END_PATIENCE)
        if not kopf.done():
            # What it left half open cannot be closed without a traceback, which nobody could do anything about.
            asyncio.get_running_loop().set_exception_handler(_told_quietly)

    async def _write_last(self, *, clean: bool) -> None:
        flush = asyncio.create_task(self._board.flush(), name="last status")
        await self._checkpoint.close(clean=clean)
        # The next leader waits for the Lease, and writes what status is left.
        await asyncio.wait([flush], timeout=STATUS_PATIENCE)
        await _cancelled([flush])

    # looking at it

    def _probes(self) -> Any:
        health = self._health
        return web.health_app(
            live={"loop": health.lag, "watch": health.deaf, "outbox": health.stuck},
            ready={"lease": self._unasked, "watch": health.not_ready},
            role=health.role,
        )

    def _unasked(self) -> str | None:
        return None if self._elector.asked else "the API server has not told yet who leads"


def _told_quietly(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    logger.debug("left by kopf", extra={"error": str(context.get("message"))})


async def _cancelled(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def run(settings: Settings, redactor: Redactor) -> None:
    """Run the operator; see `App.run` for what it raises."""
    metrics = Metrics()
    async with await KubeClient.connect(metrics, namespace=settings.pod_namespace) as kube:
        await App(Parts(settings, redactor=redactor, metrics=metrics, kube=kube)).run()
