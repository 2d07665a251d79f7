# SPDX-License-Identifier: Apache-2.0
"""What is left when the operator is gone, and that nothing waits for it. Runs last: it ends the installation."""

from __future__ import annotations

import re

from e2e.deployment import LEASE, MINE, NAME, operator_pods
from e2e.scene import Scene, occurrence
from recorder.script import pod
from support.install import OPERATOR_NAMESPACE, REPOSITORY
from support.waiting import eventually


async def test_nothing_waits_for_an_operator_that_is_gone(scene: Scene) -> None:
    tracker = await scene.track()
    await scene.track(name="other")
    made = await scene.create(pod())
    await scene.until_told(occurrence(tracker, made, "Created"))
    trackers = await scene.api.list("PodTracker", scene.namespace)
    assert [each["metadata"].get("finalizers", []) for each in trackers] == [[], []]
    api, where = scene.api, f"--namespace={OPERATOR_NAMESPACE}"
    await scene.kubectl.aside("delete", "deployment", NAME, where)

    async def no_operator() -> bool:
        return not await operator_pods(api, ending=True)

    await eventually(no_operator, what="the operator's end", within=60)
    await scene.kubectl.aside("delete", "podtracker", "tracker", f"--namespace={scene.namespace}", "--timeout=10s")
    await api.delete("Namespace", scene.namespace)
    await eventually(lambda: api.gone("Namespace", scene.namespace), what="the namespace's end", within=60)
    kept = await scene.kubectl.aside(
        "get", "configmaps,leases", where, "--selector=app.kubernetes.io/managed-by=pod-tracker", "--output=name"
    )
    assert f"lease.coordination.k8s.io/{LEASE}" in kept.split()
    assert "configmap/pod-tracker-journal" in kept.split()
    await scene.kubectl.aside(*_documented_command())
    names = [
        each["metadata"]["name"] for kind in ("ConfigMap", "Lease") for each in await api.list(kind, OPERATOR_NAMESPACE)
    ]
    assert names == ["kube-root-ca.crt"]
    assert (await api.get("Namespace", OPERATOR_NAMESPACE))["metadata"]["labels"][MINE] == "true"
    scene.deployment.remove()
    await eventually(
        lambda: api.gone("Namespace", OPERATOR_NAMESPACE), what="the operator's namespace's end", within=60
    )


def _documented_command() -> list[str]:
    """Return the arguments of kubectl that docs/delivery.md gives for removing what stays."""
    text = (REPOSITORY / "docs" / "delivery.md").read_text()
    [command] = re.findall(r"`kubectl (-n \S+ delete configmap,lease [^`]+)`", text)
    arguments: list[str] = command.split()
    return arguments
