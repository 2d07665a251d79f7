# SPDX-License-Identifier: Apache-2.0
"""What kubelets and the scheduler write into a pod's status, for clusters that have neither."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass

from support.kube import Kube
from support.manifests import Json, created_at


def stamp(at: float) -> str:
    """Seconds since 1970 as Kubernetes writes times."""
    return dt.datetime.fromtimestamp(int(at), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def running(at: float) -> Json:
    """The state of a container that runs since then."""
    return {"running": {"startedAt": stamp(at)}}


def waiting(reason: str) -> Json:
    """The state of a container that does not run yet, or not again."""
    return {"waiting": {"reason": reason}}


def ended(at: float, code: int, reason: str) -> Json:
    """The state of a container that ran for a second until then."""
    times = {"startedAt": stamp(at - 1), "finishedAt": stamp(at)}
    return {"terminated": {"exitCode": code, "reason": reason, **times}}


def condition(kind: str, status: bool, at: float, reason: str = "") -> Json:
    """A condition that changed then."""
    return {"type": kind, "status": str(status), "lastTransitionTime": stamp(at)} | (
        {"reason": reason} if reason else {}
    )


def ready(at: float) -> Json:
    """The condition of a pod that became ready then."""
    return condition("Ready", True, at)


@dataclass(frozen=True)
class Kubelet:
    """Writes the status of pods; the container of a pod is named like the pod, as `make_pod` has it."""

    kube: Kube
    namespace: str

    async def report(
        self,
        pod: str,
        state: Json | None = None,
        *conditions: Json,
        phase: str = "Running",
        reason: str = "",
        last: Json | None = None,
        restarts: int = 0,
    ) -> None:
        """Say how a pod is.

        Args:
            pod: its name.
            state: its container's; without one, nothing is said of containers.
            conditions: of the pod.
            phase: of the pod.
            reason: of the phase.
            last: how the container ended before.
            restarts: how often it was started again.
        """
        status: Json = {"phase": phase, "conditions": list(conditions)} | ({"reason": reason} if reason else {})
        if state is not None:
            status["containerStatuses"] = [container(pod, state, last=last, restarts=restarts)]
        await self.write(pod, status)

    async def write(self, pod: str, status: Json) -> None:
        """Write these fields of a pod's status."""
        await self.kube.patch("Pod", pod, self.namespace, {"status": status}, subresource="status")

    async def start(self, pod: str, *, after: int = 7) -> None:
        """Let a pod become ready, so many seconds after it was created as far as its status says."""
        created = created_at(await self.kube.get("Pod", pod, self.namespace))
        await self.report(pod, running(created + 1), ready(created + after))


def container(name: str, state: Json, *, last: Json | None = None, restarts: int = 0) -> Json:
    """An entry of containerStatuses."""
    return {
        "name": name,
        "image": "nginx",
        "imageID": "",
        "ready": "running" in state,
        "restartCount": restarts,
        "state": state,
        "lastState": last or {},
    }


def now() -> int:
    """Whole seconds since 1970."""
    return int(time.time())
