# SPDX-License-Identifier: Apache-2.0
"""The command line: exit codes, forms of the result, and sentences for what cannot be checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from bundle.builder import good_tree
from bundle.tree import REPOSITORY
from bundlecheck.cli import MISUSE, OK, REFUSED, main

_CRD: Final = REPOSITORY / "config" / "crd" / "bases" / "pod-tracker.lost.backend_podtrackers.yaml"

Output = pytest.CaptureFixture[str]


def _warned(folder: Path) -> Path:
    tree = good_tree()
    del tree.spec["keywords"]
    return tree.write(folder)


def _refused(folder: Path) -> Path:
    tree = good_tree()
    tree.spec["icon"][0]["mediatype"] = "image/svg"
    return tree.write(folder)


def test_a_good_bundle_ends_with_0(tmp_path: Path, capsys: Output) -> None:
    bundle = good_tree().write(tmp_path)
    assert main([str(bundle), "--catalog", str(tmp_path / "catalog"), "--strict"]) == OK
    assert capsys.readouterr().out == "0 errors, 0 warnings\n"


def test_an_error_ends_with_1_and_says_where_what_and_how(tmp_path: Path, capsys: Output) -> None:
    assert main([str(_refused(tmp_path))]) == REFUSED
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(
        "error: bundle/manifests/pod-tracker.clusterserviceversion.yaml: spec.icon[0].mediatype: `image/svg`"
    )
    assert lines[0].endswith("[icon-mediatype]")
    assert lines[1].strip().startswith("Write one of")
    assert lines[-1] == "1 errors, 0 warnings"


def test_a_warning_ends_with_1_only_when_strict(tmp_path: Path, capsys: Output) -> None:
    bundle = str(_warned(tmp_path))
    assert main([bundle]) == OK
    assert main([bundle, "--strict"]) == REFUSED
    assert "0 errors, 1 warnings" in capsys.readouterr().out


def test_json_has_every_part_of_a_finding(tmp_path: Path, capsys: Output) -> None:
    main([str(_refused(tmp_path)), "--output=json"])
    content = json.loads(capsys.readouterr().out)
    assert (content["errors"], content["warnings"]) == (1, 0)
    finding = content["findings"][0]
    assert finding["check"] == "icon-mediatype"
    assert all(finding[key] for key in ("severity", "file", "path", "message", "remedy", "source"))


def test_sarif_has_rules_and_places(tmp_path: Path, capsys: Output) -> None:
    main([str(_refused(tmp_path)), "--output=sarif"])
    content = json.loads(capsys.readouterr().out)
    assert content["version"] == "2.1.0"
    [run] = content["runs"]
    [rule] = run["tool"]["driver"]["rules"]
    [result] = run["results"]
    assert rule["id"] == result["ruleId"] == "icon-mediatype"
    assert result["level"] == "error"
    [location] = result["locations"]
    assert (
        location["physicalLocation"]["artifactLocation"]["uri"]
        == "bundle/manifests/pod-tracker.clusterserviceversion.yaml"
    )
    assert location["logicalLocations"] == [{"fullyQualifiedName": "spec.icon[0].mediatype"}]


def test_what_is_no_bundle_ends_with_2_and_a_sentence(tmp_path: Path, capsys: Output) -> None:
    file = tmp_path / "file"
    file.write_text("")
    empty = tmp_path / "empty"
    empty.mkdir()
    for path, words in ((tmp_path / "nothing", "does not exist"), (file, "is no folder"), (empty, "is empty")):
        assert main([str(path)]) == MISUSE
        error = capsys.readouterr().err
        assert words in error
        assert "give the folder of a bundle" in error


def test_a_catalog_without_yaml_ends_with_2(tmp_path: Path, capsys: Output) -> None:
    bundle = good_tree().write(tmp_path)
    assert main([str(bundle), "--catalog", str(tmp_path / "nothing")]) == MISUSE
    other = tmp_path / "other"
    other.mkdir()
    (other / "readme.txt").write_text("x")
    assert main([str(bundle), "--catalog", str(other)]) == MISUSE
    assert "file-based catalog" in capsys.readouterr().err


def test_a_wrong_command_line_ends_with_2(capsys: Output) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == MISUSE
    assert "BUNDLE_DIR" in capsys.readouterr().err


def test_a_catalog_is_checked_alone(tmp_path: Path, capsys: Output) -> None:
    tree = good_tree()
    tree.write(tmp_path)
    assert main(["catalog", str(tmp_path / "catalog"), "--strict"]) == OK
    tree.blob("olm.package")["defaultChannel"] = "nightly"
    tree.write(tmp_path)
    assert main(["catalog", str(tmp_path / "catalog")]) == REFUSED
    assert "[catalog-default-channel]" in capsys.readouterr().out
    assert main(["catalog", str(tmp_path / "nothing")]) == MISUSE


def test_crds_are_compared(tmp_path: Path, capsys: Output) -> None:
    assert main(["crd-upgrade", str(_CRD), str(_CRD)]) == OK
    changed = tmp_path / "crd.yaml"
    text = _CRD.read_text()
    assert "scope: Namespaced" in text
    changed.write_text(text.replace("scope: Namespaced", "scope: Cluster"))
    assert main(["crd-upgrade", str(_CRD), str(changed)]) == REFUSED
    assert "[crd-upgrade-scope]" in capsys.readouterr().out
    assert main(["crd-upgrade", str(_CRD), str(tmp_path / "nothing")]) == MISUSE


def test_manifests_are_checked(tmp_path: Path, capsys: Output) -> None:
    assert main(["manifests", str(REPOSITORY / "config" / "samples"), "--crds", str(_CRD)]) == OK
    assert main(["manifests", str(tmp_path)]) == MISUSE
    assert "no manifest" in capsys.readouterr().err


def test_the_checks_are_listed(capsys: Output) -> None:
    assert main(["list"]) == OK
    assert "icon-mediatype" in capsys.readouterr().out
