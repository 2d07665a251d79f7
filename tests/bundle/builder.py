# SPDX-License-Identifier: Apache-2.0
"""A small bundle without a fault, made from the repository's CRD; its releases are 0.1.0 and 0.2.0."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any, Final

import yaml

from bundle.tree import REPOSITORY, Tree

IMAGE: Final = "quay.io/lost-backend/pod-tracker:v0.2.0"
_ACCOUNT: Final = "pod-tracker-controller-manager"
_NAME: Final = "pod-tracker.v0.2.0"
_BUNDLE: Final = "operators.operatorframework.io.bundle"
_FEATURES: Final = (
    "disconnected", "fips-compliant", "proxy-aware", "tls-profiles", "token-auth-aws", "token-auth-azure",
    "token-auth-gcp",
)  # fmt: skip
_RULES: Final = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
    {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["pod-tracker-reporter"], "verbs": ["get"]},
]
_CLUSTER_RULES: Final = [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list"]}]


def good_tree() -> Tree:
    """The bundle, its catalog, its Dockerfiles and config/rbac."""
    crd = yaml.safe_load((REPOSITORY / "config/crd/bases/pod-tracker.lost.backend_podtrackers.yaml").read_text())
    crd["metadata"]["labels"]["app.kubernetes.io/version"] = "0.2.0"
    annotations = _annotations()
    labels = "".join(f"LABEL {key}={value}\n" for key, value in annotations.items())
    return Tree(
        {
            "bundle/manifests/pod-tracker.clusterserviceversion.yaml": [_csv()],
            "bundle/manifests/pod-tracker.lost.backend_podtrackers.yaml": [crd],
            "bundle/metadata/annotations.yaml": [{"annotations": annotations}],
            "bundle/tests/scorecard/config.yaml": [_scorecard()],
            "catalog/catalog.yaml": _catalog(),
            "config/rbac/role.yaml": [_role("ClusterRole", [*_RULES, *_CLUSTER_RULES])],
            "config/rbac/role_binding.yaml": [_binding()],
            "bundle.Dockerfile": f"FROM scratch\n\n{labels}\nCOPY bundle/manifests /manifests/\n"
            "COPY bundle/metadata /metadata/\nCOPY bundle/tests/scorecard /tests/scorecard/\n",
            "catalog.Dockerfile": "ARG OPM=quay.io/operator-framework/opm:v1.60.0\nFROM ${OPM}\nADD catalog /configs\n"
            "LABEL operators.operatorframework.io.index.configs.v1=/configs\n",
            "Dockerfile": 'FROM scratch\nLABEL name="pod-tracker" vendor="lost.backend" version="0.2.0" \\\n'
            '  release="1" summary="s" description="d" maintainer="m"\nCOPY LICENSE /licenses/\nUSER 65532:65532\n',
        }
    )


def _annotations() -> dict[str, str]:
    return {
        f"{_BUNDLE}.mediatype.v1": "registry+v1",
        f"{_BUNDLE}.manifests.v1": "manifests/",
        f"{_BUNDLE}.metadata.v1": "metadata/",
        f"{_BUNDLE}.package.v1": "pod-tracker",
        f"{_BUNDLE}.channels.v1": "stable,candidate",
        f"{_BUNDLE}.channel.default.v1": "stable",
        "operators.operatorframework.io.test.mediatype.v1": "scorecard+v1",
        "operators.operatorframework.io.test.config.v1": "tests/scorecard/",
        "com.redhat.openshift.versions": "v4.16",
    }


def _csv() -> dict[str, Any]:
    svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><path d="M0 0h1v1z"/></svg>'
    return {
        "apiVersion": "operators.coreos.com/v1alpha1",
        "kind": "ClusterServiceVersion",
        "metadata": {
            "name": _NAME,
            "namespace": "placeholder",
            "annotations": _csv_annotations(),
            "labels": {
                "operatorframework.io/arch.amd64": "supported",
                "operatorframework.io/os.linux": "supported",
                "app.kubernetes.io/version": "0.2.0",
            },
        },
        "spec": {
            "displayName": "PodTracker",
            "description": "Tells people, once per occurrence, what happens to their pods.",
            "version": "0.2.0",
            "replaces": "pod-tracker.v0.1.0",
            "minKubeVersion": "1.29.0",
            "maturity": "alpha",
            "keywords": ["pods", "slack"],
            "icon": [{"base64data": base64.b64encode(svg.encode()).decode(), "mediatype": "image/svg+xml"}],
            "links": [{"name": "Sources", "url": "https://git.example/pod-tracker"}],
            "maintainers": [{"name": "Maintainers", "email": "maintainers@lost.example"}],
            "provider": {"name": "lost.backend"},
            "installModes": [
                {"type": mode, "supported": True}
                for mode in ("OwnNamespace", "SingleNamespace", "MultiNamespace", "AllNamespaces")
            ],
            "customresourcedefinitions": {"owned": [_owned()]},
            "relatedImages": [{"name": "manager", "image": IMAGE}],
            "install": {"strategy": "deployment", "spec": _install()},
        },
    }


def _csv_annotations() -> dict[str, str]:
    example = {
        "apiVersion": "pod-tracker.lost.backend/v1",
        "kind": "PodTracker",
        "metadata": {"name": "nginx"},
        "spec": {
            "name": "nginx",
            "reporter": {"kind": "slack", "channel": "C0821GM4602", "keySecretRef": {"name": "pod-tracker-reporter"}},
        },
    }
    return {
        "alm-examples": json.dumps([example]),
        "alm-examples-metadata": json.dumps({"nginx": {"description": "Tells when the pod nginx is created."}}),
        "capabilities": "Basic Install",
        "categories": "Monitoring",
        "containerImage": IMAGE,
        "createdAt": "2026-01-31T00:00:00Z",
        "description": "Tells people what happens to their pods.",
        "repository": "https://git.example/pod-tracker",
        "support": "lost.backend",
        "olm.skipRange": ">=0.1.0 <0.2.0",
        "operatorframework.io/suggested-namespace": "pod-tracker-system",
        "operatorframework.io/suggested-namespace-template": json.dumps(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "pod-tracker-system"}}
        ),
        **{f"features.operators.openshift.io/{feature}": "false" for feature in _FEATURES},
    }


def _owned() -> dict[str, Any]:
    def descriptor(path: str, kind: str = "text") -> dict[str, Any]:
        word = f"urn:alm:descriptor:com.tectonic.ui:{kind}"
        return {"path": path, "displayName": path.title(), "description": f"The {path}.", "x-descriptors": [word]}

    return {
        "name": "podtrackers.pod-tracker.lost.backend",
        "version": "v1",
        "kind": "PodTracker",
        "displayName": "Pod tracker",
        "description": "Reports what happens to pods of its namespace.",
        "resources": [{"kind": "Event", "version": "v1", "name": ""}, {"kind": "Pod", "version": "v1", "name": ""}],
        "specDescriptors": [descriptor("name"), descriptor("reporter"), descriptor("reporter.channel")],
        "statusDescriptors": [descriptor("status"), descriptor("podCount", "podCount")],
    }


def _affinity() -> dict[str, Any]:
    wanted = {"arch": "amd64", "os": "linux"}
    terms = [{"key": f"kubernetes.io/{key}", "operator": "In", "values": [value]} for key, value in wanted.items()]
    selector = {"nodeSelectorTerms": [{"matchExpressions": terms}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": selector}}


def _install() -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "pod-tracker"}
    probe = {"httpGet": {"path": "/healthz", "port": 8081}}
    container = {
        "name": "manager",
        "image": IMAGE,
        "args": ["run"],
        "env": [
            {
                "name": "WATCH_NAMESPACE",
                "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['olm.targetNamespaces']"}},
            },
            {"name": "RELATED_IMAGE_MANAGER", "value": IMAGE},
        ],
        "resources": {"requests": {"cpu": "10m", "memory": "96Mi"}},
        "livenessProbe": probe,
        "readinessProbe": probe,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod = {
        "serviceAccountName": _ACCOUNT,
        "affinity": _affinity(),
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {
        "deployments": [
            {"name": _ACCOUNT, "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}}
        ],
        "permissions": [{"serviceAccountName": _ACCOUNT, "rules": copy.deepcopy(_RULES)}],
        "clusterPermissions": [{"serviceAccountName": _ACCOUNT, "rules": copy.deepcopy(_CLUSTER_RULES)}],
    }


def _scorecard() -> dict[str, Any]:
    test = {
        "image": "quay.io/operator-framework/scorecard-test:v1.42.0",
        "entrypoint": ["scorecard-test", "basic-check-spec"],
        "labels": {"suite": "basic"},
    }
    return {
        "apiVersion": "scorecard.operatorframework.io/v1alpha3",
        "kind": "Configuration",
        "metadata": {"name": "config"},
        "stages": [{"parallel": True, "tests": [test]}],
    }


def _catalog() -> list[Any]:
    def bundle(version: str) -> dict[str, Any]:
        kind = {"group": "pod-tracker.lost.backend", "version": "v1", "kind": "PodTracker"}
        return {
            "schema": "olm.bundle",
            "package": "pod-tracker",
            "name": f"pod-tracker.v{version}",
            "image": f"quay.io/lost-backend/pod-tracker-bundle:v{version}",
            "properties": [
                {"type": "olm.package", "value": {"packageName": "pod-tracker", "version": version}},
                {"type": "olm.gvk", "value": kind},
                {"type": "olm.csv.metadata", "value": {"displayName": "PodTracker"}},
            ],
            "relatedImages": [{"name": "manager", "image": f"quay.io/lost-backend/pod-tracker:v{version}"}],
        }

    def channel(name: str) -> dict[str, Any]:
        entries = [{"name": "pod-tracker.v0.1.0"}, {"name": _NAME, "replaces": "pod-tracker.v0.1.0"}]
        return {"schema": "olm.channel", "package": "pod-tracker", "name": name, "entries": entries}

    return [
        {"schema": "olm.package", "name": "pod-tracker", "defaultChannel": "stable"},
        channel("stable"),
        channel("candidate"),
        bundle("0.1.0"),
        bundle("0.2.0"),
    ]


def _role(kind: str, rules: list[Any]) -> dict[str, Any]:
    metadata = {"name": "pod-tracker-manager-role"}
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata, "rules": rules}


def _binding() -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "pod-tracker-manager-rolebinding"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "pod-tracker-manager-role",
        },
        "subjects": [{"kind": "ServiceAccount", "name": _ACCOUNT, "namespace": "pod-tracker-system"}],
    }
