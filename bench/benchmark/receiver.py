# SPDX-License-Identifier: Apache-2.0
"""The receiver of all systems' messages, in a process of its own: it accepts at once, and notes when each came.

`GET /stamps` gives names of pods and times of the monotonic clock; `DELETE /stamps` forgets them.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from typing import Final

from devcluster import ports

_NAME: Final = re.compile(rb'"subject": ?"pods/([^"]+)"')
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_ACCEPTED: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Receiver(asyncio.Protocol):
    """One connection."""

    stamps: Final[list[tuple[float, bytes]]] = []
    """What came on all of them, and when."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what answers are written to."""
        if isinstance(transport, asyncio.WriteTransport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete."""
        now = time.monotonic()
        self._buffer += data
        while (request := self._next()) is not None:
            head, body = request
            answer = _ACCEPTED
            if head.startswith(b"POST"):
                self.stamps.append((now, body))
            elif head.startswith(b"DELETE"):
                self.stamps.clear()
            else:
                found = [(_name(body), stamp) for stamp, body in self.stamps]
                text = json.dumps(found).encode()
                answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)
            if self._transport is not None:
                self._transport.write(answer)

    def _next(self) -> tuple[bytes, bytes] | None:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return None
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if len(rest) < size:
            return None
        self._buffer = rest[size:]
        return head, rest[:size]


def _name(body: bytes) -> str:
    found = _NAME.search(body)
    return found[1].decode() if found else ""


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Receiver, ports.LOOPBACK, ports.choose(1)[0])
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
