# SPDX-License-Identifier: Apache-2.0
"""The bill of materials: every locked package, who needs it, and the same document every time."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from manifests.cli import FAILED, OK, REPOSITORY, main
from manifests.errors import SourceError
from manifests.sbom import packages, sbom
from manifests.sources import load_values

VALUES = load_values(REPOSITORY / "templates")
LOCKED = (REPOSITORY / "requirements/run.txt").read_text(encoding="utf-8")
HASH = "0" * 64
REQUIREMENTS = f"""\
first==1.0 \\
    --hash=sha256:{HASH} \\
    --hash=sha256:{HASH[:-1]}1
    # via
    #   podtracker (pyproject.toml)
    #   second
second==2.0 ; sys_platform == 'linux' \\
    --hash=sha256:{HASH}
    # via podtracker (pyproject.toml)
third==3.0 ; sys_platform == 'win32' \\
    --hash=sha256:{HASH}
    # via second
"""


def document(requirements: str) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(sbom(requirements, VALUES))
    return made


def test_what_is_for_linux_with_who_needs_it() -> None:
    made = document(REQUIREMENTS)
    assert [component["purl"] for component in made["components"]] == ["pkg:pypi/first@1.0", "pkg:pypi/second@2.0"]
    assert [entry["content"] for entry in made["components"][0]["hashes"]] == [HASH, f"{HASH[:-1]}1"]
    root = made["metadata"]["component"]["bom-ref"]
    assert {entry["ref"]: entry["dependsOn"] for entry in made["dependencies"]} == {
        root: ["pkg:pypi/first@1.0", "pkg:pypi/second@2.0"],
        "pkg:pypi/first@1.0": [],
        "pkg:pypi/second@2.0": ["pkg:pypi/first@1.0"],
    }


def test_every_locked_package_is_there_and_reached() -> None:
    made = document(LOCKED)
    names = set(re.findall(r"^([a-z0-9][-a-z0-9._]*)==", LOCKED, re.MULTILINE))
    assert {component["name"] for component in made["components"]} == names
    uses = {entry["ref"]: entry["dependsOn"] for entry in made["dependencies"]}
    reached, todo = set(), [made["metadata"]["component"]["bom-ref"]]
    while todo:
        ref = todo.pop()
        if ref not in reached:
            reached.add(ref)
            todo += uses[ref]
    assert reached == uses.keys()
    assert made["metadata"]["component"]["version"] == VALUES.version


def test_the_same_every_time_and_another_for_another_version() -> None:
    assert sbom(LOCKED, VALUES) == sbom(LOCKED, VALUES)
    assert document(LOCKED)["serialNumber"] != document(REQUIREMENTS)["serialNumber"]


@pytest.mark.parametrize(
    ("requirements", "sentence"),
    [
        pytest.param("first>=1.0,<2 \\\n    --hash=sha256:0\n", "is no locked requirement", id="range"),
        pytest.param("first==1.0\n", "first has no hash", id="no-hash"),
        pytest.param("-r other.txt\n", "is no locked requirement", id="option"),
    ],
)
def test_what_is_not_locked(requirements: str, sentence: str) -> None:
    with pytest.raises(SourceError, match=sentence):
        packages(requirements)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "dist/sbom.cdx.json"
    assert main(["sbom", "--output", str(file), "--version", "7.7.7"]) == OK
    made = json.loads(file.read_text(encoding="utf-8"))
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    assert made["metadata"]["component"]["version"] == "7.7.7"
    assert main(["sbom", "--requirements", str(tmp_path / "none")]) == FAILED
    assert "none" in capsys.readouterr().err
