# SPDX-License-Identifier: Apache-2.0
"""Occurrences as they are told, with all that can be known of them."""

from __future__ import annotations

from typing import Any

from podtracker.api import Event, WorkloadRef
from podtracker.ledger import Detail, Notification
from podtracker.templates.vocabulary import Subject
from podtracker.trackers import TrackerIdentity

TRACKER = TrackerIdentity(uid="t1", namespace="shop", name="web-crashes", generation=1, created=1_798_761_600)


def occurrence(
    event: str = Event.RESTARTED, pod: str = "web-1", *, quiet: bool = False, at: int = 1_798_761_600, **detail: Any
) -> Notification:
    """Something that happened to a pod of the namespace `shop`; `detail` as Detail has it."""
    return Notification(
        id=f"{event}-{pod}",
        order=1,
        tracker=TRACKER.uid,
        event=event,
        namespace=TRACKER.namespace,
        pod=pod,
        pod_uid=f"{pod}-uid",
        at=at,
        quiet=quiet,
        detail=Detail(**detail),
    )


def crash(pod: str = "web-1", **detail: Any) -> Notification:
    """A container that ended with an error and was started again."""
    known: dict[str, Any] = {
        "container": "app",
        "reason": "Error",
        "exit_code": 1,
        "restarts": 3,
        "node": "worker-3",
        "seconds": 12,
    }
    return occurrence(Event.RESTARTED, pod, **known | detail)


def subject(notification: Notification | None = None, *, cluster: str = "prod", text: str = "the default") -> Subject:
    """What a tracker's text is filled in with."""
    return Subject(
        notification=notification or crash(labels=(("app", "shop-front"), ("team", "blue"))),
        tracker=TRACKER,
        workload=WorkloadRef(kind="Deployment", name="web"),
        cluster=cluster,
        text=text,
    )


def escape(text: str) -> str:
    """As Slack wants it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
