# SPDX-License-Identifier: Apache-2.0
"""§1e, §1h and §6: the bundle against those published before it, in `releases/` or beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bundlecheck import crd_upgrade, semver
from bundlecheck.node import Node
from bundlecheck.reading import read_yaml
from bundlecheck.registry import ERROR, WARNING, Problems, check
from bundlecheck.subject import CRD_KIND, MANIFESTS, Subject

RELEASES: Final = "releases"


def published(subject: Subject) -> dict[str, Path]:
    """The folders of releases, by their versions: those of `releases/`, or of the tree of releases that this is in."""
    found = [*(subject.repository / RELEASES).glob("*"), *subject.root.resolve().parent.glob("*")]
    return {path.name: path for path in found if semver.is_strict(path.name) and (path / MANIFESTS).is_dir()}


def before(subject: Subject) -> Path | None:
    """The newest release that is older than the bundle; None where there is none."""
    own = subject.csv.at("spec", "version").text
    if not semver.is_strict(own):
        return None
    ranked = [(semver.precedence(version), path) for version, path in published(subject).items()]
    older = [each for each in ranked if each[0] < semver.precedence(own)]
    return max(older)[1] if older else None


def _crds(folder: Path) -> Iterator[Node]:
    for path in sorted((folder / MANIFESTS).glob("*.yaml")):
        node = Node(next(iter(read_yaml(path, path.name).documents), None), path.name)
        if node.at("kind").value == CRD_KIND:
            yield node


@check(
    "release-crd",
    ERROR,
    "§1e; OLM v1, crd-upgrade-safety: it refuses the whole upgrade",
    "Undo the change, or make it in a new version of the CRD; `bundlecheck crd-upgrade OLD NEW` says more of each.",
)
def crd_upgrades(subject: Subject) -> Problems:
    """The CRDs may take the place of those of the release before."""
    folder = before(subject)
    old = {node.at("metadata", "name").value: node for node in _crds(folder)} if folder else {}
    for crd in subject.crds():
        known = old.get(crd.at("metadata", "name").value)
        if known is None or folder is None:
            continue
        for finding in crd_upgrade.compare(known, crd):
            yield Node(None, crd.file, finding.path), f"{finding.message}, since {folder.name}"


@check(
    "release-replaces",
    WARNING,
    "§1h, §6; OperatorHub pipeline, check_replaces_availability",
    "Replace the release before this one, which is published; or restore the folder of the one that is named.",
)
def replaces_published(subject: Subject) -> Problems:
    """Where releases are kept, what the CSV replaces is one of them."""
    node = subject.csv.at("spec", "replaces")
    version = node.text.partition(".v")[2]
    known = published(subject)
    known.pop(subject.csv.at("spec", "version").text, None)
    if known and semver.is_strict(version) and version not in known:
        yield node, f"`{node.text}` is none of the releases {', '.join(sorted(known))}"
