# SPDX-License-Identifier: Apache-2.0
"""The command line: `python -m bundlecheck BUNDLE_DIR`, and `catalog`, `crd-upgrade`, `manifests` and `list`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from bundlecheck import conformance, crd_upgrade, official, report
from bundlecheck.errors import BundleCheckError
from bundlecheck.findings import Finding, Severity
from bundlecheck.registry import CHECKS
from bundlecheck.running import in_order, run_catalog_checks, run_checks
from bundlecheck.subject import load, load_catalog
from bundlecheck.tools import ensure_kubeconform

OK: Final = 0
REFUSED: Final = 1
"""There are errors, or with --strict warnings."""
MISUSE: Final = 2
"""There was nothing to check, or a program failed; argparse ends with the same code."""

OLM_CRDS_VARIABLE: Final = "BUNDLECHECK_OLM_CRDS"

_EPILOG: Final = (
    "Exit codes: 0 clean; 1 errors, or with --strict warnings; 2 nothing could be checked."
    " Other commands: `bundlecheck catalog DIR` checks a catalog alone;"
    " `bundlecheck crd-upgrade OLD NEW` compares two releases of a CRD by OLM v1's rules;"
    " `bundlecheck manifests PATH...` runs kubeconform on other manifests; `bundlecheck list` lists the checks."
)

_REPORTS: Final = {"text": report.as_text, "json": report.as_json, "sarif": report.as_sarif}

Findings = tuple[list[Finding], list[str]]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser, work = _COMMANDS.get(words[0] if words else "", (_bundle_parser, _bundle))
    options = parser().parse_args(words[1:] if words and words[0] in _COMMANDS else words)
    try:
        findings, notes = work(options)
    except BundleCheckError as error:
        sys.stderr.write(f"bundlecheck: {error}\n")
        return MISUSE
    sys.stdout.write(_REPORTS[options.output](in_order(findings), notes))
    bad = (finding for finding in findings if options.strict or finding.severity is Severity.ERROR)
    return REFUSED if any(bad) else OK


def _bundle(options: argparse.Namespace) -> Findings:
    subject = load(options.bundle, options.catalog, options.repository)
    findings = run_checks(subject)
    notes: list[str] = []
    if options.kubeconform:
        more, said = conformance.check_bundle(subject, ensure_kubeconform(), options.olm_crds)
        findings, notes = findings + more, notes + said
    if options.official:
        more, said = official.check_bundle(options.bundle)
        findings, notes = findings + more, notes + said
    if options.official and options.catalog:
        more, said = official.check_catalog(options.catalog)
        findings, notes = findings + more, notes + said
    return findings, notes


def _catalog(options: argparse.Namespace) -> Findings:
    findings = run_catalog_checks(load_catalog(options.catalog, options.repository))
    if not options.official:
        return findings, []
    more, notes = official.check_catalog(options.catalog)
    return findings + more, notes


def _upgrade(options: argparse.Namespace) -> Findings:
    return crd_upgrade.compare(crd_upgrade.load_crd(options.old), crd_upgrade.load_crd(options.new)), []


def _manifests(options: argparse.Namespace) -> Findings:
    return conformance.check_files(options.paths, ensure_kubeconform(), options.crds)


def _list(_: argparse.Namespace) -> Findings:
    for check in sorted(CHECKS.values(), key=lambda each: each.id):
        sys.stdout.write(f"{check.id:34} {check.severity.value:8} {check.summary} ({check.source})\n")
    return [], [f"{len(CHECKS)} checks"]


def _parser(name: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m bundlecheck{name}", description=description, epilog=epilog)
    parser.add_argument("--output", choices=sorted(_REPORTS), default="text", help="form of the result (default: text)")
    parser.add_argument("--strict", action="store_true", help="refuse warnings too")
    return parser


def _bundle_parser() -> argparse.ArgumentParser:
    parser = _parser(
        "", "Checks an OLM bundle, and a catalog with it; needs neither a cluster nor the network.", _EPILOG
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE_DIR", help="the folder with manifests/ and metadata/")
    parser.add_argument("--catalog", type=Path, metavar="DIR", help="the folder of a file-based catalog")
    parser.add_argument(
        "--repository",
        type=Path,
        metavar="DIR",
        help="the folder with bundle.Dockerfile, config/rbac and the like (default: the bundle's parent)",
    )
    parser.add_argument(
        "--kubeconform", action="store_true", help="run kubeconform too; it is built where it is missing"
    )
    parser.add_argument("--official", action="store_true", help="run operator-sdk and opm too, where they are on PATH")
    parser.add_argument(
        "--olm-crds",
        type=Path,
        metavar="DIR",
        default=_from_environment(OLM_CRDS_VARIABLE),
        help=f"the folder of OLM's CRDs, for --kubeconform (default: ${OLM_CRDS_VARIABLE})",
    )
    return parser


def _catalog_parser() -> argparse.ArgumentParser:
    parser = _parser(" catalog", "Checks a file-based catalog; needs neither a cluster nor the network.")
    parser.add_argument("catalog", type=Path, metavar="DIR", help="the folder of the catalog")
    parser.add_argument(
        "--repository",
        type=Path,
        metavar="DIR",
        help="the folder with catalog.Dockerfile (default: the catalog's parent)",
    )
    parser.add_argument("--official", action="store_true", help="run opm too, where it is on PATH")
    return parser


def _upgrade_parser() -> argparse.ArgumentParser:
    parser = _parser(" crd-upgrade", "Tells what OLM v1 refuses when a CRD takes the place of an older release of it.")
    parser.add_argument("old", type=Path, metavar="OLD", help="the released CRD")
    parser.add_argument("new", type=Path, metavar="NEW", help="the CRD that is to be released")
    return parser


def _manifests_parser() -> argparse.ArgumentParser:
    parser = _parser(" manifests", "Runs kubeconform on manifests, strictly and with no network.")
    parser.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="YAML files, or folders of them")
    parser.add_argument("--crds", type=Path, metavar="PATH", help="CRDs of custom resources, besides those among PATH")
    return parser


def _list_parser() -> argparse.ArgumentParser:
    return _parser(" list", "Lists the checks.")


def _from_environment(name: str) -> Path | None:
    value = os.environ.get(name)
    return Path(value) if value else None


_COMMANDS: Final[dict[str, tuple[Callable[[], argparse.ArgumentParser], Callable[[argparse.Namespace], Findings]]]] = {
    "catalog": (_catalog_parser, _catalog),
    "crd-upgrade": (_upgrade_parser, _upgrade),
    "manifests": (_manifests_parser, _manifests),
    "list": (_list_parser, _list),
}
