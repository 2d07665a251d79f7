# SPDX-License-Identifier: Apache-2.0
"""§1b, §1g, §1h and §6: the files of the repository that go with a bundle. What is not there is not checked."""

from __future__ import annotations

import re
import shlex
from typing import Final

from bundlecheck.node import Node
from bundlecheck.reading import parse
from bundlecheck.registry import ERROR, Problems, check
from bundlecheck.subject import Subject

BUNDLE_FILE: Final = "bundle.Dockerfile"
CATALOG_FILE: Final = "catalog.Dockerfile"
OPERATOR_FILE: Final = "Dockerfile"

_CATALOG_LABEL: Final = "operators.operatorframework.io.index.configs.v1"
_COPIES: Final = (
    (r"\S*manifests/?", "/manifests/"),
    (r"\S*metadata/?", "/metadata/"),
    (r"\S*tests/scorecard/?", "/tests/scorecard/"),
)
_LABELS: Final = ("name", "vendor", "version", "release", "summary", "description", "maintainer")
_UPDATE_GRAPHS: Final = ("replaces-mode", "semver-mode")
MAX_LAYERS: Final = 40
_LAYERS_OF_BASE: Final = 10
"""More than any base image that is likely; the Dockerfile does not tell."""

_TRADEMARK: Final = re.compile(r"red\s*hat|openshift", re.IGNORECASE)


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, in upper case, with their arguments on one line."""
    kept = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\s*\n", " ", "\n".join(kept))
    parts = (line.strip().partition(" ") for line in joined.splitlines() if line.strip())
    return [(name.upper(), rest.strip()) for name, _, rest in parts]


def labels(text: str) -> dict[str, str]:
    """The labels that a Dockerfile gives its image."""
    found: dict[str, str] = {}
    for name, rest in instructions(text):
        if name != "LABEL":
            continue
        try:
            words = shlex.split(rest)
        except ValueError:
            continue
        found |= dict(word.split("=", 1) for word in words if "=" in word)
        if "=" not in rest and len(words) > 1:
            found[words[0]] = " ".join(words[1:])
    return found


@check(
    "dockerfile-labels",
    ERROR,
    "§1b, §1j; operator-registry: an image is a bundle by its labels",
    "Write each annotation of metadata/annotations.yaml as a LABEL, with the same value.",
    needs_csv=False,
)
def bundle_labels(subject: Subject) -> Problems:
    """The labels of the bundle's image are the bundle's annotations."""
    text = subject.beside(BUNDLE_FILE)
    if text is None or not subject.annotations.exists:
        return
    found = labels(text)
    place = Node(None, BUNDLE_FILE)
    for key, node in subject.annotations.fields():
        if isinstance(node.value, str) and found.get(key) != node.value:
            yield place, f"{key} is {found.get(key)!r}, in annotations.yaml {node.value!r}"
    for key in found:
        if key.startswith("operators.operatorframework.io.") and not subject.annotations.at(key).exists:
            yield place, f"{key} is not in annotations.yaml"


@check(
    "dockerfile-bundle",
    ERROR,
    "§1b; operator-sdk, bundle.Dockerfile",
    "Begin FROM scratch, and COPY manifests, metadata and tests/scorecard to the root.",
    needs_csv=False,
)
def bundle_file(subject: Subject) -> Problems:
    """The bundle's image has the bundle's folders and nothing else."""
    text = subject.beside(BUNDLE_FILE)
    if text is None:
        return
    place = Node(None, BUNDLE_FILE)
    found = instructions(text)
    if [rest for name, rest in found if name == "FROM"] != ["scratch"]:
        yield place, "it is not FROM scratch"
    copies = [rest.split() for name, rest in found if name == "COPY"]
    for source, target in _COPIES:
        if target == "/tests/scorecard/" and "tests/scorecard" not in subject.folders:
            continue
        if not any(
            re.fullmatch(source, words[-2]) and f"{words[-1].rstrip('/')}/" == target for words in copies if words[1:]
        ):
            yield place, f"nothing is copied to {target}"


@check(
    "dockerfile-catalog",
    ERROR,
    "§0, §6; opm generate dockerfile",
    f"Write LABEL {_CATALOG_LABEL}=/configs, and add the catalog there.",
    needs_csv=False,
)
def catalog_file(subject: Subject) -> Problems:
    """The catalog's image says where the catalog lies, and has it there."""
    text = subject.beside(CATALOG_FILE)
    if text is None:
        return
    place = Node(None, CATALOG_FILE)
    if labels(text).get(_CATALOG_LABEL) != "/configs":
        yield place, f"the label {_CATALOG_LABEL} is not /configs"
    targets = [rest.split()[-1] for name, rest in instructions(text) if name in {"ADD", "COPY"} and rest]
    if not any(target.rstrip("/").startswith("/configs") for target in targets):
        yield place, "nothing is copied to /configs"


@check(
    "dockerfile-operator",
    ERROR,
    "§1g; preflight, container policy",
    f"Write LABEL {', '.join(_LABELS)}; COPY licences to /licenses/; set a numeric USER that is not 0.",
    needs_csv=False,
)
def operator_file(subject: Subject) -> Problems:
    """The operator's image has the labels, the licence and the user that preflight asks for."""
    text = subject.beside(OPERATOR_FILE)
    if text is None:
        return
    place = Node(None, OPERATOR_FILE)
    found = labels(text)
    for key in _LABELS:
        if not found.get(key):
            yield place, f"the label {key} is missing"
    for key in ("name", "vendor", "maintainer"):
        if _TRADEMARK.search(found.get(key, "")):
            yield place, f"the label {key} has a trademark of Red Hat's: {found[key]!r}"
    if "/licenses" not in text:
        yield place, "nothing is copied to /licenses/"
    users = [rest for name, rest in instructions(text) if name == "USER"]
    user = users[-1].partition(":")[0] if users else ""
    if not user.isdigit() or int(user) == 0:
        yield place, f"the USER is {user!r}"


@check(
    "dockerfile-layers",
    ERROR,
    "§1g; preflight, container policy",
    f"Join instructions: an image may have {MAX_LAYERS} layers, its base's among them.",
    needs_csv=False,
)
def operator_layers(subject: Subject) -> Problems:
    """The operator's image has few layers."""
    text = subject.beside(OPERATOR_FILE)
    found = instructions(text) if text is not None else []
    last = max((number for number, (name, _) in enumerate(found) if name == "FROM"), default=0)
    layers = sum(name in {"RUN", "COPY", "ADD"} for name, _ in found[last:])
    if layers > MAX_LAYERS - _LAYERS_OF_BASE:
        yield Node(None, OPERATOR_FILE), f"it adds {layers} layers to its base"


@check(
    "community-ci",
    ERROR,
    "§1h; OperatorHub pipeline, ci.yaml",
    f"Write reviewers, and updateGraph ({' or '.join(_UPDATE_GRAPHS)}) or fbc.enabled.",
    needs_csv=False,
)
def community_ci(subject: Subject) -> Problems:
    """The ci.yaml of a tree of releases has the form that OperatorHub's pipeline asks for."""
    text = subject.beside("ci.yaml")
    if text is None:
        return
    documents = parse(text.encode())
    if isinstance(documents, str) or len(documents) != 1 or not isinstance(documents[0], dict):
        yield Node(None, "ci.yaml"), "it is not one YAML mapping"
        return
    document = Node(documents[0], "ci.yaml")
    graph = document.at("updateGraph")
    if graph.exists and graph.value not in _UPDATE_GRAPHS:
        yield graph, f"`{graph.value}` is none of {', '.join(_UPDATE_GRAPHS)}"
    if not isinstance(document.at("reviewers").value, list):
        yield document.at("reviewers"), "there is no list of reviewers"
    if document.at("fbc", "enabled").value is True and not document.at("fbc", "catalog_mapping").items():
        yield document.at("fbc"), "there is no catalog_mapping"
