# SPDX-License-Identifier: Apache-2.0
"""HTTP to URLs that tenants chose: through the proxy where there is one, else to addresses that the guard lets pass.

aiohttp calls a connector's `socket_factory` once for each address that it is about to connect to: after DNS, for IP
literals too, and for every contender of "happy eyeballs" (tests/reporters/test_outlet.py holds it to that). That
is where the guard stands. Requests through a proxy have a session of their own, whose only addresses are the proxy's.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Final, TypeAlias
from weakref import WeakValueDictionary

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from podtracker.egress import ForbiddenError, Guard, Proxies, literal
from podtracker.errors import DeliveryError, Failure

_Addresses: TypeAlias = tuple[tuple[int, int, str], ...]
"""Family, protocol and address."""
LONGEST_URL: Final = 4096
"""Characters."""
_NAME: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?")
_LONGEST_NAME: Final = 253
_LOOKUPS: Final = 64
"""DNS lookups at a time. A lookup without an answer blocks its thread for seconds; the default pool has few."""
_LOOKUPS_EACH: Final = 4
"""The same, for one namespace: its dead names must not use up the threads of others."""
_ANSWERS_KEPT: Final = 1000
_ANSWER_FRESH: Final = 10.0
"""Seconds that an answer of DNS is used again, so that a burst asks once."""
_REMEMBERED: Final = 1024
"""URLs that are known to have passed: what is judged of them without connecting does not change."""
_IDLE_CONNECTION: Final = 15.0
"""Seconds that an unused connection is kept."""

_NO_LINGERING: Final = struct.pack("ii", 1, 0)
"""For SO_LINGER: on, for 0 s."""

_refused: ContextVar[list[ForbiddenError]] = ContextVar("_refused")
"""What the guard refused during the request of this context; aiohttp makes one error of several."""
_whose: ContextVar[str] = ContextVar("_whose")
"""The namespace that the request of this context is for."""


def abrupt_socket(target: aiohttp.AddrInfoType) -> socket.socket:
    """A socket of which nothing is sent any more once it is closed.

    An ordinary one goes on after its end, for minutes: a message whose request was given up would arrive beside the one
    that was sent instead of it.
    """
    family, kind, protocol, _, _ = target
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
    return made


def forbidden(sentence: str) -> DeliveryError:
    """What a reporter raises for a ForbiddenError with this sentence."""
    return DeliveryError(Failure.REFUSED, "EgressForbidden", sentence)


def parse_url(text: str) -> URL:
    """Read the URL of a receiver.

    Raises:
        ValueError: it cannot be used; the message is a sentence and repeats nothing of the URL.
    """
    if len(text) > LONGEST_URL:
        raise ValueError(f"the URL is longer than {LONGEST_URL} characters")
    if not text.isprintable() or " " in text:
        raise ValueError("the URL has blanks or control characters in it")
    try:
        url = URL(text)
        host, port = url.raw_host or "", url.port
    except ValueError:
        url, host, port = URL(), "", None
    if url.scheme not in {"http", "https"}:
        raise ValueError("it is no URL that can be used: write http://HOST/PATH or https://HOST/PATH")
    if url.user is not None or url.password is not None:
        raise ValueError("the URL has a user or password in it: put a bearer token under the key token instead")
    if url.raw_fragment or "#" in text:
        raise ValueError("the URL has a #fragment, which no server is ever sent: remove it")
    if not port or not _usable(host):
        raise ValueError("the URL's host or port cannot be used")
    return url


def _usable(host: str) -> bool:
    """Whether it is a name, or an address in its usual notation: then all that read it mean the same."""
    address = literal(host)
    if address is None:
        return len(host) <= _LONGEST_NAME and _NAME.fullmatch(host) is not None
    return "%" not in host and (":" in host or str(address) == host)


class Outlet:
    """Sends to receivers."""

    def __init__(self, guard: Guard, proxies: Proxies) -> None:
        """Takes the certificate authorities from where OpenSSL does: SSL_CERT_FILE and SSL_CERT_DIR, else its own."""
        self._guard = guard
        self._proxies = proxies
        self._trust = ssl.create_default_context()
        self._direct: aiohttp.ClientSession | None = None
        self._proxied: aiohttp.ClientSession | None = None
        self._resolver: _Resolver | None = None
        self._passed = lru_cache(_REMEMBERED)(self._check)

    async def close(self) -> None:
        """Close the connections."""
        for session in (self._direct, self._proxied):
            if session is not None:
                await session.close()
        if self._resolver is not None:
            await self._resolver.close()
        self._direct = self._proxied = self._resolver = None

    def check(self, url: URL) -> None:
        """Judge what can be judged of a URL without connecting.

        Raises:
            ForbiddenError: nothing may be sent there.
        """
        self._passed(url)

    def _check(self, url: URL) -> None:
        host, port = url.raw_host or "", url.port or 0
        if self._proxies.of(url.scheme, host, port):
            self._guard.check_proxied(host, port)
        elif (address := literal(host)) is not None:
            self._guard.check(str(address), port)

    @asynccontextmanager
    async def post(
        self,
        url: URL,
        *,
        whose: str,
        body: bytes,
        headers: Mapping[str, str],
        timeout: float,  # noqa: ASYNC109 - it is aiohttp's, which tells connecting from waiting
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """POST once, and give the answer's head; what was not read of its body when the context ends is not read.

        Redirects are not followed, cookies not kept, packed bodies not unpacked.

        Args:
            url: of `parse_url`.
            whose: the namespace that it is for.
            body: what to send.
            headers: beside those that HTTP needs.
            timeout: seconds for everything, reading the body included.

        Raises:
            ForbiddenError: nothing may be sent there.
            aiohttp.ClientError, TimeoutError: it was not sent, or not answered.
        """
        self.check(url)
        proxy = self._proxies.of(url.scheme, url.raw_host or "", url.port or 0)
        refused: list[ForbiddenError] = []
        _refused.set(refused)
        _whose.set(whose)
        request = self._session(proxied=proxy is not None).post(
            url,
            data=body,
            headers=headers,
            proxy=proxy,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=timeout, ceil_threshold=timeout + 1),
        )
        try:
            answer = await request
        except aiohttp.ClientConnectorError:
            if refused:
                raise refused[0] from None
            raise
        try:
            yield answer
        finally:
            # At its end it went back to the pool already; else nobody knows how much more would come.
            answer.close()

    def _session(self, *, proxied: bool) -> aiohttp.ClientSession:
        if self._direct is None or self._proxied is None or self._resolver is None:
            self._resolver = _Resolver()
            self._direct = self._open(self._resolver, guarded=True)
            self._proxied = self._open(self._resolver, guarded=False)
        return self._proxied if proxied else self._direct

    def _open(self, resolver: AbstractResolver, *, guarded: bool) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                # Whoever has many receivers that hang must not take the connections of others.
                limit=0,
                ssl=self._trust,
                # It remembers by itself: what aiohttp remembers, one namespace would wait for in another's queue.
                resolver=resolver,
                use_dns_cache=False,
                keepalive_timeout=_IDLE_CONNECTION,
                socket_factory=self._guarded_socket if guarded else abrupt_socket,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"Accept-Encoding": "identity"},
            # Reading ~/.netrc as well would send its passwords to whatever host a tenant names.
            trust_env=False,
        )

    def _guarded_socket(self, target: aiohttp.AddrInfoType) -> socket.socket:
        address = target[4]
        try:
            self._guard.check(address[0], address[1])
        except ForbiddenError as error:
            _refused.get([]).append(error)
            raise
        return abrupt_socket(target)


class _Resolver(AbstractResolver):
    """The system's resolver in threads of its own, so that names without an answer keep nobody else waiting."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="dns")
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._lookups: OrderedDict[tuple[str, str, int], asyncio.Task[_Addresses]] = OrderedDict()
        """By namespace, name and family: those under way, and those whose answer is fresh."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Look a name up.

        Raises:
            OSError: it has no address.
        """
        key = _whose.get(""), host, int(family)
        lookup = self._lookups.get(key)
        if lookup is None:
            lookup = self._lookups[key] = asyncio.create_task(self._look_up(*key), name="dns")
            lookup.add_done_callback(lambda done: self._keep(key, done))
        # Whoever gives up does so for himself: the thread goes on, and others wait for the same answer.
        try:
            found = await asyncio.shield(lookup)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise OSError("the lookup was given up, because the operator ends") from None
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=kind, proto=protocol, flags=socket.AI_NUMERICHOST
            )
            for kind, protocol, address in found
        ]

    async def _look_up(self, whose: str, host: str, family: int) -> _Addresses:
        turns = self._turns.get(whose)
        if turns is None:
            turns = self._turns[whose] = asyncio.Semaphore(_LOOKUPS_EACH)
        async with turns:
            found = await asyncio.get_running_loop().run_in_executor(
                self._threads,
                lambda: socket.getaddrinfo(
                    host, None, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
                ),
            )
        return tuple((kind, protocol, str(address[0])) for kind, _, protocol, _, address in found)

    def _keep(self, key: tuple[str, str, int], done: asyncio.Task[_Addresses]) -> None:
        if done.cancelled() or done.exception() is not None:
            self._forget(key, done)
            return
        asyncio.get_running_loop().call_later(_ANSWER_FRESH, self._forget, key, done)
        while len(self._lookups) > _ANSWERS_KEPT:
            oldest = next(iter(self._lookups))
            if not self._lookups[oldest].done():
                break
            del self._lookups[oldest]

    def _forget(self, key: tuple[str, str, int], done: asyncio.Task[_Addresses]) -> None:
        if self._lookups.get(key) is done:
            del self._lookups[key]

    async def close(self) -> None:
        """Wait for nobody."""
        for lookup in self._lookups.values():
            lookup.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)
