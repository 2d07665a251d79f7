# SPDX-License-Identifier: Apache-2.0
"""What happened to a pod, found by comparing what is known of it with how it is now. Pure; time is passed in.

Level-triggered: everything follows from the pod's present status, which keeps enough of its past (restart counts, how
the last container ended, when a condition changed). So updates that were merged, repeated or listed anew give the same
answer, and what a status does not show any more was seen by nobody.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Final

import msgspec

from podtracker.api import TROUBLES, Event
from podtracker.pods import ContainerStatus, Pod, PodStatus, Terminated

_BITS: Final = {event: 1 << place for place, event in enumerate(Event)}
_TROUBLE_BITS: Final = sum(_BITS[event] for event in TROUBLES)

_IMAGE: Final = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable"}
    | {"SignatureValidationFailed", "ErrImageNotVerified"}
)
"""Waiting reasons that mean that an image cannot be had (kubelet: pkg/kubelet/images/types.go, events)."""
_START_WAITING: Final = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "InvalidImageName", "RunContainerError"}
    | {
        "PreCreateHookError",
        "PreStartHookError",
        "PostStartHookError",
        "CreatePodSandboxError",
        "ConfigPodSandboxError",
    }
)
"""Waiting reasons that mean that a container could not be made or started (kubelet: container/sync_result.go)."""
_START_ENDED: Final = frozenset({"StartError", "ContainerCannotRun", "ContainerStatusUnknown"})
"""Reasons of an end that was no run. The last: the node forgot the container, so whether it ran is not known."""
_START_FAILED: Final = frozenset({"StartError", "ContainerCannotRun"})


MAX_CONTAINERS: Final = 100
"""Containers of a pod that are looked at one by one, and as many init containers: a pod of ten thousand would be a
tenant's way to fill the ledger and the loop."""


class Grace(msgspec.Struct, frozen=True):
    """How long something may last before it is told, in seconds."""

    unschedulable: int = 60
    mounts: int = 150
    """For a pod on its node whose volumes or network are not ready; the kubelet itself gives up a mount after 123."""
    recovery: int = 180
    """That a pod in trouble has to be Ready without a break to count as recovered."""


class Seen(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """What is known to have happened to a pod."""

    happened: int = 0
    """A bit for each event that happened; troubles only until the pod has recovered."""
    restarts: dict[str, int] = {}
    """By container, where there were any."""
    kills: dict[str, int] = {}
    """When the kernel last killed a container for its memory, in seconds since 1970."""
    deadlines: dict[str, int] = {}
    """When something will have lasted too long, by event, in seconds since 1970."""

    @property
    def due(self) -> int | None:
        """The next deadline."""
        return min(self.deadlines.values(), default=None)


NOTHING: Final = Seen()


class Happening(msgspec.Struct, frozen=True):
    """One thing that happened to a pod."""

    event: Event
    at: int = 0
    """Seconds since 1970, where Kubernetes noted it."""
    container: str = ""
    reason: str = ""
    exit_code: int | None = None
    restarts: int = 0
    seconds: int | None = None
    """For Ready: how long it took since the pod was created."""


class Step(msgspec.Struct, frozen=True):
    """What a look at a pod gave."""

    happenings: tuple[Happening, ...]
    """In the order in which a pod lives through them."""
    seen: Seen


_PLAIN_SEEN: dict[int, Seen] = {}
"""One object for all pods of which no more is known than what happened; there are at most 2^13, and mostly three."""


def step(seen: Seen, pod: Pod, *, now: float, grace: Grace) -> Step:
    """What happened between what is known of a pod and how it is now.

    Args:
        seen: what is known; `NOTHING` gives all that happened since the pod was created, as far as it shows.
        pod: how it is now.
        now: seconds since 1970.
        grace: how long things may last.
    """
    look = _Look(seen, pod, now, grace)
    look.run()
    return Step(happenings=tuple(look.found), seen=look.result())


def episode_open(seen: Seen, events: tuple[Event, ...]) -> bool:
    """Whether a pod is in one of these troubles."""
    return any(seen.happened & _BITS[event] for event in events)


class _Look:
    """One comparison."""

    def __init__(self, seen: Seen, pod: Pod, now: float, grace: Grace) -> None:
        self.pod = pod
        self.status: PodStatus = pod.status
        self.now = now
        self.grace = grace
        self.happened = seen.happened
        self.restarts = seen.restarts
        self.kills = seen.kills
        self.deadlines: dict[str, int] = {}
        self.found: list[Happening] = []
        self.troubled = False
        """Whether a trouble shows right now."""

    def run(self) -> None:
        self._once(Event.CREATED, self.pod.created)
        if self.pod.deleting:
            # How containers end from here on is the deletion's doing, unless the cluster itself wanted the pod gone.
            self._disrupted()
            return
        self._unschedulable()
        self._containers_that_cannot_start()
        self._started_and_ready()
        self._ends_of_containers()
        self._end_of_pod()
        self._recovery()

    def result(self) -> Seen:
        if self.restarts or self.kills or self.deadlines:
            return Seen(self.happened, self.restarts, self.kills, self.deadlines)
        plain = _PLAIN_SEEN.get(self.happened)
        if plain is None:
            plain = _PLAIN_SEEN[self.happened] = Seen(self.happened)
        return plain

    # what was found

    def _once(self, event: Event, at: int = 0, container: str = "", reason: str = "", **more: int | None) -> None:
        if not self.happened & _BITS[event]:
            self.happened |= _BITS[event]
            self._found(event, at, container, reason, **more)

    def _trouble(self, event: Event, at: int, container: str, reason: str, **more: int | None) -> None:
        self.troubled = True
        self._once(event, at, container, reason, **more)

    def _found(self, event: Event, at: int, container: str, reason: str, **more: int | None) -> None:
        details = {name: value for name, value in more.items() if value is not None}
        self.found.append(Happening(event, at, container, reason, **details))

    def _lasts(self, event: Event, since: dt.datetime | None, allowed: int) -> bool:
        """Whether something has lasted too long; else when it will have is noted."""
        if since is None:
            return False
        due = _seconds(since) + allowed
        if self.now >= due:
            return True
        self.deadlines[event.value] = due
        return False

    # before it runs

    def _unschedulable(self) -> None:
        scheduled = self.status.condition("PodScheduled")
        if (
            scheduled is not None
            and scheduled.status == "False"
            and scheduled.reason == "Unschedulable"
            and not self.happened & _BITS[Event.UNSCHEDULABLE]
            and self._lasts(Event.UNSCHEDULABLE, scheduled.last_transition_time, self.grace.unschedulable)
        ):
            self._once(Event.UNSCHEDULABLE, _seconds(scheduled.last_transition_time), reason="Unschedulable")

    def _containers_that_cannot_start(self) -> None:
        for container in self._all():
            reason = _waiting(container)
            ended = container.state.terminated or container.last_state.terminated
            if reason in _IMAGE:
                self._trouble(Event.IMAGE_PULL_FAILED, 0, container.name, reason, restarts=_attempt(container))
            elif reason in _START_WAITING:
                self._trouble(Event.START_FAILED, 0, container.name, reason, restarts=_attempt(container))
            elif container.state.running is None and ended is not None and ended.reason in _START_FAILED:
                self._trouble(
                    Event.START_FAILED,
                    _seconds(ended.finished_at),
                    container.name,
                    ended.reason or "",
                    exit_code=ended.exit_code,
                    restarts=container.restart_count,
                )
        self._mounts()

    def _mounts(self) -> None:
        """A pod on its node whose sandbox cannot be made: volumes that never come, a network that does not answer."""
        scheduled = self.status.condition("PodScheduled")
        sandbox = self.status.condition("PodReadyToStartContainers")
        if (
            scheduled is None
            or scheduled.status != "True"
            or sandbox is None
            or sandbox.status != "False"
            or self.status.phase != "Pending"
            or self.happened & (_BITS[Event.START_FAILED] | _BITS[Event.STARTED])
        ):
            return
        since = max(scheduled.last_transition_time or _EPOCH, sandbox.last_transition_time or _EPOCH)
        if self._lasts(Event.START_FAILED, since, self.grace.mounts):
            self._once(Event.START_FAILED, _seconds(since), reason="NotReadyToStartContainers")

    # while it runs

    def _started_and_ready(self) -> None:
        containers = self.status.containers
        if containers and all(map(_ran, containers)):
            self._once(Event.STARTED, max(map(_first_start, containers)))
        ready = self.status.condition("Ready")
        if ready is not None and ready.status == "True":
            at = _seconds(ready.last_transition_time)
            self._once(Event.READY, at, seconds=max(0, at - self.pod.created))

    def _ends_of_containers(self) -> None:
        for container in self._all():
            self._killed_for_memory(container)
            self._restarted(container)
            if _waiting(container) == "CrashLoopBackOff":
                ended = container.last_state.terminated or Terminated()
                self._trouble(
                    Event.CRASH_LOOPING,
                    _seconds(ended.finished_at),
                    container.name,
                    ended.reason or "",
                    exit_code=ended.exit_code,
                    restarts=_attempt(container),
                )

    def _killed_for_memory(self, container: ContainerStatus) -> None:
        for state in (container.last_state, container.state):
            ended = state.terminated
            if ended is None or ended.reason != "OOMKilled":
                continue
            at = _seconds(ended.finished_at)
            if at > self.kills.get(container.name, -1):
                self.kills = {**self.kills, container.name: at}
                self._once(
                    Event.OOM_KILLED,
                    at,
                    container.name,
                    "OOMKilled",
                    exit_code=ended.exit_code,
                    restarts=container.restart_count,
                )

    def _restarted(self, container: ContainerStatus) -> None:
        if container.restart_count <= self.restarts.get(container.name, 0):
            return
        self.restarts = {**self.restarts, container.name: container.restart_count}
        ended = container.last_state.terminated or Terminated()
        if ended.reason == "ContainerStatusUnknown":
            # The node counts a container that it lost, as when it evicts the pod; nothing was started again.
            return
        running = container.state.running
        self._found(
            Event.RESTARTED,
            _seconds(running.started_at if running is not None else ended.finished_at),
            container.name,
            ended.reason or "",
            exit_code=ended.exit_code if container.last_state.terminated else None,
            restarts=container.restart_count,
        )

    # its end

    def _disrupted(self) -> None:
        disruption = self.status.condition("DisruptionTarget")
        if disruption is not None and disruption.status == "True" and not self._over():
            self._once(Event.FAILED, _seconds(disruption.last_transition_time), reason=disruption.reason or "")

    def _over(self) -> int:
        return self.happened & (_BITS[Event.FAILED] | _BITS[Event.SUCCEEDED])

    def _end_of_pod(self) -> None:
        if self.status.phase == "Succeeded" and not self._over():
            self._once(Event.SUCCEEDED, _last_end(self.status))
        if self.status.phase != "Failed" or self._over():
            return
        disruption = self.status.condition("DisruptionTarget")
        guilty = next(
            (entry for entry in self._all() if entry.state.terminated and entry.state.terminated.exit_code), None
        )
        ended = guilty.state.terminated if guilty is not None else None
        reason = self.status.reason or (disruption.reason if disruption is not None else "") or ""
        self._once(
            Event.FAILED,
            _last_end(self.status),
            guilty.name if guilty is not None else "",
            reason or (ended.reason if ended is not None else "") or "",
            exit_code=ended.exit_code if ended is not None else None,
            restarts=guilty.restart_count if guilty is not None else 0,
        )

    def _recovery(self) -> None:
        ready = self.status.condition("Ready")
        if not self.happened & _TROUBLE_BITS or self.troubled or ready is None or ready.status != "True":
            return
        if self._lasts(Event.RECOVERED, ready.last_transition_time, self.grace.recovery):
            self.happened &= ~_TROUBLE_BITS
            at = _seconds(ready.last_transition_time)
            self._found(Event.RECOVERED, at, "", "", restarts=sum(self.restarts.values()))

    def _all(self) -> Iterator[ContainerStatus]:
        yield from (self.status.init_containers or ())[:MAX_CONTAINERS]
        yield from (self.status.containers or ())[:MAX_CONTAINERS]


_EPOCH: Final = dt.datetime.fromtimestamp(0, dt.UTC)


def _seconds(time: dt.datetime | None) -> int:
    return 0 if time is None else max(0, int(time.timestamp()))


def _waiting(container: ContainerStatus) -> str:
    waiting = container.state.waiting
    return (waiting.reason if waiting is not None else "") or ""


def _attempt(container: ContainerStatus) -> int:
    """Which start of the container this is about: one that waits after an end has not been counted yet."""
    return container.restart_count + (container.last_state.terminated is not None)


def _was_run(ended: Terminated | None) -> bool:
    return ended is not None and ended.reason not in _START_ENDED and _seconds(ended.started_at) > 0


def _ran(container: ContainerStatus) -> bool:
    """Whether the container ever ran."""
    states = (container.state, container.last_state)
    return any(state.running is not None or _was_run(state.terminated) for state in states)


def _first_start(container: ContainerStatus) -> int:
    """The earliest start that still shows."""
    starts = []
    for state in (container.state, container.last_state):
        if state.running is not None:
            starts.append(_seconds(state.running.started_at))
        elif state.terminated is not None and _was_run(state.terminated):
            starts.append(_seconds(state.terminated.started_at))
    return min(starts, default=0)


def _last_end(status: PodStatus) -> int:
    ends = [entry.state.terminated for entry in status.containers or ()]
    return max((_seconds(ended.finished_at) for ended in ends if ended is not None), default=0)
