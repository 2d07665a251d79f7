# SPDX-License-Identifier: Apache-2.0
"""§1d, §1e and §1f: CRDs, and what the CSV says of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from bundlecheck import names
from bundlecheck.node import Node
from bundlecheck.registry import ERROR, WARNING, Problems, check
from bundlecheck.schemas import structural_faults
from bundlecheck.subject import Subject

_BUNDLE: Final = "§1d; operator-framework/api, bundle"


def owned(subject: Subject) -> list[Node]:
    """What the CSV says of the CRDs that it owns."""
    return subject.csv.at("spec", "customresourcedefinitions", "owned").items()


def required(subject: Subject) -> list[Node]:
    """What the CSV says of the CRDs that it needs."""
    return subject.csv.at("spec", "customresourcedefinitions", "required").items()


def versions(crd: Node) -> list[Node]:
    """The versions of a CRD."""
    return crd.at("spec", "versions").items()


def schema_of(subject: Subject, description: Node) -> dict[str, Any] | None:
    """The schema of an owned CRD's version; None when the bundle has none."""
    for crd in subject.crds():
        if crd.at("metadata", "name").value == description.at("name").value:
            for version in versions(crd):
                if version.at("name").value == description.at("version").value:
                    return version.at("schema", "openAPIV3Schema").mapping or None
    return None


def _provided(subject: Subject) -> Iterator[tuple[Node, tuple[str, str, str]]]:
    """Name, version and kind of each served version of each CRD."""
    for crd in subject.crds():
        for version in versions(crd):
            if version.at("served").value is not False:
                kind = crd.at("spec", "names", "kind").text
                yield version.at("name"), (crd.at("metadata", "name").text, version.at("name").text, kind)


def _key(description: Node) -> tuple[str, str, str]:
    return description.at("name").text, description.at("version").text, description.at("kind").text


@check(
    "owned-crd-exists",
    ERROR,
    f"{_BUNDLE}; OLM v1",
    "Ship the CRD, with that version and kind, or remove the entry.",
)
def exists(subject: Subject) -> Problems:
    """Every owned CRD, version and kind is in the bundle."""
    provided = {key for _, key in _provided(subject)}
    for description in owned(subject):
        if _key(description) not in provided and _is_named_well(description):
            name, version, kind = _key(description)
            yield description, f"the bundle has no CRD {name} with version {version} and kind {kind}"


@check("owned-crd-complete", ERROR, _BUNDLE, "Add it to spec.customresourcedefinitions.owned.")
def complete(subject: Subject) -> Problems:
    """Every served version of every CRD of the bundle is owned."""
    known = {_key(description)[:2] for description in owned(subject)}
    for node, key in _provided(subject):
        if key[:2] not in known:
            yield node, f"the CSV does not own {key[0]} {key[1]}"


@check("owned-crd-unique", ERROR, _BUNDLE, "Remove the second entry.")
def unique(subject: Subject) -> Problems:
    """Every CRD version is owned once, and none is both owned and required."""
    counts = Counter(_key(description) for description in owned(subject))
    for description in [*owned(subject)[1:], *required(subject)]:
        if counts[_key(description)] > (0 if description in required(subject) else 1):
            yield description, f"{description.at('name').text} {description.at('version').text} is there twice"


def _is_named_well(description: Node) -> bool:
    plural, _, group = description.at("name").text.partition(".")
    return names.is_label(plural) and names.is_subdomain(group) and "." in group


@check("owned-crd-name", ERROR, _BUNDLE, "Write PLURAL.GROUP, the CRD's metadata.name.")
def owned_name(subject: Subject) -> Problems:
    """Owned and required CRDs are named plural.group."""
    for description in [*owned(subject), *required(subject)]:
        if not _is_named_well(description):
            yield description.at("name"), f"`{description.at('name').value}` is not PLURAL.GROUP"


@check(
    "owned-crd-description",
    WARNING,
    "§1d; operator-framework/api, good practices",
    "Describe it in a sentence.",
)
def described(subject: Subject) -> Problems:
    """Owned and required CRDs have a description."""
    for description in [*owned(subject), *required(subject)]:
        if not description.at("description").text.strip():
            yield description.at("description"), "there is no description"


@check("owned-crd-display-name", WARNING, "§4a: consoles show an empty tile", "Write displayName.")
def display_name(subject: Subject) -> Problems:
    """Owned CRDs have a name for people."""
    for description in owned(subject):
        if not description.at("displayName").text.strip():
            yield description.at("displayName"), "there is no displayName"


@check(
    "owned-crd-resources",
    ERROR,
    "§1f; scorecard, olm-crds-have-resources",
    'List the kinds that belong to it, such as {kind: Pod, version: v1, name: ""}.',
)
def resources(subject: Subject) -> Problems:
    """Owned CRDs list the kinds that belong to them, each with kind and version."""
    for description in owned(subject):
        node = description.at("resources")
        if not node.items():
            yield node, "there are no resources"
        for each in node.items():
            if not (each.at("kind").text and each.at("version").text):
                yield each, "kind or version is missing"


@check(
    "required-crd",
    ERROR,
    "§1b, §1e; OLM v1 refuses bundles that depend on others",
    "Remove it; say in the description what else is needed.",
)
def no_required(subject: Subject) -> Problems:
    """The CSV requires no CRDs or API services of others, and provides no API services."""
    for node in required(subject):
        yield node, "OLM v1 cannot resolve a required CRD"
    for key in ("owned", "required"):
        for node in subject.csv.at("spec", "apiservicedefinitions", key).items():
            yield node, "OLM v1 does not support API services"


@check(
    "native-apis",
    ERROR,
    "§4a; OLM v0: a wrong entry blocks the installation",
    "Leave spec.nativeAPIs out.",
)
def native_apis(subject: Subject) -> Problems:
    """The CSV makes no demands on native APIs."""
    node = subject.csv.at("spec", "nativeAPIs")
    if node.items():
        yield node, "nativeAPIs are demanded"


@check(
    "crd-definition", ERROR, "§1d; Kubernetes, ValidateCustomResourceDefinition", "Correct the CRD.", needs_csv=False
)
def definition(subject: Subject) -> Problems:
    """CRDs are named plural.group, have one storage version, and a schema for each version."""
    for crd in subject.crds():
        if crd.at("apiVersion").value != "apiextensions.k8s.io/v1":
            continue
        spec = crd.at("spec")
        wanted = f"{spec.at('names', 'plural').text}.{spec.at('group').text}"
        if crd.at("metadata", "name").value != wanted:
            yield crd.at("metadata", "name"), f"`{crd.at('metadata', 'name').value}` should be `{wanted}`"
        yield from _names(spec)
        if spec.at("scope").value not in {"Namespaced", "Cluster"}:
            yield spec.at("scope"), f"`{spec.at('scope').value}` is neither Namespaced nor Cluster"
        stored = [version for version in versions(crd) if version.at("storage").value is True]
        if len(stored) != 1:
            yield spec.at("versions"), f"{len(stored)} versions are for storage; exactly one must be"
        seen = set()
        for version in versions(crd):
            name = version.at("name")
            if not names.is_label_1035(name.text) or name.text in seen:
                yield name, f"`{name.value}` is no name of its own for a version"
            seen.add(name.text)
            if not version.at("schema", "openAPIV3Schema").mapping:
                yield version.at("schema"), "there is no schema"


def _names(spec: Node) -> Problems:
    for key in ("plural", "singular"):
        node = spec.at("names", key)
        if (key == "plural" or node.exists) and not names.is_label_1035(node.text):
            yield node, f"`{node.value}` is no DNS-1035 label"
    for key in ("kind", "listKind"):
        node = spec.at("names", key)
        if (key == "kind" or node.exists) and not names.is_label_1035(node.text.lower()):
            yield node, f"`{node.value}` is no kind"


@check(
    "crd-schema",
    ERROR,
    "§1d; Kubernetes, structural schemas (every offline validator ignores them)",
    "Correct the schema.",
    needs_csv=False,
)
def structural(subject: Subject) -> Problems:
    """The schemas of CRDs are structural, and their defaults fit them."""
    for crd in subject.crds():
        for version in versions(crd):
            schema = version.at("schema", "openAPIV3Schema")
            if not schema.mapping:
                continue
            for path, message in structural_faults(schema.mapping):
                yield Node(None, schema.file, f"{schema.path}{path}"), message


@check(
    "crd-conversion",
    ERROR,
    "§1d, §1e; OLM v0 and v1: conversion webhooks only in AllNamespaces",
    "Use conversion strategy None.",
    needs_csv=False,
)
def conversion(subject: Subject) -> Problems:
    """CRDs have no conversion webhook."""
    for crd in subject.crds():
        node = crd.at("spec", "conversion", "strategy")
        if node.exists and node.value != "None":
            yield node, f"the strategy is {node.value}"
