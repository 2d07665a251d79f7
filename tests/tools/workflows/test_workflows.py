# SPDX-License-Identifier: Apache-2.0
"""The workflows of GitHub: pinned actions, few rights, and make targets that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

_REPOSITORY = Path(__file__).resolve().parents[3]
_WORKFLOWS = sorted((_REPOSITORY / ".github" / "workflows").glob("*.yml"))
_TARGETS = set(re.findall(r"^\.PHONY: (\S+)$", (_REPOSITORY / "Makefile").read_text(), re.MULTILINE))


@pytest.fixture(params=_WORKFLOWS, ids=lambda path: path.stem)
def workflow(request: pytest.FixtureRequest) -> dict[str, Any]:
    content = yaml.safe_load(request.param.read_text())
    assert isinstance(content, dict)
    return content


def _steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_there_are_workflows_for_changes_and_for_releases() -> None:
    assert [path.stem for path in _WORKFLOWS] == ["ci", "release"]


def test_actions_are_pinned_to_versions(workflow: dict[str, Any]) -> None:
    used = [step["uses"] for step in _steps(workflow) if "uses" in step]
    assert used
    assert [each for each in used if not re.fullmatch(r"[\w-]+/[\w-]+@v\d+\.\d+\.\d+", each)] == []


def test_rights_are_to_read_unless_a_job_says_more(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    more = {name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job}
    assert more in ({}, {"publish": {"contents": "write"}})
    checkouts = [step for step in _steps(workflow) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_what_is_made_is_a_target(workflow: dict[str, Any]) -> None:
    commands = [step["run"] for step in _steps(workflow) if step.get("run", "").startswith("make ")]
    assert commands
    targets = {word for each in commands for word in each.split()[1:] if re.fullmatch(r"[a-z0-9-]+", word)}
    assert targets - _TARGETS == set()


def test_each_job_ends_by_itself(workflow: dict[str, Any]) -> None:
    assert all(0 < job["timeout-minutes"] <= 90 for job in workflow["jobs"].values())
