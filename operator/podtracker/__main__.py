# SPDX-License-Identifier: Apache-2.0
"""The command line: `python -m podtracker run`.

Exit codes: 0 stopped as asked; 1 failed, see the log; 2 a flag or an environment variable is wrong; 3 the CRD is
missing; 4 another instance took the lead; 5 a newer version wrote the ledger.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence

from podtracker import __version__, logs, settings
from podtracker.errors import PodTrackerError, SettingsError
from podtracker.redact import Redactor

logger = logging.getLogger("podtracker")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="podtracker",
        description="Tells people, once per occurrence, when their pods start, become ready or fail.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="run the operator",
        description="Run the operator against the cluster of KUBECONFIG, or the one it runs in. Exits 0 after SIGTERM.",
    )
    settings.add_flags(run)
    commands.add_parser("version", help="print the version")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    flags = vars(_parser().parse_args(arguments))
    if flags.pop("command") == "version":
        sys.stdout.write(f"{__version__}\n")
        return 0
    redactor = Redactor()
    try:
        chosen = settings.load(flags, os.environ)
    except SettingsError as error:
        sys.stderr.write(f"podtracker: {error}\n")
        return error.exit_code
    logs.set_up(level=chosen.log_level, form=chosen.log_format, redact=redactor)
    return _run(chosen, redactor)


def _run(chosen: settings.Settings, redactor: Redactor) -> int:
    from podtracker import app  # noqa: PLC0415 - 0.7 s of imports that a wrong flag need not wait for

    try:
        asyncio.run(app.run(chosen, redactor))
    except PodTrackerError as error:
        logger.error("%s", error)  # noqa: TRY400 - foreseen: the sentence says it all
        return error.exit_code
    except Exception:
        logger.exception("ended by a bug")
        return PodTrackerError.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
