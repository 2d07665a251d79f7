# SPDX-License-Identifier: Apache-2.0
"""No token in anything that a user, an administrator or a log collector gets to see, whatever goes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakeslack.outcomes import ApiError, Garbage, Hang, Outcome, ServerError
from fakeslack.server import FakeSlack
from support.evidence import Evidence
from support.manifests import CHANNEL, OTHER_CHANNEL
from support.scene import Scene

ECHO = "Pod echo was created"


@pytest.mark.parametrize("form", ["text", "json"])
async def test_full_run_shows_no_token(scene: Scene, slack: FakeSlack, evidence: Evidence, form: str) -> None:
    """Everything that can go well or wrong with a token, at LOG_LEVEL=debug: none in logs, Events, status, metrics."""
    operator = await scene.operate(LOG_FORMAT=form, LOG_LEVEL="debug", SLACK_TIMEOUT="0.5")
    for act in (_good_tokens, _refused_tokens, _echoing_receiver, _unreadable_secret, _receiver_away):
        await act(scene, slack)
    evidence.keep("metrics.txt", await operator.exposition())
    await operator.stop()
    await evidence.keep_namespace(scene.kube, scene.namespace)

    said = operator.output()
    assert "delivery failed" in said
    assert len(await scene.events("inline-refused")) == 1
    assert evidence.leaks() == []


async def _good_tokens(scene: Scene, slack: FakeSlack) -> None:
    """Inline and in a Secret, with Slack's prefix and without."""
    for name, prefix in (("inline-slack", "xoxb-"), ("inline-any", "hush-")):
        token = scene.new_token(prefix)
        slack.tokens.add(token)
        await scene.track(name, pod=name, key=token)
        await scene.run(name)
    rotated = scene.new_token("hush-")
    slack.tokens.add(rotated)
    await scene.track("secret", pod="secret")
    await scene.run("secret")
    await scene.delivered(*(f"Pod {name} was created" for name in ("inline-slack", "inline-any", "secret")))
    await scene.put_secret(token=rotated)
    await scene.secret_reads()


async def _refused_tokens(scene: Scene, slack: FakeSlack) -> None:
    await scene.track("inline-refused", key=scene.new_token("hush-"))
    await scene.condition("ReporterReady", "False", "InvalidAuth", tracker="inline-refused")
    odd = scene.new_token("hu sh\n")
    await scene.track("inline-odd", key=odd)
    await scene.condition("ReporterReady", "False", "InvalidAuth", tracker="inline-odd")
    revoked = scene.new_token()
    slack.tokens.add(revoked)
    await scene.track("inline-revoked", pod="inline-revoked", key=revoked)
    await scene.condition("ReporterReady", "True", "TokenAccepted", tracker="inline-revoked")
    slack.revoked.add(revoked)
    await scene.run("inline-revoked")
    await scene.condition("ReporterReady", "False", "InvalidAuth", tracker="inline-revoked")
    await scene.edit({"reporter": {"channel": OTHER_CHANNEL}}, tracker="inline-refused")
    await scene.handled("inline-refused")


async def _echoing_receiver(scene: Scene, slack: FakeSlack) -> None:
    """A gateway that throws the request back in its errors."""
    token = scene.new_token("hush-")
    slack.tokens.add(token)
    await scene.track("echo", pod="echo", key=token)
    await scene.condition("ReporterReady", "True", "TokenAccepted", tracker="echo")
    echoes: list[Outcome] = [
        Garbage(body=f"no such token: {token}"),
        Garbage(content_type="text/html", body=f"<html>{token}</html>"),
        ApiError("internal_error", {"token": token, "response_metadata": {"messages": [f"[ERROR] {token}"]}}),
        ServerError(503),
        Hang(),
        ApiError(f"invalid {token}"),
        ApiError("not_understood", {"detail": token}),
    ]
    slack.script(*echoes)
    await scene.run("echo")
    await slack.wait_for(
        lambda fake: len([one for one in fake.requests if one.body.get("text", "") == ECHO]) >= len(echoes)
    )
    await scene.condition("ReporterReady", "False", "Rejected", tracker="echo")


async def _unreadable_secret(scene: Scene, _slack: FakeSlack) -> None:
    await scene.track("missing", secret="missing")
    await scene.condition("ReporterReady", "False", "SecretForbidden", tracker="missing")
    await scene.put_secret(other=scene.new_token("hush-"))
    await scene.track("no-key", channel=CHANNEL)
    await scene.condition("ReporterReady", "False", "SecretKeyMissing", tracker="no-key")


async def _receiver_away(scene: Scene, slack: FakeSlack) -> None:
    token = scene.new_token("hush-")
    slack.tokens.add(token)
    await scene.track("away", pod="away", key=token)
    await scene.condition("ReporterReady", "True", "TokenAccepted", tracker="away")
    await slack.stop()
    await scene.run("away")
    await scene.condition("ReporterReady", "False", "Unreachable", tracker="away")
    await slack.start()
    await scene.condition("ReporterReady", "True", "Delivered", tracker="away")


async def test_search_finds_what_it_should(evidence: Evidence, tmp_path: Path) -> None:
    """The search of the tests above and of the last test would see a token: whole, in part, or in base64."""
    hidden = Evidence(tmp_path)
    token = hidden.new_token("hush-")
    assert hidden.leaks() == []
    hidden.keep("harmless.txt", "hush-")
    assert hidden.leaks() == []
    hidden.keep("whole.txt", f"key={token}")
    hidden.keep("part.txt", f"key={token[10:]}")
    hidden.keep("base64.txt", hidden.encoded(token))
    assert [leak.partition(":")[0] for leak in hidden.leaks()] == ["001-whole.txt", "002-part.txt", "003-base64.txt"]
    assert evidence.folder != tmp_path
