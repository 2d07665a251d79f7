# SPDX-License-Identifier: Apache-2.0
"""What the tracker tells, and that nothing else is written anywhere."""

from __future__ import annotations

import datetime as dt
from typing import Any

from fakeslack.outcomes import ServerError
from fakeslack.server import FakeSlack
from support.manifests import Json
from support.scene import Scene
from support.waiting import eventually


async def test_status_over_a_life(scene: Scene) -> None:
    """Counts, word, times and conditions follow what happens, over a restart too."""
    operator = await scene.operate()
    await scene.track()
    status = await scene.handled()
    assert (status["podCount"], status["status"], status["delivered"]) == (0, "Active", 0)
    assert {entry["type"] for entry in status["conditions"]} == {"Ready", "ReporterReady", "CredentialsSecure"}
    assert {entry["status"] for entry in status["conditions"]} == {"True"}
    assert all(entry["message"] and entry["lastTransitionTime"] for entry in status["conditions"])
    assert {entry["observedGeneration"] for entry in status["conditions"]} == {1}

    await scene.run("nginx")
    status = await scene.counted(podCount=1, delivered=1, pending=0)
    assert status.get("lastError") is None
    age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(status["lastDelivered"])
    assert abs(age.total_seconds()) < 60

    await operator.stop()
    await scene.remove("nginx")
    await operator.start()
    await scene.counted(podCount=0)
    after = await scene.status()
    assert after["lastDelivered"] == status["lastDelivered"]
    assert after["conditions"] == status["conditions"]


async def test_last_error_comes_and_goes(scene: Scene, slack: FakeSlack) -> None:
    """`lastError` names the failure, and is gone after the next success."""
    await scene.operate(RETRY_BACKOFF="1", RETRY_BACKOFF_MAX="1")
    slack.script(*[ServerError(503)] * 2)
    await scene.track()
    await scene.run("nginx")
    await scene.condition("ReporterReady", "False", "Unreachable")
    assert "503" in (await scene.status())["lastError"]
    await scene.condition("ReporterReady", "True", "Delivered")
    await eventually(lambda: _without_last_error(scene), what="lastError to go")


async def _without_last_error(scene: Scene) -> bool:
    return "lastError" not in await scene.status()


async def test_kubectl_get(scene: Scene) -> None:
    """`kubectl get pt` shows pod, reporter, status, number of pods, what was delivered, and the age."""
    await scene.operate()
    await scene.track()
    await scene.run("nginx")
    await scene.counted(podCount=1, delivered=1)
    done = await scene.kubectl("get", "pt", "-n", scene.namespace)
    header, row = done.stdout.splitlines()
    assert header.split() == ["NAME", "POD", "REPORTER", "STATUS", "PODS", "DELIVERED", "AGE"]
    assert row.split()[:6] == ["pod-tracker", "nginx", "slack", "Active", "1", "1"]


async def test_nothing_else_is_written(scene: Scene) -> None:
    """The pod stays as it was to its resourceVersion; of the tracker only the status is the operator's."""
    tracker, pod = await scene.track(), await scene.run("nginx")
    operator = await scene.operate()
    await scene.handled()
    await scene.remove("nginx")
    again = await scene.run("nginx")
    await scene.delivered("Pod nginx was created")
    await operator.restart()
    await scene.counted(podCount=1)
    await scene.fence()

    assert await scene.kube.get("Pod", "nginx", scene.namespace) == again
    assert again["metadata"].get("annotations") == pod["metadata"].get("annotations")
    found = await scene.tracker()
    assert _owned(found) == _owned(tracker)
    assert found["spec"] == tracker["spec"]
    for field in ("annotations", "finalizers", "labels", "ownerReferences"):
        assert found["metadata"].get(field) == tracker["metadata"].get(field)
    others = [entry for entry in found["metadata"]["managedFields"] if entry["manager"] != "tests"]
    assert [entry.get("subresource") for entry in others] == ["status"]


def _owned(tracker: Json) -> list[Any]:
    """The tests' own entries of managedFields, without their times."""
    return [entry["fieldsV1"] for entry in tracker["metadata"]["managedFields"] if entry["manager"] == "tests"]


async def test_kubernetes_events(scene: Scene, slack: FakeSlack) -> None:
    """A condition that changes shows as an Event on the tracker; a repeat raises the count of the first."""
    slack.tokens.discard(scene.token)
    operator = await scene.operate()
    await scene.track()
    first = await _event(scene, "InvalidAuth")
    assert (first["type"], first["count"]) == ("Warning", 1)
    assert first["reportingComponent"] == "pod-tracker"
    assert first["involvedObject"]["apiVersion"] == "pod-tracker.lost.backend/v1"
    assert first["involvedObject"]["uid"] == (await scene.tracker())["metadata"]["uid"]
    assert first["message"]

    for count in (2, 3):
        good = scene.new_token()
        slack.tokens.add(good)
        await scene.put_secret(token=good)
        accepted = await _event(scene, "TokenAccepted", count=count - 1)
        assert accepted["type"] == "Normal"
        await scene.put_secret(token=scene.new_token())
        repeated = await _event(scene, "InvalidAuth", count=count)
        assert repeated["metadata"]["name"] == first["metadata"]["name"]
        assert repeated["lastTimestamp"] >= first["lastTimestamp"]

    before = await scene.events()
    await operator.restart()
    await scene.handled()
    await scene.secret_reads()
    assert {event["metadata"]["name"]: event["count"] for event in await scene.events()} == {
        event["metadata"]["name"]: event["count"] for event in before
    }


async def _event(scene: Scene, reason: str, *, count: int = 1) -> Json:
    async def found() -> Json:
        matching = [event for event in await scene.events() if event["reason"] == reason]
        assert [event["count"] for event in matching] == [count], matching
        return matching[0]

    return await eventually(found, what=f"one Event {reason} with count {count}")


async def test_kubectl_describe_shows_events(scene: Scene, slack: FakeSlack) -> None:
    """`kubectl describe pt` ends with the Event, as people look for it."""
    slack.tokens.discard(scene.token)
    await scene.operate()
    await scene.track()
    await _event(scene, "InvalidAuth")
    done = await scene.kubectl("describe", "pt", "pod-tracker", "-n", scene.namespace)
    assert "InvalidAuth" in done.stdout.partition("Events:")[2]
