# SPDX-License-Identifier: Apache-2.0
"""The API server, through the official client: its configuration, TLS, token renewal, connection pool; not its models.

The client's typed APIs load pydantic models (25 MB of RSS when measured), so requests go through `ApiClient` itself and
answers are decoded where they are used, into just the fields that matter.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec
import yaml
from kubernetes.aio import config
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from podtracker import __version__
from podtracker.api import GROUP, PLURAL, VERSION
from podtracker.election import StoredLease
from podtracker.errors import KubeError, SettingsError
from podtracker.journal import StoredMap
from podtracker.metrics import Metrics
from podtracker.pods import Owner

T = TypeVar("T")

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
_METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_OWNERS = {"ReplicaSet": ("/apis/apps/v1", "replicasets"), "Job": ("/apis/batch/v1", "jobs")}


class _Status(msgspec.Struct, frozen=True):
    reason: str = ""
    message: str = ""


class _PageMeta(msgspec.Struct, frozen=True):
    continue_token: str = msgspec.field(default="", name="continue")


class _TrackerPage(msgspec.Struct, frozen=True):
    items: list[dict[str, Any]]
    metadata: _PageMeta


class _SecretBody(msgspec.Struct, frozen=True):
    data: dict[str, bytes] = msgspec.field(default_factory=dict)


class _OwnedMeta(msgspec.Struct, frozen=True):
    owners: tuple[Owner, ...] | None = msgspec.field(default=None, name="ownerReferences")


class _OwnedBody(msgspec.Struct, frozen=True):
    metadata: _OwnedMeta


class _ObjectMeta(msgspec.Struct, frozen=True):
    resource_version: str = msgspec.field(name="resourceVersion")


class _Versioned(msgspec.Struct, frozen=True):
    metadata: _ObjectMeta


class _ConfigMapBody(msgspec.Struct, frozen=True):
    metadata: _ObjectMeta
    data: dict[str, str] = msgspec.field(default_factory=dict)
    binary: dict[str, bytes] = msgspec.field(default_factory=dict, name="binaryData")


class _LeaseSpec(msgspec.Struct, frozen=True):
    holder: str = msgspec.field(default="", name="holderIdentity")
    transitions: int = msgspec.field(default=0, name="leaseTransitions")


class _LeaseBody(msgspec.Struct, frozen=True):
    metadata: _ObjectMeta
    spec: _LeaseSpec = msgspec.field(default_factory=_LeaseSpec)


class KubeClient:
    """Requests to the API server; every failure is a `KubeError`."""

    def __init__(self, configuration: Configuration, metrics: Metrics, *, namespace: str) -> None:
        """Args: namespace: the operator's own."""
        self._namespace = namespace
        configuration.connection_pool_maxsize = MAX_CONNECTIONS
        # Else aiohttp looks for proxies in the environment at each request, and in a thread of its own for ~/.netrc.
        configuration.client_session_kwargs = {"trust_env": False}
        configuration.proxy = configuration.proxy or _proxy_for(configuration.host)
        self.configuration = configuration
        self._metrics = metrics
        self.failing = False
        """Whether the last request found no API server."""
        self._client = ApiClient(configuration)
        self._client.user_agent = f"pod-tracker/{__version__}"

    @classmethod
    async def connect(cls, metrics: Metrics, *, namespace: str) -> Self:
        """A client for the cluster of KUBECONFIG, else of ~/.kube/config, else the one this runs in.

        Raises:
            SettingsError: there is none of these, or it cannot be read.
        """
        configuration = Configuration()
        try:
            if "KUBERNETES_SERVICE_HOST" in os.environ and not os.environ.get("KUBECONFIG"):
                config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            else:
                await config.load_kube_config(
                    config_file=os.environ.get("KUBECONFIG"), client_configuration=configuration
                )  # type: ignore[no-untyped-call]
        except (
            config.ConfigException,
            OSError,
            ValueError,
            TypeError,
            AttributeError,
            KeyError,
            yaml.YAMLError,
        ) as error:
            # The client's loader lets whatever a damaged kubeconfig causes through; the text could quote a credential.
            detail = str(error) if isinstance(error, (config.ConfigException, OSError)) else type(error).__name__
            raise SettingsError(
                f"no cluster to talk to: set KUBECONFIG to a kubeconfig file, or run in a pod ({detail})"
            ) from None
        return cls(configuration, metrics, namespace=namespace)

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
        self,
        namespace: str | None,
        *,
        limit: int,
        continue_token: str,
        field_selector: str = "",
        label_selector: str = "",
    ) -> bytes:
        """One page of pods, as JSON."""
        query = [
            ("limit", str(limit)),
            ("continue", continue_token),
            ("fieldSelector", field_selector),
            ("labelSelector", label_selector),
        ]
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

    # workloads

    async def get_owner(self, namespace: str, kind: str, name: str) -> Owner | None:
        """The controller of a ReplicaSet or a Job, from its metadata alone.

        Raises:
            KubeError: not_found where it is gone.
        """
        path = f"{_OWNERS[kind][0]}/namespaces/{_part(namespace)}/{_OWNERS[kind][1]}/{_part(name)}"
        raw = await self._read("GET", path, accept=_METADATA_ONLY)
        owners = _decoded(raw, _OwnedBody).metadata.owners or ()
        return next((owner for owner in owners if owner.controller), None)

    # trackers

    async def list_trackers(self, namespace: str | None) -> list[dict[str, Any]]:
        """All trackers of a namespace, or of all.

        Raises:
            KubeError: not_found where the CRD is not installed.
        """
        path = f"{_TRACKERS}/{PLURAL}" if namespace is None else f"{_TRACKERS}/namespaces/{_part(namespace)}/{PLURAL}"
        found: list[dict[str, Any]] = []
        token = ""
        while True:
            query = [("limit", "500")] + ([("continue", token)] if token else [])
            page = _decoded(await self._read("GET", path, query=query), _TrackerPage)
            found += page.items
            token = page.metadata.continue_token
            if not token:
                return found

    async def apply_status(self, namespace: str, name: str, uid: str, status: Mapping[str, Any]) -> None:
        """Server-side apply the status of a tracker; one made anew under the name is not touched (409 by its uid)."""
        path = f"{_TRACKERS}/namespaces/{_part(namespace)}/{PLURAL}/{_part(name)}/status"
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "PodTracker",
            "metadata": {"name": name, "namespace": namespace, "uid": uid},
            "status": status,
        }
        await self._apply(path, body)

    # the rest

    async def get_secret(self, namespace: str, name: str) -> Mapping[str, bytes]:
        """The data of a Secret, by key."""
        raw = await self._read("GET", f"/api/v1/namespaces/{_part(namespace)}/secrets/{_part(name)}")
        return _decoded(raw, _SecretBody).data

    async def create_event(self, namespace: str, event: Mapping[str, Any]) -> None:
        """Create a Kubernetes Event."""
        await self._read("POST", f"/api/v1/namespaces/{_part(namespace)}/events", body=event)

    async def patch_event(self, namespace: str, name: str, patch: Mapping[str, Any]) -> None:
        """Merge-patch a Kubernetes Event."""
        path = f"/api/v1/namespaces/{_part(namespace)}/events/{_part(name)}"
        await self._read("PATCH", path, body=patch, content_type=_MERGE)

    # the operator's own namespace

    async def get_map(self, name: str) -> StoredMap:
        """Read a ConfigMap."""
        return _map(await self._read("GET", self._own("configmaps", name)))

    async def create_map(self, name: str, *, data: Mapping[str, str], binary: Mapping[str, str]) -> StoredMap:
        """Create a ConfigMap, or set these keys of it; server-side apply, so that the right can name the object."""
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": _own_metadata(name),
            "data": data,
            "binaryData": binary,
        }
        return _map(await self._apply(self._own("configmaps", name), body))

    async def patch_map(
        self, name: str, version: str, *, data: Mapping[str, str], binary: Mapping[str, str | None]
    ) -> str:
        """Set or remove keys of a ConfigMap; conflict unless it still has `version`. Gives the new one."""
        patch = {"metadata": {"resourceVersion": version}, "data": data, "binaryData": binary}
        raw = await self._read("PATCH", self._own("configmaps", name), body=patch, content_type=_MERGE)
        return _decoded(raw, _Versioned).metadata.resource_version

    async def get_lease(self, name: str) -> StoredLease:
        """Read a Lease."""
        return _lease(await self._read("GET", self._own("leases", name)))

    async def create_lease(self, name: str, spec: Mapping[str, Any]) -> StoredLease:
        """Create a Lease."""
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": _own_metadata(name), "spec": spec}
        return _lease(await self._apply(self._own("leases", name), body))

    async def patch_lease(self, name: str, version: str, spec: Mapping[str, Any]) -> StoredLease:
        """Change a Lease; conflict unless it still has `version`."""
        patch = {"metadata": {"resourceVersion": version}, "spec": spec}
        return _lease(await self._read("PATCH", self._own("leases", name), body=patch, content_type=_MERGE))

    async def _apply(self, path: str, body: Mapping[str, Any]) -> bytes:
        query = [("fieldManager", FIELD_MANAGER), ("force", "true")]
        return await self._read("PATCH", path, query=query, body=body, content_type=_APPLY)

    def _own(self, plural: str, name: str) -> str:
        group = "/apis/coordination.k8s.io/v1" if plural == "leases" else "/api/v1"
        return f"{group}/namespaces/{_part(self._namespace)}/{plural}/{_part(name)}"

    # requests

    async def _read(
        self,
        method: str,
        path: str,
        *,
        query: list[tuple[str, str]] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> bytes:
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT, sock_connect=CONNECT_TIMEOUT)
        response = await self._send(
            method, path, query=query, body=body, content_type=content_type, accept=accept, timeout=timeout
        )
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
        accept: str = "application/json",
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own kind
    ) -> aiohttp.ClientResponse:
        try:
            request = await self._client.param_serialize(
                method,
                path,
                query_params=list(query or ()),
                header_params={"Accept": accept, "Content-Type": content_type, "Accept-Encoding": "identity"},
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = await self._client.call_api(*request, _request_timeout=timeout)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.failing = True
            self._metrics.api_requests.labels(method, "none").inc()
            raise _unreachable(error) from error
        self.failing = False
        response: aiohttp.ClientResponse = answer.response
        self._metrics.api_requests.labels(method, str(response.status)).inc()
        if response.status >= 400:  # noqa: PLR2004 - the HTTP status itself
            raise await _refused(response)
        return response


def _decoded(raw: bytes, kind: type[T]) -> T:
    """What the API server answered; the error names the field and never what stands in it."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        problem = type(error).__name__ if not isinstance(error, msgspec.ValidationError) else "unexpected fields"
        raise KubeError(0, "Unreadable", f"the answer is not what the API server gives: {problem}") from None


def _map(raw: bytes) -> StoredMap:
    body = _decoded(raw, _ConfigMapBody)
    return StoredMap(version=body.metadata.resource_version, data=body.data, binary=body.binary)


def _lease(raw: bytes) -> StoredLease:
    body = _decoded(raw, _LeaseBody)
    return StoredLease(
        version=body.metadata.resource_version, holder=body.spec.holder, transitions=body.spec.transitions
    )


def _own_metadata(name: str) -> dict[str, Any]:
    return {"name": name, "labels": {"app.kubernetes.io/managed-by": FIELD_MANAGER}}


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        while chunk := await response.content.readany():
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


def _proxy_for(server: str) -> str | None:
    """The proxy that the environment names for an API server."""
    url = urlsplit(server)
    return None if proxy_bypass(url.hostname or "") else getproxies().get(url.scheme)


def _unreachable(error: BaseException) -> KubeError:
    return KubeError(0, "Unreachable", str(error) or type(error).__name__)


def _part(name: str) -> str:
    """A name as one part of a path.

    Tenants choose the names of Secrets and of their pods' owners, and `..` is resolved before a path is sent: such a
    name would lead out of the tenant's namespace.

    Raises:
        KubeError: not_found, because no object can be called that (Kubernetes: IsValidPathSegmentName).
    """
    if name in {"", ".", ".."} or "/" in name or "%" in name:
        raise KubeError(404, "NotFound", "no object can have such a name")
    return quote(name, safe="")


def _pods(namespace: str | None) -> str:
    return "/api/v1/pods" if namespace is None else f"/api/v1/namespaces/{_part(namespace)}/pods"
