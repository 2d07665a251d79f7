# SPDX-License-Identifier: Apache-2.0
"""All that is shipped, held against kubeconform and, strictly, against a real API server: overlays, samples, bundle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from bundlecheck import conformance
from bundlecheck.tools import ensure_kubeconform
from devcluster.binaries import Binaries
from devcluster.local import LocalCluster
from support.install import CONFIG, OPERATOR_NAMESPACE, install_crd
from support.manifests import Json
from support.olm import BUNDLE, CRDS_VARIABLE, olm_crds, read_csv
from support.prometheus import KINDS, prometheus_crds

CSV_KIND: Final = "ClusterServiceVersion"
NOT_OBJECTS: Final = {"Configuration"}
"""Of operator-sdk's scorecard: a file of a program, which no API server knows."""

OVERLAYS: Final = sorted(path.parent.relative_to(CONFIG).as_posix() for path in CONFIG.rglob("kustomization.yaml"))
SAMPLES: Final = sorted((CONFIG / "samples").glob("tracker*.yaml"))


@dataclass(frozen=True)
class Judges:
    """Two that know what an object may be: an API server, and kubeconform with the same CRDs."""

    cluster: LocalCluster
    kubeconform: Path
    crds: Path
    """A folder of CRDs: ours, and those of OLM and of the Prometheus operator where they are at hand."""
    unknown: frozenset[str]
    """Kinds of which there is no CRD here."""

    def built(self, overlay: str) -> list[Json]:
        """What kustomize makes of an overlay."""
        return read(self.cluster.kubectl("kustomize", str(CONFIG / overlay)).stdout)

    def take(self, objects: list[Json]) -> None:
        """Let both judge these; nothing is kept."""
        file = self.crds.parent / "objects.yaml"
        file.write_text(yaml.safe_dump_all(objects), encoding="utf-8")
        findings, notes = conformance.check_files([file], self.kubeconform, self.crds)
        assert (findings, notes) == ([], [])
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        flags = ("--server-side", "--dry-run=server", "--validate=strict", f"--namespace={OPERATOR_NAMESPACE}")
        done = self.cluster.kubectl("apply", *flags, "-f", "-", input=text, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.count("serverside-applied") == len(objects)


@pytest.fixture(scope="module")
def judges(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judges]:
    """A control plane of its own, so that the other tests' cluster has no CRDs but ours."""
    folder = tmp_path_factory.mktemp("judges")
    crds = folder / "crds"
    shutil.copytree(CONFIG / "crd" / "bases", crds)
    olm, prometheus = olm_crds(), prometheus_crds()
    for path in [*(sorted(olm.glob("*.yaml")) if olm else ()), *prometheus]:
        shutil.copyfile(path, crds / path.name)
    cluster = LocalCluster.start(folder / "cluster", binaries, controller_manager=False)
    try:
        install_crd(cluster)
        cluster.kubectl("create", "namespace", OPERATOR_NAMESPACE)
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(crds))
        cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(crds))
        unknown = (frozenset() if olm else {CSV_KIND}) | (frozenset() if prometheus else KINDS)
        yield Judges(cluster, ensure_kubeconform(), crds, frozenset(unknown))
    finally:
        cluster.stop()


def read(text: str) -> list[Json]:
    """The objects of some YAML."""
    objects: list[Any] = list(yaml.safe_load_all(text))
    return objects


def known(objects: list[Json], judges: Judges) -> list[Json]:
    """These objects; a test of others is skipped, with what is missing here."""
    lacking = {each["kind"] for each in objects} & judges.unknown
    if CSV_KIND in lacking:
        pytest.skip(f"OLM's CRDs are not beside the repository (shared/olm/crds); {CRDS_VARIABLE} names another folder")
    if lacking:
        pytest.skip(f"no CRD of {', '.join(sorted(lacking))}: Go could not fetch the Prometheus operator's module")
    return objects


def test_these_are_the_overlays() -> None:
    wanted = {"crd", "default", "grafana", "manager", "manifests", "network-policy", "prometheus", "rbac", "samples"}
    assert wanted <= set(OVERLAYS)
    assert len(SAMPLES) >= 8


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_taken(overlay: str, judges: Judges) -> None:
    objects = [each for each in judges.built(overlay) if each["kind"] not in NOT_OBJECTS]
    if overlay == "scorecard":
        assert objects == []
    else:
        judges.take(known(objects, judges))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: str(path.stem))
def test_a_sample_is_taken(sample: Path, judges: Judges) -> None:
    judges.take(read(sample.read_text(encoding="utf-8")))


def test_the_bundles_objects_are_taken(judges: Judges) -> None:
    """All but the CSV, as OLM applies them, and its examples."""
    objects = [each for file in sorted(BUNDLE.glob("manifests/*.yaml")) for each in read(file.read_text("utf-8"))]
    others = [each for each in objects if each["kind"] != CSV_KIND]
    assert {each["kind"] for each in others} >= {"CustomResourceDefinition", "ClusterRole", "Service"}
    judges.take([*others, *json.loads(read_csv()["metadata"]["annotations"]["alm-examples"])])


def test_the_csv_is_taken_by_olms_own_crd(judges: Judges) -> None:
    judges.take(known([read_csv()], judges))


def test_olms_own_crd_refuses_what_no_validator_sees(judges: Judges) -> None:
    """So that the silence of the test above means something."""
    [csv] = known([read_csv()], judges)
    csv["spec"]["MinKubeVersion"] = csv["spec"]["minKubeVersion"]
    with pytest.raises(AssertionError, match="MinKubeVersion"):
        judges.take([csv])
