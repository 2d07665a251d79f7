# SPDX-License-Identifier: Apache-2.0
"""Trying a tracker on the object: one test message for each nonce, and a condition that says what became of it."""

from __future__ import annotations

import asyncio
import os
import subprocess

from fakeslack.server import FakeSlack
from support.kubelet import stamp
from support.manifests import OTHER_CHANNEL, REPORTER_SECRET
from support.process import Operator
from support.scene import Scene


def _text(scene: Scene, tracker: str = "pod-tracker") -> str:
    return f"Test message of PodTracker {scene.namespace}/{tracker}: this receiver works"


async def test_once_per_nonce(scene: Scene) -> None:
    """`kubectl annotate` sends one message; the same nonce again does nothing, after a restart neither; another does.

    A suspended tracker is tested all the same, and a test is no occurrence: no counter counts it.
    """
    operator = await scene.operate()
    await scene.track(suspend=True)
    await scene.handled()
    annotate = ("annotate", "pt", "pod-tracker", "-n", scene.namespace, "--overwrite")
    await scene.kubectl(*annotate, "pod-tracker.lost.backend/test=one")
    await scene.delivered(_text(scene))
    condition = await scene.condition("ReporterVerified", "True", "TestDelivered")
    first = (await scene.status())["lastTest"]
    assert first["nonce"] == "one"
    assert first["time"] >= condition["lastTransitionTime"]

    await scene.edit({"muteUntil": stamp(0)})
    await scene.handled()
    await scene.kubectl(*annotate, "pod-tracker.lost.backend/test=one", "note=changed")
    await operator.restart()
    await scene.kubectl(*annotate, "pod-tracker.lost.backend/test=one", "note=again")
    await scene.track("born-with-it", test="one")
    await scene.delivered(_text(scene), _text(scene, "born-with-it"))
    await scene.fence()
    assert len(scene.messages()) == 2
    status = await scene.status()
    assert status["lastTest"] == first
    assert (status["delivered"], status["pending"], status["suppressed"]) == (0, 0, 0)

    await scene.ask_test("two")
    await scene.delivered(*[_text(scene)] * 2, _text(scene, "born-with-it"))
    await scene.condition("ReporterVerified", "True", "TestDelivered")


async def test_receivers_that_do_not_work(scene: Scene, slack: FakeSlack) -> None:
    """A test that cannot be delivered says why at once and is over; the next one, of another nonce, tries anew."""
    await scene.operate()
    slack.channel_members.discard(OTHER_CHANNEL)
    await scene.track("channel", channel=OTHER_CHANNEL, test="one")
    await scene.track("secret", secret_key="nothing", test="one")
    failed = await scene.condition("ReporterVerified", "False", "NotInChannel", tracker="channel")
    assert "/invite" in failed["message"]
    failed = await scene.condition("ReporterVerified", "False", "SecretKeyMissing", tracker="secret")
    assert REPORTER_SECRET in failed["message"]
    assert (await scene.status("secret"))["lastTest"]["nonce"] == "one"

    slack.channel_members.add(OTHER_CHANNEL)
    await scene.ask_test("two", tracker="channel")
    await scene.edit({"reporter": {"keySecretRef": {"key": "token"}}}, tracker="secret")
    await scene.ask_test("two", tracker="secret")
    for name in ("channel", "secret"):
        await scene.condition("ReporterVerified", "True", "TestDelivered", tracker=name)
    await scene.delivered(_text(scene, "channel"), _text(scene, "secret"))


async def test_command(scene: Scene, slack: FakeSlack) -> None:
    """`podtracker test NAME -n NAMESPACE` waits for the verdict: status 0 where it arrived, 1 and the reason if not."""
    await scene.operate()
    await scene.track()
    done = await _podtracker(scene, "test", "pod-tracker", "-n", scene.namespace)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("TestDelivered")
    await scene.delivered(_text(scene))
    slack.channels.clear()
    done = await _podtracker(scene, "test", "pod-tracker", "-n", scene.namespace)
    assert (done.returncode, done.stdout) == (1, "")
    assert "ChannelNotFound" in done.stderr


async def _podtracker(scene: Scene, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "KUBECONFIG": str(scene.cluster.kubeconfig)}
    return await asyncio.to_thread(
        subprocess.run,
        Operator.command(*words),
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
