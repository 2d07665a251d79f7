# SPDX-License-Identifier: Apache-2.0
"""The webhook reporter against small servers on loopback: the event, the signature, and what each answer means."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from devcluster import ports
from podtracker.delivery import Message
from podtracker.egress import Guard, Networks, Proxies
from podtracker.errors import DeliveryError, Failure
from podtracker.ledger import TEST, Detail
from podtracker.reporters.webhook import WebhookReporter
from support.receivers import (
    HMAC_KEY,
    LOOPBACK,
    NOW,
    OK,
    TOKEN,
    URL_PART,
    Answer,
    Authority,
    RawServer,
    everything,
    message,
    notification,
    raw_server,
    status,
    to,
)

FULL = Detail(
    container="app",
    reason="OOMKilled",
    exit_code=137,
    restarts=3,
    seconds=42,
    node="node-1",
    labels=(("app", "shop"), ("team", "a")),
)


def documented() -> Callable[..., bool]:
    """The function `genuine` of docs/user/webhook.md."""
    text = (Path(__file__).parents[2] / "docs" / "user" / "webhook.md").read_text()
    names: dict[str, Any] = {}
    exec(text.split("```python\n")[1].split("```")[0], names)  # noqa: S102 - our own documentation
    found: Callable[..., bool] = names["genuine"]
    return found


GENUINE = documented()


def make(guard: Guard = LOOPBACK, *, timeout: float = 20.0, proxies: Proxies | None = None) -> WebhookReporter:
    return WebhookReporter(guard, timeout=timeout, proxies=proxies or Proxies(), wall=lambda: NOW + 0.7)


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with raw_server(OK) as raw:
        yield raw


@pytest.fixture
async def reporter() -> AsyncIterator[WebhookReporter]:
    made = make()
    yield made
    await made.close()


async def send(
    reporter: WebhookReporter, raw: RawServer, about: Message, *, token: str | None = None, key: str | None = None
) -> dict[str, Any]:
    await reporter.deliver(
        to(f"http://127.0.0.1:{raw.port}/{URL_PART}?x=1", kind="webhook", token=token, hmac_key=key), about
    )
    event: dict[str, Any] = json.loads(raw.requests[-1].body)
    return event


async def failure(answer: Answer, *, patience: float = 20.0) -> DeliveryError:
    reporter = make(timeout=patience)
    try:
        async with raw_server(answer) as raw:
            with pytest.raises(DeliveryError) as caught:
                await send(reporter, raw, message(), token=TOKEN, key=HMAC_KEY)
            assert len(raw.requests) == 1
    finally:
        await reporter.close()
    for secret in (TOKEN, HMAC_KEY, URL_PART):
        assert secret not in everything(caught.value)
    return caught.value


# what is sent


async def test_a_message_is_one_cloudevent_in_structured_mode(server: RawServer, reporter: WebhookReporter) -> None:
    event = await send(reporter, server, message("Pod nginx was created"))
    assert event == {
        "specversion": "1.0",
        "id": "id-of-Created-nginx",
        "source": "/namespaces/team/podtrackers/pod-tracker",
        "type": "backend.lost.pod-tracker.pod.created.v1",
        "subject": "pods/nginx",
        "time": "2027-01-01T00:00:00Z",
        "datacontenttype": "application/json",
        "data": {
            "event": "Created",
            "text": "Pod nginx was created",
            "tracker": {"namespace": "team", "name": "pod-tracker", "uid": "t1"},
            "pod": {"namespace": "team", "name": "nginx", "uid": "nginx-uid"},
            "at": "2027-01-01T00:00:00Z",
        },
    }
    (request,) = server.requests
    assert request.line == f"POST /{URL_PART}?x=1 HTTP/1.1"
    assert request.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert request.headers["user-agent"] == "pod-tracker"
    assert "authorization" not in request.headers
    assert "pod-tracker-signature" not in request.headers


async def test_everything_that_is_known_is_told(server: RawServer, reporter: WebhookReporter) -> None:
    event = await send(reporter, server, message("x", notification("OOMKilled", detail=FULL), cluster="eu west/1"))
    assert event["type"] == "backend.lost.pod-tracker.pod.oomkilled.v1"
    assert event["source"] == "/clusters/eu%20west%2F1/namespaces/team/podtrackers/pod-tracker"
    assert event["data"] == {
        "event": "OOMKilled",
        "text": "x",
        "cluster": "eu west/1",
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
        "at": "2027-01-01T00:00:00Z",
    }


async def test_zero_is_something_known(server: RawServer, reporter: WebhookReporter) -> None:
    detail = Detail(container="app", exit_code=0, seconds=0)
    event = await send(reporter, server, message("x", notification("Succeeded", detail=detail)))
    assert (event["data"]["exitCode"], event["data"]["readyAfterSeconds"]) == (0, 0)


async def test_a_time_that_nobody_noted_is_not_made_up(server: RawServer, reporter: WebhookReporter) -> None:
    event = await send(reporter, server, message("x", notification(at=0)))
    assert "time" not in event
    assert "at" not in event["data"]


async def test_a_test_speaks_of_the_tracker(server: RawServer, reporter: WebhookReporter) -> None:
    about = notification(TEST, pod="", detail=Detail(reason="nonce-1"))
    event = await send(reporter, server, message("This is a test", about))
    assert event["type"] == "backend.lost.pod-tracker.test.v1"
    assert event["subject"] == "podtrackers/pod-tracker"
    assert event["data"] == {
        "event": "Test",
        "text": "This is a test",
        "tracker": {"namespace": "team", "name": "pod-tracker", "uid": "t1"},
        "nonce": "nonce-1",
    }


async def test_several_occurrences_are_several_events(server: RawServer, reporter: WebhookReporter) -> None:
    await send(reporter, server, message("x", notification(pod="a"), notification(pod="b")))
    assert [json.loads(request.body)["subject"] for request in server.requests] == ["pods/a", "pods/b"]


async def test_the_same_occurrence_is_the_same_event(server: RawServer, reporter: WebhookReporter) -> None:
    first, second = [await send(reporter, server, message("x", notification(at=0))) for _ in range(2)]
    assert first == second


@pytest.mark.parametrize(
    "text", ["", "ü\U0001f511 \u2028", "\ud800", '"\\\r\n\x00', "<!channel>&", "x" * 100_000], ids=ascii
)
async def test_any_text_arrives(text: str, server: RawServer, reporter: WebhookReporter) -> None:
    assert reporter.escape(text) == text
    assert (await send(reporter, server, message(text)))["data"]["text"] == text


async def test_the_official_package_makes_the_event(
    server: RawServer, reporter: WebhookReporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[CloudEvent] = []

    def structured(event: CloudEvent) -> HTTPMessage:
        made.append(event)
        return to_structured_event(event)

    monkeypatch.setattr("podtracker.reporters.webhook.to_structured_event", structured)
    await send(reporter, server, message())
    [event] = made
    assert json.loads(server.requests[0].body)["id"] == event.get_id()


async def test_the_package_reads_what_it_wrote(server: RawServer, reporter: WebhookReporter) -> None:
    await send(reporter, server, message("Pod ü was created", notification(detail=FULL)))
    request = server.requests[0]
    event = from_http_event(HTTPMessage(headers=request.headers, body=request.body))
    assert event.get_type() == "backend.lost.pod-tracker.pod.created.v1"
    data = event.get_data()
    assert isinstance(data, dict)
    assert data["text"] == "Pod ü was created"


async def test_the_token_is_a_bearer_token(server: RawServer, reporter: WebhookReporter) -> None:
    await send(reporter, server, message(), token=TOKEN)
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("key", [HMAC_KEY, "ü\U0001f511", " spaced ", "k" * 1000, "\udc80\udcffk"], ids=ascii)
async def test_the_signature_covers_the_time_and_the_body(
    key: str, server: RawServer, reporter: WebhookReporter
) -> None:
    await send(reporter, server, message("Pod ü was created"), key=key)
    (request,) = server.requests
    signed = f"{NOW}.".encode() + request.body
    expected = hmac.new(key.encode("utf-8", "surrogateescape"), signed, hashlib.sha256).hexdigest()
    assert request.headers["pod-tracker-signature"] == f"t={NOW},v1={expected}"


async def test_the_documentation_shows_how_to_check_it(server: RawServer) -> None:
    reporter = WebhookReporter(LOOPBACK, timeout=5.0, proxies=Proxies())
    await send(reporter, server, message("Pod ü was created"), key=HMAC_KEY)
    await reporter.close()
    (request,) = server.requests
    header, key = request.headers["pod-tracker-signature"], HMAC_KEY.encode()
    assert GENUINE(header, request.body, key)
    assert GENUINE(f"v2=new,{header}", request.body, key)
    for wrong in ("", "t=1", "v1=", "t=,v1=", header.replace("t=", "t=1"), header[:-1], "x"):
        assert not GENUINE(wrong, request.body, key)
    assert not GENUINE(header, request.body + b" ", key)
    assert not GENUINE(header, request.body, b"another")
    assert not GENUINE(header, request.body, key, -1.0)


# looking at the URL


async def test_verifying_sends_nothing(server: RawServer, reporter: WebhookReporter) -> None:
    await reporter.verify(to(f"http://127.0.0.1:{server.port}/", kind="webhook", token=TOKEN, hmac_key=HMAC_KEY))
    await reporter.verify(to("https://receiver.example.org/hook", kind="webhook"))
    assert server.connections == 0
    assert reporter.traits.accepted[0] == "Configured"
    assert (reporter.traits.paced, reporter.traits.digests) == (False, False)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (None, "InvalidURL"),
        ("", "InvalidURL"),
        ("url-s3cr3t", "InvalidURL"),
        ("ftp://url-s3cr3t/", "InvalidURL"),
        ("http://user:url-s3cr3t@example.org/", "InvalidURL"),
        ("http://example.org/#url-s3cr3t", "InvalidURL"),
        ("http://2130706433/url-s3cr3t", "InvalidURL"),
        ("http://10.0.0.1/url-s3cr3t", "EgressForbidden"),
        ("http://169.254.169.254/url-s3cr3t", "EgressForbidden"),
        ("http://[::1]/url-s3cr3t", "EgressForbidden"),
        ("http://[64:ff9b::a00:1]/url-s3cr3t", "EgressForbidden"),
    ],
)
async def test_a_url_that_cannot_be_used_is_refused(url: str | None, reason: str, reporter: WebhookReporter) -> None:
    destination = to(url, kind="webhook")
    for call in (reporter.verify(destination), reporter.deliver(destination, message())):
        with pytest.raises(DeliveryError) as caught:
            await call
        assert (caught.value.failure, caught.value.reason) == (Failure.REFUSED, reason)
        assert URL_PART not in everything(caught.value)


async def test_behind_a_proxy_inner_names_are_refused() -> None:
    reporter = make(proxies=Proxies(http="http://127.0.0.1:9"))
    with pytest.raises(DeliveryError) as caught:
        await reporter.verify(to("http://receiver.team.svc/", kind="webhook"))
    assert caught.value.reason == "EgressForbidden"
    assert "NO_PROXY" in caught.value.message
    await reporter.verify(to("http://receiver.example.org/", kind="webhook"))
    await reporter.close()


@pytest.mark.parametrize("token", ["a\nb", "a\r\nX-Evil: 1", "a\x00", "ü", "\ud800"], ids=ascii)
async def test_a_token_that_no_header_can_carry_is_refused(token: str, reporter: WebhookReporter) -> None:
    destination = to("http://127.0.0.1:9/", kind="webhook", token=token)
    for call in (reporter.verify(destination), reporter.deliver(destination, message())):
        with pytest.raises(DeliveryError) as caught:
            await call
        assert (caught.value.failure, caught.value.reason) == (Failure.REFUSED, "InvalidAuth")


async def test_nothing_can_be_asked(reporter: WebhookReporter) -> None:
    assert await reporter.arrived(to("http://127.0.0.1:9/", kind="webhook"), since=0.0) is None  # type: ignore[func-returns-value]


# what an answer means


@pytest.mark.parametrize("code", [200, 201, 202, 204, 226, 299])
async def test_2xx_is_delivered(code: int, reporter: WebhookReporter) -> None:
    async with raw_server(status(code)) as raw:
        await send(reporter, raw, message())


@pytest.mark.parametrize(
    ("code", "kind", "reason", "perhaps"),
    [
        (300, Failure.REFUSED, "Redirected", False),
        (301, Failure.REFUSED, "Redirected", False),
        (302, Failure.REFUSED, "Redirected", False),
        (303, Failure.REFUSED, "Redirected", False),
        (307, Failure.REFUSED, "Redirected", False),
        (308, Failure.REFUSED, "Redirected", False),
        (400, Failure.UNDELIVERABLE, "Rejected", False),
        (401, Failure.REFUSED, "InvalidAuth", False),
        (402, Failure.REFUSED, "Rejected", False),
        (403, Failure.REFUSED, "InvalidAuth", False),
        (404, Failure.REFUSED, "Rejected", False),
        (405, Failure.REFUSED, "Rejected", False),
        (407, Failure.RETRY, "Unreachable", False),
        (408, Failure.RETRY, "Unreachable", True),
        (410, Failure.REFUSED, "Rejected", False),
        (413, Failure.UNDELIVERABLE, "Rejected", False),
        (415, Failure.UNDELIVERABLE, "Rejected", False),
        (418, Failure.REFUSED, "Rejected", False),
        (422, Failure.UNDELIVERABLE, "Rejected", False),
        (425, Failure.RETRY, "Unreachable", True),
        (429, Failure.THROTTLED, "RateLimited", False),
        (500, Failure.RETRY, "Unreachable", True),
        (501, Failure.RETRY, "Unreachable", True),
        (502, Failure.RETRY, "Unreachable", True),
        (503, Failure.RETRY, "Unreachable", True),
        (504, Failure.RETRY, "Unreachable", True),
        (600, Failure.RETRY, "Unreachable", True),
        (999, Failure.RETRY, "Unreachable", True),
    ],
)
async def test_what_a_status_means(code: int, kind: Failure, reason: str, perhaps: bool) -> None:
    error = await failure(status(code, "Location: http://169.254.169.254/", body=TOKEN.encode()))
    assert (error.failure, error.reason, error.arrived_perhaps) == (kind, reason, perhaps)
    assert str(code) in error.message or kind is Failure.THROTTLED


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("7", 7.0),
        ("0", 0.0),
        (" 12 ", 12.0),
        ("86400", 3600.0),
        ("9" * 400, 3600.0),
        (formatdate(NOW + 90, usegmt=True), 89.3),
        (formatdate(NOW - 90, usegmt=True), 0.0),
        ("-5", 30.0),
        ("soon", 30.0),
        ("", 30.0),
        ("nan", 30.0),
        ("Fri, 31 Dec 99999 23:59:59 GMT", 30.0),
    ],
)
async def test_when_to_come_back(code: int, header: str, wait: float) -> None:
    error = await failure(status(code, f"Retry-After: {header}"))
    assert (error.failure, error.reason) == (Failure.THROTTLED, "RateLimited")
    assert error.retry_after == pytest.approx(wait)


async def test_a_receiver_that_is_not_there_surely_has_nothing(reporter: WebhookReporter) -> None:
    async with raw_server(OK) as gone:
        pass
    with pytest.raises(DeliveryError) as caught:
        await send(reporter, gone, message())
    error = caught.value
    assert (error.failure, error.reason, error.arrived_perhaps) == (Failure.RETRY, "Unreachable", False)
    assert error.message == "cannot reach the receiver: ConnectionRefusedError"


async def test_a_name_without_an_address(reporter: WebhookReporter) -> None:
    with pytest.raises(DeliveryError) as caught:
        await reporter.deliver(to(f"http://{URL_PART}.invalid/", kind="webhook"), message())
    assert (caught.value.failure, caught.value.message) == (
        Failure.RETRY,
        "the receiver's name cannot be resolved",
    )
    assert URL_PART not in everything(caught.value)


async def test_a_receiver_that_hangs_is_given_up_in_time() -> None:
    async def hang(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    error = await failure(hang, patience=1.0)
    assert (error.failure, error.arrived_perhaps) == (Failure.RETRY, True)
    assert error.message == "the receiver did not answer in time"


async def test_an_accepted_message_is_delivered_whatever_follows() -> None:
    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx")
        await writer.drain()
        await asyncio.Event().wait()

    reporter = make()
    async with raw_server(endless) as raw:
        async with asyncio.timeout(2):
            await send(reporter, raw, message())
        async with asyncio.timeout(2):
            await send(reporter, raw, message())
        assert raw.connections == 2
    await reporter.close()


# TLS


@pytest.mark.parametrize(
    ("server_options", "trusted", "words"),
    [
        ({}, False, "certificate is not accepted: its authority is not trusted"),
        ({"address": "127.0.0.9"}, True, "certificate is not accepted: it is for another IP address"),
        ({"expired": True}, True, "certificate is not accepted: it has expired"),
    ],
)
async def test_the_problem_with_a_certificate_is_told(
    server_options: dict[str, Any], trusted: bool, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    reporter = make()
    async with raw_server(OK, tls=authority.context(**server_options)) as raw:
        with pytest.raises(DeliveryError) as caught:
            await reporter.deliver(to(f"https://127.0.0.1:{raw.port}/{URL_PART}", kind="webhook"), message())
        assert raw.requests == []
    await reporter.close()
    error = caught.value
    assert (error.failure, error.reason, error.arrived_perhaps) == (Failure.RETRY, "Unreachable", False)
    assert words in error.message
    assert URL_PART not in everything(error)


async def test_http_where_https_was_meant(reporter: WebhookReporter) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, ports.LOOPBACK, ports.choose(1)[0]) as http:
        port = http.sockets[0].getsockname()[1]
        with pytest.raises(DeliveryError) as caught:
            await reporter.deliver(to(f"https://127.0.0.1:{port}/", kind="webhook"), message())
    assert caught.value.message == "the TLS handshake failed: WRONG_VERSION_NUMBER"


# neighbours


async def test_the_dead_receivers_of_a_namespace_keep_no_other_waiting(server: RawServer) -> None:
    async def hang(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    reporter = make(timeout=4.0)
    async with raw_server(hang) as dead:
        flood = [
            asyncio.create_task(send(reporter, dead, message(namespace="team-a"), token=f"{n}")) for n in range(100)
        ]
        await dead.wait_for(32)
        async with asyncio.timeout(1.5):  # and not the two seconds that the others wait for a turn
            await send(reporter, server, message(namespace="team-b"))
        assert len(dead.requests) == 32
        errors = await asyncio.gather(*flood, return_exceptions=True)
    reasons = [error.reason for error in errors if isinstance(error, DeliveryError)]
    assert (reasons.count("Unreachable"), reasons.count("Busy")) == (32, 68)
    await reporter.close()


async def test_turns_come_back(server: RawServer, reporter: WebhookReporter) -> None:
    await asyncio.gather(*(send(reporter, server, message()) for _ in range(100)))
    assert len(server.requests) == 100
    assert not reporter._turns._namespaces


async def test_closing_ends_what_is_under_way() -> None:
    async def hang(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    reporter = make()
    async with raw_server(hang) as raw:
        sending = asyncio.create_task(send(reporter, raw, message()))
        await raw.wait_for(1)
        await reporter.close()
        with pytest.raises(DeliveryError):
            await asyncio.wait_for(sending, 10)
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError, DeliveryError):
            await sending


async def test_a_network_of_the_cluster_can_be_allowed(server: RawServer) -> None:
    closed, open_ = make(Guard()), make(Guard(Networks.parse("127.0.0.1")))
    with pytest.raises(DeliveryError) as caught:
        await send(closed, server, message())
    assert "EGRESS_ALLOW" in caught.value.message
    await send(open_, server, message())
    await closed.close()
    await open_.close()
