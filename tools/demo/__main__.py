# SPDX-License-Identifier: Apache-2.0
"""`python -m demo`: see the package. Exit status: 0 the message was shown, 1 it was not, 2 asked for nonsense."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final, Never

from demo.cluster import DemoCluster, cluster_for_demo
from demo.console import Console
from demo.errors import DemoError, UsageError
from demo.lock import only_demo
from demo.play import Play
from demo.settings import Settings
from demo.stage import Checkout
from devcluster.errors import ClusterError, sentence

FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _StoppedError(BaseException):
    """A signal asked the demo to end; not an Exception, so that nothing but the clean-up handles it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit status."""
    try:
        settings = Settings.parse(sys.argv[1:] if arguments is None else arguments, os.environ, interactive=_on_tty())
    except UsageError as error:
        sys.stderr.write(f"demo: {error}\n")
        return USAGE
    console = Console(secret=settings.slack.token if settings.slack else "")
    for number in _SIGNALS:
        signal.signal(number, _stop)
    try:
        with only_demo(settings.folder / "lock"), cluster_for_demo(settings.cluster, console.say) as cluster:
            _play(settings, cluster, console)
    except (DemoError, ClusterError) as error:
        console.say(f"The demo failed: {error}")
        return FAILED
    except OSError as error:
        console.say(f"The demo failed: {sentence(error, settings.folder)}")
        return FAILED
    except _StoppedError:
        console.say("Stopped before the message came; nothing that the demo started is left running.")
        return INTERRUPTED
    console.say("Done.")
    return 0


def _play(settings: Settings, cluster: DemoCluster, console: Console) -> None:
    play = Play(settings, cluster, console, Checkout(Path(__file__).resolve().parents[2]))
    stopped = asyncio.run(_until_stopped(play, console))
    if stopped and not play.shown:
        raise _StoppedError


async def _until_stopped(play: Play, console: Console) -> bool:
    """Perform; tell whether a signal ended it. A second signal cuts the clean-up short."""
    performance = asyncio.create_task(play.run())

    def stop() -> None:
        performance.cancel()
        console.say("Cleaning up")

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        await asyncio.wait((performance,))
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, _stop)
    if performance.cancelled():
        return True
    performance.result()
    return False


def _on_tty() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _stop(_number: int, _frame: FrameType | None) -> Never:
    raise _StoppedError


if __name__ == "__main__":
    sys.exit(main())
