# SPDX-License-Identifier: Apache-2.0
"""The API as the tests' administrator, with what only a cluster with a kubelet can do."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path
from typing import Final

from support.kube import Kube
from support.manifests import Json

_TIMEOUT: Final = 300.0


class Api(Kube):
    """The API of the cluster under test."""

    async def through_service(self, namespace: str, service: str, path: str, query: dict[str, str]) -> Json:
        """Return the JSON that a Service answers with; the API server passes the request on."""
        return await self._call("GET", f"api/v1/namespaces/{namespace}/services/{service}/proxy/{path}", query=query)

    async def evict(self, pod: str, namespace: str) -> None:
        """Evict a pod, as a drain of its node does.

        Raises:
            ApiError: 429 where a PodDisruptionBudget does not allow it now.
        """
        body: Json = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
        await self._call("POST", f"api/v1/namespaces/{namespace}/pods/{pod}/eviction", body)

    async def pods(self, namespace: str, **labels: str) -> list[Json]:
        """Return the pods that have these labels."""
        query = {"labelSelector": ",".join(f"{key}={value}" for key, value in labels.items())}
        answer = await self._call("GET", f"api/v1/namespaces/{namespace}/pods", query=query)
        items: list[Json] = answer["items"]
        return items

    async def gone(self, kind: str, name: str, namespace: str | None = None) -> bool:
        """Tell whether there is no such object any more."""
        return all(each["metadata"]["name"] != name for each in await self.list(kind, namespace))


class Kubectl:
    """kubectl as users call it; blocking."""

    def __init__(self, program: Path, kubeconfig: Path) -> None:
        self.program = program
        self.kubeconfig = kubeconfig

    def __call__(self, *args: str, input: str | None = None) -> str:  # noqa: A002 - subprocess calls it so
        """Return what it prints.

        Raises:
            AssertionError: it failed; the text has what it said.
        """
        done = subprocess.run(  # noqa: S603 - our own arguments
            [self.program, *args],
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
            input=input,
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT,
        )
        if done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    async def aside(self, *args: str) -> str:
        """Do the same while other tasks of the test go on."""
        return await asyncio.to_thread(self, *args)

    def apply(self, *objects: Json) -> None:
        """Apply objects, server-side."""
        many = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self("apply", "--server-side", "--force-conflicts", "-f", "-", input=many)
