# SPDX-License-Identifier: Apache-2.0
"""The Kubernetes client against a small API server on loopback: its requests, and what becomes of each answer."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import json
import logging
import traceback
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import incluster_config, kube_config

from devcluster import ports
from podtracker.errors import KubeError, SettingsError
from podtracker.kube import KubeClient
from podtracker.metrics import Metrics
from unit.podtracker.builders import SECRET, page, pod_body, tracker_body, watch_line

Answer = web.StreamResponse | Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeApiServer:
    """Answers in turn, and records what it was asked."""

    def __init__(self) -> None:
        self.answers: deque[Answer] = deque()
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        """Method, path, query and body."""
        self.headers: list[dict[str, str]] = []
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._serve)
        self.server = TestServer(app, host=ports.LOOPBACK, port=ports.choose(1)[0])

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        self.requests.append((request.method, request.path, dict(request.query), json.loads(raw) if raw else None))
        self.headers.append(dict(request.headers))
        answer = self.answers.popleft()
        return answer if isinstance(answer, web.StreamResponse) else await answer(request)


class Scene:
    """An API server and a client that knows it."""

    def __init__(self, api: FakeApiServer, kube: KubeClient, metrics: Metrics) -> None:
        self.api = api
        self.kube = kube
        self.metrics = metrics

    def counted(self, method: str, code: str) -> float:
        labels = {"method": method, "code": code}
        return self.metrics.registry.get_sample_value("pod_tracker_api_requests_total", labels) or 0.0


@pytest.fixture(scope="module")
def authority() -> str:
    """A certificate to trust. It spares each client the loading of the system's, 20 ms."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nobody")])
    began = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(began)
        .not_valid_after(began + dt.timedelta(days=36_500))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture
async def scene(authority: str) -> AsyncIterator[Scene]:
    api, metrics = FakeApiServer(), Metrics()
    async with api.server:
        configuration = Configuration(
            host=str(api.server.make_url("")).rstrip("/"),
            ca_cert_data=authority,
            api_key={"BearerToken": SECRET},
            api_key_prefix={"BearerToken": "Bearer"},
        )
        async with KubeClient(configuration, metrics, namespace="own") as kube:
            yield Scene(api, kube, metrics)


def says(body: Any, status: int = 200, **headers: str) -> web.Response:
    return web.json_response(body, status=status, headers=headers)


def status(code: int, reason: str, message: str = "a sentence") -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }


def everything(error: BaseException) -> str:
    shown = ["".join(traceback.format_exception(error))]
    behind: BaseException | None = error
    while behind is not None:
        shown += [str(behind), repr(behind), repr(behind.args)]
        behind = behind.__cause__ or behind.__context__
    return "\n".join(shown)


async def failure(call: Awaitable[Any]) -> KubeError:
    with pytest.raises(KubeError) as caught:
        await call
    assert SECRET not in everything(caught.value)
    return caught.value


# requests


async def test_every_request_carries_the_token_and_says_who_asks(scene: Scene) -> None:
    scene.api.answers.append(web.Response(body=page()))
    await scene.kube.list_pods(None, limit=5, continue_token="")
    (headers,) = scene.api.headers
    assert headers["Authorization"] == f"Bearer {SECRET}"
    assert headers["User-Agent"].startswith("pod-tracker/")
    assert headers["Accept"] == "application/json"
    assert await scene.kube.bearer_token() == SECRET


@pytest.mark.parametrize(
    ("namespace", "path"), [(None, "/api/v1/pods"), ("team", "/api/v1/namespaces/team/pods")], ids=["all", "one"]
)
async def test_listing_pods(namespace: str | None, path: str, scene: Scene) -> None:
    raw = page([pod_body("a")], token="next")
    scene.api.answers.extend([web.Response(body=raw), web.Response(body=raw)])
    assert await scene.kube.list_pods(namespace, limit=500, continue_token="") == raw
    await scene.kube.list_pods(namespace, limit=10, continue_token="to ken", field_selector="metadata.name=a")
    assert scene.api.requests == [
        ("GET", path, {"limit": "500"}, None),
        ("GET", path, {"limit": "10", "continue": "to ken", "fieldSelector": "metadata.name=a"}, None),
    ]
    assert scene.counted("GET", "200") == 2


async def test_listing_trackers_follows_the_pages(scene: Scene) -> None:
    one, two = tracker_body(uid="t1"), tracker_body(uid="t2")
    scene.api.answers.append(says({"metadata": {"continue": "next", "resourceVersion": "1"}, "items": [one]}))
    scene.api.answers.append(says({"metadata": {"resourceVersion": "1"}, "items": [two]}))
    assert await scene.kube.list_trackers("team") == [one, two]
    path = "/apis/pod-tracker.lost.backend/v1/namespaces/team/podtrackers"
    assert scene.api.requests == [
        ("GET", path, {"limit": "500"}, None),
        ("GET", path, {"limit": "500", "continue": "next"}, None),
    ]


async def test_listing_all_trackers(scene: Scene) -> None:
    scene.api.answers.append(says({"metadata": {}, "items": []}))
    assert await scene.kube.list_trackers(None) == []
    assert scene.api.requests[0][1] == "/apis/pod-tracker.lost.backend/v1/podtrackers"


async def test_status_is_applied_by_name_and_uid(scene: Scene) -> None:
    scene.api.answers.append(says({}))
    await scene.kube.apply_status("team", "pod-tracker", "t1", {"status": "Active"})
    assert scene.api.requests == [
        (
            "PATCH",
            "/apis/pod-tracker.lost.backend/v1/namespaces/team/podtrackers/pod-tracker/status",
            {"fieldManager": "pod-tracker", "force": "true"},
            {
                "apiVersion": "pod-tracker.lost.backend/v1",
                "kind": "PodTracker",
                "metadata": {"name": "pod-tracker", "namespace": "team", "uid": "t1"},
                "status": {"status": "Active"},
            },
        )
    ]
    assert scene.api.headers[0]["Content-Type"] == "application/apply-patch+yaml"


@pytest.mark.parametrize(
    ("body", "data"),
    [
        ({"data": {"token": base64.b64encode(b"\xff s\n").decode()}}, {"token": b"\xff s\n"}),
        ({"data": {}}, {}),
        ({}, {}),
        ({"data": {"empty": ""}, "type": "Opaque", "immutable": True}, {"empty": b""}),
    ],
    ids=["bytes", "empty", "none", "an empty value"],
)
async def test_a_secret_is_read_by_name(body: dict[str, Any], data: dict[str, bytes], scene: Scene) -> None:
    scene.api.answers.append(says({"kind": "Secret", "metadata": {"name": "s"}, **body}))
    assert await scene.kube.get_secret("team", "s") == data
    assert scene.api.requests == [("GET", "/api/v1/namespaces/team/secrets/s", {}, None)]


async def test_events_are_created_and_merged(scene: Scene) -> None:
    scene.api.answers.extend([says({}, status=201), says({})])
    await scene.kube.create_event("team", {"reason": "InvalidAuth"})
    await scene.kube.patch_event("team", "e.1", {"count": 2})
    assert scene.api.requests == [
        ("POST", "/api/v1/namespaces/team/events", {}, {"reason": "InvalidAuth"}),
        ("PATCH", "/api/v1/namespaces/team/events/e.1", {}, {"count": 2}),
    ]
    assert scene.api.headers[1]["Content-Type"] == "application/merge-patch+json"


async def test_names_cannot_leave_their_place_in_the_path(scene: Scene) -> None:
    scene.api.answers.extend([says({}), says({})])
    await scene.kube.get_secret("team", "a?watch=true")
    await scene.kube.get_secret("te#am", "a")
    assert [path for _, path, _, _ in scene.api.requests] == [
        "/api/v1/namespaces/team/secrets/a?watch=true",
        "/api/v1/namespaces/te#am/secrets/a",
    ]
    assert [query for _, _, query, _ in scene.api.requests] == [{}, {}]


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../../other/secrets/a",
        "../a",
        "a/..",
        "/a",
        "a/b",
        "..%2f..%2fother%2fsecrets%2fa",
        "%2e%2e",
        "%",
    ],
)
async def test_a_name_that_nothing_can_have_is_asked_for_nowhere(name: str, scene: Scene) -> None:
    for call in (
        scene.kube.get_secret("team", name),
        scene.kube.get_secret(name, "pod-tracker-reporter"),
        scene.kube.get_owner("team", "ReplicaSet", name),
        scene.kube.get_owner(name, "Job", "a"),
        scene.kube.list_pods(name, limit=1, continue_token=""),
    ):
        assert (await failure(call)).not_found
    assert scene.api.requests == []


# the operator's own objects


async def test_config_maps_of_its_own_namespace(scene: Scene) -> None:
    packed = base64.b64encode(b"\x01\x02").decode()
    body = {"metadata": {"resourceVersion": "5"}, "data": {"meta": "{}"}, "binaryData": {"0": packed}}
    scene.api.answers.extend([says(body), says(body, status=201), says({"metadata": {"resourceVersion": "6"}})])
    read = await scene.kube.get_map("pod-tracker-journal")
    assert (read.version, read.data, read.binary) == ("5", {"meta": "{}"}, {"0": b"\x01\x02"})
    made = await scene.kube.create_map("pod-tracker-journal", data={"meta": "{}"}, binary={"0": packed})
    assert made.version == "5"
    assert await scene.kube.patch_map("pod-tracker-journal", "5", data={"meta": "{}"}, binary={"0": None}) == "6"
    path = "/api/v1/namespaces/own/configmaps/pod-tracker-journal"
    assert [(method, where) for method, where, _, _ in scene.api.requests] == [
        ("GET", path),
        ("PATCH", path),
        ("PATCH", path),
    ]
    assert [headers["Content-Type"] for headers in scene.api.headers[1:]] == [
        "application/apply-patch+yaml",
        "application/merge-patch+json",
    ]
    assert scene.api.requests[2][3] == {
        "metadata": {"resourceVersion": "5"},
        "data": {"meta": "{}"},
        "binaryData": {"0": None},
    }


async def test_a_config_map_without_data(scene: Scene) -> None:
    scene.api.answers.append(says({"metadata": {"resourceVersion": "5"}}))
    read = await scene.kube.get_map("x")
    assert (read.data, read.binary) == ({}, {})


async def test_the_lease_of_its_own_namespace(scene: Scene) -> None:
    body = {"metadata": {"resourceVersion": "5"}, "spec": {"holderIdentity": "me", "leaseTransitions": 3}}
    empty = {"metadata": {"resourceVersion": "6"}}
    scene.api.answers.extend([says(body), says(empty), says(empty), says(body)])
    read = await scene.kube.get_lease("l")
    assert (read.version, read.holder, read.transitions) == ("5", "me", 3)
    read = await scene.kube.get_lease("l")
    assert (read.version, read.holder, read.transitions) == ("6", "", 0)
    await scene.kube.create_lease("l", {"holderIdentity": "me"})
    await scene.kube.patch_lease("l", "5", {"renewTime": "now"})
    path = "/apis/coordination.k8s.io/v1/namespaces/own/leases/l"
    assert {where for _, where, _, _ in scene.api.requests} == {path}
    assert scene.api.requests[3][3] == {"metadata": {"resourceVersion": "5"}, "spec": {"renewTime": "now"}}


# errors


@pytest.mark.parametrize(
    ("code", "reason", "what"),
    [
        (400, "BadRequest", None),
        (401, "Unauthorized", None),
        (403, "Forbidden", "forbidden"),
        (404, "NotFound", "not_found"),
        (409, "Conflict", "conflict"),
        (410, "Expired", "gone"),
        (422, "Invalid", None),
        (500, "InternalError", None),
        (503, "ServiceUnavailable", None),
    ],
)
async def test_what_the_api_server_says_is_the_error(code: int, reason: str, what: str | None, scene: Scene) -> None:
    scene.api.answers.append(says(status(code, reason), status=code))
    error = await failure(scene.kube.get_secret("team", "s"))
    assert (error.status, error.reason, error.message, error.retry_after) == (code, reason, "a sentence", None)
    assert [name for name in ("forbidden", "not_found", "conflict", "gone") if getattr(error, name)] == (
        [what] if what else []
    )
    assert scene.counted("GET", str(code)) == 1
    assert len(scene.api.requests) == 1
    assert scene.kube.failing is False


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("0.5", 0.5), ("soon", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None)]
)
async def test_retry_after_is_taken_where_it_is_a_number(header: str, seconds: float | None, scene: Scene) -> None:
    scene.api.answers.append(says(status(429, "TooManyRequests"), status=429, **{"Retry-After": header}))
    error = await failure(scene.kube.get_secret("team", "s"))
    assert (error.status, error.retry_after) == (429, seconds)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("<html>a proxy</html>", "text/html"),
        ("", "application/json"),
        ("[1]", "application/json"),
        ('{"reason": 7}', "application/json"),
        ("x" * 200_000, "text/plain"),
        ("\udcff".encode("utf-8", "surrogateescape").decode("latin-1"), "text/plain"),
    ],
    ids=["HTML", "nothing", "a list", "a wrong type", "huge", "bytes"],
)
async def test_an_error_that_is_no_status_is_an_error_all_the_same(body: str, content_type: str, scene: Scene) -> None:
    scene.api.answers.append(web.Response(status=502, text=body, content_type=content_type))
    error = await failure(scene.kube.get_secret("team", "s"))
    assert (error.status, error.reason) == (502, "Bad Gateway")
    assert error.message == "the API server gave no reason"


async def test_an_api_server_that_is_not_there(scene: Scene) -> None:
    await scene.api.server.close()
    for call in (
        scene.kube.list_pods(None, limit=1, continue_token=""),
        scene.kube.apply_status("a", "b", "c", {}),
        scene.kube.create_event("a", {}),
    ):
        error = await failure(call)
        assert (error.status, error.reason) == (0, "Unreachable")
    assert scene.kube.failing is True
    assert scene.counted("GET", "none") == 1


async def test_an_api_server_that_comes_back(scene: Scene) -> None:
    scene.kube.failing = True
    scene.api.answers.append(says({}))
    await scene.kube.get_secret("team", "s")
    assert scene.kube.failing is False


async def test_a_connection_that_breaks_in_the_answer(scene: Scene) -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"items":')
        assert request.transport is not None
        request.transport.close()
        return response

    scene.api.answers.append(half)
    error = await failure(scene.kube.list_pods(None, limit=1, continue_token=""))
    assert (error.status, error.reason) == (0, "Unreachable")


@pytest.mark.parametrize(
    "body", ["<html>", "[]", '{"metadata": {}}', '{"items": null, "metadata": {}}', '{"items": 7}']
)
async def test_a_list_of_trackers_that_is_none_is_an_error(body: str, scene: Scene) -> None:
    scene.api.answers.append(web.Response(text=body))
    await failure(scene.kube.list_trackers(None))


@pytest.mark.parametrize(
    "body", ["<html>", "[]", '{"data": {"token": 7}}', '{"data": {"token": "%%%"}}', '{"data": []}']
)
async def test_a_secret_that_is_none_is_an_error_without_its_content(body: str, scene: Scene) -> None:
    scene.api.answers.append(web.Response(text=body))
    error = await failure(scene.kube.get_secret("team", "s"))
    assert "%%%" not in str(error)


async def test_nothing_is_tried_again_here(scene: Scene) -> None:
    for code in (500, 503, 429, 504):
        scene.api.answers.append(says(status(code, "x"), status=code))
        await failure(scene.kube.get_secret("team", "s"))
    assert len(scene.api.requests) == 4


async def test_at_debug_level_no_token_is_logged(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="podtracker")
    scene.api.answers.extend([says(status(401, "Unauthorized"), status=401), says({})])
    await failure(scene.kube.get_secret("team", "s"))
    await scene.kube.get_secret("team", "s")
    assert SECRET not in caplog.text


# watches


def streaming(*chunks: bytes, hold: asyncio.Event | None = None, cut: bool = False) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        if hold is not None:
            await hold.wait()
        if cut:
            assert request.transport is not None
            request.transport.close()
        return response

    return answer


async def test_a_watch_gives_bytes_as_they_come_until_the_server_ends_it(scene: Scene) -> None:
    lines = [watch_line("ADDED", pod_body("a")), watch_line("DELETED", pod_body("a"))]
    scene.api.answers.append(streaming(*lines))
    async with scene.kube.watch_pods("team", resource_version="41", timeout=17) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == b"".join(lines)
    assert scene.api.requests == [
        (
            "GET",
            "/api/v1/namespaces/team/pods",
            {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": "41", "timeoutSeconds": "17"},
            None,
        )
    ]


async def test_a_chunk_does_not_wait_for_the_next(scene: Scene) -> None:
    hold = asyncio.Event()
    line = watch_line("ADDED", pod_body("a"))
    scene.api.answers.append(streaming(line, hold=hold))
    async with asyncio.timeout(5), scene.kube.watch_pods(None, resource_version="1", timeout=300) as chunks:
        assert await anext(chunks) == line
        hold.set()


async def test_leaving_a_watch_closes_its_connection(scene: Scene) -> None:
    left = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 1000)
                await asyncio.sleep(0)
        except (ConnectionError, asyncio.CancelledError):
            left.set()
            raise

    scene.api.answers.append(endless)
    async with asyncio.timeout(5):
        async with scene.kube.watch_pods(None, resource_version="1", timeout=300) as chunks:
            await anext(chunks)
        await left.wait()


@pytest.mark.parametrize("code", [410, 403, 500])
async def test_a_watch_that_is_refused(code: int, scene: Scene) -> None:
    scene.api.answers.append(says(status(code, "Reason"), status=code))
    with pytest.raises(KubeError) as caught:
        async with scene.kube.watch_pods(None, resource_version="1", timeout=300):
            raise AssertionError("it watches")
    assert (caught.value.status, caught.value.gone) == (code, code == 410)


async def test_a_watch_that_is_cut(scene: Scene) -> None:
    line = watch_line("ADDED", pod_body("a"))
    hold = asyncio.Event()
    scene.api.answers.append(streaming(line, hold=hold, cut=True))
    async with scene.kube.watch_pods(None, resource_version="1", timeout=300) as chunks:
        assert await anext(chunks) == line
        hold.set()
        with pytest.raises(KubeError) as caught:
            await anext(chunks)
    assert (caught.value.status, caught.value.reason) == (0, "Unreachable")


# finding the cluster


def kubeconfig(**user: Any) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        }
    )


async def connect(path: Path, monkeypatch: pytest.MonkeyPatch) -> KubeClient:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(path))
    # The library reads the variable once, when it is imported.
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    return await KubeClient.connect(Metrics(), namespace="own")


async def test_a_kubeconfig_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config"
    path.write_text(kubeconfig(token=SECRET))
    async with await connect(path, monkeypatch) as kube:
        assert kube.configuration.host == "http://127.0.0.1:9"
        assert await kube.bearer_token() == SECRET
    assert path.read_text() == kubeconfig(token=SECRET)


async def test_without_a_token_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config"
    path.write_text(kubeconfig())
    async with await connect(path, monkeypatch) as kube:
        assert await kube.bearer_token() is None


KUBECONFIGS: dict[str, str | None] = {
    "missing": None,
    "empty": "",
    "no YAML": f"users: [{SECRET}: {{",
    "a list": f"[{SECRET}]",
    "a string": SECRET,
    "no context": "apiVersion: v1\nkind: Config\n",
    "a context without cluster": kubeconfig(token=SECRET).replace("cluster: c", "cluster: other"),
    "a token file that is not there": kubeconfig(tokenFile="/nowhere/token"),
    "a binary file": "\x00\x01\x02",
}


@pytest.mark.parametrize("text", KUBECONFIGS.values(), ids=KUBECONFIGS.keys())
async def test_a_kubeconfig_that_cannot_be_used_is_a_wrong_setting(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SettingsError, match="KUBECONFIG") as caught:
        await connect(path, monkeypatch)
    assert SECRET not in str(caught.value)


async def test_in_a_pod_without_a_service_account_is_a_wrong_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "9")
    with pytest.raises(SettingsError, match="KUBECONFIG"):
        await KubeClient.connect(Metrics(), namespace="own")


@pytest.mark.parametrize(
    ("env", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, "http://proxy.example:3128"),
        ({"HTTP_PROXY": "http://proxy.example:3128"}, None),
        ({"HTTPS_PROXY": "http://proxy.example:3128", "NO_PROXY": "api.example"}, None),
    ],
)
async def test_the_api_server_is_reached_through_the_environments_proxy(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], proxy: str | None
) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    async with KubeClient(Configuration(host="https://api.example:6443"), Metrics(), namespace="x") as kube:
        assert kube.configuration.proxy == proxy
