# SPDX-License-Identifier: Apache-2.0
"""What workload a pod belongs to where its owner does not say: Deployments through ReplicaSets, CronJobs through Jobs.

A ReplicaSet's and a Job's owner never changes, so each is asked for once, when its first pod is seen and some tracker
means a workload of that kind in the namespace. The watch waits meanwhile: nothing is told before it is known whom it
concerns, and nothing overtakes (ADR 0006 has what this costs against a watch of all ReplicaSets).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from podtracker.errors import KubeError
from podtracker.matching import BETWEEN, TrackerIndex
from podtracker.patience import patiently
from podtracker.pods import Owner, Pod

logger = logging.getLogger(__name__)

REMEMBERED = 20_000
"""ReplicaSets and Jobs; the oldest are asked for again."""
_AT_ONCE = 8
"""Requests at a time, where a list brings many."""


_Unknown = dict[tuple[str, str], tuple[Pod, Owner]]
"""By namespace and uid: an owner that is to be asked for, and a pod that it has."""


class OwnerSource(Protocol):
    """Where ReplicaSets and Jobs are read."""

    async def get_owner(self, namespace: str, kind: str, name: str) -> Owner | None:
        """Its controller; raises KubeError, not_found where it is gone."""
        ...


class Owners:
    """Fills the index' `parents`."""

    def __init__(self, source: OwnerSource, index: TrackerIndex, *, clock: Callable[[], float]) -> None:
        """Args: clock: monotonic seconds."""
        self._source = source
        self._index = index
        self._clock = clock

    async def resolve(self, pods: Sequence[Pod]) -> None:
        """Return once it is known to what these pods belong; waits while the API server is away."""
        unresolved = self.unresolved(pods)
        if unresolved is not None:
            await unresolved

    def unresolved(self, pods: Sequence[Pod]) -> Awaitable[None] | None:
        """As `resolve`; None where it is known already, as of nearly all pods."""
        unknown: _Unknown = {}
        for pod in pods:
            owner = self._index.orphan(pod)
            if owner is not None:
                unknown[pod.namespace, owner.uid] = pod, owner
        return self._resolve(unknown) if unknown else None

    async def _resolve(self, unknown: _Unknown) -> None:
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(pod: Pod, owner: Owner) -> None:
            async with limit:
                self._index.parents[pod.namespace, owner.uid] = await self._parent(pod, owner)

        await asyncio.gather(*(one(pod, owner) for pod, owner in unknown.values()))
        while len(self._index.parents) > REMEMBERED:
            del self._index.parents[next(iter(self._index.parents))]

    async def _parent(self, pod: Pod, owner: Owner) -> str:
        try:
            found = await patiently(
                lambda: self._source.get_owner(pod.namespace, owner.kind, owner.name),
                what=f"owner of a {owner.kind}",
                final=lambda error: error.not_found or error.forbidden,
                clock=self._clock,
            )
        except KubeError as error:
            if error.forbidden:
                logger.warning("cannot read owners", extra={"kind": owner.kind, "error": str(error)})
            return by_convention(owner, pod)
        # Others make ReplicaSets and Jobs too, such as a Rollout of Argo's: no tracker means those.
        return found.name if found is not None and found.native and BETWEEN.get(found.kind) == owner.kind else ""


def by_convention(owner: Owner, pod: Pod) -> str:
    """What a ReplicaSet or Job that is gone belonged to, from the way controllers name them.

    A ReplicaSet is named after its Deployment and its pods' label `pod-template-hash`, a Job after its CronJob and the
    minute it was due (Kubernetes: deployment_util.go, cronjob utils.go).
    """
    if owner.kind == "ReplicaSet":
        suffix = pod.labels.get("pod-template-hash", "")
        return owner.name.removesuffix(f"-{suffix}") if suffix and owner.name.endswith(f"-{suffix}") else ""
    stem, dash, minute = owner.name.rpartition("-")
    return stem if dash and minute.isdigit() else ""
