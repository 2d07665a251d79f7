# SPDX-License-Identifier: Apache-2.0
"""Probes and metrics over HTTP, on loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer

from devcluster import ports
from podtracker.errors import SettingsError
from podtracker.metrics import Metrics
from podtracker.web import Address, Check, health_app, metrics_app, serving


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def served(app: web.Application) -> TestClient[web.Request, web.Application]:
    return TestClient(TestServer(app, host=ports.LOOPBACK, port=ports.choose(1)[0]))


def says(problem: str | None) -> Check:
    return lambda: problem


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [("/healthz", 503, "loop: 12 s late\n"), ("/readyz", 503, "watch: no list\ntrackers: not yet\n"), ("/", 404, None)],
)
async def test_what_fails_is_named(path: str, status: int, text: str | None) -> None:
    live = {"loop": says("12 s late"), "watch": says(None)}
    ready = {"watch": says("no list"), "trackers": says("not yet"), "other": says(None)}
    async with served(health_app(live=live, ready=ready, role=lambda: "leader")) as client:
        answer = await client.get(path)
        assert answer.status == status
        assert text is None or await answer.text() == text


async def test_what_is_well_says_its_role() -> None:
    role = ["standby"]
    async with served(health_app(live={}, ready={"a": says(None)}, role=lambda: role[0])) as client:
        for path in ("/healthz", "/readyz"):
            answer = await client.get(path)
            assert (answer.status, await answer.text()) == (200, "standby\n")
        role[0] = "leader"
        assert await (await client.get("/readyz")).text() == "leader\n"


async def test_checks_are_made_at_every_request() -> None:
    problems: list[str | None] = ["late", None]
    async with served(health_app(live={"x": problems.pop}, ready={}, role=lambda: "leader")) as client:
        assert (await client.get("/healthz")).status == 200
        assert (await client.get("/healthz")).status == 503


async def test_metrics_are_served_as_prometheus_wants_them() -> None:
    metrics = Metrics()
    metrics.lists.labels("start").inc()
    async with served(metrics_app(metrics)) as client:
        answer = await client.get("/metrics")
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert 'pod_tracker_pod_lists_total{cause="start"} 1.0' in await answer.text()


async def test_serving_lasts_as_long_as_its_context() -> None:
    port = ports.choose(1)[0]
    app = health_app(live={}, ready={}, role=lambda: "leader")
    async with ClientSession() as session:
        async with serving(app, Address("127.0.0.1", port)):
            answer = await session.get(f"http://127.0.0.1:{port}/healthz")
            assert answer.status == 200
        with pytest.raises(OSError, match="Cannot connect"):
            await session.get(f"http://127.0.0.1:{port}/healthz")


async def test_serving_nothing() -> None:
    async with serving(health_app(live={}, ready={}, role=str), None):
        pass


async def test_a_taken_port_is_a_wrong_setting(taken: int) -> None:
    with pytest.raises(SettingsError, match=rf"cannot listen on 127\.0\.0\.1:{taken}: .*choose another"):
        async with serving(health_app(live={}, ready={}, role=str), Address("127.0.0.1", taken)):
            raise AssertionError("it served")


@pytest.mark.parametrize(
    ("address", "text"), [(Address("", 8080), "*:8080"), (Address("127.0.0.1", 1), "127.0.0.1:1")], ids=str
)
def test_an_address_reads_as_it_is_written(address: Address, text: str) -> None:
    assert str(address) == text
