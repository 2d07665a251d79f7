# SPDX-License-Identifier: Apache-2.0
"""The command line: `python -m kindnode build|up|down|status`."""

import argparse
import shlex
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Final, Never

from devcluster.cache import cache_root
from devcluster.errors import ClusterError, sentence
from devcluster.progress import to_stderr
from kindnode.cluster import Cluster

EXIT_FAILED: Final = 1
EXIT_NOT_UP: Final = 3

_DESCRIPTION: Final = """\
A kind cluster. Where docker or podman can pull kindest/node images (K8S_IMAGE names another than the usual one), from
such an image. Else, as root on Debian 12, from an image that is made of Go modules and Debian packages, once, and kept
with everything else in ${XDG_CACHE_HOME:-~/.cache}/pod-tracker; then the machine's own container configuration, images
and containers are neither used nor changed.
"""


class _StoppedError(BaseException):
    """A signal asked this command to end; not an Exception, so that nothing but the clean-up handles it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1 with a sentence on stderr, or 3 from `status` when none is up."""
    args = _parser().parse_args(argv)
    before = {number: signal.signal(number, _stop) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        return _run(args)
    except ClusterError as exc:
        to_stderr(str(exc))
    except OSError as exc:
        to_stderr(sentence(exc, cache_root()))
    except _StoppedError as exc:
        to_stderr("Stopped; nothing that was begun is left running. The same command again goes on from here.")
        return 128 + exc.number
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return EXIT_FAILED


def _run(args: argparse.Namespace) -> int:
    cluster = Cluster(progress=to_stderr)
    if args.command == "build":
        cluster.chosen.node.ensure(install=args.install)
        _write(cluster.chosen.node.name)
    elif args.command == "up":
        info = cluster.up(install=args.install)
        _write(f"export KUBECONFIG={shlex.quote(str(info.kubeconfig))}")
    elif args.command == "down":
        _write("The cluster is down." if cluster.down() else "No cluster is up.")
    else:
        running = cluster.status()
        if running is None:
            _write("No cluster is up.")
            return EXIT_NOT_UP
        _write(f"version: {running.version}\nkubeconfig: {running.kubeconfig}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kindnode", description=_DESCRIPTION)
    commands = parser.add_subparsers(dest="command", required=True, metavar="build|up|down|status")
    build = commands.add_parser("build", help="make the node image only")
    up = commands.add_parser("up", help="start the cluster, or say that it is up")
    for command in (build, up):
        command.add_argument(
            "--install", action="store_true", help="install missing Debian packages; the default where CI=true"
        )
    commands.add_parser("down", help="end the cluster")
    commands.add_parser("status", help="show the cluster; exit code 3 when none is up")
    return parser


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _stop(number: int, _: FrameType | None) -> Never:
    raise _StoppedError(number)


if __name__ == "__main__":
    sys.exit(main())
