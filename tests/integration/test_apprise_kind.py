# SPDX-License-Identifier: Apache-2.0
"""Apprise: off unless the operator names URL schemes, then only those, and never to private places that it does not."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Final

import pytest

from support.receivers import OK, RawServer, raw_server, status
from support.scene import Scene
from support.waiting import eventually

APPRISE: Final = {"kind": "apprise"}
PATIENT: Final = {"WEBHOOK_TIMEOUT": "10"}
"""Apprise's own process has to start first, which takes its time on a busy machine."""
ALLOWED: Final = {"APPRISE_SCHEMES": "json", "EGRESS_ALLOW": "127.0.0.0/8", **PATIENT}


@pytest.fixture
async def receiver() -> AsyncIterator[RawServer]:
    """Something that Apprise can post JSON to."""
    async with raw_server(OK) as server:
        yield server


def texts(receiver: RawServer) -> list[str]:
    return [json.loads(request.body)["message"] for request in receiver.requests]


async def test_off_by_default(scene: Scene, receiver: RawServer) -> None:
    """The condition says who can allow it; nothing is sent. Allowed after a restart, what waited arrives."""
    await scene.put_secret(url=f"json://127.0.0.1:{receiver.port}/")
    operator = await scene.operate()
    await scene.track(**APPRISE)
    condition = await scene.condition("ReporterReady", "False", "KindDisabled")
    assert "APPRISE_SCHEMES" in condition["message"]
    assert (await scene.status())["status"] == "Degraded"
    await scene.run("nginx")
    await scene.waiting(operator, 1)
    await operator.stop()
    assert receiver.connections == 0

    operator = await scene.operate(**ALLOWED)
    await eventually(lambda: texts(receiver) == ["Pod nginx was created"], what="what waited")
    await scene.condition("ReporterReady", "True", "Delivered")
    await scene.counted(status="Active", delivered=1, pending=0)
    begin = time.monotonic()
    await operator.stop()
    assert time.monotonic() - begin < 8, "Apprise's own process must not hold up the end"


async def test_delivers(scene: Scene, receiver: RawServer) -> None:
    """Single messages, own texts, digests and tests, to the URL of the Secret with what is in it; failures retried."""
    password = scene.new_token("apprise-")
    await scene.put_secret(url=f"json://user:{password}@127.0.0.1:{receiver.port}/path?method=POST")
    await scene.operate(**ALLOWED, DIGEST_INTERVAL="4")
    await scene.track(**APPRISE, message="<b>{{ pod.name }}</b> is new", test="one")
    await scene.condition("ReporterVerified", "True", "TestDelivered")
    receiver.answer = status(500)
    await scene.run("nginx")
    await eventually(lambda: len(receiver.requests) >= 2, what="a refused attempt")
    condition = await scene.condition("ReporterReady", "False", "Rejected")
    assert password not in json.dumps(await scene.status())
    assert "500" in condition["message"]
    receiver.answer = OK
    await scene.condition("ReporterReady", "True", "Delivered")
    await scene.track("digest", **APPRISE, selector={"matchLabels": {"app": "web"}}, grouping="Digest")
    for pod in ("first", "second"):
        await scene.run(pod, app="web")
    digest = "2 pods were created: first, second"
    await eventually(lambda: digest in texts(receiver), what=digest)
    own = "<b>nginx</b> is new"
    test = f"Test message of PodTracker {scene.namespace}/pod-tracker: this receiver works"
    assert set(texts(receiver)) == {test, own, digest}
    assert {request.line for request in receiver.requests} == {"POST /path HTTP/1.1"}
    assert all(request.headers["authorization"].startswith("Basic ") for request in receiver.requests)


async def test_refused_urls(scene: Scene, receiver: RawServer) -> None:
    """A scheme that is not allowed and a private address that is not are told apart; nothing is connected to."""
    refusals = {
        f"xml://127.0.0.1:{receiver.port}/": ("SchemeNotAllowed", "json"),
        f"json://127.0.0.1:{receiver.port}/": ("EgressForbidden", "EGRESS_ALLOW"),
    }
    operator = await scene.operate(APPRISE_SCHEMES="json", **PATIENT)
    await scene.put_secret(url=next(iter(refusals)))
    await scene.track(**APPRISE)
    await scene.run("nginx")
    for url, (reason, word) in refusals.items():
        await scene.put_secret(url=url)
        condition = await scene.condition("ReporterReady", "False", reason)
        assert word in condition["message"]
        assert url not in condition["message"]
    await scene.waiting(operator, 1)
    assert receiver.connections == 0
