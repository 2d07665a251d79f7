# SPDX-License-Identifier: Apache-2.0
"""The demo's tracker is the founding example, and its status is understood."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.errors import DemoError
from demo.kubectl import Kubectl
from demo.settings import RealSlack
from demo.tracker import Tracker, describe, follow, has_delivered, is_ready, secret

SAMPLE = Path(__file__).parents[3] / "config/samples/tracker.yaml"


def status(ready: str = "True", reason: str = "Active", **counters: int) -> dict[str, Any]:
    condition = {"type": "Ready", "status": ready, "reason": reason, "message": "as it is"}
    return {"conditions": [condition], **counters}


class Watched(Kubectl):
    """A kubectl that gives these lines, one list for each watch, and then knows the tracker or not."""

    def __init__(self, *watches: list[str], exists: bool = True) -> None:
        super().__init__(Path("kubectl"), {})
        self._watches = list(watches)
        self._exists = exists
        self.commands: list[tuple[str, ...]] = []

    @asynccontextmanager
    async def lines(self, *arguments: str) -> AsyncIterator[AsyncIterator[str]]:
        async def give(lines: list[str]) -> AsyncIterator[str]:
            for line in lines:
                yield line

        self.commands.append(arguments)
        yield give(self._watches.pop(0))

    async def get(self, namespace: str, kind: str, name: str) -> dict[str, Any] | None:
        return {"metadata": {"namespace": namespace, "kind": kind, "name": name}} if self._exists else None


def test_the_sample_is_applied_as_it_stands() -> None:
    tracker = Tracker.from_sample(SAMPLE, None)
    assert tracker.manifest["spec"] == yaml.safe_load(SAMPLE.read_text())["spec"]
    assert tracker.manifest["metadata"] == {
        "name": "pod-tracker",
        "namespace": "default",
        "labels": {"app.kubernetes.io/managed-by": "pod-tracker-demo"},
    }
    assert (tracker.name, tracker.pod, tracker.channel) == ("pod-tracker", "nginx", "C0821GM4602")
    assert tracker.text == "Pod nginx was created"
    assert tracker.token.startswith("xoxb-")


def test_a_real_token_goes_into_the_secret_only() -> None:
    slack = RealSlack("xoxb-secret", "C1")
    tracker = Tracker.from_sample(SAMPLE, slack)
    assert "xoxb" not in json.dumps(tracker.manifest)
    assert tracker.token == ""
    assert tracker.channel == "C1"
    reference, held = tracker.manifest["spec"]["reporter"]["keySecretRef"], secret(slack)
    assert reference == {"name": "pod-tracker-reporter", "key": "token"}
    assert held["metadata"]["name"] == reference["name"]
    assert held["stringData"] == {"token": "xoxb-secret"}


@pytest.mark.parametrize(
    ("given", "ready", "delivered"),
    [
        ({}, False, False),
        (status("Unknown", "Checking"), False, False),
        (status("False", "Unreachable"), False, False),
        (status(), True, False),
        (status(delivered=1, pending=1), True, False),
        (status(delivered=1, pending=0), True, True),
        (status("False", "RateLimited", delivered=1), False, False),
    ],
)
def test_what_a_status_means(given: dict[str, Any], ready: bool, delivered: bool) -> None:
    assert (is_ready(given), has_delivered(given)) == (ready, delivered)


async def test_following_ends_where_it_should() -> None:
    kubectl = Watched(["", json.dumps(status("False", "Unreachable"))], [json.dumps(status(delivered=1))])
    assert (await follow(kubectl, "pod-tracker", has_delivered))["delivered"] == 1
    # By name, kubectl would swallow what is written between its GET and its watch.
    assert all("--field-selector=metadata.name=pod-tracker" in command for command in kubectl.commands)


async def test_following_gives_up_where_somebody_has_to_do_something() -> None:
    kubectl = Watched([json.dumps(status("Unknown", "Checking")), json.dumps(status("False", "InvalidAuth"))])
    with pytest.raises(DemoError, match="Ready=False InvalidAuth: as it is"):
        await follow(kubectl, "pod-tracker", is_ready)


async def test_following_gives_up_without_a_tracker() -> None:
    with pytest.raises(DemoError, match="deleted the tracker pod-tracker"):
        await follow(Watched([""], exists=False), "pod-tracker", is_ready)


def test_an_empty_status_is_told() -> None:
    assert "no operator has looked at it" in describe({})
    assert "delivered 3, pending 0" in describe(status(delivered=3))
