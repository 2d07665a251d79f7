# SPDX-License-Identifier: Apache-2.0
"""The composition root: the one place that constructs, and says who knows whom."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Collection

from podtracker import messages
from podtracker.api import PodTrackerSpec
from podtracker.census import Census
from podtracker.checkpoint import Checkpoint, Restored
from podtracker.credentials import Account, Credentials, Verifier
from podtracker.deadlines import Deadlines
from podtracker.delivery import Policy, Reporter
from podtracker.dispatch import Dispatcher
from podtracker.egress import Guard
from podtracker.election import Elector
from podtracker.election import Timing as LeaseTiming
from podtracker.engine import Engine
from podtracker.events import EventRecorder
from podtracker.health import Health, Limits
from podtracker.intake import Intake
from podtracker.kube import KubeClient
from podtracker.ledger import Ledger
from podtracker.lifecycle import Grace
from podtracker.matching import TrackerIndex
from podtracker.metrics import Metrics
from podtracker.owners import Owners
from podtracker.reconcile import Ports, Reconciler, Timing
from podtracker.redact import Redactor
from podtracker.reflector import Reflector
from podtracker.reporters.apprise import AppriseReporter
from podtracker.reporters.slack import SlackReporter
from podtracker.reporters.webhook import WebhookReporter
from podtracker.settings import Settings
from podtracker.status import Counts, StatusBoard
from podtracker.templates import TemplateError, compile_message
from podtracker.verdicts import Verdicts
from podtracker.workqueue import WorkQueue

ALL = "*"
"""The name of the scope of all namespaces."""
DEAF_AFTER = 2.7
"""Times the WATCH_SILENCE without a byte after which the process counts as deaf; two dead watches and a list fit in."""


class Parts:
    """Everything that works together in one operator."""

    def __init__(self, settings: Settings, *, redactor: Redactor, metrics: Metrics, kube: KubeClient) -> None:
        self.settings = settings
        self.metrics = metrics
        self.kube = kube
        self.clock = time.monotonic
        self.wall = time.time
        self.ledger = Ledger()
        self.index = TrackerIndex()
        self.queue = WorkQueue(lambda uid: self.reconciler.namespace(uid))  # noqa: PLW0108 - made later
        self.reflectors: dict[str, Reflector] = {}
        self.owners = Owners(kube, self.index, clock=self.clock)
        self.checkpoint = Checkpoint(
            kube,
            self.ledger,
            holder=settings.pod_uid,
            positions=lambda: {scope: reflector.position for scope, reflector in self.reflectors.items()},
            metrics=metrics,
            clock=self.clock,
            certain_until=lambda: self.dispatcher.certain_until(),  # noqa: PLW0108 - made later
        )
        self.elector = Elector(
            kube,
            identity=settings.pod_uid,
            timing=LeaseTiming(
                duration=settings.lease_duration,
                renew_deadline=settings.lease_renew_deadline,
                retry=settings.lease_retry,
                in_flight=max(settings.slack_timeout, settings.webhook_timeout),
            ),
            clock=self.clock,
            now=_micro_time,
        )
        recorder = EventRecorder(kube, instance=settings.pod_name, clock=self.clock, wall=self.wall)
        self.board = StatusBoard(
            sink=kube,
            record=recorder.record,
            may_write=self.elector.wait_leading,
            counts=self._counts,
            gone=lambda uid: self.reconciler.deleted(uid),  # noqa: PLW0108 - made later
            metrics=metrics,
            clock=self.clock,
            wall=self.wall,
        )
        self.engine = Engine(
            self.index,
            self.ledger,
            changed=self.board.touch,
            grace=Grace(
                unschedulable=settings.unschedulable_grace,
                mounts=settings.mount_grace,
                recovery=settings.recovery_hold,
            ),
            labels=_labels_of,
        )
        guard = Guard(settings.egress_allow, api_server=kube.configuration.host)
        self.reporters: dict[str, Reporter] = {
            "slack": SlackReporter(settings.slack_api_url, timeout=settings.slack_timeout, proxies=settings.proxies),
            "webhook": WebhookReporter(guard, timeout=settings.webhook_timeout, proxies=settings.proxies),
            "apprise": AppriseReporter(
                guard, schemes=settings.apprise_schemes, timeout=settings.webhook_timeout, proxies=settings.proxies
            ),
        }
        self.verdicts = Verdicts(self.board, recheck=lambda uid: self.reconciler.refused(uid))  # noqa: PLW0108 - later
        self.dispatcher = self._make_dispatcher()
        self.reconciler = self._make_reconciler(redactor)
        self.census = Census(
            lister=kube,
            scopes=self.scopes,
            reconciler=self.reconciler,
            dispatcher=self.dispatcher,
            board=self.board,
            index=self.index,
            ledger=self.ledger,
            metrics=metrics,
            clock=self.clock,
        )
        self.deadlines = Deadlines(
            kube, self.engine, self.ledger, owners=self.owners, dispatcher=self.dispatcher, wall=self.wall
        )
        self.health = Health(
            limits=Limits(silence=DEAF_AFTER * settings.watch_silence),
            watches=lambda: self.reflectors,
            api_server_away=lambda: kube.failing,
            idle_for=self.dispatcher.idle_for,
            clock=self.clock,
        )
        self._export()

    @property
    def scopes(self) -> tuple[str | None, ...]:
        """The watched namespaces; None for all."""
        return self.settings.watch_namespaces or (None,)

    def reflect(self, restored: Restored) -> list[Reflector]:
        """Make the watches of pods, which go on where the ledger ends."""
        for namespace in self.scopes:
            intake = Intake(
                self.engine,
                self.dispatcher,
                namespace,
                owners=self.owners,
                on_gap=self.census.gap,
                on_list=self.checkpoint.hasten,
                wall=self.wall,
            )
            scope = namespace or ALL
            self.reflectors[scope] = Reflector(
                self.kube,
                namespace,
                intake,
                metrics=self.metrics,
                clock=self.clock,
                resume=restored.positions.get(scope, ""),
                silence=self.settings.watch_silence,
            )
        return list(self.reflectors.values())

    def _make_dispatcher(self) -> Dispatcher:
        settings = self.settings
        return Dispatcher(
            ledger=self.ledger,
            reporters=self.reporters,
            compose=messages.Composer(cluster=settings.cluster_name, tracker=self.index.get).compose,
            commit=self.checkpoint.commit,
            listener=self.verdicts,
            metrics=self.metrics,
            policy=Policy(
                rate=settings.slack_rate,
                burst=settings.slack_burst,
                backoff=settings.retry_backoff,
                backoff_max=settings.retry_backoff_max,
                blocked_retry=settings.blocked_retry,
            ),
            gate=self.elector,
            clock=self.clock,
            wall=self.wall,
        )

    def _make_reconciler(self, redactor: Redactor) -> Reconciler:
        settings = self.settings
        return Reconciler(
            engine=self.engine,
            ledger=self.ledger,
            owners=self.owners,
            dispatcher=self.dispatcher,
            board=self.board,
            verdicts=self.verdicts,
            credentials=Credentials(
                self.kube,
                account=Account(namespace=settings.pod_namespace, name=settings.service_account),
                redactor=redactor,
                clock=self.clock,
                allow_inline=settings.allow_inline_keys,
            ),
            verifier=Verifier(self.reporters, clock=self.clock),
            pods=self.kube,
            queue=self.queue,
            metrics=self.metrics,
            timing=Timing(
                secret_refresh=settings.secret_refresh,
                blocked_retry=settings.blocked_retry,
                digest=settings.digest_interval,
            ),
            ports=Ports(
                watched=lambda namespace: not settings.watch_namespaces or namespace in settings.watch_namespaces,
                traits=lambda kind: self.reporters[kind].traits,
                message_problem=_message_problem,
                clock=self.clock,
                wall=self.wall,
            ),
        )

    def _counts(self, uid: str) -> Counts:
        record = self.ledger.tracker(uid)
        return Counts(
            pods=self.ledger.pod_count(uid),
            delivered=record.delivered if record else 0,
            pending=self.ledger.pending(uid),
            dropped=record.dropped if record else 0,
            suppressed=record.suppressed if record else 0,
        )

    def _export(self) -> None:
        metrics = self.metrics
        metrics.gauge("pod_tracker_trackers", "Trackers that exist.", lambda: len(self.index))
        metrics.gauge("pod_tracker_pending", "Occurrences that wait for delivery.", lambda: self.ledger.waiting)
        metrics.counter(
            "pod_tracker_pod_events",
            "Watch events of pods.",
            lambda: sum(reflector.events for reflector in self.reflectors.values()),
        )
        metrics.gauge("pod_tracker_leader", "1 while this instance leads.", lambda: float(self.health.leads))
        metrics.gauge("pod_tracker_ledger_bytes", "Bytes of the stored ledger.", lambda: self.checkpoint.stored_bytes)
        metrics.counter("pod_tracker_candidates", "Trackers looked at for pods.", lambda: self.index.looked_at)


def _labels_of(spec: PodTrackerSpec) -> Collection[str]:
    """The pod's labels that a tracker's own text reads; none where the text is not valid."""
    if spec.message is None:
        return ()
    try:
        return compile_message(spec.message).label_keys
    except TemplateError:
        return ()


def _message_problem(text: str) -> str | None:
    """What is wrong with a tracker's own text."""
    try:
        compile_message(text)
    except TemplateError as error:
        return str(error)
    return None


def _micro_time() -> str:
    """Now, as a Lease writes it."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
