# SPDX-License-Identifier: Apache-2.0
"""The server as slack_sdk's own client sees it: its replies, its refusals, and every scripted misbehaviour."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.models.metadata import Metadata
from slack_sdk.web.async_client import AsyncWebClient

from fakeslack.outcomes import (
    AcceptThenDrop,
    ApiError,
    DropBefore,
    Garbage,
    Hang,
    Ok,
    RateLimited,
    ServerError,
)
from fakeslack.server import FakeSlack

TOKEN = "xoxb-good"
CHANNEL = "C0821GM4602"


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    async with FakeSlack(tokens={TOKEN}, channels={CHANNEL}) as server:
        yield server


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    # slack_sdk obeys these even for loopback and knows no NO_PROXY.
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)


def client(slack: FakeSlack, token: str = TOKEN, timeout: int = 5) -> AsyncWebClient:
    return AsyncWebClient(token=token, base_url=slack.url, timeout=timeout, retry_handlers=[])


async def refusal(slack: FakeSlack, token: str = TOKEN, **arguments: Any) -> dict[str, Any]:
    with pytest.raises(SlackApiError) as caught:
        await client(slack, token).chat_postMessage(**({"channel": CHANNEL, "text": "hi"} | arguments))
    assert caught.value.response.status_code == 200
    data = caught.value.response.data
    assert isinstance(data, dict)
    assert data["ok"] is False
    return data


async def test_auth_test_tells_the_bot_and_its_scopes(slack: FakeSlack) -> None:
    answer = await client(slack).auth_test()
    assert answer["ok"] is True
    assert {"url", "team", "team_id", "user", "user_id", "bot_id"} <= set(answer.data)
    assert answer.headers["X-OAuth-Scopes"] == "chat:write"


async def test_a_post_is_stored_and_echoed(slack: FakeSlack) -> None:
    metadata = {"event_type": "pod_tracker", "event_payload": {"ids": ["a", "b"]}}
    answer = await client(slack).chat_postMessage(channel=CHANNEL, text="Pod nginx was created", metadata=metadata)
    (message,) = slack.messages
    assert (message.channel, message.text, message.token) == (CHANNEL, "Pod nginx was created", TOKEN)
    assert message.metadata == metadata
    assert answer["channel"] == CHANNEL
    assert answer["ts"] == message.ts == answer["message"]["ts"]
    assert answer["message"]["text"] == "Pod nginx was created"
    assert answer["message"]["metadata"] == metadata
    (request,) = slack.requests
    assert (request.method, request.outcome, request.message) == ("chat.postMessage", Ok(), message)
    assert request.body["text"] == "Pod nginx was created"
    assert request.received_at == pytest.approx(message.received_at, abs=1)


@pytest.mark.parametrize(
    "metadata",
    [
        Metadata("pod_tracker", {"ids": ["a"]}),
        {"event_type": "pod_tracker", "event_payload": {"ids": ["a"]}},
        '{"event_type": "pod_tracker", "event_payload": {"ids": ["a"]}}',
    ],
    ids=["sdk-object", "dict", "json-string"],
)
async def test_metadata_in_every_form_of_the_sdk(slack: FakeSlack, metadata: Any) -> None:
    await client(slack).chat_postMessage(channel=CHANNEL, text="hi", metadata=metadata)
    assert slack.messages[0].metadata == {"event_type": "pod_tracker", "event_payload": {"ids": ["a"]}}


async def test_form_bodies_carry_everything_as_text(slack: FakeSlack) -> None:
    form = {
        "token": TOKEN,
        "channel": CHANNEL,
        "text": "hi",
        "metadata": json.dumps({"event_type": "pod_tracker", "event_payload": {}}),
    }
    async with aiohttp.ClientSession() as session, session.post(f"{slack.url}chat.postMessage", data=form) as reply:
        assert reply.status == 200
        assert (await reply.json())["ok"] is True
    assert slack.messages[0].token == TOKEN
    assert slack.messages[0].metadata == {"event_type": "pod_tracker", "event_payload": {}}
    assert "token" not in slack.requests[0].body


async def test_ts_grows_within_a_channel(slack: FakeSlack) -> None:
    slack.workspace.clock = lambda: 1_700_000_000.25
    for _ in range(3):
        await client(slack).chat_postMessage(channel=CHANNEL, text="hi")
    assert [m.ts for m in slack.messages] == ["1700000000.250000", "1700000000.250001", "1700000000.250002"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"channel": "C404"}, "channel_not_found"),
        ({"channel": ""}, "invalid_arguments"),
        ({"text": " "}, "no_text"),
        ({"text": "x" * 40_001}, "msg_too_long"),
        ({"metadata": "{"}, "invalid_metadata_format"),
        ({"metadata": "[]"}, "invalid_metadata_format"),
        ({"metadata": {"event_type": "pod tracker", "event_payload": {}}}, "invalid_metadata_format"),
        ({"metadata": {"event_type": "pod_tracker"}}, "invalid_metadata_format"),
        ({"metadata": {"event_type": "pod_tracker", "event_payload": "x"}}, "invalid_metadata_format"),
    ],
)
@pytest.mark.filterwarnings("ignore:The top-level `text` argument is missing:UserWarning")
async def test_bad_arguments_are_refused(slack: FakeSlack, arguments: dict[str, Any], code: str) -> None:
    assert (await refusal(slack, **arguments))["error"] == code
    assert slack.messages == []
    assert slack.requests[0].outcome == ApiError(code)


async def test_the_longest_text_is_accepted(slack: FakeSlack) -> None:
    await client(slack).chat_postMessage(channel=CHANNEL, text="ü" * 40_000)
    assert len(slack.messages[0].text) == 40_000


async def test_tokens(slack: FakeSlack) -> None:
    assert (await refusal(slack, "xoxb-other"))["error"] == "invalid_auth"
    assert (await refusal(slack, ""))["error"] == "not_authed"
    slack.revoked.add(TOKEN)
    assert (await refusal(slack))["error"] == "token_revoked"
    assert slack.messages == []


async def test_any_printable_token_arrives_as_it_was_sent(slack: FakeSlack) -> None:
    founding = "xoxb-…"  # what stands in the founding manifest, ellipsis included
    slack.tokens.add(founding)
    await client(slack, founding).chat_postMessage(channel=CHANNEL, text="hi")
    assert slack.messages[0].token == founding


async def test_the_bot_has_to_be_invited_and_allowed(slack: FakeSlack) -> None:
    slack.channel_members.clear()
    assert (await refusal(slack))["error"] == "not_in_channel"
    slack.scopes.add("chat:write.public")
    await client(slack).chat_postMessage(channel=CHANNEL, text="hi")
    slack.scopes.clear()
    answer = await refusal(slack)
    assert (answer["error"], answer["needed"], answer["provided"]) == ("missing_scope", "chat:write", "")


async def test_any_credentials() -> None:
    async with FakeSlack(any_credentials=True) as slack:
        await client(slack, "xoxb-whatever").chat_postMessage(channel="C1", text="hi")
        assert (await refusal(slack, "xoxp-user"))["error"] == "invalid_auth"


async def test_history_needs_its_scope(slack: FakeSlack) -> None:
    with pytest.raises(SlackApiError) as caught:
        await client(slack).conversations_history(channel=CHANNEL)
    data = caught.value.response.data
    assert isinstance(data, dict)
    assert data == {"ok": False, "error": "missing_scope", "needed": "channels:history", "provided": "chat:write"}


async def test_history_pages_newest_first(slack: FakeSlack) -> None:
    slack.scopes.add("channels:history")
    metadata = {"event_type": "pod_tracker", "event_payload": {"ids": ["a"]}}
    for number in range(5):
        await client(slack).chat_postMessage(channel=CHANNEL, text=str(number), metadata=metadata)
    pages = [
        [message["text"] for message in page["messages"]]
        async for page in await client(slack).conversations_history(channel=CHANNEL, limit=2)
    ]
    assert pages == [["4", "3"], ["2", "1"], ["0"]]


async def test_history_bounds_and_metadata(slack: FakeSlack) -> None:
    slack.scopes.add("channels:history")
    metadata = {"event_type": "pod_tracker", "event_payload": {"ids": ["a"]}}
    for number in range(4):
        await client(slack).chat_postMessage(channel=CHANNEL, text=str(number), metadata=metadata)
    first, last = slack.messages[0].ts, slack.messages[3].ts
    plain = await client(slack).conversations_history(channel=CHANNEL, oldest=first, latest=last)
    assert [m["text"] for m in plain["messages"]] == ["2", "1"]
    assert plain["has_more"] is False
    assert all("metadata" not in m for m in plain["messages"])
    full = await client(slack).conversations_history(
        channel=CHANNEL, oldest=first, latest=last, inclusive=True, include_all_metadata=True
    )
    assert [m["text"] for m in full["messages"]] == ["3", "2", "1", "0"]
    assert all(m["metadata"] == metadata for m in full["messages"])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"limit": 0}, "invalid_limit"),
        ({"limit": "many"}, "invalid_limit"),
        ({"cursor": "x"}, "invalid_cursor"),
        ({"oldest": "yesterday"}, "invalid_ts_oldest"),
        ({"channel": "C404"}, "channel_not_found"),
    ],
)
async def test_history_refuses_bad_arguments(slack: FakeSlack, arguments: dict[str, Any], code: str) -> None:
    slack.scopes.add("channels:history")
    with pytest.raises(SlackApiError) as caught:
        await client(slack).conversations_history(**({"channel": CHANNEL} | arguments))
    assert caught.value.response["error"] == code


async def test_info(slack: FakeSlack) -> None:
    with pytest.raises(SlackApiError, match="missing_scope"):
        await client(slack).conversations_info(channel=CHANNEL)
    slack.scopes.add("channels:read")
    assert (await client(slack).conversations_info(channel=CHANNEL))["channel"]["is_member"] is True
    slack.channel_members.clear()
    assert (await client(slack).conversations_info(channel=CHANNEL))["channel"]["is_member"] is False


async def test_unknown_methods_and_bodies(slack: FakeSlack) -> None:
    with pytest.raises(SlackApiError, match="unknown_method"):
        await client(slack).users_list()
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json;charset=utf-8"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for body, code in ((b"{", "invalid_json"), (b"[]", "json_not_object")):
            async with session.post(f"{slack.url}chat.postMessage", data=body) as reply:
                assert await reply.json() == {"ok": False, "error": code}


async def test_scripts_run_out_and_are_per_method(slack: FakeSlack) -> None:
    slack.script(ApiError("internal_error"), Ok(), ApiError("fatal_error"), method="chat.postMessage")
    await client(slack).auth_test()
    assert (await refusal(slack))["error"] == "internal_error"
    await client(slack).chat_postMessage(channel=CHANNEL, text="hi")
    assert (await refusal(slack))["error"] == "fatal_error"
    await client(slack).chat_postMessage(channel=CHANNEL, text="hi")
    assert len(slack.messages) == 2


@pytest.mark.parametrize(("retry_after", "header"), [(2, "2"), (None, None)])
async def test_rate_limited(slack: FakeSlack, retry_after: int | None, header: str | None) -> None:
    slack.script(RateLimited(retry_after))
    with pytest.raises(SlackApiError) as caught:
        await client(slack).chat_postMessage(channel=CHANNEL, text="hi")
    response = caught.value.response
    assert response.status_code == 429
    assert response.headers.get("Retry-After") == header
    assert response.data == {"ok": False, "error": "ratelimited"}
    assert slack.messages == []


async def test_server_error(slack: FakeSlack) -> None:
    slack.script(ServerError(502))
    with pytest.raises(SlackApiError) as caught:
        await client(slack).chat_postMessage(channel=CHANNEL, text="hi")
    assert caught.value.response.status_code == 502
    assert slack.messages == []


async def test_garbage(slack: FakeSlack) -> None:
    slack.script(Garbage())
    with pytest.raises(SlackApiError, match="non-JSON"):
        await client(slack).chat_postMessage(channel=CHANNEL, text="hi")
    assert slack.messages == []


async def test_hang_lasts_until_the_client_gives_up(slack: FakeSlack) -> None:
    slack.script(Hang())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await client(slack).chat_postMessage(channel=CHANNEL, text="hi")
    assert slack.messages == []
    assert slack.requests[0].outcome == Hang()


async def test_a_stop_frees_those_who_hang(slack: FakeSlack) -> None:
    slack.script(Hang())
    post = asyncio.create_task(client(slack).chat_postMessage(channel=CHANNEL, text="hi"))
    await slack.wait_for(lambda s: len(s.requests) == 1)
    await slack.stop()
    with pytest.raises(aiohttp.ClientError):
        await post


@pytest.mark.parametrize(("outcome", "stored"), [(AcceptThenDrop(), 1), (DropBefore(), 0)])
async def test_dropped_connections(slack: FakeSlack, outcome: AcceptThenDrop | DropBefore, stored: int) -> None:
    slack.script(outcome)
    with pytest.raises(aiohttp.ClientConnectionError):
        await client(slack).chat_postMessage(channel=CHANNEL, text="hi")
    assert len(slack.messages) == stored
    assert slack.requests[0].outcome == outcome


async def test_accept_then_drop_accepts_only_what_is_good(slack: FakeSlack) -> None:
    slack.script(AcceptThenDrop())
    with pytest.raises(aiohttp.ClientConnectionError):
        await client(slack, "xoxb-other").chat_postMessage(channel=CHANNEL, text="hi")
    assert slack.messages == []


async def test_pace_is_per_channel(slack: FakeSlack) -> None:
    slack.channels.add("C2")
    slack.channel_members.add("C2")
    slack.pace(limit_per_second=0.25, burst=2)
    for channel in (CHANNEL, CHANNEL, "C2"):
        await client(slack).chat_postMessage(channel=channel, text="hi")
    with pytest.raises(SlackApiError) as caught:
        await client(slack).chat_postMessage(channel=CHANNEL, text="hi")
    assert caught.value.response.status_code == 429
    assert caught.value.response.headers["Retry-After"] == "4"
    await client(slack).chat_postMessage(channel="C2", text="hi")
    assert [m.channel for m in slack.messages] == [CHANNEL, CHANNEL, "C2", "C2"]
    assert slack.requests[3].outcome == RateLimited(4)
