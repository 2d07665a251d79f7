# SPDX-License-Identifier: Apache-2.0
"""The tracker that the demo applies, and what its status says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import yaml

from demo.errors import DemoError
from demo.kubectl import Kubectl
from demo.settings import RealSlack

NAMESPACE: Final = "default"
"""The sample names no namespace, so this is where kubectl puts it."""

LABEL: Final = "app.kubernetes.io/managed-by"
OWNER: Final = "pod-tracker-demo"

SECRET: Final = "pod-tracker-reporter"  # noqa: S105 - a name: the one Secret that the operator may read everywhere
SECRET_KEY: Final = "token"  # noqa: S105 - a key's name

PASSING: Final = frozenset({"RateLimited", "Unreachable"})
"""Reasons that may go away by themselves; all others need somebody to do something."""

Status = Mapping[str, Any]

Predicate = Callable[[Status], bool]


@dataclass(frozen=True, slots=True)
class Tracker:
    """A PodTracker manifest of the demo."""

    manifest: dict[str, Any]

    @classmethod
    def from_sample(cls, sample: Path, slack: RealSlack | None) -> Self:
        """Read the founding example; for a real workspace its credentials move to a Secret."""
        manifest = yaml.safe_load(sample.read_text())
        manifest["metadata"] |= {"namespace": NAMESPACE, "labels": {LABEL: OWNER}}
        if slack is not None:
            reference = {"name": SECRET, "key": SECRET_KEY}
            manifest["spec"]["reporter"] = {"kind": "slack", "channel": slack.channel, "keySecretRef": reference}
        return cls(manifest)

    @property
    def name(self) -> str:
        """Name of the tracker."""
        return str(self.manifest["metadata"]["name"])

    @property
    def pod(self) -> str:
        """Name of the pod it waits for."""
        return str(self.manifest["spec"]["name"])

    @property
    def channel(self) -> str:
        """Where it posts."""
        return str(self.manifest["spec"]["reporter"]["channel"])

    @property
    def token(self) -> str:
        """The inline token; empty when it lies in a Secret."""
        return str(self.manifest["spec"]["reporter"].get("key", ""))

    @property
    def text(self) -> str:
        """What is posted."""
        return f"Pod {self.pod} was created"


def secret(slack: RealSlack) -> dict[str, Any]:
    """Return the Secret that holds a token."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET, "namespace": NAMESPACE, "labels": {LABEL: OWNER}},
        "stringData": {SECRET_KEY: slack.token},
    }


async def follow(kubectl: Kubectl, name: str, reached: Predicate) -> Status:
    """Watch a tracker's status until `reached`; raises DemoError once it says that somebody has to do something."""
    # By selector and not by name: for a single object kubectl drops the first event of its watch, and with it whatever
    # was written between its GET and its watch.
    only = f"--field-selector=metadata.name={name}"
    while True:
        arguments = ("-n", NAMESPACE, "get", "podtrackers", only, "--watch", "-o", 'jsonpath={.status}{"\\n"}')
        async with kubectl.lines(*arguments) as lines:
            async for line in lines:
                status = json.loads(line) if line.strip() else {}
                if reached(status):
                    return status
                if trouble := refusal(status):
                    raise DemoError(trouble)
        if await kubectl.get(NAMESPACE, "podtrackers", name) is None:
            raise DemoError(f"Somebody deleted the tracker {name}.")


def is_ready(status: Status) -> bool:
    """Tell whether the tracker works as far as the operator knows."""
    return condition(status, "Ready").get("status") == "True"


def has_delivered(status: Status) -> bool:
    """Tell whether the tracker is ready, and its first message was delivered and none is on its way."""
    return is_ready(status) and status.get("delivered", 0) >= 1 and not status.get("pending", 0)


def refusal(status: Status) -> str:
    """Return what has to be done about a tracker that cannot work, or nothing."""
    ready = condition(status, "Ready")
    if ready.get("status") != "False" or ready.get("reason") in PASSING:
        return ""
    return f"The tracker cannot work. {describe(status)}"


def describe(status: Status) -> str:
    """Tell what the status of a tracker says."""
    conditions = status.get("conditions", [])
    if not conditions:
        return "Its status is empty: no operator has looked at it."
    counted = ", ".join(f"{name} {status.get(name, 0)}" for name in ("podCount", "delivered", "pending", "dropped"))
    lines = [f"    {c['type']}={c['status']} {c.get('reason', '')}: {c.get('message', '')}" for c in conditions]
    return "\n".join([f"Its status says: {counted};", *lines])


def condition(status: Status, kind: str) -> Mapping[str, Any]:
    """Return one condition; an empty one where there is none."""
    return next((found for found in status.get("conditions", []) if found["type"] == kind), {})
