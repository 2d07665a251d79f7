# SPDX-License-Identifier: Apache-2.0
"""Free TCP ports on loopback."""

import random
import socket
from pathlib import Path
from typing import Final

LOOPBACK: Final = "127.0.0.1"

_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST: Final = 20000
_ATTEMPTS: Final = 200


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this port of loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Go's servers do: TIME_WAIT is no hindrance
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def choose(count: int) -> list[int]:
    """Choose different free ports.

    They lie below the range from which the kernel serves outgoing connections and port 0, so that an API server that is
    stopped and started again finds its port free; and machines drop packets to single ports of that range (seen:
    127.0.0.1:45091, on which one could listen and which nobody could reach). Nothing reserves them: somebody else may
    be faster, so callers retry.

    Raises:
        OSError: there are no free ports.
    """
    highest = _first_ephemeral() - 1
    chosen: list[int] = []
    for _ in range(_ATTEMPTS):
        port = random.randint(_LOWEST, highest)  # noqa: S311 - a port number is no secret
        if port not in chosen and is_free(port):
            chosen.append(port)
        if len(chosen) == count:
            return chosen
    msg = f"no {count} free ports between {_LOWEST} and {highest} of {LOOPBACK}"
    raise OSError(msg)


def _first_ephemeral() -> int:
    fallback = 32768
    try:
        first = int(_EPHEMERAL_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return fallback
    return first if first > _LOWEST + _ATTEMPTS else fallback
