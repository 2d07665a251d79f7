# SPDX-License-Identifier: Apache-2.0
"""What a hostile or broken receiver answers: without end, with too much, with nonsense, with nothing."""

from __future__ import annotations

import asyncio
import gzip
from typing import Final

from support.receivers import Answer, says, status


def forever(head: str, piece: bytes, pause: float = 0.0) -> Answer:
    """Says `head`, and then `piece` again and again."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head.encode())
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return answer


def silence() -> Answer:
    async def answer(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    return answer


def ends_after(said: bytes, *, abruptly: bool = False) -> Answer:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        if abruptly:
            writer.transport.abort()
        else:
            await writer.drain()
            writer.close()

    return answer


ACCEPTING: Final = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED: Final = f"{ACCEPTING}Transfer-Encoding: chunked\r\n\r\n"
BOMB: Final = gzip.compress(bytes(200 * 1024 * 1024), compresslevel=1)
"""Two hundred mebibytes in one."""

UNANSWERED: Final[dict[str, Answer]] = {
    "nothing": silence(),
    "the end": ends_after(b""),
    "a reset": ends_after(b"HTTP/1.1 20", abruptly=True),
    "half a status line": ends_after(b"HTTP/1."),
    "no HTTP": ends_after(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    "NULs": ends_after(bytes(1000)),
    "a status that is none": says("HTTP/1.1 9999 What"),
    "a status that is negative": says("HTTP/1.1 -200 What"),
    "another protocol": says("GOPHER/7 200 OK"),
    "a head without end": forever("HTTP/1.1 200 OK\r\n", b"X-Header: x\r\n" * 1000),
    "a header without end": forever("HTTP/1.1 200 OK\r\nX-Header: ", b"x" * 65536),
    "a status line without end": forever("HTTP/1.1 200 ", b"x" * 65536),
    "a head that drips": forever("HTTP/1.1 200 OK\r\n", b"X: y\r\n", 0.05),
    "interim answers without end": forever("", b"HTTP/1.1 102 Processing\r\n\r\n", 0.01),
}
"""Nobody knows what became of the message, and a next attempt may well work."""

ACCEPTED_AND_THEN: Final[dict[str, Answer]] = {
    "a body without end": forever(f"{ACCEPTING}\r\n", b"x" * 65536),
    "chunks without end": forever(CHUNKED, b"10000\r\n" + b"x" * 65536 + b"\r\n"),
    "a chunk that is too large": forever(f"{CHUNKED}ffffffffffff\r\n", b"x" * 65536),
    "a body that is missing": ends_after(f"{ACCEPTING}Content-Length: 1000\r\n\r\n".encode()),
    "a body that drips": forever(f"{ACCEPTING}Content-Length: 100000\r\n\r\n", b"x", 0.02),
    "a bomb": status(200, "Content-Type: application/json", "Content-Encoding: gzip", body=BOMB),
    "a false bomb": status(200, "Content-Encoding: gzip", body=b"not gzip"),
    "an unknown packing": status(200, "Content-Encoding: rot13", body=b"x"),
    "nested lists": status(200, "Content-Type: application/json", body=b"[" * 200_000),
    "an unknown alphabet": status(200, "Content-Type: application/json; charset=klingon", body=b"{}"),
    "what is no text": status(200, "Content-Type: text/plain", body=bytes(range(256))),
}
"""A webhook and Apprise look at the status only; Slack's yes stands in the body."""

HALF_ACCEPTED: Final[dict[str, Answer]] = {
    "half a head": ends_after(b"HTTP/1.1 200 OK\r\nContent-"),
    "a header without a name": says("HTTP/1.1 200 OK\r\n: x\r\nContent-Length: x"),
    "a chunk that is none": ends_after(f"{CHUNKED}zz\r\nxx\r\n".encode()),
}
"""HTTP libraries are of several minds about these."""
