# SPDX-License-Identifier: Apache-2.0
"""Webhooks: one CloudEvent per occurrence to the URL in the Secret, through every answer that a receiver may give."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import time
from collections.abc import AsyncIterator
from typing import Final

import pytest

from support.kubelet import ended, now, running
from support.manifests import Json, created_at
from support.receivers import Received, status
from support.scene import Scene
from support.waiting import eventually
from support.webhooks import Hook, hook

WEBHOOK: Final = {"kind": "webhook"}
LOOPBACK: Final = {"EGRESS_ALLOW": "127.0.0.0/8"}


@pytest.fixture
async def receiver() -> AsyncIterator[Hook]:
    """Where the tracker's URL leads."""
    async with hook() as made:
        yield made


async def test_what_is_sent(scene: Scene, receiver: Hook) -> None:
    """A CloudEvent in structured JSON with the documented fields, the bearer token, and a signature that verifies."""
    token, hmac_key, path = (scene.new_token(f"{what}-") for what in ("bearer", "hmac", "path"))
    await scene.put_secret(url=receiver.url(f"/{path}?q=1"), token=token, hmacKey=hmac_key)
    await scene.operate(**LOOPBACK, CLUSTER_NAME="prod")
    meant: Json = {"selector": {"matchLabels": {"app": "web"}}, "events": ["Created", "Restarted"]}
    tracker = await scene.track(**WEBHOOK, **meant, message="{{ pod.name }} of {{ pod.labels['team'] }}")
    condition = await scene.condition("ReporterReady", "True", "Configured")
    assert path not in condition["message"]
    pod = await scene.run("nginx", app="web", team="red")
    await scene.kubelet.report("nginx", running(now()), last=ended(now(), 3, "Error"), restarts=1)
    events = await receiver.told(("Created", "nginx"), ("Restarted", "nginx"))
    created, restarted = events
    assert created.pop("id") != restarted.pop("id")
    source = f"/clusters/prod/namespaces/{scene.namespace}/podtrackers/pod-tracker"
    about = {"namespace": scene.namespace, "name": "nginx", "uid": pod["metadata"]["uid"], "labels": {"team": "red"}}
    shared: Json = {
        "cluster": "prod",
        "tracker": {
            "namespace": scene.namespace,
            "name": "pod-tracker",
            "uid": tracker["metadata"]["uid"],
        },
        "pod": about,
        "text": "nginx of red",
    }
    begin = pod["metadata"]["creationTimestamp"]
    assert created == {
        "specversion": "1.0",
        "source": source,
        "type": "backend.lost.pod-tracker.pod.created.v1",
        "subject": "pods/nginx",
        "time": begin,
        "datacontenttype": "application/json",
        "data": {**shared, "event": "Created", "at": begin},
    }
    assert restarted["type"] == "backend.lost.pod-tracker.pod.restarted.v1"
    happened = {"container": "nginx", "reason": "Error", "exitCode": 3, "restarts": 1, "at": restarted["data"]["at"]}
    assert restarted["data"] == {**shared, "event": "Restarted", **happened}
    for request in receiver.accepted:
        assert request.line == f"POST /{path}?q=1 HTTP/1.1"
        assert request.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
        assert request.headers["authorization"] == f"Bearer {token}"
        _verify(request, hmac_key)


def _verify(request: Received, hmac_key: str) -> None:
    """As docs/user/webhook.md tells receivers to."""
    fields = dict(field.split("=", 1) for field in request.headers["pod-tracker-signature"].split(","))
    signed = fields["t"].encode() + b"." + request.body
    assert hmac.compare_digest(hmac.new(hmac_key.encode(), signed, hashlib.sha256).hexdigest(), fields["v1"])
    assert abs(time.time() - int(fields["t"])) < 60


async def test_answers(scene: Scene, receiver: Hook) -> None:
    """What passes is tried again under the same id, Retry-After is obeyed, a hopeless message does not block others."""
    await scene.put_secret(url=receiver.url())
    operator = await scene.operate(**LOOPBACK, WEBHOOK_TIMEOUT="0.5", RETRY_BACKOFF="0.05", RETRY_BACKOFF_MAX="0.2")
    await scene.track(**WEBHOOK, selector={})
    await scene.condition("ReporterReady", "True", "Configured")

    async def hang(*_: object) -> None:
        await eventually(lambda: len(receiver.requests) > 5, what="the next attempt")

    receiver.script(status(500), status(502), status(408), status(503), hang)
    await scene.run("passing")
    await receiver.told(("Created", "passing"))
    assert "authorization" not in receiver.requests[0].headers
    assert "pod-tracker-signature" not in receiver.requests[0].headers
    assert len(receiver.requests) == 6
    assert len({request.body for request in receiver.requests}) == 1

    receiver.script(status(429, "Retry-After: 1"), status(503, "Retry-After: 1"))
    await scene.run("slowly")
    await scene.condition("ReporterReady", "False", "RateLimited")
    await receiver.told(("Created", "passing"), ("Created", "slowly"))
    attempts = receiver.times[-3:]
    assert all(later - earlier >= 1 for earlier, later in itertools.pairwise(attempts))
    await scene.condition("ReporterReady", "True", "Delivered")

    receiver.script(status(400), status(413))
    await scene.run("malformed")
    await eventually(lambda: len(receiver.requests) == 10, what="the refusal of a message")
    await scene.run("too-long")
    await eventually(lambda: len(receiver.requests) == 11, what="the refusal of another")
    await scene.run("good")
    await receiver.told(*(("Created", pod) for pod in ("passing", "slowly", "good")))
    await scene.condition("ReporterReady", "True", "Delivered")
    assert await operator.metric("pod_tracker_occurrences_total", outcome="dropped") == 2
    assert await operator.metric("pod_tracker_pending") == 0


async def test_refusals(scene: Scene, receiver: Hook) -> None:
    """What only a person can mend shows and is not tried again before the Secret or the spec changes; then it is."""
    await scene.put_secret(url=receiver.url())
    await scene.operate(**LOOPBACK)
    await scene.track(**WEBHOOK, selector={})
    await scene.condition("ReporterReady", "True", "Configured")
    async with hook() as elsewhere:
        redirect = status(302, f"Location: {elsewhere.url()}")
        refusals = {401: "InvalidAuth", 404: "Rejected", 302: "Redirected"}
        for tries, (code, reason) in enumerate(refusals.items(), start=1):
            receiver.script(redirect if code == 302 else status(code))
            if tries == 1:
                await scene.run("nginx")
            else:
                await scene.put_secret(url=receiver.url(f"/{code}"))
            condition = await scene.condition("ReporterReady", "False", reason)
            assert str(code) in condition["message"]
            assert "bot" not in condition["message"], "advice for Slack"
            assert str(receiver.server.port) not in json.dumps(await scene.status())
            assert len(receiver.requests) == tries
        await scene.secret_reads()
        assert len(receiver.requests) == len(refusals)
        assert elsewhere.requests == []

    await scene.put_secret(url=receiver.url("/mended"))
    await receiver.told(("Created", "nginx"))
    assert receiver.accepted[0].line.startswith("POST /mended ")
    await scene.condition("ReporterReady", "True", "Delivered")


async def test_rotated_secret(scene: Scene, receiver: Hook) -> None:
    """URL, token and key change together with the Secret, noticed without any failure."""
    old, new = ({key: scene.new_token(f"{key}-") for key in ("token", "hmacKey")} for _ in range(2))
    await scene.put_secret(url=receiver.url(), **old)
    await scene.operate(**LOOPBACK)
    await scene.track(**WEBHOOK, selector={})
    await scene.run("first")
    await receiver.told(("Created", "first"))
    async with hook() as moved:
        await scene.put_secret(url=moved.url(), **new)
        await scene.secret_reads()
        await scene.run("second")
        await moved.told(("Created", "second"))
        [request] = moved.accepted
        assert request.headers["authorization"] == f"Bearer {new['token']}"
        _verify(request, new["hmacKey"])
    assert len(receiver.requests) == 1
    assert receiver.requests[0].headers["authorization"] == f"Bearer {old['token']}"


async def test_burst_is_no_digest(scene: Scene, receiver: Hook) -> None:
    """Each occurrence is an event of its own, however many there are, and each pod's come in their order."""
    await scene.put_secret(url=receiver.url())
    await scene.operate(**LOOPBACK, SLACK_RATE="1", SLACK_BURST="1")
    await scene.track(**WEBHOOK, selector={}, events=["Created", "Deleted"], grouping="Digest")
    await scene.condition("ReporterReady", "True", "Configured")
    pods = [f"pod-{number}" for number in range(15)]
    for pod in pods:
        await scene.run(pod)
        await scene.remove(pod)
    events = await receiver.told(*itertools.product(("Created", "Deleted"), pods))
    assert len({event["id"] for event in events}) == 30
    for pod in pods:
        told = [event["data"]["event"] for event in events if event["data"]["pod"]["name"] == pod]
        assert told == ["Created", "Deleted"]


async def test_after_a_quiet_time(scene: Scene, receiver: Hook) -> None:
    """Nothing comes while it lasts; then each occurrence is an event of its own, which says so, and others do not."""
    await scene.put_secret(url=receiver.url())
    await scene.operate(**LOOPBACK)
    await scene.track(**WEBHOOK, selector={}, suspend=True, message="{{ pod.name }}")
    for pod in ("first", "second"):
        await scene.run(pod)
    await scene.counted(suppressed=2, pending=2, status="Suspended")
    assert receiver.server.connections == 0
    await scene.edit({"suspend": False})
    events = await receiver.told(("Created", "first"), ("Created", "second"))
    quiet = "While this tracker was quiet:\nPod {} was created"
    assert [event["data"]["text"] for event in events] == [quiet.format(pod) for pod in ("first", "second")]
    await scene.run("third")
    events = await receiver.told(("Created", "first"), ("Created", "second"), ("Created", "third"))
    assert events[-1]["data"]["text"] == "third"


async def test_test_message(scene: Scene, receiver: Hook) -> None:
    """A test is an event of a type of its own, with the nonce, about the tracker."""
    await scene.put_secret(url=receiver.url())
    await scene.operate(**LOOPBACK)
    await scene.track(**WEBHOOK, test="four-two")
    await scene.condition("ReporterVerified", "True", "TestDelivered")
    [event] = await receiver.told(("Test", ""))
    assert event["type"] == "backend.lost.pod-tracker.test.v1"
    assert event["subject"] == "podtrackers/pod-tracker"
    assert event["data"]["nonce"] == "four-two"


async def test_private_networks(scene: Scene, receiver: Hook) -> None:
    """Without EGRESS_ALLOW no private address is connected to, by number or by name; with it, the API server is not.

    The pod waits, and goes where the Secret leads once that is allowed.
    """
    operator = await scene.operate()
    for url in (receiver.url(), receiver.url(host="[::ffff:127.0.0.1]")):
        await scene.put_secret(url=url)
        tracker = f"t-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
        await scene.track(tracker, **WEBHOOK)
        condition = await scene.condition("ReporterReady", "False", "EgressForbidden", tracker=tracker)
        assert condition["message"].startswith("127.0.0.1 is ")
        assert "EGRESS_ALLOW" in condition["message"]
        await scene.kube.delete("PodTracker", tracker, scene.namespace)
    await scene.put_secret(url=receiver.url(host="localhost"))
    tracker_body = await scene.track("by-name", **WEBHOOK)
    await scene.condition("ReporterReady", "True", "Configured", tracker="by-name")
    assert created_at(await scene.run("nginx")) >= created_at(tracker_body)
    await scene.condition("ReporterReady", "False", "EgressForbidden", tracker="by-name")
    assert receiver.server.connections == 0
    await operator.stop()

    await scene.put_secret(url=f"{scene.cluster.server}/api")
    await scene.operate(**LOOPBACK)
    condition = await scene.condition("ReporterReady", "False", "EgressForbidden", tracker="by-name")
    assert "API server" in condition["message"]
    await scene.put_secret(url=receiver.url())
    await receiver.told(("Created", "nginx"))


async def test_secrets_that_cannot_be_used(scene: Scene, receiver: Hook) -> None:
    """A Secret for Slack is none for a webhook, and a URL that cannot be used is told without repeating it."""
    await scene.operate(**LOOPBACK)
    await scene.track(**WEBHOOK)
    missing = await scene.condition("ReporterReady", "False", "SecretKeyMissing")
    assert "url" in missing["message"]
    wrong = {
        "ftp://secret.example/x": "it is no URL that can be used",
        f"http://user:pw@127.0.0.1:{receiver.server.port}/": "the URL has a user or password in it",
    }
    for url, sentence in wrong.items():
        await scene.put_secret(url=url)
        await eventually(lambda: _says(scene, sentence), what=sentence)  # noqa: B023 - awaited here
        status = json.dumps(await scene.status())
        assert "InvalidURL" in status
        assert "secret.example" not in status
        assert "user:pw" not in status
    assert receiver.server.connections == 0


async def _says(scene: Scene, sentence: str) -> bool:
    return any(entry["message"].startswith(sentence) for entry in (await scene.status()).get("conditions", []))
