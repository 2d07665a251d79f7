# SPDX-License-Identifier: Apache-2.0
"""What scenarios are written with: their register, and manifests of pods."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from kindnode.pins import ACTOR_IMAGE
from recorder.stage import Stage

Object = dict[str, Any]
"""A manifest or a part of one."""

LISTEN: Final = "-listen=:8080"
ABSENT_IMAGE: Final = "127.0.0.1:9/absent:1"
"""An image that nobody can pull: nothing listens there, so that the refusal comes at once."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One life to record."""

    name: str
    cause: str
    """How it is caused, for the reader of the trace."""
    play: Callable[[Stage], None]
    alone: bool
    """It does something to the node, so that no other scenario may be played meanwhile."""


SCENARIOS: Final[dict[str, Scenario]] = {}
"""All scenarios by name."""

Play = Callable[[Stage], None]


def scenario(cause: str, *, alone: bool = False) -> Callable[[Play], Play]:
    """Register the decorated function as the scenario of its name, with `-` for `_`."""

    def register(play: Play) -> Play:
        name = play.__name__.replace("_", "-")
        SCENARIOS[name] = Scenario(name=name, cause=cause, play=play, alone=alone)
        return play

    return register


def container(*args: str, name: str = "main", **fields: Any) -> Object:
    """Return a container that plays what its arguments say."""
    return {"name": name, "image": ACTOR_IMAGE, "imagePullPolicy": "IfNotPresent", "args": list(args), **fields}


def pod_spec(*containers: Object, **spec: Any) -> Object:
    """Return the specification of a pod; without containers it has one that just runs."""
    return {
        "terminationGracePeriodSeconds": 5,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "containers": list(containers) or [container()],
        **spec,
    }


def pod(*containers: Object, name: str = "actor", **spec: Any) -> Object:
    """Return a pod."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": pod_spec(*containers, **spec),
    }


def template(*containers: Object, **spec: Any) -> Object:
    """Return a pod template of a workload."""
    return {"metadata": {"labels": {"app": "actor"}}, "spec": pod_spec(*containers, **spec)}


def workload(kind: str, spec: Object, *, api: str = "apps/v1") -> Object:
    """Return a workload named `actor`."""
    return {"apiVersion": api, "kind": kind, "metadata": {"name": "actor"}, "spec": spec}


def job(*containers: Object, restart: str = "Never", pod_fields: Object | None = None, **spec: Any) -> Object:
    """Return a Job."""
    body = {"template": template(*containers, restartPolicy=restart, **(pod_fields or {})), **spec}
    return workload("Job", body, api="batch/v1")


def config_map(name: str, **data: str) -> Object:
    """Return a ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def probe(path: str, *, failures: int = 1) -> Object:
    """Return a probe of every second."""
    return {"httpGet": {"path": path, "port": 8080}, "periodSeconds": 1, "failureThreshold": failures}


def scratch() -> tuple[Object, Object]:
    """Return a volume that survives the restarts of containers, and its mount at /scratch."""
    return {"name": "scratch", "emptyDir": {}}, {"name": "scratch", "mountPath": "/scratch"}
