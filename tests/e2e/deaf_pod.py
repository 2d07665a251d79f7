# SPDX-License-Identifier: Apache-2.0
"""The program of a pod that stands between the operator and the API server: on demand, watches of pods bring nothing.

All else goes through, new watches too: they are accepted and stay silent, which is what a broken load balancer does.
"""

from __future__ import annotations

import asyncio
import re
import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

PORT = 8443
CONTROL_PORT = 8080
CERTIFICATE = Path("/tls")
"""Folder of the certificate that the operator is shown."""
TRUST = Path("/trust")
"""Folder of the certificate of whom to trust for the API server."""

_API_SERVER = "https://kubernetes.default.svc"
_PODS = re.compile(r"/api/v1/(namespaces/[^/]+/)?pods")
_HOP = frozenset({"accept-encoding", "connection", "content-length", "host", "keep-alive", "transfer-encoding"})


class DeafProxy:
    """Passes requests on, with the credentials they carry."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        """Args: session: the way to the API server."""
        self._session = session
        self._hearing = asyncio.Event()
        self._hearing.set()

    async def control(self, request: web.Request) -> web.Response:
        """Make watches deaf, `/deaf`, or let them hear again, `/hearing`."""
        if request.path == "/deaf":
            self._hearing.clear()
        else:
            self._hearing.set()
        return web.json_response({"hearing": self._hearing.is_set()})

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer as the API server does."""
        body = await request.read()
        headers = _passed(request.headers) | {"Accept-Encoding": "identity"}
        target = _API_SERVER + request.raw_path
        muted = "watch" in request.query and _PODS.fullmatch(request.path) is not None
        async with self._session.request(request.method, target, headers=headers, data=body or None) as answer:
            response = web.StreamResponse(status=answer.status, headers=_passed(answer.headers))
            response.enable_chunked_encoding()
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                if muted:
                    await self._hearing.wait()
                await response.write(chunk)
            await response.write_eof()
            return response


def _passed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _HOP}


async def serve() -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    trust = ssl.create_default_context(cafile=str(TRUST / "ca.crt"))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(CERTIFICATE / "tls.crt", CERTIFICATE / "tls.key")
    connector = aiohttp.TCPConnector(ssl=trust, limit=0)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
        proxy = DeafProxy(session)
        async with _listening(proxy.serve, PORT, tls), _listening(proxy.control, CONTROL_PORT, None):
            await stop.wait()


@asynccontextmanager
async def _listening(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]], port: int, tls: ssl.SSLContext | None
) -> AsyncIterator[None]:
    app = web.Application(client_max_size=16 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "0.0.0.0", port, ssl_context=tls).start()  # noqa: S104 - other pods shall reach it
        yield
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve())
