# SPDX-License-Identifier: Apache-2.0
"""Rendering: the same bytes everywhere, no drift, and a sentence for each thing that can be wrong."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from manifests.cli import DRIFT, FAILED, OK, REPOSITORY, main
from manifests.render import MARK, render
from manifests.tree import update
from podtracker import __version__, api

TEMPLATES = REPOSITORY / "templates"
PARTIALS = {
    "macros.j2",
    "bundle/csv.j2",
    "bundle/description.md.j2",
    "grafana/dashboard.json.j2",
    "scorecard/tests.j2",
}
RENDERED = render(TEMPLATES)


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    """A copy of our templates, to be changed."""
    return Path(shutil.copytree(TEMPLATES, tmp_path / "templates"))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A folder that holds what our templates give."""
    folder = tmp_path / "output"
    update(RENDERED, folder)
    return folder


def run(*args: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as a process, found from the source roots alone."""
    roots = os.pathsep.join(str(REPOSITORY / root) for root in ("operator", "operator/packaging"))
    return subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-m", "manifests", *args],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": roots, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


VALUES = yaml.safe_load((TEMPLATES / "values.yaml").read_text(encoding="utf-8"))


def change_value(templates: Path, path: tuple[str, ...], value: object) -> None:
    file = templates / "values.yaml"
    tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    at = tree
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    file.write_text(yaml.safe_dump(tree), encoding="utf-8")


def test_the_committed_files_are_what_the_templates_give(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", "--check"]) == OK, capsys.readouterr().out


def test_same_bytes_in_any_folder_time_zone_locale_and_hash_order(tmp_path: Path, output: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    environments = [
        {"TZ": "Asia/Kathmandu", "LC_ALL": "C", "PYTHONHASHSEED": "1"},
        {"TZ": "America/St_Johns", "LC_ALL": "tr_TR.ISO-8859-9", "PYTHONHASHSEED": "2", "PYTHONUTF8": "0"},
    ]
    for number, environment in enumerate(environments):
        folder = tmp_path / str(number)
        done = run("render", "--output", str(folder), cwd=tmp_path / "elsewhere", **environment)
        assert (done.returncode, done.stderr) == (OK, "")
        assert contents(folder) == contents(output)


def test_nothing_to_do_the_second_time(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stamps = {file: file.stat().st_mtime_ns for file in output.rglob("*.yaml")}
    capsys.readouterr()
    assert main(["render", "--output", str(output)]) == OK
    assert capsys.readouterr().out == ""
    assert {file: file.stat().st_mtime_ns for file in output.rglob("*.yaml")} == stamps


OTHER_VALUES: dict[tuple[str, ...], tuple[object, str]] = {
    ("version",): ("98.7.6", "98.7.6"),
    ("releaseDate",): ("2031-02-03", "2031-02-03T00:00:00Z"),
    ("replicas",): (5, "replicas: 5"),
    ("images", "operator"): ("example.org/other/image", "example.org/other/image:v"),
    ("images", "base"): ("example.org/other/base:1", "example.org/other/base:1"),
    ("images", "opm"): ("example.org/other/opm:1", "example.org/other/opm:1"),
    ("images", "scorecard"): ("example.org/other/scorecard:1", "example.org/other/scorecard:1"),
    ("architectures",): (["s390x"], "arch.s390x"),
    ("channels",): (["fast", "stable-v7"], "channel-fast.yaml"),
    ("defaultChannel",): ("stable-v7", "defaultChannel: stable-v7"),
    ("minKubeVersion",): ("1.77.0", "minKubeVersion: 1.77.0"),
    ("openshiftVersions",): ("v4.77", "v4.77"),
    ("capabilities",): ("Seamless Upgrades", "Seamless Upgrades"),
    ("categories",): (["Logging & Tracing"], "Logging & Tracing"),
    ("maturity",): ("beta", "maturity: beta"),
    ("keywords",): (["other-keyword"], "other-keyword"),
    ("provider", "url"): ("https://other.example", "https://other.example"),
    ("maintainers",): ([{"name": "Somebody", "email": "some@body.example"}], "some@body.example"),
    ("repository",): ("https://repository.example/x", "https://repository.example/x/blob"),
    ("links",): ([{"name": "Other", "url": "https://link.example"}], "https://link.example"),
    ("summary",): ("Another summary of twenty characters or more.", "Another summary of twenty"),
    ("examples",): ([{"file": "tracker_batch", "description": "Another example."}], "Another example."),
}
"""Where a value is more than a word: another one, and what has to show of it."""


def test_every_value_is_used(templates: Path) -> None:
    changes = {path: (f"changed-{number}x",) * 2 for number, path in enumerate(leaves(VALUES))} | OTHER_VALUES
    changes |= {path: ("true", f'{path[1]}: "true"') for path in changes if path[0] == "features"}
    for path, (value, _) in changes.items():
        change_value(templates, path, value)
    rendered = render(templates)
    text = "".join((*rendered, *rendered.values()))
    assert [path for path, (_, shown) in changes.items() if shown not in text] == []


def test_a_changed_value_is_drift(templates: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change_value(templates, ("roles", "manager"), "another-name")
    assert main(["render", "--check", "--templates", str(templates), "--output", str(output)]) == DRIFT
    assert capsys.readouterr().out.splitlines()[:-1] == [
        "config/rbac/role.yaml is not what its template gives",
        "config/rbac/role_binding.yaml is not what its template gives",
        "docs/user/install.md is not what its template gives",
        "docs/user/rights.md is not what its template gives",
    ]


def test_check_names_each_file_and_changes_none(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (output / "config/rbac/role.yaml").unlink()
    (output / "config/crd/kustomization.yaml").write_text("edited by hand\n", encoding="utf-8")
    (output / "config/rbac/old_role.yaml").write_text(f"{MARK}rbac/old.yaml.j2; do not edit.\n", encoding="utf-8")
    (output / "config/rbac/own.yaml").write_text("kind: Role\n", encoding="utf-8")
    before = contents(output)
    capsys.readouterr()
    assert main(["render", "--check", "--output", str(output)]) == DRIFT
    assert capsys.readouterr().out.splitlines() == [
        "config/crd/kustomization.yaml is not what its template gives",
        "config/rbac/old_role.yaml is surplus: no template makes it any more",
        "config/rbac/role.yaml is missing",
        "Run `make manifests` and commit what it changes; to change a manifest, edit its template.",
    ]
    assert contents(output) == before


def test_render_repairs_what_check_named_and_nothing_else(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = contents(output)
    (output / "config/rbac/role.yaml").unlink()
    (output / "config/rbac/old_role.yaml").write_text(f"{MARK}rbac/old.yaml.j2; do not edit.\n", encoding="utf-8")
    (output / "config/rbac/own.yaml").write_text("kind: Role\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["render", "--output", str(output)]) == OK
    assert capsys.readouterr().out.splitlines() == ["removed config/rbac/old_role.yaml", "made config/rbac/role.yaml"]
    assert contents(output) == {**expected, "config/rbac/own.yaml": b"kind: Role\n"}


@pytest.mark.parametrize(("path", "text"), RENDERED.items(), ids=RENDERED)
def test_form_of_each_file(path: str, text: str) -> None:
    first, second, *_ = text.splitlines()
    if path.endswith(".md"):
        first, second = (line.removeprefix("<!-- ").removesuffix(" -->") for line in (first, second))
    assert first == "# SPDX-License-Identifier: Apache-2.0"
    assert second.startswith(MARK)
    assert second.endswith("; do not edit.")
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert [line for line in text.splitlines() if line != line.rstrip()] == []


def test_every_template_makes_a_file() -> None:
    there = {file.relative_to(TEMPLATES).as_posix() for file in TEMPLATES.rglob("*.j2")}
    made_from = {text.split(MARK, 1)[1].partition(";")[0] for text in RENDERED.values()}
    assert there == made_from | PARTIALS


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        pytest.param(
            "{{ namespace }}",
            "{{ namspace }}",
            "templates/rbac/service_account.yaml.j2, line 7: 'namspace' is undefined; define it in values.yaml",
            id="unknown-variable",
        ),
        pytest.param(
            "{{ namespace }}",
            "{{ roles.nobody }}",
            "templates/rbac/service_account.yaml.j2, line 7: 'dict object' has no attribute 'nobody'",
            id="unknown-key",
        ),
        pytest.param(
            "{{ namespace }}", "{{ namespace ", "templates/rbac/service_account.yaml.j2, line 8: ", id="syntax"
        ),
        pytest.param("kind: ServiceAccount", "kind: [", "account.yaml.j2 gives what is not YAML", id="not-yaml"),
        pytest.param("kind: ServiceAccount", "---\nkind: x", "must give exactly one object", id="two-documents"),
        pytest.param('"macros.j2"', '"macro.j2"', "macro.j2 is missing from the templates", id="missing-import"),
    ],
)
def test_bad_template(old: str, new: str, sentence: str, templates: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = templates.parent / "none"
    file = templates / "rbac/service_account.yaml.j2"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    assert main(["render", "--templates", str(templates), "--output", str(output)]) == FAILED
    assert sentence in capsys.readouterr().err
    assert not output.exists()


def test_undefined_in_a_shared_macro_names_the_macros_file(templates: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = templates / "macros.j2"
    file.write_text(file.read_text(encoding="utf-8").replace("rule.why", "rule.reason"), encoding="utf-8")
    assert main(["render", "--check", "--templates", str(templates)]) == FAILED
    assert "manifests: templates/macros.j2, line 17: 'dict object' has no attribute 'reason'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        pytest.param(("version",), "v0.1", "values.yaml: Expected `str` matching regex", id="not-semver"),
        pytest.param(("version",), 0.1, "values.yaml: Expected `str`, got `float` - at `$.version`", id="number"),
        pytest.param(("namespace",), "Pod_Tracker", "at `$.namespace`", id="not-a-name"),
        pytest.param(("roles", "manager"), None, "Expected `str`, got `null` - at `$.roles.manager`", id="null"),
        pytest.param(("imgae",), "x", "Object contains unknown field `imgae`", id="unknown"),
        pytest.param(("releaseDate",), "2026-02-30", "releaseDate: 2026-02-30 is no date", id="no-date"),
        pytest.param(("images", "opm"), "opm", "at `$.images.opm`", id="no-tag"),
        pytest.param(("channels",), ["alpha"], "at `$.channels[0]`", id="channel"),
        pytest.param(("features", "proxy-aware"), True, "at `$.features.proxy-aware`", id="unquoted-boolean"),
    ],
)
def test_bad_value(
    path: tuple[str, ...], value: object, sentence: str, templates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change_value(templates, path, value)
    assert main(["render", "--check", "--templates", str(templates)]) == FAILED
    error = capsys.readouterr().err
    assert str(templates / "values.yaml") in error
    assert sentence in error


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("version: [", "values.yaml is not YAML", id="not-yaml"),
        pytest.param("", "values.yaml: Expected `object`, got `null`", id="empty"),
        pytest.param("app: pod-tracker\n", "Object missing required field `version`", id="incomplete"),
        pytest.param(None, "values.yaml cannot be read", id="missing"),
    ],
)
def test_bad_values_file(text: str | None, sentence: str, templates: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = templates / "values.yaml"
    if text is None:
        file.unlink()
    else:
        file.write_text(text, encoding="utf-8")
    assert main(["render", "--check", "--templates", str(templates)]) == FAILED
    assert sentence in capsys.readouterr().err


def test_a_wildcard_right_is_refused(templates: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = templates / "rbac_rules.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("verbs: [patch]", 'verbs: ["*"]'), encoding="utf-8")
    assert main(["render", "--check", "--templates", str(templates)]) == FAILED
    assert "at `$.manager[2].verbs[0]`" in capsys.readouterr().err


def test_output_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config").write_text("a file where a folder must be", encoding="utf-8")
    assert main(["render", "--output", str(tmp_path)]) == FAILED
    assert str(tmp_path / "config") in capsys.readouterr().err


def test_help_is_for_people(tmp_path: Path) -> None:
    done = run("render", "--help", cwd=tmp_path)
    assert done.returncode == OK
    for word in ("--check", "--output", "--templates", "config/", "Exit codes"):
        assert word in done.stdout


def test_the_operators_rights_are_these_and_no_others() -> None:
    role = yaml.safe_load(RENDERED["config/rbac/role.yaml"])
    rights = {
        (group, resource, *rule.get("resourceNames", ())): rule["verbs"]
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert rights == {
        ("", "pods"): ["list", "watch"],
        (api.GROUP, "podtrackers"): ["list", "watch"],
        (api.GROUP, "podtrackers/status"): ["patch"],
        ("", "events"): ["create", "patch"],
        ("", "secrets", "pod-tracker-reporter"): ["get"],
        ("apps", "replicasets"): ["get"],
        ("batch", "jobs"): ["get"],
    }


def test_the_version_is_the_operators() -> None:
    assert VALUES["version"] == __version__


def test_nothing_binds_the_secret_reader() -> None:
    bindings = [
        document["roleRef"]["name"]
        for path, text in RENDERED.items()
        if path.endswith(".yaml")
        and isinstance(document := yaml.safe_load(text), dict)
        and document.get("kind") in {"RoleBinding", "ClusterRoleBinding"}
    ]
    assert sorted(bindings) == sorted([VALUES["roles"]["leader"], VALUES["roles"]["manager"]])


def test_every_kustomization_lists_what_lies_beside_it() -> None:
    for file in (REPOSITORY / "config").rglob("kustomization.yaml"):
        kustomization = yaml.safe_load(file.read_text(encoding="utf-8"))
        listed = {*kustomization["resources"], *(patch["path"] for patch in kustomization.get("patches", ()))}
        beside = {other.relative_to(file.parent).as_posix() for other in file.parent.rglob("*.yaml") if other != file}
        assert beside <= listed
        assert all((file.parent / entry).exists() for entry in listed)


def test_values_for_one_time(tmp_path: Path) -> None:
    flags = (
        "--version",
        "9.8.7",
        "--image-base",
        "example.org/x",
        "--channels",
        "stable",
        "--bundle-image",
        "e.org/y:z",
    )
    assert main(["render", "--output", str(tmp_path), *flags]) == OK
    text = "".join(content.decode() for content in contents(tmp_path).values())
    for shown in ("pod-tracker.v9.8.7", "example.org/x:v9.8.7", "image: e.org/y:z"):
        assert shown in text
    assert "candidate" not in (tmp_path / "bundle/metadata/annotations.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        pytest.param(
            ["--version", "v1"], "a value from the command line is wrong: Expected `str` matching", id="version"
        ),
        pytest.param(["--image", "x"], "a value from the command line is wrong", id="image"),
        pytest.param(["--default-channel", "fast"], "no version is in the default channel, fast", id="channel"),
    ],
)
def test_bad_value_for_one_time(
    flags: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["render", "--output", str(tmp_path), *flags]) == FAILED
    assert sentence in capsys.readouterr().err
    assert contents(tmp_path) == {}


DIGEST = f"sha256:{'ab' * 32}"


@pytest.mark.parametrize("image", ["example.org:5000/x/y:v1", f"example.org:5000/x/y@{DIGEST}"])
def test_image_by_its_digest_everywhere(image: str, tmp_path: Path) -> None:
    file = tmp_path / "image.digest"
    file.write_text(f"{DIGEST}\n", encoding="utf-8")
    flags = ("--image", image, "--digest-file", str(file))
    assert main(["render", "--output", str(tmp_path / "tree"), *flags]) == OK
    csv = yaml.safe_load((tmp_path / "tree/bundle/manifests/pod-tracker.clusterserviceversion.yaml").read_text("utf-8"))
    container = csv["spec"]["install"]["spec"]["deployments"][0]["spec"]["template"]["spec"]["containers"][0]
    related = next(variable["value"] for variable in container["env"] if variable["name"] == "RELATED_IMAGE_MANAGER")
    named = {container["image"], related, csv["metadata"]["annotations"]["containerImage"]}
    assert named | {image["image"] for image in csv["spec"]["relatedImages"]} == {f"example.org:5000/x/y@{DIGEST}"}


@pytest.mark.parametrize("content", [None, "", "latest"])
def test_no_digest_yet(content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "image.digest"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    assert main(["render", "--check", "--image", "example.org/x/y:v1", "--digest-file", str(file)]) == FAILED
    assert "push the image first (make docker-push)" in capsys.readouterr().err
