# SPDX-License-Identifier: Apache-2.0
"""What every kind of reporter keeps to, whatever the other side does. A new kind adds itself to KINDS.

A hostile or broken receiver ends in a DeliveryError of the right kind (or in a delivery, where it had accepted before
it misbehaved): in time, within bounds of memory, without a secret in any error or log, the reporter as good as new.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from podtracker.delivery import Credential, Destination, Reporter, Traits
from podtracker.egress import Proxies
from podtracker.errors import DeliveryError, Failure
from podtracker.redact import Token
from podtracker.reporters.apprise import AppriseReporter
from podtracker.reporters.slack import SlackReporter
from podtracker.reporters.webhook import WebhookReporter
from reporters.hostile_answers import ACCEPTED_AND_THEN, HALF_ACCEPTED, UNANSWERED, silence
from support.receivers import (
    HMAC_KEY,
    LOOPBACK,
    OK,
    SECRETS,
    TOKEN,
    URL_PART,
    Answer,
    everything,
    message,
    raw_server,
    says,
    status,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

KINDS: Final = ("slack", "webhook", "apprise")
PATIENT: Final = 20.0
"""Seconds for a delivery that is to work; a worker of Apprise may have to be started."""
HASTY: Final = 1.5
"""Seconds for one that is not to end by itself; enough for the others on a busy machine."""
LATE: Final = 5.0
"""Seconds by which a busy machine may notice the end of a delivery's time."""
MEMORY: Final = 20 * 1024 * 1024
"""Bytes that the process may grow by."""
METADATA: Final = "http://169.254.169.254/latest/meta-data/"


class Subject:
    """A reporter of some kind, its destinations, and its time."""

    def __init__(self, kind: str, apprise: AppriseReporter) -> None:
        self.kind = kind
        self._apprise = apprise
        self._made: list[Reporter] = []

    async def reporter(self, port: int, seconds: float) -> Reporter:
        made: Reporter
        match self.kind:
            case "slack":
                made = SlackReporter(f"http://127.0.0.1:{port}/api/", timeout=seconds, proxies=Proxies())
            case "webhook":
                made = WebhookReporter(LOOPBACK, timeout=seconds, proxies=Proxies())
            case _:
                self._apprise._timeout = PATIENT
                await self._apprise.verify(self.destination(port))
                self._apprise._timeout = seconds
                return self._apprise
        self._made.append(made)
        return made

    def destination(self, port: int) -> Destination:
        match self.kind:
            case "slack":
                credential = Credential(token=Token(TOKEN))
            case "webhook":
                url = Token(f"http://127.0.0.1:{port}/{URL_PART}")
                credential = Credential(token=Token(TOKEN), url=url, hmac_key=Token(HMAC_KEY))
            case _:
                credential = Credential(url=Token(f"json://user:{TOKEN}@127.0.0.1:{port}/{URL_PART}"))
        return Destination(kind=self.kind, channel="C1" if self.kind == "slack" else "", credential=credential)

    async def close(self) -> None:
        for made in self._made:
            await made.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def apprise() -> AsyncIterator[AppriseReporter]:
    made = AppriseReporter(LOOPBACK, schemes=frozenset({"json"}), timeout=PATIENT, proxies=Proxies())
    made._settings["limit"] = HASTY / 2
    yield made
    await made.close()


@pytest_asyncio.fixture(loop_scope="module", params=KINDS)
async def subject(request: pytest.FixtureRequest, apprise: AppriseReporter) -> AsyncIterator[Subject]:
    made = Subject(request.param, apprise)
    yield made
    await made.close()


ECHO: Final = " ".join((*SECRETS, f"Bearer {TOKEN}"))


async def outcome(subject: Subject, port: int, seconds: float = HASTY) -> DeliveryError | None:
    """What a delivery ends in: in time, and telling no secret."""
    reporter = await subject.reporter(port, seconds)
    began = asyncio.get_running_loop().time()
    found: DeliveryError | None = None
    try:
        await reporter.deliver(subject.destination(port), message())
    except DeliveryError as error:
        found = error
    assert asyncio.get_running_loop().time() - began < seconds + LATE
    if found is not None:
        shown = everything(found)
        assert not [secret for secret in SECRETS if secret in shown]
        assert re.fullmatch(r"[A-Z][A-Za-z]+", found.reason)
        assert 10 < len(found.message) < 300
        assert found.message.isprintable()
        assert "127.0.0.1" not in found.message
    return found


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(autouse=True)
def _nothing_leaks(caplog: pytest.LogCaptureFixture) -> object:
    """No log record of a test holds a secret, at whatever level; and memory stays."""
    caplog.set_level(logging.DEBUG)
    before = resident()
    yield
    if resident() - before >= MEMORY:
        gc.collect()
    assert resident() - before < MEMORY
    told = [str(vars(record)) + record.getMessage() for record in caplog.records]
    assert not [secret for secret in SECRETS for line in told if secret in line]


async def works_again(subject: Subject) -> None:
    async with raw_server(OK) as raw:
        assert await outcome(subject, raw.port, PATIENT) is None
        assert len(raw.requests) == 1


@pytest.mark.parametrize("answer", UNANSWERED.values(), ids=UNANSWERED.keys())
async def test_what_is_no_answer_is_tried_again(answer: Answer, subject: Subject) -> None:
    async with raw_server(answer) as raw:
        error = await outcome(subject, raw.port)
        assert error is not None
        assert error.failure is Failure.RETRY
        assert len(raw.requests) == 1
    await works_again(subject)


@pytest.mark.parametrize("answer", ACCEPTED_AND_THEN.values(), ids=ACCEPTED_AND_THEN.keys())
async def test_what_follows_a_yes_does_no_harm(answer: Answer, subject: Subject) -> None:
    async with raw_server(answer) as raw:
        # Only Slack's reporter reads to the end, which never comes; the others have their yes long before.
        error = await outcome(subject, raw.port, PATIENT if subject.kind == "webhook" else HASTY)
        if subject.kind == "slack":
            assert error is not None
            assert (error.failure, error.arrived_perhaps) == (Failure.RETRY, True)
        else:
            assert error is None
        assert len(raw.requests) == 1
    await works_again(subject)


@pytest.mark.parametrize("answer", HALF_ACCEPTED.values(), ids=HALF_ACCEPTED.keys())
async def test_half_a_yes_is_a_yes_or_tried_again(answer: Answer, subject: Subject) -> None:
    async with raw_server(answer) as raw:
        error = await outcome(subject, raw.port)
        assert error is None or error.failure is Failure.RETRY
        assert len(raw.requests) == 1
    await works_again(subject)


async def test_what_is_not_there_surely_has_nothing(subject: Subject) -> None:
    async with raw_server(OK) as raw:
        port = raw.port
    error = await outcome(subject, port)
    assert error is not None
    assert (error.failure, error.arrived_perhaps) == (Failure.RETRY, False)


@pytest.mark.parametrize("code", [500, 502, 503, 504])
async def test_5xx_is_tried_again(code: int, subject: Subject) -> None:
    async with raw_server(status(code)) as raw:
        error = await outcome(subject, raw.port)
        assert error is not None
        assert error.failure is Failure.RETRY
        assert len(raw.requests) == 1


async def test_429_says_when_to_come_back(subject: Subject) -> None:
    refusal = b'{"ok": false, "error": "ratelimited"}'
    async with raw_server(status(429, "Retry-After: 5", "Content-Type: application/json", body=refusal)) as raw:
        error = await outcome(subject, raw.port)
        assert error is not None
        assert (error.failure, error.retry_after, error.arrived_perhaps) == (Failure.THROTTLED, 5.0, False)
        assert len(raw.requests) == 1


@pytest.mark.parametrize("code", [301, 302, 307])
@pytest.mark.parametrize("there", [METADATA, "http://127.0.0.1:{port}/elsewhere", "file:///etc/passwd"])
async def test_redirects_are_not_followed(code: int, there: str, subject: Subject) -> None:
    async with raw_server(OK) as elsewhere:
        async with raw_server(status(code, f"Location: {there.format(port=elsewhere.port)}")) as raw:
            error = await outcome(subject, raw.port)
            assert error is not None
            assert error.failure in {Failure.RETRY, Failure.REFUSED}
            assert len(raw.requests) == 1
        assert elsewhere.connections == 0


@pytest.mark.parametrize("code", [200, 302, 400, 401, 404, 418, 429, 500])
async def test_what_a_receiver_says_is_not_repeated(code: int, subject: Subject) -> None:
    headers = (f"Location: http://x/{ECHO}", f"X-Said: {ECHO}", f"Retry-After: {ECHO}", f"Content-Type: {ECHO}")
    said = says("\r\n".join((f"HTTP/1.1 {code} {ECHO}", *headers, f"Content-Length: {len(ECHO)}")), ECHO.encode())
    async with raw_server(said) as raw:
        await outcome(subject, raw.port)


async def test_secrets_travel_where_they_belong(subject: Subject) -> None:
    async with raw_server(OK) as raw:
        assert await outcome(subject, raw.port, PATIENT) is None
        (request,) = raw.requests
        assert not [secret for secret in SECRETS if secret.encode() in request.body]
        assert HMAC_KEY not in str(request)


async def test_verifying_delivers_nothing(subject: Subject) -> None:
    async with raw_server(OK) as raw:
        reporter = await subject.reporter(raw.port, PATIENT)
        await reporter.verify(subject.destination(raw.port))
        assert all("auth.test" in request.line for request in raw.requests)


@pytest.mark.parametrize("damage", [Credential(), Credential(token=Token("")), Credential(url=Token(""))], ids=repr)
async def test_without_a_credential_it_is_refused(damage: Credential, subject: Subject) -> None:
    async with raw_server(OK) as raw:
        reporter = await subject.reporter(raw.port, PATIENT)
        destination = Destination(kind=subject.kind, channel="C1", credential=damage)
        for call in (reporter.verify(destination), reporter.deliver(destination, message())):
            with pytest.raises(DeliveryError) as caught:
                await call
            assert caught.value.failure is Failure.REFUSED
        assert raw.connections == 0


async def test_whether_it_arrived_may_be_asked(subject: Subject) -> None:
    async with raw_server(OK) as raw:
        reporter = await subject.reporter(raw.port, PATIENT)
        found = await reporter.arrived(subject.destination(raw.port), since=0.0)
        assert found is None or found == frozenset()


async def test_names_of_kubernetes_are_not_changed_by_escaping(subject: Subject) -> None:
    reporter = await subject.reporter(9, PATIENT)
    for text in ("", "nginx-7d9f8b6c5-x2x4z", "app.kubernetes.io/name=a_b.c", "12 pods were created: a, b, …"):
        assert reporter.escape(text) == text
    assert isinstance(reporter.traits, Traits)
    assert re.fullmatch(r"[A-Z][A-Za-z]+", reporter.traits.accepted[0])


async def test_giving_up_halfway_leaves_it_usable(subject: Subject) -> None:
    async with raw_server(silence()) as raw:
        reporter = await subject.reporter(raw.port, PATIENT)
        sending = asyncio.create_task(reporter.deliver(subject.destination(raw.port), message()))
        await raw.wait_for(1)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
    await works_again(subject)


# ending

MAKERS: Final[dict[str, Callable[[], AppriseReporter | SlackReporter | WebhookReporter]]] = {
    "slack": lambda: SlackReporter("http://127.0.0.1:9/api/", timeout=PATIENT, proxies=Proxies()),
    "webhook": lambda: WebhookReporter(LOOPBACK, timeout=PATIENT, proxies=Proxies()),
    "apprise": lambda: AppriseReporter(LOOPBACK, schemes=frozenset({"json"}), timeout=PATIENT, proxies=Proxies()),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_closing_ends_everything(kind: str, apprise: AppriseReporter) -> None:
    tasks, open_files = asyncio.all_tasks(), set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - just names
    reporter = MAKERS[kind]()
    async with raw_server(silence()) as raw:
        if isinstance(reporter, SlackReporter):
            reporter._base_url = f"http://127.0.0.1:{raw.port}/api/"
        destination = Subject(kind, apprise).destination(raw.port)
        sending = asyncio.create_task(reporter.deliver(destination, message()))
        await raw.wait_for(1)
        await reporter.close()
        with pytest.raises(DeliveryError) as caught:
            await asyncio.wait_for(sending, 5)
        assert caught.value.failure is Failure.RETRY
    await reporter.close()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() <= tasks | {asyncio.current_task()}
    assert set(os.listdir("/proc/self/fd")) <= open_files  # noqa: PTH208


@pytest.mark.parametrize("kind", KINDS)
async def test_closing_what_was_never_used(kind: str) -> None:
    reporter = MAKERS[kind]()
    await reporter.close()
    await reporter.close()
