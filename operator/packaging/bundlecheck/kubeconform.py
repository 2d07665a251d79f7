# SPDX-License-Identifier: Apache-2.0
"""Runs kubeconform with schemas from disk, and returns what it says as values.

The schemas of Kubernetes are those of the package kubernetes-validate; those of custom resources are made from CRDs.
The program never looks for a schema on the network.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

import msgspec

from bundlecheck.errors import ToolError
from bundlecheck.node import Node
from bundlecheck.schemas import strict

KUBERNETES_VERSION: Final = "1.36.0"
"""The release whose schemas are used."""

_DEFINITIONS: Final = "_definitions.json"
_REFERENCE: Final = "/api/_definitions.json"
_FAULT: Final = re.compile(r"- at '(?P<path>[^']*)': (?P<text>.*?)(?=\s+- at '|\Z)", re.DOTALL)
_NO_WORD: Final = re.compile(r"[^a-z0-9]")
_SUMMARY: Final = "validation failed"
_TIMEOUT: Final = 120
"""Seconds; a run takes about one."""

Kind = tuple[str, str]
"""apiVersion and kind."""


class Status(Enum):
    """What kubeconform thinks of an object; the values are its words."""

    VALID = "statusValid"
    INVALID = "statusInvalid"
    ERROR = "statusError"
    """It could not be looked at: no schema, or no object."""
    SKIPPED = "statusSkipped"


class _Resource(msgspec.Struct, frozen=True, rename="camel"):
    filename: str
    kind: str
    name: str
    version: str
    status: str
    """Empty for an empty document, else a value of `Status`."""
    msg: str


class _Output(msgspec.Struct, frozen=True):
    resources: tuple[_Resource, ...]


@dataclass(frozen=True, slots=True)
class Violation:
    """One place of an object that does not fit its schema."""

    path: str
    """With dots, such as `spec.replicas`; empty for the whole object."""
    message: str


@dataclass(frozen=True, slots=True)
class Result:
    """What kubeconform thinks of one object."""

    file: Path
    kind: str
    name: str
    api_version: str
    status: Status
    message: str
    violations: tuple[Violation, ...]


@dataclass(frozen=True, slots=True)
class Schemas:
    """A folder of schemas for kubeconform."""

    folder: Path

    @classmethod
    def prepare(cls, folder: Path, kinds: Iterable[Kind], crds: Iterable[Node]) -> Schemas:
        """Write the schemas of these built-in kinds and of these CRDs into an empty folder.

        Raises:
            ToolError: the package with Kubernetes' schemas is not installed.
        """
        schemas = cls(folder)
        source = _kubernetes_schemas()
        definitions = json.loads((source / _DEFINITIONS).read_bytes())
        del definitions["$id"]  # or its references to itself would lead to the network
        (folder / _DEFINITIONS).write_text(json.dumps(definitions), encoding="utf-8")
        for kind in set(kinds):
            found = source / _builtin_name(kind)
            if found.is_file():
                schemas._write(kind, _made_local(json.loads(found.read_bytes())))
        for crd in crds:
            schemas._add(crd)
        return schemas

    def has(self, kind: Kind) -> bool:
        """Whether there is a schema of this kind."""
        return self._path(kind).is_file()

    def location(self) -> str:
        """Where kubeconform finds the schema of a kind, as it wants to be told."""
        return f"{self.folder}/{{{{.Group}}}}_{{{{.ResourceAPIVersion}}}}_{{{{.ResourceKind}}}}.json"

    def _add(self, crd: Node) -> None:
        group, kind = crd.at("spec", "group").text, crd.at("spec", "names", "kind").text
        for version in crd.at("spec", "versions").items():
            schema = version.at("schema", "openAPIV3Schema").mapping
            if group and kind and version.at("name").text and schema:
                self._write((f"{group}/{version.at('name').text}", kind), strict(schema))

    def _write(self, kind: Kind, schema: dict[str, Any]) -> None:
        self._path(kind).write_text(json.dumps(schema), encoding="utf-8")

    def _path(self, kind: Kind) -> Path:
        version, name = kind
        group, _, number = version.rpartition("/")
        # For the core group, which has no name, kubeconform puts the version there.
        return self.folder / f"{group or number}_{number}_{name.lower()}.json"


def run(program: Path, files: Sequence[Path], schemas: Schemas, *, skip: Iterable[Kind] = ()) -> list[Result]:
    """Check these files, strictly: unknown fields and repeated keys are violations.

    Raises:
        ToolError: kubeconform failed, or said what nobody understands.
    """
    if not files:
        return []
    command = [str(program), "-strict", "-output=json", "-verbose", f"-schema-location={schemas.location()}"]
    if skipped := sorted(f"{version}/{kind}" for version, kind in skip):
        command.append(f"-skip={','.join(skipped)}")
    try:
        done = subprocess.run(  # noqa: S603 - our program, our arguments
            [*command, *map(str, files)], capture_output=True, timeout=_TIMEOUT, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"kubeconform cannot be run: {error}; remove {program} to have it built anew") from None
    try:
        output = msgspec.json.decode(done.stdout, type=_Output)
    except msgspec.MsgspecError as error:
        said = done.stderr.decode(errors="replace").strip() or str(error)
        raise ToolError(f"kubeconform ended with {done.returncode} and no result: {said}") from None
    return [_result(resource) for resource in output.resources if resource.status]


def _result(resource: _Resource) -> Result:
    return Result(
        file=Path(resource.filename),
        kind=resource.kind,
        name=resource.name,
        api_version=resource.version,
        status=Status(resource.status),
        message=resource.msg,
        violations=_violations(resource.msg),
    )


def _violations(message: str) -> tuple[Violation, ...]:
    """The single faults. kubeconform's own list of them ends where a schema refers to another; its message does not."""
    found = [(match["path"], match["text"].strip()) for match in _FAULT.finditer(message)]
    return tuple(Violation(path.strip("/").replace("/", "."), text) for path, text in found if text != _SUMMARY)


def _kubernetes_schemas() -> Path:
    found = importlib.util.find_spec("kubernetes_validate")
    for location in (found.submodule_search_locations or ()) if found else ():
        folder = Path(location) / "kubernetes-json-schema" / f"v{KUBERNETES_VERSION}-local-strict"
        if folder.is_dir():
            return folder
    raise ToolError(
        f"the schemas of Kubernetes {KUBERNETES_VERSION} are missing: install kubernetes-validate, as `make` does"
    )


def _builtin_name(kind: Kind) -> str:
    version, name = kind
    group, _, number = version.rpartition("/")
    parts = [name.lower(), group.partition(".")[0], number]
    return "-".join(_NO_WORD.sub("", part) for part in parts if part) + ".json"


def _made_local(schema: Any) -> Any:
    """The schema with references to the file beside it; its own are to a place on the network."""
    if isinstance(schema, dict):
        return {
            key: value.replace(_REFERENCE, _DEFINITIONS)
            if key == "$ref" and isinstance(value, str)
            else _made_local(value)
            for key, value in schema.items()
            if key != "$id" or not isinstance(value, str)
        }
    return [_made_local(each) for each in schema] if isinstance(schema, list) else schema
