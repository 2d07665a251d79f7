# SPDX-License-Identifier: Apache-2.0
"""What kubeconform finds in a bundle, the parts of its CSV included, and in any other manifests."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from bundlecheck.checks.examples import examples
from bundlecheck.checks.workloads import deployments
from bundlecheck.errors import InputError
from bundlecheck.findings import Finding, Severity
from bundlecheck.kubeconform import Kind, Schemas, Status, run
from bundlecheck.node import Node
from bundlecheck.reading import read_yaml
from bundlecheck.subject import CRD_KIND, Subject

CHECK: Final = "kubeconform/schema"
SOURCE: Final = "issue 6; kubeconform, with the schemas of Kubernetes, our CRD and OLM's"

_REMEDY: Final = "Correct the field; a strict API server refuses it too."
_YAML: Final = ("*.yaml", "*.yml", "*.json")
_NOT_OBJECTS: Final = ("kustomize.config.k8s.io/", "scorecard.operatorframework.io/")
"""Files of programs; no API server has their kinds."""


@dataclass(slots=True)
class _Batch:
    """Objects on their way to kubeconform, and whence they came."""

    folder: Path
    origins: dict[Path, Node] = field(default_factory=dict)

    def add(self, origin: Node, value: dict[str, Any]) -> None:
        path = self.folder / f"{len(self.origins)}.json"
        path.write_text(json.dumps(value, default=str), encoding="utf-8")
        self.origins[path] = Node(value, origin.file, origin.path)


def check_bundle(subject: Subject, program: Path, olm_crds: Path | None = None) -> tuple[list[Finding], list[str]]:
    """Findings in the objects of a bundle, and notes of what could not be looked at.

    The CSV itself is looked at where OLM's CRDs are given; its deployments, rules and examples always.

    Raises:
        InputError: the folder with OLM's CRDs has none.
        ToolError: kubeconform cannot be run.
    """
    with tempfile.TemporaryDirectory(prefix="bundlecheck-") as folder:
        batch = _Batch(Path(folder))
        for node in subject.manifests():
            batch.add(node, node.value)
        for node, value in _parts(subject):
            batch.add(node, value)
        findings, notes = _run(batch, program, [*subject.crds(), *_crds(olm_crds)])
    return [replace(finding, file=subject.shown(finding.file)) for finding in findings], notes


def check_files(paths: Sequence[Path], program: Path, crds: Path | None = None) -> tuple[list[Finding], list[str]]:
    """Findings in the manifests of files and folders; their own CRDs, and those of `crds`, are schemas for the others.

    Raises:
        InputError: a path does not exist, or there is no manifest.
        ToolError: kubeconform cannot be run.
    """
    nodes = [node for path in paths for node in _manifests(path)]
    if not nodes:
        raise InputError(f"there is no manifest in {', '.join(map(str, paths))}; give YAML files, or folders of them")
    with tempfile.TemporaryDirectory(prefix="bundlecheck-") as folder:
        batch = _Batch(Path(folder))
        for node in nodes:
            batch.add(node, node.value)
        own = [node for node in nodes if node.at("kind").value == CRD_KIND]
        return _run(batch, program, [*own, *_crds(crds)])


def _run(batch: _Batch, program: Path, crds: Sequence[Node]) -> tuple[list[Finding], list[str]]:
    kinds = {_kind(node) for node in batch.origins.values()}
    with tempfile.TemporaryDirectory(prefix="bundlecheck-") as folder:
        schemas = Schemas.prepare(Path(folder), kinds, crds)
        # A kind of Kubernetes' own that has no schema is misspelt or removed: that is a finding, not a gap.
        unknown = {kind for kind in kinds if not schemas.has(kind) and _is_custom(kind)}
        results = run(program, list(batch.origins), schemas, skip=unknown)
    findings = []
    for result in results:
        origin = batch.origins[result.file]
        if result.status is Status.INVALID and result.violations:
            findings += [_finding(origin, each.path, each.message) for each in result.violations]
        elif result.status in {Status.INVALID, Status.ERROR}:
            findings.append(_finding(origin, "", " ".join(result.message.split())))
    return findings, [f"no schema of {version} {kind}: not looked at" for version, kind in sorted(unknown)]


def _finding(origin: Node, path: str, message: str) -> Finding:
    place = f"{origin.path}.{path}" if origin.path and path else origin.path or path
    return Finding(CHECK, Severity.ERROR, origin.file, place, message, _REMEDY, SOURCE)


def _kind(node: Node) -> Kind:
    return node.at("apiVersion").text, node.at("kind").text


def _is_custom(kind: Kind) -> bool:
    group = kind[0].partition("/")[0] if "/" in kind[0] else ""
    return "." in group and not group.endswith(".k8s.io")


def _parts(subject: Subject) -> Iterator[tuple[Node, dict[str, Any]]]:
    """What OLM makes of the CSV, as objects."""
    for node in deployments(subject):
        meta = {"name": node.at("name").value}
        yield node, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": node.at("spec").value}
    install = subject.csv.at("spec", "install", "spec")
    for key in ("permissions", "clusterPermissions"):
        for node in install.at(key).items():
            meta = {"name": "rules"}
            rules = node.at("rules").value
            yield node, {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta, "rules": rules}
    for node in examples(subject):
        yield node, node.value


def _manifests(path: Path) -> Iterator[Node]:
    if not path.exists():
        raise InputError(f"{path} does not exist; give YAML files, or folders of them")
    files = [path] if path.is_file() else sorted(each for pattern in _YAML for each in path.rglob(pattern))
    for each in files:
        file = read_yaml(each, each.as_posix())
        if file.fault:
            raise InputError(f"{each}: {file.fault}")
        for document in file.documents:
            node = Node(document, file.name)
            if node.at("kind").text and not node.at("apiVersion").text.startswith(_NOT_OBJECTS):
                yield node


def _crds(folder: Path | None) -> list[Node]:
    if folder is None:
        return []
    found = [node for node in _manifests(folder) if node.at("kind").value == CRD_KIND]
    if not found:
        raise InputError(f"{folder} has no CustomResourceDefinition; give the folder of OLM's CRDs")
    return found
