# SPDX-License-Identifier: Apache-2.0
"""Kubernetes Events: one for each turn, a count for repeats, a new one after the old expired."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from podtracker.errors import KubeError
from podtracker.events import LIFETIME, EventRecorder
from podtracker.trackers import TrackerIdentity
from unit.podtracker.builders import NOW, identity, notice, stamp
from unit.podtracker.fakes import DOWN, NOT_FOUND


class FakeEventApi:
    """The API server's Events."""

    def __init__(self) -> None:
        self.created: list[dict[str, Any]] = []
        self.patched: list[tuple[str, dict[str, Any]]] = []
        self.patch_error: KubeError | None = None
        self.create_error: KubeError | None = None

    async def create_event(self, namespace: str, event: Mapping[str, Any]) -> None:
        if self.create_error is not None:
            raise self.create_error
        assert namespace == event["metadata"]["namespace"]
        self.created.append(dict(event))

    async def patch_event(self, namespace: str, name: str, patch: Mapping[str, Any]) -> None:
        assert namespace
        if self.patch_error is not None:
            raise self.patch_error
        self.patched.append((name, dict(patch)))


class Desk:
    def __init__(self) -> None:
        self.api = FakeEventApi()
        self.now = 0.0
        self.recorder = EventRecorder(
            self.api, instance="pod-tracker-abc", clock=lambda: self.now, wall=lambda: NOW + self.now
        )

    def record(self, tracker: TrackerIdentity | None = None, **fields: Any) -> None:
        asyncio.run(self.recorder.record(tracker or identity(), notice(**fields)))


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_change_is_shown_as_an_event_of_the_tracker(desk: Desk) -> None:
    desk.record()
    (event,) = desk.api.created
    name = event["metadata"].pop("name")
    assert name.startswith("pod-tracker.")
    assert event == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": "team"},
        "involvedObject": {
            "apiVersion": "pod-tracker.lost.backend/v1",
            "kind": "PodTracker",
            "namespace": "team",
            "name": "pod-tracker",
            "uid": "t1",
        },
        "type": "Warning",
        "reason": "InvalidAuth",
        "message": "Slack answered invalid_auth",
        "source": {"component": "pod-tracker"},
        "reportingComponent": "pod-tracker",
        "reportingInstance": "pod-tracker-abc",
        "firstTimestamp": stamp(NOW),
        "lastTimestamp": stamp(NOW),
        "count": 1,
    }


@pytest.mark.parametrize(("warning", "kind"), [(False, "Normal"), (True, "Warning")])
def test_good_news_are_normal(desk: Desk, warning: bool, kind: str) -> None:
    desk.record(warning=warning)
    assert desk.api.created[0]["type"] == kind


def test_a_repeat_raises_the_count_of_the_first(desk: Desk) -> None:
    for _ in range(4):
        desk.record()
        desk.now += 60.0
    name = desk.api.created[0]["metadata"]["name"]
    assert len(desk.api.created) == 1
    assert desk.api.patched == [
        (name, {"count": 2, "lastTimestamp": stamp(NOW + 60)}),
        (name, {"count": 3, "lastTimestamp": stamp(NOW + 120)}),
        (name, {"count": 4, "lastTimestamp": stamp(NOW + 180)}),
    ]


@pytest.mark.parametrize(
    "other",
    [{"reason": "Delivered"}, {"message": "other words"}, {"tracker": identity("t2", name="second")}],
    ids=["reason", "message", "tracker"],
)
def test_what_differs_is_an_event_of_its_own(desk: Desk, other: dict[str, Any]) -> None:
    desk.record()
    desk.record(**other)
    assert len(desk.api.created) == 2
    assert len({event["metadata"]["name"] for event in desk.api.created}) == 2
    assert desk.api.patched == []


def test_an_event_that_is_older_than_the_api_server_keeps_it_is_made_anew(desk: Desk) -> None:
    desk.record()
    desk.now += LIFETIME + 1
    desk.record()
    assert len({event["metadata"]["name"] for event in desk.api.created}) == 2
    assert desk.api.patched == []


def test_every_repeat_makes_it_live_on(desk: Desk) -> None:
    desk.record()
    for _ in range(3):
        desk.now += LIFETIME - 1
        desk.record()
    assert len(desk.api.created) == 1
    assert [patch["count"] for _, patch in desk.api.patched] == [2, 3, 4]


def test_an_event_that_somebody_deleted_is_made_anew(desk: Desk) -> None:
    desk.record()
    desk.api.patch_error = NOT_FOUND
    desk.now += 1.0
    desk.record()
    desk.api.patch_error = None
    desk.record()
    first, second = (event["metadata"]["name"] for event in desk.api.created)
    assert first != second
    assert desk.api.patched == [(second, {"count": 2, "lastTimestamp": stamp(NOW + 1)})]


def test_a_repeat_that_could_not_be_written_is_not_counted(desk: Desk) -> None:
    desk.record()
    desk.api.patch_error = DOWN
    with pytest.raises(KubeError):
        desk.record()
    desk.api.patch_error = None
    desk.record()
    assert len(desk.api.created) == 1
    assert [patch["count"] for _, patch in desk.api.patched] == [2]


def test_an_event_that_could_not_be_made_is_made_the_next_time(desk: Desk) -> None:
    desk.api.create_error = DOWN
    with pytest.raises(KubeError):
        desk.record()
    desk.api.create_error = None
    desk.record()
    assert len(desk.api.created) == 1
    assert desk.api.patched == []


def test_what_expired_is_forgotten(desk: Desk) -> None:
    for hour in range(8):
        for number in range(20):
            desk.record(message=f"trouble {number} of hour {hour}")
        desk.now += LIFETIME + 1
    assert len(desk.recorder._shown) < 100


def test_a_long_message_is_cut_to_what_the_api_server_takes(desk: Desk) -> None:
    desk.record(message="x" * 5000)
    assert len(desk.api.created[0]["message"]) == 1024


@pytest.mark.parametrize("name", ["a", "a" * 253, "a" * 219 + "." + "b" * 33, "a" * 218 + "--" + "b" * 33], ids=len)
def test_the_events_name_is_one_that_the_api_server_takes(desk: Desk, name: str) -> None:
    desk.record(tracker=identity(name=name))
    made = desk.api.created[0]["metadata"]["name"]
    assert len(made) <= 253
    assert all(part[:1].isalnum() and part[-1:].isalnum() for part in made.split("."))
