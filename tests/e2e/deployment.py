# SPDX-License-Identifier: Apache-2.0
"""The operator as `make deploy` deploys it, with the image under test and this cluster's Slack."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Final

from e2e import slack
from e2e.api import Api, Kubectl
from support.install import OPERATOR_NAMESPACE, REPOSITORY
from support.manifests import Json

NAME: Final = "pod-tracker-controller-manager"
LEASE: Final = "pod-tracker-leader"
CONTAINER: Final = "manager"
MINE: Final = "pod-tracker.test/e2e"
"""The label of an installation that these tests made."""

SETTINGS: Final = {"SLACK_API_URL": slack.URL, "UNSCHEDULABLE_GRACE": "4", "RECOVERY_HOLD": "3"}
"""What differs from the shipped Deployment."""

_PODS: Final = {"control-plane": "controller-manager"}
_WHERE: Final = f"--namespace={OPERATOR_NAMESPACE}"
_DEPLOYMENT: Final = f"deployment/{NAME}"
_MAKE_TIMEOUT: Final = 300.0
_NOT_OURS: Final = (
    "this cluster has PodTracker already, and these tests did not install it; they would replace it and remove it. "
    "Remove it first, or use another cluster"
)


class Deployment:
    """The operator's Deployment and the pods behind it."""

    def __init__(self, kubectl: Kubectl, image: str, next_image: str | None = None) -> None:
        """Nothing is done yet."""
        self._kubectl = kubectl
        self.image = image
        self.next_image = next_image

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
        self._make("deploy", self.image)
        self._kubectl("label", "namespace", OPERATOR_NAMESPACE, f"{MINE}=true")
        self.change(SETTINGS)

    def upgrade(self, image: str) -> None:
        """Install another image over what is there, and wait until all pods have it."""
        self._make("deploy", image)
        self.wait()

    def change(self, settings: Mapping[str, str | None], **container: Json) -> None:
        """Change settings, None being the default again, and other fields of the container; wait for the new pods."""
        env = [{"name": key, **({"$patch": "delete"} if value is None else {"value": value})}
               for key, value in settings.items()]  # fmt: skip
        spec = {"template": {"spec": {"containers": [{"name": CONTAINER, "env": env, **container}]}}}
        self._kubectl("patch", _DEPLOYMENT, _WHERE, "--type=strategic", "--patch", json.dumps({"spec": spec}))
        self.wait()

    def wait(self) -> None:
        """Wait until the rollout is over."""
        self._kubectl("rollout", "status", _DEPLOYMENT, _WHERE, "--timeout=120s")

    def remove(self) -> None:
        """Remove all of it, the CRD and every tracker too."""
        self._make("undeploy", self.image)

    def logs(self) -> str:
        """Return what the operators said last."""
        return self._kubectl("logs", "--selector=control-plane=controller-manager", _WHERE, "--prefix", "--tail=40")

    def _make(self, target: str, image: str) -> None:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
        done = subprocess.run(  # noqa: S603 - our own arguments
            ["make", target, f"IMG={image}", f"KUBECTL={self._kubectl.program}"],  # noqa: S607 - that of the user
            cwd=REPOSITORY,
            env={**inherited, "KUBECONFIG": str(self._kubectl.kubeconfig)},
            capture_output=True,
            text=True,
            check=False,
            timeout=_MAKE_TIMEOUT,
        )
        assert done.returncode == 0, f"make {target}: {done.stderr.strip()}"


async def operator_pods(api: Api, *, ending: bool = False) -> list[Json]:
    """Return the operator's pods; with `ending` those too that are asked to end."""
    pods = await api.pods(OPERATOR_NAMESPACE, **_PODS)
    return [pod for pod in pods if ending or "deletionTimestamp" not in pod["metadata"]]


async def leader(api: Api) -> Json | None:
    """Return the pod that has the lead, if one has."""
    lease = await api.get("Lease", LEASE, OPERATOR_NAMESPACE)
    holder = lease["spec"].get("holderIdentity")
    return next((pod for pod in await operator_pods(api) if pod["metadata"]["uid"] == holder), None)


def restarts(pods: list[Json]) -> int:
    """Return how often containers of these pods were restarted."""
    return sum(status["restartCount"] for pod in pods for status in pod["status"].get("containerStatuses", ()))
