# SPDX-License-Identifier: Apache-2.0
"""`make release` in a scratch clone of the whole repository: what a release engineer sees, and what is refused."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from bundlecheck import cli
from podtracker import __version__
from support.releases import Clone

NEXT: Final = "98.1.0"
AFTER: Final = "98.2.0"
DATE: Final = "2098-03-04"
CRD: Final = "manifests/pod-tracker.lost.backend_podtrackers.yaml"

if shutil.which("git") is None or shutil.which("make") is None:
    pytest.skip("git and make are needed", allow_module_level=True)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which this version is released, and some work was done since; not to be changed."""
    clone = Clone.make(tmp_path_factory.mktemp("released") / "clone")
    clone.news("The first.")
    clone.make_target("release", f"VERSION={__version__}", "DATE=2098-01-02")
    clone.commit(f"Release {__version__}")
    clone.news("The second.")
    return clone


@pytest.fixture
def clone(released: Clone, tmp_path: Path) -> Clone:
    return Clone(Path(shutil.copytree(released.folder, tmp_path / "clone", symlinks=True)))


@pytest.fixture(scope="module")
def upgraded(released: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """The same with the next version released, not committed; not to be changed."""
    clone = Clone(Path(shutil.copytree(released.folder, tmp_path_factory.mktemp("upgraded") / "clone", symlinks=True)))
    clone.make_target("release", f"VERSION={NEXT}", f"DATE={DATE}")
    clone.git("add", "--all", "--intent-to-add")
    return clone


def changes(clone: Clone) -> dict[str, list[str]]:
    """The lines that were taken away and added, without their blanks, by file."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in clone.git("diff", "--unified=0", "--no-renames").splitlines():
        if line.startswith(("+++ ", "--- ")):
            name = line[6:]
        elif line[:1] in "+-" and line[1:].strip():
            found.setdefault(name, []).append(line[0] + line[1:].strip())
    return found


def read(clone: Clone, path: str) -> Any:
    return yaml.safe_load((clone.folder / path).read_text(encoding="utf-8"))


def test_only_what_a_version_touches_is_in_the_diff(upgraded: Clone) -> None:
    """Beside the new files, each changed line has the version, the date, or what the version replaces."""
    found = changes(upgraded)
    new = {name for name in found if name.startswith(f"releases/{NEXT}/") or name.endswith(f"/bundle-v{NEXT}.yaml")}
    assert {name.rpartition("/")[2] for name in new} >= {"annotations.yaml", CRD.rpartition("/")[2]}
    told = re.compile(rf"{re.escape(NEXT)}|{re.escape(__version__)}|{DATE}|2098-01-02|SOURCE_DATE_EPOCH=\d+$|replaces:")
    for name in found.keys() - new - {"CHANGELOG.md"}:
        assert [line for line in found[name] if not told.search(line)] == [], name
    assert found["operator/podtracker/__init__.py"] == [f'-__version__ = "{__version__}"', f'+__version__ = "{NEXT}"']
    assert found["CHANGELOG.md"] == [f"+## [{NEXT}] - {DATE}"]
    assert {name.partition("/")[0] for name in found} == {
        *("CHANGELOG.md", "Dockerfile", "bundle", "bundle.Dockerfile", "catalog", "catalog.Dockerfile", "config"),
        *("docs", "operator", "releases", "templates"),
    }
    assert f"catalog/pod-tracker/bundle-v{__version__}.yaml" not in found
    assert not any(name.startswith(f"releases/{__version__}/") for name in found)


def test_make_bundle_changes_nothing(released: Clone, tmp_path: Path) -> None:
    """In another folder, time zone and locale: not a byte."""
    clone = Clone(Path(shutil.copytree(released.folder, tmp_path / "elsewhere" / "clone", symlinks=True)))
    clone.make_target("bundle", "catalog", TZ="Asia/Kathmandu", LC_ALL="C", LANG="tr_TR.UTF-8", SOURCE_DATE_EPOCH="0")
    assert clone.git("diff", "--exit-code") == ""
    assert clone.git("status", "--porcelain") == ""


def test_the_catalog_goes_on(upgraded: Clone) -> None:
    for channel in ("candidate", "stable"):
        assert read(upgraded, f"catalog/pod-tracker/channel-{channel}.yaml")["entries"] == [
            {"name": f"pod-tracker.v{__version__}"},
            {"name": f"pod-tracker.v{NEXT}", "replaces": f"pod-tracker.v{__version__}"},
        ]


def test_bundle_and_catalog_have_no_fault(upgraded: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, catalog = str(upgraded.folder / "bundle"), str(upgraded.folder / "catalog")
    assert cli.main([bundle, "--catalog", catalog, "--strict"]) == cli.OK
    assert cli.main(["catalog", catalog, "--strict"]) == cli.OK
    assert capsys.readouterr().out == "0 errors, 0 warnings\n" * 2


def test_what_is_published_is_what_was_built(upgraded: Clone) -> None:
    for file in sorted((upgraded.folder / "bundle").rglob("*.yaml")):
        path = file.relative_to(upgraded.folder / "bundle")
        assert read(upgraded, f"releases/{NEXT}/{path}") == read(upgraded, f"bundle/{path}")


def test_everything_is_as_the_templates_give_it(upgraded: Clone) -> None:
    upgraded.make_target("bundle-check")


def test_the_export_for_operatorhub(upgraded: Clone, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    upgraded.make_target("community-export", f"COMMUNITY_DIR={tmp_path}")
    package = tmp_path / "operators" / "pod-tracker"
    assert {path.name for path in package.iterdir()} == {__version__, NEXT, "ci.yaml"}
    for version in (__version__, NEXT):
        assert cli.main([str(package / version), "--strict"]) == cli.OK, capsys.readouterr().out
    (package / "ci.yaml").write_text("updateGraph: replaces-mode\nreviewers: [somebody]\n", encoding="utf-8")
    upgraded.make_target("community-export", f"COMMUNITY_DIR={tmp_path}")
    assert "somebody" in (package / "ci.yaml").read_text(encoding="utf-8")


def test_nothing_to_export(tmp_path: Path) -> None:
    clone = Clone.make(tmp_path / "clone")
    shutil.rmtree(clone.folder / "releases", ignore_errors=True)
    assert "make release VERSION=x.y.z first" in clone.make_target("community-export", check=False)


@pytest.mark.parametrize("version", ["v98.1.0", "98.1", "98.01.0", "latest", "98.1.0+build"])
def test_no_semantic_version(version: str, clone: Clone) -> None:
    assert "is no semantic version" in clone.make_target("release", f"VERSION={version}", check=False)
    assert clone.git("status", "--porcelain") == ""


def test_a_dirty_tree(clone: Clone) -> None:
    (clone.folder / "README.md").write_text("Something else.\n", encoding="utf-8")
    said = clone.make_target("release", f"VERSION={NEXT}", check=False)
    assert "commit or put away these changes first" in said
    assert clone.git("status", "--porcelain") == " M README.md\n"


def test_a_crd_that_olm_would_not_upgrade_to(clone: Clone) -> None:
    """A field that the release before had, and that is gone."""
    file = clone.folder / "releases" / __version__ / CRD
    crd = yaml.safe_load(file.read_text(encoding="utf-8"))
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["colour"] = {"type": "string", "maxLength": 10, "description": "Gone."}
    file.write_text(yaml.safe_dump(crd), encoding="utf-8")
    clone.commit("As if it had been released so")
    said = clone.make_target("release", f"VERSION={NEXT}", check=False)
    assert f"the field colour is gone, since {__version__}" in said
    assert "[release-crd]" in said
    assert clone.git("status", "--porcelain") == ""


def test_one_more(clone: Clone) -> None:
    """The third release replaces the second; a candidate before it was for its channel only."""
    clone.make_target("release", f"VERSION={AFTER}-rc.1", "CHANNELS=candidate")
    clone.commit("Candidate")
    clone.news("The third.")
    clone.make_target("release", f"VERSION={AFTER}", "CHANNELS=candidate,stable")
    stable, candidate = (read(clone, f"catalog/pod-tracker/channel-{name}.yaml") for name in ("stable", "candidate"))
    assert [each["name"] for each in stable["entries"]] == [f"pod-tracker.v{v}" for v in (__version__, AFTER)]
    assert candidate["entries"][-1]["replaces"] == f"pod-tracker.v{AFTER}-rc.1"
    assert cli.main([str(clone.folder / "bundle"), "--catalog", str(clone.folder / "catalog")]) == cli.OK
