# SPDX-License-Identifier: Apache-2.0
"""Runs operator-sdk and opm where they are on PATH, and merges what they say."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from bundlecheck.errors import ToolError
from bundlecheck.findings import Finding, Severity

SDK: Final = "operator-sdk"
OPM: Final = "opm"

_SUITES: Final = ("", "suite=operatorframework", "name=operatorhub")
_TIMEOUT: Final = 300
_REMEDY: Final = "See the program's own documentation; where our checks said nothing, add one."


class _Line(msgspec.Struct, frozen=True):
    type: str
    message: str


class _Report(msgspec.Struct, frozen=True):
    outputs: tuple[_Line, ...] | None = None
    passed: bool = True


def check_bundle(bundle: Path) -> tuple[list[Finding], list[str]]:
    """What operator-sdk finds, with its optional suites; a note where it is not installed.

    Raises:
        ToolError: it is installed, and cannot be run or understood.
    """
    program = shutil.which(SDK)
    if program is None:
        return [], [f"{SDK} is not on PATH: `{SDK} bundle validate` was not run"]
    findings = [finding for suite in _SUITES for finding in _validate_bundle(program, bundle, suite)]
    return list({(finding.severity, finding.message): finding for finding in reversed(findings)}.values()), []


def check_catalog(catalog: Path) -> tuple[list[Finding], list[str]]:
    """What opm finds; a note where it is not installed.

    Raises:
        ToolError: it is installed, and cannot be run.
    """
    program = shutil.which(OPM)
    if program is None:
        return [], [f"{OPM} is not on PATH: `{OPM} validate` was not run"]
    return list(_validate_catalog(program, catalog)), []


def _validate_bundle(program: str, bundle: Path, suite: str) -> Iterator[Finding]:
    command = [program, "bundle", "validate", str(bundle), "--output=json-alpha1"]
    if suite:
        command.append(f"--select-optional={suite}")
    done = _run(command)
    try:
        report = msgspec.json.decode(done.stdout, type=_Report)
    except msgspec.MsgspecError:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise ToolError(
            f"`{' '.join(command)}` ended with {done.returncode} and said what is no report: {said}"
        ) from None
    for line in report.outputs or ():
        severity = {"error": Severity.ERROR, "warning": Severity.WARNING}.get(line.type.lower())
        if severity is not None:
            yield Finding(
                f"{SDK}/validate", severity, bundle.name, "", " ".join(line.message.split()), _REMEDY, f"{SDK} {suite}"
            )
    if done.returncode != 0 and not any(line.type.lower() == "error" for line in report.outputs or ()):
        message = f"it ended with {done.returncode}"
        yield Finding(f"{SDK}/validate", Severity.ERROR, bundle.name, "", message, _REMEDY, f"{SDK} {suite}")


def _validate_catalog(program: str, catalog: Path) -> Iterator[Finding]:
    done = _run([program, "validate", str(catalog)])
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).decode(errors="replace").split())
        yield Finding(f"{OPM}/validate", Severity.ERROR, catalog.name, "", said, _REMEDY, OPM)


def _run(command: list[str]) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(  # noqa: S603 - found on PATH, with our arguments
            command, capture_output=True, timeout=_TIMEOUT, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"{command[0]} cannot be run: {error}") from None
