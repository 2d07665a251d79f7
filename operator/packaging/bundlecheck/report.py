# SPDX-License-Identifier: Apache-2.0
"""Findings as text, as JSON, and as SARIF, which code hosts show beside the changed lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from bundlecheck.findings import Finding, Severity
from bundlecheck.registry import CHECKS

_SARIF_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_TOOL: Final = "bundlecheck"


def as_text(findings: Sequence[Finding], notes: Sequence[str]) -> str:
    """Lines for people: where, what, and what to do; the last line counts."""
    lines = [line for finding in findings for line in _lines(finding)]
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    lines += [f"note: {note}" for note in notes]
    lines.append(f"{errors} errors, {len(findings) - errors} warnings")
    return "\n".join(lines) + "\n"


def _lines(finding: Finding) -> list[str]:
    where = f"{finding.file or '.'}{f': {finding.path}' if finding.path else ''}"
    return [
        f"{finding.severity.value}: {where}: {finding.message} [{finding.check}]",
        *([f"    {finding.remedy}"] if finding.remedy else []),
        f"    asked for by: {finding.source}",
    ]


def as_json(findings: Sequence[Finding], notes: Sequence[str]) -> str:
    """One JSON object: `findings`, `notes` and the counts."""
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    content = {
        "errors": errors,
        "warnings": len(findings) - errors,
        "findings": [
            {
                "check": finding.check,
                "severity": finding.severity.value,
                "file": finding.file,
                "path": finding.path,
                "message": finding.message,
                "remedy": finding.remedy,
                "source": finding.source,
            }
            for finding in findings
        ],
        "notes": list(notes),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def as_sarif(findings: Sequence[Finding], notes: Sequence[str]) -> str:
    """A SARIF 2.1.0 log with one run."""
    run = {
        "tool": {"driver": {"name": _TOOL, "rules": _rules(findings)}},
        "results": [_result(finding) for finding in findings],
        "invocations": [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": [{"level": "note", "message": {"text": note}} for note in notes],
            }
        ],
    }
    log = {"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2, ensure_ascii=False) + "\n"


def _rules(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """The checks that found something; those of other programs have no summary here."""
    rules = []
    for identifier in dict.fromkeys(finding.check for finding in findings):
        check = CHECKS.get(identifier)
        rule: dict[str, Any] = {"id": identifier}
        if check is not None:
            rule |= {
                "shortDescription": {"text": check.summary},
                "help": {"text": check.remedy},
                "defaultConfiguration": {"level": check.severity.value},
                "properties": {"source": check.source},
            }
        rules.append(rule)
    return rules


def _result(finding: Finding) -> dict[str, Any]:
    location: dict[str, Any] = {"physicalLocation": {"artifactLocation": {"uri": finding.file or "."}}}
    if finding.path:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.path}]
    return {
        "ruleId": finding.check,
        "level": finding.severity.value,
        "message": {"text": f"{finding.message}. {finding.remedy}".strip()},
        "locations": [location],
    }
