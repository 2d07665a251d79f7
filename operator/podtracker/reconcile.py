# SPDX-License-Identifier: Apache-2.0
"""Brings everything in line with the trackers that exist: what is matched, where messages go, what the status says.

Level-triggered: `changed` and `deleted` note what is there, a few workers make it so, failures come back by themselves.
Matching starts at once, in `changed`; only what needs the network waits for a worker.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from podtracker import times, trackers
from podtracker.credentials import TOGETHER, Credentials, Verifier
from podtracker.delivery import Destination, Traits
from podtracker.dispatch import Dispatcher
from podtracker.engine import Backfill, Engine, is_quiet
from podtracker.errors import CredentialsError, DeliveryError, Failure, InvalidTrackerError, KubeError
from podtracker.ledger import Ledger
from podtracker.matching import is_looser, query
from podtracker.metrics import Metrics
from podtracker.owners import Owners
from podtracker.pods import decode_page
from podtracker.status import StatusBoard
from podtracker.trackers import Tracker, TrackerIdentity
from podtracker.verdicts import Verdicts
from podtracker.workqueue import WorkQueue

logger = logging.getLogger(__name__)

WORKERS = 8
"""Trackers worked on at once: enough to hide the API server's latency, few enough not to crowd it."""
PAGE = 500
"""Pods per page of a backfill."""
_RETRY = 1.0, 30.0
"""Seconds: first and longest wait after the API server failed."""
_AFTER_RELIST = 0.2
"""Seconds until a backfill is tried again that a list of everything stands in the way of."""
_RECHECK = 15.0
"""Seconds until a receiver that could not be asked is asked again."""


REMEMBERED_GONE = 10_000
"""Trackers that are remembered after they went; a uid never comes back."""


class PodLister(Protocol):
    """Where a new tracker's pods are listed."""

    async def list_pods(
        self,
        namespace: str | None,
        *,
        limit: int,
        continue_token: str,
        field_selector: str = "",
        label_selector: str = "",
    ) -> bytes:
        """One page of pods, as JSON; raises KubeError."""
        ...


class Timing(msgspec.Struct, frozen=True):
    """How often things are looked at again, in seconds."""

    secret_refresh: float = 60.0
    """Between two reads of a Secret: a new token is noticed by then."""
    blocked_retry: float = 600.0
    """Between two checks of a token that was refused."""
    digest: float = 60.0
    """For which a tracker with `grouping: Digest` collects."""


class Ports(msgspec.Struct, frozen=True):
    """What the reconciler asks of the rest."""

    watched: Callable[[str], bool]
    """Whether a namespace is one of those that this operator looks at."""
    traits: Callable[[str], Traits]
    """How a kind of receiver is to be treated."""
    message_problem: Callable[[str], str | None]
    """What is wrong with a tracker's own text."""
    clock: Callable[[], float]
    """Monotonic seconds."""
    wall: Callable[[], float]
    """Seconds since 1970."""


class _Item:
    """A tracker that exists."""

    def __init__(self, identity: TrackerIdentity) -> None:
        self.identity = identity
        self.tracker: Tracker | None = None
        self.backfill = False
        self.listing = False
        """Whether its pods are being listed for it by another's reconcile."""
        self.edited = True
        """Whether its spec is new since the last look at its credential."""
        self.refused_at: float | None = None
        """When its receiver refused it, if it did since then."""
        self.failures = 0
        self.nonce = ""
        """The test that was asked for last."""


class Reconciler:
    """The trackers' side of the operator."""

    def __init__(
        self,
        *,
        engine: Engine,
        ledger: Ledger,
        owners: Owners,
        dispatcher: Dispatcher,
        board: StatusBoard,
        verdicts: Verdicts,
        credentials: Credentials,
        verifier: Verifier,
        pods: PodLister,
        queue: WorkQueue,
        metrics: Metrics,
        timing: Timing,
        ports: Ports,
    ) -> None:
        self._engine = engine
        self._ledger = ledger
        self._owners = owners
        self._dispatcher = dispatcher
        self._board = board
        self._verdicts = verdicts
        self._credentials = credentials
        self._verifier = verifier
        self._pods = pods
        self._queue = queue
        self._metrics = metrics
        self._timing = timing
        self._ports = ports
        self._clock = ports.clock
        self._items: dict[str, _Item] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()
        """The trackers that went last: a list that travelled meanwhile must not bring them back."""

    # what is there

    def adopt(self, bodies: Iterable[Mapping[str, Any]], *, resumed: bool) -> frozenset[str]:
        """Take the trackers that exist at the start.

        Args:
            bodies: the trackers.
            resumed: the watch of pods goes on where it was: only trackers that are new have to list theirs. Else a
                list of all pods comes first, which is everybody's.

        Returns:
            Their uids.
        """
        for body in bodies:
            self._take(body, missed=False)
        if not resumed:
            for uid, item in self._items.items():
                item.backfill = False
                self._engine.listed(uid)
        return frozenset(self._items)

    def changed(self, body: Mapping[str, Any]) -> None:
        """A tracker is there, perhaps new, perhaps with another spec, perhaps as it was."""
        self._take(body, missed=True)

    def _take(self, body: Mapping[str, Any], *, missed: bool) -> None:
        identity = trackers.identify(body)
        if body["metadata"].get("deletionTimestamp"):
            self.deleted(identity.uid)
            return
        item = self._items.get(identity.uid)
        if identity.uid in self._gone:
            return
        if not self._ports.watched(identity.namespace):
            return
        if item is not None and identity.generation <= item.identity.generation:
            self._take_test(item, body)
            return
        status = body.get("status") or {}
        first = item is None
        if item is None:
            item = self._items[identity.uid] = _Item(identity)
        item.identity, item.edited = identity, not (first and status.get("observedGeneration") == identity.generation)
        self._board.adopt(identity, status)
        self._board.touch(identity.uid)
        before = item.tracker
        try:
            item.tracker = trackers.parse(body)
        except InvalidTrackerError as error:
            item.tracker = None
            self._engine.pause(identity.uid)
            self._verdicts.invalid(identity.uid, str(error))
            return
        item.backfill |= self._engine.track(
            item.tracker, edited=self._edited(before, item.tracker, body), missed=missed
        )
        self._take_test(item, body)
        self._queue.add(identity.uid)

    def _edited(self, before: Tracker | None, after: Tracker, body: Mapping[str, Any]) -> int:
        """When it was last written which pods are meant."""
        written = trackers.spec_written(body)
        # The API server notes no time for what is only taken away, such as one label of several: that was just now.
        loosened = before is not None and is_looser(after.spec, before.spec)
        return max(written, int(self._ports.wall())) if loosened else written

    def _take_test(self, item: _Item, body: Mapping[str, Any]) -> None:
        """A test message, where the annotation asks for one that was not asked for before."""
        uid, nonce = item.identity.uid, trackers.test_nonce(body)
        told = ((body.get("status") or {}).get("lastTest") or {}).get("nonce")
        if not nonce or nonce in {item.nonce, told} or item.tracker is None:
            return
        item.nonce = nonce
        test = self._ledger.ask_test(uid, nonce)
        if test is not None:
            self._dispatcher.submit([test])
        elif not self._ledger.awaits_test(uid, nonce):
            # Asked for before a restart, and settled; what became of it was never written.
            self._verdicts.tested(
                uid, nonce, DeliveryError(Failure.RETRY, "Interrupted", "the operator restarted meanwhile: test again")
            )
        item.edited = True
        self._queue.add(uid)

    def deleted(self, uid: str) -> None:
        """A tracker is gone: nothing more is sent for it, not even what waits."""
        self._gone[uid] = None
        if len(self._gone) > REMEMBERED_GONE:
            self._gone.popitem(last=False)
        if self._items.pop(uid, None) is None:
            return
        self._queue.discard(uid)
        self._engine.untrack(uid)
        self._dispatcher.drop(uid)
        self._board.forget(uid)

    def refused(self, uid: str) -> None:
        """The tracker's receiver refused it: the Secret may hold a newer token by now."""
        item = self._items.get(uid)
        if item is not None:
            item.refused_at = self._clock()
            self._queue.add(uid)

    def namespace(self, uid: str) -> str:
        """Of a tracker; empty where there is none."""
        item = self._items.get(uid)
        return item.identity.namespace if item is not None else ""

    def known(self) -> frozenset[str]:
        """The uids of all trackers."""
        return frozenset(self._items)

    # making it so

    async def run(self) -> None:
        """Work, for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            uid = await self._queue.get()
            try:
                await self._reconcile(uid)
            except Exception:
                # One tracker that trips over a bug of ours must not stop the others.
                logger.exception("a reconcile failed in a way it should not")
                self._metrics.reconciles.labels("bug").inc()
                self._queue.add_after(uid, _RECHECK)
            finally:
                self._queue.done(uid)

    async def _reconcile(self, uid: str) -> None:
        item = self._items.get(uid)
        tracker = None if item is None else item.tracker
        if item is None or tracker is None:
            return
        self._set_tone(item, tracker)
        try:
            if item.listing:
                return  # it comes again when the list is complete
            if item.backfill:
                await self._list_pods(item, tracker)
            if item.tracker is tracker:
                await self._connect(item, tracker)
        except KubeError as error:
            self._metrics.reconciles.labels("error").inc()
            logger.warning("cannot reconcile", extra=_who(item.identity) | {"error": str(error)})
            item.failures += 1
            first, longest = _RETRY
            wait = min(longest, first * 2 ** min(item.failures - 1, 6)) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
            self._queue.add_after(uid, error.retry_after or wait)
        else:
            self._metrics.reconciles.labels("ok").inc()
            item.failures = 0

    def _set_tone(self, item: _Item, tracker: Tracker) -> None:
        """Whether its messages go at once, together, or not now; and what they say."""
        spec, now = tracker.spec, self._ports.wall()
        quiet = is_quiet(spec, now)
        digests = self._ports.traits(spec.reporter.kind).digests
        gather = self._timing.digest if spec.grouping == "Digest" and digests else 0.0
        self._dispatcher.hold(item.identity, held=quiet, gather=gather)
        self._board.quiet(tracker.uid, quiet=quiet)
        if quiet and not spec.suspend and spec.mute_until is not None:
            self._queue.add_after(tracker.uid, max(0.0, times.epoch_seconds(spec.mute_until) - now))
        given = spec.message is not None
        problem = self._ports.message_problem(spec.message) if spec.message is not None else None
        self._verdicts.message(tracker.uid, problem, given=given)

    async def _list_pods(self, item: _Item, tracker: Tracker) -> None:
        """List the pods of a tracker that came after the watch had passed them, and of those that want the same."""
        if self._engine.relisting(tracker.namespace):
            self._queue.add_after(tracker.uid, _AFTER_RELIST)
            return
        begun = [self._begin_backfill(item, tracker)]
        for other in self._items.values():
            if other is not item and other.tracker is not None and _wants_list(other, tracker):
                other.listing = True
                begun.append(self._begin_backfill(other, other.tracker))
        complete = False
        try:
            complete = await self._read_pages(begun)
        finally:
            for one, of, backfill in begun:
                one.listing = False
                if self._engine.end_backfill(backfill) and complete and one.tracker is of:
                    one.backfill = False
                    self._engine.listed(of.uid)
                if one is not item and of.uid in self._items:
                    self._queue.add(of.uid)
        if item.backfill:
            self._queue.add_after(tracker.uid, _AFTER_RELIST)

    def _begin_backfill(self, item: _Item, tracker: Tracker) -> tuple[_Item, Tracker, Backfill]:
        backfill, departed = self._engine.begin_backfill(tracker, now=self._ports.wall())
        self._dispatcher.submit(departed)
        return item, tracker, backfill

    async def _read_pages(self, begun: Sequence[tuple[_Item, Tracker, Backfill]]) -> bool:
        token = ""
        _, first, _ = begun[0]
        selectors = query(first.spec)
        while True:
            raw = await self._pods.list_pods(first.namespace, limit=PAGE, continue_token=token, **selectors)
            page = decode_page(raw)
            await self._owners.resolve(page.items)
            wanted = [(tracker, backfill) for item, tracker, backfill in begun if item.tracker is tracker]
            if not wanted:
                return False
            for place, (_, backfill) in enumerate(wanted):
                if place:
                    await asyncio.sleep(0)  # a thousand trackers must not keep the others waiting
                self._dispatcher.submit(self._engine.backfilled(backfill, page.items, now=self._ports.wall()))
            token = page.metadata.continue_token
            if not token:
                return True

    async def _connect(self, item: _Item, tracker: Tracker) -> None:
        """Find where the tracker's messages go, and whether they would be taken."""
        uid, reporter = tracker.uid, tracker.spec.reporter
        edited, refused_at, max_age = item.edited, item.refused_at, self._max_age(item)
        inline = reporter.key is not None
        self._verdicts.credential(uid, inline=inline)
        try:
            credential = await self._credentials.credential(
                tracker, max_age=min(max_age, self._timing.secret_refresh / 2)
            )
        except CredentialsError as error:
            if self._items.get(uid) is item and item.tracker is tracker:
                item.edited, item.refused_at = False, None
                self._dispatcher.assign(item.identity, None)
                self._verdicts.unavailable(uid, error)
                self._dispatcher.give_up_test(uid, DeliveryError(Failure.REFUSED, error.reason, error.message))
            self._queue.add_after(uid, self._timing.secret_refresh)
            return
        destination = Destination(kind=reporter.kind, channel=reporter.channel or "", credential=credential)
        verdict_age = self._timing.blocked_retry if refused_at is None else min(max_age, self._timing.blocked_retry)
        problem = await self._verifier.check(destination, max_age=verdict_age, refusal_max_age=max_age)
        if self._items.get(uid) is not item or item.tracker is not tracker:
            return
        item.edited = False
        if item.refused_at == refused_at:
            item.refused_at = None
        refused = problem is not None and problem.failure is Failure.REFUSED
        failing = self._dispatcher.assign(item.identity, None if refused else destination, retry=edited)
        if problem is not None or not failing:
            accepted = self._ports.traits(reporter.kind).accepted
            self._verdicts.verified(uid, problem, accepted=accepted, edited=edited)
        if refused and problem is not None:
            self._dispatcher.give_up_test(uid, problem)
        wait = self._next_look(problem, inline=inline)
        if wait is not None:
            self._queue.add_after(uid, wait)

    def _max_age(self, item: _Item) -> float:
        """Seconds that what is known of a credential may be old: no older than the refusal that made it doubtful."""
        if item.refused_at is not None:
            return self._clock() - item.refused_at
        return TOGETHER if item.edited else float("inf")

    def _next_look(self, problem: DeliveryError | None, *, inline: bool) -> float | None:
        """Seconds until this tracker's credential is to be looked at again; None where only an edit could change it."""
        if problem is None:
            return None if inline else self._timing.secret_refresh
        if problem.failure is Failure.REFUSED:
            return self._timing.blocked_retry if inline else self._timing.secret_refresh
        return problem.retry_after or _RECHECK


def _wants_list(item: _Item, tracker: Tracker) -> bool:
    """Whether a tracker waits for the very list that another is about to have."""
    other = item.tracker
    return (
        item.backfill
        and not item.listing
        and other is not None
        and other.namespace == tracker.namespace
        and query(other.spec) == query(tracker.spec)
    )


def _who(tracker: TrackerIdentity) -> dict[str, str]:
    return {"namespace": tracker.namespace, "tracker": tracker.name}
