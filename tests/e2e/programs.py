# SPDX-License-Identifier: Apache-2.0
"""Programs of the tests that run as pods of the cluster, from the operator's image, which has all that they need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from e2e.api import Kubectl
from support.manifests import Json

NAMESPACE: Final = "pod-tracker-e2e"
SECURITY: Final[Json] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
"""What the restricted Pod Security standard asks of a container."""

POD_SECURITY: Final[Json] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
"""What it asks of a pod."""

_FOLDER: Final = "/opt/program"


@dataclass(frozen=True, slots=True)
class Program:
    """A program; in the cluster it is found as the Service of its name."""

    name: str
    main: str
    """Which of the files is started."""
    files: Mapping[str, Path]
    """By their paths below a folder that Python imports from."""
    ports: Mapping[int, int]
    """Ports of the Service, to those that the program listens on."""
    mounts: Mapping[str, Json] = field(default_factory=dict)
    """Folders in the container, to the volumes that are mounted there."""


def make_namespace(kubectl: Kubectl) -> None:
    """Make the namespace of the programs."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})


def start(kubectl: Kubectl, image: str, program: Program) -> None:
    """Run a program and wait until it listens."""
    metadata = {"name": program.name, "namespace": NAMESPACE}
    data = {_key(name): path.read_text() for name, path in program.files.items()}
    ports = [{"name": f"port-{port}", "port": port, "targetPort": target} for port, target in program.ports.items()]
    kubectl.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "selector": {"matchLabels": {"app": program.name}},
                "strategy": {"type": "Recreate"},
                "template": {"metadata": {"labels": {"app": program.name}}, "spec": _pod(image, program)},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": {"app": program.name}, "ports": ports},
        },
    )
    kubectl("rollout", "status", f"deployment/{program.name}", f"--namespace={NAMESPACE}", "--timeout=120s")


def _pod(image: str, program: Program) -> Json:
    items = [{"key": _key(name), "path": name} for name in program.files]
    volumes: dict[str, Json] = {_FOLDER: {"configMap": {"name": program.name, "items": items}}, **program.mounts}
    names = {folder: f"volume-{number}" for number, folder in enumerate(volumes)}
    container: Json = {
        "name": program.name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/opt/pod-tracker/bin/python", f"{_FOLDER}/{program.main}"],
        "env": [{"name": "PYTHONPATH", "value": _FOLDER}],
        "readinessProbe": {"tcpSocket": {"port": next(iter(program.ports.values()))}, "periodSeconds": 1},
        "volumeMounts": [{"name": name, "mountPath": folder} for folder, name in names.items()],
        "securityContext": SECURITY,
    }
    return {
        "automountServiceAccountToken": False,
        "securityContext": POD_SECURITY,
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": [{"name": names[folder], **volume} for folder, volume in volumes.items()],
    }


def _key(path: str) -> str:
    """Return a path as it may stand in a ConfigMap."""
    return path.replace("/", ".")
