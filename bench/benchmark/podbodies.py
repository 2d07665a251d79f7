# SPDX-License-Identifier: Apache-2.0
"""Pods as the API server stores them for real workloads: 7 to 8 KB of JSON, most of which no notifier reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

_VARIABLES: Final = 24
_ANNOTATIONS: Final = 6


def body(name: str, labels: Mapping[str, str]) -> bytes:
    """What is sent to create a pod."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "labels": {
                    "app.kubernetes.io/name": "shop",
                    "app.kubernetes.io/instance": "shop-production",
                    "app.kubernetes.io/component": "backend",
                    "app.kubernetes.io/managed-by": "Helm",
                    "pod-template-hash": "5d59d67564",
                    **labels,
                },
                "annotations": {f"example.org/setting-{number}": "x" * 60 for number in range(_ANNOTATIONS)},
            },
            "spec": _spec(),
        }
    ).encode()


def running(version: int) -> bytes:
    """A merge-patch of a pod's status, as of a kubelet; `version` makes each one a change."""
    time = f"2026-01-01T{version // 3600 % 24:02}:{version // 60 % 60:02}:{version % 60:02}Z"
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    status = {
        "phase": "Running",
        "hostIP": "10.0.0.1",
        "podIP": "10.1.0.1",
        "startTime": "2026-01-01T00:00:00Z",
        "conditions": [
            {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": time} for kind in kinds
        ],
        "containerStatuses": [
            {
                "name": name,
                "image": f"registry.example.org/shop/{name}:1.2.3",
                "imageID": f"registry.example.org/shop/{name}@sha256:{'0' * 64}",
                "containerID": f"containerd://{'1' * 64}",
                "ready": True,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": "2026-01-01T00:00:05Z"}},
                "lastState": {},
            }
            for name in ("server", "proxy")
        ],
    }
    return json.dumps({"status": status}).encode()


def _spec() -> dict[str, Any]:
    return {
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "containers": [_container("server", _VARIABLES), _container("proxy", 4)],
        "volumes": [{"name": "scratch", "emptyDir": {}}, {"name": "settings", "configMap": {"name": "settings"}}],
    }


def _container(name: str, variables: int) -> dict[str, Any]:
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10}
    return {
        "name": name,
        "image": f"registry.example.org/shop/{name}:1.2.3",
        "args": ["--listen=:8080", "--log-level=info"],
        "env": [{"name": f"SHOP_{name.upper()}_{number}", "value": f"value-{number}"} for number in range(variables)],
        "ports": [{"name": "http", "containerPort": 8080}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "livenessProbe": probe,
        "readinessProbe": probe,
        "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}, {"name": "settings", "mountPath": "/settings"}],
    }
