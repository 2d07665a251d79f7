# SPDX-License-Identifier: Apache-2.0
"""The Apprise reporter and its worker: what may be sent where, what it may read, and that a hang costs nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from devcluster import ports
from podtracker.egress import Guard, Networks, Proxies
from podtracker.errors import DeliveryError, Failure
from podtracker.reporters.apprise import AppriseReporter, _Worker
from support.receivers import (
    LOOPBACK,
    OK,
    URL_PART,
    Authority,
    RawServer,
    everything,
    message,
    raw_server,
    status,
    to,
)
from support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCHEMES = frozenset({"json", "jsons", "xml", "form", "discord", "rsyslog"})
DISCORD = f"discord://{'4' * 18}/{'A' * 68}"


def make(
    guard: Guard = LOOPBACK,
    *,
    schemes: frozenset[str] = SCHEMES,
    timeout: float = 10.0,
    proxies: Proxies | None = None,
    idle: float = 60.0,
) -> AppriseReporter:
    return AppriseReporter(guard, schemes=schemes, timeout=timeout, proxies=proxies or Proxies(), idle=idle)


@pytest_asyncio.fixture(loop_scope="module")
async def server() -> AsyncIterator[RawServer]:
    async with raw_server(OK) as raw:
        yield raw


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def reporter() -> AsyncIterator[AppriseReporter]:
    """For all tests that leave it as it is: starting a worker takes a while."""
    made = make()
    yield made
    await made.close()


async def send(
    reporter: AppriseReporter, url: str, text: str = "Pod nginx was created", namespace: str = "team"
) -> None:
    await reporter.deliver(to(url, kind="apprise"), message(text, namespace=namespace))


async def failure(reporter: AppriseReporter, url: str) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await send(reporter, url)
    assert URL_PART not in everything(caught.value)
    return caught.value


def worker_of(reporter: AppriseReporter) -> _Worker:
    assert reporter._worker is not None
    return reporter._worker


def pid_of(reporter: AppriseReporter) -> int:
    process = worker_of(reporter)._process
    assert process is not None
    return process.pid


def proc(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


# what is sent


async def test_a_message_goes_through_a_plugin(server: RawServer, reporter: AppriseReporter) -> None:
    await send(reporter, f"json://127.0.0.1:{server.port}/{URL_PART}", "Pod <b>nginx</b> & ü was created")
    (request,) = server.requests
    assert request.line == f"POST /{URL_PART} HTTP/1.1"
    body = json.loads(request.body)
    assert (body["message"], body["title"], body["attachments"]) == ("Pod <b>nginx</b> & ü was created", "", [])
    assert request.headers["user-agent"] == "pod-tracker"


async def test_verifying_sends_nothing(server: RawServer, reporter: AppriseReporter) -> None:
    await reporter.verify(to(f"json://127.0.0.1:{server.port}/", kind="apprise"))
    assert server.connections == 0
    assert reporter.traits.accepted[0] == "Configured"
    assert (reporter.traits.paced, reporter.traits.digests) == (True, True)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("", ""),
        ("plain a@ < b", "plain a@ < b"),
        ("@everyone", "@\u200beveryone"),
        ("<!channel>", "<\u200b!channel>"),
        ("<@U1|x>", "<\u200b@\u200bU1|x>"),
    ],
)
async def test_a_name_cannot_become_a_mention(text: str, escaped: str) -> None:
    assert make().escape(text) == escaped


async def test_nothing_can_be_asked(reporter: AppriseReporter) -> None:
    assert await reporter.arrived(to("json://x", kind="apprise"), since=0.0) is None  # type: ignore[func-returns-value]


async def test_several_are_sent_at_once(server: RawServer, reporter: AppriseReporter) -> None:
    await asyncio.gather(
        *(send(reporter, f"json://127.0.0.1:{server.port}/", namespace=f"team-{n}") for n in range(20))
    )
    assert len(server.requests) == 20
    assert len(reporter._workers) == 1


# what may be used


async def test_without_schemes_the_kind_is_off() -> None:
    reporter = make(schemes=frozenset())
    for call in (reporter.verify(to("json://x", kind="apprise")), send(reporter, "json://x")):
        with pytest.raises(DeliveryError) as caught:
            await call
        error = caught.value
        assert (error.failure, error.reason) == (Failure.REFUSED, "KindDisabled")
        assert "APPRISE_SCHEMES" in error.message
    assert not reporter._workers
    await reporter.close()


@pytest.mark.parametrize(
    "url",
    [
        f"mailto://user:{URL_PART}@example.org",
        f"file:///etc/{URL_PART}",
        f"https://discord.com/api/webhooks/{'4' * 18}/{URL_PART}",
        f"{URL_PART}",
        f" json://{URL_PART}",
        f"json,xml://{URL_PART}",
        "://",
    ],
)
async def test_only_schemes_that_are_allowed(url: str) -> None:
    reporter = make()
    error = await failure(reporter, url)
    assert (error.failure, error.reason) == (Failure.REFUSED, "SchemeNotAllowed")
    assert "json, jsons" in error.message
    assert not reporter._workers


NO_URLS = [
    None,
    "",
    "json://",
    "discord://short",
    f"json://a.example.org\nxml://{URL_PART}",
    f"json://example.org/{'x' * 5000}",
]


async def test_a_url_that_is_none_is_refused(reporter: AppriseReporter) -> None:
    for url in NO_URLS:
        destination = to(url, kind="apprise")
        for call in (reporter.verify, lambda there: reporter.deliver(there, message())):
            with pytest.raises(DeliveryError) as caught:
                await call(destination)
            assert (caught.value.failure, caught.value.reason) == (Failure.REFUSED, "InvalidURL"), url
            assert URL_PART not in everything(caught.value)


async def test_two_urls_are_one_odd_url(server: RawServer, reporter: AppriseReporter) -> None:
    first = f"json://127.0.0.1:{server.port}/a"
    await send(reporter, f"{first}, json://127.0.0.1:{server.port}/b, mailto://x:y@example.org")
    assert [request.line.split("%")[0] for request in server.requests] == ["POST /a"]


CLOSED = {
    "json://10.0.0.1/": "10.0.0.1 is a private address",
    "json://169.254.169.254/latest": "169.254.169.254 is a metadata",
    "xml://[::1]:9/": "::1 is a loopback",
    "json://0x0a000001/": "10.0.0.1 is a private",
    "form://167772161/": "10.0.0.1 is a private",
    "rsyslog://10.0.0.1": "10.0.0.1 is a private",
    "rsyslog://localhost": "no IP address",
}


async def test_the_guard_stands_where_plugins_connect(reporter: AppriseReporter) -> None:
    for url, says in CLOSED.items():
        error = await failure(reporter, url)
        assert (error.failure, error.reason) == (Failure.REFUSED, "EgressForbidden"), url
        assert says in error.message


async def test_a_name_is_judged_by_its_address(server: RawServer) -> None:
    reporter = make(Guard(Networks.parse("::1")))
    error = await failure(reporter, f"json://localhost:{server.port}/")
    await reporter.close()
    assert error.reason in {"EgressForbidden", "Rejected"}
    assert server.connections == 0


async def test_the_api_server_is_refused(server: RawServer) -> None:
    reporter = make(Guard(Networks.parse("127.0.0.0/8"), api_server=f"https://127.0.0.1:{server.port}"))
    assert "API server" in (await failure(reporter, f"json://127.0.0.1:{server.port}/")).message
    await reporter.close()
    assert server.connections == 0


async def test_behind_a_proxy_names_are_judged(server: RawServer) -> None:
    reporter = make(Guard(), proxies=Proxies(http=f"http://user:pass@127.0.0.1:{server.port}"))
    await send(reporter, "json://receiver.example.org/hook")
    (request,) = server.requests
    assert request.line == "POST http://receiver.example.org/hook HTTP/1.1"
    assert request.headers["proxy-authorization"] == "Basic dXNlcjpwYXNz"
    for url in ("json://receiver.team.svc/", "json://localhost/", "json://169.254.169.254/", "json://0x7f000001/"):
        assert (await failure(reporter, url)).reason == "EgressForbidden"
    await reporter.close()
    assert len(server.requests) == 1


async def test_ssl_cert_file_names_the_authorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    async with raw_server(OK, tls=authority.context()) as raw:
        url = f"jsons://127.0.0.1:{raw.port}/{URL_PART}"
        distrusting = make()
        assert "SSLError" in (await failure(distrusting, url)).message
        await distrusting.close()
        assert raw.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        trusting = make()
        await send(trusting, url)
        await trusting.close()
        assert len(raw.requests) == 1


# what a URL may not ask for


async def test_redirects_retries_and_optional_are_switched_off() -> None:
    options = "redirect=yes&retry=5&wait=20&optional=yes"
    async with raw_server(status(302, "Location: http://169.254.169.254/")) as raw:
        reporter = make()
        error = await failure(reporter, f"json://127.0.0.1:{raw.port}/{URL_PART}?{options}")
        assert (error.failure, error.reason, error.arrived_perhaps) == (Failure.RETRY, "Rejected", False)
        assert "302" in error.message
        assert len(raw.requests) == 1
        await reporter.close()


async def test_429_is_not_slept_through() -> None:
    async with raw_server(status(429, "Retry-After: 7")) as raw:
        reporter = make()
        error = await failure(reporter, f"json://127.0.0.1:{raw.port}/")
        assert (error.failure, error.reason, error.retry_after) == (Failure.THROTTLED, "RateLimited", 7.0)
        assert len(raw.requests) == 1
        await reporter.close()


async def test_templates_are_not_read(server: RawServer, reporter: AppriseReporter) -> None:
    for template in ("/etc/hostname", "file:///etc/hostname", f"http://127.0.0.1:{server.port}/t", "x"):
        for _ in range(2):  # Apprise looks for its attachments anew after a failure
            assert (await failure(reporter, f"{DISCORD}?template={template}")).reason == "InvalidURL"
    assert server.connections == 0


# the worker


async def test_the_url_shows_nowhere(reporter: AppriseReporter, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    await failure(reporter, f"json://user:{URL_PART}@127.0.0.1:9/{URL_PART}?+X-Key={URL_PART}")
    assert URL_PART not in proc(pid_of(reporter), "cmdline")
    environment = proc(pid_of(reporter), "environ")
    assert URL_PART not in environment
    assert "KUBECONFIG" not in environment
    assert URL_PART not in caplog.text


async def test_its_memory_is_bounded(server: RawServer) -> None:
    # smtplib keeps all lines of an answer of several lines.
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 welcome\r\n")
        while True:
            writer.write(b"250-and one more thing\r\n" * 1000)
            await writer.drain()

    reporter = make(schemes=frozenset({"mailto", "json"}))
    async with await asyncio.start_server(talk, ports.LOOPBACK, ports.choose(1)[0]) as mail:
        port = mail.sockets[0].getsockname()[1]
        url = f"mailto://user:pass@127.0.0.1:{port}?mode=insecure&from=a@example.org&to=b@example.org"
        await reporter.verify(to(url, kind="apprise"))
        worker, peak = pid_of(reporter), 0
        reporter._timeout = 3.0
        sending = asyncio.create_task(failure(reporter, url))
        while not sending.done():  # until it has taken all that it may, or too long
            with contextlib.suppress(FileNotFoundError):
                peak = max(peak, int(proc(worker, "statm").split()[1]) * os.sysconf("SC_PAGE_SIZE"))
            await asyncio.sleep(0.03)
        assert (await sending).failure is Failure.RETRY
        assert 40_000_000 < peak < 200_000_000
        reporter._timeout = 10.0
    await send(reporter, f"json://127.0.0.1:{server.port}/")
    await reporter.close()


# its life


async def test_it_is_started_once_and_ends_when_idle(server: RawServer) -> None:
    reporter = make(idle=0.1)
    assert not reporter._workers
    await send(reporter, f"json://127.0.0.1:{server.port}/")
    pid = pid_of(reporter)
    await send(reporter, f"json://127.0.0.1:{server.port}/")
    assert pid_of(reporter) == pid
    await eventually(lambda: not reporter._workers)
    assert not lives(pid)
    await send(reporter, f"json://127.0.0.1:{server.port}/")
    assert pid_of(reporter) != pid
    await reporter.close()
    assert not reporter._workers


async def test_a_receiver_that_hangs_costs_its_worker_and_nobody_else(server: RawServer) -> None:
    # One header a moment: no time limit of a socket ends this.
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X: y\r\n")
            await writer.drain()
            await asyncio.sleep(0.05)

    reporter = make()
    await send(reporter, f"json://127.0.0.1:{server.port}/")
    first = worker_of(reporter)
    async with raw_server(drip) as dripping:
        reporter._timeout = 0.6
        hanging = asyncio.create_task(failure(reporter, f"json://127.0.0.1:{dripping.port}/{URL_PART}"))
        await dripping.wait_for(1)
        for _ in range(3):
            await send(reporter, f"json://127.0.0.1:{server.port}/", namespace="team-b")
        error = await hanging
        assert (error.failure, error.reason, error.arrived_perhaps) == (Failure.RETRY, "Unreachable", True)
        await eventually(lambda: first not in reporter._workers)
        reporter._timeout = 10.0
        await send(reporter, f"json://127.0.0.1:{server.port}/")
        assert worker_of(reporter) is not first
    await reporter.close()


async def test_others_finish_before_a_worker_is_killed(server: RawServer) -> None:
    let_go = asyncio.Event()

    async def slow(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await let_go.wait()
        await OK(_, writer)

    async def hang(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    reporter = make()
    await send(reporter, f"json://127.0.0.1:{server.port}/")
    async with raw_server(slow) as patient, raw_server(hang) as dead:
        other = asyncio.create_task(send(reporter, f"json://127.0.0.1:{patient.port}/", namespace="team-b"))
        await patient.wait_for(1)
        reporter._timeout = 0.2
        await failure(reporter, f"json://127.0.0.1:{dead.port}/")
        reporter._timeout = 10.0
        await send(reporter, f"json://127.0.0.1:{server.port}/", namespace="team-b")
        assert len(reporter._workers) == 2
        let_go.set()
        await other
        await eventually(lambda: len(reporter._workers) == 1)
    await reporter.close()


async def test_one_namespace_takes_not_all_the_threads(server: RawServer) -> None:
    async def hang(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    reporter = make()
    await send(reporter, f"json://127.0.0.1:{server.port}/")
    async with raw_server(hang) as dead:
        flood = [
            asyncio.create_task(send(reporter, f"json://127.0.0.1:{dead.port}/{n}", namespace="team-a"))
            for n in range(20)
        ]
        await dead.wait_for(2)
        await send(reporter, f"json://127.0.0.1:{server.port}/", namespace="team-b")
        assert len(dead.requests) == 2
        await reporter.close()
        for outcome in await asyncio.gather(*flood, return_exceptions=True):
            assert isinstance(outcome, DeliveryError)


async def test_a_worker_that_dies_is_replaced(server: RawServer) -> None:
    reporter = make()

    async def hang(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with raw_server(hang) as dead:
        sending = asyncio.create_task(failure(reporter, f"json://127.0.0.1:{dead.port}/"))
        await dead.wait_for(1)
        os.kill(pid_of(reporter), 9)
        error = await sending
    assert (error.failure, error.reason, error.arrived_perhaps) == (Failure.RETRY, "Unreachable", True)
    await send(reporter, f"json://127.0.0.1:{server.port}/")
    await reporter.close()


async def test_a_worker_that_cannot_start_is_no_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    reporter = make()
    for executable in ("/nonexistent/python", "/bin/true"):
        monkeypatch.setattr(sys, "executable", executable)
        error = await failure(reporter, "json://127.0.0.1:9/")
        assert (error.failure, error.reason, error.arrived_perhaps) == (Failure.RETRY, "Unreachable", False)


async def test_closing_ends_what_is_under_way() -> None:
    async def hang(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    reporter = make()
    async with raw_server(hang) as raw:
        sending = asyncio.create_task(failure(reporter, f"json://127.0.0.1:{raw.port}/"))
        await raw.wait_for(1)
        pid = pid_of(reporter)
        await reporter.close()
        assert (await asyncio.wait_for(sending, 10)).failure is Failure.RETRY
        assert not lives(pid)
    with pytest.raises(DeliveryError):
        await send(reporter, "json://127.0.0.1:9/")
    await reporter.close()


async def test_closing_while_it_starts_leaves_nothing(server: RawServer) -> None:
    reporter = make()
    sending = asyncio.create_task(failure(reporter, f"json://127.0.0.1:{server.port}/"))
    await eventually(lambda: reporter._workers)
    await reporter.close()
    assert (await asyncio.wait_for(sending, 10)).arrived_perhaps is False
    assert not reporter._workers
