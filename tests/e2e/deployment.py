# SPDX-License-Identifier: Apache-2.0
"""The operator as config/default deploys it, with the image under test and this cluster's Slack."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

import yaml

from e2e import slack
from e2e.api import Api, Kubectl
from support.install import CONFIG, OPERATOR_NAMESPACE
from support.manifests import Json

NAME: Final = "pod-tracker-controller-manager"
LEASE: Final = "pod-tracker-leader"
MINE: Final = "pod-tracker.test/e2e"
"""The label of an installation that these tests made."""

SETTINGS: Final = {"SLACK_API_URL": slack.URL, "UNSCHEDULABLE_GRACE": "4"}
"""What differs from the shipped Deployment."""

_PODS: Final = {"control-plane": "controller-manager"}
_NOT_OURS: Final = (
    "this cluster has PodTracker already, and these tests did not install it; they would replace it and remove it. "
    "Remove it first, or use another cluster"
)


class Deployment:
    """The operator's Deployment and the pods behind it."""

    def __init__(self, kubectl: Kubectl, folder: Path, image: str, next_image: str | None = None) -> None:
        """Write the overlay into `folder`, a folder of the tests' own."""
        self._kubectl = kubectl
        self._folder = folder
        self.image = image
        self.next_image = next_image
        shipped: Json = yaml.safe_load((CONFIG / "manager" / "manager.yaml").read_text())
        _write_overlay(folder, shipped, image)

    def check_not_installed(self) -> None:
        """Make sure that no installation of somebody else is there.

        Raises:
            AssertionError: one is.
        """
        crds = self._kubectl("get", "crd", "podtrackers.pod-tracker.lost.backend", "--ignore-not-found", "-oname")
        if crds:
            found = self._kubectl("get", "namespace", OPERATOR_NAMESPACE, "--ignore-not-found", "--output=json")
            assert found, _NOT_OURS
            assert json.loads(found)["metadata"]["labels"].get(MINE), _NOT_OURS

    def apply(self) -> None:
        """Install all of it and wait until both replicas are ready."""
        self._kubectl("apply", "--server-side", "--force-conflicts", "-k", str(self._folder))
        self.wait()

    def wait(self) -> None:
        """Wait until the rollout is over."""
        self._kubectl("rollout", "status", f"deployment/{NAME}", f"--namespace={OPERATOR_NAMESPACE}", "--timeout=90s")

    def remove(self) -> None:
        """Remove all of it, the CRD and every tracker too."""
        self._kubectl("delete", "--ignore-not-found", "-k", str(self._folder))

    async def roll(self, image: str | None = None) -> None:
        """Replace all pods, one after the other, by those of another image or of the same; wait for the end."""
        where = f"--namespace={OPERATOR_NAMESPACE}"
        if image is None:
            await self._kubectl.aside("rollout", "restart", f"deployment/{NAME}", where)
        else:
            await self._kubectl.aside("set", "image", f"deployment/{NAME}", f"manager={image}", where)
        await self._kubectl.aside("rollout", "status", f"deployment/{NAME}", where, "--timeout=90s")

    def logs(self) -> str:
        """Return what the operators said last."""
        where = f"--namespace={OPERATOR_NAMESPACE}"
        return self._kubectl("logs", "--selector=control-plane=controller-manager", where, "--prefix", "--tail=40")


async def operator_pods(api: Api) -> list[Json]:
    """Return the operator's pods."""
    return await api.pods(OPERATOR_NAMESPACE, **_PODS)


async def leader(api: Api) -> Json | None:
    """Return the pod that has the lead, if one has."""
    lease = await api.get("Lease", LEASE, OPERATOR_NAMESPACE)
    holder = lease["spec"].get("holderIdentity")
    return next((pod for pod in await operator_pods(api) if pod["metadata"]["uid"] == holder), None)


def restarts(pods: list[Json]) -> int:
    """Return how often containers of these pods were restarted."""
    return sum(status["restartCount"] for pod in pods for status in pod["status"].get("containerStatuses", ()))


def _write_overlay(folder: Path, shipped: Json, image: str) -> None:
    [manager] = shipped["spec"]["template"]["spec"]["containers"]
    name, _, tag = image.rpartition(":")
    settings = [{"name": key, "value": value} for key, value in SETTINGS.items()]
    containers = [{"name": manager["name"], "env": settings}]
    patches: list[Json] = [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": NAME, "namespace": OPERATOR_NAMESPACE},
            "spec": {"template": {"spec": {"containers": containers}}},
        },
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OPERATOR_NAMESPACE, "labels": {MINE: "true"}}},
    ]
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(CONFIG / "default", folder)],
        "images": [{"name": manager["image"].rpartition(":")[0], "newName": name, "newTag": tag}],
        "patches": [{"patch": json.dumps(patch)} for patch in patches],
    }
    (folder / "kustomization.yaml").write_text(json.dumps(kustomization))
