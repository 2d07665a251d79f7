# SPDX-License-Identifier: Apache-2.0
"""The file-based catalog: what opm would make of our bundles, without opm, images or network.

A version that was published is in `releases/VERSION`, as it was then (the layout is that of the community-operators
repositories, so a folder can be copied there). The catalog has all of those and the version that is being made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from bundlecheck.semver import precedence
from manifests.errors import SourceError
from manifests.sources import LOADER, SEMVER

_CHANNELS: Final = "operators.operatorframework.io.bundle.channels.v1"

_CSV_METADATA: Final = (
    ("annotations", "metadata", "annotations"),
    ("crdDescriptions", "spec", "customresourcedefinitions"),
    ("description", "spec", "description"),
    ("displayName", "spec", "displayName"),
    ("installModes", "spec", "installModes"),
    ("keywords", "spec", "keywords"),
    ("labels", "metadata", "labels"),
    ("links", "spec", "links"),
    ("maintainers", "spec", "maintainers"),
    ("maturity", "spec", "maturity"),
    ("minKubeVersion", "spec", "minKubeVersion"),
    ("provider", "spec", "provider"),
)
"""Fields of the property olm.csv.metadata, and where the CSV has them."""


class Channel(NamedTuple):
    """A channel, oldest version first; each replaces the one before."""

    name: str
    entries: tuple[dict[str, str], ...]


class Published(NamedTuple):
    """A version in the catalog."""

    version: str
    channels: tuple[str, ...]
    package: str
    image: str
    """Of the bundle."""
    csv: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The CSV's name."""
        return f"{self.package}.v{self.version}"

    def blob(self) -> dict[str, Any]:
        """The olm.bundle of the catalog."""
        spec = self.csv["spec"]
        gvks = [
            {"group": owned["name"].partition(".")[2], "kind": owned["kind"], "version": owned["version"]}
            for owned in spec["customresourcedefinitions"]["owned"]
        ]
        metadata = {key: self.csv[part][field] for key, part, field in _CSV_METADATA}
        return {
            "schema": "olm.bundle",
            "name": self.name,
            "package": self.package,
            "image": self.image,
            "properties": [
                *({"type": "olm.gvk", "value": gvk} for gvk in gvks),
                {"type": "olm.package", "value": {"packageName": self.package, "version": self.version}},
                {"type": "olm.csv.metadata", "value": {"apiServiceDefinitions": {}, **metadata}},
            ],
            "relatedImages": sorted(
                ({"image": self.image, "name": ""}, *spec["relatedImages"]), key=lambda related: str(related["image"])
            ),
        }


def read_releases(folder: Path, image: str) -> tuple[Published, ...]:
    """The versions under `releases/`, oldest first; `image` is the name of the bundle's image, without tag.

    Raises:
        SourceError: a folder there is no published version.
    """
    versions = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    if wrong := [version for version in versions if not re.fullmatch(SEMVER, version)]:
        raise SourceError(
            f"{folder / min(wrong)}: folders here have a version's name, such as 0.1.0; move it elsewhere"
        )
    return tuple(_read_release(folder / version, f"{image}:v{version}") for version in sorted(versions, key=precedence))


def _read_release(folder: Path, image: str) -> Published:
    try:
        (csv_file,) = folder.glob("manifests/*.clusterserviceversion.yaml")
        csv = yaml.load(csv_file.read_text(encoding="utf-8"), Loader=LOADER)  # noqa: S506 - a safe one
        metadata = yaml.safe_load((folder / "metadata/annotations.yaml").read_text(encoding="utf-8"))
        channels = tuple(metadata["annotations"][_CHANNELS].split(","))
        package = csv["metadata"]["name"].partition(".v")[0]
        published = Published(csv["spec"]["version"], channels, package, image, csv)
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError) as error:
        raise SourceError(f"{folder} is no bundle as it was published ({error}); restore it from git") from None
    if published.version != folder.name:
        raise SourceError(f"{folder} has the bundle of version {published.version}; restore it from git")
    return published


def channels_of(versions: Sequence[Published]) -> tuple[Channel, ...]:
    """The upgrade graph: in each channel, every version replaces the one before."""
    names = sorted({channel for version in versions for channel in version.channels})
    return tuple(Channel(name, _entries(version for version in versions if name in version.channels)) for name in names)


def _entries(versions: Iterable[Published]) -> tuple[dict[str, str], ...]:
    entries: list[dict[str, str]] = []
    for version in versions:
        entries.append({"name": version.name} | ({"replaces": entries[-1]["name"]} if entries else {}))
    return tuple(entries)


def replaced(releases: Sequence[Published], version: str, channels: Sequence[str], default: str) -> str | None:
    """The version that this one replaces: the newest before it in the default channel, or in the first of its own."""
    channel = default if default in channels else channels[0]
    before = [each.version for each in releases if channel in each.channels and _is_before(each.version, version)]
    return before[-1] if before else None


def _is_before(one: str, other: str) -> bool:
    return precedence(one) < precedence(other)
