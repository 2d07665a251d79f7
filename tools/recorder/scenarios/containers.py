# SPDX-License-Identifier: Apache-2.0
"""Containers that end: by themselves, for want of memory, or killed by a probe."""

import json

from recorder.questions import is_condition, phase, ready, restarts, running, terminated, waiting
from recorder.script import LISTEN, container, pod, probe, scenario, scratch
from recorder.stage import Stage

_LITTLE = {"limits": {"memory": "32Mi"}, "requests": {"memory": "0", "cpu": "0"}}


@scenario("exit code 1 after 1 s, again and again")
def crash_loop(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container("-for=1s", "-exit=1")))
    stage.until("four restarts", restarts(4), timeout=200)
    stage.until("the container waits", waiting("CrashLoopBackOff"))


@scenario("exit code 0 after 1 s, again and again, restartPolicy Always")
def completes_again_and_again(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container("-for=1s")))
    stage.until("three restarts", restarts(3), timeout=150)
    stage.until("the container waits", waiting("CrashLoopBackOff"))


@scenario("exit code 1 after 1 s once, then the container stays")
def crash_once(stage: Stage) -> None:
    """Play it."""
    volume, mount = scratch()
    stage.apply(pod(container("-once=/scratch/done", "-for=1s", "-exit=1", volumeMounts=[mount]), volumes=[volume]))
    stage.until("one restart", restarts(1))
    stage.until("the pod is ready", ready())
    stage.settle(15)


@scenario("exit code 1 after 30 s of being ready, again and again")
def crash_after_ready(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container("-for=30s", "-exit=1")))
    stage.until("two restarts", restarts(2), timeout=150)
    stage.until("the pod is ready", ready())
    stage.settle(2)


@scenario("memory limit of 32 MiB exceeded after 2 s, restartPolicy Never")
def oom_kill(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container("-after=2s", "-memory=200", resources=_LITTLE), restartPolicy="Never"))
    stage.until("the pod failed", phase("Failed"))
    stage.settle(1)


@scenario("memory limit of 32 MiB exceeded 2 s after each start")
def oom_loop(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container("-after=2s", "-memory=200", resources=_LITTLE)))
    stage.until("killed for its memory", terminated("OOMKilled"))
    stage.until("three restarts", restarts(3), timeout=150)
    stage.until("the container waits", waiting("CrashLoopBackOff"))


@scenario("two containers: one stays, the other ends with exit code 2 after 1 s, again and again")
def one_of_two_crash_loops(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container(name="stays"), container("-for=1s", "-exit=2", name="crashes")))
    stage.until("three restarts", restarts(3), timeout=150)
    stage.until("the container waits", waiting("CrashLoopBackOff"))


@scenario("a liveness probe that fails 4 s after each start; the container ends with 143 when told to")
def liveness_kills(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container(LISTEN, "-live-for=4s", "-on-term=143", livenessProbe=probe("/live"))))
    stage.until("three restarts", restarts(3), timeout=150)
    stage.settle(2)


@scenario("restartPolicy OnFailure: exit code 1 once, then exit code 0")
def on_failure_then_success(stage: Stage) -> None:
    """Play it."""
    volume, mount = scratch()
    flags = ["-once=/scratch/done", "-for=1s", "-exit=1", "-then=2s"]
    stage.apply(pod(container(*flags, volumeMounts=[mount]), volumes=[volume], restartPolicy="OnFailure"))
    stage.until("one restart", restarts(1))
    stage.until("the pod succeeded", phase("Succeeded"))
    stage.settle(1)


@scenario("restartPolicy Never, exit code 0 after 2 s")
def success(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container("-for=2s"), restartPolicy="Never"))
    stage.until("the pod succeeded", phase("Succeeded"))
    stage.settle(1)


@scenario("restartPolicy Never, exit code 7 after 2 s")
def failure(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container("-for=2s", "-exit=7"), restartPolicy="Never"))
    stage.until("the pod failed", phase("Failed"))
    stage.settle(1)


@scenario("activeDeadlineSeconds of 5 on a pod that would stay")
def active_deadline(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(activeDeadlineSeconds=5))
    stage.until("the pod failed", phase("Failed"))
    stage.settle(8)


@scenario("an ephemeral container that ends with exit code 1 is added to a pod that is ready")
def ephemeral_container_fails(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod())
    stage.until("the pod is ready", ready())
    debug = container("-for=2s", "-exit=1", name="debugger")
    patch = {"spec": {"ephemeralContainers": [debug]}}
    stage.kubectl("patch", "pod", "actor", "--subresource=ephemeralcontainers", "--patch", json.dumps(patch))
    stage.step("the ephemeral container was added")
    stage.until("it ended", terminated("Error"))
    stage.settle(3)


@scenario("an emptyDir with a limit of 4 MiB gets 16 MiB: the kubelet evicts the pod")
def disk_eviction(stage: Stage) -> None:
    """Play it."""
    volume, mount = scratch()
    volume["emptyDir"] = {"sizeLimit": "4Mi"}
    stage.apply(pod(container("-disk=16", "-path=/scratch/file", volumeMounts=[mount]), volumes=[volume]))
    stage.until("the container runs", running)
    stage.until("the pod failed", phase("Failed"), timeout=180)
    stage.settle(8)


@scenario("ephemeral-storage limit of 4 MiB, 16 MiB written into the container: evicted, exit code 143")
def ephemeral_storage_eviction(stage: Stage) -> None:
    """Play it."""
    _exceed_storage(stage, "-on-term=143")
    stage.until("the pod failed", phase("Failed"), timeout=180)
    stage.settle(5)


@scenario("ephemeral-storage limit of 4 MiB, 16 MiB written into the container: evicted, exit code 0")
def ephemeral_storage_eviction_exit_0(stage: Stage) -> None:
    """Play it."""
    _exceed_storage(stage, "-on-term=0")
    stage.until("the pod ended", lambda v: phase("Succeeded")(v) or phase("Failed")(v), timeout=180)
    stage.settle(5)


@scenario("the pod's CPU request is changed in place by its resize subresource")
def resize(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container(resources={"requests": {"cpu": "10m"}, "limits": {"cpu": "100m"}})))
    stage.until("the pod is ready", ready())
    resources = {"requests": {"cpu": "20m"}, "limits": {"cpu": "200m"}}
    patch = {"spec": {"containers": [{"name": "main", "resources": resources}]}}
    stage.kubectl("patch", "pod", "actor", "--subresource=resize", "--patch", json.dumps(patch))
    stage.step("the resources were changed")
    stage.until("the pod is ready", is_condition("Ready", "True"))
    stage.settle(8)


def _exceed_storage(stage: Stage, *flags: str) -> None:
    limits = {"limits": {"ephemeral-storage": "4Mi"}, "requests": {"ephemeral-storage": "0"}}
    stage.apply(pod(container("-disk=16", "-path=/file", *flags, resources=limits)))
    stage.until("the container runs", running)
