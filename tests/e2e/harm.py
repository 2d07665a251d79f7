# SPDX-License-Identifier: Apache-2.0
"""Harm to the network of pods: packets that vanish, as behind a firewall that was changed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Final

from kindnode.cluster import Cluster
from support.manifests import Json

_API_SERVER_PORT: Final = "6443"
"""What the API server's Service leads to on the node."""


@contextlib.asynccontextmanager
async def api_server_black_holed(cluster: Cluster, pods: Iterable[Json]) -> AsyncIterator[None]:
    """Let nothing pass between these pods and the API server meanwhile, in either direction."""
    rules = []
    for address in (pod["status"]["podIP"] for pod in pods):
        rules.append(["INPUT", "--source", address, "--protocol", "tcp", "--dport", _API_SERVER_PORT])
        rules.append(["OUTPUT", "--destination", address, "--protocol", "tcp", "--sport", _API_SERVER_PORT])
    async with _dropped(cluster, rules):
        yield


@contextlib.asynccontextmanager
async def black_holed(cluster: Cluster, sources: Iterable[Json], target: Json) -> AsyncIterator[None]:
    """Let nothing pass from these pods to that pod meanwhile."""
    to = target["status"]["podIP"]
    rules = [["FORWARD", "--source", pod["status"]["podIP"], "--destination", to] for pod in sources]
    async with _dropped(cluster, rules):
        yield


@contextlib.asynccontextmanager
async def _dropped(cluster: Cluster, rules: list[list[str]]) -> AsyncIterator[None]:
    done: list[list[str]] = []
    try:
        for rule in rules:
            await _iptables(cluster, "--insert", rule)
            done.append(rule)
        yield
    finally:
        for rule in done:
            await _iptables(cluster, "--delete", rule)


async def _iptables(cluster: Cluster, action: str, rule: list[str]) -> None:
    command = ["iptables", "--wait", action, *rule, "--jump", "DROP"]
    assert await asyncio.to_thread(cluster.on_node, *command) is not None, command
