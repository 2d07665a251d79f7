# SPDX-License-Identifier: Apache-2.0
"""What tests use around the protocol: waiting, outages, secrets in output, and where it may listen."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys
from asyncio.subprocess import PIPE

import aiohttp
import pytest

from fakeslack.__main__ import describe, main
from fakeslack.outcomes import ApiError
from fakeslack.server import FakeSlack, Request, loopback

TOKEN = "xoxb-good"
CHANNEL = "C0821GM4602"


async def post(url: str, token: str = TOKEN, text: str = "Pod nginx was created") -> None:
    headers = {"Authorization": f"Bearer {token}"}
    body = {"channel": CHANNEL, "text": text}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}chat.postMessage", json=body, headers=headers) as reply,
    ):
        await reply.read()


async def test_waiting_ends_with_the_fact() -> None:
    async with FakeSlack(tokens={TOKEN}, channels={CHANNEL}) as slack:
        waiting = asyncio.create_task(slack.wait_for(lambda s: len(s.messages) >= 2))
        await post(slack.url)
        await post(slack.url)
        await waiting


async def test_waiting_in_vain_tells_what_came() -> None:
    async with FakeSlack(tokens={TOKEN}, channels={CHANNEL}) as slack:
        with pytest.raises(TimeoutError, match="Nothing was received"):
            await slack.wait_for(lambda s: bool(s.messages), timeout=0.01)
        await post(slack.url, token="xoxb-wrong")
        with pytest.raises(TimeoutError) as caught:
            await slack.wait_for(lambda s: bool(s.messages), timeout=0.01)
        assert "invalid_auth" in str(caught.value)
        assert CHANNEL in str(caught.value)
        assert "xoxb" not in str(caught.value)


async def test_an_outage_keeps_port_and_messages() -> None:
    async with FakeSlack(tokens={TOKEN}, channels={CHANNEL}) as slack:
        url = slack.url
        await post(url)
        await slack.stop()
        with pytest.raises(aiohttp.ClientConnectionError):
            await post(url)
        await slack.start()
        await post(url)
        assert len(slack.messages) == 2


async def test_output_never_shows_a_token() -> None:
    seen: list[Request] = []
    async with FakeSlack(tokens={TOKEN}, channels={CHANNEL}, on_request=seen.append) as slack:
        await post(slack.url)
        await post(slack.url, token="xoxb-wrong")
    assert "xoxb" not in repr(seen) + repr(slack.messages) + "".join(map(describe, seen))
    assert re.fullmatch(rf"\d\d:\d\d:\d\d  #{CHANNEL}  Pod nginx was created", describe(seen[0]))
    assert describe(seen[1]).endswith(f"(chat.postMessage {CHANNEL}: invalid_auth)")
    assert seen[1].outcome == ApiError("invalid_auth")


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::", "example.com", ""])  # noqa: S104 - these are refused
def test_only_loopback(host: str) -> None:
    with pytest.raises(ValueError, match="loopback only"):
        FakeSlack(host=host)


@pytest.mark.parametrize(("host", "bound"), [("localhost", "127.0.0.1"), ("127.0.0.2", "127.0.0.2"), ("::1", "::1")])
def test_loopback_addresses(host: str, bound: str) -> None:
    assert loopback(host) == bound


def test_the_command_refuses_other_addresses(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--host", "0.0.0.0"])  # noqa: S104
    assert caught.value.code == 2
    assert "use 127.0.0.1 instead" in capsys.readouterr().err


def test_the_command_tells_a_taken_port(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--port", str(port)]) == 1
    assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err


async def test_the_command_prints_what_it_receives() -> None:
    arguments = ["-u", "-m", "fakeslack", "--any", "--print"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=PIPE, env={"PYTHONPATH": ":".join(filter(None, sys.path))}
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        first = (await process.stdout.readline()).decode()
        url = first.removeprefix("SLACK_API_URL=").strip()
        await post(url)
        assert (await process.stdout.readline()).decode().strip().endswith(f"#{CHANNEL}  Pod nginx was created")
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
