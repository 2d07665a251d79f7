# SPDX-License-Identifier: Apache-2.0
"""Leave out of a pod what no reader of a trace needs: what is in the way of reading it, or names the machine."""

from collections.abc import Mapping
from typing import Any, Final

_METADATA: Final = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "finalizers",
    "labels",
    "annotations",
    "ownerReferences",
)
_SPEC: Final = ("nodeName", "restartPolicy", "schedulingGates", "readinessGates", "activeDeadlineSeconds")
_CONTAINER_LISTS: Final = ("initContainers", "containers", "ephemeralContainers")
_CONTAINER: Final = ("name", "image", "restartPolicy")
_STATUSES: Final = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
_KEPT_ANNOTATIONS: Final = ("kubernetes.io/config.source", "kubernetes.io/config.mirror", "kubernetes.io/config.hash")


def reduced(pod: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a pod that say who it is, what it should be and all of what it is."""
    metadata = _only(pod["metadata"], _METADATA)
    annotations = _only(metadata.pop("annotations", {}), _KEPT_ANNOTATIONS)
    if annotations:
        metadata["annotations"] = annotations
    spec = _only(pod["spec"], _SPEC)
    for name in _CONTAINER_LISTS:
        if name in pod["spec"]:
            spec[name] = [_only(container, _CONTAINER) for container in pod["spec"][name]]
    return {"metadata": metadata, "spec": spec, "status": _status(pod.get("status", {}))}


def _status(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return all of a status, but of the ids of images only the digests: the rest names how they came to the node."""
    changed = dict(status)
    for name in _STATUSES:
        if name in status:
            changed[name] = [{**each, "imageID": each["imageID"].rpartition("@")[2]} for each in status[name]]
    return changed


def _only(mapping: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: mapping[key] for key in keys if key in mapping}
