# SPDX-License-Identifier: Apache-2.0
"""What of a pod goes into a trace."""

from typing import Any

from recorder.reduction import reduced


def pod() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "actor",
            "namespace": "trace",
            "uid": "1",
            "resourceVersion": "2",
            "labels": {"app": "actor"},
            "annotations": {"kubernetes.io/config.mirror": "abc", "secret.test/token": "no"},
            "managedFields": [{"manager": "kubelet"}],
            "deletionTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "nodeName": "node",
            "restartPolicy": "Always",
            "containers": [{"name": "main", "image": "actor:1", "env": [{"name": "SECRET", "value": "no"}]}],
            "initContainers": [{"name": "side", "image": "actor:1", "restartPolicy": "Always", "args": ["-x"]}],
            "volumes": [{"name": "v"}],
        },
        "status": {
            "phase": "Running",
            "anything": {"new": 1},
            "containerStatuses": [{"name": "main", "imageID": "example.test/imported@sha256:1", "restartCount": 2}],
        },
    }


def test_who_it_is_stays_and_who_wrote_it_goes() -> None:
    metadata = reduced(pod())["metadata"]
    assert "managedFields" not in metadata
    assert metadata["annotations"] == {"kubernetes.io/config.mirror": "abc"}
    assert metadata["deletionTimestamp"] == "2026-01-01T00:00:00Z"


def test_of_containers_only_name_image_and_restart_policy_stay() -> None:
    spec = reduced(pod())["spec"]
    assert spec == {
        "nodeName": "node",
        "restartPolicy": "Always",
        "containers": [{"name": "main", "image": "actor:1"}],
        "initContainers": [{"name": "side", "image": "actor:1", "restartPolicy": "Always"}],
    }


def test_the_status_stays_whole_but_for_the_origin_of_images() -> None:
    status = reduced(pod())["status"]
    assert status["anything"] == {"new": 1}
    assert status["containerStatuses"] == [{"name": "main", "imageID": "sha256:1", "restartCount": 2}]


def test_the_pod_itself_is_not_changed() -> None:
    before = pod()
    reduced(before)
    assert before == pod()
