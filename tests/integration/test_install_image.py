# SPDX-License-Identifier: Apache-2.0
"""The three images, built with the Makefile's targets: what is in them, that they can be built again, that one runs.

The base image is made of Debian packages, so no image registry is asked for anything. Needs root on Debian, buildah,
podman and mmdebstrap, and a package index; a minute to two for each build of the operator's image.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from devcluster.cache import cache_root
from devcluster.errors import ClusterError
from devcluster.lock import exclusive
from devcluster.progress import to_stderr
from kindnode.cluster import Cluster
from kindnode.debian import root_file_system
from kindnode.engine import containers_conf, storage_conf
from kindnode.operator_image import _PACKAGES, _pip_files
from kindnode.pieces import may_install
from podtracker import __version__
from support.evidence import Evidence
from support.install import OPERATOR_ACCOUNT, OPERATOR_NAMESPACE, REPOSITORY
from support.process import FAST, Operator
from support.scene import Scene

TOOLS: Final = ("buildah", "podman", "runc", "mmdebstrap", "make")
BASE: Final = "localhost/pod-tracker-test/base:1"
NAME: Final = "localhost/pod-tracker-test/operator"
IMAGES: Final = {
    "operator": f"{NAME}:v{__version__}",
    "bundle": f"{NAME}-bundle:v{__version__}",
    "catalog": f"{NAME}-catalog:v{__version__}",
}
ACCOUNT_FILES: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
LARGEST: Final = 80 * 1024**2
"""Bytes that the operator's image may have beside its base."""

_BUILD_TIMEOUT: Final = 900.0
_SOURCES: Final = (
    *("Makefile", "Dockerfile", "bundle.Dockerfile", "catalog.Dockerfile", ".dockerignore", "LICENSE"),
    *(
        "templates/values.yaml",
        "requirements/run.txt",
        "requirements/uv.in",
        "operator/podtracker",
        "bundle",
        "catalog",
    ),
)
"""All that the images are made from."""


@dataclass(frozen=True)
class Store:
    """An image store of its own; the machine's is neither read nor changed."""

    env: Mapping[str, str]
    folder: Path

    def run(self, *argv: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
        """Run a program with this store; return what it prints."""
        done = subprocess.run(  # noqa: S603 - container tools, on what we built
            argv,
            cwd=cwd,
            env={**self.env, **(env or {})},
            capture_output=True,
            text=True,
            timeout=_BUILD_TIMEOUT,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(argv)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def build(self, sources: Path, **env: str) -> str:
        """Run the Makefile's targets; return what they print."""
        volumes = " ".join(f"--volume={source}:{target}:ro" for source, target in _pip_files(self.folder))
        variables = {
            "CONTAINER_TOOL": "buildah",
            "CATALOG_TARGET": "content",
            "IMAGE_TAG_BASE": NAME,
            "BASE_IMAGE": BASE,
            "BUILD_ARGS": volumes,
        }
        words = [f"{name}={value}" for name, value in variables.items()]
        return self.run("make", "docker-build", "bundle-build", "catalog-build", *words, cwd=sources, env=env)

    def image(self, name: str) -> dict[str, Any]:
        """Return what the store knows of an image."""
        [found] = json.loads(self.run("podman", "image", "inspect", IMAGES.get(name, name)))
        image: dict[str, Any] = found
        return image

    def layers(self) -> dict[str, list[str]]:
        """Return the digests of the layers of each image."""
        return {name: self.image(name)["RootFS"]["Layers"] for name in IMAGES}

    def files(self, name: str) -> dict[str, tuple[bytes, int]]:
        """Return the files of an image, and their modes."""
        root = Path(self.run("podman", "image", "mount", IMAGES[name]).strip())
        try:
            paths = [path for path in root.rglob("*") if path.is_file()]
            return {str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mode & 0o777) for path in paths}
        finally:
            self.run("podman", "image", "unmount", IMAGES[name])


def require_tools() -> None:
    """Skip where this machine lacks what images are built with; in CI, as root, install it."""
    if os.geteuid() != 0:
        pytest.skip("images are built here as root only")
    if subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False).returncode:  # noqa: S607
        pytest.skip("root may not make namespaces here, so that no container can run")
    allowed = may_install(asked=False, ci=os.environ.get("CI", ""), uid=os.geteuid()) and shutil.which("apt-get")
    if missing() and allowed:
        for words in (["update", "-q"], ["install", "-qy", "--no-install-recommends", *missing()]):
            subprocess.run(["apt-get", *words], capture_output=True, check=False, timeout=_BUILD_TIMEOUT)  # noqa: S603, S607
    if missing():
        pytest.skip(f"missing; to have them: apt-get install --no-install-recommends {' '.join(missing())}")


def missing() -> list[str]:
    """The tools that are not on PATH; each is in the Debian package of its name."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with the base image in it."""
    require_tools()
    folder = tmp_path_factory.mktemp("images")
    conf, storage = folder / "containers.conf", folder / "storage.conf"
    conf.write_text(containers_conf(folder, files=4096, processes=4096), encoding="utf-8")
    storage.write_text(storage_conf(folder), encoding="utf-8")
    env = {
        **os.environ,
        "CONTAINERS_CONF": str(conf),
        "CONTAINERS_STORAGE_CONF": str(storage),
        "BUILDAH_ISOLATION": "chroot",
    }
    store = Store(env, folder)
    kept = cache_root() / "kindnode"
    kept.mkdir(parents=True, exist_ok=True)
    try:
        with exclusive(cache_root() / "kindnode.lock", what="makes an image", progress=to_stderr):
            base = root_file_system(Cluster(progress=to_stderr).engine, kept, "operator", "minbase", _PACKAGES)
    except ClusterError as error:
        pytest.skip(f"no base image: {error}")
    try:
        store.run("podman", "import", "--quiet", str(base), BASE)
        yield store
    finally:
        subprocess.run(["podman", "system", "reset", "--force"], env=env, capture_output=True, check=False, timeout=120)  # noqa: S607


@pytest.fixture(scope="module")
def built(store: Store) -> str:
    """What `make docker-build bundle-build catalog-build` printed."""
    return store.build(REPOSITORY)


def test_the_images_can_be_built_again(store: Store, built: str, tmp_path: Path) -> None:
    """Elsewhere, at another time, by somebody with another time zone, locale and umask: the same layers."""
    assert "size of the image: " in built
    before = store.layers()
    other = tmp_path / "elsewhere"
    for name in _SOURCES:
        copy = other / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if (REPOSITORY / name).is_dir():
            shutil.copytree(
                REPOSITORY / name, copy, ignore=shutil.ignore_patterns("__pycache__"), copy_function=shutil.copyfile
            )
        else:
            shutil.copyfile(REPOSITORY / name, copy)
    for path in other.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    store.build(other, TZ="Asia/Kathmandu", LC_ALL="C")
    assert store.layers() == before


def test_the_operators_image(store: Store, built: str) -> None:
    """No root, labels, an entry point, few layers, few bytes."""
    image, base = store.image("operator"), store.image(BASE)
    config = image["Config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["/opt/pod-tracker/bin/python", "-m", "podtracker"]
    assert config["Cmd"] == ["run"]
    labels = config["Labels"]
    assert labels["org.opencontainers.image.version"] == labels["version"] == __version__
    assert labels["org.opencontainers.image.revision"]
    assert image["RootFS"]["Layers"][: len(base["RootFS"]["Layers"])] == base["RootFS"]["Layers"]
    assert len(image["RootFS"]["Layers"]) <= len(base["RootFS"]["Layers"]) + 2
    assert image["Size"] - base["Size"] < LARGEST, re.findall("size of the image: .*", built)
    files = store.files("operator")
    assert files["licenses/LICENSE"][0] == (REPOSITORY / "LICENSE").read_bytes()
    tools = {path.rpartition("/")[2] for path in files if "/bin/" in f"/{path}"}
    assert not tools & {"gcc", "cc", "make", "pip", "pip3", "uv", "git", "curl"}


def test_it_runs_as_nobody_on_a_file_system_that_cannot_be_written(store: Store, built: str) -> None:
    assert built
    script = "id -u; id -g; touch /x /tmp/x /opt/pod-tracker/x 2>&1 | grep -c 'Read-only'; podtracker check --help >&2"
    flags = ("--rm", "--read-only", "--read-only-tmpfs=false", "--network=none", "--cap-drop=all")
    said = store.run("podman", "run", *flags, "--entrypoint=/bin/sh", IMAGES["operator"], "-c", script)
    assert said.split() == ["65532", "65532", "3"]


async def test_it_delivers(store: Store, built: str, scene: Scene, evidence: Evidence, tmp_path: Path) -> None:
    """The image as a pod has it: the ServiceAccount's files, nothing it could write, no capability."""
    assert built
    token = await scene.kube.token_of(OPERATOR_ACCOUNT, OPERATOR_NAMESPACE)
    mounted = {"token": token, "namespace": OPERATOR_NAMESPACE, "ca.crt": scene.cluster.ca_file.read_text("ascii")}
    account = tmp_path / "account"
    account.mkdir()
    for name, text in mounted.items():
        (account / name).write_text(text, encoding="utf-8")
    host, _, port = scene.cluster.server.removeprefix("https://").partition(":")
    env = {**FAST, "SLACK_API_URL": scene.slack.url, "WATCH_NAMESPACE": scene.namespace}
    env |= {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    names = [*env, "POD_UID", "HEALTH_PROBE_BIND_ADDRESS", "METRICS_BIND_ADDRESS"]
    flags = ["--rm", "--read-only", "--read-only-tmpfs=false", "--network=host", "--cap-drop=all"]
    flags += ["--security-opt=no-new-privileges", f"--volume={account}:{ACCOUNT_FILES}:ro"]
    command = ["podman", "run", *flags, *(f"--env={name}" for name in names), IMAGES["operator"]]
    config = {name: store.env[name] for name in ("CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF")}
    operator = Operator({**env, **config}, evidence.new_file("operator.log"), command=command)
    await operator.start()
    try:
        await scene.track()
        await scene.run()
        await scene.delivered("Pod nginx was created")
    finally:
        await operator.stop()
    assert "Traceback" not in operator.output(), operator.tail()


def test_the_bundles_image(store: Store, built: str) -> None:
    """The labels are the annotations, and the files the bundle's, readable for all."""
    assert built
    annotations = yaml.safe_load((REPOSITORY / "bundle/metadata/annotations.yaml").read_text(encoding="utf-8"))
    labels = store.image("bundle")["Config"]["Labels"]
    about_the_image = ("org.opencontainers.image.", "com.redhat.delivery.", "io.buildah.")
    assert {key: value for key, value in labels.items() if not key.startswith(about_the_image)} == annotations[
        "annotations"
    ]
    assert store.files("bundle") == shipped("bundle")


def test_the_catalogs_image(store: Store, built: str) -> None:
    assert built
    labels = store.image("catalog")["Config"]["Labels"]
    assert labels["operators.operatorframework.io.index.configs.v1"] == "/configs"
    assert store.files("catalog") == {f"configs/{path}": found for path, found in shipped("catalog").items()}


def shipped(folder: str) -> dict[str, tuple[bytes, int]]:
    """The files of a folder of this repository, as they have to be in an image."""
    root = REPOSITORY / folder
    return {str(path.relative_to(root)): (path.read_bytes(), 0o644) for path in root.rglob("*") if path.is_file()}
