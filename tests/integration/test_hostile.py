# SPDX-License-Identifier: Apache-2.0
"""Tenants who try to break out, leak, hang or exhaust: each gets a clear answer, and the operator stays as it was."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import unicodedata
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final

from podtracker.api import MAX_MESSAGE
from podtracker.messages import MAX_TEXT
from reporters.hostile_answers import ACCEPTED_AND_THEN, HALF_ACCEPTED, UNANSWERED
from support.audit import uris_of
from support.hostile import PODS, REASONS, SECRETS
from support.install import OPERATOR_ACCOUNT, OPERATOR_NAMESPACE
from support.manifests import Json
from support.process import Operator
from support.receivers import Answer, status
from support.scene import Scene
from support.waiting import eventually
from support.webhooks import hook
from templates.hostile_texts import BOUNDED, REFUSED

logger = logging.getLogger(__name__)

ROOM: Final = 20 * 1024 * 1024
"""Bytes by which the operator may grow."""
LONGEST_SENTENCE: Final = 500
"""Characters of what a condition says, commands included."""
OPERATOR: Final = f"system:serviceaccount:{OPERATOR_NAMESPACE}:{OPERATOR_ACCOUNT}"
_GRANT: Final = ("create", "rolebinding", "reads-secrets", "--clusterrole=pod-tracker-secret-reader")
REFUSALS: Final[dict[str, Answer]] = {
    "a redirect": status(302, "Location: http://169.254.169.254/"),
    "a redirect to a file": status(307, "Location: file:///etc/passwd"),
    "a great error": status(500, body=b"x" * 5_000_000),
    "many headers": status(500, *(f"X-{number}: {'y' * 200}" for number in range(200))),
    "a great header": status(500, f"X: {'y' * 100_000}"),
    "another protocol": status(101, "Upgrade: websocket", "Connection: Upgrade"),
    "authentication": status(401, "WWW-Authenticate: Basic realm=root"),
    "no such status": status(999),
}
"""Answers of a webhook that are no yes, beside those that are no answers."""


@asynccontextmanager
async def unharmed(scene: Scene, operator: Operator) -> AsyncIterator[None]:
    """What goes on inside leaves the operator well and no bigger, and nothing of it shows."""
    before = operator.resident
    yield
    grown = operator.resident - before
    logger.info("grew by %d KiB", grown // 1024)
    assert grown < ROOM, f"grew by {grown} bytes"
    assert await operator.probe("/healthz") == 200
    trackers = await scene.kube.list("PodTracker", scene.namespace)
    shown = operator.output() + json.dumps([tracker.get("status") for tracker in trackers])
    shown += json.dumps(await scene.kube.list("Event", scene.namespace))
    for leak in ("s3cr3t", "X-Injected", "root:", "Traceback", "InternalError"):
        assert leak not in shown
    assert all(len(sentence) < LONGEST_SENTENCE for tracker in trackers for sentence in _sentences(tracker))


def _sentences(tracker: Json) -> Iterator[str]:
    told = tracker.get("status", {})
    yield told.get("lastError", "")
    for condition in told.get("conditions", ()):
        yield condition["message"]


def _condition(tracker: Json, kind: str) -> Json:
    found: Json = next((one for one in tracker.get("status", {}).get("conditions", ()) if one["type"] == kind), {})
    return found


async def _trackers(scene: Scene) -> dict[str, Json]:
    return {one["metadata"]["name"]: one for one in await scene.kube.list("PodTracker", scene.namespace)}


async def test_hostile_texts(scene: Scene) -> None:
    """A text that cannot be used is told with its line, and the default is sent; one that can stays small."""
    operator = await scene.operate()
    await scene.track("first", pod="first", message=next(iter(BOUNDED.values())))
    await scene.run("first")
    await scene.counted(tracker="first", delivered=1)
    # Longer ones are the API server's to refuse, and halves of characters nobody can send it.
    refused = {f"refused-{number}": text for number, text in enumerate(map(_sendable, REFUSED.values())) if text}
    taken = {f"taken-{number}": text for number, text in enumerate(map(_sendable, BOUNDED.values())) if text}
    assert len(refused) > 100
    async with unharmed(scene, operator):
        texts = {**refused, **taken}
        await asyncio.gather(*(scene.track(name, pod="later", message=text) for name, text in texts.items()))

        async def judged() -> bool:
            found = {name: _condition(body, "MessageValid") for name, body in (await _trackers(scene)).items()}
            wrong = {name for name in refused if found[name].get("reason") != "InvalidTemplate"}
            wrong |= {name for name in taken if found[name].get("reason") != "Valid"}
            assert not wrong, wrong
            return all("spec.message, line " in found[name]["message"] for name in refused)

        await eventually(judged, what="a verdict on every text", within=60)
        await scene.run("later")
        default = "Pod later was created"
        await eventually(lambda: default in scene.texts(), what="the default text")

        async def told() -> bool:
            return await _count(operator) == len(texts) + 1

        await eventually(told, what="a message of every tracker", within=60)
    assert all(len(text) <= MAX_TEXT for text in scene.texts())
    assert sum(text == default for text in scene.texts()) >= len(refused)


def _sendable(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE and text.isprintable() and "\ud800" not in text else ""


async def test_hostile_secrets(scene: Scene) -> None:
    """Whatever a Secret holds, the condition says what is wrong with it, and nothing of it is sent or shown."""
    operator = await scene.operate(WEBHOOK_TIMEOUT="5", APPRISE_SCHEMES="json")
    await scene.kubectl(*_GRANT, "-n", scene.namespace, f"--serviceaccount={OPERATOR_NAMESPACE}:{OPERATOR_ACCOUNT}")
    await scene.track("first", pod="first")
    await scene.run("first")
    await scene.delivered("Pod first was created")
    async with unharmed(scene, operator):
        names = {f"t-{number}": each for number, each in enumerate(SECRETS.values())}
        for name, each in names.items():
            await scene.kube.apply(_secret(name, each.data), scene.namespace)
            await scene.track(name, pod="later", kind=each.kind, secret=name)
        await scene.run("later")

        async def judged() -> bool:
            found = await _trackers(scene)
            told = {name: _condition(found[name], "ReporterReady") for name in names}
            wrong = {
                name: (each.reasons, told[name])
                for name, each in names.items()
                if told[name].get("status") != "False" or told[name].get("reason") not in each.reasons
            }
            assert not wrong, wrong
            return True

        await eventually(judged, what="a verdict on every Secret", within=60)
        # What is rotated away does not stay in memory either.
        for number in range(20):
            await scene.kube.apply(_secret("t-0", {"url": b"%d" % number * 100_000}), scene.namespace)
            await scene.edit({"message": f"{number}"}, tracker="t-0")
    assert scene.texts() == ["Pod first was created"]
    assert {request.token for request in scene.slack.requests if request.method != "auth.test"} == {scene.token}


def _secret(name: str, data: dict[str, bytes]) -> Json:
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded}


async def test_hostile_pods(scene: Scene) -> None:
    """Names, labels, annotations, owners and reasons: told harmlessly and shortly, and nobody is asked elsewhere."""
    operator = await scene.operate()
    deployment: Json = {"workloadRef": {"kind": "Deployment", "name": "web"}}
    await scene.track("first", **deployment)
    await scene.track(selector={}, events=["Created", "Failed"], message="{{ event.text }} {{ event.reason }}")
    await scene.run("first")
    await scene.counted(delivered=1)
    async with unharmed(scene, operator):
        for number, pod in enumerate(PODS.values()):
            name = f"owned-{number}" if pod["metadata"]["name"] == "owned" else pod["metadata"]["name"]
            await scene.kube.create({**pod, "metadata": {**pod["metadata"], "name": name}}, scene.namespace)
        for number, reason in enumerate(REASONS.values()):
            await scene.run(f"fails-{number}")
            await scene.kubelet.report(f"fails-{number}", phase="Failed", reason=reason)
        await scene.counted(delivered=1 + len(PODS) + 2 * len(REASONS), pending=0)
        assert (await scene.handled("first"))["podCount"] == 0
    for text in scene.texts():
        assert len(text) <= MAX_TEXT
        assert "<" not in text
        assert not [sign for sign in text if unicodedata.category(sign) in {"Cc", "Cf"} and sign != "\n"]
    assert scene.cluster.audit_log is not None
    asked = uris_of(OPERATOR, scene.cluster.audit_log)
    here = f"/apis/apps/v1/namespaces/{scene.namespace}/replicasets/"
    owners = [path for path in asked if scene.namespace in path and "replicasets" in path]
    assert owners
    assert all(path.startswith(here) and "/" not in path.removeprefix(here) for path in owners)
    assert not [path for path in asked if path == "/api/v1/pods" or "/.." in path or "%2f" in path.lower()]


async def test_hostile_receivers(scene: Scene) -> None:
    """What a webhook answers is bounded in size and time, and shows nowhere; the next attempt arrives."""
    operator = await scene.operate(
        WEBHOOK_TIMEOUT="1", EGRESS_ALLOW="127.0.0.0/8", RETRY_BACKOFF="600", RETRY_BACKOFF_MAX="600"
    )
    async with hook() as receiver:
        await scene.put_secret(url=receiver.url())
        await scene.track(kind="webhook", selector={})
        await scene.run("first")
        await receiver.told(("Created", "first"))
        async with unharmed(scene, operator):
            tries = {**UNANSWERED, **HALF_ACCEPTED, **ACCEPTED_AND_THEN, **REFUSALS}
            for number, (what, answer) in enumerate(tries.items()):
                receiver.script(answer)
                await scene.run(f"pod-{number}")
                if what not in ACCEPTED_AND_THEN:
                    await eventually(lambda: _settled(scene, operator, number), what=what)  # noqa: B023 - awaited here
                    # An edit is a reason to try again at once.
                    await scene.edit({"muteUntil": f"2020-01-01T00:00:{number:02}Z"})
                await eventually(lambda: _delivered(scene, operator, number + 2), what=what)  # noqa: B023
        shown = operator.output() + json.dumps(await scene.status())
        assert "169.254" not in shown
        assert "passwd" not in shown


async def _settled(scene: Scene, operator: Operator, number: int) -> bool:
    """The next of these was refused, or taken where it might be."""
    failed = _condition(await scene.tracker(), "ReporterReady").get("status") == "False"
    return failed or await _count(operator) == number + 2


async def _delivered(scene: Scene, operator: Operator, count: int) -> bool:
    works = _condition(await scene.tracker(), "ReporterReady").get("status") == "True"
    return works and await _count(operator) == count


async def _count(operator: Operator) -> float:
    return await operator.metric("pod_tracker_occurrences_total", outcome="delivered")
