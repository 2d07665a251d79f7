# SPDX-License-Identifier: Apache-2.0
"""Slack as a pod of the cluster: its manifests, and what it received."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import fakeslack
from e2e import slack_pod
from e2e.api import Api, Kubectl
from support.manifests import Json

NAMESPACE: Final = "pod-tracker-e2e"
URL: Final = f"http://slack.{NAMESPACE}.svc/api/"
TOKEN: Final = "xoxb-e2e"

_SERVICE: Final = "slack"
_PAGE: Final = 999
_FOLDER: Final = "/opt/slack"
_LABELS: Final = {"app": "slack"}


@dataclass(frozen=True, slots=True)
class Post:
    """A message in a channel."""

    text: str
    ids: tuple[str, ...]
    """The ids of the occurrences that it tells."""


class Slack:
    """What was posted, read through Slack's own API."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def posts(self, channel: str) -> list[Post]:
        """Return all messages of a channel, oldest first."""
        query = {"token": TOKEN, "channel": channel, "limit": str(_PAGE), "include_all_metadata": "true"}
        found: list[Post] = []
        while True:
            page = await self._api.through_service(NAMESPACE, _SERVICE, "api/conversations.history", query)
            assert page["ok"], page
            found += [Post(one["text"], _ids(one)) for one in page["messages"]]
            cursor = page.get("response_metadata", {}).get("next_cursor")
            if not cursor:
                return found[::-1]
            query["cursor"] = cursor

    async def lines(self, channel: str) -> list[str]:
        """Return the lines of all messages of a channel."""
        return [line for post in await self.posts(channel) for line in post.text.splitlines()]

    async def ids(self, channel: str) -> Counter[str]:
        """Return how often each occurrence was told in a channel."""
        return Counter(one for post in await self.posts(channel) for one in post.ids)


def start(kubectl: Kubectl, image: str) -> None:
    """Run the Slack pod in a namespace of its own, from the operator's image, which has all that it needs."""
    folder = Path(fakeslack.__file__).parent
    files = {f"fakeslack/{path.name}": path for path in folder.glob("*.py")}
    files["slack_pod.py"] = Path(slack_pod.__file__)
    namespace: Json = {"apiVersion": "v1", "kind": "Namespace"}
    namespace["metadata"] = {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
    kubectl.apply(namespace)
    program = {"name": "program", "namespace": NAMESPACE}
    data = {_key(name): path.read_text() for name, path in files.items()}
    items = [{"key": _key(name), "path": name} for name in files]
    kubectl.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": program, "data": data},
        _deployment(image, items),
        _service(slack_pod.PORT),
    )
    kubectl("rollout", "status", "deployment/slack", f"--namespace={NAMESPACE}", "--timeout=120s")


def _ids(message: Json) -> tuple[str, ...]:
    metadata = message.get("metadata")
    return tuple(metadata["event_payload"]["ids"]) if metadata else ()


def _key(path: str) -> str:
    """Return a path as it may stand in a ConfigMap."""
    return path.replace("/", ".")


def _service(port: int) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": _SERVICE, "namespace": NAMESPACE},
        "spec": {"selector": _LABELS, "ports": [{"port": 80, "targetPort": port}]},
    }


def _deployment(image: str, items: list[dict[str, str]]) -> Json:
    container: Json = {
        "name": "slack",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/opt/pod-tracker/bin/python", f"{_FOLDER}/slack_pod.py"],
        "env": [{"name": "PYTHONPATH", "value": _FOLDER}],
        "readinessProbe": {"tcpSocket": {"port": slack_pod.PORT}, "periodSeconds": 1},
        "volumeMounts": [{"name": "program", "mountPath": _FOLDER}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod: Json = {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": [{"name": "program", "configMap": {"name": "program", "items": items}}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "slack", "namespace": NAMESPACE},
        "spec": {
            "selector": {"matchLabels": _LABELS},
            "strategy": {"type": "Recreate"},
            "template": {"metadata": {"labels": _LABELS}, "spec": pod},
        },
    }
