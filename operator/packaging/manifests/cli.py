# SPDX-License-Identifier: Apache-2.0
"""The command line: `python -m manifests render`, and what else the Makefile needs."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from manifests.community import export
from manifests.errors import ManifestsError, SourceError
from manifests.installer import installer
from manifests.overrides import Overrides
from manifests.release import RELEASES, next_steps, release, today
from manifests.render import render
from manifests.sbom import sbom
from manifests.sources import load_values
from manifests.tree import Difference, compare, update

OK: Final = 0
DRIFT: Final = 1
"""With --check: the files are not what the templates give."""
FAILED: Final = 2
"""Nothing could be made, or the command line is wrong (argparse ends with the same code)."""

REPOSITORY: Final = Path(__file__).resolve().parents[3]
TEMPLATES: Final = REPOSITORY / "templates"

_CHANGED: Final = {"missing": "made", "differs": "updated", "surplus": "removed"}
_DRIFTED: Final = {
    "missing": "is missing",
    "differs": "is not what its template gives",
    "surplus": "is surplus: no template makes it any more",
}
_CODES: Final = "Exit codes: 0 done, or nothing to do; 2 it could not be done."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except (ManifestsError, OSError) as error:
        sys.stderr.write(f"manifests: {error}\n")
        return FAILED


def _render(options: argparse.Namespace) -> int:
    rendered = render(options.templates, _overrides(options))
    if options.check:
        return _report_drift(compare(rendered, options.output))
    for path, problem in update(rendered, options.output):
        sys.stdout.write(f"{_CHANGED[problem]} {path}\n")
    return OK


def _report_drift(differences: Sequence[Difference]) -> int:
    for path, problem in differences:
        sys.stdout.write(f"{path} {_DRIFTED[problem]}\n")
    if not differences:
        return OK
    sys.stdout.write("Run `make manifests` and commit what it changes; to change a manifest, edit its template.\n")
    return DRIFT


def _installer(options: argparse.Namespace) -> int:
    _write(options.output, installer(render(options.templates, _overrides(options))))
    return OK


def _sbom(options: argparse.Namespace) -> int:
    values = _overrides(options).apply(load_values(options.templates))
    _write(options.output, sbom(options.requirements.read_text(encoding="utf-8"), values))
    return OK


def _community(options: argparse.Namespace) -> int:
    versions = export(REPOSITORY / RELEASES, load_values(TEMPLATES).app, options.output)
    sys.stdout.write("".join(f"{options.output / 'operators'}: version {version}\n" for version in versions))
    return OK


def _release(options: argparse.Namespace) -> int:
    changed = release(REPOSITORY, options.version, date=options.date or today(), channels=options.channels)
    sys.stdout.write("".join(f"changed {path}\n" for path in changed) + next_steps(options.version))
    return OK


def _write(output: Path | None, text: str) -> None:
    if output is None:
        sys.stdout.write(text)
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(text.encode())


def _overrides(options: argparse.Namespace) -> Overrides:
    return Overrides(
        version=options.version,
        image_base=options.image_base,
        image=_pinned(options.image, options.digest_file),
        bundle_image=options.bundle_image,
        channels=options.channels,
        default_channel=options.default_channel,
    )


def _pinned(image: str | None, digest_file: Path | None) -> str | None:
    """The image by the digest that a push has left in a file, if one is asked for."""
    if digest_file is None or image is None or "@" in image:
        return image
    remedy = "push the image first (make docker-push), or give IMG as name@sha256:…"
    try:
        digest = digest_file.read_text(encoding="utf-8").strip()
    except OSError:
        raise SourceError(f"the digest of {image} is not known: {remedy}") from None
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise SourceError(f"{digest_file} holds no digest: {remedy}")
    return f"{re.sub(r':[^:/]+$', '', image)}@{digest}"


def _channels(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m manifests", description="Makes the repository's generated files.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_render(commands)
    command = _add(commands, "installer", _installer, "print one file that installs everything without OLM")
    command.add_argument("--output", type=Path, metavar="FILE", help="write it there instead")
    command = _add(commands, "sbom", _sbom, "print the bill of materials of the operator's image (CycloneDX)")
    command.add_argument("--output", type=Path, metavar="FILE", help="write it there instead")
    command.add_argument(
        "--requirements",
        type=Path,
        default=REPOSITORY / "requirements/run.txt",
        metavar="FILE",
        help="the locked requirements (default: this repository's)",
    )
    command = commands.add_parser(
        "release",
        help="make the working tree that of a new version",
        description="Writes version and date everywhere, dates the changelog, renders everything, and keeps the bundle"
        " under releases/. Refuses when something is not committed.",
        epilog=_CODES,
    )
    command.set_defaults(run=_release)
    command.add_argument("version", metavar="VERSION", help="such as 1.2.3 or 1.2.3-rc.1")
    command.add_argument("--date", metavar="DATE", help="when it is released, as 2026-11-22 (default: today, UTC)")
    command.add_argument("--channels", type=_channels, metavar="A,B", help="channels that get it, from now on")
    command = commands.add_parser(
        "community",
        help="export what was released, as OperatorHub's repositories want it",
        description="Writes operators/PACKAGE/VERSION for each release, and the pipeline's ci.yaml where none is.",
        epilog=_CODES,
    )
    command.set_defaults(run=_community)
    command.add_argument("output", type=Path, metavar="DIR", help="a clone of community-operators, or any folder")
    return parser


_Commands = Any
"""What add_subparsers returns; argparse has no public name for it."""


def _add_render(commands: _Commands) -> None:
    command = _add(
        commands,
        "render",
        _render,
        "render the templates into config/, bundle/, catalog/ and the Dockerfiles",
        details=": writes what is missing or differs, removes generated files that no template makes any more, prints"
        " each. Needs neither a cluster nor the network.",
        codes="Exit codes: 0 done, or nothing to do; 1 with --check, the files differ; 2 it could not be done.",
    )
    command.add_argument("--check", action="store_true", help="change nothing; print what would, and exit 1")
    command.add_argument(
        "--output",
        type=Path,
        default=REPOSITORY,
        metavar="DIR",
        help="the folder that has or gets the files (default: this repository)",
    )


def _add(
    commands: _Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    purpose: str,
    *,
    details: str = "",
    codes: str = _CODES,
) -> argparse.ArgumentParser:
    """A command that reads the templates, with values of its own over theirs."""
    description = f"{purpose[0].upper()}{purpose[1:]}{details or '.'}"
    command: argparse.ArgumentParser = commands.add_parser(name, help=purpose, description=description, epilog=codes)
    command.set_defaults(run=run)
    command.add_argument(
        "--templates",
        type=Path,
        default=TEMPLATES,
        metavar="DIR",
        help="the folder with the templates, values.yaml and rbac_rules.yaml (default: this repository's)",
    )
    over = command.add_argument_group("values for this time only, over values.yaml")
    over.add_argument("--version", metavar="VERSION", help="semantic version, without v")
    over.add_argument("--image-base", metavar="NAME", help="the operator's image without tag")
    over.add_argument("--image", metavar="IMAGE", help="the operator's image with tag or digest")
    over.add_argument("--digest-file", type=Path, metavar="FILE", help="name that image by the digest in this file")
    over.add_argument("--bundle-image", metavar="IMAGE", help="the bundle's image, as the catalog names it")
    over.add_argument("--channels", type=_channels, metavar="A,B", help="channels of this version")
    over.add_argument("--default-channel", metavar="NAME", help="the package's default channel")
    return command
