# SPDX-License-Identifier: Apache-2.0
"""Receivers that are not ours: webhooks are read by CloudEvents' Go SDK, and Apprise delivers by plugins of its own."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import AsyncIterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from podtracker.api import Event
from podtracker.egress import Proxies
from podtracker.errors import DeliveryError, Failure
from podtracker.ledger import TEST, Detail
from podtracker.reporters.apprise import AppriseReporter
from podtracker.reporters.webhook import WebhookReporter
from podtracker.times import rfc3339
from support.cloudevents import Receiver, ensure_receiver, receiver
from support.receivers import HMAC_KEY, LOOPBACK, NOW, OK, TOKEN, Received, message, notification, raw_server, to

FULL = Detail(
    container="app",
    reason="OOMKilled",
    exit_code=137,
    restarts=3,
    seconds=42,
    node="node-1",
    labels=(("app", "shop"), ("team", "a")),
)
TEXT = 'Pod <b>nginx</b> & "ü" was created: 1/2 — \U0001f511'


@pytest.fixture(scope="session")
def program() -> Path:
    """The receiver of CloudEvents; built when missing, which takes seconds once."""
    return ensure_receiver()


@pytest.fixture
async def go(program: Path) -> AsyncIterator[Receiver]:
    async with receiver(program, key=HMAC_KEY, token=TOKEN) as made:
        yield made


@pytest.fixture
async def webhook() -> AsyncIterator[WebhookReporter]:
    made = WebhookReporter(LOOPBACK, timeout=10.0, proxies=Proxies())
    yield made
    await made.close()


# webhooks


@pytest.mark.parametrize("event", Event)
async def test_the_go_sdk_reads_every_event(event: Event, go: Receiver, webhook: WebhookReporter) -> None:
    destination = to(f"http://127.0.0.1:{go.port}/hook", kind="webhook", token=TOKEN, hmac_key=HMAC_KEY)
    await webhook.verify(destination)
    about = notification(event, detail=FULL)
    await webhook.deliver(destination, message(TEXT, about, cluster="eu/west 1"))
    seen = await go.next()
    assert (seen["signature"], seen["authorized"], seen["structured"]) == ("valid", True, True)
    assert seen["event"] == {
        "specversion": "1.0",
        "id": about.id,
        "source": "/clusters/eu%2Fwest%201/namespaces/team/podtrackers/pod-tracker",
        "type": f"backend.lost.pod-tracker.pod.{event.lower()}.v1",
        "subject": "pods/nginx",
        "time": rfc3339(NOW),
        "datacontenttype": "application/json",
        "data": {
            "event": event,
            "text": TEXT,
            "cluster": "eu/west 1",
            "tracker": {"namespace": "team", "name": "pod-tracker", "uid": "t1"},
            "pod": {
                "namespace": "team",
                "name": "nginx",
                "uid": "nginx-uid",
                "node": "node-1",
                "labels": {"app": "shop", "team": "a"},
            },
            "container": "app",
            "reason": "OOMKilled",
            "exitCode": 137,
            "restarts": 3,
            "readyAfterSeconds": 42,
            "at": rfc3339(NOW),
        },
    }


async def test_the_go_sdk_reads_tests_and_events_without_a_time(go: Receiver, webhook: WebhookReporter) -> None:
    destination = to(f"http://127.0.0.1:{go.port}/hook", kind="webhook", token=TOKEN, hmac_key=HMAC_KEY)
    about = notification(TEST, pod="", at=0, detail=Detail(reason="nonce-1"))
    await webhook.deliver(destination, message("This is a test", about))
    event = (await go.next())["event"]
    assert (event["type"], event["data"]["nonce"]) == ("backend.lost.pod-tracker.test.v1", "nonce-1")
    assert "time" not in event


@pytest.mark.parametrize(
    ("key", "token", "seen"),
    [
        ("another key", TOKEN, ("wrong", True)),
        (None, TOKEN, ("missing", True)),
        (HMAC_KEY, "another token", ("valid", False)),
        (HMAC_KEY, None, ("valid", False)),
    ],
)
async def test_a_receiver_that_checks_refuses_what_is_not_right(
    key: str | None, token: str | None, seen: tuple[str, bool], go: Receiver, webhook: WebhookReporter
) -> None:
    destination = to(f"http://127.0.0.1:{go.port}/hook", kind="webhook", token=token, hmac_key=key)
    with pytest.raises(DeliveryError) as caught:
        await webhook.deliver(destination, message())
    assert (caught.value.failure, caught.value.reason) == (Failure.REFUSED, "InvalidAuth")
    said = await go.next()
    assert (said["signature"], said["authorized"]) == seen


async def test_a_signature_grows_old(go: Receiver) -> None:
    late = WebhookReporter(LOOPBACK, timeout=10.0, proxies=Proxies(), wall=lambda: NOW - 10_000_000_000.0)
    destination = to(f"http://127.0.0.1:{go.port}/hook", kind="webhook", token=TOKEN, hmac_key=HMAC_KEY)
    with pytest.raises(DeliveryError):
        await late.deliver(destination, message())
    await late.close()
    assert (await go.next())["signature"] == "old"


# Apprise


def text_of(scheme: str, request: Received) -> str:
    """The message in a request, as the plugin of a scheme writes it."""
    match scheme:
        case "json":
            return str(json.loads(request.body)["message"])
        case "xml":
            found = ET.fromstring(request.body.decode()).find(".//Message")  # noqa: S314 - our own plugin's
            return str(found.text if found is not None else None)
        case _:
            return urllib.parse.parse_qs(request.body.decode())["message"][0]


async def test_apprise_delivers_by_its_own_plugins() -> None:
    schemes = ("json", "xml", "form")
    reporter = AppriseReporter(LOOPBACK, schemes=frozenset(schemes), timeout=20.0, proxies=Proxies())
    async with raw_server(OK) as server:
        for scheme in schemes:
            destination = to(f"{scheme}://user:pass@127.0.0.1:{server.port}/{scheme}", kind="apprise")
            await reporter.verify(destination)
            await reporter.deliver(destination, message(TEXT))
            request = server.requests[-1]
            assert request.line == f"POST /{scheme} HTTP/1.1"
            assert request.headers["authorization"] == "Basic dXNlcjpwYXNz"
            assert text_of(scheme, request) == TEXT
    assert len(server.requests) == len(schemes)
    await reporter.close()
