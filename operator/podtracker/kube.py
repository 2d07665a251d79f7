# SPDX-License-Identifier: Apache-2.0
"""The API server, through the official client: its configuration, TLS, token renewal, connection pool; not its models.

The client's typed APIs load pydantic models (25 MB of RSS when measured), so requests go through `ApiClient` itself and
answers are decoded where they are used, into just the fields that matter.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import msgspec
from kubernetes.aio import config
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from podtracker import __version__
from podtracker.api import GROUP, PLURAL, VERSION
from podtracker.errors import KubeError, SettingsError
from podtracker.metrics import Metrics

REQUEST_TIMEOUT = 30.0
"""Seconds for one request that is not a watch."""
CONNECT_TIMEOUT = 10.0
"""Seconds to connect."""
MAX_CONNECTIONS = 1000
"""A watch keeps one for each watched namespace; the client's default of 100 would starve the rest."""
FIELD_MANAGER = "pod-tracker"
_ERROR_BODY = 64 * 1024
"""Bytes read of an error answer."""

_TRACKERS = f"/apis/{GROUP}/{VERSION}"
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"


class _Status(msgspec.Struct, frozen=True):
    reason: str = ""
    message: str = ""


class _SecretBody(msgspec.Struct, frozen=True):
    data: dict[str, bytes] = msgspec.field(default_factory=dict)


class KubeClient:
    """Requests to the API server; every failure is a `KubeError`."""

    def __init__(self, configuration: Configuration, metrics: Metrics) -> None:
        configuration.connection_pool_maxsize = MAX_CONNECTIONS
        self.configuration = configuration
        self._metrics = metrics
        self._client = ApiClient(configuration)
        self._client.user_agent = f"pod-tracker/{__version__}"

    @classmethod
    async def connect(cls, metrics: Metrics) -> Self:
        """A client for the cluster of KUBECONFIG, else of ~/.kube/config, else the one this runs in.

        Raises:
            SettingsError: there is none of these, or it cannot be read.
        """
        configuration = Configuration()
        try:
            if "KUBERNETES_SERVICE_HOST" in os.environ and not os.environ.get("KUBECONFIG"):
                config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            else:
                await config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        except (config.ConfigException, OSError) as error:
            raise SettingsError(
                f"no cluster to talk to: set KUBECONFIG to a kubeconfig file, or run in a pod ({error})"
            ) from error
        return cls(configuration, metrics)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()  # type: ignore[no-untyped-call]

    async def bearer_token(self) -> str | None:
        """The token that requests carry now, renewed where that is due; without its scheme."""
        value = await self.configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        return value.split(" ", 1)[-1].strip() if value else None

    # pods

    async def list_pods(
        self, namespace: str | None, *, limit: int, continue_token: str, field_selector: str = ""
    ) -> bytes:
        """One page of pods, as JSON."""
        query = [("limit", str(limit)), ("continue", continue_token), ("fieldSelector", field_selector)]
        return await self._read("GET", _pods(namespace), query=[(key, value) for key, value in query if value])

    @contextlib.asynccontextmanager
    async def watch_pods(
        self,
        namespace: str | None,
        *,
        resource_version: str,
        timeout: int,  # noqa: ASYNC109 - the server's
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """A watch, as chunks of lines of JSON; `timeout` in seconds is for the server."""
        query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", resource_version),
            ("timeoutSeconds", str(timeout)),
        ]
        endless = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT, sock_connect=CONNECT_TIMEOUT)
        response = await self._send("GET", _pods(namespace), query=query, timeout=endless)
        try:
            yield _chunks(response)
        finally:
            response.close()

    # trackers

    async def list_trackers(self, namespace: str | None) -> list[dict[str, Any]]:
        """All trackers of a namespace, or of all.

        Raises:
            KubeError: not_found where the CRD is not installed.
        """
        path = f"{_TRACKERS}/{PLURAL}" if namespace is None else f"{_TRACKERS}/namespaces/{quote(namespace)}/{PLURAL}"
        found: list[dict[str, Any]] = []
        token = ""
        while True:
            query = [("limit", "500")] + ([("continue", token)] if token else [])
            page = json.loads(await self._read("GET", path, query=query))
            found += page["items"]
            token = page["metadata"].get("continue", "")
            if not token:
                return found

    async def apply_status(self, namespace: str, name: str, uid: str, status: Mapping[str, Any]) -> None:
        """Server-side apply the status of a tracker; one made anew under the name is not touched (409 by its uid)."""
        path = f"{_TRACKERS}/namespaces/{quote(namespace)}/{PLURAL}/{quote(name)}/status"
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "PodTracker",
            "metadata": {"name": name, "namespace": namespace, "uid": uid},
            "status": status,
        }
        query = [("fieldManager", FIELD_MANAGER), ("force", "true")]
        await self._read("PATCH", path, query=query, body=body, content_type=_APPLY)

    # the rest

    async def get_secret(self, namespace: str, name: str) -> Mapping[str, bytes]:
        """The data of a Secret, by key."""
        raw = await self._read("GET", f"/api/v1/namespaces/{quote(namespace)}/secrets/{quote(name)}")
        return msgspec.json.decode(raw, type=_SecretBody).data

    async def create_event(self, namespace: str, event: Mapping[str, Any]) -> None:
        """Create a Kubernetes Event."""
        await self._read("POST", f"/api/v1/namespaces/{quote(namespace)}/events", body=event)

    async def patch_event(self, namespace: str, name: str, patch: Mapping[str, Any]) -> None:
        """Merge-patch a Kubernetes Event."""
        path = f"/api/v1/namespaces/{quote(namespace)}/events/{quote(name)}"
        await self._read("PATCH", path, body=patch, content_type=_MERGE)

    # requests

    async def _read(
        self,
        method: str,
        path: str,
        *,
        query: list[tuple[str, str]] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT, sock_connect=CONNECT_TIMEOUT)
        response = await self._send(method, path, query=query, body=body, content_type=content_type, timeout=timeout)
        try:
            async with response:
                return await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _unreachable(error) from error

    async def _send(
        self,
        method: str,
        path: str,
        *,
        query: list[tuple[str, str]] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own kind
    ) -> aiohttp.ClientResponse:
        try:
            request = await self._client.param_serialize(
                method,
                path,
                query_params=list(query or ()),
                header_params={"Accept": "application/json", "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = await self._client.call_api(*request, _request_timeout=timeout)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._metrics.api_requests.labels(method, "none").inc()
            raise _unreachable(error) from error
        response: aiohttp.ClientResponse = answer.response
        self._metrics.api_requests.labels(method, str(response.status)).inc()
        if response.status >= 400:  # noqa: PLR2004 - the HTTP status itself
            raise await _refused(response)
        return response


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, asyncio.IncompleteReadError, OSError) as error:
        raise _unreachable(error) from error


async def _refused(response: aiohttp.ClientResponse) -> KubeError:
    raw = b""
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        raw = await response.content.read(_ERROR_BODY)
    response.release()
    status = _Status()
    with contextlib.suppress(msgspec.DecodeError):
        status = msgspec.json.decode(raw, type=_Status)
    try:
        retry_after = float(response.headers.get("Retry-After", ""))
    except ValueError:
        retry_after = None
    return KubeError(
        response.status,
        status.reason or (response.reason or "Error"),
        status.message or "the API server gave no reason",
        retry_after=retry_after,
    )


def _unreachable(error: BaseException) -> KubeError:
    return KubeError(0, "Unreachable", str(error) or type(error).__name__)


def _pods(namespace: str | None) -> str:
    return "/api/v1/pods" if namespace is None else f"/api/v1/namespaces/{quote(namespace)}/pods"
