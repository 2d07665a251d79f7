# SPDX-License-Identifier: Apache-2.0
"""The only fake of the benchmark: an API server that replays a list and a watch of as many pods as it is told.

A real one would need an hour and gigabytes to hold 100,000 pods. It serves what the operator asks for at its start, and
takes what it writes. It prints its port, and then serves until it is ended.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from benchmark import podbodies
from benchmark.stage import CROWD, tracker_of
from devcluster import ports

_STATUS: Final = json.loads(podbodies.running(0))["status"]
_UID: Final = "00000000-0000-4000-8000-{:012x}"
_VERSION: Final = 1_000_000
_GROUP: Final = "pod-tracker.lost.backend/v1"
_BOOKMARK_EVERY: Final = 20.0
_KIND: Final = {
    "name": "podtrackers",
    "singularName": "podtracker",
    "kind": "PodTracker",
    "namespaced": True,
    "verbs": ["get", "list", "watch", "patch"],
}
_VERSIONS: Final = {"groupVersion": _GROUP, "version": "v1"}
_DISCOVERY: Final[dict[str, Any]] = {
    "/api": {"versions": ["v1"]},
    "/api/v1": {"resources": []},
    "/apis": {"groups": [{"name": "pod-tracker.lost.backend", "versions": [_VERSIONS], "preferredVersion": _VERSIONS}]},
    f"/apis/{_GROUP}": {"resources": [_KIND]},
}
"""What kopf looks at when it starts."""


def _template() -> bytes:
    """A stored pod, with places for name, uid and resourceVersion."""
    pod = json.loads(podbodies.body("@name@", {"crowd": "yes"}))
    pod["metadata"] |= {
        "namespace": CROWD,
        "uid": "@uid@",
        "resourceVersion": "@version@",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        # What the API server keeps beside what was sent; it fills a stored pod to 7 to 8 KB.
        "managedFields": [{"manager": "fake", "operation": "Update", "fieldsV1": {"f:spec": {"x" * 2000: {}}}}],
    }
    return json.dumps({**pod, "status": _STATUS}, separators=(",", ":")).encode()


class FakeServer:
    """Pods, and one tracker that means all of them or none."""

    def __init__(self, pods: int, *, matching: bool, hook: str) -> None:
        self._pods = pods
        self._hook = hook
        self._template = _template()
        tracker = tracker_of("all", crowd="yes" if matching else "no")
        tracker["metadata"] |= {
            "namespace": CROWD,
            "uid": _UID.format(0xFFFFFF),
            "resourceVersion": "1",
            "generation": 1,
            "creationTimestamp": "2026-01-02T00:00:00Z",
        }
        self._tracker = tracker
        self._maps: dict[str, dict[str, Any]] = {}

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=16 * 1024 * 1024)
        own = "/{api:api|apis}/{group:.*}namespaces/{namespace}/{kind:configmaps|leases}/{name}"
        app.router.add_get("/api/v1/pods", self._list_pods)
        for path, answer in _DISCOVERY.items():
            app.router.add_get(path, _answering(answer))
        app.router.add_get(f"/apis/{_GROUP}/podtrackers", self._list_trackers)
        app.router.add_patch(f"/apis/{_GROUP}/namespaces/{{namespace}}/podtrackers/{{name}}/status", self._accept)
        app.router.add_get("/api/v1/namespaces/{namespace}/secrets/{name}", self._secret)
        app.router.add_post("/api/v1/namespaces/{namespace}/events", self._accept)
        app.router.add_get(own, self._get_own)
        app.router.add_patch(own, self._patch_own)
        return app

    async def _list_pods(self, request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            return await self._watch(request, "Pod")
        start = int(request.query.get("continue", 0))
        end = min(self._pods, start + int(request.query.get("limit", 500)))
        pods = b",".join(self._pod(number) for number in range(start, end))
        more = f',"continue":"{end}"' if end < self._pods else ""
        head = f'{{"kind":"PodList","apiVersion":"v1","metadata":{{"resourceVersion":"{_VERSION}"{more}}},"items":['
        return web.Response(body=head.encode() + pods + b"]}", content_type="application/json")

    def _pod(self, number: int) -> bytes:
        known = self._template.replace(b"@name@", b"crowd-5d59d67564-%06x" % number)
        known = known.replace(b"@uid@", _UID.format(number).encode())
        return known.replace(b"@version@", b"%d" % number)

    async def _watch(self, request: web.Request, kind: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while True:
            mark = {"kind": kind, "metadata": {"resourceVersion": str(_VERSION), "creationTimestamp": None}}
            await response.write(json.dumps({"type": "BOOKMARK", "object": mark}).encode() + b"\n")
            await asyncio.sleep(_BOOKMARK_EVERY)

    async def _list_trackers(self, request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            return await self._watch(request, "PodTracker")
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": [self._tracker]})

    async def _secret(self, _: web.Request) -> web.Response:
        return web.json_response({"data": {"url": self._hook}})

    async def _accept(self, _: web.Request) -> web.Response:
        return web.json_response({})

    async def _get_own(self, request: web.Request) -> web.Response:
        known = self._maps.get(request.path)
        if known is None:
            return web.json_response({"code": 404, "reason": "NotFound", "message": "there is none"}, status=404)
        return web.json_response(known)

    async def _patch_own(self, request: web.Request) -> web.Response:
        sent: dict[str, Any] = json.loads(await request.read())
        known = self._maps.setdefault(request.path, {"metadata": {"resourceVersion": "0"}})
        for part in ("spec", "data", "binaryData"):
            merged = known.get(part, {}) | sent.get(part, {})
            known[part] = {key: value for key, value in merged.items() if value is not None}
        known["metadata"] = {"resourceVersion": str(int(known["metadata"]["resourceVersion"]) + 1)}
        return web.json_response(known)


def _answering(answer: dict[str, Any]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response(answer)

    return handler


async def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pods", type=int, required=True)
    parser.add_argument("--matching", action="store_true")
    chosen = parser.parse_args()
    runner = web.AppRunner(FakeServer(chosen.pods, matching=chosen.matching, hook="aHR0cDovLzEyNy4wLjAuMTo5Lw==").app())
    await runner.setup()
    site = web.TCPSite(runner, ports.LOOPBACK, ports.choose(1)[0], shutdown_timeout=0.1)
    await site.start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
