# SPDX-License-Identifier: Apache-2.0
"""`make release` in a scratch repository: the diff that a release engineer expects, or a sentence and no diff."""

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
from manifests.errors import ReleaseError
from manifests.release import release
from manifests.render import MARK, render
from manifests.tree import compare, update

CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- Something that users notice.\n"
DATE = "2027-03-04"


def git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(  # noqa: S603 - git, on a scratch repository
        [shutil.which("git") or "git", "-C", str(root), *identity, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def commit(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "x")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with our templates, nothing released yet; not to be changed."""
    root = tmp_path_factory.mktemp("fresh")
    shutil.copytree(REPOSITORY / "templates", root / "templates")
    (root / "operator/podtracker").mkdir(parents=True)
    shutil.copy(REPOSITORY / "operator/podtracker/__init__.py", root / "operator/podtracker")
    (root / "CHANGELOG.md").write_text(CHANGELOG, encoding="utf-8")
    update(render(root / "templates"), root)
    git(root, "init", "-q")
    commit(root)
    return root


@pytest.fixture(scope="module")
def released(fresh: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after the release of 0.2.0 and some work; not to be changed."""
    root = Path(shutil.copytree(fresh, tmp_path_factory.mktemp("released") / "clone"))
    release(root, "0.2.0", date=DATE)
    commit(root)
    news(root)
    return root


@pytest.fixture
def root(fresh: Path, tmp_path: Path) -> Path:
    """A repository with nothing released yet."""
    return Path(shutil.copytree(fresh, tmp_path / "clone"))


def news(root: Path) -> None:
    """Develop something after a release."""
    file = root / "CHANGELOG.md"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("## [Unreleased]\n", "## [Unreleased]\n\n- More.\n", 1), encoding="utf-8")
    commit(root)


def read(root: Path, path: str) -> Any:
    return yaml.safe_load((root / path).read_text(encoding="utf-8"))


def test_the_first_release(root: Path) -> None:
    changed = release(root, "0.1.0", date=DATE)
    assert "templates/values.yaml" in changed
    assert "operator/podtracker/__init__.py" not in changed
    assert set(git(root, "status", "--porcelain", "-uall").split()[1::2]) == set(changed)
    assert (root / "CHANGELOG.md").read_text(encoding="utf-8") == (
        "# Changelog\n\n## [Unreleased]\n\n## [0.1.0] - 2027-03-04\n\n### Added\n\n- Something that users notice.\n"
    )
    csv = read(root, "bundle/manifests/pod-tracker.clusterserviceversion.yaml")
    assert csv["metadata"]["annotations"]["createdAt"] == "2027-03-04T00:00:00Z"
    assert "replaces" not in csv["spec"]


def test_the_next_release(root: Path) -> None:
    release(root, "0.1.0", date=DATE)
    commit(root)
    published = {file: file.read_bytes() for file in (root / "releases").rglob("*.yaml")}
    news(root)
    changed = release(root, "0.2.0", date="2027-05-06")
    commit(root)
    assert '__version__ = "0.2.0"' in (root / "operator/podtracker/__init__.py").read_text(encoding="utf-8")
    values = read(root, "templates/values.yaml")
    assert (values["version"], values["releaseDate"]) == ("0.2.0", "2027-05-06")
    csv = read(root, "bundle/manifests/pod-tracker.clusterserviceversion.yaml")
    assert (csv["metadata"]["name"], csv["spec"]["replaces"]) == ("pod-tracker.v0.2.0", "pod-tracker.v0.1.0")
    assert read(root, "catalog/pod-tracker/channel-stable.yaml")["entries"] == [
        {"name": "pod-tracker.v0.1.0"},
        {"name": "pod-tracker.v0.2.0", "replaces": "pod-tracker.v0.1.0"},
    ]
    assert "catalog/pod-tracker/bundle-v0.1.0.yaml" not in changed
    assert published == {file: file.read_bytes() for file in published}
    assert compare(render(root / "templates"), root) == []
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    assert text.index("## [Unreleased]") < text.index("## [0.2.0] - 2027-05-06") < text.index("## [0.1.0]")


def test_comments_of_the_values_stay(root: Path) -> None:
    before = (root / "templates/values.yaml").read_text(encoding="utf-8").splitlines()
    release(root, "0.2.0", date=DATE, channels=("candidate", "stable"))
    after = (root / "templates/values.yaml").read_text(encoding="utf-8").splitlines()
    assert [line for line in after if line not in before] == [
        "version: 0.2.0",
        'releaseDate: "2027-03-04"   # when this version was, or is to be, released; the bundle\'s createdAt',
    ]
    assert len(before) == len(after)


def test_what_is_published_can_be_copied_to_the_community(root: Path) -> None:
    release(root, "0.1.0", date=DATE)
    folder = root / "releases/0.1.0"
    bundle = {file.relative_to(root / "bundle") for file in (root / "bundle").rglob("*.yaml")}
    assert {file.relative_to(folder) for file in folder.rglob("*.yaml")} == bundle
    for file in folder.rglob("*.yaml"):
        text = file.read_text(encoding="utf-8")
        assert MARK not in text
        assert "# As published in version 0.1.0; never changed.\n" in text
        assert yaml.safe_load(text) == read(root, f"bundle/{file.relative_to(folder)}")


def test_a_candidate_goes_to_its_channel_only(root: Path) -> None:
    release(root, "0.1.0", date=DATE)
    commit(root)
    news(root)
    release(root, "0.2.0-rc.1", date=DATE, channels=("candidate",))
    assert read(root, "templates/values.yaml")["channels"] == ["candidate"]
    assert read(root, "catalog/pod-tracker/channel-stable.yaml")["entries"] == [{"name": "pod-tracker.v0.1.0"}]
    assert read(root, "catalog/pod-tracker/channel-candidate.yaml")["entries"][-1]["name"] == "pod-tracker.v0.2.0-rc.1"
    assert compare(render(root / "templates"), root) == []


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        *(
            pytest.param(version, "is no semantic version", id=version)
            for version in ("v0.2.0", "0.2", "0.2.0.1", "00.2.0", "0.2.0-", "0.2.0-01", "0.2.0+build", "next", "")
        ),
        pytest.param("0.2.0", "0.2.0 is released already", id="again"),
        pytest.param("0.1.9", "0.1.9 is older than 0.2.0", id="older"),
        pytest.param("0.2.0-rc.1", "0.2.0-rc.1 is older than 0.2.0", id="its-own-candidate"),
    ],
)
def test_versions_that_are_refused(version: str, sentence: str, released: Path) -> None:
    with pytest.raises(ReleaseError, match=sentence):
        release(released, version, date=DATE)
    assert git(released, "status", "--porcelain") == ""


def test_a_dirty_tree_is_refused(root: Path) -> None:
    (root / "new.txt").write_text("x", encoding="utf-8")
    with pytest.raises(ReleaseError, match=r"commit or put away these changes first(.|\n)*new\.txt"):
        release(root, "0.2.0", date=DATE)
    assert git(root, "status", "--porcelain") == "?? new.txt\n"


def test_no_news_are_refused(root: Path) -> None:
    release(root, "0.1.0", date=DATE)
    commit(root)
    with pytest.raises(ReleaseError, match="nothing under \\[Unreleased\\]: write what users notice"):
        release(root, "0.2.0", date=DATE)
    assert git(root, "status", "--porcelain") == ""


def test_outside_of_git(root: Path) -> None:
    shutil.rmtree(root / ".git")
    with pytest.raises(ReleaseError, match="git status failed"):
        release(root, "0.2.0", date=DATE)


def test_a_template_with_an_error_changes_nothing(root: Path) -> None:
    file = root / "templates/manager/manager.yaml.j2"
    file.write_text("{{ nothing }}\n", encoding="utf-8")
    commit(root)
    with pytest.raises(Exception, match="'nothing' is undefined"):
        release(root, "0.2.0", date=DATE)
    assert git(root, "status", "--porcelain") == ""


def test_the_command(root: Path) -> None:
    for package in ("operator/podtracker", "operator/packaging/manifests", "operator/packaging/bundlecheck"):
        shutil.rmtree(root / package, ignore_errors=True)
        shutil.copytree(REPOSITORY / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    (root / ".gitignore").write_text("__pycache__/\n", encoding="utf-8")
    update(render(root / "templates"), root)
    commit(root)
    done = subprocess.run(
        [sys.executable, "-m", "manifests", "release", "0.2.0", "--channels", "candidate,stable"],
        cwd=root,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(str(root / part) for part in ("operator", "operator/packaging")),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "changed operator/podtracker/__init__.py" in done.stdout
    assert "git tag v0.2.0" in done.stdout
    assert (root / "releases/0.2.0/metadata/annotations.yaml").is_file()
