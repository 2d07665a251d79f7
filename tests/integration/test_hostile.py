# SPDX-License-Identifier: Apache-2.0
"""Tenants who try to break out, leak, hang or exhaust: each gets a clear answer, and the operator stays as it was."""

from __future__ import annotations

import json
from typing import Final

from support.install import OPERATOR_ACCOUNT, OPERATOR_NAMESPACE
from support.manifests import Json, make_tracker
from support.receivers import status
from support.scene import Scene
from support.waiting import eventually
from support.webhooks import hook
from templates.hostile_texts import BOUNDED, REFUSED

ROOM: Final = 20 * 1024 * 1024
"""Bytes by which the operator may grow."""
URLS: Final = (
    "http://169.254.169.254/latest/meta-data/",
    "http://[::ffff:169.254.169.254]/",
    "http://[fd00:ec2::254]/",
    "http://2852039166/",
    "http://0x7f.1/",
    "http://10.0.0.1/",
    "http://[64:ff9b::a00:1]/",
    "http://localhost.:1/",
    "http://user:password@example.org/",
    "file:///etc/passwd",
    "gopher://example.org/",
    "http://",
    "not a URL",
    "http://example.org/" + "a" * 100_000,
    "http://example.org/\r\nX-Injected: 1",
)
"""What may stand under `url` in somebody's Secret."""
_GRANT: Final = ("create", "rolebinding", "reads-secrets", "--clusterrole=pod-tracker-secret-reader")
ANSWERS: Final = {
    "redirect": status(302, "Location: http://169.254.169.254/"),
    "a great body": status(200, body=b"x" * 5_000_000),
    "a great error": status(500, body=b"x" * 5_000_000),
    "many headers": status(500, *(f"X-{number}: {'y' * 200}" for number in range(200))),
    "nonsense": status(999),
}


async def test_hostile_tenants_change_nothing(scene: Scene) -> None:
    """Texts, Secrets and receivers: conditions say what is wrong, nothing leaks, and memory stays."""
    operator = await scene.operate(WEBHOOK_TIMEOUT="2")
    await scene.put_secret(token=scene.token)
    await scene.track("first", message=next(iter(BOUNDED.values())))
    await scene.run("nginx")
    await scene.counted(tracker="first", delivered=1)
    before = operator.resident

    texts = {**REFUSED, **BOUNDED}
    for number, text in enumerate(texts.values()):
        body = make_tracker(f"text-{number}", pod="later", message=text)
        if len(text) <= 2000:  # longer ones are the API server's
            await scene.kube.create(body, scene.namespace)
    await scene.kubectl(*_GRANT, "-n", scene.namespace, f"--serviceaccount={OPERATOR_NAMESPACE}:{OPERATOR_ACCOUNT}")
    for number, url in enumerate(URLS):
        await scene.put_secret(f"pod-tracker-url-{number}", url=url)
        await scene.kube.create(
            make_tracker(f"url-{number}", pod="later", kind="webhook", secret=f"pod-tracker-url-{number}"),
            scene.namespace,
        )
    await eventually(lambda: _all_judged(scene), what="a verdict on every tracker")
    await scene.run("later")
    await eventually(lambda: _texts_told(scene, len(BOUNDED)), what="the texts that are allowed")

    assert operator.resident - before < ROOM, f"grew by {operator.resident - before} bytes"
    events = await scene.kube.list("Event", scene.namespace)
    shown = json.dumps([await scene.kube.list("PodTracker", scene.namespace), events])
    assert "user:password" not in operator.output() + shown
    assert "root:" not in operator.output() + shown
    assert await operator.probe("/healthz") == 200


async def _all_judged(scene: Scene) -> bool:
    trackers = await scene.kube.list("PodTracker", scene.namespace)
    return all(_judged(tracker) for tracker in trackers)


def _judged(tracker: Json) -> bool:
    kinds = {entry["type"] for entry in tracker.get("status", {}).get("conditions", ())}
    return "ReporterReady" in kinds and ("message" not in tracker["spec"] or "MessageValid" in kinds)


async def _texts_told(scene: Scene, least: int) -> bool:
    trackers = await scene.kube.list("PodTracker", scene.namespace)
    told = [tracker for tracker in trackers if tracker.get("status", {}).get("delivered")]
    return len(told) >= least


async def test_hostile_receivers_change_nothing(scene: Scene) -> None:
    """What a webhook answers is bounded in size and time, and shows nowhere."""
    operator = await scene.operate(WEBHOOK_TIMEOUT="2", EGRESS_ALLOW="127.0.0.0/8", RETRY_BACKOFF="0.2")
    async with hook() as receiver:
        await scene.put_secret(url=receiver.url())
        await scene.track(kind="webhook", selector={})
        await scene.run("first")
        await receiver.told(("Created", "first"))
        before = operator.resident
        for number, answer in enumerate(ANSWERS.values()):
            receiver.script(answer)
            await scene.run(f"pod-{number}")
            await receiver.server.wait_for(number + 2)
            await scene.edit({"muteUntil": f"2020-01-01T00:00:{number:02}Z"})
        assert operator.resident - before < ROOM, f"grew by {operator.resident - before} bytes"
        assert "169.254" not in operator.output()
    assert await operator.probe("/healthz") == 200
