# SPDX-License-Identifier: Apache-2.0
"""§1h, §1i and §6: the file-based catalog."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from bundlecheck import names, semver
from bundlecheck.node import Node
from bundlecheck.registry import ERROR, WARNING, Problems, check
from bundlecheck.subject import Subject

PACKAGE: Final = "olm.package"
CHANNEL: Final = "olm.channel"
BUNDLE: Final = "olm.bundle"
DEPRECATIONS: Final = "olm.deprecations"
CSV_METADATA: Final = "olm.csv.metadata"
BUNDLE_OBJECT: Final = "olm.bundle.object"

_OPM: Final = "§1i; opm validate"


def blobs(subject: Subject, *schemas: str) -> list[Node]:
    """The catalog's blobs of these schemas."""
    found = []
    for file in subject.catalog:
        for number, document in enumerate(file.documents, start=1):
            node = Node(document, file.name, f"document {number}" if len(file.documents) > 1 else "")
            if node.at("schema").value in schemas:
                found.append(node)
    return found


def packages(subject: Subject) -> list[str]:
    """The names of the packages."""
    return [node.at("name").text for node in blobs(subject, PACKAGE)]


def properties(bundle: Node, kind: str) -> list[Node]:
    """The values of a bundle's properties of one type."""
    return [each.at("value") for each in bundle.at("properties").items() if each.at("type").value == kind]


def version(bundle: Node) -> str:
    """The version of a bundle, or an empty string."""
    found = properties(bundle, PACKAGE)
    return found[0].at("version").text if found else ""


def channels(subject: Subject) -> Iterator[tuple[Node, dict[str, Node]]]:
    """Each channel, and its entries by their names."""
    for channel in blobs(subject, CHANNEL):
        yield channel, {each.at("name").text: each for each in channel.at("entries").items()}


def _bundles(subject: Subject, package: str) -> dict[str, Node]:
    return {each.at("name").text: each for each in blobs(subject, BUNDLE) if each.at("package").text == package}


@check(
    "catalog-yaml",
    ERROR,
    _OPM,
    "Write YAML documents, each with `schema` and the fields that it asks for.",
    needs_csv=False,
)
def readable(subject: Subject) -> Problems:
    """The catalog's files can be read, and each document has a known schema."""
    known = (PACKAGE, CHANNEL, BUNDLE, DEPRECATIONS)
    for file in subject.catalog:
        if file.fault:
            yield Node(None, file.name), file.fault
        for number, document in enumerate(file.documents, start=1):
            node = Node(document, file.name, f"document {number}")
            if not node.at("schema").text:
                yield node, "there is no `schema`"
            elif node.at("schema").value not in known and node.at("schema").text.startswith("olm."):
                yield node.at("schema"), f"`{node.at('schema').value}` is none of {', '.join(known)}"


@check(
    "catalog-package",
    ERROR,
    _OPM,
    "Write one olm.package with a DNS-1123 label as its name, and name it in every other blob.",
    needs_csv=False,
)
def package(subject: Subject) -> Problems:
    """Packages have valid names, each its own, and every blob belongs to one."""
    counts = Counter(packages(subject))
    for node in blobs(subject, PACKAGE):
        name = node.at("name")
        if not names.is_label(name.text):
            yield name, f"`{name.value}` is no DNS-1123 label"
        elif counts[name.text] > 1:
            yield name, f"the package `{name.text}` is there twice"
    if subject.catalog and not counts and not any(file.fault for file in subject.catalog):
        yield Node(None, subject.catalog[0].name), "there is no olm.package"
    for node in blobs(subject, CHANNEL, BUNDLE, DEPRECATIONS):
        if counts and node.at("package").text not in counts:
            yield node.at("package"), f"there is no package `{node.at('package').value}`"


@check(
    "catalog-default-channel",
    ERROR,
    _OPM,
    "Write the name of one of the package's channels into defaultChannel.",
    needs_csv=False,
)
def default_channel(subject: Subject) -> Problems:
    """Each package has a default channel that exists."""
    for node in blobs(subject, PACKAGE):
        known = [
            each.at("name").text
            for each in blobs(subject, CHANNEL)
            if each.at("package").value == node.at("name").value
        ]
        default = node.at("defaultChannel")
        if default.text not in known or not default.text:
            yield default, f"there is no channel `{default.value}`"


@check(
    "catalog-entry-bundle",
    ERROR,
    _OPM,
    "Add the olm.bundle, or remove the entry.",
    needs_csv=False,
)
def entry_bundle(subject: Subject) -> Problems:
    """Every entry has its bundle in the catalog."""
    for channel, known in channels(subject):
        for name, each in known.items():
            if name and name not in _bundles(subject, channel.at("package").text):
                yield each.at("name"), f"there is no olm.bundle `{name}`"


@check(
    "catalog-bundle-entry",
    ERROR,
    _OPM,
    "Add it to a channel, or remove the bundle.",
    needs_csv=False,
)
def bundle_entry(subject: Subject) -> Problems:
    """Every bundle is in a channel, and there once."""
    listed = {(channel.at("package").text, name) for channel, known in channels(subject) for name in known}
    counts = Counter((each.at("package").text, each.at("name").text) for each in blobs(subject, BUNDLE))
    for each in blobs(subject, BUNDLE):
        key = (each.at("package").text, each.at("name").text)
        if key not in listed:
            yield each.at("name"), f"`{key[1]}` is in no channel"
        elif counts[key] > 1:
            yield each.at("name"), f"`{key[1]}` is there twice"


@check(
    "catalog-bundle-package",
    ERROR,
    f"{_OPM}, model",
    "Write exactly one property olm.package, with the bundle's packageName and version.",
    needs_csv=False,
)
def bundle_package(subject: Subject) -> Problems:
    """Every bundle has one property olm.package, with its package and a strict version."""
    for each in blobs(subject, BUNDLE):
        found = properties(each, PACKAGE)
        if len(found) != 1:
            yield each.at("properties"), f"there are {len(found)} properties olm.package"
            continue
        if found[0].at("packageName").value != each.at("package").value:
            yield found[0].at("packageName"), f"it is not the bundle's package, `{each.at('package').value}`"
        if not semver.is_strict(found[0].at("version").text):
            yield found[0].at("version"), f"`{found[0].at('version').value}` is no strict semantic version"


@check("catalog-bundle-version", ERROR, f"{_OPM}, model", "Give each bundle its own version.", needs_csv=False)
def bundle_version(subject: Subject) -> Problems:
    """No two bundles of a package have the same version."""
    seen: dict[tuple[str, str], str] = {}
    for each in blobs(subject, BUNDLE):
        key = (each.at("package").text, version(each))
        if key in seen and seen[key] != each.at("name").text:
            yield each.at("name"), f"version {key[1]} is that of {seen[key]} too"
        if key[1]:
            seen.setdefault(key, each.at("name").text)


@check(
    "catalog-bundle-image",
    ERROR,
    f"{_OPM}, model",
    "Write the bundle's image.",
    needs_csv=False,
)
def bundle_image(subject: Subject) -> Problems:
    """Every bundle has an image, or its objects in the catalog; images are valid references."""
    for each in blobs(subject, BUNDLE):
        image = each.at("image")
        if not image.text and not properties(each, BUNDLE_OBJECT):
            yield image, "there is no image"
        related = [node.at("image") for node in each.at("relatedImages").items()]
        for node in [*([image] if image.text else []), *related]:
            if not names.is_image(node.text):
                yield node, f"`{node.value}` is no reference of an image"


@check(
    "catalog-bundle-object",
    ERROR,
    "§0, §1h; OperatorHub pipeline, catalogs of OpenShift 4.17 and later",
    "Render with `--migrate-level bundle-object-to-csv-metadata`.",
    needs_csv=False,
)
def bundle_object(subject: Subject) -> Problems:
    """No bundle with an image carries its objects in the catalog."""
    for each in blobs(subject, BUNDLE):
        if each.at("image").text and properties(each, BUNDLE_OBJECT):
            yield each.at("properties"), f"there are properties {BUNDLE_OBJECT}"


@check(
    "catalog-bundle-metadata",
    WARNING,
    "§0, §6; the package server shows what stands in it",
    f"Write one property {CSV_METADATA}.",
    needs_csv=False,
)
def bundle_metadata(subject: Subject) -> Problems:
    """Every bundle brings what consoles show of it."""
    for each in blobs(subject, BUNDLE):
        if len(properties(each, CSV_METADATA)) != 1 and not properties(each, BUNDLE_OBJECT):
            yield each.at("properties"), f"there is not one property {CSV_METADATA}"


@check(
    "catalog-deprecations",
    ERROR,
    _OPM,
    "Deprecate what is in the catalog, with a message.",
    needs_csv=False,
)
def deprecations(subject: Subject) -> Problems:
    """Deprecations are of packages, channels and bundles that exist, and say why."""
    for blob in blobs(subject, DEPRECATIONS):
        owner = blob.at("package").value
        for each in blob.at("entries").items():
            reference = each.at("reference")
            schema, name = reference.at("schema").text, reference.at("name").text
            known = [node.at("name").text for node in blobs(subject, schema) if node.at("package").value == owner]
            if schema not in {PACKAGE, CHANNEL, BUNDLE} or (schema != PACKAGE and name not in known):
                yield reference, f"there is no {schema or 'schema'} `{name}`"
            if not each.at("message").text:
                yield each.at("message"), "there is no message"


@check(
    "catalog-has-bundle",
    WARNING,
    "§1i, §6: catalog and bundle are made together",
    "Run `make catalog`.",
)
def has_bundle(subject: Subject) -> Problems:
    """The catalog has the bundle, with its version and its CRDs."""
    name, mine = subject.csv.at("metadata", "name").text, subject.package()
    if not subject.catalog or mine not in packages(subject):
        return
    found = _bundles(subject, mine).get(name)
    if found is None:
        yield Node(None, subject.catalog[0].name), f"there is no olm.bundle `{name}`"
        return
    wanted = subject.csv.at("spec", "version").text
    if semver.is_strict(version(found)) and semver.is_strict(wanted) and version(found) != wanted:
        yield found.at("properties"), f"the version is {version(found)}, that of the bundle differs"
    if _kinds(found) != _provided(subject):
        yield found.at("properties"), "the properties olm.gvk are not the CRDs of the bundle"


def _kinds(bundle: Node) -> set[tuple[str, str, str]]:
    return {
        (each.at("group").text, each.at("version").text, each.at("kind").text) for each in properties(bundle, "olm.gvk")
    }


def _provided(subject: Subject) -> set[tuple[str, str, str]]:
    """Group, version and kind of the owned CRDs; what is named wrongly is for another check."""
    owned = subject.csv.at("spec", "customresourcedefinitions", "owned").items()
    found = {(each.at("name").text.partition(".")[2], each.at("version").text, each.at("kind").text) for each in owned}
    return {each for each in found if each[0]}
