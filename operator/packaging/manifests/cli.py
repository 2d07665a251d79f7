# SPDX-License-Identifier: Apache-2.0
"""The command line: `python -m manifests render`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from manifests.errors import ManifestsError
from manifests.render import render
from manifests.tree import Difference, compare, update

OK: Final = 0
DRIFT: Final = 1
"""With --check: the files are not what the templates give."""
FAILED: Final = 2
"""Nothing could be rendered or written, or the command line is wrong (argparse ends with the same code)."""

REPOSITORY: Final = Path(__file__).resolve().parents[3]

_CHANGED: Final = {"missing": "made", "differs": "updated", "surplus": "removed"}
_DRIFTED: Final = {
    "missing": "is missing",
    "differs": "is not what its template gives",
    "surplus": "is surplus: no template makes it any more",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _parser().parse_args(argv)
    try:
        rendered = render(options.templates)
        if options.check:
            return _report_drift(compare(rendered, options.output))
        for path, problem in update(rendered, options.output):
            sys.stdout.write(f"{_CHANGED[problem]} {path}\n")
    except (ManifestsError, OSError) as error:
        sys.stderr.write(f"manifests: {error}\n")
        return FAILED
    return OK


def _report_drift(differences: Sequence[Difference]) -> int:
    for path, problem in differences:
        sys.stdout.write(f"{path} {_DRIFTED[problem]}\n")
    if not differences:
        return OK
    sys.stdout.write("Run `make manifests` and commit what it changes; to change a manifest, edit its template.\n")
    return DRIFT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m manifests", description="Makes the repository's manifests.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "render",
        help="render the templates into config/",
        description="Renders the templates into config/: writes what is missing or differs, removes generated files"
        " that no template makes any more, prints each. Needs neither a cluster nor the network.",
        epilog="Exit codes: 0 done, or nothing to do; 1 with --check, the files differ; 2 it could not be done.",
    )
    command.add_argument("--check", action="store_true", help="change nothing; print what would, and exit 1")
    command.add_argument(
        "--output",
        type=Path,
        default=REPOSITORY,
        metavar="DIR",
        help="the folder that has or gets config/ (default: this repository)",
    )
    command.add_argument(
        "--templates",
        type=Path,
        default=REPOSITORY / "templates",
        metavar="DIR",
        help="the folder with the templates, values.yaml and rbac_rules.yaml (default: this repository's)",
    )
    return parser
