# SPDX-License-Identifier: Apache-2.0
"""Runs the checks."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import bundlecheck.checks  # noqa: F401 - fills the registry
from bundlecheck.findings import Finding, Severity
from bundlecheck.registry import CHECKS
from bundlecheck.subject import Subject, load

_CATALOG: Final = ("catalog-", "dockerfile-catalog")


def run_checks(subject: Subject) -> list[Finding]:
    """What our own checks find, errors first."""
    return in_order([finding for check in CHECKS.values() for finding in check.run(subject)])


def run_catalog_checks(subject: Subject) -> list[Finding]:
    """What those of our own checks find that look at the catalog only."""
    chosen = (check for check in CHECKS.values() if check.id.startswith(_CATALOG) and not check.needs_csv)
    return in_order([finding for check in chosen for finding in check.run(subject)])


def check_bundle(bundle: Path, *, catalog: Path | None = None, repository: Path | None = None) -> list[Finding]:
    """Read a bundle and run our own checks.

    Raises:
        InputError: there is no such folder, or nothing in it.
    """
    return run_checks(load(bundle, catalog, repository))


def in_order(findings: list[Finding]) -> list[Finding]:
    """Errors before warnings, then by file and place."""
    return sorted(
        dict.fromkeys(findings),
        key=lambda finding: (finding.severity is not Severity.ERROR, finding.file, finding.path, finding.check),
    )
