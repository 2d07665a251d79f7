# SPDX-License-Identifier: Apache-2.0
"""Mutations of rights, deployments, install modes, webhooks, images and Dockerfiles."""

from __future__ import annotations

import copy
from typing import Any, Final

from bundle.changes import (
    BUNDLE,
    Change,
    add,
    add_file,
    add_rule,
    append,
    kube_object,
    set_spec,
)
from bundle.tree import Tree


def _replace(tree: Tree, name: str, old: str, new: str) -> None:
    text = tree.text(name)
    assert old in text
    tree.files[name] = text.replace(old, new)


def _webhook(**fields: Any) -> Change:
    def change(tree: Tree) -> None:
        tree.spec["webhookdefinitions"] = [
            {
                "type": "ValidatingAdmissionWebhook",
                "generateName": "check.pod-tracker.lost.backend",
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "deploymentName": tree.deployment["name"],
                "rules": [
                    {
                        "apiGroups": ["pod-tracker.lost.backend"],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["podtrackers"],
                    }
                ],
                **fields,
            }
        ]

    return change


def _mode(mode: str, supported: bool) -> Change:
    def change(tree: Tree) -> None:
        for each in tree.spec["installModes"]:
            if each["type"] == mode:
                each["supported"] = supported

    return change


def _affinity(tree: Tree) -> None:
    required = tree.pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    [expression] = [
        each for each in required["nodeSelectorTerms"][0]["matchExpressions"] if each["key"] == "kubernetes.io/arch"
    ]
    expression["values"] = ["sparc"]


def _selectors(tree: Tree) -> None:
    tree.deployment["spec"]["template"]["metadata"]["labels"] = {"other": "pods"}


def _no_env(tree: Tree, name: str) -> None:
    tree.container["env"] = [each for each in tree.container["env"] if each["name"] != name]


def _foreign_service_account(tree: Tree) -> None:
    tree.pod["serviceAccountName"] = "another"


def _unsafe(tree: Tree) -> None:
    tree.pod["securityContext"]["runAsNonRoot"] = False
    tree.container["securityContext"].pop("runAsNonRoot", None)


def _no_event(tree: Tree) -> None:
    tree.owned["resources"] = [each for each in tree.owned["resources"] if each["kind"] != "Event"]


def _scorecard(tree: Tree) -> None:
    content = tree.files["bundle/tests/scorecard/config.yaml"]
    assert isinstance(content, list)
    del content[0]["stages"][0]["tests"][0]["image"]


def _released_with_more(tree: Tree) -> None:
    """The release before had a field that is gone."""
    old = copy.deepcopy(tree.crd)
    spec = old["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["colour"] = {"type": "string", "maxLength": 10}
    tree.files[f"releases/{_version_before(tree)}/manifests/crd.yaml"] = [old]


def _replaces_another(tree: Tree) -> None:
    tree.files["releases/0.0.9/manifests/crd.yaml"] = [copy.deepcopy(tree.crd)]
    tree.spec["replaces"] = "pod-tracker.v0.0.8"


def _version_before(tree: Tree) -> str:
    """The version that the CSV replaces, or any older one."""
    replaced: str = tree.spec.get("replaces", "pod-tracker.v0.0.9")
    return replaced.partition(".v")[2]


CHANGES: Final[list[tuple[str, Change]]] = [
    ("rights-rules", lambda tree: tree.install["permissions"].append({"serviceAccountName": "", "rules": [{}]})),
    ("rights-wildcards", add_rule({"apiGroups": ["example.com"], "resources": ["things"], "verbs": ["*"]})),
    (
        "rights-crds",
        add_rule(
            {"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": ["create"]},
            "clusterPermissions",
        ),
    ),
    (
        "rights-scope",
        add_rule({"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]}, "clusterPermissions"),
    ),
    ("rights-mistaken", _no_event),
    ("rights-same", lambda tree: tree.install["permissions"][0]["rules"].pop()),
    ("deployments-present", lambda tree: tree.install.update(deployments=[])),
    ("deployments-names", lambda tree: tree.deployment.update(name="Pod_Tracker")),
    ("deployments-selector", _selectors),
    ("deployments-service-account", _foreign_service_account),
    ("deployments-arch-affinity", _affinity),
    ("deployments-arch-affinity", lambda tree: tree.pod["affinity"].pop("nodeAffinity")),
    ("container-manager", lambda tree: tree.container.update(name="operator")),
    ("container-requests", lambda tree: tree.container["resources"]["requests"].pop("memory")),
    ("container-probes", lambda tree: tree.container.pop("livenessProbe")),
    ("container-security", _unsafe),
    ("container-security", lambda tree: tree.container["securityContext"].pop("capabilities")),
    ("container-read-only", lambda tree: tree.container["securityContext"].pop("readOnlyRootFilesystem")),
    ("container-watch-namespace", lambda tree: _no_env(tree, "WATCH_NAMESPACE")),
    ("container-watch-namespace", lambda tree: tree.set_env("WATCH_NAMESPACE", value="")),
    ("container-operator-condition", lambda tree: tree.set_env("OPERATOR_CONDITION_NAME", value="x")),
    ("csv-shape", set_spec("MinKubeVersion", "1.29.0")),
    ("csv-shape", set_spec("keywords", ["pods", 7])),
    ("install-modes-any", lambda tree: [each.update(supported=False) for each in tree.spec["installModes"]]),
    ("install-modes-once", lambda tree: tree.spec["installModes"].append(tree.spec["installModes"][0])),
    ("install-modes-once", lambda tree: tree.spec["installModes"].pop(0)),
    ("install-modes-all-namespaces", _mode("AllNamespaces", supported=False)),
    ("install-modes-all", _mode("MultiNamespace", supported=False)),
    ("webhook-conversion", _webhook(type="ConversionWebhook", conversionCRDs=["podtrackers.pod-tracker.lost.backend"])),
    ("webhook-deployment", _webhook(deploymentName="nobody")),
    ("webhook-names", _webhook(generateName="Check_It")),
    ("webhook-rules", _webhook(rules=[{"apiGroups": ["*"], "resources": ["things"]}])),
    ("images-valid", lambda tree: tree.spec["relatedImages"].append({"name": "extra", "image": "https://quay.io/x"})),
    ("images-related", lambda tree: tree.set_env("RELATED_IMAGE_EXTRA", value="quay.io/lost-backend/extra:v1")),
    ("apis-removed", add(kube_object("PodDisruptionBudget", "policy/v1beta1", spec={"maxUnavailable": 1}))),
    (
        "apis-vanishing",
        lambda tree: (
            tree.spec.update(minKubeVersion="1.24.0"),
            tree.add(kube_object("PodDisruptionBudget", "policy/v1beta1", spec={"maxUnavailable": 1})),
        ),
    ),
    ("scorecard-config", _scorecard),
    ("dockerfile-labels", lambda tree: append(tree, "bundle.Dockerfile", f"LABEL {BUNDLE}.package.v1=another\n")),
    ("dockerfile-bundle", lambda tree: _replace(tree, "bundle.Dockerfile", "/manifests/\n", "/deploy/\n")),
    ("dockerfile-catalog", lambda tree: _replace(tree, "catalog.Dockerfile", "v1=/configs", "v1=/other")),
    ("dockerfile-operator", lambda tree: append(tree, "Dockerfile", "USER root\n")),
    ("dockerfile-layers", lambda tree: append(tree, "Dockerfile", "RUN true\n" * 31)),
    ("release-crd", _released_with_more),
    ("release-replaces", _replaces_another),
    ("community-ci", add_file("ci.yaml", "updateGraph: random-mode\nreviewers: []\n")),
]
