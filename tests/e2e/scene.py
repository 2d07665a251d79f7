# SPDX-License-Identifier: Apache-2.0
"""What a test acts in: a namespace, a channel, trackers, and pods that a real kubelet plays."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any, Final

from e2e.api import Api, Kubectl
from e2e.deployment import Deployment
from e2e.slack import Slack
from kindnode.cluster import Cluster
from podtracker.ledger import notification_id
from recorder.questions import condition
from recorder.script import pod as make_pod
from support.manifests import Json, make_tracker
from support.waiting import eventually

PATIENCE: Final = 90.0
"""Seconds for what a kubelet has to do on a busy machine."""

_FENCE: Final = "fence"


@dataclass(slots=True)
class Scene:
    """One test's part of the cluster."""

    api: Api
    kubectl: Kubectl
    slack: Slack
    deployment: Deployment
    cluster: Cluster | None
    """Where it is the one of kindnode."""
    namespace: str
    channel: str
    _fences: itertools.count[int] = field(default_factory=itertools.count)

    async def track(self, *events: str, name: str = "tracker", pod: str = "", **spec: Any) -> Json:
        """Make a tracker that posts to the test's channel, and wait until it is active.

        Without `pod`, a pod's name, or a workloadRef it means all pods of the namespace.
        """
        if not pod and "workloadRef" not in spec:
            spec["selector"] = {}
        if events:
            spec["events"] = list(events)
        made = await self.api.create(make_tracker(name, pod=pod, channel=self.channel, **spec), self.namespace)
        await eventually(lambda: self.is_active(name), what=f"the tracker {name} is active", within=30)
        return made

    async def is_active(self, name: str) -> bool:
        """Tell whether a tracker says that it works."""
        tracker = await self.api.get("PodTracker", name, self.namespace)
        status: str = tracker.get("status", {}).get("status", "")
        return status == "Active"

    async def create(self, *objects: Json) -> Json:
        """Create objects in the namespace; return the last as the API server made it."""
        made: Json = {}
        for each in objects:
            made = await self.api.create(each, self.namespace)
        return made

    async def pod(self, name: str) -> Json:
        """Read a pod."""
        return await self.api.get("Pod", name, self.namespace)

    async def until_ready(self, name: str) -> Json:
        """Wait until a pod is ready; return it."""

        async def ready() -> Json | None:
            pod = await self.pod(name)
            return pod if condition(pod, "Ready") == "True" else None

        found = await eventually(ready, what=f"the pod {name} is ready", within=PATIENCE)
        assert found
        return found

    async def until_restarted(self, name: str, times: int) -> None:
        """Wait until a pod's containers were restarted so often."""

        async def restarted() -> bool:
            statuses = (await self.pod(name))["status"].get("containerStatuses", ())
            return bool(sum(status["restartCount"] for status in statuses) >= times)

        await eventually(restarted, what=f"{times} restarts of the pod {name}", within=PATIENCE)

    async def settled_lines(self) -> list[str]:
        """Return all lines told, once everything that was seen until now is told.

        A fence is a pod of its own with a tracker of its own to the same channel: what was seen before it is told
        before it. Lines about fences are left out.
        """
        name = f"{_FENCE}-{next(self._fences)}"
        made = await self.api.create(make_tracker(name, pod=name, channel=self.channel), self.namespace)
        await eventually(lambda: self.is_active(name), what="the fence's tracker is active", within=30)
        pod = await self.create(make_pod(name=name))
        await self.until_told(notification_id(made["metadata"]["uid"], pod["metadata"]["uid"], "Created"))
        lines = await self.slack.lines(self.channel)
        return [line for line in lines if _FENCE not in line]

    async def until_told(self, *ids: str, within: float = PATIENCE) -> None:
        """Wait until these occurrences are told."""

        async def told() -> bool:
            missing = set(ids) - (await self.slack.ids(self.channel)).keys()
            assert not missing, f"{len(missing)} of {len(ids)} are not told"
            return True

        await eventually(told, what="messages", within=within)

    async def until_line(self, text: str, *, count: int = 1) -> None:
        """Wait until so many lines contain a text."""

        async def there() -> bool:
            lines = await self.slack.lines(self.channel)
            assert sum(text in line for line in lines) >= count, lines
            return True

        await eventually(there, what=f"{text!r} in the channel", within=PATIENCE)


def occurrence(tracker: Json, pod: Json, event: str) -> str:
    """Return the id under which a tracker tells an event of a pod that can happen to it only once."""
    return notification_id(tracker["metadata"]["uid"], pod["metadata"]["uid"], event)
