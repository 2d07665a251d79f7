# SPDX-License-Identifier: Apache-2.0
"""HTTP to the API server with next to no cost of its own: the load must not be what is measured."""

from __future__ import annotations

import asyncio
import base64
import ssl
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

import yaml

_TOO_LARGE: Final = 64 * 1024 * 1024
"""Bytes of a line that asyncio gives up at."""


@dataclass(frozen=True)
class Endpoint:
    """An API server and how one is known to it."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    token: str = ""

    @classmethod
    def of(cls, kubeconfig: Path) -> Self:
        """Read one of the local cluster's kubeconfigs."""
        config = yaml.safe_load(kubeconfig.read_text())
        [cluster] = config["clusters"]
        [user] = config["users"]
        server = urlsplit(cluster["cluster"]["server"])
        authority = base64.b64decode(cluster["cluster"]["certificate-authority-data"]).decode()
        tls = ssl.create_default_context(cadata=authority)
        known = user["user"]
        if "client-certificate-data" in known:
            with tempfile.NamedTemporaryFile() as pem:  # the ssl module reads certificates from files only
                pem.write(base64.b64decode(known["client-certificate-data"]) + b"\n")
                pem.write(base64.b64decode(known["client-key-data"]))
                pem.flush()
                tls.load_cert_chain(pem.name)
        return cls(server.hostname or "", server.port or 443, tls, known.get("token", ""))


class RequestError(Exception):
    """The API server refused."""


class Connection:
    """One keep-alive connection, for one request after the other."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        token = f"Authorization: Bearer {endpoint.token}\r\n" if endpoint.token else ""
        self._common = f"Host: {endpoint.host}:{endpoint.port}\r\nAccept: application/json\r\n{token}"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        self._streams = await asyncio.open_connection(
            self._endpoint.host, self._endpoint.port, ssl=self._endpoint.tls, limit=_TOO_LARGE
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._streams is not None:
            self._streams[1].close()

    async def call(
        self, method: str, path: str, body: bytes = b"", *, content_type: str = "application/json", check: bool = True
    ) -> bytes:
        """Send a request and return its answer's body.

        Raises:
            RequestError: the answer is no success, and `check` is set.
        """
        status, reader, length = await self._ask(method, path, body, content_type)
        answer = (
            await reader.readexactly(length) if length is not None else b"".join([c async for c in _chunks(reader)])
        )
        if check and status >= 300:  # noqa: PLR2004 - the HTTP status itself
            raise RequestError(f"{method} {path}: {status} {answer[:300]!r}")
        return answer

    async def stream(self, path: str) -> AsyncIterator[bytes]:
        """Send a GET whose answer does not end, and give its chunks.

        Raises:
            RequestError: the answer is no stream.
        """
        status, reader, length = await self._ask("GET", path, b"", "application/json")
        if status != 200 or length is not None:  # noqa: PLR2004 - the HTTP status itself
            raise RequestError(f"GET {path}: {status}")
        async for chunk in _chunks(reader):
            yield chunk

    async def _ask(
        self, method: str, path: str, body: bytes, content_type: str
    ) -> tuple[int, asyncio.StreamReader, int | None]:
        if self._streams is None:
            raise RuntimeError("use Connection as an asynchronous context manager")
        reader, writer = self._streams
        head = f"{method} {path} HTTP/1.1\r\n{self._common}"
        if body:
            head += f"Content-Type: {content_type}\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        status = int(answer[9:12])
        _, found, rest = answer.partition(b"content-length:")
        return status, reader, int(rest.split(b"\r\n", 1)[0]) if found else None


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The chunks of a body in HTTP's chunked encoding."""
    while size := int(await reader.readline(), 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readline()
