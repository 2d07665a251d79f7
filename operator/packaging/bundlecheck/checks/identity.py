# SPDX-License-Identifier: Apache-2.0
"""§1d: the CSV's name, version and place in the upgrade graph."""

from __future__ import annotations

import re
from typing import Final

from bundlecheck import names, semver
from bundlecheck.checks.workloads import managers
from bundlecheck.registry import ERROR, WARNING, Problems, check
from bundlecheck.subject import CSV_KIND, Subject

SKIP_RANGE: Final = "olm.skipRange"

_VERSION_FOLDER: Final = re.compile(r"v?\d+\.\d+\.\d+\S*")
_MIN_KUBE: Final = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_EXACT: Final = (SKIP_RANGE, "olm.operatorGroup", "olm.operatorNamespace", "olm.targetNamespaces", "olm.providedAPIs")


@check(
    "csv-name",
    ERROR,
    "§1d; operator-framework/api, CSV",
    "Use lower case letters, digits, `-` and `.`, at most 63 of them.",
)
def name(subject: Subject) -> Problems:
    """The names of the CSV and of what it replaces are subdomains and label values."""
    for node in (subject.csv.at("metadata", "name"), subject.csv.at("spec", "replaces")):
        if isinstance(node.value, str) and not (
            names.is_subdomain(node.value) and len(node.value) <= names.LABEL_LENGTH
        ):
            yield node, f"`{node.value}` is no name for a CSV"


@check(
    "csv-name-convention",
    WARNING,
    "§1d; operator-framework/api, good practices",
    "Name it PACKAGE.vX.Y.Z.",
)
def convention(subject: Subject) -> Problems:
    """The CSV's name is the package, `.v` and a semantic version."""
    node = subject.csv.at("metadata", "name")
    if node.text and (node.text.count(".v") != 1 or not semver.is_strict(node.text.partition(".v")[2])):
        yield node, f"`{node.text}` does not end in one `.v` and a semantic version"


@check(
    "csv-version",
    ERROR,
    "§1d, §1h; opm validate (operator-sdk lets more through)",
    "Write X.Y.Z, without `v`.",
)
def version(subject: Subject) -> Problems:
    """spec.version is a strict semantic version."""
    node = subject.csv.at("spec", "version")
    if not semver.is_strict(node.text):
        yield node, f"`{node.value}` is no strict semantic version"


@check(
    "csv-version-same",
    ERROR,
    "§1d, §1j; OperatorHub pipeline, check_operator_version_directory_name",
    "Give spec.version, the name and the version's folder the same version.",
)
def version_same(subject: Subject) -> Problems:
    """spec.version is the version in the CSV's name, and that of the folder where it is named for one."""
    node = subject.csv.at("spec", "version")
    suffix = subject.csv.at("metadata", "name").text.partition(".v")[2]
    if not semver.is_strict(node.text):
        return
    if semver.is_strict(suffix) and suffix != node.text:
        yield node, f"the version is {node.text}, in the name it is {suffix}"
    folder = subject.root.resolve().name
    if _VERSION_FOLDER.fullmatch(folder) and folder != node.text:
        yield node, f"the version is {node.text}, the folder is named {folder}"


@check(
    "csv-version-label",
    WARNING,
    "§1j",
    "Write the same version into app.kubernetes.io/version, or leave the label out.",
)
def version_label(subject: Subject) -> Problems:
    """The label app.kubernetes.io/version of each object is spec.version."""
    wanted = subject.csv.at("spec", "version").text
    if not semver.is_strict(wanted):
        return
    for node in subject.manifests():
        label = node.at("metadata", "labels", "app.kubernetes.io/version")
        if label.exists and isinstance(label.value, str) and label.value != wanted:
            yield label, f"the label says {label.value}, spec.version {wanted}"


@check(
    "csv-version-image",
    WARNING,
    "§1j",
    "Tag the operator's image with the version, or name it by its digest.",
)
def version_image(subject: Subject) -> Problems:
    """The operator's image has the version as its tag, with or without `v`, or a digest."""
    wanted = subject.csv.at("spec", "version").text
    if not semver.is_strict(wanted):
        return
    for container in managers(subject):
        image = container.at("image")
        if not names.is_image(image.text):
            continue
        tag = names.image_tag(image.text)
        if tag is not None and tag.removeprefix("v") != wanted.replace("+", "-"):
            yield image, f"the image's tag is {tag}, the version {wanted}"


@check(
    "csv-release",
    ERROR,
    "§1d; operator-framework/api, bundle; operator-registry",
    "Remove spec.release; each release gets a version of its own.",
)
def release(subject: Subject) -> Problems:
    """spec.release is not used: it changes how the bundle must be named."""
    node = subject.csv.at("spec", "release")
    if node.exists:
        yield node, "spec.release is set"


@check(
    "csv-api-version",
    ERROR,
    "§1d; operator-framework/api, CSV",
    "Write operators.coreos.com/v1alpha1.",
)
def api_version(subject: Subject) -> Problems:
    """The CSV is of operators.coreos.com/v1alpha1."""
    node = subject.csv.at("apiVersion")
    if node.text and node.text != "operators.coreos.com/v1alpha1":
        yield node, f"a {CSV_KIND} of {node.text} is unknown"


@check(
    "csv-min-kube-version",
    ERROR,
    "§1d; operator-framework/api, CSV (which lets `1.19.0-0` through)",
    "Write X.Y.Z: three numbers, no `v`, nothing behind them.",
)
def min_kube_version(subject: Subject) -> Problems:
    """MinKubeVersion is three plain numbers."""
    node = subject.csv.at("spec", "minKubeVersion")
    if node.exists and not _MIN_KUBE.fullmatch(node.text):
        yield node, f"`{node.value}` is not of the form X.Y.Z"


@check(
    "csv-min-kube-version-missing",
    WARNING,
    "§1d; operator-framework/api, CSV and operatorhub",
    "Write spec.minKubeVersion: the oldest Kubernetes that is tested.",
)
def min_kube_version_missing(subject: Subject) -> Problems:
    """The CSV says which Kubernetes it needs."""
    node = subject.csv.at("spec", "minKubeVersion")
    if not node.exists:
        yield node, "minKubeVersion is missing"


@check(
    "csv-annotation-case",
    ERROR,
    "§1d; operator-framework/api, annotations",
    f"Write it exactly as OLM does: {', '.join(_EXACT)}.",
)
def annotation_case(subject: Subject) -> Problems:
    """OLM's annotations are written in OLM's case."""
    for key, node in subject.csv_annotations().fields():
        for exact in _EXACT:
            if key != exact and key.lower() == exact.lower():
                yield node, f"`{key}` should be `{exact}`"


@check(
    "csv-skip-range",
    ERROR,
    "§1d, §1j; nobody else reads it before the cluster does",
    "Write comparisons with whole versions, such as `>=0.1.0 <0.2.0`.",
)
def skip_range(subject: Subject) -> Problems:
    """olm.skipRange is a range of semantic versions."""
    node = subject.csv_annotations().at(SKIP_RANGE)
    if isinstance(node.value, str) and not semver.is_range(node.value):
        yield node, f"`{node.value}` is no range of versions"


@check(
    "csv-skip-range-replaces",
    WARNING,
    "§1h, §6; OperatorHub pipeline, check_pruned_graph",
    "Write spec.replaces too: the release before this one.",
)
def skip_range_replaces(subject: Subject) -> Problems:
    """Whoever skips a range replaces a release too, or the skipped ones fall out of the graph."""
    node = subject.csv_annotations().at(SKIP_RANGE)
    if node.exists and not subject.csv.at("spec", "replaces").exists:
        yield node, "olm.skipRange is set, spec.replaces is not"


@check(
    "csv-replaces-older",
    ERROR,
    "§1h; OperatorHub pipeline, check_upgrade_graph_loop",
    "Replace the release before this one.",
)
def replaces_older(subject: Subject) -> Problems:
    """A CSV replaces an older one, never itself."""
    node = subject.csv.at("spec", "replaces")
    own, other = subject.csv.at("metadata", "name").text, node.text
    before, now = semver.core(other.partition(".v")[2]), semver.core(subject.csv.at("spec", "version").text)
    if other and (own == other or (before and now and before > now)):
        yield node, f"`{own}` cannot replace `{other}`"


@check(
    "community-folder",
    ERROR,
    "§1h; OperatorHub pipeline",
    "Name the folder above the version's folder as the package.",
)
def community_folder(subject: Subject) -> Problems:
    """In a tree of releases, the folder above the version is named as the package."""
    root = subject.root.resolve()
    if _VERSION_FOLDER.fullmatch(root.name) and subject.package() and root.parent.name != subject.package():
        yield subject.annotations, f"the package is {subject.package()}, its folder {root.parent.name}"
