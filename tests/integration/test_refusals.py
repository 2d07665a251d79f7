# SPDX-License-Identifier: Apache-2.0
"""Receivers that refuse: the tracker says why, nobody hammers, and what waited arrives once somebody mends it."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from fakeslack.outcomes import ApiError
from fakeslack.server import FakeSlack
from support.manifests import CHANNEL, OTHER_CHANNEL, REPORTER_SECRET
from support.scene import Scene

MESSAGE = "Pod nginx was created"


def _deny_channel(slack: FakeSlack) -> None:
    slack.channels.discard(CHANNEL)


def _deny_membership(slack: FakeSlack) -> None:
    slack.channel_members.discard(CHANNEL)


def _deny_scope(slack: FakeSlack) -> None:
    slack.scopes.discard("chat:write")


@pytest.mark.parametrize(
    ("deny", "reason"),
    [(_deny_channel, "ChannelNotFound"), (_deny_membership, "NotInChannel")],
    ids=["channel_not_found", "not_in_channel"],
)
async def test_refused_channel(scene: Scene, slack: FakeSlack, deny: Callable[[FakeSlack], None], reason: str) -> None:
    """One try, a condition that stays, no hammering; a new channel in the spec and the message arrives, once."""
    deny(slack)
    operator = await scene.operate()
    await scene.track()
    await scene.run("nginx")
    condition = await scene.condition("ReporterReady", "False", reason)
    assert condition["message"]
    await scene.condition("Ready", "False", reason)
    assert (await scene.status())["status"] == "Degraded"

    # Other places go on meanwhile, and more pods of the refused one change nothing for it.
    await scene.remove("nginx")
    await scene.run("nginx")
    for _ in range(3):
        await scene.fence(channel=OTHER_CHANNEL)
    await scene.secret_reads()
    await scene.fence(channel=OTHER_CHANNEL)
    assert len(scene.posts(CHANNEL)) == 1
    await scene.condition("ReporterReady", "False", reason)
    await scene.waiting(operator, 2)
    assert reason in (await scene.status())["lastError"]

    await scene.edit({"reporter": {"channel": OTHER_CHANNEL}})
    await scene.waiting(operator, 0)
    await scene.condition("ReporterReady", "True", "Delivered")
    await scene.fence(channel=OTHER_CHANNEL)
    assert len(set(scene.occurrences())) == len(scene.occurrences()) == 2
    assert len(scene.posts(CHANNEL)) == 1


REFUSED_POSTS = {
    "missing_scope": "MissingScope",
    "is_archived": "ChannelNotFound",
    "invalid_auth": "InvalidAuth",
    "token_revoked": "InvalidAuth",
    "account_inactive": "InvalidAuth",
    "some_code_nobody_knows": "Rejected",
}


async def test_refused_posts(scene: Scene, slack: FakeSlack) -> None:
    """A refusal that only shows when posting: one try, the condition names it, and a spec edit tries again."""
    await scene.operate()
    names = {code: code.replace("_", "-") for code in REFUSED_POSTS}
    for code, name in names.items():
        slack.script(ApiError(code))
        await scene.track(name, pod=name, channel=_own_channel(slack, code))
        await scene.run(name)
        await scene.condition("ReporterReady", "False", REFUSED_POSTS[code], tracker=name)
        assert code in (await scene.status(name))["lastError"]
    await scene.secret_reads(times=8)
    assert [post.outcome for post in scene.posts()] == [ApiError(code) for code in REFUSED_POSTS]

    for name in names.values():
        await scene.edit({"reporter": {"channel": OTHER_CHANNEL}}, tracker=name)
    await scene.delivered(*(f"Pod {name} was created" for name in names.values()), channel=OTHER_CHANNEL)
    await scene.fence(channel=OTHER_CHANNEL)
    assert len(scene.messages()) == len(names)


def _own_channel(slack: FakeSlack, code: str) -> str:
    channel = f"C{code.upper().replace('_', '')}"
    slack.channels.add(channel)
    slack.channel_members.add(channel)
    return channel


@pytest.mark.parametrize("revoked", [False, True], ids=["invalid_auth", "token_revoked"])
async def test_bad_token_shows_without_any_pod(scene: Scene, slack: FakeSlack, *, revoked: bool) -> None:
    """A token that Slack does not take shows within seconds, and nothing is posted with it; a new one in the Secret
    sends what waited.
    """
    bad, good = scene.new_token(), scene.new_token()
    if revoked:
        slack.tokens.add(bad)
        slack.revoked.add(bad)
    await scene.put_secret(token=bad)
    operator = await scene.operate()
    await scene.track()
    await scene.condition("ReporterReady", "False", "InvalidAuth", within=10)
    await scene.run("nginx")
    await scene.waiting(operator, 1)
    await scene.secret_reads()
    assert scene.posts() == []
    assert len([request for request in slack.requests if request.method == "auth.test"]) == 1

    slack.tokens.add(good)
    await scene.put_secret(token=good)
    [message] = await scene.delivered(MESSAGE)
    assert message.token == good
    await scene.condition("ReporterReady", "True", "Delivered")
    await scene.fence()
    assert len(scene.posts()) == 1


async def test_bad_inline_token(scene: Scene, slack: FakeSlack) -> None:
    """An inline token that Slack does not take; a new one in the spec sends what waited."""
    bad, good = scene.new_token(), scene.new_token("any-string-")
    await scene.operate()
    await scene.track(key=bad)
    await scene.condition("ReporterReady", "False", "InvalidAuth")
    await scene.condition("CredentialsSecure", "False", "InlineKey")
    await scene.run("nginx")
    slack.tokens.add(good)
    await scene.edit({"reporter": {"key": good}})
    [message] = await scene.delivered(MESSAGE)
    assert message.token == good
    await scene.edit({"reporter": {"key": None, "keySecretRef": {"name": REPORTER_SECRET}}})
    await scene.condition("CredentialsSecure", "True", "SecretRef")


async def test_any_string_may_stand_in_key(scene: Scene) -> None:
    """A key that can be no token is refused as a token, and the operator stays well."""
    await scene.operate()
    keys = ["xoxb-…", "two words", "line\nbreak", "\N{SNOWMAN}", "x" * 4096, "'", "\u0000nul"]
    for number, key in enumerate(keys):
        await scene.track(f"t-{number}", key=key)
    for number in range(len(keys)):
        await scene.condition("ReporterReady", "False", "InvalidAuth", tracker=f"t-{number}")
    await scene.fence()


async def test_token_mended_at_slack(scene: Scene, slack: FakeSlack) -> None:
    """A token that starts to work without any change here works after BLOCKED_RETRY at the latest."""
    slack.tokens.discard(scene.token)
    await scene.operate(BLOCKED_RETRY="1")
    await scene.track()
    await scene.condition("ReporterReady", "False", "InvalidAuth")
    await scene.run("nginx")
    slack.tokens.add(scene.token)
    await scene.delivered(MESSAGE)


async def test_bot_invited_later(scene: Scene, slack: FakeSlack) -> None:
    """A bot that is invited later delivers after BLOCKED_RETRY without any edit, and not before it tried as rarely."""
    _deny_membership(slack)
    await scene.operate(BLOCKED_RETRY="1")
    await scene.track()
    await scene.run("nginx")
    await scene.condition("ReporterReady", "False", "NotInChannel")
    slack.channel_members.add(CHANNEL)
    await scene.delivered(MESSAGE)
    times = [post.received_at for post in scene.posts()]
    assert all(later - earlier >= 0.95 for earlier, later in itertools.pairwise(times))


async def test_scope_granted_later(scene: Scene, slack: FakeSlack) -> None:
    """A scope that is missing is told with the code of Slack; granted, the message arrives."""
    _deny_scope(slack)
    await scene.operate(BLOCKED_RETRY="1")
    await scene.track()
    await scene.run("nginx")
    await scene.condition("ReporterReady", "False", "MissingScope")
    slack.scopes.add("chat:write")
    await scene.delivered(MESSAGE)
