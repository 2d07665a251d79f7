# SPDX-License-Identifier: Apache-2.0
"""Pods that find no node, or are refused or pushed away by theirs."""

from recorder.questions import deleted, exists, is_condition, phase, ready
from recorder.script import container, pod, scenario
from recorder.stage import Stage

_LABEL = "pod-tracker.test/wanted"
_HALF = {"requests": {"cpu": "700m"}}


@scenario("a node selector that fits no node")
def unschedulable(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(nodeSelector={"pod-tracker.test/absent": "yes"}))
    stage.until("it is not scheduled", is_condition("PodScheduled", "False"))
    stage.settle(20)


@scenario("a node selector that fits no node until the node is labelled 8 s later")
def unschedulable_then_scheduled(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(nodeSelector={_LABEL: "yes"}))
    stage.until("it is not scheduled", is_condition("PodScheduled", "False"))
    stage.settle(8)
    stage.kubectl("label", "node", stage.node, f"{_LABEL}=yes", outside=True)
    try:
        stage.step("the node was labelled")
        stage.until("the pod is ready", ready())
        stage.settle(1)
    finally:
        stage.kubectl("label", "node", stage.node, f"{_LABEL}-", outside=True)


@scenario("a CPU request that no node has; the pod is deleted after 5 s")
def too_large_deleted(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container(resources={"requests": {"cpu": "1000"}})))
    stage.until("it is not scheduled", is_condition("PodScheduled", "False"))
    stage.settle(5)
    stage.kubectl("delete", "pod", "actor", "--wait=false")
    stage.step("the pod was deleted")
    stage.until("the pod is gone", deleted())


@scenario("a pod bound to the node by its nodeName, with a node selector that does not fit: the kubelet refuses it")
def refused_node_affinity(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(nodeName=stage.node, nodeSelector={"pod-tracker.test/absent": "yes"}))
    stage.until("the pod failed", phase("Failed"))
    stage.settle(2)


@scenario("a pod bound to the node by its nodeName, with a CPU request beyond it: the kubelet refuses it")
def refused_out_of_cpu(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container(resources={"requests": {"cpu": "1000"}}), nodeName=stage.node))
    stage.until("the pod failed", phase("Failed"))
    stage.settle(2)


@scenario("a pod of higher priority needs the place: the scheduler preempts the pod", alone=True)
def preempted(stage: Stage) -> None:
    """Play it."""
    high = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": "trace-high"},
        "value": 1000,
    }
    stage.apply(high)
    try:
        stage.apply(pod(container(resources=_HALF), name="low"))
        stage.until("the pod is ready", ready())
        stage.apply(pod(container(resources=_HALF), name="high", priorityClassName="trace-high"))
        stage.step("the pod of higher priority was created")
        stage.until("the pod is gone", deleted())
        stage.until("the other is ready", ready())
    finally:
        stage.kubectl("delete", "priorityclass", "trace-high", outside=True)


@scenario("the eviction API on a pod that is ready")
def evicted_by_api(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container("-on-term=143")))
    stage.until("the pod is ready", ready())
    path = f"/api/v1/namespaces/{stage.namespace}/pods/actor/eviction"
    body = '{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "actor"}}'
    stage.kubectl("create", "--raw", path, "-f", "-", input=body, outside=True)
    stage.step("the eviction was asked for")
    stage.until("the pod is gone", deleted())


@scenario("the node gets a taint with effect NoExecute that the pod does not tolerate", alone=True)
def tainted_node(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container("-on-term=143")))
    stage.until("the pod is ready", ready())
    taint = "pod-tracker.test/away=yes:NoExecute"
    stage.kubectl("taint", "node", stage.node, taint, outside=True)
    try:
        stage.step("the node was tainted")
        stage.until("the pod is gone", deleted())
    finally:
        stage.kubectl("taint", "node", stage.node, f"{taint}-", outside=True)


@scenario("a pod that is created and at once deleted, before it was scheduled or just then")
def created_and_deleted(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod())
    stage.kubectl("delete", "pod", "actor", "--wait=false")
    stage.step("the pod was deleted")
    stage.until("the pod was seen", lambda view: bool(view.events) or exists(view))
    stage.until("the pod is gone", deleted())
