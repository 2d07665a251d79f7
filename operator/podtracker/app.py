# SPDX-License-Identifier: Apache-2.0
"""The composition root: the one place that constructs, and the order in which things start and end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from podtracker import handlers, web
from podtracker.checkpoint import MemoryCheckpoint
from podtracker.credentials import Account, Credentials, Verifier
from podtracker.delivery import Policy
from podtracker.dispatch import Dispatcher
from podtracker.engine import Engine
from podtracker.errors import KubeError, PodTrackerError
from podtracker.events import EventRecorder
from podtracker.intake import Intake
from podtracker.kube import KubeClient
from podtracker.ledger import Ledger
from podtracker.matching import TrackerIndex
from podtracker.metrics import Metrics
from podtracker.reconcile import Reconciler, Timing
from podtracker.redact import Redactor
from podtracker.reflector import Reflector
from podtracker.reporters.slack import SlackReporter
from podtracker.settings import Settings
from podtracker.status import Counts, StatusBoard
from podtracker.verdicts import Verdicts
from podtracker.workqueue import WorkQueue

T = TypeVar("T")

logger = logging.getLogger(__name__)

DEAF_AFTER = 240.0
"""Seconds without a byte on a pod watch after which the process counts as deaf; two dead watches and a list fit in."""
LAG_LIMIT = 10.0
"""Seconds that the event loop may be late before the process counts as stuck."""
_LAG_INTERVAL = 1.0
HEAL_INTERVAL = 300.0
"""Seconds between lists of all trackers, which find deletions that kopf's watch missed (kopf.md §2)."""
START_PATIENCE = 60.0
"""Seconds in which the API server must answer at the start."""
END_PATIENCE = 6.0
"""Seconds for the last status and for kopf to end: with DRAIN_TIMEOUT it stays below Kubernetes' grace of 30 s."""


class CrdMissingError(PodTrackerError):
    """The CustomResourceDefinition is not installed."""


class App:
    """The operator."""

    def __init__(self, settings: Settings, *, redactor: Redactor, metrics: Metrics, kube: KubeClient) -> None:
        self._settings = settings
        self._metrics = metrics
        self._kube = kube
        self._clock = time.monotonic
        self._ledger = Ledger()
        self._index = TrackerIndex()
        self._checkpoint = MemoryCheckpoint()
        self._queue = WorkQueue()
        recorder = EventRecorder(kube, instance=settings.pod_name, clock=self._clock, wall=time.time)
        self._board = StatusBoard(
            sink=kube,
            record=recorder.record,
            counts=self._counts,
            gone=lambda uid: self._reconciler.deleted(uid),  # noqa: PLW0108 - made later
            metrics=metrics,
            clock=self._clock,
            wall=time.time,
        )
        self._engine = Engine(self._index, self._ledger, changed=self._board.touch)
        self._slack = SlackReporter(settings.slack_api_url, timeout=settings.slack_timeout)
        reporters = {"slack": self._slack}
        verdicts = Verdicts(self._board, recheck=lambda uid: self._reconciler.refused(uid))  # noqa: PLW0108 - made later
        self._dispatcher = Dispatcher(
            ledger=self._ledger,
            reporters=reporters,
            commit=self._checkpoint.commit,
            listener=verdicts,
            metrics=metrics,
            policy=Policy(
                rate=settings.slack_rate,
                burst=settings.slack_burst,
                backoff=settings.retry_backoff,
                backoff_max=settings.retry_backoff_max,
                blocked_retry=settings.blocked_retry,
            ),
            clock=self._clock,
        )
        self._reconciler = Reconciler(
            engine=self._engine,
            dispatcher=self._dispatcher,
            board=self._board,
            verdicts=verdicts,
            credentials=Credentials(
                kube,
                account=Account(namespace=settings.pod_namespace, name=settings.service_account),
                redactor=redactor,
                clock=self._clock,
            ),
            verifier=Verifier(reporters, clock=self._clock),
            pods=kube,
            queue=self._queue,
            metrics=metrics,
            timing=Timing(secret_refresh=settings.secret_refresh, blocked_retry=settings.blocked_retry),
            watched=lambda namespace: not settings.watch_namespaces or namespace in settings.watch_namespaces,
            clock=self._clock,
        )
        self._reflectors: list[Reflector] = []
        self._stop_kopf, self._kopf_ready = asyncio.Event(), asyncio.Event()
        self._stopping = asyncio.Event()
        self._beat = self._clock()
        self._export()

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT, then deliver what waits, and return.

        Raises:
            CrdMissingError: there is nothing to watch.
            KubeError: the API server did not answer at the start.
            SettingsError: an address cannot be listened on.
        """
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._slack.close)
            await stack.enter_async_context(web.serving(self._health(), self._settings.health_address))
            await stack.enter_async_context(web.serving(web.metrics_app(self._metrics), self._settings.metrics_address))
            self._catch_signals()
            trackers = await self._unless_stopped(self._list_trackers())
            if trackers is None:
                return
            baseline = self._reconciler.adopt(trackers)
            if await self._checkpoint.restore():
                baseline = frozenset()
            stack.push_async_callback(self._dispatcher.close)
            tasks = [self._start(coroutine, name) for name, coroutine in self._jobs(baseline)]
            kopf = self._start(self._run_kopf(), "kopf")
            logger.info("started", extra={"namespaces": ",".join(self._settings.watch_namespaces) or "*"})
            try:
                await self._until_stopped([*tasks, kopf])
            finally:
                await self._wind_down(tasks, kopf)

    # starting

    async def _list_trackers(self) -> list[dict[str, Any]]:
        """All trackers, once, before any pod is looked at: so that the first list of pods finds who means them."""
        deadline = self._clock() + START_PATIENCE
        found: list[dict[str, Any]] = []
        for namespace in self._scopes():
            while True:
                try:
                    found += await self._kube.list_trackers(namespace)
                    break
                except KubeError as error:
                    if error.not_found:
                        raise CrdMissingError(
                            "the PodTracker CRD is not installed; install it: kubectl apply --server-side -k config/crd"
                        ) from error
                    if self._clock() > deadline:
                        raise
                    logger.warning(
                        "cannot list trackers yet", extra={"namespace": namespace or "*", "error": str(error)}
                    )
                    await asyncio.sleep(1.0)
        return found

    def _jobs(self, baseline: frozenset[str]) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        for namespace in self._scopes():
            intake = Intake(self._engine, self._dispatcher, self._ledger, namespace, baseline)
            self._reflectors.append(Reflector(self._kube, namespace, intake, metrics=self._metrics, clock=self._clock))
        jobs = [(f"reflector {place}", reflector.run()) for place, reflector in enumerate(self._reflectors)]
        return [
            *jobs,
            ("reconciler", self._reconciler.run()),
            ("status", self._board.run()),
            ("healing", self._heal()),
            ("heartbeat", self._keep_beating()),
        ]

    def _scopes(self) -> tuple[str | None, ...]:
        return self._settings.watch_namespaces or (None,)

    @staticmethod
    def _start(coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return asyncio.create_task(coroutine, name=name)

    async def _run_kopf(self) -> None:
        registry = handlers.registry_for(self._reconciler, self._kube.configuration, self._kube.bearer_token)
        ready = asyncio.create_task(self._catch_signals_again(), name="signals")
        try:
            await handlers.run(registry, self._settings.watch_namespaces, stop=self._stop_kopf, ready=self._kopf_ready)
        finally:
            ready.cancel()

    async def _unless_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """What the work gives, or None where the end was asked for first."""
        task, stopping = asyncio.create_task(work), asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
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

    async def _heal(self) -> None:
        while True:
            await asyncio.sleep(HEAL_INTERVAL)
            before = self._reconciler.known()
            try:
                bodies = [body for scope in self._scopes() for body in await self._kube.list_trackers(scope)]
            except KubeError as error:
                logger.warning("cannot list trackers", extra={"error": str(error)})
                continue
            for body in bodies:
                self._reconciler.changed(body)
            for uid in before - {body["metadata"]["uid"] for body in bodies}:
                self._reconciler.deleted(uid)

    async def _keep_beating(self) -> None:
        while True:
            self._beat = self._clock()
            await asyncio.sleep(_LAG_INTERVAL)

    # ending

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)

    async def _catch_signals_again(self) -> None:
        """Kopf takes the signals for itself when it starts; they are ours, to drain before kopf ends (kopf.md §3)."""
        await self._kopf_ready.wait()
        self._catch_signals()

    async def _wind_down(self, tasks: list[asyncio.Task[None]], kopf: asyncio.Task[None]) -> None:
        """No more pods, then no more messages, then no more status; all within DRAIN_TIMEOUT and END_PATIENCE."""
        logger.info("stopping", extra={"waiting": self._ledger.waiting})
        await _cancelled([task for task in tasks if task.get_name() != "status"])
        self._queue.close()
        left = await self._dispatcher.drain(self._settings.drain_timeout)
        await self._dispatcher.close()
        await _cancelled(tasks)
        # kopf cancels whatever was started after itself once it ends, so it is let go only now.
        self._stop_kopf.set()
        flush = asyncio.create_task(self._board.flush(), name="flush")
        await asyncio.wait([kopf, flush], timeout=END_PATIENCE)
        flush.cancel()
        logger.info("stopped", extra={"undelivered": left})

    # looking at it

    def _counts(self, uid: str) -> Counts:
        record = self._ledger.tracker(uid)
        return Counts(
            pods=self._ledger.pod_count(uid),
            delivered=record.delivered if record else 0,
            pending=self._ledger.pending_count(uid),
            dropped=record.dropped if record else 0,
        )

    def _health(self) -> Any:
        return web.health_app(
            live={"loop": self._lag, "watch": self._deaf},
            ready={"watch": self._not_synced, "trackers": self._not_watching},
        )

    def _lag(self) -> str | None:
        late = self._clock() - self._beat - _LAG_INTERVAL
        return f"the event loop is {late:.0f} s late" if self._reflectors and late > LAG_LIMIT else None

    def _deaf(self) -> str | None:
        silence = max((reflector.silent_for() for reflector in self._reflectors), default=0.0)
        return f"a pod watch has been silent for {silence:.0f} s" if silence > DEAF_AFTER else None

    def _not_synced(self) -> str | None:
        missing = sum(not reflector.synced.is_set() for reflector in self._reflectors)
        return None if self._reflectors and not missing else "the first list of pods is not complete"

    def _not_watching(self) -> str | None:
        return None if self._kopf_ready.is_set() else "trackers are not watched yet"

    def _export(self) -> None:
        metrics = self._metrics
        metrics.gauge("pod_tracker_trackers", "Trackers that exist.", lambda: len(self._index))
        metrics.gauge("pod_tracker_pending", "Occurrences that wait for delivery.", lambda: self._ledger.waiting)
        metrics.counter(
            "pod_tracker_pod_events",
            "Watch events of pods.",
            lambda: sum(reflector.events for reflector in self._reflectors),
        )
        metrics.counter("pod_tracker_candidates", "Trackers looked at for pods.", lambda: self._index.looked_at)


async def _cancelled(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def run(settings: Settings, redactor: Redactor) -> None:
    """Run the operator; see `App.run` for what it raises."""
    metrics = Metrics()
    async with await KubeClient.connect(metrics) as kube:
        await App(settings, redactor=redactor, metrics=metrics, kube=kube).run()
