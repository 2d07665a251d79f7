# SPDX-License-Identifier: Apache-2.0
"""Small builders of what the operator works with; each says only what a test cares about."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from podtracker import api, times, trackers
from podtracker.api import Event
from podtracker.delivery import Credential, Destination, Message
from podtracker.errors import DeliveryError, Failure
from podtracker.ledger import Notification, PodIdentity, TrackerRecord, notification_id
from podtracker.lifecycle import Happening, Seen
from podtracker.messages import text_for
from podtracker.pods import Pod, decode_pod
from podtracker.redact import Token
from podtracker.trackers import Notice, Tracker, TrackerIdentity

NOW: Final = 1_798_761_600
"""2027-01-01T00:00:00Z, in whole seconds since 1970: about when everything in these tests happens."""
SECRET: Final = "xoxb-12-34-s3cr3tS3cr3t"
"""The token that must show nowhere."""
CHANNEL: Final = "C0821GM4602"

_numbers = itertools.count(1)


def stamp(seconds: int) -> str:
    return times.rfc3339(seconds)


def pod_body(
    name: str = "nginx", *, namespace: str = "team", uid: str = "", created: int = NOW, version: int | str = 1
) -> dict[str, Any]:
    """A pod as the API server shows it, with more in it than the operator reads."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid or f"{name}-uid-{next(_numbers)}",
            "creationTimestamp": stamp(created),
            "resourceVersion": str(version),
            "labels": {"run": name},
            "managedFields": [{"manager": "kubectl-run", "operation": "Update"}],
        },
        "spec": {"containers": [{"name": name, "image": "nginx"}]},
        "status": {"phase": "Pending"},
    }


def pod(
    name: str = "nginx",
    *,
    namespace: str = "team",
    uid: str = "",
    created: int = NOW,
    version: int = 1,
    labels: Mapping[str, str] | None = None,
    owner: tuple[str, str] | None = None,
    owner_group: str = "apps",
    status: Mapping[str, Any] | None = None,
) -> Pod:
    """A pod as the operator decodes it; `owner` is the kind and the name of its controller, of `owner_group`."""
    body = pod_body(name, namespace=namespace, uid=uid, created=created, version=version)
    if labels is not None:
        body["metadata"]["labels"] = dict(labels)
    if owner is not None:
        kind, of = owner
        body["metadata"]["ownerReferences"] = [
            {"kind": "Node", "name": "n", "uid": "n-uid"},
            {"apiVersion": f"{owner_group}/v1", "kind": kind, "name": of, "uid": f"{of}-uid", "controller": True},
        ]
    if status is not None:
        body["status"] = dict(status)
    return decode_pod(json.dumps(body).encode())


def ready(at: int = NOW + 5, *, restarts: int = 0) -> dict[str, Any]:
    """The status of a pod that is well."""
    app = {"name": "app", "restartCount": restarts, "state": {"running": {"startedAt": stamp(NOW + 1)}}}
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": stamp(at)}
    return {"phase": "Running", "containerStatuses": [app], "conditions": [condition]}


def looping(restarts: int = 1) -> dict[str, Any]:
    """The status of a pod in a crash loop."""
    end = {"exitCode": 1, "reason": "Error", "startedAt": stamp(NOW + 1), "finishedAt": stamp(NOW + 2)}
    app = {
        "name": "app",
        "restartCount": restarts,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": end},
    }
    return {"phase": "Running", "containerStatuses": [app]}


def page(pods: Iterable[Mapping[str, Any]] = (), *, version: int | str = 100, token: str = "") -> bytes:
    """One page of a list of pods."""
    metadata = {"resourceVersion": str(version)} | ({"continue": token} if token else {})
    return json.dumps({"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": list(pods)}).encode()


def watch_line(kind: str, body: Mapping[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": body}).encode() + b"\n"


def bookmark_line(version: int | str) -> bytes:
    body = {"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": str(version), "creationTimestamp": None}}
    return watch_line("BOOKMARK", body)


def error_line(code: int, reason: str = "Expired") -> bytes:
    return watch_line("ERROR", {"kind": "Status", "code": code, "reason": reason, "message": "it is over"})


def tracker_body(
    name: str = "pod-tracker",
    *,
    uid: str = "t1",
    namespace: str = "team",
    pod_name: str | None = "nginx",
    created: int = NOW,
    generation: int = 1,
    reporter: Mapping[str, Any] | None = None,
    edited: int | None = None,
    spec: Mapping[str, Any] | None = None,
    **metadata: Any,
) -> dict[str, Any]:
    """A PodTracker as the API server shows it; `spec` are further fields of it."""
    fields: dict[str, Any] = {"reporter": dict(reporter or inline()), **(spec or {})}
    if pod_name is not None and not {"selector", "workloadRef"} & fields.keys():
        fields["name"] = pod_name
    written = {"manager": "kubectl", "operation": "Apply", "time": stamp(created if edited is None else edited)}
    return {
        "apiVersion": api.API_VERSION,
        "kind": api.KIND,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid,
            "generation": generation,
            "creationTimestamp": stamp(created),
            "resourceVersion": "7",
            "managedFields": [written],
            **metadata,
        },
        "spec": fields,
    }


def inline(token: str = SECRET, channel: str = CHANNEL) -> dict[str, Any]:
    """A reporter with its token in the tracker."""
    return {"kind": "slack", "key": token, "channel": channel}


def by_secret(name: str = "pod-tracker-reporter", key: str | None = None, channel: str = CHANNEL) -> dict[str, Any]:
    """A reporter with its token in a Secret."""
    ref = {"name": name} | ({"key": key} if key else {})
    return {"kind": "slack", "keySecretRef": ref, "channel": channel}


def tracker(uid: str = "t1", **fields: Any) -> Tracker:
    return trackers.parse(tracker_body(uid=uid, **fields))


def identity(uid: str = "t1", *, name: str = "pod-tracker", namespace: str = "team", **fields: int) -> TrackerIdentity:
    return TrackerIdentity(
        uid=uid,
        namespace=namespace,
        name=name,
        generation=fields.get("generation", 1),
        created=fields.get("created", NOW),
    )


SEEN: Final = Seen(happened=1)
"""Of a pod of which only is known that it was created."""
CREATED: Final = Happening(event=Event.CREATED, at=NOW)


def who(uid: str, name: str = "nginx", namespace: str = "team") -> PodIdentity:
    return PodIdentity(uid=uid, namespace=namespace, name=name)


def compose(
    batch: Sequence[Notification], *, dropped: int, escape: Callable[[str], str], tracker: TrackerIdentity
) -> Message:
    """The default texts."""
    return Message(text=escape(text_for(batch, dropped=dropped)), notifications=tuple(batch), tracker=tracker)


def record(namespace: str = "team", selector: str = "nginx", match_since: int = NOW) -> TrackerRecord:
    """What the ledger keeps of a tracker."""
    return TrackerRecord(namespace=namespace, selector=selector, match_since=match_since)


def note(
    name: str = "nginx", *, tracker: str = "t1", namespace: str = "team", uid: str = "", order: int = 0
) -> Notification:
    """An occurrence that waits for delivery."""
    pod_uid = uid or f"{name}-uid"
    return Notification(
        id=notification_id(tracker, pod_uid, Event.CREATED),
        order=order,
        tracker=tracker,
        event=Event.CREATED,
        namespace=namespace,
        pod=name,
        pod_uid=pod_uid,
    )


def destination(channel: str = CHANNEL, token: str = SECRET, kind: str = "slack") -> Destination:
    return Destination(kind=kind, channel=channel, credential=Credential(token=Token(token)))


def notice(
    reason: str = "InvalidAuth", message: str = "Slack answered invalid_auth", *, warning: bool = True
) -> Notice:
    return Notice(warning=warning, reason=reason, message=message)


def retry(reason: str = "Unreachable", *, arrived_perhaps: bool = False) -> DeliveryError:
    return DeliveryError(Failure.RETRY, reason, "Slack did not answer in time", arrived_perhaps=arrived_perhaps)


def throttled(after: float | None = 30.0) -> DeliveryError:
    return DeliveryError(Failure.THROTTLED, "RateLimited", "Slack asks to wait", retry_after=after)


def refused(reason: str = "NotInChannel") -> DeliveryError:
    return DeliveryError(Failure.REFUSED, reason, "Slack answered not_in_channel")


def undeliverable() -> DeliveryError:
    return DeliveryError(Failure.UNDELIVERABLE, "Rejected", "Slack answered msg_too_long")
