# SPDX-License-Identifier: Apache-2.0
"""A bundle and the files around it, in memory, to be changed by a test and written out."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from bundlecheck.findings import Finding
from bundlecheck.running import check_bundle

REPOSITORY: Final = Path(__file__).resolve().parents[2]

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_BESIDES: Final = ("bundle.Dockerfile", "catalog.Dockerfile", "Dockerfile")

_OLDER: Final = "pod-tracker.v0.0.10"

Yaml = dict[str, Any]


class _NoAliases(_DUMPER):  # type: ignore[misc]  # the quick one exists only where PyYAML was built with it
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


class Tree:
    """Files by their names relative to the repository: text, bytes, or a list of YAML documents."""

    def __init__(self, files: dict[str, str | bytes | list[Any]]) -> None:
        self.files = files
        self.folder = "bundle"

    @classmethod
    def read(cls, root: Path = REPOSITORY) -> Tree:
        """The bundle of a repository, its catalog and what must agree with them."""
        files: dict[str, str | bytes | list[Any]] = {}
        for folder in ("bundle", "catalog", "config/rbac"):
            for path in sorted((root / folder).rglob("*.yaml")):
                files[path.relative_to(root).as_posix()] = list(yaml.load_all(path.read_bytes(), Loader=_LOADER))
        files |= {name: (root / name).read_text() for name in _BESIDES if (root / name).is_file()}
        return cls(files)

    def with_older_release(self) -> Tree:
        """The same with the catalog in one file, and in it at least one release before this one."""
        documents: list[Any] = []
        for name in sorted(name for name in self.files if name.startswith("catalog/")):
            content = self.files.pop(name)
            assert isinstance(content, list)
            documents += content
        bundles = [each for each in documents if each["schema"] == "olm.bundle"]
        if len(bundles) == 1:
            documents.insert(0, _older(bundles[0]))
            for each in documents:
                if each["schema"] == "olm.channel":
                    each["entries"][0]["replaces"] = _OLDER
                    each["entries"].insert(0, {"name": _OLDER})
        self.files["catalog/catalog.yaml"] = documents
        return self

    def copy(self) -> Tree:
        return Tree(copy.deepcopy(self.files))

    def write(self, folder: Path) -> Path:
        """Write it out; returns the bundle's folder."""
        for name, content in self.files.items():
            path = (
                folder / name.replace("bundle/", f"{self.folder}/", 1) if name.startswith("bundle/") else folder / name
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_bytes(content))
        return folder / self.folder

    def check(self, folder: Path) -> list[Finding]:
        """Write it out, and check it with its catalog."""
        bundle = self.write(folder)
        catalog = folder / "catalog"
        return check_bundle(bundle, catalog=catalog if catalog.is_dir() else None)

    def manifest(self, kind: str) -> Yaml:
        """The first manifest of a kind."""
        return next(document for _, document in self.manifests() if document.get("kind") == kind)

    def manifest_name(self, kind: str) -> str:
        """The name of the file with the first manifest of a kind."""
        return next(name for name, document in self.manifests() if document.get("kind") == kind)

    def manifests(self) -> Iterator[tuple[str, Yaml]]:
        for name, content in self.files.items():
            if name.startswith("bundle/manifests/") and isinstance(content, list):
                yield name, content[0]

    def add(self, document: Yaml, name: str = "extra.yaml") -> Yaml:
        """Add a manifest."""
        self.files[f"bundle/manifests/{name}"] = [document]
        return document

    @property
    def csv(self) -> Yaml:
        return self.manifest("ClusterServiceVersion")

    @property
    def spec(self) -> Yaml:
        return _mapping(self.csv["spec"])

    @property
    def annotations(self) -> Yaml:
        return _mapping(self.csv["metadata"]["annotations"])

    @property
    def install(self) -> Yaml:
        return _mapping(self.spec["install"]["spec"])

    @property
    def deployment(self) -> Yaml:
        return _mapping(self.install["deployments"][0])

    @property
    def pod(self) -> Yaml:
        return _mapping(self.deployment["spec"]["template"]["spec"])

    @property
    def container(self) -> Yaml:
        return _mapping(self.pod["containers"][0])

    @property
    def owned(self) -> Yaml:
        return _mapping(self.spec["customresourcedefinitions"]["owned"][0])

    @property
    def crd(self) -> Yaml:
        return self.manifest("CustomResourceDefinition")

    @property
    def schema(self) -> Yaml:
        return _mapping(self.crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"])

    @property
    def metadata(self) -> Yaml:
        """The mapping of metadata/annotations.yaml."""
        content = self.files["bundle/metadata/annotations.yaml"]
        assert isinstance(content, list)
        return _mapping(content[0]["annotations"])

    @property
    def blobs(self) -> list[Yaml]:
        """The documents of the catalog's first file."""
        name = next(name for name in self.files if name.startswith("catalog/"))
        content = self.files[name]
        assert isinstance(content, list)
        return content

    def blob(self, schema: str) -> Yaml:
        return next(each for each in self.blobs if each["schema"] == schema)

    def examples(self) -> list[Yaml]:
        found: list[Yaml] = json.loads(self.annotations["alm-examples"])
        return found

    def set_examples(self, examples: Any) -> None:
        self.annotations["alm-examples"] = json.dumps(examples, indent=2)

    def set_env(self, name: str, **value: Any) -> None:
        """Set a variable of the first container."""
        env = self.container.setdefault("env", [])
        env[:] = [each for each in env if each["name"] != name] + [{"name": name, **value}]

    def text(self, name: str) -> str:
        content = self.files[name]
        return _bytes(content).decode()

    def set_image(self, image: str, *, related: bool = True) -> None:
        """Name another image everywhere."""
        old = self.container["image"]
        self.container["image"] = image
        self.annotations["containerImage"] = image
        for each in self.spec["relatedImages"] if related else ():
            if each["image"] == old:
                each["image"] = image
        for each in self.container["env"] if related else ():
            if each.get("value") == old:
                each["value"] = image


def _older(bundle: Yaml) -> Yaml:
    """The bundle as the release before it."""
    made: Yaml = {**copy.deepcopy(bundle), "name": _OLDER}
    for each in made["properties"]:
        if each["type"] == "olm.package":
            each["value"]["version"] = _OLDER.partition(".v")[2]
    return made


def _mapping(value: Any) -> Yaml:
    assert isinstance(value, dict)
    return value


def _bytes(content: str | bytes | list[Any]) -> bytes:
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode()
    text: str = yaml.dump_all(content, Dumper=_NoAliases, sort_keys=False, allow_unicode=True)
    return text.encode()
