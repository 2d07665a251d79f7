# SPDX-License-Identifier: Apache-2.0
"""What happens to pods when something happens to their node."""

import json

from recorder.questions import condition, deleted, ready
from recorder.script import container, pod, scenario, template, workload
from recorder.stage import Stage

_MANIFEST = "/etc/kubernetes/manifests/trace.json"
_GRACE = 160.0
"""Seconds that the node may be silent before the control plane calls it lost, and some more."""


@scenario("a static pod: its manifest is put on the node, and removed after it was ready", alone=True)
def static_pod(stage: Stage) -> None:
    """Play it."""
    manifest = pod(container("-on-term=143"))
    manifest["metadata"]["namespace"] = stage.namespace
    del manifest["spec"]["automountServiceAccountToken"]
    script = f"cat > {_MANIFEST} <<'END'\n{json.dumps(manifest)}\nEND"
    stage.on_node("sh", "-c", script)
    try:
        stage.step("the manifest was put on the node")
        stage.until("the pod is ready", ready())
        stage.settle(1)
    finally:
        stage.on_node("rm", _MANIFEST)
    stage.step("the manifest was removed")
    stage.until("the pod is gone", deleted())


@scenario("the kubelet is restarted under a pod that is ready", alone=True)
def kubelet_restarted(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod())
    stage.until("the pod is ready", ready())
    stage.settle(2)
    stage.on_node("systemctl", "restart", "kubelet")
    stage.step("the kubelet was restarted")
    stage.settle(25)
    stage.until("the pod is ready", ready())


@scenario("the container runtime is restarted under a pod that is ready", alone=True)
def runtime_restarted(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod())
    stage.until("the pod is ready", ready())
    stage.settle(2)
    stage.on_node("systemctl", "restart", "containerd")
    stage.step("containerd was restarted")
    stage.settle(25)
    stage.until("the pod is ready", ready())


@scenario(
    "the kubelet is stopped until the node counts as lost (a pod tolerates that for 10 s, another for ever), "
    "then started again",
    alone=True,
)
def node_lost(stage: Stage) -> None:
    """Play it."""
    lost = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}
    stage.apply(pod(container("-on-term=143"), name="leaves", tolerations=[{**lost, "tolerationSeconds": 10}]))
    stage.apply(pod(container("-on-term=143"), name="stays", tolerations=[lost]))
    stage.until("both pods are ready", ready(2))
    stage.on_node("systemctl", "stop", "kubelet")
    try:
        stage.step("the kubelet was stopped")
        stage.until(
            "both pods count as not ready",
            lambda v: all(condition(each, "Ready") == "False" for each in v.pods.values()),
            timeout=_GRACE,
        )
        stage.until(
            "one is to be deleted",
            lambda v: any("deletionTimestamp" in each["metadata"] for each in v.pods.values()),
            timeout=_GRACE,
        )
        stage.settle(10)
    finally:
        stage.on_node("systemctl", "start", "kubelet")
    stage.step("the kubelet was started")
    stage.until("one pod is gone", deleted())
    stage.until("the other is ready", ready())


@scenario("as node-lost with a Deployment's pod: it is replaced, and removed when the kubelet is back", alone=True)
def node_lost_deployment(stage: Stage) -> None:
    """Play it."""
    lost = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}
    body = template(tolerations=[{**lost, "tolerationSeconds": 5}])
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "actor"}}, "template": body}
    stage.apply(workload("Deployment", spec))
    stage.until("the pod is ready", ready())
    stage.on_node("systemctl", "stop", "kubelet")
    try:
        stage.step("the kubelet was stopped")
        stage.until("there is a second pod", lambda v: len(v.pods) > 1, timeout=_GRACE)
        stage.settle(5)
    finally:
        stage.on_node("systemctl", "start", "kubelet")
    stage.step("the kubelet was started")
    stage.until("the first pod is gone", deleted())
    stage.until("the second is ready", ready())


@scenario("the Node object is deleted while its kubelet is stopped: pod garbage collection removes the pod", alone=True)
def node_deleted(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod())
    stage.until("the pod is ready", ready())
    stage.on_node("systemctl", "stop", "kubelet")
    try:
        stage.step("the kubelet was stopped")
        stage.kubectl("delete", "node", stage.node, "--wait=false", outside=True)
        stage.step("the Node was deleted")
        stage.until("the pod is gone", deleted(), timeout=_GRACE)
    finally:
        stage.on_node("systemctl", "start", "kubelet")
