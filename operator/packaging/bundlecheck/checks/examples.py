# SPDX-License-Identifier: Apache-2.0
"""§1d and §1f: the examples in alm-examples, and the descriptors that consoles make forms of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from bundlecheck.checks.crds import owned, schema_of
from bundlecheck.node import Node
from bundlecheck.registry import ERROR, WARNING, Problems, check
from bundlecheck.schemas import violations
from bundlecheck.subject import Subject

EXAMPLES: Final = "alm-examples"
EXAMPLES_METADATA: Final = "alm-examples-metadata"

_DESCRIPTORS: Final = "urn:alm:descriptor:com.tectonic.ui:"
_KNOWN: Final = (
    "advanced", "arrayFieldGroup:", "booleanSwitch", "checkbox", "endpointList", "fieldDependency:", "fieldGroup:",
    "hidden", "imagePullPolicy", "label", "namespaceSelector", "nodeAffinity", "number", "password", "podAffinity",
    "podAntiAffinity", "podCount", "podStatuses", "prometheusEndpoint", "resourceRequirements", "select:", "selector:",
    "text", "updateStrategy",
)  # fmt: skip
_OTHER: Final = ("urn:alm:descriptor:io.kubernetes", "urn:alm:descriptor:org.w3:link", "urn:alm:descriptor:prometheus")


def examples(subject: Subject) -> list[Node]:
    """The example objects; none when they cannot be read."""
    node = subject.csv_annotations().at(EXAMPLES)
    try:
        value = json.loads(node.text)
    except (ValueError, RecursionError):
        return []
    return [item for item in Node(value, node.file, node.path).items() if item.mapping]


def _of(description: Node, found: list[Node]) -> list[Node]:
    """The examples of an owned CRD."""
    group = description.at("name").text.partition(".")[2]
    kind, version = description.at("kind").value, description.at("version").value
    return [
        each for each in found if each.at("kind").value == kind and each.at("apiVersion").value == f"{group}/{version}"
    ]


@check(
    "examples-json",
    ERROR,
    "§1d, §1f; operator-framework/api, CSV; scorecard, basic-check-spec",
    "Write a JSON list of objects, each with apiVersion, kind and metadata.name.",
)
def readable(subject: Subject) -> Problems:
    """alm-examples is a JSON list of objects."""
    node = subject.csv_annotations().at(EXAMPLES)
    if not isinstance(node.value, str):
        return
    try:
        value = json.loads(node.value)
    except (ValueError, RecursionError) as error:
        yield node, f"it is no JSON: {error}"
        return
    if not isinstance(value, list):
        yield node, "it is no JSON list"
    for item in Node(value, node.file, node.path).items():
        if not (item.at("apiVersion").text and item.at("kind").text and item.at("metadata", "name").text):
            yield item, "apiVersion, kind or metadata.name is missing"


@check(
    "examples-owned",
    ERROR,
    "§1d; operator-framework/api, CSV",
    "Remove it, or add its CRD to spec.customresourcedefinitions.owned.",
)
def provided(subject: Subject) -> Problems:
    """Every example is of a CRD that the CSV owns."""
    found = examples(subject)
    known = [id(each.value) for description in owned(subject) for each in _of(description, found)]
    for each in found:
        if id(each.value) not in known and each.at("kind").text and each.at("apiVersion").text:
            yield each, f"{each.at('apiVersion').text} {each.at('kind').text} is not owned"


@check(
    "examples-complete",
    WARNING,
    "§1d; operator-framework/api, CSV",
    "Write an example of it into alm-examples.",
)
def complete(subject: Subject) -> Problems:
    """Every owned CRD has an example."""
    node, found = subject.csv_annotations().at(EXAMPLES), examples(subject)
    if not subject.csv_annotations().mapping or (node.exists and not found and node.text.strip() not in {"[]", ""}):
        return
    for description in owned(subject):
        named = "." in description.at("name").text
        if named and not _of(description, found):
            yield node, f"there is no example of {description.at('kind').text} {description.at('version').text}"


@check("examples-both", WARNING, "§1d; operator-framework/api, CSV", "Remove olm.examples.")
def both(subject: Subject) -> Problems:
    """The examples stand in one annotation."""
    node = subject.csv_annotations().at("olm.examples")
    if node.exists and subject.csv_annotations().at(EXAMPLES).exists:
        yield node, "olm.examples stands besides alm-examples"


@check(
    "examples-spec",
    ERROR,
    "§1f; scorecard, olm-spec-descriptors",
    "Write a spec that works.",
)
def has_spec(subject: Subject) -> Problems:
    """Every example has a spec."""
    for each in examples(subject):
        if not each.at("spec").mapping:
            yield each.at("spec"), "the example has no spec"


@check(
    "examples-valid",
    ERROR,
    "§1f, §1j; scorecard, olm-crds-have-validation; the API server",
    "Correct the example, or the CRD's schema.",
)
def valid(subject: Subject) -> Problems:
    """Every example fits its CRD's schema, with no field that the schema lacks."""
    found = examples(subject)
    for description in owned(subject):
        schema = schema_of(subject, description)
        if schema is None:
            continue
        for each in _of(description, found):
            if not each.at("spec").mapping:
                continue
            for path, message in violations(schema, each.value):
                yield Node(None, each.file, f"{each.path}.{path}" if path else each.path), message


@check(
    "examples-metadata",
    ERROR,
    "§4a; OpenShift's console",
    "Write a JSON object: each example's metadata.name, and a mapping with its description.",
)
def metadata(subject: Subject) -> Problems:
    """alm-examples-metadata describes examples that exist."""
    node = subject.csv_annotations().at(EXAMPLES_METADATA)
    if not isinstance(node.value, str):
        return
    try:
        value = Node(json.loads(node.value), node.file, node.path)
    except (ValueError, RecursionError) as error:
        yield node, f"it is no JSON: {error}"
        return
    if not isinstance(value.value, dict):
        yield node, "it is no JSON object"
    named = {each.at("metadata", "name").text for each in examples(subject)}
    for name, each in value.fields():
        if named and name not in named:
            yield each, f"there is no example named `{name}`"
        elif not each.at("description").text:
            yield each, "there is no description"


@check(
    "descriptors-spec",
    ERROR,
    "§1f; scorecard, olm-spec-descriptors",
    "Write a specDescriptor whose path is exactly that key.",
)
def spec_descriptors(subject: Subject) -> Problems:
    """Every top-level key of spec in an example has a specDescriptor."""
    for description in owned(subject):
        paths = {each.at("path").text for each in description.at("specDescriptors").items()}
        used = {key for each in _of(description, examples(subject)) for key in each.at("spec").mapping}
        for key in sorted(used - paths):
            yield description.at("specDescriptors"), f"there is no descriptor of spec.{key}, which an example uses"


@check(
    "descriptors-status",
    WARNING,
    "§1f; scorecard, olm-status-descriptors; issue 6",
    "Write a statusDescriptor for each field of status that people want to see.",
)
def status_descriptors(subject: Subject) -> Problems:
    """A CRD with a status has statusDescriptors."""
    for description in owned(subject):
        schema = Node(schema_of(subject, description), "")
        if schema.at("properties", "status").exists and not description.at("statusDescriptors").items():
            yield description.at("statusDescriptors"), "there are no descriptors of status"


@check(
    "descriptors-path",
    WARNING,
    "§4a: consoles leave a descriptor without a field out, silently",
    "Correct the path, or add the field to the CRD.",
)
def descriptor_paths(subject: Subject) -> Problems:
    """Every descriptor's path is a field of the CRD, and described once."""
    for description in owned(subject):
        schema = schema_of(subject, description)
        if schema is None:
            continue
        for part, key in (("spec", "specDescriptors"), ("status", "statusDescriptors")):
            seen = set()
            for each in description.at(key).items():
                path = each.at("path")
                if path.text and not _has_field(Node(schema, "").at("properties", part), path.text):
                    yield path, f"the CRD has no field {part}.{path.text}"
                if path.text in seen:
                    yield path, f"`{path.text}` is described twice"
                seen.add(path.text)


@check(
    "descriptors-words",
    WARNING,
    "§1f; consoles",
    "Write displayName and description.",
)
def descriptor_words(subject: Subject) -> Problems:
    """Every descriptor has a name and a description."""
    for each in _all_descriptors(subject):
        for key in ("displayName", "description"):
            if not each.at(key).text.strip():
                yield each.at(key), f"{key} is missing"


@check(
    "descriptors-known",
    WARNING,
    "§4a; consoles ignore what they do not know, and no validator looks",
    "Correct the x-descriptor.",
)
def x_descriptors(subject: Subject) -> Problems:
    """x-descriptors are of those that consoles know."""
    for each in _all_descriptors(subject):
        for node in each.at("x-descriptors").items():
            if node.text.startswith(_OTHER):
                continue
            word = node.text.removeprefix(_DESCRIPTORS)
            known = any(word.startswith(each) if each.endswith(":") else word == each for each in _KNOWN)
            if not node.text.startswith(_DESCRIPTORS) or not known:
                yield node, f"`{node.value}` is unknown"


def _all_descriptors(subject: Subject) -> Iterator[Node]:
    for description in owned(subject):
        for key in ("specDescriptors", "statusDescriptors", "actionDescriptors"):
            yield from description.at(key).items()


def _has_field(schema: Node, path: str) -> bool:
    """Whether a schema has a field, given as consoles write paths: `a.b`, `list[0].c`."""
    for part in path.split("."):
        name, _, index = part.partition("[")
        schema = schema.at("properties", name)
        if index:
            schema = schema.at("items")
    return bool(schema.mapping)
