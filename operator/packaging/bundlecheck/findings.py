# SPDX-License-Identifier: Apache-2.0
"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """How bad a finding is; the values are SARIF's levels."""

    ERROR = "error"
    """Some tool or cluster refuses the bundle."""
    WARNING = "warning"
    """It works, and somebody will be told to mend it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    check: str
    """The check's id, such as `icon-mediatype`; another program's begins with its name: `opm/validate`."""
    severity: Severity
    file: str
    """Relative to the folder that holds the bundle's, with slashes; empty when the whole is meant."""
    path: str
    """Within the document, such as `spec.icon[0].mediatype`; empty when the whole file is meant."""
    message: str
    remedy: str
    source: str
    """Who asks for it: a section of the packaging notes and the program that enforces it."""
