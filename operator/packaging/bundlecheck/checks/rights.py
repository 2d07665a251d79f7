# SPDX-License-Identifier: Apache-2.0
"""§1d, §1j and §2f: the rights that the CSV asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from bundlecheck.checks.crds import owned
from bundlecheck.node import Node
from bundlecheck.reading import parse
from bundlecheck.registry import ERROR, WARNING, Problems, check
from bundlecheck.subject import Subject

_GROUPS: Final = frozenset({
    "", "apps", "autoscaling", "batch", "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io", "policy",
})  # fmt: skip
"""API groups of Kubernetes in which all is namespaced but these."""

_CLUSTER_SCOPED: Final = frozenset({"namespaces", "nodes", "persistentvolumes", "componentstatuses"})

_MISTAKEN: Final = {
    "cronjobs": "CronJob",
    "endpointslices": "EndpointSlice",
    "events": "Event",
    "horizontalpodautoscalers": "HorizontalPodAutoscaler",
    "poddisruptionbudgets": "PodDisruptionBudget",
}
"""Resources that operator-sdk 1.42 takes for removed versions wherever a rule names them."""

_PARTS: Final = ("permissions", "clusterPermissions")

Right = tuple[str, str, str, str]
"""API group, resource, verb, resource name."""


def _rules(subject: Subject, *parts: str) -> list[Node]:
    install = subject.csv.at("spec", "install", "spec")
    return [rule for part in parts for each in install.at(part).items() for rule in each.at("rules").items()]


@check(
    "rights-rules",
    ERROR,
    "§1d; the CSV's CRD; Kubernetes, PolicyRule",
    "Write serviceAccountName, and rules with apiGroups, resources and verbs.",
)
def whole(subject: Subject) -> Problems:
    """Every permission has a ServiceAccount and whole rules."""
    install = subject.csv.at("spec", "install", "spec")
    for part in (each for key in _PARTS for each in install.at(key).items()):
        if not part.at("serviceAccountName").text:
            yield part.at("serviceAccountName"), "serviceAccountName is missing"
        if not part.at("rules").items():
            yield part.at("rules"), "there are no rules"
    for rule in _rules(subject, *_PARTS):
        keys = ("verbs",) if rule.at("nonResourceURLs").exists else ("apiGroups", "resources", "verbs")
        for key in keys:
            if not rule.at(key).texts():
                yield rule.at(key), f"{key} is missing"


@check(
    "rights-wildcards",
    WARNING,
    "§4a: a defect of argocd-operator's CSV",
    "Name what is needed.",
)
def wildcards(subject: Subject) -> Problems:
    """No rule grants everything of anything."""
    for rule in _rules(subject, *_PARTS):
        for key in ("apiGroups", "resources", "verbs"):
            for node in rule.at(key).items():
                if "*" in node.text:
                    yield node, f"`{node.text}` grants what nobody has listed"


@check(
    "rights-crds",
    WARNING,
    "§1d; operator-framework/api, good practices",
    "Ask for get, list and watch only: OLM installs the CRDs.",
)
def crds(subject: Subject) -> Problems:
    """The operator may not write CustomResourceDefinitions."""
    for rule in _rules(subject, *_PARTS):
        if "apiextensions.k8s.io" not in rule.at("apiGroups").texts():
            continue
        verbs = set(rule.at("verbs").texts()) & {"create", "patch", "update", "delete"}
        if verbs and any(name.startswith("customresourcedefinitions") for name in rule.at("resources").texts()):
            yield rule.at("verbs"), f"it may {', '.join(sorted(verbs))} customresourcedefinitions"


@check(
    "rights-scope",
    WARNING,
    "§0, §2f: OLM lifts `permissions` to the cluster when the OperatorGroup is global, never the reverse",
    "Move the rule to `permissions`.",
)
def scope(subject: Subject) -> Problems:
    """ClusterPermissions ask only for what is cluster-scoped."""
    own = {description.at("name").text.partition(".")[2] for description in owned(subject)}
    for rule in _rules(subject, "clusterPermissions"):
        if set(rule.at("apiGroups").texts()) & (_GROUPS | own):
            for resource in rule.at("resources").texts():
                if resource.partition("/")[0] not in _CLUSTER_SCOPED and "*" not in resource:
                    yield rule, f"{resource} are namespaced: for an OperatorGroup of one namespace this is too much"


@check(
    "rights-mistaken",
    WARNING,
    "§1d; operator-sdk 1.42 takes these resources for removed versions",
    'List the kind in the resources of an owned CRD, such as {kind: Event, version: v1, name: ""}.',
)
def mistaken(subject: Subject) -> Problems:
    """Resources that operator-sdk takes for removed ones are listed in an owned CRD's resources."""
    listed = {each.at("kind").text for description in owned(subject) for each in description.at("resources").items()}
    has_resources = any(description.at("resources").items() for description in owned(subject))
    for rule in _rules(subject, *_PARTS) if has_resources else ():
        for node in rule.at("resources").items():
            kind = _MISTAKEN.get(node.text)
            if kind is not None and kind not in listed:
                yield node, f"operator-sdk warns of {node.text}"


@check(
    "rights-same",
    ERROR,
    "§1j: the CSV and config/rbac grant the same",
    "Render both from one source, as `make bundle` does.",
)
def same(subject: Subject) -> Problems:
    """The CSV asks for exactly the rights that config/rbac grants the operator."""
    node = subject.csv.at("spec", "install", "spec")
    granted = _granted(subject)
    if granted is None or not node.at("deployments").items():
        return
    asked = {right for rule in _rules(subject, *_PARTS) for right in _rights(rule)}
    for right in sorted(asked - granted):
        yield node, f"only the CSV has the right to {_told(right)}"
    for right in sorted(granted - asked):
        yield node, f"only config/rbac has the right to {_told(right)}"


def _told(right: Right) -> str:
    group, resource, verb, name = right
    return f"{verb} {resource}{f'.{group}' if group else ''}{f' named {name}' if name else ''}"


def _rights(rule: Node) -> Iterator[Right]:
    for group in rule.at("apiGroups").texts():
        for resource in rule.at("resources").texts():
            for verb in rule.at("verbs").texts():
                for name in rule.at("resourceNames").texts() or [""]:
                    yield group, resource, verb, name


def _granted(subject: Subject) -> set[Right] | None:
    """What config/rbac grants the ServiceAccounts of the CSV; None when there is no config/rbac."""
    folder = subject.repository / "config" / "rbac"
    documents = [Node(each, "") for path in sorted(folder.glob("*.yaml")) for each in _documents(path.read_bytes())]
    accounts = {
        part.at("serviceAccountName").text
        for key in _PARTS
        for part in subject.csv.at("spec", "install", "spec", key).items()
    }
    roles = {(each.at("kind").text, each.at("metadata", "name").text): each for each in documents}
    bound = [
        (binding.at("roleRef", "kind").text, binding.at("roleRef", "name").text)
        for binding in documents
        if binding.at("kind").value in {"RoleBinding", "ClusterRoleBinding"}
        for each in binding.at("subjects").items()
        if each.at("kind").value == "ServiceAccount" and each.at("name").text in accounts
    ]
    if not bound:
        return None
    rules = [rule for key in bound if key in roles for rule in roles[key].at("rules").items()]
    return {right for rule in rules for right in _rights(rule)}


def _documents(content: bytes) -> tuple[Any, ...]:
    documents = parse(content)
    return () if isinstance(documents, str) else documents
