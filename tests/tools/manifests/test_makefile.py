# SPDX-License-Identifier: Apache-2.0
"""The Makefile's packaging targets, with tools that only write down how they were called."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from manifests.cli import REPOSITORY

DIGEST = f"sha256:{'cd' * 32}"
NAME = "example.org:5000/team/pod-tracker"
CSV = "bundle/manifests/pod-tracker.clusterserviceversion.yaml"
TOOLS = ("docker", "podman", "buildah", "kubectl", "operator-sdk")
RECORDER = f"""\
#!/bin/sh
printf '%s' "$(basename "$0")" >> "$CALLS"; printf ' %s' "$@" >> "$CALLS"; printf '\\n' >> "$CALLS"
last=
for argument; do
  case "$last" in
    --digestfile) printf '%s' {DIGEST} > "$argument" ;;
    --metadata-file) printf '{{"containerimage.digest": "{DIGEST}", "x": 1}}' > "$argument" ;;
  esac
  last="$argument"
done
case "$*" in
  'image inspect'*) echo 'other.example/x@sha256:no'; echo '{NAME}@{DIGEST}' ;;
  *'-f -') cat > "$CALLS.stdin" ;;
esac
"""


class Checkout:
    """A copy of what the targets need, and what they called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "clone"
        self._bin = folder / "bin"
        self._calls = folder / "calls"
        self._bin.mkdir()
        for tool in TOOLS:
            (self._bin / tool).write_text(RECORDER, encoding="utf-8")
            (self._bin / tool).chmod(0o755)
        ignored = shutil.ignore_patterns("__pycache__")
        for part in ("templates", "operator/podtracker", "operator/packaging", "requirements"):
            shutil.copytree(REPOSITORY / part, self.folder / part, ignore=ignored)
        shutil.copy(REPOSITORY / "Makefile", self.folder)

    def make(self, *arguments: str, check: bool = True) -> list[str]:
        """Run make; returns the calls of tools."""
        self._calls.write_text("", encoding="utf-8")
        roots = os.pathsep.join(str(self.folder / root) for root in ("operator", "operator/packaging"))
        done = subprocess.run(  # noqa: S603 - make, on a copy
            [shutil.which("make") or "make", "-o", ".venv/.complete", f"PYTHON={sys.executable}", *arguments],
            cwd=self.folder,
            env={
                "PATH": f"{self._bin}{os.pathsep}{os.environ['PATH']}",
                "PYTHONPATH": roots,
                "PYTHONDONTWRITEBYTECODE": "1",
                "CALLS": str(self._calls),
                "HOME": str(self.folder),
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.output = done.stdout + done.stderr
        assert (done.returncode == 0) == check, self.output
        return self._calls.read_text(encoding="utf-8").splitlines()

    @property
    def stdin(self) -> str:
        """What the last tool with `-f -` was given."""
        return Path(f"{self._calls}.stdin").read_text(encoding="utf-8")

    def read(self, path: str) -> Any:
        return yaml.safe_load((self.folder / path).read_text(encoding="utf-8"))


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    if shutil.which("make") is None:
        pytest.skip("make is not on PATH")
    return Checkout(tmp_path)


def test_bundle_needs_no_tool_and_takes_the_scaffolds_variables(checkout: Checkout) -> None:
    image = f"{NAME}:dev"
    assert checkout.make("bundle", "VERSION=9.8.7", f"IMG={image}", "CHANNELS=stable", "DEFAULT_CHANNEL=stable") == []
    csv = checkout.read(CSV)
    assert csv["metadata"]["name"] == "pod-tracker.v9.8.7"
    assert csv["metadata"]["annotations"]["containerImage"] == image
    annotations = checkout.read("bundle/metadata/annotations.yaml")["annotations"]
    assert annotations["operators.operatorframework.io.bundle.channels.v1"] == "stable"


def test_bundle_again_changes_nothing(checkout: Checkout) -> None:
    checkout.make("bundle")
    assert checkout.make("bundle", "catalog") == []
    assert "made" not in checkout.output
    assert "updated" not in checkout.output


@pytest.mark.parametrize("tool", ["docker", "podman", "buildah"])
def test_images_are_built_alike_by_each_tool(tool: str, checkout: Checkout) -> None:
    given = (f"CONTAINER_TOOL={tool}", f"IMAGE_TAG_BASE={NAME}", "VERSION=1.2.3", "BASE_IMAGE=localhost/base:1")
    checkout.make("bundle", "catalog")
    operator, _, bundle, catalog = checkout.make("docker-build", "bundle-build", "catalog-build", *given)
    assert operator.startswith(f"{tool} build ")
    assert operator.endswith(f" -f Dockerfile -t {NAME}:v1.2.3 .")
    for argument in ("VERSION=1.2.3", "BASE_IMAGE=localhost/base:1", "SOURCE_DATE_EPOCH="):
        assert f"--build-arg {argument}" in operator
    assert ("--timestamp " in operator) == (tool != "docker")
    assert bundle.endswith(f" -f bundle.Dockerfile -t {NAME}-bundle:v1.2.3 .")
    assert catalog.endswith(f" -f catalog.Dockerfile -t {NAME}-catalog:v1.2.3 .")


@pytest.mark.parametrize("tool", ["docker", "podman", "buildah"])
@pytest.mark.parametrize("target", ["docker-push", "docker-buildx"])
def test_the_bundle_names_the_digest_that_was_pushed(target: str, tool: str, checkout: Checkout) -> None:
    calls = checkout.make(target, f"CONTAINER_TOOL={tool}", f"IMG={NAME}:v1")
    assert all(call.startswith(f"{tool} ") for call in calls)
    checkout.make("bundle", "USE_IMAGE_DIGESTS=true", f"IMG={NAME}:v1")
    assert checkout.read(CSV)["spec"]["relatedImages"] == [{"name": "manager", "image": f"{NAME}@{DIGEST}"}]


def test_no_digest_no_bundle(checkout: Checkout) -> None:
    checkout.make("bundle", "USE_IMAGE_DIGESTS=true", check=False)
    assert "push the image first (make docker-push)" in checkout.output
    assert not (checkout.folder / "bundle").exists()


def test_platforms(checkout: Checkout) -> None:
    platforms = "PLATFORMS=linux/arm64,linux/s390x"
    (docker,) = checkout.make("docker-buildx", platforms, f"IMG={NAME}:v1")
    assert docker.startswith("docker buildx build --platform=linux/arm64,linux/s390x ")
    assert f"name={NAME}:v1,push=true" in docker
    _, build, push = checkout.make("docker-buildx", platforms, f"IMG={NAME}:v1", "CONTAINER_TOOL=podman")
    assert "--platform=linux/arm64,linux/s390x" in build
    assert push.endswith(f"{NAME}:v1 docker://{NAME}:v1")


def test_deploy_applies_the_image_that_is_given(checkout: Checkout) -> None:
    (call,) = checkout.make("deploy", f"IMG={NAME}:dev")
    assert call == "kubectl apply --server-side -f -"
    assert f'image: "{NAME}:dev"' in checkout.stdin
    (call,) = checkout.make("undeploy")
    assert call == "kubectl delete --ignore-not-found -f -"
    assert not (checkout.folder / "config").exists()


def test_olm_targets(checkout: Checkout) -> None:
    *_, install = checkout.make("olm-install", f"BUNDLE_IMG={NAME}-bundle:v1", "INSTALL_MODE=MultiNamespace=a,b")
    assert install.startswith(f"operator-sdk run bundle {NAME}-bundle:v1 ")
    assert "--install-mode MultiNamespace=a,b --security-context-config restricted" in install
    assert checkout.make("olm-uninstall") == ["operator-sdk cleanup pod-tracker --namespace pod-tracker-system"]
    (scorecard,) = checkout.make("scorecard")
    assert scorecard.startswith("operator-sdk scorecard bundle ")


def test_files_for_a_release(checkout: Checkout) -> None:
    assert checkout.make("build-installer", "sbom") == []
    assert {file.name for file in (checkout.folder / "dist").iterdir()} == {"install.yaml", "sbom.cdx.json"}


def test_every_promised_target_is_there_and_explained(checkout: Checkout) -> None:
    checkout.make("help")
    for target in [
        "manifests",
        "bundle",
        "bundle-build",
        "bundle-push",
        "catalog",
        "catalog-build",
        "catalog-push",
        "build-installer",
        "docker-build",
        "docker-push",
        "docker-buildx",
        "install",
        "uninstall",
        "deploy",
        "undeploy",
        "scorecard",
        "olm-install",
        "olm-uninstall",
        "release",
        "sbom",
    ]:
        assert f"\x1b[36m{target:<18}\x1b[0m" in checkout.output
