# SPDX-License-Identifier: Apache-2.0
"""A small asynchronous API client for tests: plain JSON, fast enough to make a thousand objects in a few seconds."""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import yaml

from support.manifests import Json

MANAGER: Final = "tests"
"""The field manager of whatever tests write."""

_CRD_GROUP: Final = "apis/apiextensions.k8s.io/v1"
_RBAC_GROUP: Final = "apis/rbac.authorization.k8s.io/v1"
_APPS_GROUP: Final = "apis/apps/v1"
_BATCH_GROUP: Final = "apis/batch/v1"
_PATHS: Final = {
    "ClusterRole": (_RBAC_GROUP, "clusterroles"),
    "ClusterRoleBinding": (_RBAC_GROUP, "clusterrolebindings"),
    "ConfigMap": ("api/v1", "configmaps"),
    "CronJob": (_BATCH_GROUP, "cronjobs"),
    "CustomResourceDefinition": (_CRD_GROUP, "customresourcedefinitions"),
    "DaemonSet": (_APPS_GROUP, "daemonsets"),
    "Deployment": (_APPS_GROUP, "deployments"),
    "Event": ("api/v1", "events"),
    "Job": (_BATCH_GROUP, "jobs"),
    "Lease": ("apis/coordination.k8s.io/v1", "leases"),
    "Namespace": ("api/v1", "namespaces"),
    "Pod": ("api/v1", "pods"),
    "PodTracker": ("apis/pod-tracker.lost.backend/v1", "podtrackers"),
    "ReplicaSet": (_APPS_GROUP, "replicasets"),
    "RoleBinding": (_RBAC_GROUP, "rolebindings"),
    "Secret": ("api/v1", "secrets"),
    "ServiceAccount": ("api/v1", "serviceaccounts"),
    "StatefulSet": (_APPS_GROUP, "statefulsets"),
}


class ApiError(Exception):
    """The API server refused; `status` is the HTTP status, `reason` the word for programs."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


class Kube:
    """The API of one cluster, as the user of a kubeconfig; an asynchronous context manager."""

    def __init__(self, kubeconfig: Path) -> None:
        """Read server and credentials; nothing is sent before the context is entered."""
        config = yaml.safe_load(kubeconfig.read_text())
        context = _named(config["contexts"], config["current-context"])["context"]
        self._cluster = _named(config["clusters"], context["cluster"])["cluster"]
        self._user = _named(config["users"], context["user"])["user"]
        self._folder = kubeconfig.parent
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        headers = {"Accept": "application/json"}
        if "token" in self._user:
            headers["Authorization"] = f"Bearer {self._user['token']}"
        self._session = aiohttp.ClientSession(
            base_url=self._cluster["server"].rstrip("/") + "/",
            headers=headers,
            connector=aiohttp.TCPConnector(ssl=self._tls(), limit=16),
            timeout=aiohttp.ClientTimeout(total=30),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection pool."""
        if self._session is not None:
            await self._session.close()

    async def create(self, body: Json, namespace: str | None = None, *, subresource: str = "", **query: str) -> Json:
        """Create an object; a `subresource` such as `token` needs the name in the body's metadata."""
        name = body["metadata"]["name"] if subresource else ""
        path = _path(body["kind"], namespace, name, subresource)
        return await self._call("POST", path, body, query={"fieldManager": MANAGER, **query})

    async def apply(self, body: Json, namespace: str | None = None, **query: str) -> Json:
        """Server-side apply, as `kubectl apply --server-side --force-conflicts`."""
        path = _path(body["kind"], namespace, body["metadata"]["name"])
        query = {"fieldManager": MANAGER, "force": "true", **query}
        return await self._call("PATCH", path, body, query=query, content_type="application/apply-patch+yaml")

    async def get(self, kind: str, name: str, namespace: str | None = None) -> Json:
        """Read one object."""
        return await self._call("GET", _path(kind, namespace, name))

    async def list(self, kind: str, namespace: str | None = None) -> list[Json]:
        """Read all objects of a kind, of one namespace or of all."""
        answer = await self._call("GET", _path(kind, namespace))
        items: list[Json] = answer["items"]
        return items

    async def patch(self, kind: str, name: str, namespace: str | None, body: Json, *, subresource: str = "") -> Json:
        """Merge-patch an object or one of its subresources."""
        path = _path(kind, namespace, name, subresource)
        query = {"fieldManager": MANAGER}
        return await self._call("PATCH", path, body, query=query, content_type="application/merge-patch+json")

    async def delete(self, kind: str, name: str, namespace: str | None = None, *, grace: int = 0) -> None:
        """Delete an object, at once or after so many seconds; one that is gone already is fine."""
        try:
            await self._call("DELETE", _path(kind, namespace, name), {"gracePeriodSeconds": grace})
        except ApiError as failure:
            if failure.status != 404:
                raise

    async def token_of(self, account: str, namespace: str) -> str:
        """Return a fresh token of a ServiceAccount."""
        body: Json = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 7200},
        }
        answer = await self._call("POST", _path("ServiceAccount", namespace, account, "token"), body)
        token: str = answer["status"]["token"]
        return token

    async def _call(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        query: dict[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Json:
        if self._session is None:
            raise RuntimeError("use Kube as an asynchronous context manager")
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": content_type} if data else {}
        async with self._session.request(method, path, data=data, headers=headers, params=query) as response:
            answer: Any = await response.json(content_type=None)
            if not response.ok:
                said = answer if isinstance(answer, dict) else {}
                raise ApiError(response.status, said.get("reason", ""), said.get("message", ""))
            return dict(answer)

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self._pem(self._cluster, "certificate-authority").decode())
        if "client-certificate" in self._user or "client-certificate-data" in self._user:
            with tempfile.NamedTemporaryFile() as pem:  # the ssl module reads client certificates from files only
                pem.write(self._pem(self._user, "client-certificate") + b"\n" + self._pem(self._user, "client-key"))
                pem.flush()
                context.load_cert_chain(pem.name)
        return context

    def _pem(self, section: Json, field: str) -> bytes:
        inline = section.get(f"{field}-data")
        return base64.b64decode(inline) if inline else (self._folder / section[field]).read_bytes()


def _named(entries: list[Json], name: str) -> Json:
    return next(entry for entry in entries if entry["name"] == name)


def _path(kind: str, namespace: str | None, name: str = "", subresource: str = "") -> str:
    base, plural = _PATHS[kind]
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"{base}{scope}/{plural}" + (f"/{name}" if name else "") + (f"/{subresource}" if subresource else "")
