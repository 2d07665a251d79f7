# SPDX-License-Identifier: Apache-2.0
"""What the demo puts into a cluster, and the care it takes of what others put there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from demo.cluster import DemoCluster
from demo.console import Console
from demo.errors import DemoError
from demo.kubectl import Kubectl
from demo.tracker import LABEL, NAMESPACE, OWNER, SECRET, Tracker

OPERATOR_NAMESPACE: Final = "pod-tracker-system"
OPERATOR: Final = "pod-tracker-controller-manager"
IMAGE: Final = "nginx"
CRD_NAME: Final = "podtrackers.pod-tracker.lost.backend"

TOKEN_LIFETIME: Final = "24h"  # noqa: S105 - a duration; kubectl's default of 1h ends before a long look around does


_SECRET_KIND: Final = "secret"  # noqa: S105 - a kind


@dataclass(frozen=True, slots=True)
class Checkout:
    """The files of the repository that the demo applies."""

    root: Path

    @property
    def crd(self) -> Path:
        """The rendered CustomResourceDefinition."""
        return self.root / "config/crd/bases/pod-tracker.lost.backend_podtrackers.yaml"

    @property
    def rbac(self) -> Path:
        """The kustomization with the operator's ServiceAccount and rights."""
        return self.root / "config/rbac"

    @property
    def sample(self) -> Path:
        """The founding example."""
        return self.root / "config/samples/tracker.yaml"

    def check(self) -> None:
        """Raise DemoError when a file is not there."""
        for path in (self.crd, self.rbac, self.sample):
            if not path.exists():
                raise DemoError(f"{path} is missing: run the demo from a complete checkout (git status tells).")


@dataclass(frozen=True, slots=True)
class Stage:
    """The cluster as the demo's stage."""

    cluster: DemoCluster
    kubectl: Kubectl
    console: Console
    tracker: Tracker

    async def install(self, checkout: Checkout) -> None:
        """Install CRD, namespace and rights."""
        await self.kubectl.run("apply", "--server-side", "-f", str(checkout.crd))
        await self.kubectl.run("wait", "--for=condition=Established", f"crd/{CRD_NAME}", "--timeout=30s")
        await self.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OPERATOR_NAMESPACE}})
        await self.kubectl.run("apply", "--server-side", "-k", str(checkout.rbac))

    async def check_no_rival(self) -> None:
        """Raise DemoError when an operator is deployed in this cluster: each message would come twice."""
        found = await self.kubectl.get(OPERATOR_NAMESPACE, "deployments.apps", OPERATOR)
        if found is not None and found["spec"].get("replicas", 1) > 0:
            stop = f"kubectl -n {OPERATOR_NAMESPACE} scale deployment {OPERATOR} --replicas=0"
            raise DemoError(f"An operator already runs in this cluster, and two of them post twice: `{stop}` stops it.")

    async def check_untouched(self) -> None:
        """Raise DemoError when a cluster that people need holds what the demo would replace or serve without asking."""
        if not self.cluster.is_somebodys:
            return
        for item in await self._in_the_way():
            _require_ours(item)
        await self._check_no_other_tracker()

    async def clear(self) -> None:
        """Remove what an earlier demo left, and what else stands in the way."""
        for item in await self._in_the_way():
            await self._delete(item)

    async def strike(self) -> None:
        """Remove what this demo made, and nothing that others made or took over meanwhile."""
        for item in await self._existing():
            if item.is_ours:
                await self._delete(item)

    async def run_pod(self) -> None:
        """Create the pod as a person would, with a label by which the demo knows it again."""
        pod = self.tracker.pod
        labels = f"run={pod},{LABEL}={OWNER}"
        await self.kubectl.run("-n", NAMESPACE, "run", pod, f"--image={IMAGE}", f"--labels={labels}")

    async def operator_token(self) -> str:
        """Return a token of the operator's ServiceAccount."""
        made = await self.kubectl.run(
            "-n", OPERATOR_NAMESPACE, "create", "token", OPERATOR, f"--duration={TOKEN_LIFETIME}"
        )
        return made.strip()

    async def _in_the_way(self) -> list[_Item]:
        return [item for item in await self._existing() if item.is_ours or self._is_needed(item)]

    async def _existing(self) -> list[_Item]:
        # The tracker goes before the pod: nobody is told about what the demo tidies away.
        kinds = [("podtracker", self.tracker.name)] if await self._has_crd() else []
        kinds += [("pod", self.tracker.pod), (_SECRET_KIND, SECRET)]
        found = [(kind, name, await self.kubectl.get(NAMESPACE, kind, name)) for kind, name in kinds]
        return [_Item(kind, name, _is_ours(existing)) for kind, name, existing in found if existing is not None]

    def _is_needed(self, item: _Item) -> bool:
        return item.kind != _SECRET_KIND or not self.tracker.token

    async def _has_crd(self) -> bool:
        return await self.kubectl.get(NAMESPACE, "customresourcedefinitions", CRD_NAME) is not None

    async def _delete(self, item: _Item) -> None:
        async with self.console.patience(f"Removing {item.kind} {item.name} in namespace {NAMESPACE}"):
            await self.kubectl.run(
                "-n", NAMESPACE, "delete", item.kind, item.name, "--ignore-not-found", "--wait", "--now"
            )

    async def _check_no_other_tracker(self) -> None:
        if not await self._has_crd():
            return
        command = (
            "-n",
            NAMESPACE,
            "get",
            "podtrackers",
            "-o",
            'jsonpath={range .items[*]}{.metadata.name}{"\\n"}{end}',
        )
        others = [name for name in (await self.kubectl.run(*command)).split() if name != self.tracker.name]
        if others:
            raise DemoError(
                f"This cluster has trackers in namespace {NAMESPACE} that the demo's operator would serve too "
                f"({', '.join(others)}): use another cluster (CLUSTER=local make demo)."
            )


@dataclass(frozen=True, slots=True)
class _Item:
    kind: str
    name: str
    is_ours: bool


def _is_ours(found: dict[str, Any]) -> bool:
    return bool(found["metadata"].get("labels", {}).get(LABEL) == OWNER)


def _require_ours(item: _Item) -> None:
    if not item.is_ours:
        raise DemoError(
            f"This cluster has a {item.kind} {item.name} in namespace {NAMESPACE} that the demo did not make, "
            f"and so does not touch: remove it yourself, or use another cluster (CLUSTER=local make demo)."
        )
