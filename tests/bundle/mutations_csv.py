# SPDX-License-Identifier: Apache-2.0
"""Mutations of the CSV's name, words, examples and CRDs."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, Final

from bundle.changes import (
    Change,
    drop_annotation,
    kube_object,
    set_annotation,
    set_spec,
)
from bundle.tree import Tree

_DIGEST: Final = "sha256:" + "ab" * 32


def _set_version(tree: Tree, version: str) -> None:
    """Give the release another version, everywhere but in spec.version."""
    name = f"pod-tracker.v{version}"
    old = tree.csv["metadata"]["name"]
    tree.csv["metadata"]["name"] = name
    for each in tree.blobs:
        if each.get("name") == old:
            each["name"] = name
        for entry in each.get("entries", ()):
            if entry["name"] == old:
                entry["name"] = name


def _drop_spec(key: str) -> Change:
    def change(tree: Tree) -> None:
        del tree.spec[key]

    return change


def _two_images(tree: Tree) -> None:
    tree.spec["icon"] = tree.spec["icon"] * 2


def _example(change: Callable[[dict[str, Any]], object]) -> Change:
    def apply(tree: Tree) -> None:
        examples = tree.examples()
        change(examples[0])
        tree.set_examples(examples)

    return apply


def _drop_descriptor(tree: Tree) -> None:
    used = set(tree.examples()[0]["spec"])
    kept = tree.owned["specDescriptors"]
    first = next(each for each in kept if each["path"] in used)
    kept.remove(first)


def _cased(tree: Tree) -> None:
    tree.annotations["olm.skiprange"] = tree.annotations.pop("olm.skipRange", ">=0.0.1 <0.1.0")


def _bad_range(tree: Tree) -> None:
    tree.annotations["olm.skipRange"] = ">=0.1 <0.2.0"
    tree.spec.setdefault("replaces", "pod-tracker.v0.0.1")


def _skip_only(tree: Tree) -> None:
    tree.annotations["olm.skipRange"] = ">=0.0.1 <0.1.0"
    tree.spec.pop("replaces", None)


def _other_crd_name(tree: Tree) -> None:
    """A description without the group's dot; the CRD that it is of stays owned."""
    tree.spec["customresourcedefinitions"]["owned"].append(
        {**_described("others"), "specDescriptors": [], "statusDescriptors": []}
    )


def _described(name: str) -> dict[str, Any]:
    resources = [{"kind": "Pod", "version": "v1", "name": ""}]
    words = {"displayName": "Other", "description": "Another.", "resources": resources}
    return {"name": name, "version": "v1", "kind": "Other", **words}


def _required_crd(tree: Tree) -> None:
    tree.spec["customresourcedefinitions"]["required"] = [_described("others.example.com")]


def _missing_crd(tree: Tree) -> None:
    """An owned CRD that is not there, with an example, and in the catalog."""
    words = {"path": "colour", "displayName": "Colour", "description": "Any."}
    tree.spec["customresourcedefinitions"]["owned"].append(
        {**_described("others.example.com"), "specDescriptors": [words]}
    )
    example = kube_object("Other", "example.com/v1", spec={"colour": "red"})
    tree.set_examples([*tree.examples(), example])
    tree.files = {name: content for name, content in tree.files.items() if not name.startswith("catalog/")}


def _twice_owned(tree: Tree) -> None:
    owned = tree.spec["customresourcedefinitions"]["owned"]
    owned.append(json.loads(json.dumps(owned[0])))


def _other_version(tree: Tree) -> None:
    """A second version of the CRD that the CSV does not own."""
    versions = tree.crd["spec"]["versions"]
    extra = json.loads(json.dumps(versions[0]))
    versions.append({**extra, "name": "v2", "storage": False})


def _drop_resources(tree: Tree) -> None:
    tree.owned["resources"] = []


def _bad_default(tree: Tree) -> None:
    tree.schema["properties"]["spec"]["properties"]["name"]["default"] = 7


def _no_type(tree: Tree) -> None:
    del tree.schema["properties"]["spec"]["properties"]["name"]["type"]


def _svg(data: bytes) -> Change:
    def change(tree: Tree) -> None:
        tree.spec["icon"] = [{"base64data": base64.b64encode(data).decode(), "mediatype": "image/svg+xml"}]

    return change


def _namespace(tree: Tree) -> None:
    key = "operatorframework.io/suggested-namespace-template"
    tree.annotations[key] = json.dumps(kube_object("Namespace", name="another"))


def _empty_annotations(tree: Tree) -> None:
    tree.csv["metadata"]["annotations"] = {}


def _status_words(tree: Tree) -> None:
    tree.owned["statusDescriptors"] = []


CHANGES: Final[list[tuple[str, Change]]] = [
    ("csv-name", set_spec("replaces", "Pod_Tracker")),
    ("csv-name-convention", lambda tree: _set_version(tree, "0.2.0.vx")),
    ("csv-version", _drop_spec("version")),
    ("csv-version", set_spec("version", "v0.2.0")),
    ("csv-version-same", lambda tree: _set_version(tree, "9.9.9")),
    ("csv-version-label", lambda tree: tree.crd["metadata"]["labels"].update({"app.kubernetes.io/version": "9.9.9"})),
    ("csv-version-image", lambda tree: tree.set_image("quay.io/lost-backend/pod-tracker:v9.9.9")),
    ("csv-release", set_spec("release", "1")),
    ("csv-api-version", lambda tree: tree.csv.update(apiVersion="operators.coreos.com/v1")),
    ("csv-min-kube-version", set_spec("minKubeVersion", "1.29.0-0")),
    ("csv-min-kube-version-missing", _drop_spec("minKubeVersion")),
    ("csv-annotation-case", _cased),
    ("csv-skip-range", _bad_range),
    ("csv-skip-range-replaces", _skip_only),
    ("csv-replaces-older", set_spec("replaces", "pod-tracker.v9.9.9")),
    ("community-folder", lambda tree: setattr(tree, "folder", f"another/{tree.spec['version']}")),
    ("csv-display-name", set_spec("displayName", "PT")),
    ("csv-display-name", _drop_spec("displayName")),
    ("csv-description", set_spec("description", "Short.")),
    ("csv-provider", _drop_spec("provider")),
    ("csv-maintainers", set_spec("maintainers", [{"name": "Somebody", "email": "nowhere"}])),
    ("csv-maintainers", _drop_spec("maintainers")),
    ("csv-links", set_spec("links", [{"name": "Sources", "url": "git.example/pod-tracker"}])),
    ("csv-keywords", _drop_spec("keywords")),
    ("icon-one", set_spec("icon", [])),
    ("icon-one", _two_images),
    ("icon-mediatype", lambda tree: tree.spec["icon"][0].update(mediatype="image/svg")),
    ("icon-base64", lambda tree: tree.spec["icon"][0].update(base64data=tree.spec["icon"][0]["base64data"] + "\n")),
    ("icon-base64", _svg(b"no drawing")),
    ("icon-size", _svg(b"<svg>" + b" " * 20_000 + b"</svg>")),
    ("csv-annotations", _empty_annotations),
    ("annotation-capabilities", set_annotation("capabilities", "Basic install")),
    ("annotation-capabilities-missing", drop_annotation("capabilities")),
    ("annotation-categories", set_annotation("categories", "Observability")),
    ("annotation-categories", set_annotation("categories", "Monitoring,Gardening")),
    ("annotation-categories-missing", drop_annotation("categories")),
    ("annotation-container-image", drop_annotation("containerImage")),
    ("annotation-container-image", set_annotation("containerImage", "quay.io/lost-backend/pod-tracker")),
    (
        "annotation-container-image-same",
        set_annotation("containerImage", f"quay.io/lost-backend/pod-tracker@{_DIGEST}"),
    ),
    ("annotation-created-at", set_annotation("createdAt", "yesterday")),
    ("annotation-created-at", drop_annotation("createdAt")),
    ("annotation-repository", drop_annotation("repository")),
    ("annotation-support", set_annotation("support", "me")),
    ("annotation-description", drop_annotation("description")),
    ("annotation-json", set_annotation("operatorframework.io/suggested-namespace-template", "{")),
    ("annotation-json", set_annotation("operators.openshift.io/infrastructure-features", '"disconnected"')),
    ("annotation-namespace", _namespace),
    ("labels-arch", lambda tree: tree.csv["metadata"].pop("labels")),
    ("examples-json", set_annotation("alm-examples", "[{]")),
    (
        "examples-owned",
        lambda tree: tree.set_examples([*tree.examples(), {**kube_object("Other", "a.b/v1"), "spec": {"a": 1}}]),
    ),
    ("examples-complete", lambda tree: tree.set_examples([])),
    ("examples-both", set_annotation("olm.examples", "[]")),
    ("examples-spec", _example(lambda example: example.update(spec=None))),
    ("examples-valid", _example(lambda example: example["spec"]["reporter"].update(chanel="C0"))),
    ("examples-valid", _example(lambda example: example["spec"]["reporter"].update(kind="pigeon"))),
    (
        "examples-metadata",
        set_annotation("alm-examples-metadata", json.dumps({"nobody": {"description": "Nothing."}})),
    ),
    ("descriptors-spec", _drop_descriptor),
    ("descriptors-status", _status_words),
    ("descriptors-path", lambda tree: tree.owned["statusDescriptors"][0].update(path="colour")),
    ("descriptors-words", lambda tree: tree.owned["statusDescriptors"][0].pop("description")),
    ("descriptors-known", lambda tree: tree.owned["statusDescriptors"][0].update({"x-descriptors": ["urn:alm:other"]})),
    ("owned-crd-exists", _missing_crd),
    ("owned-crd-complete", _other_version),
    ("owned-crd-unique", _twice_owned),
    ("owned-crd-name", _other_crd_name),
    ("owned-crd-description", lambda tree: tree.owned.pop("description")),
    ("owned-crd-display-name", lambda tree: tree.owned.pop("displayName")),
    ("owned-crd-resources", _drop_resources),
    ("required-crd", _required_crd),
    ("native-apis", set_spec("nativeAPIs", [{"group": "apps", "version": "v1", "kind": "Deployment"}])),
    ("crd-definition", lambda tree: tree.crd["spec"]["versions"][0].update(storage=False)),
    ("crd-definition", lambda tree: tree.crd["spec"].update(scope="namespaced")),
    ("crd-schema", _no_type),
    ("crd-schema", _bad_default),
    ("crd-conversion", lambda tree: tree.crd["spec"].update(conversion={"strategy": "Webhook"})),
]
