# SPDX-License-Identifier: Apache-2.0
"""What kopf is given: one event handler and the login, and settings under which it writes nothing."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
from collections.abc import Mapping
from typing import Any, cast

import kopf
import pytest

from podtracker import handlers
from unit.podtracker.builders import SECRET, tracker_body


class FakeTrackers:
    """Who is told of trackers."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def changed(self, body: Mapping[str, Any]) -> None:
        self.told.append(("changed", body["metadata"]["uid"]))

    def deleted(self, uid: str) -> None:
        self.told.append(("deleted", uid))


class FakeAccess:
    host = "https://127.0.0.1:6443"
    ssl_ca_cert: str | None = "/ca.crt"
    ca_cert_data: str | bytes | None = None
    cert_file: str | None = None
    key_file: str | None = None
    verify_ssl = True


class Given:
    """A registry with what stands around it."""

    def __init__(self, token: str | None = SECRET) -> None:
        self.sink = FakeTrackers()
        self.access = FakeAccess()
        self._token = token
        self.registry = handlers.registry_for(self.sink, self.access, self._bearer)

    async def _bearer(self) -> str | None:
        return self._token

    def handlers(self) -> dict[str, list[Any]]:
        """All handlers, by the kind of registry that holds them."""
        parts = {name: part for name, part in vars(self.registry).items() if hasattr(part, "get_all_handlers")}
        assert len(parts) >= 5
        return {name: list(part.get_all_handlers()) for name, part in parts.items() if part.get_all_handlers()}

    def only(self, part: str) -> Any:
        (handler,) = self.handlers()[part]
        return handler

    async def event(self, kind: str | None, body: dict[str, Any]) -> object:
        raw = cast("kopf.RawBody", body)
        return await self.only("_watching").fn(event={"type": kind, "object": raw}, body=kopf.Body(raw), extra=1)

    async def login(self) -> Any:
        return await self.only("_activities").fn(extra=1)


def test_only_events_are_handled_and_the_login() -> None:
    given = Given()
    assert set(given.handlers()) == {"_watching", "_activities"}
    handler = given.only("_watching")
    assert handler.id == "tracker"
    assert (handler.selector.group, handler.selector.version) == ("pod-tracker.lost.backend", "v1")
    assert "podtrackers" in {handler.selector.plural, handler.selector.any_name}
    login = given.only("_activities")
    assert login.id == "login"


def test_no_handler_wants_a_finalizer() -> None:
    for handler in itertools.chain.from_iterable(Given().handlers().values()):
        assert not getattr(handler, "requires_finalizer", None)


@pytest.mark.parametrize(
    ("kind", "told"),
    [(None, "changed"), ("ADDED", "changed"), ("MODIFIED", "changed"), ("DELETED", "deleted")],
    ids=str,
)
async def test_events_are_handed_on_and_the_handler_returns_nothing(kind: str | None, told: str) -> None:
    given = Given()
    assert await given.event(kind, tracker_body(uid="t7")) is None
    assert given.sink.told == [(told, "t7")]


async def test_the_login_gives_the_token_of_now_and_asks_again() -> None:
    info = await Given().login()
    assert (info.server, info.scheme, info.token) == ("https://127.0.0.1:6443", "Bearer", SECRET)
    assert (info.ca_path, info.insecure) == ("/ca.crt", False)
    remaining = info.expiration - dt.datetime.now(dt.UTC)
    assert dt.timedelta(seconds=handlers.CREDENTIAL_LIFETIME - 60) < remaining
    assert remaining <= dt.timedelta(seconds=handlers.CREDENTIAL_LIFETIME)


async def test_a_client_certificate_needs_no_token() -> None:
    given = Given(token=None)
    given.access.cert_file, given.access.key_file = "/tls.crt", "/tls.key"
    info = await given.login()
    assert (info.scheme, info.token) == (None, None)
    assert (info.certificate_path, info.private_key_path) == ("/tls.crt", "/tls.key")


@pytest.mark.parametrize(
    ("path", "data", "expected"),
    [("/ca.crt", "pem", ("/ca.crt", None)), (None, "pem", (None, "pem")), (None, None, (None, None))],
)
async def test_the_ca_is_given_once(
    path: str | None, data: str | None, expected: tuple[str | None, str | None]
) -> None:
    given = Given()
    given.access.ssl_ca_cert, given.access.ca_cert_data = path, data
    info = await given.login()
    assert (info.ca_path, info.ca_data) == expected


async def test_an_unverified_server_stays_unverified() -> None:
    given = Given()
    given.access.verify_ssl = False
    assert (await given.login()).insecure is True


def test_kopf_writes_nothing_and_does_not_end_the_process() -> None:
    chosen = handlers.settings()
    assert chosen.scanning.disabled is True
    assert chosen.peering.standalone is True
    assert chosen.posting.enabled is False
    assert chosen.process.ultimate_exiting_timeout is None
    assert chosen.persistence.finalizer != kopf.OperatorSettings().persistence.finalizer


def test_kopf_notices_a_half_open_connection() -> None:
    chosen = handlers.settings()
    for value in (
        chosen.watching.server_timeout,
        chosen.watching.connect_timeout,
        chosen.networking.request_timeout,
        chosen.networking.connect_timeout,
    ):
        assert value is not None
        assert 0 < value <= 600


def test_kopf_never_gives_up_and_does_not_hammer() -> None:
    backoffs = handlers.settings().networking.error_backoffs
    waits = list(itertools.islice(iter(backoffs), 1000))  # type: ignore[arg-type]
    assert len(waits) == 1000
    assert all(0 < wait <= 10.0 for wait in waits)
    assert all(wait >= 5.0 for wait in waits[10:])
    assert len(set(waits[10:])) > 100


async def test_kopf_does_not_ask_who_the_user_is(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    async def operator(**options: Any) -> None:
        asked.append(options)

    monkeypatch.setattr(kopf, "operator", operator)
    await handlers.run(kopf.OperatorRegistry(), (), stop=asyncio.Event(), ready=asyncio.Event())
    assert [options["identity"] for options in asked] == ["pod-tracker"]
