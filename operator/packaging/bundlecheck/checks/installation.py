# SPDX-License-Identifier: Apache-2.0
"""§1d and §1e: install modes, webhooks, images, removed APIs, and the CSV's shape."""

from __future__ import annotations

from collections import Counter
from typing import Final

from bundlecheck import names, semver
from bundlecheck.checks.workloads import containers, deployments, images
from bundlecheck.csv_schema import CSV_SCHEMA
from bundlecheck.node import Node
from bundlecheck.registry import ERROR, WARNING, Problems, check
from bundlecheck.schemas import violations
from bundlecheck.subject import Subject

INSTALL_MODES: Final = ("OwnNamespace", "SingleNamespace", "MultiNamespace", "AllNamespaces")

_REMOVED: Final = {
    "extensions/v1beta1": (1, 22),
    "apiextensions.k8s.io/v1beta1": (1, 22),
    "admissionregistration.k8s.io/v1beta1": (1, 22),
    "apiregistration.k8s.io/v1beta1": (1, 22),
    "coordination.k8s.io/v1beta1": (1, 22),
    "networking.k8s.io/v1beta1": (1, 22),
    "rbac.authorization.k8s.io/v1beta1": (1, 22),
    "scheduling.k8s.io/v1beta1": (1, 22),
    "storage.k8s.io/v1beta1": (1, 22),
    "batch/v1beta1": (1, 25),
    "discovery.k8s.io/v1beta1": (1, 25),
    "events.k8s.io/v1beta1": (1, 25),
    "policy/v1beta1": (1, 25),
    "autoscaling/v2beta1": (1, 25),
    "node.k8s.io/v1beta1": (1, 25),
    "autoscaling/v2beta2": (1, 26),
    "flowcontrol.apiserver.k8s.io/v1beta1": (1, 26),
}
"""API versions, and the Kubernetes that removed them."""


@check(
    "csv-shape",
    ERROR,
    "§1d: the CSV's CRD; unknown fields pass every validator and are dropped by the API server",
    "Correct the field's name, place or type.",
)
def shape(subject: Subject) -> Problems:
    """The CSV has only fields that OLM knows, of the right types, and those that its CRD demands."""
    for path, message in violations(CSV_SCHEMA, subject.csv.value):
        yield Node(None, subject.csv.file, path), message


def _modes(subject: Subject) -> list[Node]:
    return subject.csv.at("spec", "installModes").items()


def _supports(subject: Subject, mode: str) -> bool:
    return any(each.at("type").value == mode and each.at("supported").value is True for each in _modes(subject))


@check(
    "install-modes-any",
    ERROR,
    "§1d; operator-framework/api, CSV",
    "Support at least one install mode.",
)
def any_mode(subject: Subject) -> Problems:
    """At least one install mode is supported."""
    if not any(_supports(subject, mode) for mode in INSTALL_MODES):
        yield subject.csv.at("spec", "installModes"), "no install mode is supported"


@check(
    "install-modes-once",
    ERROR,
    "§1d, §1j; OLM v0 fails on the cluster, no validator sees it",
    f"List each of {', '.join(INSTALL_MODES)} once.",
)
def each_mode_once(subject: Subject) -> Problems:
    """Each of the four install modes is listed once."""
    node = subject.csv.at("spec", "installModes")
    counts = Counter(each.at("type").text for each in _modes(subject))
    for mode in INSTALL_MODES:
        if node.items() and counts[mode] != 1:
            yield node, f"{mode} is listed {counts[mode]} times"
    for each in _modes(subject):
        if each.at("type").text not in INSTALL_MODES:
            yield each.at("type"), f"`{each.at('type').value}` is no install mode"


@check(
    "install-modes-all-namespaces",
    ERROR,
    "§1e; OLM v1 installs operators for all namespaces only",
    "Support AllNamespaces.",
)
def all_namespaces(subject: Subject) -> Problems:
    """AllNamespaces is supported."""
    listed = any(each.at("type").value == "AllNamespaces" for each in _modes(subject))
    others = any(_supports(subject, mode) for mode in INSTALL_MODES)
    if listed and others and not _supports(subject, "AllNamespaces"):
        yield subject.csv.at("spec", "installModes"), "AllNamespaces is not supported"


@check("install-modes-all", WARNING, "§0; issue 6", "Support all four install modes.")
def all_modes(subject: Subject) -> Problems:
    """All four install modes are supported."""
    if not any(_supports(subject, mode) for mode in INSTALL_MODES) or _webhooks(subject):
        return
    for each in _modes(subject):
        if each.at("type").value in INSTALL_MODES[:3] and each.at("supported").value is not True:
            yield each, f"{each.at('type').value} is not supported"


def _webhooks(subject: Subject) -> list[Node]:
    return subject.csv.at("spec", "webhookdefinitions").items()


@check(
    "webhook-conversion",
    ERROR,
    "§1d, §1e; operator-framework/api, CSV; OLM v1",
    "Own each CRD of conversionCRDs, name it once, and support AllNamespaces only.",
)
def webhook_conversion(subject: Subject) -> Problems:
    """A conversion webhook serves owned CRDs, each once, in AllNamespaces only."""
    known = {each.at("name").text for each in subject.csv.at("spec", "customresourcedefinitions", "owned").items()}
    seen: set[str] = set()
    for webhook in _webhooks(subject):
        for node in webhook.at("conversionCRDs").items():
            if node.text not in known:
                yield node, f"`{node.value}` is not owned"
            if node.text in seen:
                yield node, f"`{node.value}` is converted twice"
            seen.add(node.text)
        others = [mode for mode in INSTALL_MODES[:3] if _supports(subject, mode)]
        if webhook.at("conversionCRDs").items() and others:
            yield webhook.at("conversionCRDs"), f"with a conversion webhook {', '.join(others)} cannot be supported"


@check(
    "webhook-deployment",
    ERROR,
    "§1e; OLM v1, webhooks",
    "Write the name of one of the CSV's deployments into deploymentName.",
)
def webhook_deployment(subject: Subject) -> Problems:
    """Webhooks are served by a deployment of the CSV."""
    known = {each.at("name").text for each in deployments(subject)}
    for webhook in _webhooks(subject):
        if webhook.at("deploymentName").text not in known:
            yield webhook.at("deploymentName"), f"there is no deployment `{webhook.at('deploymentName').value}`"


@check(
    "webhook-names",
    ERROR,
    "§1d, §1e; OLM v0 and v1, webhooks",
    "Give each webhook of a type its own generateName: a DNS-1123 subdomain.",
)
def webhook_names(subject: Subject) -> Problems:
    """Webhooks have valid names, each its own."""
    counts = Counter((each.at("type").text, each.at("generateName").text) for each in _webhooks(subject))
    for webhook in _webhooks(subject):
        name = webhook.at("generateName")
        if not names.is_subdomain(name.text):
            yield name, f"`{name.value}` is no DNS-1123 subdomain"
        elif counts[webhook.at("type").text, name.text] > 1:
            yield name, f"`{name.text}` is there twice"


@check(
    "webhook-rules",
    ERROR,
    "§1d, §1e; OLM v0 and v1, webhooks",
    "Name the groups and resources; leave OLM's own and webhook configurations out.",
)
def webhook_rules(subject: Subject) -> Problems:
    """Webhooks intercept neither everything nor OLM itself."""
    for webhook in _webhooks(subject):
        for rule in webhook.at("rules").items():
            groups, resources = rule.at("apiGroups").texts(), rule.at("resources").texts()
            for group in {"*", "operators.coreos.com", "olm.operatorframework.io"} & set(groups):
                yield rule.at("apiGroups"), f"`{group}` is refused"
            configurations = ("*", "mutatingwebhookconfigurations", "validatingwebhookconfigurations")
            if "admissionregistration.k8s.io" in groups and any(each in configurations for each in resources):
                yield rule.at("resources"), "webhook configurations are refused"


@check(
    "images-valid",
    ERROR,
    "§1d; operator-framework/api, bundle (operator-sdk 1.42 misses it); opm",
    "Write name and image, a whole reference such as registry.example/team/name:tag.",
)
def image_references(subject: Subject) -> Problems:
    """The images of containers and relatedImages are valid references."""
    related = subject.csv.at("spec", "relatedImages").items()
    for node in [*(each.at("image") for each in related), *images(subject)]:
        if not names.is_image(node.text):
            yield node, f"`{node.value}` is no reference of an image"
    for each in related:
        if not each.at("name").text:
            yield each.at("name"), "the name is missing"


@check(
    "images-related",
    WARNING,
    "§1g; preflight, AllImageRefsInRelatedImages",
    "Add it to spec.relatedImages: mirrors copy only what stands there.",
)
def related_images(subject: Subject) -> Problems:
    """RelatedImages lists every image that containers run or are given in RELATED_IMAGE_*."""
    listed = {each.at("image").text for each in subject.csv.at("spec", "relatedImages").items()}
    given = [
        variable.at("value")
        for container in containers(subject)
        for variable in container.at("env").items()
        if variable.at("name").text.startswith("RELATED_IMAGE_")
    ]
    for node in [*images(subject), *given]:
        if names.is_image(node.text) and node.text not in listed:
            yield node, f"`{node.text}` is not in relatedImages"


def _minimum(subject: Subject) -> tuple[int, ...]:
    found = semver.core(subject.csv.at("spec", "minKubeVersion").text)
    return found[:2] if found else (0, 0)


@check(
    "apis-removed",
    ERROR,
    "§1d; operator-framework/api, removed APIs",
    "Use the API version that took its place.",
    needs_csv=False,
)
def removed(subject: Subject) -> Problems:
    """No object is of an API version that minKubeVersion no longer has."""
    for node in subject.manifests():
        version = node.at("apiVersion")
        gone = _REMOVED.get(version.text)
        if gone and _minimum(subject) >= gone:
            yield version, f"{version.text} was removed in Kubernetes {gone[0]}.{gone[1]}"


@check(
    "apis-vanishing",
    WARNING,
    "§1d; operator-framework/api, removed APIs",
    "Use the API version that took its place, and raise minKubeVersion where needed.",
    needs_csv=False,
)
def vanishing(subject: Subject) -> Problems:
    """No object is of an API version that later clusters no longer have."""
    for node in subject.manifests():
        version = node.at("apiVersion")
        gone = _REMOVED.get(version.text)
        if gone and _minimum(subject) < gone:
            yield version, f"{version.text} was removed in Kubernetes {gone[0]}.{gone[1]}; minKubeVersion allows that"


@check(
    "scorecard-config",
    ERROR,
    "§1f; operator-sdk scorecard",
    "Write apiVersion scorecard.operatorframework.io/v1alpha3, kind Configuration and stages of tests, each with image,"
    " entrypoint and labels.",
    needs_csv=False,
)
def scorecard(subject: Subject) -> Problems:
    """The scorecard's configuration can be read by operator-sdk."""
    document = subject.document("tests/scorecard/config.yaml")
    if not document.exists:
        return
    if document.at("apiVersion").value != "scorecard.operatorframework.io/v1alpha3":
        yield document.at("apiVersion"), f"`{document.at('apiVersion').value}` is unknown to scorecard"
    if document.at("kind").value != "Configuration":
        yield document.at("kind"), f"`{document.at('kind').value}` is not Configuration"
    tests = [test for stage in document.at("stages").items() for test in stage.at("tests").items()]
    if not tests:
        yield document.at("stages"), "there are no tests"
    for test in tests:
        if not (names.is_image(test.at("image").text) and test.at("entrypoint").texts() and test.at("labels").mapping):
            yield test, "image, entrypoint or labels are missing"
