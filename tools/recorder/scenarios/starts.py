# SPDX-License-Identifier: Apache-2.0
"""Pods that start: at once, late, or not at all for want of something."""

from recorder.questions import condition, exists, phase, ready, restarts, terminated, unready, waiting
from recorder.script import LISTEN, Object, config_map, container, pod, probe, scenario
from recorder.stage import Stage, View

_KEY = {"name": "WORD", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "word"}}}
_MAP_MOUNT = {"name": "late", "mountPath": "/late"}
_MAP_VOLUME = {"name": "late", "configMap": {"name": "late"}}


@scenario("a pod with one container that runs at once and stays")
def normal_start(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod())
    stage.until("the pod is ready", ready())
    stage.settle(2)


@scenario("readiness probe every second that succeeds 6 s after the start")
def slow_readiness(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container(LISTEN, "-ready-after=6s", readinessProbe=probe("/ready"))))
    stage.until("the pod is ready", ready())
    stage.settle(2)


@scenario("readiness probe that succeeds and fails in turn, 4 s each")
def readiness_flapping(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container(LISTEN, "-ready-for=4s", readinessProbe=probe("/ready"))))
    for _ in range(3):
        stage.until("the pod is ready", ready())
        stage.until("the pod is not ready", unready)


@scenario("a readiness gate, set to True through the status some seconds after the containers were ready")
def readiness_gate(stage: Stage) -> None:
    """Play it."""
    kind = "pod-tracker.test/switch"
    stage.apply(pod(readinessGates=[{"conditionType": kind}]))
    stage.until("the containers are ready", lambda view: _has(view, "ContainersReady"))
    stage.settle(3)
    patch = f'{{"status": {{"conditions": [{{"type": "{kind}", "status": "True"}}]}}}}'
    stage.kubectl("patch", "pod", "actor", "--subresource=status", "--patch", patch)
    stage.step("the condition of the gate was set to True")
    stage.until("the pod is ready", ready())
    stage.settle(1)


@scenario("startup probe that succeeds after 5 s, then readiness probe")
def startup_probe(stage: Stage) -> None:
    """Play it."""
    probes: Object = {"startupProbe": probe("/ready", failures=30), "readinessProbe": probe("/ready")}
    stage.apply(pod(container(LISTEN, "-ready-after=5s", **probes)))
    stage.until("the pod is ready", ready())
    stage.settle(1)


@scenario("startup probe that never succeeds; 3 failures, one a second, restart the container")
def startup_probe_fails(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container(LISTEN, "-ready-after=1h", "-on-term=143", startupProbe=probe("/ready", failures=3))))
    stage.until("two restarts", restarts(2))
    stage.settle(2)


@scenario("an environment variable from a ConfigMap that does not exist; created 15 s later")
def missing_config_map_key(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container(env=[_KEY])))
    stage.until("the container cannot be created", waiting("CreateContainerConfigError"))
    stage.settle(15)
    stage.apply(config_map("late", word="hello"))
    stage.step("the ConfigMap was created")
    stage.until("the pod is ready", ready())
    stage.settle(1)


@scenario("a ConfigMap volume whose ConfigMap never comes")
def missing_config_map_volume(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container(volumeMounts=[_MAP_MOUNT]), volumes=[_MAP_VOLUME]))
    stage.until("the container waits", waiting("ContainerCreating"))
    stage.settle(40)


@scenario("a Secret volume whose Secret never comes; the pod is deleted after 20 s")
def missing_secret_volume(stage: Stage) -> None:
    """Play it."""
    volume = {"name": "late", "secret": {"secretName": "late"}}
    stage.apply(pod(container(volumeMounts=[_MAP_MOUNT]), volumes=[volume]))
    stage.until("the container waits", waiting("ContainerCreating"))
    stage.settle(20)
    stage.kubectl("delete", "pod", "actor", "--wait=false")
    stage.step("the pod was deleted")
    stage.until("the pod is gone", lambda view: view.events[-1]["type"] == "DELETED")


@scenario("a ConfigMap volume whose ConfigMap comes 12 s late")
def late_config_map_volume(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container(volumeMounts=[_MAP_MOUNT]), volumes=[_MAP_VOLUME]))
    stage.until("the container waits", waiting("ContainerCreating"))
    stage.settle(12)
    stage.apply(config_map("late", word="hello"))
    stage.step("the ConfigMap was created")
    stage.until("the pod is ready", ready(), timeout=150)
    stage.settle(1)


@scenario("a scheduling gate, removed 5 s after the creation")
def scheduling_gate(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(schedulingGates=[{"name": "pod-tracker.test/wait"}]))
    stage.until("the pod exists", exists)
    stage.settle(5)
    patch = '[{"op": "remove", "path": "/spec/schedulingGates"}]'
    stage.kubectl("patch", "pod", "actor", "--type=json", "--patch", patch)
    stage.step("the gate was removed")
    stage.until("the pod is ready", ready())
    stage.settle(1)


@scenario("a scheduling gate that is never removed; the pod is deleted while it has it")
def gated_deleted(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(schedulingGates=[{"name": "pod-tracker.test/wait"}]))
    stage.until("the pod exists", exists)
    stage.settle(2)
    stage.kubectl("delete", "pod", "actor", "--wait=false")
    stage.step("the pod was deleted")
    stage.until("the pod is gone", lambda view: view.events[-1]["type"] == "DELETED")


@scenario("two init containers of 2 s each, then a container that stays")
def init_containers(stage: Stage) -> None:
    """Play it."""
    first, second = container("-for=2s", name="first"), container("-for=2s", name="second")
    stage.apply(pod(initContainers=[first, second]))
    stage.until("the pod is ready", ready())
    stage.settle(1)


@scenario("an init container that ends with exit code 3, restartPolicy Never")
def init_failure(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(initContainers=[container("-for=1s", "-exit=3", name="init")], restartPolicy="Never"))
    stage.until("the pod failed", phase("Failed"))
    stage.settle(1)


@scenario("an init container that always ends with exit code 1, restartPolicy Always")
def init_crash_loop(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(initContainers=[container("-for=1s", "-exit=1", name="init")]))
    stage.until("three restarts", restarts(3), timeout=150)
    stage.until("the init container waits", waiting("CrashLoopBackOff"))


@scenario("a restartable init container (sidecar) with readiness probe, then the container")
def sidecar(stage: Stage) -> None:
    """Play it."""
    proxy = container(LISTEN, "-ready-after=3s", name="sidecar", restartPolicy="Always", readinessProbe=probe("/ready"))
    stage.apply(pod(initContainers=[proxy]))
    stage.until("the pod is ready", ready())
    stage.settle(1)
    stage.kubectl("delete", "pod", "actor", "--wait=false")
    stage.step("the pod was deleted")
    stage.until("the pod is gone", lambda view: view.events[-1]["type"] == "DELETED")


@scenario("a restartable init container (sidecar) that ends with exit code 1 every 3 s beside a container that stays")
def sidecar_crash_loop(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(initContainers=[container("-for=3s", "-exit=1", name="sidecar", restartPolicy="Always")]))
    stage.until("three restarts", restarts(3), timeout=150)
    stage.until("the sidecar waits", waiting("CrashLoopBackOff"))


@scenario("a poststart hook that cannot be executed")
def poststart_hook_fails(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container(lifecycle={"postStart": {"exec": {"command": ["/absent"]}}})))
    stage.until("two restarts", restarts(2))
    stage.settle(2)


@scenario("a command that does not exist in the image")
def bad_command(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container(command=["/absent"])))
    stage.until("the container did not start", terminated("StartError"))
    stage.until("two restarts", restarts(2))
    stage.settle(2)


@scenario("runAsNonRoot with an image that runs as root")
def root_refused(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container(securityContext={"runAsNonRoot": True})))
    stage.until("the container cannot be created", waiting("CreateContainerConfigError"))
    stage.settle(15)


@scenario("a seccomp profile that does not exist on the node")
def missing_seccomp_profile(stage: Stage) -> None:
    """Play it."""
    profile = {"type": "Localhost", "localhostProfile": "absent.json"}
    stage.apply(pod(container(securityContext={"seccompProfile": profile})))
    stage.until("the container cannot be created", waiting("CreateContainerError"))
    stage.settle(15)


def _has(view: View, kind: str) -> bool:
    return any(condition(pod, kind) == "True" for pod in view.pods.values())
