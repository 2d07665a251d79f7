# SPDX-License-Identifier: Apache-2.0
"""The software bill of materials of the operator's image, CycloneDX 1.6, from the locked requirements.

It lists the Python packages, all of them, with every hash that the build accepts. What the base image holds is for that
image's own bill to say.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from packaging.requirements import InvalidRequirement, Requirement

from manifests.errors import SourceError
from manifests.sources import Values

_SPACE: Final = uuid.UUID("6f2b0b52-7c5e-4f0e-9f0b-0d6c1f2a9f37")
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_ROOT: Final = "podtracker"
"""Whom uv names as the user of what pyproject.toml asks for."""
_LINUX: Final = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}


class Package(msgspec.Struct, frozen=True):
    """A locked package."""

    name: str
    version: str
    hashes: tuple[str, ...]
    used_by: tuple[str, ...]

    @property
    def purl(self) -> str:
        """Its package URL."""
        return f"pkg:pypi/{self.name}@{self.version}"


def packages(requirements: str) -> tuple[Package, ...]:
    """The packages of a locked requirements file, as uv writes it, that are for Linux.

    Raises:
        SourceError: a line is no requirement, or has no hash.
    """
    return tuple(package for block in _blocks(requirements) if (package := _package(block)) is not None)


def _blocks(requirements: str) -> Iterator[list[str]]:
    block: list[str] = []
    for line in requirements.splitlines():
        if line and not line.startswith((" ", "#")) and block:
            yield block
            block = []
        if line.strip() and not line.startswith("#"):
            block.append(line)
    if block:
        yield block


def _package(block: Sequence[str]) -> Package | None:
    try:
        requirement = Requirement(block[0].rstrip(" \\"))
        (exact,) = requirement.specifier
    except (InvalidRequirement, ValueError):
        raise SourceError(f"requirements: {block[0]!r} is no locked requirement; run `make lock`") from None
    if requirement.marker is not None and not requirement.marker.evaluate(_LINUX):
        return None
    hashes = tuple(_HASH.findall("\n".join(block)))
    if not hashes:
        raise SourceError(f"requirements: {requirement.name} has no hash; run `make lock`")
    comments = " ".join(line.strip().lstrip("#").strip() for line in block if line.lstrip().startswith("#"))
    used_by = comments.removeprefix("via").replace(", ", " ").split()
    parents = tuple(parent for parent in used_by if re.fullmatch(r"[a-z0-9][-a-z0-9._]*", parent))
    return Package(requirement.name, exact.version, hashes, parents)


def sbom(requirements: str, values: Values) -> str:
    """The document, as JSON; the same for the same requirements and version.

    Raises:
        SourceError: the requirements are not locked.
    """
    found = packages(requirements)
    refs = {package.name: package.purl for package in found}
    root = f"pkg:generic/{values.app}@{values.version}"
    children: dict[str, set[str]] = {ref: set() for ref in (root, *refs.values())}
    for package in found:
        for parent in package.used_by:
            children[root if parent == _ROOT else refs.get(parent, root)].add(package.purl)
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_SPACE, f'{values.version} {requirements}')}",
        "version": 1,
        "metadata": {
            "timestamp": f"{values.release_date}T00:00:00Z",
            "supplier": {"name": values.provider.name, "url": [values.provider.url]},
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": values.app,
                "version": values.version,
                "description": values.summary,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
                "purl": root,
            },
        },
        "components": [_component(package) for package in found],
        "dependencies": [{"ref": ref, "dependsOn": sorted(uses)} for ref, uses in sorted(children.items())],
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _component(package: Package) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": package.purl,
        "name": package.name,
        "version": package.version,
        "scope": "required",
        "hashes": [{"alg": "SHA-256", "content": content} for content in package.hashes],
        "purl": package.purl,
    }
    if expression := _license(package):
        component["licenses"] = [{"expression": expression}]
    return component


def _license(package: Package) -> str | None:
    """What the package says of its licence in SPDX terms, where this very version is installed here."""
    try:
        metadata = importlib.metadata.metadata(package.name)
    except importlib.metadata.PackageNotFoundError:
        return None
    expression = "License-Expression"
    return metadata[expression] if expression in metadata and metadata["Version"] == package.version else None
