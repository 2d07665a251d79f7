# SPDX-License-Identifier: Apache-2.0
"""§1b: metadata/annotations.yaml, dependencies.yaml and properties.yaml."""

from __future__ import annotations

from typing import Final

from bundlecheck import names, semver
from bundlecheck.node import Node
from bundlecheck.registry import ERROR, WARNING, Problems, check
from bundlecheck.subject import Subject

BUNDLE: Final = "operators.operatorframework.io.bundle"
TEST: Final = "operators.operatorframework.io.test"
METRICS: Final = "operators.operatorframework.io.metrics"
PACKAGE: Final = f"{BUNDLE}.package.v1"
CHANNELS: Final = f"{BUNDLE}.channels.v1"
DEFAULT_CHANNEL: Final = f"{BUNDLE}.channel.default.v1"

_REGISTRY: Final = "§1b; operator-registry, bundle validate"
_DEPENDENCY_FIELDS: Final = {
    "olm.gvk": ("group", "version", "kind"),
    "olm.package": ("packageName", "version"),
    "olm.label": ("label",),
    "olm.constraint": ("failureMessage",),
}
_REFUSED_BY_V1: Final = ("olm.gvk", "olm.package", "olm.constraint")
_PROPERTIES_REFUSED_BY_V1: Final = ("olm.gvk.required", "olm.package.required", "olm.constraint")


@check(
    "annotations-file",
    ERROR,
    _REGISTRY,
    "Write metadata/annotations.yaml with a mapping `annotations`.",
    needs_csv=False,
)
def annotations_file(subject: Subject) -> Problems:
    """metadata/ has a file with the mapping `annotations`."""
    if "metadata" in subject.folders and not subject.annotations.exists:
        yield subject.annotations, "no file of metadata/ has a mapping `annotations`"


def _missing(subject: Subject, key: str, wanted: str | None = None) -> Problems:
    """Tell when an annotation is absent, or is not what is wanted."""
    if not subject.annotations.exists:
        return
    node = subject.annotations.at(key)
    if not node.exists:
        yield node, f"{key} is missing"
    elif wanted is not None and isinstance(node.value, str) and node.value != wanted:
        yield node, f"{key} is `{node.value}`"


@check("annotations-mediatype", ERROR, _REGISTRY, "Write `registry+v1`.", needs_csv=False)
def mediatype(subject: Subject) -> Problems:
    """The bundle's media type is registry+v1."""
    return _missing(subject, f"{BUNDLE}.mediatype.v1", "registry+v1")


@check("annotations-folders", ERROR, _REGISTRY, "Write `manifests/` and `metadata/`.", needs_csv=False)
def declared_folders(subject: Subject) -> Problems:
    """The annotations name the folders manifests/ and metadata/."""
    yield from _missing(subject, f"{BUNDLE}.manifests.v1", "manifests/")
    yield from _missing(subject, f"{BUNDLE}.metadata.v1", "metadata/")


@check(
    "annotations-package",
    ERROR,
    "§1b; operator-registry; opm: DNS-1123; preflight: DNS-1035",
    "Name the package in lower case letters, digits and `-`, beginning with a letter.",
    needs_csv=False,
)
def package(subject: Subject) -> Problems:
    """The package has a name that every tool takes."""
    yield from _missing(subject, PACKAGE)
    node = subject.annotations.at(PACKAGE)
    if isinstance(node.value, str) and not names.is_label_1035(node.value):
        yield node, f"`{node.value}` is no DNS-1035 label"


@check(
    "annotations-package-name",
    ERROR,
    "§1b; OperatorHub pipeline",
    "Give the package and the ClusterServiceVersion the same name, the latter followed by `.v` and the version.",
)
def package_name(subject: Subject) -> Problems:
    """The CSV's name begins with the package's."""
    name = subject.csv.at("metadata", "name")
    stem = name.text.partition(".v")[0]
    if names.is_label_1035(subject.package()) and ".v" in name.text and stem != subject.package():
        yield name, f"`{name.text}` does not begin with the package's name, `{subject.package()}`"


@check("annotations-channels", ERROR, _REGISTRY, "Write the channels, with commas between them.", needs_csv=False)
def channels(subject: Subject) -> Problems:
    """The bundle names at least one channel, and none is empty."""
    yield from _missing(subject, CHANNELS)
    node = subject.annotations.at(CHANNELS)
    if isinstance(node.value, str) and not all(channel.strip() for channel in node.value.split(",")):
        yield node, "a channel's name is empty"


@check(
    "annotations-channel-names",
    WARNING,
    "§1d; operator-framework/api, good practices",
    "Name channels candidate, fast or stable, with `-v1` or such behind it where wanted.",
    needs_csv=False,
)
def channel_names(subject: Subject) -> Problems:
    """Channels have the names that administrators know."""
    for key in (CHANNELS, DEFAULT_CHANNEL):
        node = subject.annotations.at(key)
        for channel in filter(None, map(str.strip, node.text.split(","))):
            if not channel.startswith(("candidate", "fast", "stable")):
                yield node, f"the channel `{channel}` begins with none of candidate, fast, stable"


@check(
    "annotations-default-channel",
    ERROR,
    _REGISTRY,
    "Write one channel, or leave the annotation out.",
    needs_csv=False,
)
def default_channel(subject: Subject) -> Problems:
    """The default channel is one channel where it is given."""
    node = subject.annotations.at(DEFAULT_CHANNEL)
    if isinstance(node.value, str) and (not node.value.strip() or "," in node.value):
        yield node, f"`{node.value}` is not one channel"


@check(
    "annotations-scorecard",
    WARNING,
    "§1b; operator-sdk scorecard finds its configuration by them",
    "Write test.mediatype.v1 `scorecard+v1` and test.config.v1 `tests/scorecard/`, and put config.yaml there.",
    needs_csv=False,
)
def scorecard_place(subject: Subject) -> Problems:
    """The annotations of the scorecard and its configuration go together."""
    config = subject.annotations.at(f"{TEST}.config.v1")
    has_file = "tests/scorecard/config.yaml" in subject.files
    if config.exists and f"{config.text.rstrip('/')}/config.yaml" not in subject.files:
        yield config, f"`{config.text}` has no config.yaml"
    elif has_file and subject.annotations.exists:
        yield from _missing(subject, f"{TEST}.mediatype.v1", "scorecard+v1")
        yield from _missing(subject, f"{TEST}.config.v1")


@check(
    "annotations-metrics",
    WARNING,
    "§1b; operator-sdk telemetry",
    "Leave operators.operatorframework.io.metrics.* out, or write project_layout `unknown`.",
    needs_csv=False,
)
def metrics(subject: Subject) -> Problems:
    """The bundle does not claim to be made by operator-sdk."""
    layout = subject.annotations.at(f"{METRICS}.project_layout")
    if layout.exists and layout.value != "unknown":
        yield layout, f"`{layout.value}` is a layout of operator-sdk's"


def _dependencies(subject: Subject) -> list[Node]:
    return subject.document("metadata/dependencies.yaml").at("dependencies").items()


@check(
    "dependencies-form",
    ERROR,
    "§1b; operator-registry, dependencies",
    "Write `type` and `value` with all that the type asks for; better, ship no dependencies.",
    needs_csv=False,
)
def dependencies_form(subject: Subject) -> Problems:
    """Each dependency has a known type and a whole value."""
    document = subject.document("metadata/dependencies.yaml")
    if document.exists and not isinstance(document.at("dependencies").value, list):
        yield document.at("dependencies"), "there is no list `dependencies`"
    for node in _dependencies(subject):
        fields = _DEPENDENCY_FIELDS.get(node.at("type").text)
        if fields is None:
            yield node.at("type"), f"`{node.at('type').value}` is none of {', '.join(_DEPENDENCY_FIELDS)}"
            continue
        for field in fields:
            if not node.at("value", field).text:
                yield node.at("value", field), f"{field} is missing"
        version = node.at("value", "version")
        if node.at("type").value == "olm.package" and version.text and not semver.is_range(version.text):
            yield version, f"`{version.text}` is no range of versions"


@check(
    "dependencies-olm-v1",
    ERROR,
    "§1b, §1e; OLM v1 refuses bundles that depend on others",
    "Remove the dependency; say in the description what else is needed.",
    needs_csv=False,
)
def dependencies_v1(subject: Subject) -> Problems:
    """The bundle depends on no other: OLM v1 cannot resolve that."""
    for node in _dependencies(subject):
        if node.at("type").value in _REFUSED_BY_V1:
            yield node, f"OLM v1 refuses {node.at('type').value}"
    for node in _properties(subject).items():
        if node.at("type").value in _PROPERTIES_REFUSED_BY_V1:
            yield node, f"OLM v1 refuses the property {node.at('type').value}"


def _properties(subject: Subject) -> Node:
    return subject.document("metadata/properties.yaml").at("properties")


@check(
    "properties-form",
    ERROR,
    "§1b; operator-registry, properties",
    "Write a list `properties` of mappings with `type` and `value`.",
    needs_csv=False,
)
def properties_form(subject: Subject) -> Problems:
    """metadata/properties.yaml has a list of types and values."""
    if subject.document("metadata/properties.yaml").exists and not isinstance(_properties(subject).value, list):
        yield _properties(subject), "there is no list `properties`"
    for node in _properties(subject).items():
        if not node.at("type").text or not node.at("value").exists:
            yield node, "type or value is missing"


@check(
    "properties-max-openshift",
    WARNING,
    "§1b; OLM v0 blocks OpenShift's minor upgrades by it",
    "Remove olm.maxOpenShiftVersion, unless a later OpenShift is known to break the operator.",
    needs_csv=False,
)
def max_openshift(subject: Subject) -> Problems:
    """The bundle does not hold back OpenShift's upgrades."""
    for node in _properties(subject).items():
        if node.at("type").value == "olm.maxOpenShiftVersion":
            yield node, f"no cluster with it can be upgraded past OpenShift {node.at('value').value}"


@check(
    "properties-annotation",
    WARNING,
    "§1b; operator-framework/api, annotations",
    "Move it to metadata/properties.yaml.",
)
def properties_annotation(subject: Subject) -> Problems:
    """Properties stand in metadata/properties.yaml, not in an annotation."""
    node = subject.csv_annotations().at("olm.properties")
    if node.exists:
        yield node, "the annotation olm.properties is deprecated"
