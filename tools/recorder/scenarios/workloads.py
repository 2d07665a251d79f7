# SPDX-License-Identifier: Apache-2.0
"""Pods that belong to something."""

import json
from typing import Any, Final

from recorder.questions import deleted, phase, ready
from recorder.script import LISTEN, Object, container, job, probe, scenario, template, workload
from recorder.stage import Pod, Stage, View

_SELECTOR: Final = {"matchLabels": {"app": "actor"}}
_CRON_TIMEOUT: Final = 100.0


@scenario("a Deployment of 2 replicas, then a rollout by a change of its template, then a roll-back")
def deployment_rollout(stage: Stage) -> None:
    """Play it."""
    stage.apply(workload("Deployment", {"replicas": 2, "selector": _SELECTOR, "template": template()}))
    stage.until("two pods are ready", ready(2))
    stage.kubectl("set", "env", "deployment/actor", "VERSION=2")
    stage.step("the template was changed")
    stage.until("two pods are gone", deleted(2))
    stage.until("two pods are ready", ready(2))
    stage.kubectl("rollout", "undo", "deployment/actor")
    stage.step("the change was rolled back")
    stage.until("four pods are gone", deleted(4))
    stage.until("two pods are ready", ready(2))


@scenario("a Deployment whose rollout is stuck: the new template's container crashes")
def deployment_bad_rollout(stage: Stage) -> None:
    """Play it."""
    stage.apply(workload("Deployment", {"replicas": 1, "selector": _SELECTOR, "template": template()}))
    stage.until("the pod is ready", ready())
    bad = {"spec": {"template": {"spec": {"containers": [{"name": "main", "args": ["-for=1s", "-exit=1"]}]}}}}
    stage.kubectl("patch", "deployment", "actor", "--patch", json.dumps(bad))
    stage.step("the template was broken")
    stage.until("the new pod restarted twice", _restarted_twice)
    stage.kubectl("rollout", "undo", "deployment/actor")
    stage.step("the change was rolled back")
    stage.until("the new pod is gone", deleted())


@scenario("a Deployment scaled from 3 to 0")
def deployment_scaled_down(stage: Stage) -> None:
    """Play it."""
    stage.apply(workload("Deployment", {"replicas": 3, "selector": _SELECTOR, "template": template()}))
    stage.until("three pods are ready", ready(3))
    stage.kubectl("scale", "deployment/actor", "--replicas=0")
    stage.step("it was scaled to 0")
    stage.until("three pods are gone", deleted(3))


@scenario("a StatefulSet of 2 replicas; its pod actor-0 is deleted and replaced by one of the same name")
def stateful_set_replaced(stage: Stage) -> None:
    """Play it."""
    spec = {"replicas": 2, "serviceName": "actor", "selector": _SELECTOR, "template": template()}
    stage.apply(workload("StatefulSet", spec))
    stage.until("two pods are ready", ready(2))
    stage.kubectl("delete", "pod", "actor-0", "--wait=false")
    stage.step("actor-0 was deleted")
    stage.until("it is gone", deleted())
    stage.until("two pods are ready", ready(2))


@scenario("a DaemonSet")
def daemon_set(stage: Stage) -> None:
    """Play it."""
    stage.apply(workload("DaemonSet", {"selector": _SELECTOR, "template": template()}))
    stage.until("the pod is ready", ready())
    stage.settle(1)


@scenario("a Job whose pod ends with exit code 0 after 2 s")
def job_success(stage: Stage) -> None:
    """Play it."""
    stage.apply(job(container("-for=2s")))
    stage.until("the pod succeeded and was let go", lambda v: phase("Succeeded")(v) and _let_go(v))
    stage.settle(1)


@scenario("a Job with backoffLimit 2 whose pods end with exit code 1, restartPolicy Never: three pods")
def job_failure(stage: Stage) -> None:
    """Play it."""
    stage.apply(job(container("-for=1s", "-exit=1"), backoffLimit=2))
    stage.until("three pods failed and were let go", lambda v: phase("Failed", 3)(v) and _let_go(v), timeout=150)
    stage.settle(2)


@scenario("a Job with backoffLimit 2 whose container ends with exit code 1, restartPolicy OnFailure")
def job_failure_in_place(stage: Stage) -> None:
    """Play it."""
    stage.apply(job(container("-for=1s", "-exit=1"), restart="OnFailure", backoffLimit=2))
    stage.until("the pod is gone", deleted(), timeout=150)


@scenario("a Job with activeDeadlineSeconds of 5 whose pod would stay")
def job_deadline(stage: Stage) -> None:
    """Play it."""
    stage.apply(job(container("-on-term=143"), activeDeadlineSeconds=5))
    stage.until("the pod is gone", deleted())


@scenario("a Job whose pod has a restartable init container (sidecar): it ends after the container")
def job_with_sidecar(stage: Stage) -> None:
    """Play it."""
    sidecar = container("-on-term=0", name="sidecar", restartPolicy="Always")
    stage.apply(job(container("-for=3s"), pod_fields={"initContainers": [sidecar]}))
    stage.until("the pod succeeded and was let go", lambda v: phase("Succeeded")(v) and _let_go(v))
    stage.settle(1)


@scenario("a Job of 3 completions, 2 at a time, indexed, removed with its pods 2 s after its end")
def job_parallel_removed(stage: Stage) -> None:
    """Play it."""
    fields: dict[str, Any] = {"completions": 3, "parallelism": 2, "completionMode": "Indexed"}
    stage.apply(job(container("-for=2s"), ttlSecondsAfterFinished=2, **fields))
    stage.until("three pods are gone", deleted(3))


@scenario("a CronJob of every minute: its first run")
def cron_job(stage: Stage) -> None:
    """Play it."""
    spec = {"schedule": "* * * * *", "jobTemplate": {"spec": job(container("-for=2s"))["spec"]}}
    stage.apply(workload("CronJob", spec, api="batch/v1"))
    stage.until("a pod succeeded", phase("Succeeded"), timeout=_CRON_TIMEOUT)
    stage.settle(2)


@scenario("a Deployment whose container becomes ready after 3 s and is killed by its liveness probe after 12 s")
def deployment_liveness(stage: Stage) -> None:
    """Play it."""
    probes: Object = {"readinessProbe": probe("/ready"), "livenessProbe": probe("/live")}
    body = template(container(LISTEN, "-ready-after=3s", "-live-for=12s", "-on-term=143", **probes))
    stage.apply(workload("Deployment", {"replicas": 1, "selector": _SELECTOR, "template": body}))
    stage.until("the container restarted twice", _restarted_twice)
    stage.until("the pod is ready", ready())


def _let_go(view: View) -> bool:
    """Tell whether the Job controller has counted all pods: then it removes its finalizer."""
    return all(not _finalizers(pod) for pod in view.pods.values())


def _finalizers(pod: Pod) -> list[str]:
    return list(pod["metadata"].get("finalizers", ()))


def _restarted_twice(view: View) -> bool:
    return any(
        status["restartCount"] >= 2  # noqa: PLR2004 - as the name says
        for pod in view.pods.values()
        for status in pod["status"].get("containerStatuses", ())
    )
