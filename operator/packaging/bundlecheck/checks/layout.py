# SPDX-License-Identifier: Apache-2.0
"""§1a: folders, loading and size."""

from __future__ import annotations

import base64
import gzip
from typing import Any, Final

from bundlecheck.node import Node
from bundlecheck.reading import File
from bundlecheck.registry import ERROR, WARNING, Problems, check
from bundlecheck.subject import CSV_KIND, MANIFESTS, METADATA, Subject

MAX_SIZE: Final = 1024**2
"""Bytes of all files, each compressed and in base64: what the ConfigMap of the unpacking takes."""

NEAR: Final = 0.85
MAX_ANNOTATIONS: Final = 200_000
"""Bytes of an object's annotations. Kubernetes takes 262144; a CSV's are copied to its pods, where others join them."""


@check(
    "layout-folders",
    ERROR,
    "§1a; operator-registry, bundle validate",
    "Put the manifests into manifests/, and annotations.yaml into metadata/.",
    needs_csv=False,
)
def folders(subject: Subject) -> Problems:
    """The bundle has the folders manifests/ and metadata/."""
    for name in (MANIFESTS, METADATA):
        if name not in subject.folders:
            yield Node(None, f"{name}/"), f"the folder {name}/ is missing"


@check(
    "layout-flat",
    ERROR,
    "§1a; operator-framework/api bundleloader; OLM v1",
    "Keep manifests/ flat: only visible files, no folders.",
    needs_csv=False,
)
def flat(subject: Subject) -> Problems:
    """manifests/ has no sub-folder and no hidden file."""
    prefix = f"{MANIFESTS}/"
    for name in sorted(subject.folders):
        if name.startswith(prefix):
            yield Node(None, name), "is a folder inside manifests/"
    for name in subject.files:
        if name.startswith(f"{prefix}."):
            yield Node(None, name), "is a hidden file inside manifests/"


@check(
    "layout-yaml",
    ERROR,
    "§1a; every loader of bundles",
    "Write it as plain YAML in UTF-8, each key once, without aliases.",
    needs_csv=False,
)
def readable(subject: Subject) -> Problems:
    """Every YAML file can be read, and means the same to every reader."""
    for file in subject.files.values():
        if file.fault and _is_yaml(file):
            yield Node(None, file.name), file.fault


@check(
    "layout-one-document",
    ERROR,
    "§1a, §1j; OLM v0 and operator-sdk read only the first document, OLM v1 reads all",
    "Put each object into a file of its own.",
    needs_csv=False,
)
def one_document(subject: Subject) -> Problems:
    """Every YAML file has exactly one document."""
    for file in subject.files.values():
        if not file.fault and _is_yaml(file) and len(file.documents) != 1:
            yield Node(None, file.name), f"it has {len(file.documents)} documents"


@check(
    "layout-object",
    ERROR,
    "§1c; operator-sdk, ObjectMeta of every object",
    "Write an object with apiVersion, kind and metadata.name.",
    needs_csv=False,
)
def is_object(subject: Subject) -> Problems:
    """Every file of manifests/ holds a Kubernetes object with a name."""
    for file in subject.files.values():
        if not file.documents or not _is_manifest(file):
            continue
        node = Node(file.documents[0], file.name)
        if not isinstance(node.value, dict):
            yield node, "it is no mapping"
            continue
        for part in (node.at("apiVersion"), node.at("kind"), node.at("metadata", "name")):
            if not part.exists or part.value == "":
                yield part, f"{part.path} is missing"


@check(
    "layout-one-csv",
    ERROR,
    "§1a; operator-framework/api bundleloader",
    "Keep exactly one ClusterServiceVersion in manifests/.",
    needs_csv=False,
)
def one_csv(subject: Subject) -> Problems:
    """manifests/ has exactly one ClusterServiceVersion."""
    found = subject.objects(CSV_KIND)
    if not found and MANIFESTS in subject.folders:
        yield Node(None, f"{MANIFESTS}/"), "there is no ClusterServiceVersion"
    for extra in found[1:]:
        yield extra, f"it is a second ClusterServiceVersion, besides {found[0].file}"


@check(
    "layout-stray-csv",
    ERROR,
    "§1a; bundleloader as preflight and scorecard use it: the folder with a CSV is taken for the bundle",
    "Keep ClusterServiceVersions out of every folder but manifests/.",
    needs_csv=False,
)
def stray_csv(subject: Subject) -> Problems:
    """No ClusterServiceVersion lies outside of manifests/."""
    for file in subject.files.values():
        if file.name.startswith(f"{MANIFESTS}/"):
            continue
        if any(Node(document, file.name).at("kind").value == CSV_KIND for document in file.documents):
            yield Node(None, file.name), "it is a ClusterServiceVersion outside of manifests/"


@check(
    "layout-strings",
    ERROR,
    "§1a, §1j; `opm render` and OLM v1 refuse what operator-sdk lets through",
    "Quote it: unquoted true, yes, on, n, 1 and dates are no strings in YAML, and annotations and labels must be.",
    needs_csv=False,
)
def strings(subject: Subject) -> Problems:
    """Names, annotations and labels are strings, not booleans, numbers or dates."""
    for node in subject.manifests():
        metadata = node.at("metadata")
        for part in (metadata.at("name"), metadata.at("namespace"), node.at("kind"), node.at("apiVersion")):
            if part.exists and not isinstance(part.value, str):
                yield part, f"{part.path} is {_shown(part.value)}, no string"
        for part in (metadata.at("annotations"), metadata.at("labels")):
            yield from _string_values(part)
    for deployment in subject.csv.at("spec", "install", "spec", "deployments").items():
        for holder in (deployment, deployment.at("spec", "template", "metadata")):
            for key in ("label", "labels", "annotations"):
                yield from _string_values(holder.at(key))
    yield from _string_values(subject.annotations)


def _string_values(mapping: Node) -> Problems:
    for key in mapping.mapping:
        if not isinstance(key, str):
            yield mapping, f"the key {key!r} is no string"
    for _, value in mapping.fields():
        if not isinstance(value.value, str):
            yield value, f"it is {_shown(value.value)}, no string"


def _shown(value: Any) -> str:
    kinds = {bool: "a boolean", int: "a number", float: "a number", type(None): "nothing"}
    return kinds.get(type(value), f"a {type(value).__name__}")


@check(
    "layout-unique",
    ERROR,
    "§1e; OLM v1, unique names; OLM v0 applies the last",
    "Remove or rename one of them.",
    needs_csv=False,
)
def unique(subject: Subject) -> Problems:
    """No two manifests are the same object."""
    seen: dict[tuple[Any, ...], str] = {}
    for node in subject.manifests():
        if node.at("kind").value == CSV_KIND:
            continue
        name = node.at("metadata", "name")
        key = (str(node.at("kind").value), str(node.at("metadata", "namespace").value), str(name.value))
        if key in seen:
            yield name, f"{key[0]} {key[2]} stands in {seen[key]} too"
        seen.setdefault(key, node.file)


@check(
    "layout-size",
    ERROR,
    "§1a; operator-framework/api, bundle size; the ConfigMap of OLM v0's unpacking",
    "Shorten what is long: descriptions of the CRD, the icon, the examples.",
    needs_csv=False,
)
def size(subject: Subject) -> Problems:
    """The files, compressed each, fit into a ConfigMap."""
    total = compressed_size(subject)
    if total > MAX_SIZE:
        yield Node(None, ""), f"the compressed bundle has {total} bytes; {MAX_SIZE} are the most"


@check(
    "layout-size-near",
    WARNING,
    "§1a; operator-framework/api, bundle size",
    "Shorten what is long before it is too much.",
    needs_csv=False,
)
def size_near(subject: Subject) -> Problems:
    """The compressed bundle stays below 85 % of what is allowed."""
    total = compressed_size(subject)
    if NEAR * MAX_SIZE < total <= MAX_SIZE:
        yield Node(None, ""), f"the compressed bundle has {total} of at most {MAX_SIZE} bytes"


def compressed_size(subject: Subject) -> int:
    """Bytes that the manifests take in OLM's ConfigMap."""
    contents = (file.content for name, file in subject.files.items() if name.startswith(f"{MANIFESTS}/"))
    return sum(len(base64.b64encode(gzip.compress(content, mtime=0))) for content in contents)


@check(
    "layout-annotations-size",
    ERROR,
    "§1a, §1j; Kubernetes: 256 KiB; OLM copies a CSV's annotations to the pods",
    "Shorten the annotations: fewer or smaller examples.",
    needs_csv=False,
)
def annotations_size(subject: Subject) -> Problems:
    """The annotations of each object stay below 200 kB."""
    for node in subject.manifests():
        annotations = node.at("metadata", "annotations")
        total = sum(len(key.encode()) + len(value.text.encode()) for key, value in annotations.fields())
        if total > MAX_ANNOTATIONS:
            yield annotations, f"the annotations have {total} bytes; {MAX_ANNOTATIONS} are the most"


def _is_yaml(file: File) -> bool:
    return file.name.endswith((".yaml", ".yml", ".json")) or _is_manifest(file)


def _is_manifest(file: File) -> bool:
    """Whether it lies in manifests/, not deeper: readers take every such file for a manifest, whatever its name."""
    return file.name.startswith(f"{MANIFESTS}/") and file.name.count("/") == 1
