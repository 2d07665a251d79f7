# SPDX-License-Identifier: Apache-2.0
"""The file-based catalog: versions in their order, one head for each channel, blobs as opm makes them."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bundlecheck.semver import precedence
from manifests.catalog import read_releases, replaced
from manifests.cli import REPOSITORY
from manifests.errors import SourceError
from manifests.overrides import Overrides
from manifests.render import render

TEMPLATES = REPOSITORY / "templates"
IMAGE = "quay.io/lost-backend/pod-tracker-bundle"


def publish(releases: Path, version: str, *channels: str) -> None:
    """Put a version's bundle where published ones are."""
    rendered = render(TEMPLATES, Overrides(version=version), releases=releases / "none")
    for path, text in rendered.items():
        if path.startswith("bundle/"):
            file = releases / version / path.removeprefix("bundle/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(
                re.sub(r'channels.v1: ".*"', f'channels.v1: "{",".join(channels)}"', text), encoding="utf-8"
            )


def catalog(releases: Path, version: str, channels: tuple[str, ...] = ("candidate", "stable")) -> dict[str, Any]:
    rendered = render(TEMPLATES, Overrides(version=version, channels=channels), releases=releases)
    return {
        path.removeprefix("catalog/pod-tracker/"): yaml.safe_load(text)
        for path, text in rendered.items()
        if path.startswith("catalog/")
    } | {"csv": yaml.safe_load(rendered["bundle/manifests/pod-tracker.clusterserviceversion.yaml"])}


def test_versions_are_sorted_as_semver_says() -> None:
    ordered = [
        "0.9.0",
        "0.10.0",
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
        "1.0.1",
    ]
    shuffled = ordered.copy()
    random.Random(6).shuffle(shuffled)  # noqa: S311 - an order, not a secret
    assert sorted(shuffled, key=precedence) == ordered


def test_the_first_version_replaces_nothing(tmp_path: Path) -> None:
    made = catalog(tmp_path, "0.1.0")
    assert made["channel-stable.yaml"]["entries"] == [{"name": "pod-tracker.v0.1.0"}]
    assert made["package.yaml"]["defaultChannel"] == "stable"
    assert "replaces" not in made["csv"]["spec"]


def test_each_channel_is_a_line_of_its_own_versions(tmp_path: Path) -> None:
    publish(tmp_path, "0.1.0", "candidate", "stable")
    publish(tmp_path, "0.2.0-rc.1", "candidate")
    publish(tmp_path, "0.2.0-rc.10", "candidate")
    made = catalog(tmp_path, "0.2.0")
    assert made["channel-stable.yaml"]["entries"] == [
        {"name": "pod-tracker.v0.1.0"},
        {"name": "pod-tracker.v0.2.0", "replaces": "pod-tracker.v0.1.0"},
    ]
    assert made["channel-candidate.yaml"]["entries"] == [
        {"name": "pod-tracker.v0.1.0"},
        {"name": "pod-tracker.v0.2.0-rc.1", "replaces": "pod-tracker.v0.1.0"},
        {"name": "pod-tracker.v0.2.0-rc.10", "replaces": "pod-tracker.v0.2.0-rc.1"},
        {"name": "pod-tracker.v0.2.0", "replaces": "pod-tracker.v0.2.0-rc.10"},
    ]
    assert made["csv"]["spec"]["replaces"] == "pod-tracker.v0.1.0"
    bundles = {name for name in made if name.startswith("bundle-")}
    assert bundles == {f"bundle-v{version}.yaml" for version in ("0.1.0", "0.2.0-rc.1", "0.2.0-rc.10", "0.2.0")}


def test_a_candidate_replaces_the_newest_candidate(tmp_path: Path) -> None:
    publish(tmp_path, "0.1.0", "candidate", "stable")
    publish(tmp_path, "0.2.0-rc.1", "candidate")
    made = catalog(tmp_path, "0.2.0-rc.2", ("candidate",))
    assert made["csv"]["spec"]["replaces"] == "pod-tracker.v0.2.0-rc.1"
    assert made["package.yaml"]["defaultChannel"] == "stable"


def test_a_published_version_stays_as_it_was(tmp_path: Path) -> None:
    publish(tmp_path, "0.1.0", "candidate", "stable")
    file = tmp_path / "0.1.0/manifests/pod-tracker.clusterserviceversion.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("maturity: alpha", "maturity: beta"), encoding="utf-8")
    blob = catalog(tmp_path, "0.1.0")["bundle-v0.1.0.yaml"]
    (metadata,) = (each["value"] for each in blob["properties"] if each["type"] == "olm.csv.metadata")
    assert metadata["maturity"] == "beta"


def test_a_blob_has_what_opm_puts_into_it(tmp_path: Path) -> None:
    made = catalog(tmp_path, "0.1.0")
    blob = made["bundle-v0.1.0.yaml"]
    assert {key: blob[key] for key in ("schema", "name", "package", "image")} == {
        "schema": "olm.bundle",
        "name": "pod-tracker.v0.1.0",
        "package": "pod-tracker",
        "image": f"{IMAGE}:v0.1.0",
    }
    properties = {each["type"]: each["value"] for each in blob["properties"]}
    assert properties["olm.gvk"] == {"group": "pod-tracker.lost.backend", "kind": "PodTracker", "version": "v1"}
    assert properties["olm.package"] == {"packageName": "pod-tracker", "version": "0.1.0"}
    metadata = properties["olm.csv.metadata"]
    assert metadata["annotations"] == made["csv"]["metadata"]["annotations"]
    assert metadata["crdDescriptions"] == made["csv"]["spec"]["customresourcedefinitions"]
    assert metadata["apiServiceDefinitions"] == {}
    assert (
        metadata.keys() - {"annotations", "labels", "crdDescriptions", "apiServiceDefinitions"}
        <= made["csv"]["spec"].keys()
    )
    assert "install" not in metadata
    assert [related["image"] for related in blob["relatedImages"]] == [
        f"{IMAGE}:v0.1.0",
        "quay.io/lost-backend/pod-tracker:v0.1.0",
    ]


def test_nothing_is_replaced_across_channels(tmp_path: Path) -> None:
    publish(tmp_path, "0.1.0", "candidate")
    assert replaced(read_releases(tmp_path, IMAGE), "0.2.0", ("candidate", "stable"), "stable") is None


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        pytest.param(lambda folder: (folder / "v0.3").mkdir(), "folders here have a version's name", id="name"),
        pytest.param(
            lambda folder: (folder / "0.1.0/metadata/annotations.yaml").unlink(), "restore it from git", id="incomplete"
        ),
        pytest.param(
            lambda folder: (folder / "0.1.0").rename(folder / "0.1.1"), "has the bundle of version 0.1.0", id="moved"
        ),
    ],
)
def test_damaged_releases(harm: Any, sentence: str, tmp_path: Path) -> None:
    publish(tmp_path, "0.1.0", "stable")
    harm(tmp_path)
    with pytest.raises(SourceError, match=sentence):
        read_releases(tmp_path, IMAGE)
