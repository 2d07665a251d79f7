# SPDX-License-Identifier: Apache-2.0
"""Receivers that fail: what is tried again, when, and that nothing is lost or told twice on the way."""

from __future__ import annotations

import itertools

from devcluster import ports
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
from support.manifests import CHANNEL, OTHER_CHANNEL
from support.scene import Scene
from support.waiting import eventually

TRANSIENT: dict[str, Outcome] = {
    "internal_error": ApiError("internal_error"),
    "fatal_error": ApiError("fatal_error"),
    "service_unavailable": ApiError("service_unavailable"),
    "request_timeout": ApiError("request_timeout"),
    "500": ServerError(500),
    "503": ServerError(503),
    "not JSON": Garbage(),
    "HTML": Garbage(content_type="text/html"),
    "no reply": Hang(),
    "cut connection": DropBefore(),
}


async def test_transient_failures_are_tried_again(scene: Scene, slack: FakeSlack) -> None:
    """Whatever a receiver's bad moment looks like, the message goes out once, a backoff later."""
    await scene.operate(SLACK_TIMEOUT="0.5", RETRY_BACKOFF="0.2")
    expected: list[str] = []
    for number, (name, outcome) in enumerate(TRANSIENT.items()):
        pod = f"pod-{number}"
        slack.script(outcome)
        await scene.track(pod, pod=pod)
        await scene.run(pod)
        expected.append(f"Pod {pod} was created")
        await scene.delivered(*expected)
        first, second = [post for post in scene.posts() if post.body["text"] == expected[-1]]
        assert first.outcome == outcome, name
        assert second.received_at - first.received_at >= 0.1, name
    await scene.fence()
    assert scene.texts() == expected
    assert len(scene.posts()) == 2 * len(expected)


async def test_backoff_grows(scene: Scene, slack: FakeSlack) -> None:
    """The waits between tries grow up to their limit."""
    await scene.operate(RETRY_BACKOFF="0.05", RETRY_BACKOFF_MAX="0.8")
    slack.script(*[ServerError(503)] * 6)
    await scene.track()
    await scene.run("nginx")
    await scene.delivered("Pod nginx was created")
    times = [post.received_at for post in scene.posts()]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(gaps) == 6
    assert gaps[0] < gaps[2] < gaps[4]
    assert gaps[0] >= 0.02
    assert max(gaps) < 1.5


async def test_lost_reply_repeats_under_the_same_id(scene: Scene, slack: FakeSlack) -> None:
    """A message that arrived without its reply may come twice, but never under a new id."""
    await scene.operate()
    slack.script(AcceptThenDrop())
    await scene.track()
    await scene.run("nginx")
    await scene.condition("ReporterReady", "True", "Delivered")
    await scene.fence()
    assert 1 <= len(scene.messages()) <= 2
    assert len(set(scene.occurrences())) == 1
    assert (await scene.counted(delivered=1, pending=0))["dropped"] == 0


async def test_retry_after_is_obeyed(scene: Scene, slack: FakeSlack) -> None:
    """429 waits as long as `Retry-After` says, only for its own channel, and shows in the condition."""
    await scene.operate()
    slack.script(RateLimited(retry_after=2))
    await scene.track()
    await scene.run("nginx")
    await scene.condition("ReporterReady", "False", "RateLimited")
    await scene.track("elsewhere", pod="elsewhere", channel=OTHER_CHANNEL)
    await scene.run("elsewhere")
    await scene.delivered("Pod elsewhere was created", channel=OTHER_CHANNEL)
    assert scene.texts(CHANNEL) == []

    await scene.delivered("Pod nginx was created", channel=CHANNEL)
    refused, accepted = scene.posts(CHANNEL)
    assert accepted.received_at - refused.received_at >= 2
    await scene.condition("ReporterReady", "True", "Delivered")


async def test_retry_after_twice(scene: Scene, slack: FakeSlack) -> None:
    """A second 429 waits again."""
    await scene.operate()
    slack.script(RateLimited(retry_after=1), RateLimited(retry_after=1))
    await scene.track()
    await scene.run("nginx")
    await scene.delivered("Pod nginx was created")
    times = [post.received_at for post in scene.posts()]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(gaps) == 2
    assert min(gaps) >= 1


async def test_pace_is_kept(scene: Scene, slack: FakeSlack) -> None:
    """A channel with a limit of its own never has to refuse when the operator's pace is below it."""
    slack.pace(limit_per_second=20, burst=3)
    await scene.operate(SLACK_RATE="10", SLACK_BURST="2")
    expected = []
    for number in range(8):
        await scene.track(f"t-{number}", pod=f"pod-{number}")
    for number in range(8):
        await scene.run(f"pod-{number}")
        expected.append(f"Pod pod-{number} was created")
    await scene.delivered(*expected)
    assert len(scene.posts()) == 8
    times = sorted(post.received_at for post in scene.posts())
    assert times[-1] - times[0] >= 0.5


async def test_burst_becomes_a_digest(scene: Scene, slack: FakeSlack) -> None:
    """What piles up while the receiver says "later" comes as a digest: every pod told, none twice."""
    await scene.operate(SLACK_RATE="1", SLACK_BURST="1")
    slack.script(RateLimited(retry_after=1))
    await scene.track()
    await scene.handled()
    for _ in range(5):
        await scene.run("nginx")
        await scene.remove("nginx")

    await eventually(lambda: len(scene.occurrences()) >= 5, what="five occurrences")
    await scene.fence()
    assert len(scene.occurrences()) == 5
    assert len(set(scene.occurrences())) == 5
    assert len(scene.messages()) < 5
    assert any(text.endswith("pods were created: " + ", ".join(["nginx"] * int(text[0]))) for text in scene.texts())


async def test_slack_away_and_back(scene: Scene, slack: FakeSlack) -> None:
    """Nobody listens at Slack's address: the condition says so, and what waited arrives once it is back."""
    await scene.operate()
    await scene.track()
    await scene.handled()
    await slack.stop()
    await scene.run("nginx")
    condition = await scene.condition("ReporterReady", "False", "Unreachable")
    assert condition["message"]
    assert (await scene.status())["status"] == "Degraded"
    await slack.start()
    await scene.delivered("Pod nginx was created")
    await scene.condition("ReporterReady", "True", "Delivered")
    await scene.fence()
    assert len(scene.messages()) == 1


async def test_unreachable_shows_without_any_pod(scene: Scene) -> None:
    """A wrong SLACK_API_URL shows at once."""
    await scene.operate(SLACK_API_URL=f"http://127.0.0.1:{ports.choose(1)[0]}/api/")
    await scene.track()
    await scene.condition("ReporterReady", "False", "Unreachable")
    await scene.condition("Ready", "False", "Unreachable")


async def test_hopeless_message_does_not_block_the_others(scene: Scene, slack: FakeSlack) -> None:
    """A message that can never be accepted is dropped, counted and told; the next ones go out."""
    await scene.operate()
    slack.script(ApiError("no_text"), ApiError("msg_too_long"))
    await scene.track()
    for posts in (1, 2, 3):
        await scene.run("nginx")
        await _posted(scene, posts)
        await scene.remove("nginx")
    await scene.delivered("Pod nginx was created")
    status = await scene.counted(dropped=2, delivered=1, pending=0)
    assert "lastError" not in status
    assert len(scene.posts()) == 3


async def _posted(scene: Scene, count: int) -> None:
    await eventually(lambda: len(scene.posts()) == count, what=f"{count} posts")
