# SPDX-License-Identifier: Apache-2.0
"""kopf, for the trackers only: it watches, and hands what it sees to the reconciler.

`on.event` alone: it writes nothing to the object, whereas `on.create` and its like would copy the spec, inline tokens
included, into an annotation. Handlers return None: a value would become a status field.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import kopf
from kopf import ConnectionInfo
from kopf._core.engines.peering import Identity

from podtracker.api import GROUP, PLURAL, VERSION

CREDENTIAL_LIFETIME = 600.0
"""Seconds after which kopf asks for the token again; ServiceAccount tokens are renewed well before they expire."""
_UNUSED_FINALIZER = f"{GROUP}/never-set"
"""Kopf takes away the finalizer it believes to be its own; its default is shared by all its operators."""


class TrackerSink(Protocol):
    """Who is told of trackers; both calls are synchronous and cheap."""

    def changed(self, body: Mapping[str, Any]) -> None:
        """A tracker is there."""
        ...

    def deleted(self, uid: str) -> None:
        """A tracker is gone."""
        ...


class Access(Protocol):
    """What of the cluster's configuration kopf needs; the official client's Configuration has it."""

    host: str
    ssl_ca_cert: str | None
    ca_cert_data: str | bytes | None
    cert_file: str | None
    key_file: str | None
    verify_ssl: bool


class _Backoffs(Sequence[float]):
    """Waits between kopf's tries: for ever, where its default gives up after 54 s and ends the process."""

    _LONGEST = 10.0

    def __len__(self) -> int:
        return 1_000_000

    def __getitem__(self, place: Any) -> Any:
        return min(self._LONGEST, 2.0 ** min(place, 8)) * random.uniform(0.5, 1.0)  # noqa: S311 - it spreads load

    def __iter__(self) -> Iterator[float]:
        return (self[place] for place in range(len(self)))


def registry_for(
    sink: TrackerSink, access: Access, token: Callable[[], Awaitable[str | None]]
) -> kopf.OperatorRegistry:
    """The handlers.

    Args:
        sink: told of every tracker seen, and of every one seen to go.
        access: where the API server is and how it is trusted.
        token: gives the bearer token to use now, or None where a client certificate serves.
    """
    registry = kopf.OperatorRegistry()

    @kopf.on.event(GROUP, VERSION, PLURAL, id="tracker", registry=registry)
    async def tracker_event(event: kopf.RawEvent, body: kopf.Body, **_: Any) -> None:
        if event["type"] == "DELETED":
            sink.deleted(body["metadata"]["uid"])
        else:
            sink.changed(body)

    @kopf.on.login(id="login", registry=registry)
    async def login(**_: Any) -> ConnectionInfo:
        bearer = await token()
        return ConnectionInfo(
            server=access.host,
            ca_path=access.ssl_ca_cert,
            ca_data=None if access.ssl_ca_cert else access.ca_cert_data,
            insecure=not access.verify_ssl,
            certificate_path=access.cert_file,
            private_key_path=access.key_file,
            scheme="Bearer" if bearer else None,
            token=bearer,
            expiration=dt.datetime.now(dt.UTC) + dt.timedelta(seconds=CREDENTIAL_LIFETIME),
        )

    return registry


def settings() -> kopf.OperatorSettings:
    """Kopf's settings, each for a reason that kopf.md measured."""
    chosen = kopf.OperatorSettings()
    chosen.scanning.disabled = True
    chosen.peering.standalone = True
    chosen.posting.enabled = False
    chosen.process.ultimate_exiting_timeout = None
    chosen.persistence.finalizer = _UNUSED_FINALIZER
    chosen.watching.server_timeout = 300
    chosen.watching.connect_timeout = 10
    chosen.watching.reconnect_backoff = 1.0
    chosen.watching.chunk_size = 500
    chosen.networking.request_timeout = 30
    chosen.networking.connect_timeout = 10
    chosen.networking.error_backoffs = _Backoffs()
    chosen.queueing.idle_timeout = 1.0
    return chosen


async def run(
    registry: kopf.OperatorRegistry, namespaces: Sequence[str], *, stop: asyncio.Event, ready: asyncio.Event
) -> None:
    """Watch trackers until `stop` is set; sets `ready` once it does.

    Args:
        registry: from `registry_for`.
        namespaces: exact names; empty for all.
        stop: set it to end; cancelling would leave kopf a timer to kill the process.
        ready: set once kopf runs, and so has replaced the signal handlers.
    """
    await kopf.operator(
        registry=registry,
        settings=settings(),
        # Kopf's own guess asks for the user's name, which a container's uid has not got; standalone, nobody sees it.
        identity=Identity("pod-tracker"),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=tuple(namespaces),
        stop_flag=stop,
        ready_flag=ready,
    )
