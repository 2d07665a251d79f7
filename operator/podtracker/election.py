# SPDX-License-Identifier: Apache-2.0
"""Who leads: one Lease, held by renewing it.

The rules are those of client-go's leader election: a holder counts as gone when its record has not changed for the
lease's duration *by the candidate's own clock*, so clocks are never compared; every write names the version that it
read. Beyond them: a leader that cannot renew in time first only pauses, and goes on if the Lease still names it; it
ends when somebody else does. A candidate with the holder's identity is the same pod, restarted, and goes on at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from podtracker.errors import KubeError, PodTrackerError

logger = logging.getLogger(__name__)

LEASE = "pod-tracker-leader"


class NotLeadingError(PodTrackerError):
    """Somebody else leads: this process must end."""

    exit_code = 4


class StoredLease(msgspec.Struct, frozen=True):
    """The Lease as it is stored."""

    version: str
    holder: str
    transitions: int


class LeaseStore(Protocol):
    """The Lease of the operator's own namespace; every call raises KubeError."""

    async def get_lease(self, name: str) -> StoredLease:
        """Read it; not_found where there is none."""
        ...

    async def create_lease(self, name: str, spec: Mapping[str, Any]) -> StoredLease:
        """Create it."""
        ...

    async def patch_lease(self, name: str, version: str, spec: Mapping[str, Any]) -> StoredLease:
        """Change it; conflict (409) unless it still has `version`."""
        ...


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """In seconds."""

    duration: float = 8.0
    """After which an unchanged record is that of a holder who is gone."""
    renew_deadline: float = 5.0
    """After the last good renewal's start, in which the leader may send."""
    retry: float = 1.0
    """Between renewals, and between a candidate's looks."""
    in_flight: float = 10.0
    """That a request of the last holder may still take when it may begin no other."""


class Elector:
    """One candidate."""

    def __init__(
        self, store: LeaseStore, *, identity: str, timing: Timing, clock: Callable[[], float], now: Callable[[], str]
    ) -> None:
        """Args: identity: the pod's uid; clock: monotonic seconds; now: RFC 3339 with microseconds, for people."""
        self._store = store
        self._identity = identity
        self._timing = timing
        self._clock = clock
        self._now = now
        self._lease: StoredLease | None = None
        self._seen_at = clock()
        self._renewed_at = float("-inf")
        self._in_flight_until = clock()
        self._lead = asyncio.Event()
        self.created = False
        """Whether there was no Lease: nobody has ever led here."""
        self.asked = False
        """Whether the API server has told who leads."""

    def leading(self) -> bool:
        """Whether a message may be sent now."""
        return self._clock() - self._renewed_at < self._timing.renew_deadline

    async def wait_leading(self) -> None:
        """Return once a message may be sent."""
        while not self.leading():
            self._lead.clear()
            await self._lead.wait()

    async def acquire(self) -> float:
        """Return when this candidate leads, and nothing of the last holder can be in flight.

        Returns:
            Seconds since the last sign of the holder before, or since its release; 0 where there was none.
        """
        while True:
            try:
                wait_until = await self._try()
            except KubeError as error:
                if not error.conflict:
                    logger.warning("cannot ask for the lead", extra={"error": str(error)})
                wait_until = None
            if wait_until is not None:
                break
            await asyncio.sleep(self._timing.retry)
        renewing = asyncio.create_task(self.run(), name="renewing")
        try:
            await asyncio.wait([renewing], timeout=max(0.0, wait_until - self._clock()))
            if renewing.done():
                renewing.result()
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
        return self._clock() - self._seen_at

    async def run(self) -> None:
        """Renew, for ever.

        Raises:
            NotLeadingError: somebody else holds the Lease.
        """
        while True:
            await asyncio.sleep(self._timing.retry)
            try:
                await self._renew()
            except KubeError as error:
                logger.warning("cannot renew the lease", extra={"error": str(error)})

    async def release(self) -> None:
        """Let the next candidate take over at once. The Lease may be lost already; then there is nothing to do."""
        lease, self._lease, self._renewed_at = self._lease, None, float("-inf")
        if lease is None or lease.holder != self._identity:
            return
        try:
            await self._let_go(lease)
        except KubeError as error:
            logger.warning("cannot release the lease", extra={"error": str(error)})

    async def _let_go(self, lease: StoredLease) -> None:
        spec = {"holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            await self._store.patch_lease(LEASE, lease.version, spec)
        except KubeError as error:
            if not error.conflict:
                raise
            # Mostly a renewal that was given up under way and arrived all the same.
            found = await self._store.get_lease(LEASE)
            if found.holder == self._identity:
                await self._store.patch_lease(LEASE, found.version, spec)

    async def _try(self) -> float | None:
        """One attempt; gives the time before which a request of the last holder may be in flight, or None."""
        started = self._clock()
        try:
            lease = await self._store.get_lease(LEASE)
        except KubeError as error:
            if not error.not_found:
                raise
            self._lease = await self._store.create_lease(LEASE, self._spec(0))
            self.asked = self.created = True
            self._renewed_at = self._seen_at = started
            return started
        self.asked = True
        if self._lease is None or lease.version != self._lease.version:
            # After the read, as client-go does: the record may be as young as its answer.
            self._lease, self._seen_at = lease, self._clock()
        free = lease.holder in {"", self._identity}
        last_sign = self._seen_at
        if not free and self._clock() - last_sign < self._timing.duration:
            return None
        if not free:
            # Kept before the claim: its answer may be lost, and the next look then finds the Lease to be ours.
            self._in_flight_until = last_sign + self._timing.renew_deadline + self._timing.in_flight
        self._lease = await self._store.patch_lease(LEASE, lease.version, self._spec(lease.transitions + 1))
        self._renewed_at = started
        return self._in_flight_until

    async def _renew(self) -> None:
        started = self._clock()
        lease = self._lease
        if lease is None:
            raise NotLeadingError("there is no lease to renew")
        try:
            self._lease = await self._store.patch_lease(LEASE, lease.version, {"renewTime": self._now()})
        except KubeError as error:
            if not (error.conflict or error.not_found):
                raise
            await self._look_again()
            return
        self._renewed_at = started
        self._lead.set()

    async def _look_again(self) -> None:
        """The Lease is not as it was left: a renewal whose answer was lost, a stranger's edit, or another holder."""
        try:
            lease = await self._store.get_lease(LEASE)
        except KubeError as error:
            if not error.not_found:
                raise
            raise NotLeadingError("the lease was deleted") from error
        self._lease = lease
        if lease.holder != self._identity:
            raise NotLeadingError(f"{lease.holder or 'nobody'} holds the lease")

    def _spec(self, transitions: int) -> dict[str, Any]:
        now = self._now()
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, round(self._timing.duration)),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }
