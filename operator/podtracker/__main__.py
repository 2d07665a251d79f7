# SPDX-License-Identifier: Apache-2.0
"""The command line: `podtracker run` is the operator, the other commands help with trackers.

A command's module is loaded when the command is asked for, so that none pays for another.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from podtracker import __version__, logs, settings
from podtracker.errors import PodTrackerError, SettingsError
from podtracker.redact import Redactor

logger = logging.getLogger("podtracker")

_EXPLAIN_TOPICS: Final = ("event", "filter", "variable")
_SHELLS: Final = ("bash", "fish", "zsh")
_RUN_CODES: Final = (
    "Exit codes: 0 stopped as asked; 1 failed, see the log; 2 a flag or an environment variable is wrong; 3 the CRD is"
    " missing; 4 another instance took the lead; 5 a newer version wrote the ledger."
)
_CHECK_CODES: Final = (
    "Exit codes: 0 every PodTracker is valid, perhaps with warnings; 1 at least one is not, or there is none; 2 a file"
    " cannot be read, or the command line is wrong."
)
_TEST_CODES: Final = (
    "Exit codes: 0 the receiver took the message; 1 it did not, nobody answered in time, or the API server refused; 2"
    " the command line is wrong, or there is no kubeconfig."
)
_HELP_CODES: Final = "Exit codes: 0 printed; 2 the command line is wrong, or there is nothing of that name."


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="podtracker",
        description="Tells people, once per occurrence, when their pods start, become ready or fail.",
        epilog="Each command has its own --help, with its exit codes.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="run the operator",
        description="Run the operator against the cluster of KUBECONFIG, or the one it runs in. Exits 0 after SIGTERM.",
        epilog=_RUN_CODES,
    )
    settings.add_flags(run)
    check = commands.add_parser(
        "check",
        help="check manifests without a cluster",
        description="Say what the API server and the operator would refuse in PodTracker manifests, in their words, and"
        " show the messages of valid ones for an example pod. Other kinds in the files are skipped.",
        epilog=_CHECK_CODES,
    )
    check.add_argument("files", nargs="+", metavar="FILE", help="manifests, YAML or JSON; - for standard input")
    explain = commands.add_parser(
        "explain",
        help="list events, and the variables and filters of messages",
        description="List what can be told of a pod, and what a tracker's own text can use; or explain one of these.",
        epilog=_HELP_CODES,
    )
    explain.add_argument("topic", nargs="?", choices=_EXPLAIN_TOPICS, help="only these")
    explain.add_argument("name", nargs="?", metavar="NAME", help="only this one, such as Ready")
    test = commands.add_parser(
        "test",
        help="send a test message of a tracker",
        description="Ask the operator to send one test message of a tracker, and wait for what becomes of it.",
        epilog=_TEST_CODES,
    )
    test.add_argument("name", metavar="NAME", help="the tracker's name")
    test.add_argument("-n", "--namespace", required=True, help="the tracker's namespace")
    test.add_argument("--timeout", type=_seconds, default=30.0, metavar="SECONDS", help="how long to wait (default 30)")
    completion = commands.add_parser(
        "completion",
        help="print a script that completes these commands in a shell",
        description="Print a script that completes these commands in a shell: source <(podtracker completion bash).",
        epilog=_HELP_CODES,
    )
    completion.add_argument("shell", choices=_SHELLS, help="the shell")
    commands.add_parser("version", help="print the version", description="Print the version.")
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 24 * 3600:
        raise ValueError(text)
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    parser = _parser()
    flags = vars(parser.parse_args(arguments))
    command = flags.pop("command")
    if command == "completion":
        return _completion(parser, flags)
    return _COMMANDS[command](flags)


def _version(_: dict[str, Any]) -> int:
    sys.stdout.write(f"{__version__}\n")
    return 0


def _check(flags: dict[str, Any]) -> int:
    from podtracker.commands import check  # noqa: PLC0415 - see above

    return check.run(flags["files"])


def _explain(flags: dict[str, Any]) -> int:
    from podtracker.commands import explain  # noqa: PLC0415 - see above

    return explain.run(flags["topic"], flags["name"])


def _test(flags: dict[str, Any]) -> int:
    from podtracker.commands import test  # noqa: PLC0415 - see above

    return test.run(flags["name"], flags["namespace"], flags["timeout"])


def _completion(parser: argparse.ArgumentParser, flags: dict[str, Any]) -> int:
    from podtracker.commands import completion  # noqa: PLC0415 - see above

    return completion.run(flags["shell"], parser)


def _run(flags: dict[str, Any]) -> int:
    redactor = Redactor()
    try:
        chosen = settings.load(flags, os.environ)
    except SettingsError as error:
        sys.stderr.write(f"podtracker: {error}\n")
        return error.exit_code
    logs.set_up(level=chosen.log_level, form=chosen.log_format, redact=redactor)
    return _operate(chosen, redactor)


def _operate(chosen: settings.Settings, redactor: Redactor) -> int:
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


_COMMANDS: Final[dict[str, Callable[[dict[str, Any]], int]]] = {
    "run": _run,
    "check": _check,
    "explain": _explain,
    "test": _test,
    "version": _version,
}


if __name__ == "__main__":
    sys.exit(main())
