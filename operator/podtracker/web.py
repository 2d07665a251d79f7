# SPDX-License-Identifier: Apache-2.0
"""The HTTP side: `/healthz` and `/readyz` on one port, `/metrics` on another."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from aiohttp import web

from podtracker.errors import SettingsError
from podtracker.metrics import CONTENT_TYPE, Metrics

Check = Callable[[], str | None]
"""Gives what is wrong, in a sentence, or None."""


class Address:
    """Where to listen: a host (empty for all) and a port."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port

    def __str__(self) -> str:
        return f"{self.host or '*'}:{self.port}"


def health_app(*, live: Mapping[str, Check], ready: Mapping[str, Check], role: Callable[[], str]) -> web.Application:
    """`/healthz` from `live`, `/readyz` from `ready`: 503 names each check that fails, 200 says the role."""
    app = web.Application()
    app.router.add_get("/healthz", _answer(live, role))
    app.router.add_get("/readyz", _answer(ready, role))
    return app


def metrics_app(metrics: Metrics) -> web.Application:
    """`/metrics` in Prometheus' text format."""

    async def scrape(_: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    app = web.Application()
    app.router.add_get("/metrics", scrape)
    return app


@contextlib.asynccontextmanager
async def serving(app: web.Application, address: Address | None) -> AsyncIterator[None]:
    """Serve while the context lasts; None serves nothing.

    Raises:
        SettingsError: the address cannot be listened on.
    """
    if address is None:
        yield
        return
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, address.host or None, address.port).start()
        except OSError as error:
            raise SettingsError(
                f"cannot listen on {address}: {error.strerror or error}; choose another address, or 0 for none"
            ) from error
        yield
    finally:
        await runner.cleanup()


def _answer(
    checks: Mapping[str, Check], role: Callable[[], str]
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handler(_: web.Request) -> web.StreamResponse:
        problems = [f"{name}: {problem}" for name, check in checks.items() if (problem := check()) is not None]
        if problems:
            return web.Response(status=503, text="\n".join(problems) + "\n")
        return web.Response(text=f"{role()}\n")

    return handler
