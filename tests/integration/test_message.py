# SPDX-License-Identifier: Apache-2.0
"""A tracker's own text: what it can tell, what becomes of a wrong one, and that nothing in it can be smuggled in."""

from __future__ import annotations

import pytest

from fakeslack.server import FakeSlack
from support.kube import ApiError
from support.kubelet import ended, now, running
from support.manifests import CHANNEL, OTHER_CHANNEL, make_pod, make_workload
from support.scene import Scene
from support.waiting import eventually

MENTION = "<!channel> & <https://example.com|look>"
ESCAPED = "&lt;!channel&gt; &amp; &lt;https://example.com|look&gt;"


async def test_own_text(scene: Scene) -> None:
    """Pod, labels, event, tracker, workload and cluster, with filters and `if`; other trackers keep the default."""
    await scene.operate(CLUSTER_NAME="prod")
    text = (
        "{{ pod.labels['app'] | upper }} of {{ pod.labels['team'] | default('nobody') }} in {{ cluster }}:"
        " {{ pod.namespace }}/{{ pod.name }} {{ event.type | lower }}"
        "{% if event.exitCode != none %} with {{ event.exitCode }} in {{ event.container }}{% endif %}"
        " ({{ tracker.name }}, {{ workload.kind }} {{ workload.name }})"
    )
    meant = {"kind": "ReplicaSet", "name": "shop"}
    await scene.track("own", workloadRef=meant, events=["Created", "Restarted"], message=text)
    await scene.track("default", workloadRef=meant, channel=OTHER_CHANNEL)
    await scene.kube.create(make_workload("ReplicaSet", "shop"), scene.namespace)
    [pod] = await scene.pods("shop")
    await scene.kubelet.report(pod, running(now()), last=ended(now(), 3, "Error"), restarts=1)
    begin = f"SHOP of nobody in prod: {scene.namespace}/{pod}"
    await scene.delivered(
        f"{begin} created (own, ReplicaSet shop)",
        f"{begin} restarted with 3 in {pod} (own, ReplicaSet shop)",
        channel=CHANNEL,
    )
    await scene.delivered(f"Pod {pod} was created", channel=OTHER_CHANNEL)
    await scene.condition("MessageValid", "True", "Valid", tracker="own")
    assert "MessageValid" not in {entry["type"] for entry in (await scene.handled("default"))["conditions"]}


async def test_wrong_text(scene: Scene) -> None:
    """A wrong text shows with its line and what would be right; the default is sent meanwhile, and nothing is lost."""
    await scene.operate()
    await scene.track(selector={}, message="{{ pod.name }}\n{{ pod.annotations['note'] }}")
    wrong = await scene.condition("MessageValid", "False", "InvalidTemplate")
    assert "line 2" in wrong["message"]
    assert "annotations" in wrong["message"]
    assert "default text" in wrong["message"]
    await scene.condition("Ready", "True", "Active")
    await scene.run("first")
    await scene.delivered("Pod first was created")

    await scene.edit({"message": "{{ pod.name }}!"})
    await scene.condition("MessageValid", "True", "Valid")
    await scene.run("second")
    await scene.delivered("Pod first was created", "second!")
    await scene.edit({"message": None})

    async def gone() -> bool:
        return "MessageValid" not in {entry["type"] for entry in (await scene.status())["conditions"]}

    await eventually(gone, what="the condition to go with the text")
    await scene.run("third")
    await scene.delivered("Pod first was created", "second!", "Pod third was created")


async def test_nobody_is_mentioned_by_a_name(scene: Scene) -> None:
    """What comes from the cluster cannot mention anybody in Slack or look like a link; the author of a text can.

    Names and labels cannot even hold such characters, and annotations are not to be had; a reason, which whoever may
    write a pod's status chooses, can.
    """
    for pod in (make_pod("a<b"), make_pod("a", labels={"app": MENTION})):
        with pytest.raises(ApiError) as refusal:
            await scene.kube.create(pod, scene.namespace)
        assert refusal.value.status == 422
    await scene.operate(CLUSTER_NAME="<!here>")
    await scene.track("default", events=["Failed"], channel=OTHER_CHANNEL)
    text = "<!subteam^S1> {{ event.reason }}{% if event.reason == '" + MENTION + "' %} <{{ event.reason }}>{% endif %}"
    await scene.track("own", events=["Failed"], message=text)
    await scene.run("nginx")
    await scene.kubelet.report("nginx", phase="Failed", reason=MENTION)
    default = f"[&lt;!here&gt;] Pod {scene.namespace}/nginx failed ({ESCAPED})"
    await scene.delivered(default, channel=OTHER_CHANNEL)
    await scene.delivered(f"<!subteam^S1> {ESCAPED} <{ESCAPED}>", channel=CHANNEL)


async def test_labels_are_kept_with_what_waits(scene: Scene, slack: FakeSlack) -> None:
    """A message that waits tells the labels that the pod had, although pod and operator are gone meanwhile."""
    operator = await scene.operate()
    await scene.track(message="{{ pod.name }} of {{ pod.labels['team'] }}")
    await scene.handled()
    await slack.stop()
    await scene.run("nginx", team="red")
    await scene.condition("ReporterReady", "False", "Unreachable")
    await scene.relabel("nginx", team="blue")
    await operator.stop()
    await scene.remove("nginx")
    await slack.start()
    await operator.start()
    await scene.delivered("nginx of red")
