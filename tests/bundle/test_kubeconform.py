# SPDX-License-Identifier: Apache-2.0
"""kubeconform finds what does not fit the schemas of Kubernetes, of our CRD, and of OLM's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from bundle.builder import good_tree
from bundle.tree import REPOSITORY, Tree
from bundlecheck import conformance
from bundlecheck.cli import OLM_CRDS_VARIABLE
from bundlecheck.conformance import check_bundle, check_files
from bundlecheck.csv_schema import CSV_SCHEMA
from bundlecheck.errors import InputError, ToolError
from bundlecheck.kubeconform import Schemas, Status, run
from bundlecheck.node import Node
from bundlecheck.reading import parse
from bundlecheck.subject import load
from bundlecheck.tools import ensure_kubeconform

_SHARED: Final = REPOSITORY.parent / "shared" / "olm" / "crds"
_CRD: Final = REPOSITORY / "config" / "crd" / "bases" / "pod-tracker.lost.backend_podtrackers.yaml"


@pytest.fixture(scope="session")
def program() -> Path:
    return ensure_kubeconform()


@pytest.fixture(scope="session")
def olm_crds() -> Path:
    folder = Path(os.environ.get(OLM_CRDS_VARIABLE) or _SHARED)
    if not folder.is_dir():
        pytest.skip(f"skipped: OLM's CRDs are not here; set {OLM_CRDS_VARIABLE} to their folder")
    return folder


def _tracker(**spec: Any) -> dict[str, Any]:
    reporter = {"kind": "slack", "channel": "C0", "key": "x"}
    metadata = {"name": "t", "labels": {"a": "b"}}
    spec = {"name": "nginx", "reporter": reporter, **spec}
    return {"apiVersion": "pod-tracker.lost.backend/v1", "kind": "PodTracker", "metadata": metadata, "spec": spec}


def _deployment(**container: Any) -> dict[str, Any]:
    pod = {"containers": [{"name": "manager", "image": "x", **container}]}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": pod}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}


def _write(folder: Path, *documents: Any) -> Path:
    path = folder / "objects.yaml"
    path.write_text(yaml.safe_dump_all(documents))
    return path


def test_good_objects_are_valid(program: Path, tmp_path: Path) -> None:
    path = _write(tmp_path, _deployment(), _tracker(events=["Created"]))
    schemas_folder = tmp_path / "schemas"
    schemas_folder.mkdir()
    crd = Node(yaml.safe_load(_CRD.read_text()), "crd")
    results = run(program, [path], Schemas.prepare(schemas_folder, [("apps/v1", "Deployment")], [crd]))
    assert {(each.kind, each.name, each.status) for each in results} == {
        ("Deployment", "d", Status.VALID),
        ("PodTracker", "t", Status.VALID),
    }


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (_deployment(imgae="x"), "spec.template.spec.containers.0"),
        (_deployment(ports=[{"containerPort": "http"}]), "spec.template.spec.containers.0.ports.0.containerPort"),
        (_tracker(nmae="nginx"), "spec"),
        (_tracker(events=["Born"]), "spec.events.0"),
        (_tracker(reporter={"kind": "pigeon"}), "spec.reporter.kind"),
        (_tracker(suspend="yes"), "spec.suspend"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_found_at_its_place(program: Path, tmp_path: Path, document: Any, path: str) -> None:
    findings, notes = check_files([_write(tmp_path, document), _CRD], program)
    assert [(finding.check, finding.path) for finding in findings] == [(conformance.CHECK, path)]
    assert findings[0].file.endswith("objects.yaml")
    assert notes == []


def test_a_kind_that_kubernetes_does_not_have_is_an_error(program: Path, tmp_path: Path) -> None:
    old = {"apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget", "metadata": {"name": "x"}}
    findings, _ = check_files([_write(tmp_path, old)], program)
    assert len(findings) == 1
    assert "could not find schema" in findings[0].message


def test_a_custom_kind_without_a_schema_is_told_and_not_guessed(program: Path, tmp_path: Path) -> None:
    findings, notes = check_files([_write(tmp_path, _tracker(nonsense=1))], program)
    assert findings == []
    assert notes == ["no schema of pod-tracker.lost.backend/v1 PodTracker: not looked at"]


def test_the_parts_of_a_csv_are_looked_at(program: Path, tmp_path: Path) -> None:
    tree = good_tree()
    tree.container["imagePullPollicy"] = "Always"
    tree.install["permissions"][0]["rules"][0]["verb"] = ["get"]
    findings, notes = check_bundle(load(tree.write(tmp_path)), program)
    install = "spec.install.spec"
    assert {finding.path for finding in findings} == {
        f"{install}.deployments[0].spec.template.spec.containers.0",
        f"{install}.permissions[0].rules.0",
    }
    assert notes == ["no schema of operators.coreos.com/v1alpha1 ClusterServiceVersion: not looked at"]


def test_a_csv_is_looked_at_where_olms_crds_are(program: Path, tmp_path: Path, olm_crds: Path) -> None:
    tree = good_tree()
    assert check_bundle(load(tree.write(tmp_path / "good")), program, olm_crds) == ([], [])
    tree.spec["MinKubeVersion"] = "1.29.0"
    tree.pod["serviceAcountName"] = "x"
    findings, _ = check_bundle(load(tree.write(tmp_path / "bad")), program, olm_crds)
    assert any("MinKubeVersion" in finding.message for finding in findings)
    assert any("serviceAcountName" in finding.message for finding in findings)


def test_our_table_of_a_csvs_fields_is_that_of_olms_crd(olm_crds: Path) -> None:
    documents = parse(next(olm_crds.glob("*clusterserviceversions*")).read_bytes())
    assert not isinstance(documents, str)
    theirs = documents[0]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert _differences(CSV_SCHEMA["properties"]["spec"], theirs["properties"]["spec"], "spec") == []


def _differences(ours: dict[str, Any], theirs: dict[str, Any], path: str) -> list[str]:
    """Where the two know different fields or types; what ours leaves free is left out."""
    if ours.get("x-kubernetes-preserve-unknown-fields"):
        return []
    if ours.get("type") != theirs.get("type"):
        return [f"{path}: {ours.get('type')} / {theirs.get('type')}"]
    found = []
    mine, known = ours.get("properties", {}), theirs.get("properties", {})
    found += [f"{path}.{name}" for name in sorted(mine.keys() ^ known.keys())]
    for name in mine.keys() & known.keys():
        found += _differences(mine[name], known[name], f"{path}.{name}")
    if "items" in ours:
        found += _differences(ours["items"], theirs["items"], f"{path}[]")
    return found


@pytest.mark.skipif(not (REPOSITORY / "bundle").is_dir(), reason="bundle/ is not made yet: run `make bundle`")
def test_our_bundle_conforms(program: Path) -> None:
    findings, _ = check_bundle(load(REPOSITORY / "bundle"), program)
    assert findings == []


def test_config_conforms(program: Path) -> None:
    findings, _ = check_files([REPOSITORY / "config"], program)
    assert findings == []


def test_our_bundle_conforms_to_olms_crds(program: Path, olm_crds: Path) -> None:
    if not (REPOSITORY / "bundle").is_dir():
        pytest.skip("bundle/ is not made yet: run `make bundle`")
    assert check_bundle(load(REPOSITORY / "bundle"), program, olm_crds) == ([], [])


@pytest.mark.parametrize(
    "content", ["#!/bin/sh\necho nonsense\n", "#!/bin/sh\necho broken >&2; exit 3\n", "no program"]
)
def test_a_program_that_is_not_kubeconform_is_told(tmp_path: Path, content: str) -> None:
    fake = tmp_path / "kubeconform"
    fake.write_text(content)
    fake.chmod(0o755)
    with pytest.raises(ToolError, match="kubeconform"):
        check_files([_write(tmp_path, _deployment())], fake)


def test_paths_that_hold_nothing_are_told(program: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        check_files([tmp_path / "nothing"], program)
    with pytest.raises(InputError, match="no manifest"):
        check_files([tmp_path], program)
    with pytest.raises(InputError, match="no CustomResourceDefinition"):
        check_files([_write(tmp_path, _deployment())], program, crds=_write(tmp_path, _deployment()))


def test_the_built_bundle_conforms(program: Path, tmp_path: Path) -> None:
    tree: Tree = good_tree()
    findings, _ = check_bundle(load(tree.write(tmp_path)), program)
    assert findings == []
