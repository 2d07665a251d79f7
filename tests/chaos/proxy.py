# SPDX-License-Identifier: Apache-2.0
"""A reverse proxy between an operator and the API server: it records what it passes on, and does harm on demand."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec
import yaml
from aiohttp import web
from yarl import URL

from chaos.recorder import Recorder
from devcluster import ports

_PODS: Final = re.compile(r"/api/v1/(namespaces/[^/]+/)?pods")
_READS: Final = frozenset({"GET", "HEAD"})
_HOP: Final = frozenset(
    {"accept-encoding", "connection", "content-length", "host", "keep-alive", "transfer-encoding", "upgrade"}
)
_BODY_LIMIT: Final = 16 * 1024 * 1024
_GONE: Final = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Failure",
    "message": "too old resource version: forced by the chaos proxy",
    "reason": "Expired",
    "code": 410,
}


class Proxy:
    """One operator's way to the API server, without TLS on the operator's side; an asynchronous context manager.

    The port stays the same over `stop` and `start`; what was recorded stays too.
    """

    def __init__(self, server: str, ca_file: Path, recorder: Recorder) -> None:
        """Args: server: URL of the API server; ca_file: whom to trust for it."""
        self.recorder = recorder
        self.expire_continues = 0
        """So many lists of pods will get `410 Gone` for their `continue`."""
        self.expire_watches = 0
        """So many watches of pods will get an ERROR event with `410 Gone` as their first and last line."""
        self.lose_replies: dict[str, int] = {}
        """So many writes to paths that contain the key will reach the API server without the operator hearing of it."""
        self.lost_replies = 0
        """How often that has happened."""
        self._upstream = URL(server)
        self._ca_file = ca_file
        self._port = 0
        self._open = asyncio.Event()
        self._open.set()
        self._hearing = asyncio.Event()
        self._hearing.set()
        self._streams: set[asyncio.Transport] = set()
        self._background: set[asyncio.Task[tuple[aiohttp.ClientResponse, bytes] | None]] = set()
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Start to listen."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close everything."""
        await self.stop()

    async def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        trust = ssl.create_default_context(cafile=str(self._ca_file))
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trust, limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            auto_decompress=False,
        )
        app = web.Application(client_max_size=_BODY_LIMIT)
        app.router.add_route("*", "/{path:.*}", self._serve)
        # handler_cancellation closes the watches of an operator that was killed.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        # Not an ephemeral port: between stop and start nobody else gets it for an outgoing connection.
        self._port = self._port or ports.choose(1)[0]
        await web.TCPSite(self._runner, ports.LOOPBACK, self._port, reuse_address=True).start()

    async def stop(self) -> None:
        """Close the port and all connections: connections are refused from now on."""
        self.cut()
        runner, self._runner = self._runner, None
        session, self._session = self._session, None
        if runner is not None:
            await runner.cleanup()
        if self._background:
            await asyncio.wait(self._background, timeout=5)
        if session is not None:
            await session.close()

    @property
    def url(self) -> str:
        """Where the operator finds it."""
        return f"http://{ports.LOOPBACK}:{self._port}"

    def kubeconfig(self, path: Path, like: Path) -> Path:
        """Write a kubeconfig to `path` that leads here, with the credentials of `like`; return `path`."""
        config: dict[str, Any] = yaml.safe_load(like.read_text())
        for entry in config["clusters"]:
            entry["cluster"] = {"server": self.url}
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))
        return path

    # harm

    def cut(self) -> None:
        """Break all watches, in the middle of whatever they are doing."""
        for transport in list(self._streams):
            transport.abort()

    def blackhole(self, *, on: bool) -> None:
        """Keep all connections open and let nothing through, or stop doing that."""
        if on:
            self._open.clear()
        else:
            self._open.set()

    def deafen(self, *, on: bool) -> None:
        """Keep the watches of pods open, new ones too, and let none of them bring anything; or stop doing that."""
        if on:
            self._hearing.clear()
        else:
            self._hearing.set()

    def _forced(self, http: web.Request) -> web.StreamResponse | None:
        if self.expire_continues and http.query.get("continue"):
            self.expire_continues -= 1
            self.recorder.expired.append("forced continue")
            return web.json_response(_GONE, status=410)
        if self.expire_watches and _is_watch(http):
            self.expire_watches -= 1
            self.recorder.expired.append("forced watch")
            return web.Response(text=json.dumps({"type": "ERROR", "object": _GONE}) + "\n", headers=_JSON)
        return None

    def _loses(self, path: str) -> bool:
        for part, left in self.lose_replies.items():
            if left and part in path:
                self.lose_replies[part] = left - 1
                self.lost_replies += 1
                return True
        return False

    # serving

    async def _serve(self, http: web.Request) -> web.StreamResponse:
        try:
            return await self._pass(http)
        except msgspec.DecodeError as error:
            self.recorder.unread.append(f"{http.method} {http.path}: {error}")
            raise

    async def _pass(self, http: web.Request) -> web.StreamResponse:
        await self._open.wait()
        of_pods = _PODS.fullmatch(http.path) is not None
        if of_pods and (forced := self._forced(http)) is not None:
            return forced
        body = await http.read()
        if http.method in _READS and _is_watch(http):
            return await self._watch(http, of_pods=of_pods)
        # What has left the operator reaches the API server, whatever becomes of the operator meanwhile.
        task = asyncio.create_task(self._fetch(http, body))
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        fetched = await asyncio.shield(task)
        await self._open.wait()
        if fetched is None or (http.method not in _READS and self._loses(http.path)):
            return _dropped(http)
        upstream, content = fetched
        response = web.Response(status=upstream.status, headers=_passed(upstream.headers), body=content)
        if of_pods and upstream.status == 200:
            await response.prepare(http)
            await response.write_eof()
            self.recorder.saw_list(content)
        elif of_pods and upstream.status == 410:
            self.recorder.expired.append("list")
        return response

    async def _fetch(self, http: web.Request, body: bytes) -> tuple[aiohttp.ClientResponse, bytes] | None:
        status = 0
        try:
            async with self._request(http, body) as upstream:
                content = await upstream.read()
                status = upstream.status
                return upstream, content
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None
        finally:
            if http.method not in _READS:
                self.recorder.saw_write(http.method, http.path, len(body), status)

    async def _watch(self, http: web.Request, *, of_pods: bool) -> web.StreamResponse:
        transport = http.transport
        assert transport is not None
        self._streams.add(transport)
        try:
            if of_pods:
                await self._hearing.wait()
            async with self._request(http, b"") as upstream:
                if of_pods and upstream.status == 410:
                    self.recorder.expired.append("watch")
                response = web.StreamResponse(status=upstream.status, headers=_passed(upstream.headers))
                response.enable_chunked_encoding()
                await response.prepare(http)
                rest = b""
                async for chunk in upstream.content.iter_any():
                    await self._open.wait()
                    if of_pods:
                        await self._hearing.wait()
                    await response.write(chunk)
                    if of_pods and upstream.status == 200:
                        *lines, rest = (rest + chunk).split(b"\n")
                        for line in lines:
                            self.recorder.saw_event(line)
                await response.write_eof()
                return response
        except (aiohttp.ClientError, TimeoutError, OSError):
            return _dropped(http)
        finally:
            self._streams.discard(transport)

    def _request(self, http: web.Request, body: bytes) -> Any:
        if self._session is None:
            raise ConnectionError("the proxy is stopped")
        target = self._upstream.join(URL(http.raw_path, encoded=True))
        # A body without compression can be read on its way.
        headers = _passed(http.headers) | {"Accept-Encoding": "identity"}
        return self._session.request(http.method, target, headers=headers, data=body or None, allow_redirects=False)


_JSON: Final = {"Content-Type": "application/json"}


def _is_watch(http: web.Request) -> bool:
    return http.query.get("watch", "").lower() in {"1", "true"}


def _passed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _HOP}


def _dropped(http: web.Request) -> web.StreamResponse:
    if isinstance(http.transport, asyncio.Transport):
        http.transport.abort()
    return web.Response(status=500)  # goes nowhere: the connection is closed
