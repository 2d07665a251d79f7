# SPDX-License-Identifier: Apache-2.0
"""What operator-sdk and opm say is merged; where they are not, that is said. Scripts stand in for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bundlecheck.errors import ToolError
from bundlecheck.findings import Severity
from bundlecheck.official import check_bundle, check_catalog


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing but what a test puts there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def _program(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def _says(outputs: list[dict[str, Any]], code: int = 0) -> str:
    report = json.dumps({"passed": code == 0, "outputs": outputs})
    return f"while [ $# -gt 0 ]; do shift; done\nprintf '%s' '{report}'\nexit {code}"


def test_absent_programs_are_told_in_a_line_each(path: Path, tmp_path: Path) -> None:
    assert list(path.iterdir()) == []
    assert check_bundle(tmp_path) == ([], ["operator-sdk is not on PATH: `operator-sdk bundle validate` was not run"])
    assert check_catalog(tmp_path) == ([], ["opm is not on PATH: `opm validate` was not run"])


def test_what_operator_sdk_says_is_merged(path: Path, tmp_path: Path) -> None:
    lines = [
        {"type": "error", "message": "Error: bad"},
        {"type": "warning", "message": "soso"},
        {"type": "info", "message": "ok"},
    ]
    _program(path, "operator-sdk", _says(lines, 1))
    findings, _ = check_bundle(tmp_path)
    assert {(finding.check, finding.severity, finding.message) for finding in findings} == {
        ("operator-sdk/validate", Severity.ERROR, "Error: bad"),
        ("operator-sdk/validate", Severity.WARNING, "soso"),
    }


def test_both_suites_are_run(path: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    _program(path, "operator-sdk", f'echo "$@" >> {log}\nprintf \'{{"passed":true}}\'')
    assert check_bundle(tmp_path)[0] == []
    calls = log.read_text().splitlines()
    assert ["suite=operatorframework" in call for call in calls] == [False, True, False]
    assert ["name=operatorhub" in call for call in calls] == [False, False, True]


def test_a_failure_without_an_error_line_is_an_error(path: Path, tmp_path: Path) -> None:
    _program(path, "operator-sdk", _says([], 1))
    assert {finding.severity for finding in check_bundle(tmp_path)[0]} == {Severity.ERROR}


def test_what_opm_says_is_merged(path: Path, tmp_path: Path) -> None:
    _program(path, "opm", "echo invalid index >&2; exit 1")
    findings, _ = check_catalog(tmp_path)
    assert [(finding.check, finding.message) for finding in findings] == [("opm/validate", "invalid index")]


def test_a_program_that_nobody_understands_is_told(path: Path, tmp_path: Path) -> None:
    _program(path, "operator-sdk", "echo unknown flag >&2; exit 1")
    with pytest.raises(ToolError, match="unknown flag"):
        check_bundle(tmp_path)
