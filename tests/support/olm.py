# SPDX-License-Identifier: Apache-2.0
"""What OLM makes of a ClusterServiceVersion, for clusters where no OLM runs.

Each step is that of OLM v0: an OperatorGroup says which namespaces are watched, `permissions` become a Role in the
operator's namespace and in each of those, or a ClusterRole where all are watched, and the pods learn the namespaces
from an annotation.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from devcluster.local import LocalCluster
from support.audit import Right, rights_of
from support.install import REPOSITORY
from support.kube import Kube
from support.manifests import Json
from support.process import Operator
from support.waiting import eventually

BUNDLE: Final = REPOSITORY / "bundle"
CRDS_VARIABLE: Final = "BUNDLECHECK_OLM_CRDS"
"""Environment variable with the folder of OLM's CRDs; the same that `bundlecheck` reads."""

INSTALL_MODES: Final = ("OwnNamespace", "SingleNamespace", "MultiNamespace", "AllNamespaces")

_RBAC: Final = "rbac.authorization.k8s.io"
_NAMESPACE_VERBS: Final = ("get", "list", "watch")
"""What OLM adds for namespaces where all are watched."""


def olm_crds() -> Path | None:
    """The folder of OLM's CRDs, where there is one: the environment's, else `shared/olm/crds` beside the repository."""
    folder = Path(os.environ.get(CRDS_VARIABLE) or REPOSITORY.parent / "shared" / "olm" / "crds")
    return folder if folder.is_dir() else None


def read_csv(bundle: Path = BUNDLE) -> Json:
    """Return the ClusterServiceVersion of a bundle's folder."""
    [file] = bundle.glob("manifests/*.clusterserviceversion.yaml")
    csv: Json = yaml.safe_load(file.read_text(encoding="utf-8"))
    return csv


@dataclass(frozen=True)
class Installation:
    """A ClusterServiceVersion in a namespace, for an OperatorGroup."""

    csv: Json
    namespace: str
    targets: tuple[str, ...]
    """The watched namespaces; empty for all."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What the Subscription adds to the operator's environment: its `spec.config.env`."""

    @property
    def account(self) -> str:
        """The operator's ServiceAccount."""
        account: str = self._template["spec"]["serviceAccountName"]
        return account

    @property
    def user(self) -> str:
        """That ServiceAccount, as the API server names it."""
        return f"system:serviceaccount:{self.namespace}:{self.account}"

    @property
    def container(self) -> Json:
        """The operator's container, as the CSV has it."""
        [container] = self._template["spec"]["containers"]
        found: Json = container
        return found

    def rights(self) -> frozenset[Right]:
        """Return each single right that the CSV asks for."""
        parts = [*self._install.get("permissions", ()), *self._install.get("clusterPermissions", ())]
        return frozenset[Right]().union(*map(rights_of, parts))

    def objects(self) -> list[Json]:
        """Return what OLM creates, in an order in which it can be applied."""
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": self._meta(self.account)}
        return [account, *self._rbac(), self._deployment()]

    def remove(self, cluster: LocalCluster) -> None:
        """Delete what does not go with the namespaces."""
        for kind in ("clusterrolebinding", "clusterrole"):
            cluster.kubectl("delete", kind, "--ignore-not-found", f"--selector=olm.owner.namespace={self.namespace}")

    def install(self, cluster: LocalCluster) -> None:
        """Create all of that."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": self.objects()})
        cluster.kubectl("apply", "--server-side", "--validate=strict", "-f", "-", input=text)

    async def replicas(self, kube: Kube) -> list[Json]:
        """Wait until the controllers have made the Deployment's pods, of its image; return them."""
        [deployment] = self._install["deployments"]
        wanted = self.container["image"]
        labels = deployment["spec"]["selector"]["matchLabels"]

        async def made() -> list[Json]:
            pods = await kube.list("Pod", self.namespace)
            ours = [pod for pod in pods if labels.items() <= pod["metadata"].get("labels", {}).items()]
            found = [pod for pod in ours if pod["spec"]["containers"][0]["image"] == wanted]
            return found if len(found) == deployment["spec"]["replicas"] else []

        return await eventually(made, what=f"pods of the operator with {wanted}")

    def process(self, pod: Json, kubeconfig: Path, log: Path, *, sources: Path | None = None) -> Operator:
        """Return the process of a pod's container, not started yet: entry point, arguments, environment.

        Args:
            pod: as the API server has it.
            kubeconfig: stands for the mounted token; the ports are free ones of loopback.
            log: where it writes.
            sources: the folder with the package `podtracker`; the repository's where absent.
        """
        env = {name: value for name, value in environment(pod).items() if not name.endswith("_BIND_ADDRESS")}
        env["KUBECONFIG"] = str(kubeconfig)
        if sources is not None:
            env["PYTHONPATH"] = str(sources)
        return Operator(env, log, command=[*entry_point(), *self.container["args"]])

    @property
    def _install(self) -> Json:
        install: Json = self.csv["spec"]["install"]["spec"]
        return install

    @property
    def _template(self) -> Json:
        template: Json = self._install["deployments"][0]["spec"]["template"]
        return template

    def _meta(self, name: str, namespace: str | None = "") -> Json:
        labels = {"olm.owner": self.csv["metadata"]["name"], "olm.owner.namespace": self.namespace}
        where = {} if namespace is None else {"namespace": namespace or self.namespace}
        return {"name": name, "labels": labels, **where}

    def _rbac(self) -> Iterator[Json]:
        for number, part in enumerate(self._install.get("clusterPermissions", ())):
            yield from self._grant(f"cluster-{number}", part["rules"], None)
        for number, part in enumerate(self._install.get("permissions", ())):
            for namespace in sorted({self.namespace, *self.targets}):
                yield from self._grant(f"own-{number}", part["rules"], namespace)
            if not self.targets:
                more = {"apiGroups": [""], "resources": ["namespaces"], "verbs": list(_NAMESPACE_VERBS)}
                yield from self._grant(f"global-{number}", [*part["rules"], more], None)

    def _grant(self, suffix: str, rules: Sequence[Json], namespace: str | None) -> Iterator[Json]:
        """A role and its binding: for one namespace, or for the cluster."""
        kind = "ClusterRole" if namespace is None else "Role"
        name = f"{self.csv['metadata']['name']}-{self.namespace}-{suffix}"
        base = {"apiVersion": f"{_RBAC}/v1", "metadata": self._meta(name, namespace)}
        subject = {"kind": "ServiceAccount", "name": self.account, "namespace": self.namespace}
        yield {**base, "kind": kind, "rules": list(rules)}
        yield {
            **base,
            "kind": f"{kind}Binding",
            "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": name},
            "subjects": [subject],
        }

    def _deployment(self) -> Json:
        [deployment] = self._install["deployments"]
        spec: Json = json.loads(json.dumps(deployment["spec"]))
        annotations = spec["template"]["metadata"].setdefault("annotations", {})
        annotations |= self.csv["metadata"]["annotations"]
        annotations |= {
            "olm.operatorGroup": "group",
            "olm.operatorNamespace": self.namespace,
            "olm.targetNamespaces": ",".join(self.targets),
        }
        for container in spec["template"]["spec"]["containers"]:
            added = {**self.settings, "OPERATOR_CONDITION_NAME": self.csv["metadata"]["name"]}
            own = [each for each in container["env"] if each["name"] not in added]
            container["env"] = [*own, *({"name": name, "value": value} for name, value in added.items())]
        spec["revisionHistoryLimit"] = 1
        meta = self._meta(deployment["name"])
        meta["labels"] |= deployment.get("label", {})
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


def entry_point() -> list[str]:
    """The image's, with this interpreter."""
    text = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
    [line] = re.findall(r"^ENTRYPOINT (\[.*\])$", text, re.MULTILINE)
    interpreter, *words = json.loads(line)
    assert interpreter.endswith("/bin/python")
    return [sys.executable, *words]


def environment(pod: Json) -> dict[str, str]:
    """Return the environment that a kubelet would give a pod's only container."""
    [container] = pod["spec"]["containers"]
    return {each["name"]: _value(pod, each) for each in container["env"]}


def _value(pod: Json, variable: Json) -> str:
    if "valueFrom" not in variable:
        return str(variable.get("value", ""))
    path: str = variable["valueFrom"]["fieldRef"]["fieldPath"]
    steps, _, quoted = path.partition("['")
    value: Any = pod
    for step in steps.split("."):
        value = value[step]
    # A key that is not there is an empty string to the kubelet.
    return str(value.get(quoted.removesuffix("']"), "") if quoted else value)
