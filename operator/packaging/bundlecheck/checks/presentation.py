# SPDX-License-Identifier: Apache-2.0
"""§1d and §1h: what people see of the operator in consoles and on OperatorHub."""

from __future__ import annotations

import base64
import binascii
import json
import re
from datetime import datetime
from typing import Final

from bundlecheck import names
from bundlecheck.checks.workloads import managers
from bundlecheck.node import Node
from bundlecheck.registry import ERROR, WARNING, Problems, check
from bundlecheck.subject import Subject

CAPABILITIES: Final = ("Basic Install", "Seamless Upgrades", "Full Lifecycle", "Deep Insights", "Auto Pilot")

_COMMON_CATEGORIES: Final = frozenset({
    "AI/Machine Learning", "Application Runtime", "Big Data", "Cloud Provider", "Developer Tools", "Database",
    "Integration & Delivery", "Logging & Tracing", "Monitoring", "Modernization & Migration", "Networking",
    "OpenShift Optional", "Security", "Storage", "Streaming & Messaging",
})  # fmt: skip
_PARTIAL_CATEGORIES: Final = {"Observability": "OperatorHub's pipeline", "Drivers and plugins": "operator-sdk"}
"""Categories that one of the two does not know."""

_MEDIA_TYPES: Final = ("image/gif", "image/jpeg", "image/png", "image/svg+xml")
_MAX_ICON: Final = 10_000
_COMMUNITY: Final = "§1h; OperatorHub pipeline"
_JSON_ANNOTATIONS: Final = {
    "operators.operatorframework.io/internal-objects": list,
    "operators.openshift.io/infrastructure-features": list,
    "operators.openshift.io/valid-subscription": list,
    "operatorframework.io/initialization-resource": dict,
    "operatorframework.io/suggested-namespace-template": dict,
}


def _length(node: Node, least: int, most: int | None = None) -> Problems:
    size = len(node.text.strip())
    if size < least or (most is not None and size > most):
        wanted = f"at least {least}" if most is None else f"{least} to {most}"
        yield node, f"it has {size} characters; {wanted} are wanted"


@check("csv-display-name", ERROR, f"§1d, {_COMMUNITY}", "Write a name of 3 to 50 characters.")
def display_name(subject: Subject) -> Problems:
    """spec.displayName has 3 to 50 characters."""
    return _length(subject.csv.at("spec", "displayName"), 3, 50)


@check("csv-description", ERROR, _COMMUNITY, "Write what the operator does, in Markdown.")
def description(subject: Subject) -> Problems:
    """spec.description has at least 20 characters."""
    return _length(subject.csv.at("spec", "description"), 20)


@check("csv-provider", ERROR, f"§1d, {_COMMUNITY}", "Write spec.provider.name.")
def provider(subject: Subject) -> Problems:
    """spec.provider has a name of at least 3 characters."""
    return _length(subject.csv.at("spec", "provider", "name"), 3)


@check(
    "csv-maintainers",
    ERROR,
    f"§1d, {_COMMUNITY}",
    "Write each maintainer with name and email.",
)
def maintainers(subject: Subject) -> Problems:
    """There is a maintainer, and each has a name and an address for mail."""
    node = subject.csv.at("spec", "maintainers")
    if not node.items():
        yield node, "there are no maintainers"
    for each in node.items():
        if not each.at("name").text.strip():
            yield each.at("name"), "the name is missing"
        if not names.is_email(each.at("email").text):
            yield each.at("email"), f"`{each.at('email').value}` is no address for mail"


@check("csv-links", ERROR, f"§1d, {_COMMUNITY}", "Write each link with name and url, scheme included.")
def links(subject: Subject) -> Problems:
    """There is a link, and each has a name and an absolute URL."""
    node = subject.csv.at("spec", "links")
    if not node.items():
        yield node, "there are no links"
    for each in node.items():
        if not each.at("name").text.strip():
            yield each.at("name"), "the name is missing"
        if not names.is_url(each.at("url").text):
            yield each.at("url"), f"`{each.at('url').value}` is no absolute URL"


@check("csv-keywords", WARNING, _COMMUNITY, "Write the words that people search for.")
def keywords(subject: Subject) -> Problems:
    """There are keywords."""
    node = subject.csv.at("spec", "keywords")
    if not node.texts():
        yield node, "there are no keywords"


@check(
    "icon-one",
    ERROR,
    f"§1d, {_COMMUNITY}; `icon: []` makes operator-framework/api's validators panic",
    "Write exactly one icon, with base64data and mediatype.",
)
def one_icon(subject: Subject) -> Problems:
    """There is exactly one icon."""
    node = subject.csv.at("spec", "icon")
    if len(node.items()) != 1:
        yield node, f"there are {len(node.items())} icons"


@check("icon-mediatype", ERROR, "§1d; operator-framework/api, operatorhub", f"Write one of {', '.join(_MEDIA_TYPES)}.")
def icon_mediatype(subject: Subject) -> Problems:
    """The icon is of a kind that consoles show."""
    for icon in subject.csv.at("spec", "icon").items():
        if icon.at("mediatype").value not in _MEDIA_TYPES:
            yield icon.at("mediatype"), f"`{icon.at('mediatype').value}` is no media type for an icon"


@check(
    "icon-base64",
    ERROR,
    f"{_COMMUNITY}, which decodes strictly",
    "Encode the image with base64, on one line (`base64 -w0`).",
)
def icon_base64(subject: Subject) -> Problems:
    """The icon is base64 on one line, and an image of the kind that it says."""
    for icon in subject.csv.at("spec", "icon").items():
        data = icon.at("base64data")
        try:
            image = base64.b64decode(data.text, validate=True)
        except (binascii.Error, ValueError):
            yield data, "it is not base64 on one line"
            continue
        if not image:
            yield data, "it is empty"
        elif icon.at("mediatype").value == "image/svg+xml" and b"<svg" not in image:
            yield data, "it is no SVG image"


@check("icon-size", WARNING, "§1j", "Simplify the drawing.")
def icon_size(subject: Subject) -> Problems:
    """An SVG icon stays below 10 kB."""
    for icon in subject.csv.at("spec", "icon").items():
        size = len(icon.at("base64data").text) * 3 // 4
        if icon.at("mediatype").value == "image/svg+xml" and size > _MAX_ICON:
            yield icon.at("base64data"), f"the drawing has about {size} bytes"


@check("csv-annotations", WARNING, "§1d; operator-framework/api, CSV", "Write the annotations that consoles show.")
def annotated(subject: Subject) -> Problems:
    """The CSV has annotations."""
    node = subject.csv_annotations()
    if not node.mapping:
        yield node, "there are no annotations"


@check(
    "annotation-capabilities",
    ERROR,
    "§1d; operator-framework/api, capabilities",
    f"Write one of {', '.join(CAPABILITIES)}.",
)
def capabilities(subject: Subject) -> Problems:
    """The annotation `capabilities` is one of the five levels."""
    node = subject.csv_annotations().at("capabilities")
    if isinstance(node.value, str) and node.value not in CAPABILITIES:
        yield node, f"`{node.value}` is no level"


@check(
    "annotation-categories",
    ERROR,
    "§1d; operator-framework/api, categories; OperatorHub pipeline",
    f"Choose from {', '.join(sorted(_COMMON_CATEGORIES))}.",
)
def categories(subject: Subject) -> Problems:
    """The annotation `categories` has categories that operator-sdk and OperatorHub's pipeline both know."""
    node = subject.csv_annotations().at("categories")
    for category in map(str.strip, node.text.split(",")):
        if category in _PARTIAL_CATEGORIES:
            yield node, f"{_PARTIAL_CATEGORIES[category]} does not know `{category}`"
        elif node.text and category not in _COMMON_CATEGORIES:
            yield node, f"`{category}` is no category"


def _matches(subject: Subject, key: str, pattern: str, what: str) -> Problems:
    """Tell when an annotation is absent or has another form."""
    node = subject.csv_annotations().at(key)
    if not subject.csv_annotations().mapping:
        return
    if not node.exists:
        yield node, f"the annotation {key} is missing"
    elif isinstance(node.value, str) and not re.fullmatch(pattern, node.value, re.DOTALL):
        yield node, f"`{node.value}` is not {what}"


@check("annotation-capabilities-missing", WARNING, _COMMUNITY, "Write the annotation `capabilities`.")
def capabilities_missing(subject: Subject) -> Problems:
    """The annotation `capabilities` is there."""
    return _matches(subject, "capabilities", ".*", "")


@check("annotation-categories-missing", WARNING, _COMMUNITY, "Write the annotation `categories`.")
def categories_missing(subject: Subject) -> Problems:
    """The annotation `categories` is there."""
    return _matches(subject, "categories", ".+", "a list of categories")


@check("annotation-container-image", WARNING, _COMMUNITY, "Write the operator's image, with its tag or digest.")
def container_image(subject: Subject) -> Problems:
    """The annotation `containerImage` is an image with a tag or digest."""
    return _matches(subject, "containerImage", r"([^/]+/)+[^/:]+:.+", "an image with a tag or digest")


@check(
    "annotation-container-image-same",
    WARNING,
    "§4a: a defect of argocd-operator's CSV",
    "Write the image that the deployment runs.",
)
def container_image_same(subject: Subject) -> Problems:
    """The annotation `containerImage` is the image that the deployment runs."""
    node = subject.csv_annotations().at("containerImage")
    running = [container.at("image").text for container in managers(subject)]
    if names.is_image(node.text) and names.image_tag(node.text) != "latest" and running and node.text not in running:
        yield node, f"the deployment runs {running[0]}"


@check("annotation-created-at", WARNING, _COMMUNITY, "Write the release's date, such as 2026-01-31T00:00:00Z.")
def created_at(subject: Subject) -> Problems:
    """The annotation `createdAt` is a date in ISO 8601."""
    node = subject.csv_annotations().at("createdAt")
    yield from _matches(subject, "createdAt", ".*", "")
    if isinstance(node.value, str):
        try:
            datetime.fromisoformat(node.value)
        except ValueError:
            yield node, f"`{node.value}` is no date"


@check("annotation-repository", WARNING, _COMMUNITY, "Write the URL of the sources.")
def repository(subject: Subject) -> Problems:
    """The annotation `repository` is a URL."""
    return _matches(subject, "repository", r"https?://.+", "a URL")


@check("annotation-support", WARNING, _COMMUNITY, "Write who supports the operator.")
def support(subject: Subject) -> Problems:
    """The annotation `support` has at least 3 characters."""
    return _matches(subject, "support", ".{3,}", "at least 3 characters long")


@check("annotation-description", WARNING, _COMMUNITY, "Write in a sentence what the operator does.")
def short_description(subject: Subject) -> Problems:
    """The annotation `description` has at least 10 characters."""
    return _matches(subject, "description", ".{10,}", "at least 10 characters long")


@check(
    "annotation-json",
    ERROR,
    "§4a; OpenShift's console reads them",
    "Write the JSON that the annotation's readers expect.",
)
def json_annotations(subject: Subject) -> Problems:
    """Annotations that hold JSON can be read."""
    for key, kind in _JSON_ANNOTATIONS.items():
        node = subject.csv_annotations().at(key)
        if not isinstance(node.value, str):
            continue
        try:
            value = json.loads(node.value)
        except ValueError as error:
            yield node, f"it is no JSON: {error}"
            continue
        if not isinstance(value, kind):
            yield node, f"it is no JSON {'list' if kind is list else 'object'}"


@check(
    "annotation-namespace",
    WARNING,
    "§4a; OpenShift's console",
    "Give the Namespace of suggested-namespace-template the name in suggested-namespace.",
)
def namespace_template(subject: Subject) -> Problems:
    """The suggested namespace and its template have the same name."""
    plain = subject.csv_annotations().at("operatorframework.io/suggested-namespace")
    node = subject.csv_annotations().at("operatorframework.io/suggested-namespace-template")
    try:
        template = Node(json.loads(node.text), node.file)
    except ValueError:
        return
    if not template.mapping:
        return
    name = template.at("metadata", "name").value
    if template.at("kind").value != "Namespace" or (plain.exists and name != plain.value):
        yield node, f"it is the {template.at('kind').value} {name}, not the Namespace {plain.value}"


@check(
    "labels-arch",
    WARNING,
    "§1d; operator-framework/api, multiarch",
    'Label it with operatorframework.io/arch.amd64 and operatorframework.io/os.linux "supported", for what is built.',
)
def architectures(subject: Subject) -> Problems:
    """The CSV's labels say which architectures and systems are supported."""
    labels = subject.csv.at("metadata", "labels")
    for kind in ("arch", "os"):
        found = [node for key, node in labels.fields() if key.startswith(f"operatorframework.io/{kind}.")]
        if not found:
            yield labels, f"there is no label operatorframework.io/{kind}.*"
        for node in found:
            if isinstance(node.value, str) and node.value != "supported":
                yield node, f"`{node.value}` is not `supported`"
