# SPDX-License-Identifier: Apache-2.0
"""Mutations of folders, metadata, OpenShift's annotations and the kinds of objects."""

from __future__ import annotations

import base64
import json
import random
from typing import Any, Final

from bundle.changes import (
    BUNDLE,
    Change,
    add,
    add_file,
    add_rule,
    append,
    drop_annotation,
    kube_object,
    set_annotation,
)
from bundle.tree import Tree

_SCC: Final = {"apiGroups": ["security.openshift.io"], "resources": ["securitycontextconstraints"]}


_FEATURE: Final = "features.operators.openshift.io"


def _csv_name(tree: Tree) -> str:
    return tree.manifest_name("ClusterServiceVersion")


def _drop_metadata(key: str) -> Change:
    def change(tree: Tree) -> None:
        del tree.metadata[key]
        tree.files.pop("bundle.Dockerfile", None)

    return change


def _set_metadata(key: str, value: Any) -> Change:
    def change(tree: Tree) -> None:
        tree.metadata[key] = value
        tree.files.pop("bundle.Dockerfile", None)

    return change


def _drop_file(name: str) -> Change:
    def change(tree: Tree) -> None:
        del tree.files[name]

    return change


def _noise(size: int) -> str:
    return base64.b64encode(random.Random(1).randbytes(size)).decode()  # noqa: S311 - the same every time


def _big(size: int) -> Change:
    """Add objects that do not shrink."""

    def change(tree: Tree) -> None:
        for number in range(2):
            name = f"big-{number}"
            tree.add(kube_object("ConfigMap", name=name, data={"noise": _noise(size // 2 * 3 // 4)}), f"{name}.yaml")

    return change


def _two_documents(tree: Tree) -> None:
    name = tree.manifest_name("CustomResourceDefinition")
    append(tree, name, "\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: hidden}\n")


def _second_csv(tree: Tree) -> None:
    tree.add(json.loads(json.dumps(tree.csv)), "zz.yaml")


def _stray(tree: Tree) -> None:
    tree.files["bundle/tests/old.yaml"] = [kube_object("ClusterServiceVersion", "operators.coreos.com/v1alpha1")]


def _disconnected(tree: Tree) -> None:
    tree.annotations[f"{_FEATURE}/disconnected"] = "true"


_MANIFESTS: Final = "bundle/manifests"


CHANGES: Final[list[tuple[str, Change]]] = [
    ("layout-folders", _drop_file("bundle/metadata/annotations.yaml")),
    ("layout-flat", add_file(f"{_MANIFESTS}/deep/notes.txt", "nothing")),
    ("layout-flat", add_file(f"{_MANIFESTS}/.hidden", [kube_object("ConfigMap", name="hidden")])),
    ("layout-yaml", add_file(f"{_MANIFESTS}/broken.yaml", "a: [1,\n")),
    ("layout-yaml", add_file(f"{_MANIFESTS}/twice.yaml", "apiVersion: v1\nkind: Secret\nkind: ConfigMap\n")),
    (
        "layout-yaml",
        add_file(f"{_MANIFESTS}/alias.yaml", "apiVersion: v1\nkind: &a ConfigMap\nmetadata: {name: *a}\n"),
    ),
    ("layout-yaml", add_file(f"{_MANIFESTS}/latin.yaml", "kind: ä".encode("latin-1"))),
    ("layout-yaml", add_file(f"{_MANIFESTS}/huge.yaml", b"#" * (5 * 1024**2))),
    ("layout-yaml", add_file(f"{_MANIFESTS}/deep.yaml", "[" * 20_000)),
    ("layout-one-document", _two_documents),
    ("layout-one-document", add_file(f"{_MANIFESTS}/empty.yaml", "# nothing\n")),
    ("layout-object", add_file(f"{_MANIFESTS}/list.yaml", "- a\n")),
    ("layout-object", add({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}})),
    ("layout-one-csv", lambda tree: tree.files.pop(_csv_name(tree))),
    ("layout-one-csv", _second_csv),
    ("layout-stray-csv", _stray),
    ("layout-strings", set_annotation("operators.lost.backend/extra", True)),
    ("layout-strings", set_annotation("createdAt", 20260131)),
    ("layout-strings", add_file(f"{_MANIFESTS}/n.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: n}\n")),
    ("layout-strings", add_file(f"{_MANIFESTS}/on.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: on}\n")),
    ("layout-strings", _set_metadata("com.example.extra", True)),
    ("layout-unique", lambda tree: tree.add(json.loads(json.dumps(tree.crd)))),
    ("layout-size", _big(1_200_000)),
    ("layout-size-near", _big(950_000)),
    ("layout-annotations-size", set_annotation("operators.lost.backend/extra", "x" * 200_000)),
    ("annotations-file", add_file("bundle/metadata/annotations.yaml", "labels: {}\n")),
    ("annotations-mediatype", _set_metadata(f"{BUNDLE}.mediatype.v1", "helm+v1")),
    ("annotations-mediatype", _drop_metadata(f"{BUNDLE}.mediatype.v1")),
    ("annotations-folders", _set_metadata(f"{BUNDLE}.manifests.v1", "deploy/")),
    ("annotations-package", _drop_metadata(f"{BUNDLE}.package.v1")),
    ("annotations-package", _set_metadata(f"{BUNDLE}.package.v1", "1_tracker")),
    ("annotations-package-name", _set_metadata(f"{BUNDLE}.package.v1", "another")),
    ("annotations-channels", _drop_metadata(f"{BUNDLE}.channels.v1")),
    ("annotations-channels", _set_metadata(f"{BUNDLE}.channels.v1", "stable,,")),
    ("annotations-channel-names", _set_metadata(f"{BUNDLE}.channels.v1", "stable,alpha")),
    ("annotations-default-channel", _set_metadata(f"{BUNDLE}.channel.default.v1", "")),
    ("annotations-scorecard", _drop_metadata("operators.operatorframework.io.test.config.v1")),
    ("annotations-scorecard", _drop_file("bundle/tests/scorecard/config.yaml")),
    (
        "annotations-metrics",
        _set_metadata("operators.operatorframework.io.metrics.project_layout", "go.kubebuilder.io/v4"),
    ),
    ("dependencies-form", add_file("bundle/metadata/dependencies.yaml", [{"dependencies": [{"type": "olm.thing"}]}])),
    (
        "dependencies-form",
        add_file(
            "bundle/metadata/dependencies.yaml", [{"dependencies": [{"type": "olm.label", "value": {"label": ""}}]}]
        ),
    ),
    (
        "dependencies-olm-v1",
        add_file(
            "bundle/metadata/dependencies.yaml",
            [{"dependencies": [{"type": "olm.package", "value": {"packageName": "other", "version": ">=1.0.0"}}]}],
        ),
    ),
    (
        "dependencies-olm-v1",
        add_file(
            "bundle/metadata/properties.yaml",
            [{"properties": [{"type": "olm.package.required", "value": {"packageName": "other"}}]}],
        ),
    ),
    ("properties-form", add_file("bundle/metadata/properties.yaml", [{"properties": [{"type": "olm.x"}]}])),
    (
        "properties-max-openshift",
        add_file(
            "bundle/metadata/properties.yaml",
            [{"properties": [{"type": "olm.maxOpenShiftVersion", "value": "4.20"}]}],
        ),
    ),
    ("properties-annotation", set_annotation("olm.properties", "[]")),
    ("openshift-versions", _set_metadata("com.redhat.openshift.versions", "v4.16-")),
    ("openshift-versions", _set_metadata("com.redhat.openshift.versions", "v4.20-v4.16")),
    ("openshift-versions-missing", _drop_metadata("com.redhat.openshift.versions")),
    ("openshift-versions-kubernetes", _set_metadata("com.redhat.openshift.versions", "v4.12-v4.20")),
    ("features-present", drop_annotation(f"{_FEATURE}/tls-profiles")),
    ("features-values", set_annotation(f"{_FEATURE}/tls-profiles", "\u201ctrue\u201d")),
    ("features-values", set_annotation(f"{_FEATURE}/teleport", "false")),
    ("features-disconnected", _disconnected),
    ("features-scc", add_rule({**_SCC, "resourceNames": ["a", "b"], "verbs": ["use"]})),
    ("object-metadata", add(kube_object("ConfigMap", name="Not_a_name"))),
    ("object-metadata", lambda tree: tree.crd["metadata"]["labels"].update({"example.com/team": "a team"})),
    ("object-metadata", lambda tree: tree.crd["metadata"]["labels"].update({"example.com/": "team"})),
    ("kind-supported", add(kube_object("Namespace"))),
    ("kind-pod-monitor", add(kube_object("PodMonitor", "monitoring.coreos.com/v1"))),
    ("kind-needs-crd", add(kube_object("ServiceMonitor", "monitoring.coreos.com/v1"))),
    ("kind-network-policy", add(kube_object("NetworkPolicy", "networking.k8s.io/v1"))),
    ("service-account", lambda tree: tree.add(kube_object("ServiceAccount", name=tree.pod["serviceAccountName"]))),
    ("disruption-budget", add(kube_object("PodDisruptionBudget", "policy/v1", spec={"maxUnavailable": "50%"}))),
    ("disruption-budget", add(kube_object("PodDisruptionBudget", "policy/v1", spec={"minAvailable": "100%"}))),
    ("priority-class", add(kube_object("PriorityClass", "scheduling.k8s.io/v1", globalDefault=True, value=1))),
    (
        "role-disruption-budgets",
        add(
            kube_object(
                "Role",
                "rbac.authorization.k8s.io/v1",
                rules=[{"apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": ["create"]}],
            )
        ),
    ),
    (
        "role-default-sccs",
        add(
            kube_object(
                "ClusterRole",
                "rbac.authorization.k8s.io/v1",
                rules=[{**_SCC, "resourceNames": ["privileged"], "verbs": ["update"]}],
            )
        ),
    ),
]
