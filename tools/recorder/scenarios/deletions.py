# SPDX-License-Identifier: Apache-2.0
"""Pods that are deleted."""

from recorder.questions import deleted, ready, waiting
from recorder.script import LISTEN, container, pod, probe, scenario
from recorder.stage import Stage


@scenario("deletion of a pod that is ready and ends with exit code 0 one second after SIGTERM")
def deleted_exit_0(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container("-term-delay=1s")))
    _delete(stage)


@scenario("deletion of a pod that is ready and ends with exit code 143 one second after SIGTERM")
def deleted_exit_143(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container("-term-delay=1s", "-on-term=143")))
    _delete(stage)


@scenario("deletion of a pod that ignores SIGTERM: killed after its grace of 3 s")
def deleted_killed(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container("-on-term=-1"), terminationGracePeriodSeconds=3))
    _delete(stage)


@scenario("deletion with --force --grace-period=0 of a pod that is ready")
def deleted_by_force(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container("-on-term=-1")))
    _delete(stage, "--force", "--grace-period=0")
    stage.settle(3)


@scenario("deletion of a pod with a prestop hook of 2 s")
def deleted_prestop(stage: Stage) -> None:
    """Play it."""
    hook = {"preStop": {"exec": {"command": ["/actor", "-for=2s"]}}}
    stage.apply(pod(container("-on-term=143", lifecycle=hook), terminationGracePeriodSeconds=10))
    _delete(stage)


@scenario("deletion of a pod whose readiness probe fails when it is told to end")
def deleted_unready(stage: Stage) -> None:
    """Play it."""
    slow = container(LISTEN, "-term-delay=3s", readinessProbe=probe("/ready"))
    stage.apply(pod(slow, terminationGracePeriodSeconds=10))
    _delete(stage)


@scenario("deletion of a pod whose container waits in CrashLoopBackOff")
def deleted_in_crash_loop(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container("-for=1s", "-exit=1")))
    stage.until("the container waits", waiting("CrashLoopBackOff"))
    stage.settle(1)
    stage.kubectl("delete", "pod", "actor", "--wait=false")
    stage.step("the pod was deleted")
    stage.until("the pod is gone", deleted())


@scenario("deletion of a pod with a finalizer, which is removed 5 s later")
def deleted_with_finalizer(stage: Stage) -> None:
    """Play it."""
    manifest = pod()
    manifest["metadata"]["finalizers"] = ["pod-tracker.test/keep"]
    stage.apply(manifest)
    stage.until("the pod is ready", ready())
    stage.kubectl("delete", "pod", "actor", "--wait=false")
    stage.step("the pod was deleted")
    stage.settle(5)
    patch = '[{"op": "remove", "path": "/metadata/finalizers"}]'
    stage.kubectl("patch", "pod", "actor", "--type=json", "--patch", patch)
    stage.step("the finalizer was removed")
    stage.until("the pod is gone", deleted())


@scenario("deletion of the namespace of a pod that is ready")
def namespace_deleted(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container("-on-term=143")))
    stage.until("the pod is ready", ready())
    stage.kubectl("delete", "namespace", stage.namespace, "--wait=false", outside=True)
    stage.step("the namespace was deleted")
    stage.until("the pod is gone", deleted())


def _delete(stage: Stage, *how: str) -> None:
    stage.until("the pod is ready", ready())
    stage.kubectl("delete", "pod", "actor", "--wait=false", *how)
    stage.step("the pod was deleted")
    stage.until("the pod is gone", deleted())
