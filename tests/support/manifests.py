# SPDX-License-Identifier: Apache-2.0
"""Manifests for tests: the least that the API server takes."""

from __future__ import annotations

import base64
import datetime as dt
from typing import Any, Final, TypeAlias

Json: TypeAlias = dict[str, Any]

API_VERSION: Final = "pod-tracker.lost.backend/v1"
TEST_ANNOTATION: Final = "pod-tracker.lost.backend/test"
CHANNEL: Final = "C0821GM4602"
OTHER_CHANNEL: Final = "C0OTHER0001"
REPORTER_SECRET: Final = "pod-tracker-reporter"
"""The one Secret that the operator may read in every namespace."""

OTHER_SECRET: Final = "team-slack"
"""A Secret that the operator may not read until its namespace allows it."""

DEAD_SECRETS: Final = tuple(f"dead-{number}" for number in range(8))
"""More such Secrets, with URLs of webhooks where nobody answers."""


def make_tracker(
    name: str = "pod-tracker",
    *,
    pod: str = "nginx",
    kind: str = "slack",
    channel: str = CHANNEL,
    key: str | None = None,
    secret: str = REPORTER_SECRET,
    secret_key: str | None = None,
    test: str | None = None,
    **spec: Any,
) -> Json:
    """Return a tracker.

    Args:
        name: its own.
        pod: the name of the pod it means, unless `spec` has a selector or a workloadRef.
        kind: of the receiver.
        channel: of Slack; left out for the other kinds.
        key: an inline token; else the token comes from a Secret.
        secret: that Secret's name.
        secret_key: the key in it.
        test: the nonce of a test message to ask for.
        spec: further fields, as they are named in the manifest.
    """
    reporter: Json = {"kind": kind} | ({"channel": channel} if kind == "slack" else {})
    if key is not None:
        reporter["key"] = key
    else:
        reporter["keySecretRef"] = {"name": secret} | ({"key": secret_key} if secret_key else {})
    by_name = {} if {"selector", "workloadRef"} & spec.keys() else {"name": pod}
    return {
        "apiVersion": API_VERSION,
        "kind": "PodTracker",
        "metadata": {"name": name} | ({"annotations": {TEST_ANNOTATION: test}} if test else {}),
        "spec": {**by_name, "reporter": reporter, **spec},
    }


def make_pod(
    name: str = "nginx", *, labels: dict[str, str] | None = None, owner: Json | None = None, node: str | None = None
) -> Json:
    """Return a pod as `kubectl run` makes it; it stays Pending, and nobody but the test changes it.

    Args:
        name: its own, and its container's.
        labels: beside `run`.
        owner: the workload that it says has made it.
        node: that it is bound to.
    """
    metadata: Json = {"name": name, "labels": {"run": name} | (labels or {})}
    if owner is not None:
        reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "controller": True}
        metadata["ownerReferences"] = [reference | {field: owner["metadata"][field] for field in ("name", "uid")}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": _pod_spec(name) | ({"nodeName": node} if node else {}),
    }


def _pod_spec(container: str) -> Json:
    return {"containers": [{"name": container, "image": "nginx"}], "terminationGracePeriodSeconds": 0}


def make_workload(kind: str, name: str) -> Json:
    """Return a workload of one pod, or of one Job each new year's night; its pods have the label `app: name`."""
    template: Json = {"metadata": {"labels": {"app": name}}, "spec": _pod_spec(name)}
    spec: Json = {"template": template}
    if kind in {"Job", "CronJob"}:
        template["spec"]["restartPolicy"] = "Never"
    else:
        spec["selector"] = {"matchLabels": {"app": name}}
    if kind == "CronJob":
        spec = {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": spec}}
    version = "batch/v1" if kind in {"Job", "CronJob"} else "apps/v1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def make_secret(name: str = REPORTER_SECRET, **values: str) -> Json:
    """Return a Secret with these keys and values."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}


def make_service_account(name: str) -> Json:
    """Return a ServiceAccount."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}


def make_role_binding(name: str, *, role: str, account: str, account_namespace: str, kind: str = "ClusterRole") -> Json:
    """Return a RoleBinding that gives a ServiceAccount the rules of a role, in one namespace only."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": account_namespace}],
    }


def created_at(body: Json) -> float:
    """Return when the API server made an object, in seconds since 1970; it keeps whole seconds."""
    return dt.datetime.fromisoformat(body["metadata"]["creationTimestamp"]).timestamp()
