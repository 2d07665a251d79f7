# SPDX-License-Identifier: Apache-2.0
"""Occurrences as they could have happened, to show messages with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from podtracker.api import Event
from podtracker.ledger import Detail, Notification
from podtracker.times import epoch_seconds

_DETAILS: Final[Mapping[Event, Mapping[str, Any]]] = {
    Event.READY: {"seconds": 12},
    Event.RESTARTED: {"container": "app", "reason": "Error", "exit_code": 1, "restarts": 3},
    Event.CRASH_LOOPING: {"container": "app", "reason": "Error", "exit_code": 1, "restarts": 4},
    Event.OOM_KILLED: {"container": "app", "reason": "OOMKilled", "exit_code": 137, "restarts": 2},
    Event.IMAGE_PULL_FAILED: {"container": "app", "reason": "ErrImagePull"},
    Event.START_FAILED: {"container": "app", "reason": "CreateContainerConfigError"},
    Event.UNSCHEDULABLE: {"reason": "Unschedulable"},
    Event.FAILED: {"reason": "Evicted"},
    Event.RECOVERED: {"restarts": 4},
}
_UNPLACED: Final = frozenset({Event.CREATED, Event.UNSCHEDULABLE})
"""What happens before a pod has a node."""


def example(
    event: Event, *, namespace: str = "shop", pod: str = "web-1", labels: Mapping[str, str] | None = None
) -> Notification:
    """An occurrence of an event."""
    return Notification(
        id="example",
        order=1,
        tracker="example",
        event=event,
        namespace=namespace,
        pod=pod,
        pod_uid="0c1f9a3e-5d0a-4c5e-9f65-2b7c1d2e3f40",
        at=epoch_seconds("2027-01-01T00:00:00Z"),
        detail=Detail(
            node="" if event in _UNPLACED else "worker-3",
            labels=tuple((labels or {}).items()),
            **_DETAILS.get(event, {}),
        ),
    )
