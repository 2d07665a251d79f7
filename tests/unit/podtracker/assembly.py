# SPDX-License-Identifier: Apache-2.0
"""The operator without its edges: everything of ours, between a fake API server and a fake Slack."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from podtracker.credentials import Account, Credentials, Verifier
from podtracker.delivery import Policy
from podtracker.dispatch import Dispatcher
from podtracker.engine import Engine
from podtracker.ledger import Ledger
from podtracker.matching import TrackerIndex
from podtracker.metrics import Metrics
from podtracker.owners import Owners
from podtracker.reconcile import Ports, Reconciler, Timing
from podtracker.redact import Redactor
from podtracker.status import Counts, StatusBoard
from podtracker.verdicts import Verdicts
from podtracker.workqueue import WorkQueue
from unit.podtracker.builders import NOW, SECRET, compose, pod
from unit.podtracker.fakes import FakeEvents, FakeGate, FakeOwners, FakePods, FakeReporter, FakeSecrets, FakeStatusSink
from unit.podtracker.virtual import clock

HERE = ("team", "pod-tracker-reporter")
REFRESH, BLOCKED = 60.0, 600.0


class Operator:
    """The operator without its edges."""

    def __init__(self, *, watched: tuple[str, ...] = ()) -> None:
        self.pods = FakePods()
        self.secrets = FakeSecrets({HERE: {"token": SECRET.encode()}})
        self.slack = FakeReporter()
        self.owned = FakeOwners()
        self.sink = FakeStatusSink()
        self.events = FakeEvents()
        self.metrics = Metrics()
        self.ledger = Ledger()
        self.index = TrackerIndex()
        self.queue = WorkQueue()
        self.board = StatusBoard(
            sink=self.sink,
            record=self.events.record,
            may_write=FakeGate().wait_leading,
            counts=self._counts,
            gone=lambda uid: self.reconciler.deleted(uid),  # noqa: PLW0108 - made later
            metrics=self.metrics,
            clock=clock,
            wall=lambda: float(NOW),
        )
        self.engine = Engine(self.index, self.ledger, changed=self.board.touch)
        verdicts = Verdicts(self.board, recheck=lambda uid: self.reconciler.refused(uid))  # noqa: PLW0108 - made later
        self.dispatcher = Dispatcher(
            ledger=self.ledger,
            reporters={"slack": self.slack},
            compose=compose,
            commit=self._commit,
            listener=verdicts,
            metrics=self.metrics,
            policy=Policy(rate=1000.0, burst=1000, blocked_retry=BLOCKED),
            gate=FakeGate(),
            clock=clock,
            wall=lambda: float(NOW),
        )
        account = Account(namespace="pod-tracker-system", name="manager")
        self.reconciler = Reconciler(
            engine=self.engine,
            ledger=self.ledger,
            owners=Owners(self.owned, self.index, clock=clock),
            dispatcher=self.dispatcher,
            board=self.board,
            verdicts=verdicts,
            credentials=Credentials(self.secrets, account=account, redactor=Redactor(), clock=clock),
            verifier=Verifier({"slack": self.slack}, clock=clock),
            pods=self.pods,
            queue=self.queue,
            metrics=self.metrics,
            timing=Timing(secret_refresh=REFRESH, blocked_retry=BLOCKED),
            ports=Ports(
                watched=lambda namespace: not watched or namespace in watched,
                traits=lambda _: self.slack.traits,
                message_problem=lambda text: None if "{{" not in text else "line 1: no",
                clock=clock,
                wall=self._wall,
            ),
        )

    async def _commit(self, *, within: float = 0.0) -> None:
        pass

    @staticmethod
    def _wall() -> float:
        """Seconds since 1970: the test began at NOW."""
        return NOW + clock()

    def _counts(self, uid: str) -> Counts:
        record = self.ledger.tracker(uid)
        return Counts(
            pods=self.ledger.pod_count(uid),
            delivered=record.delivered if record else 0,
            pending=self.ledger.pending(uid),
            dropped=record.dropped if record else 0,
            suppressed=record.suppressed if record else 0,
        )

    def create_pod(self, name: str = "nginx", **fields: Any) -> None:
        """The watch shows a new pod."""
        self.dispatcher.submit(self.engine.observe(pod(name, **fields), now=NOW))

    def said(self, uid: str = "t1") -> dict[str, tuple[str, str]]:
        """Condition -> status and reason, as written."""
        return {kind: (entry["status"], entry["reason"]) for kind, entry in self.sink.conditions(uid).items()}

    def reconciled(self, outcome: str) -> float:
        return self.metrics.registry.get_sample_value("pod_tracker_reconciles_total", {"outcome": outcome}) or 0.0


@asynccontextmanager
async def operator(*, watched: tuple[str, ...] = ()) -> AsyncIterator[Operator]:
    made = Operator(watched=watched)
    running = [asyncio.create_task(made.reconciler.run()), asyncio.create_task(made.board.run())]
    try:
        yield made
        assert not [task for task in running if task.done()]
        assert made.reconciled("bug") == 0
    finally:
        made.queue.close()
        await made.dispatcher.close()
        for task in running:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
