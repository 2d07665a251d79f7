# SPDX-License-Identifier: Apache-2.0
"""Dockerfiles, as text: what the built image will be is for the tests that build it."""

from __future__ import annotations

import fnmatch
import re
import shlex

import pytest
import yaml

from manifests.cli import REPOSITORY
from manifests.render import render

RENDERED = render(REPOSITORY / "templates")


def instructions(name: str) -> list[tuple[str, str]]:
    """Instruction and argument of each line, continued lines joined, comments left out."""
    lines = [line for line in RENDERED[name].splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in joined.splitlines()]


def labels(name: str) -> dict[str, str]:
    pairs = [pair for word, rest in instructions(name) if word == "LABEL" for pair in shlex.split(rest)]
    return dict(pair.split("=", 1) for pair in pairs)


OPERATOR = instructions("Dockerfile")
RESULT = OPERATOR[max(number for number, (word, _) in enumerate(OPERATOR) if word == "FROM") :]


def test_the_base_image_can_be_chosen() -> None:
    assert OPERATOR[0][0] == "ARG"
    assert re.fullmatch(r"BASE_IMAGE=\S+/python:3\.\d+-slim-\w+", OPERATOR[0][1])
    assert [rest.split()[0] for word, rest in OPERATOR if word == "FROM"] == ["${BASE_IMAGE}", "${BASE_IMAGE}"]


def test_packages_are_locked_and_never_compiled() -> None:
    (install,) = (rest for word, rest in OPERATOR if word == "RUN" and " install " in rest)
    for flag in ("--require-hashes", "--only-binary=:all:", "--no-deps"):
        assert flag in install
    assert any(rest.startswith("requirements/run.txt ") for word, rest in OPERATOR if word == "COPY")


def test_the_result_runs_nothing_while_it_is_built_and_has_few_layers() -> None:
    words = [word for word, _ in RESULT]
    assert "RUN" not in words
    assert words.count("COPY") == 2
    assert ("COPY", "--from=build /opt/pod-tracker/licenses /licenses") in RESULT


def test_nobody_is_root() -> None:
    assert [rest for word, rest in RESULT if word == "USER"] == ["65532:65532"]
    assert ("ENTRYPOINT", '["/opt/pod-tracker/bin/python", "-m", "podtracker"]') in RESULT
    container = yaml.safe_load(RENDERED["config/manager/manager.yaml"])["spec"]["template"]["spec"]["containers"][0]
    assert ("CMD", f'["{container["args"][0]}"]') in RESULT
    assert "command" not in container


def test_times_come_from_the_release() -> None:
    assert any(word == "ARG" and re.fullmatch(r"SOURCE_DATE_EPOCH=\d+", rest) for word, rest in OPERATOR)
    assert "--invalidation-mode unchecked-hash" in RENDERED["Dockerfile"]
    assert labels("Dockerfile")["org.opencontainers.image.created"].endswith("T00:00:00Z")


def test_labels_of_the_operators_image() -> None:
    given = labels("Dockerfile")
    wanted = {"name", "vendor", "version", "release", "summary", "description", "maintainer"}
    wanted |= {"io.k8s.display-name", "io.k8s.description", "io.openshift.tags"}
    wanted |= {
        f"org.opencontainers.image.{name}"
        for name in ("title", "description", "version", "revision", "created", "source", "licenses", "vendor")
    }
    assert wanted <= given.keys()
    assert all(given.values())
    assert not re.search("red ?hat", " ".join(given[name] for name in ("name", "vendor", "maintainer")), re.IGNORECASE)


def test_labels_of_the_bundles_image_are_its_annotations() -> None:
    given = labels("bundle.Dockerfile")
    annotations = yaml.safe_load(RENDERED["bundle/metadata/annotations.yaml"])["annotations"]
    bundle = {
        key: value for key, value in given.items() if not key.startswith(("org.opencontainers.", "com.redhat.del"))
    }
    assert bundle == annotations
    assert [rest for word, rest in instructions("bundle.Dockerfile") if word != "LABEL"] == [
        "scratch",
        "bundle/manifests /manifests/",
        "bundle/metadata /metadata/",
        "bundle/tests/scorecard /tests/scorecard/",
    ]


def test_the_catalogs_image_with_and_without_opm() -> None:
    stages = [rest for word, rest in instructions("catalog.Dockerfile") if word == "FROM"]
    assert stages == ["scratch AS content", "${OPM_IMAGE} AS cache", "${OPM_IMAGE} AS catalog"]
    text = RENDERED["catalog.Dockerfile"]
    assert text.count("LABEL operators.operatorframework.io.index.configs.v1=/configs") == 2
    assert 'CMD ["serve", "/configs", "--cache-dir=/tmp/cache"]' in text


@pytest.mark.parametrize("name", ["Dockerfile", "bundle.Dockerfile", "catalog.Dockerfile"])
def test_what_is_copied_is_not_ignored(name: str) -> None:
    allowed = [
        line.removeprefix("!")
        for line in (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    ]
    for word, rest in instructions(name):
        if word == "COPY" and not rest.startswith("--from="):
            source = rest.split()[0]
            assert (REPOSITORY / source).exists()
            assert any(fnmatch.fnmatch(source, pattern) or source.startswith(f"{pattern}/") for pattern in allowed)


def test_platforms_of_the_makefile_are_what_the_bundle_claims() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    (platforms,) = re.findall(r"^PLATFORMS \?= (.*)$", makefile, re.MULTILINE)
    csv = yaml.safe_load(RENDERED["bundle/manifests/pod-tracker.clusterserviceversion.yaml"])
    prefix = "operatorframework.io/arch."
    claimed = {label.removeprefix(prefix) for label in csv["metadata"]["labels"] if label.startswith(prefix)}
    assert {f"linux/{architecture}" for architecture in claimed} == set(platforms.split(","))
