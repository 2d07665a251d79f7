# SPDX-License-Identifier: Apache-2.0
"""The command line: `python -m devcluster up|down|status|build`."""

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Final, Never

from devcluster.binaries import ensure_binaries
from devcluster.cache import cache_root
from devcluster.choose import VARIABLE, Kind, requested
from devcluster.clusters import Clusters, Info
from devcluster.errors import ClusterError, sentence
from devcluster.progress import Progress, to_stderr

EXIT_FAILED: Final = 1
EXIT_NOT_UP: Final = 3

_DESCRIPTION: Final = """\
A cluster to try PodTracker on. Everything lies in ${XDG_CACHE_HOME:-~/.cache}/pod-tracker and listens on loopback only.
"""
_KIND_HELP: Final = f"""\
auto: kind where it works, else local. local: etcd, kube-apiserver, kube-controller-manager and kube-scheduler, built
once from pinned sources; no nodes, so pods stay Pending. kind: nodes in Docker or Podman containers. current: what your
KUBECONFIG points at; starts and changes nothing, never chosen by auto. Default: ${VARIABLE}, else auto.
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
        return _COMMANDS[args.command](args)
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


def _up(args: argparse.Namespace) -> int:
    info = Clusters(progress=to_stderr).up(requested(args.kind, os.environ), port=args.port)
    _show(info, to_stderr)
    if info.kubeconfig is not None:  # alone on stdout, so that `eval "$(…)"` sets it
        _write(f"export KUBECONFIG={shlex.quote(str(info.kubeconfig))}")
    return 0


def _down(args: argparse.Namespace) -> int:
    if requested(args.kind, os.environ) is Kind.CURRENT:
        _write("The current cluster is yours: nothing was started, so nothing is ended.")
        return 0
    ended = Clusters(progress=to_stderr).down()
    _write("The cluster is down and its data are removed." if ended else "No cluster is up.")
    return 0


def _status(args: argparse.Namespace) -> int:
    info = Clusters(progress=to_stderr).status(requested(args.kind, os.environ))
    if info is None:
        _write("No cluster is up.")
        return EXIT_NOT_UP
    _show(info, _write)
    return 0


def _build(_: argparse.Namespace) -> int:
    for path in ensure_binaries(to_stderr).paths():
        _write(str(path))
    return 0


_COMMANDS: Final = {"up": _up, "down": _down, "status": _status, "build": _build}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m devcluster", description=_DESCRIPTION)
    commands = parser.add_subparsers(dest="command", required=True, metavar="up|down|status|build")
    up = commands.add_parser("up", help="start a cluster, or say that it is up", description="Start a cluster.")
    up.add_argument("--port", type=_port, help="port of the local cluster's API server (default: a free one)")
    down = commands.add_parser("down", help="end the cluster and remove its data", description="End the cluster.")
    status = commands.add_parser(
        "status", help="show the cluster; exit code 3 when none is up", description="Show the cluster that is up."
    )
    commands.add_parser(
        "build",
        help="build the local cluster's programs only",
        description="Build the programs of the local cluster into the cache folder: 9 minutes on 2 cores, once.",
    )
    for command in (up, down, status):
        command.add_argument("--kind", metavar="|".join(Kind), help=_KIND_HELP)
    return parser


def _port(text: str) -> int:
    highest = 65535
    if not (text.isdecimal() and 0 < int(text) <= highest):
        msg = f"{text!r} is no port: give a number from 1 to {highest}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _show(info: Info, write: Progress) -> None:
    write(f"kind: {info.kind}")
    write(f"context: {info.context}")
    write(f"server: {info.server}")
    write(f"version: {info.version}")
    for name, pid in sorted(info.pids.items()):
        write(f"pid: {pid} {name}")


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _stop(number: int, _: FrameType | None) -> Never:
    raise _StoppedError(number)


if __name__ == "__main__":
    sys.exit(main())
