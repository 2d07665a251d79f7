# SPDX-License-Identifier: Apache-2.0
"""Manifests for tests: the least that the API server takes."""

from __future__ import annotations

import base64
import datetime as dt
from typing import Any, Final, TypeAlias

Json: TypeAlias = dict[str, Any]

API_VERSION: Final = "pod-tracker.lost.backend/v1"
CHANNEL: Final = "C0821GM4602"
OTHER_CHANNEL: Final = "C0OTHER0001"
REPORTER_SECRET: Final = "pod-tracker-reporter"
"""The one Secret that the operator may read in every namespace."""

OTHER_SECRET: Final = "team-slack"
"""A Secret that the operator may not read until its namespace allows it."""


def make_tracker(
    name: str = "pod-tracker",
    *,
    pod: str = "nginx",
    channel: str = CHANNEL,
    key: str | None = None,
    secret: str = REPORTER_SECRET,
    secret_key: str | None = None,
) -> Json:
    """Return a tracker of the pod named `pod`; with the inline `key` where one is given, else with the Secret."""
    reporter: Json = {"kind": "slack", "channel": channel}
    if key is not None:
        reporter["key"] = key
    else:
        reporter["keySecretRef"] = {"name": secret} | ({"key": secret_key} if secret_key else {})
    return {
        "apiVersion": API_VERSION,
        "kind": "PodTracker",
        "metadata": {"name": name},
        "spec": {"name": pod, "reporter": reporter},
    }


def make_pod(name: str = "nginx", *, labels: dict[str, str] | None = None) -> Json:
    """Return a pod as `kubectl run` makes it; it stays Pending, and nobody but the test changes it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"run": name} | (labels or {})},
        "spec": {"containers": [{"name": name, "image": "nginx"}], "terminationGracePeriodSeconds": 0},
    }


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
