# SPDX-License-Identifier: Apache-2.0
"""§1b and §1g: what OpenShift's catalogs and preflight ask for."""

from __future__ import annotations

import re
from typing import Final

from bundlecheck import names, semver
from bundlecheck.checks.workloads import containers, images
from bundlecheck.node import Node
from bundlecheck.registry import ERROR, WARNING, Problems, check
from bundlecheck.subject import Subject

VERSIONS: Final = "com.redhat.openshift.versions"
FEATURES: Final = "features.operators.openshift.io"

_RANGE: Final = re.compile(r"v4\.(\d+)(?:-v4\.(\d+))?|=v4\.(\d+)")
_KUBERNETES_AHEAD: Final = 13
"""OpenShift 4.N has Kubernetes 1.(N+13)."""

_REQUIRED: Final = (
    "disconnected",
    "fips-compliant",
    "proxy-aware",
    "tls-profiles",
    "token-auth-aws",
    "token-auth-azure",
    "token-auth-gcp",
)
_OPTIONAL: Final = ("cnf", "cni", "csi")


@check(
    "openshift-versions",
    ERROR,
    "§1b; preflight, the bundle's OpenShift versions",
    "Write `v4.16`, `v4.16-v4.20` or `=v4.16`.",
    needs_csv=False,
)
def versions(subject: Subject) -> Problems:
    """The range of OpenShift versions has one of the three forms."""
    node = subject.annotations.at(VERSIONS)
    if not node.exists or not isinstance(node.value, str):
        return
    match = _RANGE.fullmatch(node.value)
    if match is None:
        yield node, f"`{node.value}` is no range of OpenShift versions"
    elif match[2] and int(match[1]) > int(match[2]):
        yield node, f"`{node.value}` ends before it begins"


@check(
    "openshift-versions-missing",
    ERROR,
    "§1b; OperatorHub pipeline, check_api_version_constraints",
    "Add com.redhat.openshift.versions to metadata/annotations.yaml: the first OpenShift with that Kubernetes.",
)
def versions_missing(subject: Subject) -> Problems:
    """Whoever sets minKubeVersion names the OpenShift versions too."""
    if subject.csv.at("spec", "minKubeVersion").text and subject.annotations.exists:
        node = subject.annotations.at(VERSIONS)
        if not node.exists:
            yield node, f"minKubeVersion is set, and {VERSIONS} is missing"


@check(
    "openshift-versions-kubernetes",
    ERROR,
    "§1b; OperatorHub pipeline, check_api_version_constraints",
    "Begin the range at OpenShift 4.(minor of minKubeVersion - 13), or lower minKubeVersion.",
)
def versions_kubernetes(subject: Subject) -> Problems:
    """No OpenShift of the range has an older Kubernetes than minKubeVersion."""
    node = subject.annotations.at(VERSIONS)
    match = _RANGE.fullmatch(node.text)
    minimum = semver.core(subject.csv.at("spec", "minKubeVersion").text)
    if match and minimum:
        first = int(match[1] or match[3])
        kubernetes = (1, first + _KUBERNETES_AHEAD)
        if kubernetes < minimum[:2]:
            has, needs = f"{kubernetes[0]}.{kubernetes[1]}", f"{minimum[0]}.{minimum[1]}"
            yield node, f"OpenShift 4.{first} has Kubernetes {has}; minKubeVersion asks for {needs}"


@check(
    "features-present",
    ERROR,
    "§1g; preflight, RequiredAnnotations",
    'Write each of the seven with "true" or "false"; "true" only what is tested.',
)
def features_present(subject: Subject) -> Problems:
    """The CSV says of each of OpenShift's seven features whether it has it."""
    if not subject.csv_annotations().mapping:
        return
    for feature in _REQUIRED:
        node = subject.csv_annotations().at(f"{FEATURES}/{feature}")
        if not node.exists:
            yield node, f"{FEATURES}/{feature} is missing"


@check(
    "features-values",
    ERROR,
    "§1g; preflight, RequiredAnnotations",
    'Write "true" or "false" in plain lower case, without typographic quotes.',
)
def features_values(subject: Subject) -> Problems:
    """The features are exactly "true" or "false", and known."""
    for key, node in subject.csv_annotations().fields():
        prefix, _, feature = key.partition("/")
        if prefix != FEATURES:
            continue
        if feature not in _REQUIRED + _OPTIONAL:
            yield node, f"{feature} is no feature that OpenShift knows"
        elif isinstance(node.value, str) and node.value not in {"true", "false"}:
            yield node, f"`{node.value}` is neither true nor false"


@check(
    "features-disconnected",
    ERROR,
    "§1g; preflight, FollowsRestrictedNetworkEnablementGuidelines",
    "Name every image by its digest, list them in relatedImages and give them to the container as RELATED_IMAGE_*;"
    ' or say disconnected "false".',
)
def disconnected(subject: Subject) -> Problems:
    """Whoever claims to work disconnected names all images by digest."""
    claim = subject.csv_annotations().at(f"{FEATURES}/disconnected")
    if claim.value != "true":
        return
    related = subject.csv.at("spec", "relatedImages").items()
    if not related:
        yield subject.csv.at("spec", "relatedImages"), "there are no relatedImages"
    for node in [*(image.at("image") for image in related), *images(subject)]:
        if node.text and not names.has_digest(node.text):
            yield node, f"`{node.text}` has no digest"
    variables = [variable.at("name").text for each in containers(subject) for variable in each.at("env").items()]
    if not any(name.startswith("RELATED_IMAGE_") for name in variables):
        yield claim, "no container has a variable RELATED_IMAGE_*"


@check(
    "features-scc",
    WARNING,
    "§1g; preflight, SecurityContextConstraintsInCSV",
    "Ask for one SecurityContextConstraints at most.",
)
def one_scc(subject: Subject) -> Problems:
    """The CSV asks for one SecurityContextConstraints at most."""
    asked: list[tuple[Node, str]] = []
    install = subject.csv.at("spec", "install", "spec")
    for part in ("permissions", "clusterPermissions"):
        for rule in (rule for each in install.at(part).items() for rule in each.at("rules").items()):
            if "securitycontextconstraints" in rule.at("resources").texts():
                asked += [(rule.at("resourceNames"), name) for name in rule.at("resourceNames").texts()]
    for node, name in asked[1:]:
        yield node, f"`{name}` is one more than the first, `{asked[0][1]}`"
