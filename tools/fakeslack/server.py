# SPDX-License-Identifier: Apache-2.0
"""The HTTP side: a Slack-compatible server on loopback that records every request and misbehaves on demand."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from devcluster import ports
from fakeslack.outcomes import (
    AcceptThenDrop,
    ApiError,
    DropBefore,
    Garbage,
    Hang,
    Ok,
    Outcome,
    RateLimited,
    ServerError,
)
from fakeslack.workspace import Message, Refused, Workspace

BODY_LIMIT = 4 * 1024 * 1024
"""Bytes; well above the longest text, so that Slack's own limits answer and not HTTP's."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came. Its `repr` hides the token."""

    method: str
    token: str = field(repr=False)
    body: dict[str, Any]
    """The arguments, from whichever of JSON, form and query they came in, without the token."""
    received_at: float
    """Seconds since the epoch."""
    outcome: Outcome
    """What became of it: what Slack said, or the script's entry."""
    message: Message | None = None
    """The message it left in a channel."""

    def summary(self) -> str:
        """One line for people, without the token: the message, or what was asked and what became of it."""
        channel = self.body.get("channel", "")
        if self.message is not None and isinstance(self.outcome, Ok):
            return f"#{channel}  {self.message.text}"
        outcome = self.outcome
        verdict = "ok" if isinstance(outcome, Ok) else outcome.code if isinstance(outcome, ApiError) else repr(outcome)
        return f"({self.method}{f' {channel}' if channel else ''}: {verdict})"


class FakeSlack:
    """A Slack on loopback, used as an async context manager.

    Raises ValueError for a `host` that is not loopback and OSError when the port is taken. The port stays the same
    over `stop()` and `start()`, so that an outage is those two calls.
    """

    def __init__(
        self,
        *,
        tokens: Iterable[str] = (),
        channels: Iterable[str] = (),
        host: str = "127.0.0.1",
        port: int = 0,
        any_credentials: bool = False,
        on_request: Callable[[Request], None] | None = None,
    ) -> None:
        self.host = loopback(host)
        self.port = port
        known = set(channels)
        self.workspace = Workspace(
            tokens=set(tokens),
            channels=known,
            channel_members=set(known),
            any_token=any_credentials,
            any_channel=any_credentials,
        )
        self.requests: list[Request] = []
        self._on_request = on_request
        self._scripts: dict[str, deque[Outcome]] = {}
        self._pace: _Pace | None = None
        self._changed = asyncio.Condition()
        self._stopping = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        """Start serving."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving."""
        await self.stop()

    async def start(self) -> None:
        """Begin to listen; connections are refused before that and after `stop`."""
        self._stopping.clear()
        app = web.Application(client_max_size=BODY_LIMIT)
        app.router.add_route("*", "/api/{method}", self._serve)
        # handler_cancellation frees a hanging request as soon as its client gives up.
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.host, self.port or ports.choose(1)[0]).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self.port = runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the port and every connection; what was received stays."""
        self._stopping.set()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    @property
    def url(self) -> str:
        """The base address for a Slack client, with the slash at its end that slack_sdk wants."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/api/"

    @property
    def messages(self) -> list[Message]:
        """Accepted messages, oldest first."""
        return self.workspace.messages

    @property
    def tokens(self) -> set[str]:
        """Tokens that work."""
        return self.workspace.tokens

    @property
    def revoked(self) -> set[str]:
        """Tokens that answer `token_revoked`."""
        return self.workspace.revoked

    @property
    def scopes(self) -> set[str]:
        """OAuth scopes of the bot."""
        return self.workspace.scopes

    @property
    def channels(self) -> set[str]:
        """Channels that exist; others answer `channel_not_found`."""
        return self.workspace.channels

    @property
    def channel_members(self) -> set[str]:
        """Channels the bot is in; others that exist answer `not_in_channel`."""
        return self.workspace.channel_members

    def script(self, *outcomes: Outcome, method: str = "chat.postMessage") -> None:
        """Decide what becomes of the next requests for a method, in turn; after them it is normal again."""
        self._scripts.setdefault(method, deque()).extend(outcomes)

    def pace(self, limit_per_second: float, burst: int = 3) -> None:
        """Answer posts to a channel above this pace with 429; a `burst` of them may come at once."""
        self._pace = _Pace(limit_per_second, burst)

    async def wait_for(
        self,
        predicate: Callable[[FakeSlack], bool],
        timeout: float = 10,  # noqa: ASYNC109 - the error below has to tell what was received
    ) -> None:
        """Wait for a fact about this server, checked after each request; TimeoutError tells what came instead."""
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(lambda: predicate(self))
        except TimeoutError:
            raise TimeoutError(f"Waited {timeout:g} s in vain. {self.summary()}") from None

    def summary(self) -> str:
        """Tell what was received, without tokens."""
        if not self.requests:
            return "Nothing was received."
        lines = [f"  {request.summary():.200}" for request in self.requests[-20:]]
        return "\n".join([f"Received {len(self.requests)} requests, {len(self.messages)} messages, at last:", *lines])

    async def _serve(self, http: web.Request) -> web.StreamResponse:
        received_at, method = time.time(), http.match_info["method"]
        token, arguments, complaint = await _parse(http)
        planned = self._next_outcome(method)
        outcome: Outcome = planned
        message: Message | None = None
        reply: dict[str, Any] | None = None
        if isinstance(planned, Ok | AcceptThenDrop):
            count = len(self.messages)
            try:
                reply = self._answer(method, token, arguments, complaint)
            except Refused as refusal:
                outcome = refusal.answer if isinstance(planned, Ok) else planned
            except _TooFast as limit:
                outcome = RateLimited(limit.retry_after) if isinstance(planned, Ok) else planned
            message = self.messages[count] if len(self.messages) > count else None
        await self._record(Request(method, token, arguments, received_at, outcome, message))
        return await self._respond(http, outcome, reply)

    def _next_outcome(self, method: str) -> Outcome:
        script = self._scripts.get(method)
        return script.popleft() if script else Ok()

    def _answer(self, method: str, token: str, arguments: dict[str, Any], complaint: str) -> dict[str, Any]:
        if complaint:
            raise Refused(complaint)
        if self._pace is not None and method == "chat.postMessage":
            self.workspace.authenticate(token)
            self._pace.spend(str(arguments.get("channel")), time.monotonic())
        return self.workspace.call(method, token, arguments)

    async def _record(self, request: Request) -> None:
        self.requests.append(request)
        if self._on_request is not None:
            self._on_request(request)
        async with self._changed:
            self._changed.notify_all()

    async def _respond(self, http: web.Request, outcome: Outcome, reply: dict[str, Any] | None) -> web.StreamResponse:
        match outcome:
            case Ok():
                return self._json({"ok": True, **(reply or {})})
            case ApiError(code, details):
                return self._json({"ok": False, "error": code, **details})
            case RateLimited(retry_after):
                headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
                return self._json({"ok": False, "error": "ratelimited"}, status=429, headers=headers)
            case ServerError(status):
                page = "<html><body>upstream connect error</body></html>"
                return web.Response(status=status, text=page, content_type="text/html")
            case Garbage(content_type, body):
                return web.Response(text=body, content_type=content_type)
            case Hang():
                await self._stopping.wait()
            case AcceptThenDrop() | DropBefore():
                pass
        if http.transport is not None:
            http.transport.close()
        return web.Response(status=500)  # goes nowhere: the connection is closed

    def _json(
        self, body: dict[str, Any], *, status: int = 200, headers: dict[str, str] | None = None
    ) -> web.StreamResponse:
        granted = {"X-OAuth-Scopes": ",".join(sorted(self.scopes))}
        return web.json_response(body, status=status, headers={**granted, **(headers or {})})


class _TooFast(Exception):  # noqa: N818 - a signal, as Refused is
    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


@dataclass(slots=True)
class _Pace:
    """A token bucket per channel."""

    per_second: float
    burst: int
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)

    def spend(self, channel: str, now: float) -> None:
        left, since = self._left.get(channel, (float(self.burst), now))
        left = min(self.burst, left + (now - since) * self.per_second)
        self._left[channel] = (max(left - 1, 0) if left >= 1 else left, now)
        if left < 1:
            raise _TooFast(max(1, math.ceil((1 - left) / self.per_second)))


def loopback(host: str) -> str:
    """Check an address to listen on; raises ValueError unless it is loopback."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        if ipaddress.ip_address(host).is_loopback:
            return host
    except ValueError:
        pass
    raise ValueError(f"fakeslack listens on loopback only, because it checks nothing; use 127.0.0.1 instead of {host}")


async def _parse(http: web.Request) -> tuple[str, dict[str, Any], str]:
    """Read token and arguments; the third value is Slack's error code for a body it cannot read, or empty."""
    scheme, _, token = http.headers.get("Authorization", "").partition(" ")
    token = token.strip() if scheme.lower() == "bearer" else ""
    arguments: dict[str, Any] = dict(http.query)
    if http.content_type == "application/json":
        try:
            body = await http.json()
        except (json.JSONDecodeError, UnicodeDecodeError):
            return token, arguments, "invalid_json"
        if not isinstance(body, dict):
            return token, arguments, "json_not_object"
        return token, {**arguments, **body}, ""
    form = await http.post()
    arguments |= {name: value for name, value in form.items() if isinstance(value, str)}
    in_form = str(arguments.pop("token", ""))
    return token or in_form, arguments, ""
