# SPDX-License-Identifier: Apache-2.0
"""The program of the Slack pod: fakeslack for every token and channel, reached from other pods.

The tool itself listens on loopback only, because on a developer's machine others could reach it; in a pod of a cluster
that is thrown away, that is what it is for.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from fakeslack.server import FakeSlack

PORT = 8080


async def serve() -> None:
    """Serve until SIGTERM; each request is a line of the log."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    slack = FakeSlack(any_credentials=True, port=PORT, on_request=lambda request: _say(request.summary()))
    slack.scopes.add("channels:history")
    slack.host = "0.0.0.0"  # noqa: S104 - see above
    async with slack:
        await stop.wait()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(serve())
