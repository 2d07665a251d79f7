# SPDX-License-Identifier: Apache-2.0
"""The Slack reporter against a small Slack on loopback: what it sends, what each answer means, and no token in it."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator

import pytest

from fakeslack.outcomes import (
    AcceptThenDrop,
    ApiError,
    DropBefore,
    Garbage,
    Hang,
    Outcome,
    RateLimited,
    ServerError,
)
from fakeslack.server import FakeSlack
from podtracker.delivery import Credential, Destination
from podtracker.egress import Proxies
from podtracker.errors import DeliveryError, Failure
from podtracker.reporters.slack import SlackReporter
from support.receivers import OK, everything, message, notification, raw_server, silent_until, status
from support.waiting import eventually
from unit.podtracker.builders import CHANNEL, SECRET, destination

MESSAGE = message("Pod nginx was created", notification(pod="a"), notification(pod="b"))
IDS = ["id-of-Created-a", "id-of-Created-b"]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    async with FakeSlack(tokens={SECRET}, channels={CHANNEL}) as server:
        yield server


@pytest.fixture
async def reporter(slack: FakeSlack) -> AsyncIterator[SlackReporter]:
    made = SlackReporter(slack.url, timeout=20.0)
    yield made
    await made.close()


async def failure(reporter: SlackReporter, token: str = SECRET, channel: str = CHANNEL) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await reporter.deliver(destination(channel, token), MESSAGE)
    assert token not in everything(caught.value)
    return caught.value


# what is sent


async def test_a_message_is_posted_once_with_its_ids(slack: FakeSlack, reporter: SlackReporter) -> None:
    await reporter.deliver(destination(), MESSAGE)
    (message,) = slack.messages
    assert (message.channel, message.text, message.token) == (CHANNEL, "Pod nginx was created", SECRET)
    assert message.metadata == {"event_type": "pod_tracker", "event_payload": {"ids": IDS}}
    (request,) = slack.requests
    assert request.method == "chat.postMessage"
    assert (request.body["unfurl_links"], request.body["unfurl_media"]) == (False, False)


async def test_a_text_arrives_as_it_is(slack: FakeSlack, reporter: SlackReporter) -> None:
    # It was escaped piece by piece, before it was put together.
    text = reporter.escape("<!channel> & <https://x|y>")
    assert text == "&lt;!channel&gt; &amp; &lt;https://x|y&gt;"
    await reporter.deliver(destination(), message(text))
    assert slack.messages[0].text == text


@pytest.mark.parametrize(
    ("text", "escaped"),
    [("", ""), ("plain", "plain"), ("&amp;", "&amp;amp;"), ("<>&", "&lt;&gt;&amp;"), ("ü'\"", "ü'\"")],
)
def test_escaping(text: str, escaped: str) -> None:
    assert SlackReporter("http://127.0.0.1:9/api/", timeout=1.0).escape(text) == escaped


def test_slack_is_paced_and_takes_digests() -> None:
    traits = SlackReporter.traits
    assert (traits.paced, traits.digests) == (True, True)
    assert traits.accepted == ("TokenAccepted", "the receiver accepts the token")


async def test_the_token_travels_in_a_header_and_nowhere_else(slack: FakeSlack, reporter: SlackReporter) -> None:
    await reporter.deliver(destination(), MESSAGE)
    await reporter.verify(destination())
    for request in slack.requests:
        assert request.token == SECRET
        assert SECRET not in str(request.body)


async def test_verifying_asks_auth_test_and_posts_nothing(slack: FakeSlack, reporter: SlackReporter) -> None:
    await reporter.verify(destination(channel=""))
    assert [request.method for request in slack.requests] == ["auth.test"]
    assert slack.messages == []


async def test_two_tokens_do_not_mix(slack: FakeSlack, reporter: SlackReporter) -> None:
    slack.tokens.add("xoxb-other")
    await asyncio.gather(
        *(reporter.deliver(destination(token=token), MESSAGE) for token in (SECRET, "xoxb-other") for _ in range(3))
    )
    assert sorted(message.token for message in slack.messages) == sorted([SECRET, "xoxb-other"] * 3)


# what an answer means


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        ("invalid_auth", Failure.REFUSED, "InvalidAuth"),
        ("not_authed", Failure.REFUSED, "InvalidAuth"),
        ("account_inactive", Failure.REFUSED, "InvalidAuth"),
        ("token_revoked", Failure.REFUSED, "InvalidAuth"),
        ("token_expired", Failure.REFUSED, "InvalidAuth"),
        ("no_permission", Failure.REFUSED, "InvalidAuth"),
        ("org_login_required", Failure.REFUSED, "InvalidAuth"),
        ("ekm_access_denied", Failure.REFUSED, "InvalidAuth"),
        ("not_allowed_token_type", Failure.REFUSED, "InvalidAuth"),
        ("missing_scope", Failure.REFUSED, "MissingScope"),
        ("channel_not_found", Failure.REFUSED, "ChannelNotFound"),
        ("is_archived", Failure.REFUSED, "ChannelNotFound"),
        ("not_in_channel", Failure.REFUSED, "NotInChannel"),
        ("restricted_action", Failure.REFUSED, "NotInChannel"),
        ("something_new", Failure.REFUSED, "Rejected"),
        ("msg_too_long", Failure.UNDELIVERABLE, "Rejected"),
        ("no_text", Failure.UNDELIVERABLE, "Rejected"),
        ("invalid_metadata_format", Failure.UNDELIVERABLE, "Rejected"),
        ("metadata_too_large", Failure.UNDELIVERABLE, "Rejected"),
        ("internal_error", Failure.RETRY, "Unreachable"),
        ("fatal_error", Failure.RETRY, "Unreachable"),
        ("service_unavailable", Failure.RETRY, "Unreachable"),
        ("request_timeout", Failure.RETRY, "Unreachable"),
        ("ratelimited", Failure.THROTTLED, "RateLimited"),
        ("message_limit_exceeded", Failure.THROTTLED, "RateLimited"),
    ],
)
async def test_slacks_refusals(
    code: str, kind: Failure, reason: str, slack: FakeSlack, reporter: SlackReporter
) -> None:
    slack.script(ApiError(code))
    error = await failure(reporter)
    assert (error.failure, error.reason) == (kind, reason)
    assert kind is Failure.THROTTLED or code in error.message
    assert len(slack.requests) == 1


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("invalid_auth", "put a working bot token"),
        ("channel_not_found", "spec.reporter.channel"),
        ("not_in_channel", "/invite"),
        ("missing_scope", "chat:write"),
        ("something_new", ""),
    ],
)
async def test_what_people_can_end_comes_with_how(
    code: str, advice: str, slack: FakeSlack, reporter: SlackReporter
) -> None:
    slack.script(ApiError(code))
    error = await failure(reporter)
    assert advice in error.advice
    assert bool(error.advice) is bool(advice)


async def test_what_slack_itself_says_of_bad_credentials_and_channels(
    slack: FakeSlack, reporter: SlackReporter
) -> None:
    slack.channels.add("C-not-in")
    slack.tokens.add("xoxb-revoked")
    slack.revoked.add("xoxb-revoked")
    assert (await failure(reporter, token="xoxb-unknown")).reason == "InvalidAuth"
    assert (await failure(reporter, token="xoxb-revoked")).reason == "InvalidAuth"
    assert (await failure(reporter, channel="C-unknown")).reason == "ChannelNotFound"
    assert (await failure(reporter, channel="C-not-in")).reason == "NotInChannel"
    slack.scopes.clear()
    assert (await failure(reporter)).reason == "MissingScope"


@pytest.mark.parametrize(("header", "wait"), [(7, 7.0), (0, 0.0), (3600, 3600.0), (None, 30.0)])
async def test_429_tells_when_to_come_back(
    header: int | None, wait: float, slack: FakeSlack, reporter: SlackReporter
) -> None:
    slack.script(RateLimited(header))
    error = await failure(reporter)
    assert (error.failure, error.reason, error.retry_after) == (Failure.THROTTLED, "RateLimited", wait)
    assert error.arrived_perhaps is False


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_5xx_are_tried_again(status: int, slack: FakeSlack, reporter: SlackReporter) -> None:
    slack.script(ServerError(status))
    error = await failure(reporter)
    assert (error.failure, error.reason) == (Failure.RETRY, "Unreachable")
    assert error.arrived_perhaps is True


HTML = "<html>Sign in to the guest network</html>"
GARBAGE: dict[str, Garbage] = {
    "HTML that claims to be JSON": Garbage(),
    "HTML": Garbage("text/html", HTML),
    "plain text": Garbage("text/plain", "ok"),
    "nothing": Garbage("application/json", ""),
    "an empty text": Garbage("text/plain", ""),
    "a list": Garbage("application/json", "[1, 2]"),
    "an empty list": Garbage("application/json", "[]"),
    "a string": Garbage("application/json", '"ok"'),
    "a number": Garbage("application/json", "42"),
    "null": Garbage("application/json", "null"),
    "true": Garbage("application/json", "true"),
    "an empty object": Garbage("application/json", "{}"),
    "an object of somebody else": Garbage("application/json", '{"status": "ok"}'),
    "ok null": Garbage("application/json", '{"ok": null}'),
    "not ok and nothing else": Garbage("application/json", '{"ok": false}'),
    "an error that is no word": Garbage("application/json", '{"ok": false, "error": {"deep": 1}}'),
    "an error with blanks": Garbage("application/json", '{"ok": false, "error": "you shall not pass"}'),
    "half of it": Garbage("application/json", '{"ok": tru'),
    "something packed": Garbage("application/gzip", "whatever"),
    "something huge": Garbage("text/html", "x" * 3_000_000),
    "something huge and JSON": Garbage("application/json", '["' + "x" * 3_000_000 + '"]'),
    "something deep": Garbage("application/json", "[" * 100_000),
    "no known encoding": Garbage("application/json; charset=klingon", "{}"),
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
async def test_what_is_not_slacks_answer_is_tried_again(
    garbage: Garbage, slack: FakeSlack, reporter: SlackReporter
) -> None:
    slack.script(garbage)
    error = await failure(reporter)
    assert (error.failure, error.reason) == (Failure.RETRY, "Unreachable")
    assert error.arrived_perhaps is True
    assert len(error.message) < 300
    await reporter.deliver(destination(), MESSAGE)
    assert len(slack.messages) == 1


async def test_what_is_not_slacks_answer_is_no_verdict_on_a_token(slack: FakeSlack, reporter: SlackReporter) -> None:
    for what, garbage in GARBAGE.items():
        slack.script(garbage, method="auth.test")
        with pytest.raises(DeliveryError) as caught:
            await reporter.verify(destination())
        assert caught.value.failure is Failure.RETRY, what


async def test_an_endless_error_word_is_not_repeated_whole(slack: FakeSlack, reporter: SlackReporter) -> None:
    slack.script(ApiError("a" * 100_000))
    assert len((await failure(reporter)).message) < 300


@pytest.mark.parametrize(
    "outcome",
    [
        Garbage("text/plain", SECRET),
        Garbage("application/json", f'{{"ok": false, "error": "{SECRET}"}}'),
        Garbage("application/json", f"<html>{SECRET}</html>"),
        Garbage("application/json", f'["{SECRET}"]'),
    ],
    ids=["text", "error", "HTML", "list"],
)
async def test_a_receiver_that_says_the_token_back_is_not_quoted(
    outcome: Garbage, slack: FakeSlack, reporter: SlackReporter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    slack.script(outcome)
    with pytest.raises(DeliveryError) as caught:
        await reporter.deliver(destination(), MESSAGE)
    error = caught.value
    assert SECRET not in "".join(traceback.format_exception(error)) + str(error) + repr(error) + error.message
    assert SECRET not in caplog.text


async def test_an_answer_without_end_is_given_up() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while True:
            writer.write(b" " * 65536)
            await writer.drain()

    async with raw_server(answer) as raw:
        reporter = SlackReporter(f"http://127.0.0.1:{raw.port}/api/", timeout=30.0)
        error = await failure(reporter)
        assert (error.failure, error.arrived_perhaps) == (Failure.RETRY, True)
        await reporter.close()


async def test_a_redirect_is_not_followed(slack: FakeSlack) -> None:
    async with raw_server(status(302, f"Location: {slack.url}chat.postMessage")) as raw:
        reporter = SlackReporter(f"http://127.0.0.1:{raw.port}/api/", timeout=5.0)
        assert (await failure(reporter)).failure is Failure.RETRY
        await reporter.close()
    assert slack.requests == []


# the way there


async def test_it_goes_through_the_environments_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server(OK) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://user:pass@127.0.0.1:{proxy.port}")
        reporter = SlackReporter("http://slack.example.org/api/", timeout=5.0)
        await reporter.deliver(destination(), MESSAGE)
        await reporter.close()
        (request,) = proxy.requests
        assert request.line == "POST http://slack.example.org/api/chat.postMessage HTTP/1.1"
        assert request.headers["proxy-authorization"] == "Basic dXNlcjpwYXNz"


async def test_no_proxy_is_honoured(slack: FakeSlack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    reporter = SlackReporter(slack.url, timeout=5.0)
    await reporter.deliver(destination(), MESSAGE)
    await reporter.close()
    assert len(slack.messages) == 1


async def test_a_proxys_password_is_not_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with raw_server(OK) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:pr0xy-pass@127.0.0.1:{proxy.port}")
        proxies = Proxies(http=f"http://user:pr0xy-pass@127.0.0.1:{proxy.port}")
        reporter = SlackReporter("http://slack.example.org/api/", timeout=5.0, proxies=proxies)
        await reporter.deliver(destination(), MESSAGE)
        await reporter.close()
    assert "pr0xy-pass" not in caplog.text


@pytest.mark.parametrize(
    ("outcome", "stored"), [(DropBefore(), 0), (AcceptThenDrop(), 1)], ids=["before", "after it was stored"]
)
async def test_a_connection_that_breaks_leaves_it_open_and_is_not_repeated_here(
    outcome: Outcome, stored: int, slack: FakeSlack, reporter: SlackReporter
) -> None:
    slack.script(outcome)
    error = await failure(reporter)
    assert (error.failure, error.reason, error.arrived_perhaps) == (Failure.RETRY, "Unreachable", True)
    assert len(slack.messages) == stored
    assert len(slack.requests) == 1


async def test_a_receiver_that_hangs_is_given_up_in_time(slack: FakeSlack) -> None:
    reporter = SlackReporter(slack.url, timeout=0.05)
    slack.script(Hang())
    error = await failure(reporter)
    assert (error.failure, error.reason, error.message) == (
        Failure.RETRY,
        "Unreachable",
        "Slack did not answer in time",
    )
    assert error.arrived_perhaps is True
    await reporter.close()


async def test_a_receiver_that_is_not_there_surely_has_nothing(slack: FakeSlack, reporter: SlackReporter) -> None:
    await slack.stop()
    error = await failure(reporter)
    assert (error.failure, error.reason, error.arrived_perhaps) == (Failure.RETRY, "Unreachable", False)
    await slack.start()
    await reporter.deliver(destination(), MESSAGE)
    assert len(slack.messages) == 1


async def test_a_hang_does_not_hold_up_other_destinations(slack: FakeSlack, reporter: SlackReporter) -> None:
    slack.script(Hang())
    hanging = asyncio.create_task(reporter.deliver(destination(), MESSAGE))
    await slack.wait_for(lambda s: len(s.requests) == 1)
    await reporter.deliver(destination(), MESSAGE)
    assert not hanging.done()
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging


# tokens that no header can carry


@pytest.mark.parametrize(
    "token",
    ["", "xoxb-1\nX-Evil: 1", "xoxb-1\r\n", "xoxb-1\x00", "xoxb-1\x7f", "xoxb\t1", "xoxb-\x85", "xoxb-\u2028"],
    ids=repr,
)
async def test_a_token_that_no_header_can_carry_is_refused_and_nothing_is_sent(
    token: str, slack: FakeSlack, reporter: SlackReporter
) -> None:
    for call in (reporter.deliver(destination(token=token), MESSAGE), reporter.verify(destination(token=token))):
        with pytest.raises(DeliveryError) as caught:
            await call
        assert (caught.value.failure, caught.value.reason) == (Failure.REFUSED, "InvalidAuth")
        assert not token or token not in everything(caught.value)
    assert slack.requests == []


async def test_without_a_token_nothing_is_sent(slack: FakeSlack, reporter: SlackReporter) -> None:
    with pytest.raises(DeliveryError) as caught:
        await reporter.verify(Destination(kind="slack", channel=CHANNEL, credential=Credential()))
    assert caught.value.reason == "InvalidAuth"
    assert slack.requests == []


@pytest.mark.parametrize("token", ["xoxb-…", "xoxb-ü", "tökén", "a b", "xoxb-\U0001f511", "\ud800x"], ids=ascii)
async def test_any_other_string_is_for_slack_to_judge(token: str, slack: FakeSlack, reporter: SlackReporter) -> None:
    error = await failure(reporter, token=token)
    assert (error.failure, error.reason) == (Failure.REFUSED, "InvalidAuth")
    assert slack.messages == []


async def test_at_debug_level_no_token_is_logged(
    slack: FakeSlack, reporter: SlackReporter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("podtracker.reporters.slack", "slack_sdk", "aiohttp", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    slack.script(ApiError("invalid_auth"), Garbage(), ServerError(503), DropBefore())
    for _ in range(4):
        await failure(reporter)
    await reporter.deliver(destination(), MESSAGE)
    assert caplog.records
    assert SECRET not in caplog.text
    assert not [record for record in caplog.records if SECRET in str(vars(record))]


async def test_closing_twice_or_unused_is_fine(reporter: SlackReporter) -> None:
    unused = SlackReporter("http://127.0.0.1:9/api/", timeout=1.0)
    await unused.close()
    await reporter.verify(destination())
    await reporter.close()
    await reporter.close()


# reading back what arrived


@pytest.fixture
def readable(slack: FakeSlack) -> FakeSlack:
    slack.scopes.add("channels:history")
    return slack


async def test_what_arrived_can_be_read_back(readable: FakeSlack, reporter: SlackReporter) -> None:
    readable.script(AcceptThenDrop())
    await failure(reporter)
    await reporter.deliver(destination(), message("another", notification(pod="c")))
    began = readable.messages[0].received_at
    assert await reporter.arrived(destination(), since=began) == frozenset({*IDS, "id-of-Created-c"})


async def test_more_than_a_page_is_read(readable: FakeSlack, reporter: SlackReporter) -> None:
    workspace = readable.workspace
    for number in range(450):
        payload = {"event_type": "pod_tracker", "event_payload": {"ids": [f"id-{number}"]}}
        workspace.post_message(SECRET, {"channel": CHANNEL, "text": "x", "metadata": payload})
    found = await reporter.arrived(destination(), since=readable.messages[0].received_at)
    assert found == frozenset(f"id-{number}" for number in range(450))
    assert len(readable.requests) == 3


async def test_messages_of_others_are_passed_over(readable: FakeSlack, reporter: SlackReporter) -> None:
    for metadata in (
        None,
        {"event_type": "other", "event_payload": {"ids": ["not-ours"]}},
        {"event_type": "pod_tracker", "event_payload": {}},
        {"event_type": "pod_tracker", "event_payload": {"ids": "text"}},
        {"event_type": "pod_tracker", "event_payload": {"ids": [7, None, "ours"]}},
    ):
        readable.workspace.post_message(SECRET, {"channel": CHANNEL, "text": "x", "metadata": metadata})
    assert await reporter.arrived(destination(), since=readable.messages[0].received_at) == frozenset({"ours"})


@pytest.mark.parametrize(
    "code", ["missing_scope", "not_in_channel", "channel_not_found", "invalid_auth", "not_allowed"]
)
async def test_who_may_not_read_cannot_tell(code: str, slack: FakeSlack, reporter: SlackReporter) -> None:
    slack.script(ApiError(code), method="conversations.history")
    assert await reporter.arrived(destination(), since=0.0) is None


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (RateLimited(5), Failure.THROTTLED),
        (ServerError(503), Failure.RETRY),
        (Garbage(), Failure.RETRY),
        (Garbage("application/json", '{"ok": true, "messages": 7}'), Failure.RETRY),
        (Garbage("application/json", '{"ok": true, "messages": [1, null, {"metadata": 5}]}'), None),
        (Garbage("application/json", '{"ok": true, "messages": null, "response_metadata": null}'), None),
        (Garbage("application/json", '{"ok": true, "messages": [], "response_metadata": "x"}'), Failure.RETRY),
    ],
    ids=str,
)
async def test_a_read_that_did_not_work_is_no_answer(
    outcome: Outcome, kind: Failure | None, slack: FakeSlack, reporter: SlackReporter
) -> None:
    slack.script(outcome, method="conversations.history")
    if kind is None:
        assert await reporter.arrived(destination(), since=0.0) == frozenset()
        return
    with pytest.raises(DeliveryError) as caught:
        await reporter.arrived(destination(), since=0.0)
    assert caught.value.failure is kind
    assert SECRET not in everything(caught.value)


async def test_a_history_without_end_is_read_no_further_than_is_reasonable(
    slack: FakeSlack, reporter: SlackReporter
) -> None:
    endless = Garbage("application/json", '{"ok": true, "messages": [], "response_metadata": {"next_cursor": "x"}}')
    slack.script(*[endless] * 50, method="conversations.history")
    await reporter.arrived(destination(), since=0.0)
    assert len(slack.requests) <= 10


async def test_nothing_of_a_message_that_was_given_up_is_sent_later() -> None:
    """Else it would arrive beside the second attempt, as soon as a network that swallowed it lets it through."""
    ends: list[type[Exception] | None] = []
    async with raw_server(silent_until(ends)) as raw:
        reporter = SlackReporter(f"http://127.0.0.1:{raw.port}/api/", timeout=1.0)
        assert (await failure(reporter)).reason == "Unreachable"
        await eventually(lambda: ends, what="the end of the connection")
        await reporter.close()
    assert ends == [ConnectionResetError]
