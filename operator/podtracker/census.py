# SPDX-License-Identifier: Apache-2.0
"""Who is there and what is remembered of them: trackers counted at the start and now and then, gaps told to each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from podtracker.checkpoint import Restored
from podtracker.dispatch import Dispatcher
from podtracker.errors import KubeError, PodTrackerError
from podtracker.ledger import Ledger
from podtracker.matching import TrackerIndex
from podtracker.metrics import Metrics
from podtracker.patience import patiently
from podtracker.reconcile import Reconciler
from podtracker.status import StatusBoard
from podtracker.trackers import Notice

logger = logging.getLogger(__name__)

HEAL_INTERVAL = 300.0
"""Seconds between lists of all trackers, which find deletions that kopf missed (it lists anew after a 410, and
does not compare)."""


class CrdMissingError(PodTrackerError):
    """The CustomResourceDefinition is not installed."""

    exit_code = 3


class TrackerLister(Protocol):
    """Where trackers are listed."""

    async def list_trackers(self, namespace: str | None) -> list[dict[str, Any]]:
        """All trackers of a namespace, or of all; raises KubeError, not_found where the CRD is not installed."""
        ...


class Census:
    """Brings the trackers that exist and the ledger together."""

    def __init__(
        self,
        *,
        lister: TrackerLister,
        scopes: Sequence[str | None],
        reconciler: Reconciler,
        dispatcher: Dispatcher,
        board: StatusBoard,
        index: TrackerIndex,
        ledger: Ledger,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        """Args: scopes: the watched namespaces; None for all; clock: monotonic seconds."""
        self._lister = lister
        self._scopes = scopes
        self._reconciler = reconciler
        self._dispatcher = dispatcher
        self._board = board
        self._index = index
        self._ledger = ledger
        self._metrics = metrics
        self._clock = clock
        self._unread: frozenset[str] = frozenset()
        """Namespaces whose trackers could not be listed last time: what is not seen there may exist all the same."""

    async def first(self) -> list[dict[str, Any]]:
        """All trackers, before any pod is looked at: so that the first list of pods finds who means them.

        Raises:
            CrdMissingError: there is no such kind.
            KubeError: the API server did not answer for long.
        """
        try:
            return await patiently(self._list, what="trackers", final=lambda error: error.not_found, clock=self._clock)
        except KubeError as error:
            if not error.not_found:
                raise
            raise CrdMissingError(
                "the PodTracker CRD is not installed; install it: kubectl apply --server-side -k config/crd"
            ) from error

    def take_stock(self, restored: Restored, trackers: list[dict[str, Any]], *, ran_before: bool) -> None:
        """Bring the restored ledger and the trackers that exist together, and queue what waits.

        Args:
            restored: what was found of the ledger.
            trackers: those that exist.
            ran_before: an operator ran here before, so there should have been a ledger.
        """
        known = frozenset(self._ledger.trackers())
        resumed = bool(restored.positions)
        existing = self._reconciler.adopt(trackers, resumed=resumed)
        for uid in known - {body["metadata"]["uid"] for body in trackers}:
            # Only where it would have been seen: a namespace that is not watched now may be watched again.
            record = self._ledger.tracker(uid)
            if record is not None and self._looked_into(record.namespace):
                self._ledger.drop_tracker(uid)
        for uid in existing - known:
            if not resumed and self._ledger.tracker(uid) is not None:
                self._ledger.begin_baseline(uid)
        self._dispatcher.doubt(restored.doubt_since)
        self._dispatcher.submit(self._ledger.outbox())
        if restored.fresh and (ran_before or restored.problem is not None):
            self._tell_fresh(restored.problem, existing)

    async def keep_up(self) -> None:
        """Count again, for ever."""
        while True:
            await asyncio.sleep(HEAL_INTERVAL)
            before = self._reconciler.known()
            try:
                bodies = await self._list()
            except KubeError as error:
                logger.warning("cannot list trackers", extra={"error": str(error)})
                continue
            for body in bodies:
                self._reconciler.changed(body)
            for uid in before - {body["metadata"]["uid"] for body in bodies}:
                record = self._ledger.tracker(uid)
                if record is None or self._looked_into(record.namespace):
                    self._reconciler.deleted(uid)

    def gap(self, namespace: str | None) -> None:
        """Pods may have come and gone unseen, in a namespace or anywhere."""
        logger.warning("watch gap", extra={"namespace": namespace or "*"})
        self._metrics.gaps.inc()
        message = "pods that were created and deleted while the watch was interrupted may have gone unseen"
        for tracker in tuple(self._index):
            if namespace is None or tracker.namespace == namespace:
                self._board.notify(tracker.uid, Notice(warning=True, reason="WatchGap", message=message))

    def _looked_into(self, namespace: str) -> bool:
        return (None in self._scopes or namespace in self._scopes) and namespace not in self._unread

    async def _list(self) -> list[dict[str, Any]]:
        """All trackers that may be listed: one forbidden namespace does not stop the others."""
        bodies: list[dict[str, Any]] = []
        unread: set[str] = set()
        for scope in self._scopes:
            try:
                bodies += await self._lister.list_trackers(scope)
            except KubeError as error:
                if scope is None or not error.forbidden:
                    raise
                unread.add(scope)
                logger.warning(
                    "may not list trackers; bind the manager's role in this namespace, or take it out of"
                    " WATCH_NAMESPACE",
                    extra={"namespace": scope, "error": str(error)},
                )
        self._unread = frozenset(unread)
        return bodies

    def _tell_fresh(self, problem: str | None, trackers: frozenset[str]) -> None:
        logger.error(
            "ledger missing, starting as new", extra={"problem": problem or "there is none", "trackers": len(trackers)}
        )
        self._metrics.gaps.inc()
        message = "nothing is remembered of what was reported: the pods that exist now count as reported"
        for uid in trackers:
            self._board.notify(uid, Notice(warning=True, reason="LedgerMissing", message=message))
