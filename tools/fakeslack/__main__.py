# SPDX-License-Identifier: Apache-2.0
"""`python -m fakeslack`: the server on its own, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Sequence

from fakeslack.server import FakeSlack, Request, loopback


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return asyncio.run(_serve(options))
    except OSError as error:
        sys.stderr.write(f"fakeslack: cannot listen on {options.host}:{options.port}: {error.strerror}; try --port 0\n")
        return 1


def describe(request: Request) -> str:
    """One line for people about a request, without its token."""
    return f"{time.strftime('%H:%M:%S', time.localtime(request.received_at))}  {request.summary()}"


async def _serve(options: argparse.Namespace) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    slack = FakeSlack(
        tokens=options.token,
        channels=options.channel,
        host=options.host,
        port=options.port,
        any_credentials=options.any,
        on_request=(lambda request: _write(describe(request))) if options.print else None,
    )
    async with slack:
        _write(f"SLACK_API_URL={slack.url}")
        await stop.wait()
    return 0


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fakeslack", description="A Slack-compatible server on loopback.")
    parser.add_argument("--host", type=_loopback, default="127.0.0.1", help="loopback address (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) picks a free one and prints it")
    parser.add_argument("--token", action="append", default=[], help="a token that works; repeatable")
    parser.add_argument("--channel", action="append", default=[], help="a channel the bot is in; repeatable")
    parser.add_argument("--any", action="store_true", help="accept every token that starts with xoxb-, every channel")
    parser.add_argument("--print", action="store_true", help="print each message and each refusal")
    return parser


def _loopback(host: str) -> str:
    try:
        return loopback(host)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
