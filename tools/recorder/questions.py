# SPDX-License-Identifier: Apache-2.0
"""Questions about what was seen of a scenario's pods."""

from collections.abc import Iterator, Mapping
from typing import Any

from recorder.stage import Pod, Question, View


def statuses(pod: Pod) -> Iterator[Mapping[str, Any]]:
    """Yield the status of every container, whatever its kind."""
    for kind in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        yield from pod["status"].get(kind, ())


def condition(pod: Pod, kind: str) -> str | None:
    """Return the status of a condition, such as `True`, or None where there is none."""
    return next((each["status"] for each in pod["status"].get("conditions", ()) if each["type"] == kind), None)


def ready(count: int = 1) -> Question:
    """Ask whether `count` pods are ready now."""
    return lambda view: sum(condition(pod, "Ready") == "True" for pod in view.pods.values()) >= count


def unready(view: View) -> bool:
    """Ask whether the pods that exist are not ready."""
    return all(condition(pod, "Ready") != "True" for pod in view.pods.values())


def restarts(count: int) -> Question:
    """Ask whether a container was restarted `count` times."""
    return lambda view: any(s["restartCount"] >= count for pod in view.pods.values() for s in statuses(pod))


def waiting(reason: str) -> Question:
    """Ask whether a container waits for this reason now."""
    return lambda view: any(
        s.get("state", {}).get("waiting", {}).get("reason") == reason
        for pod in view.pods.values()
        for s in statuses(pod)
    )


def terminated(reason: str) -> Question:
    """Ask whether a container ended for this reason, now or before its last start."""
    return lambda view: any(
        s.get(state, {}).get("terminated", {}).get("reason") == reason
        for pod in view.pods.values()
        for s in statuses(pod)
        for state in ("state", "lastState")
    )


def running(view: View) -> bool:
    """Ask whether a container runs now."""
    return any("running" in s.get("state", {}) for pod in view.pods.values() for s in statuses(pod))


def phase(name: str, count: int = 1) -> Question:
    """Ask whether `count` pods are in this phase now."""
    return lambda view: sum(pod["status"].get("phase") == name for pod in view.pods.values()) >= count


def is_condition(kind: str, status: str) -> Question:
    """Ask whether a pod has this condition with this status."""
    return lambda view: any(condition(pod, kind) == status for pod in view.pods.values())


def deleted(count: int = 1) -> Question:
    """Ask whether `count` pods are gone."""
    return lambda view: sum(event["type"] == "DELETED" for event in view.events) >= count


def exists(view: View) -> bool:
    """Ask whether there is a pod."""
    return bool(view.pods)
