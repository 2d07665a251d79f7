# SPDX-License-Identifier: Apache-2.0
"""`podtracker test`: asks the operator for a test message of a tracker, and waits for what became of it."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from podtracker.api import GROUP, PLURAL, TEST_ANNOTATION, VERSION
from podtracker.errors import KubeError, PodTrackerError
from podtracker.kube import KubeClient
from podtracker.metrics import Metrics

ARRIVED, FAILED = 0, 1
"""Exit codes."""
_POLL: Final = 0.3
"""Seconds between two looks at the status."""


class _Client(KubeClient):
    """As whoever the kubeconfig says; the right to patch trackers is needed."""

    async def ask(self, namespace: str, name: str, nonce: str) -> None:
        """Ask for a test message."""
        patch = {"metadata": {"annotations": {TEST_ANNOTATION: nonce}}}
        await self._read("PATCH", _path(namespace, name), body=patch, content_type="application/merge-patch+json")

    async def status(self, namespace: str, name: str) -> Mapping[str, Any]:
        """The tracker's status."""
        body = msgspec.json.decode(await self._read("GET", _path(namespace, name)), type=dict[str, Any])
        return body.get("status") or {}


def run(name: str, namespace: str, limit: float) -> int:
    """Test a tracker's receiver and print what became of it; returns the exit code.

    Args:
        name: the tracker's.
        namespace: the tracker's.
        limit: seconds to wait for an answer.
    """
    try:
        arrived, message = asyncio.run(_test(name, namespace, limit))
    except KubeError as error:
        what = f"no PodTracker {namespace}/{name}" if error.not_found else str(error)
        sys.stderr.write(f"podtracker: {what}\n")
        return FAILED
    except PodTrackerError as error:
        sys.stderr.write(f"podtracker: {error}\n")
        return error.exit_code
    (sys.stdout if arrived else sys.stderr).write(f"{message}\n")
    return ARRIVED if arrived else FAILED


async def _test(name: str, namespace: str, limit: float) -> tuple[bool, str]:
    async with await _Client.connect(Metrics(), namespace=namespace) as client:
        nonce = secrets.token_hex(8)
        await client.ask(namespace, name, nonce)
        try:
            async with asyncio.timeout(limit):
                while True:
                    status = await client.status(namespace, name)
                    if (status.get("lastTest") or {}).get("nonce") == nonce:
                        return _verdict(status)
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            return False, (
                f"no answer within {limit:g} s: is the operator running, and does it watch namespace {namespace}?"
                " The tracker's conditions may say more: kubectl describe podtracker"
            )


def _verdict(status: Mapping[str, Any]) -> tuple[bool, str]:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "ReporterVerified":
            reason, message = condition.get("reason", ""), condition.get("message", "")
            return condition.get("status") == "True", f"{reason}: {message}"
    return False, "the operator did not say what became of it"


def _path(namespace: str, name: str) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{quote(namespace, safe='')}/{PLURAL}/{quote(name, safe='')}"
