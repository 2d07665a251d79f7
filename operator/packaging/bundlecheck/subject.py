# SPDX-License-Identifier: Apache-2.0
"""What is checked: a bundle's folder, the catalog, and the files of the repository that must agree with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bundlecheck.errors import InputError
from bundlecheck.node import Node
from bundlecheck.reading import File, read_yaml

MANIFESTS: Final = "manifests"
METADATA: Final = "metadata"
CSV_KIND: Final = "ClusterServiceVersion"
CRD_KIND: Final = "CustomResourceDefinition"

_YAML_SUFFIXES: Final = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Subject:
    """Everything that checks look at, read once."""

    root: Path
    files: Mapping[str, File]
    """The bundle's files by their names relative to its folder."""
    folders: frozenset[str]
    repository: Path
    """The folder that may hold `bundle.Dockerfile`, `config/rbac` and the like: the bundle's parent, unless told."""
    catalog: tuple[File, ...] = ()
    """Files of the catalog; none when no catalog is checked. Their names are relative to the catalog's parent."""
    csv: Node = field(default_factory=lambda: Node(None, ""))
    """The ClusterServiceVersion; of several the first."""
    annotations: Node = field(default_factory=lambda: Node(None, ""))
    """The mapping `annotations` of metadata/annotations.yaml."""

    def manifests(self) -> Iterator[Node]:
        """The first document of each file of manifests/ that could be read and is a mapping."""
        for name, file in self.files.items():
            if name.startswith(f"{MANIFESTS}/") and name.count("/") == 1:
                yield from _first(file)

    def objects(self, *kinds: str) -> list[Node]:
        """The manifests of these kinds."""
        return [node for node in self.manifests() if node.at("kind").value in kinds]

    def crds(self) -> list[Node]:
        """The CustomResourceDefinitions."""
        return self.objects(CRD_KIND)

    def csv_annotations(self) -> Node:
        """The annotations of the CSV."""
        return self.csv.at("metadata", "annotations")

    def package(self) -> str:
        """The package's name, or an empty string."""
        return self.annotations.at("operators.operatorframework.io.bundle.package.v1").text

    def document(self, name: str) -> Node:
        """The first document of a file of the bundle."""
        file = self.files.get(name)
        return next(_first(file), Node(None, name)) if file else Node(None, name)

    def shown(self, file: str) -> str:
        """The name of a file for people, relative to the repository; files of the bundle get its folder's name."""
        inside = not file or file in self.files or file.rstrip("/") in {MANIFESTS, METADATA, *self.folders}
        return f"{self.root.name}/{file}" if inside and self.root.name else file

    def beside(self, name: str) -> str | None:
        """The text of a file of the repository; None when it does not exist or is no text."""
        try:
            return (self.repository / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None


def load(bundle: Path, catalog: Path | None = None, repository: Path | None = None) -> Subject:
    """Read a bundle, and a catalog with it.

    Raises:
        InputError: there is no such folder, or nothing in it.
    """
    files, folders = _walk(bundle, "bundle")
    subject = Subject(
        root=bundle,
        files=files,
        folders=folders,
        repository=repository or bundle.resolve().parent,
        catalog=_catalog(catalog) if catalog else (),
    )
    csvs = subject.objects(CSV_KIND)
    return Subject(
        root=subject.root,
        files=files,
        folders=folders,
        repository=subject.repository,
        catalog=subject.catalog,
        csv=csvs[0] if csvs else Node(None, f"{MANIFESTS}/"),
        annotations=_annotations(subject),
    )


def load_catalog(catalog: Path, repository: Path | None = None) -> Subject:
    """Read a catalog alone.

    Raises:
        InputError: there is no such folder, or no YAML in it.
    """
    return Subject(
        root=catalog,
        files={},
        folders=frozenset(),
        repository=repository or catalog.resolve().parent,
        catalog=_catalog(catalog),
    )


def _annotations(subject: Subject) -> Node:
    """The annotations, from whichever file of metadata/ has them, as its readers search for them."""
    names = [f"{METADATA}/annotations.yaml", *sorted(subject.files)]
    for name in names:
        found = subject.document(name).at("annotations") if name.startswith(f"{METADATA}/") else Node(None, name)
        if isinstance(found.value, dict):
            return found
    return Node(None, names[0])


def _catalog(folder: Path) -> tuple[File, ...]:
    files, _ = _walk(folder, "catalog")
    found = tuple(
        File(f"{folder.name}/{file.name}", file.content, file.documents, file.fault)
        for file in files.values()
        if file.name.endswith(_YAML_SUFFIXES)
    )
    if not found:
        raise InputError(f"{folder} has no YAML or JSON file; give the folder of a file-based catalog")
    return found


def _walk(root: Path, what: str) -> tuple[dict[str, File], frozenset[str]]:
    if not root.is_dir():
        state = "is no folder" if root.exists() else "does not exist"
        raise InputError(f"{root} {state}; give the folder of a {what}")
    files, folders = {}, set()
    try:
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root).as_posix()
            if path.is_dir():
                folders.add(name)
            else:
                files[name] = read_yaml(path, name)
    except OSError as error:
        raise InputError(f"{root} cannot be read: {error}") from None
    if not files:
        raise InputError(f"{root} is empty; give the folder of a {what}")
    return files, frozenset(folders)


def _first(file: File) -> Iterator[Node]:
    document: Any = file.documents[0] if file.documents else None
    if isinstance(document, dict):
        yield Node(document, file.name)
