# SPDX-License-Identifier: Apache-2.0
"""HTTP to URLs that tenants chose: what the guard sees of aiohttp's connections; proxies, certificates, leftovers."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from podtracker.egress import ForbiddenError, Guard, Networks, Proxies
from podtracker.outlet import Outlet, parse_url
from support.receivers import LOOPBACK, OK, Authority, RawServer, raw_server, says, silent_until, status
from support.waiting import eventually

Resolved = Callable[..., None]


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with raw_server(OK) as raw:
        yield raw


@pytest.fixture
def resolves(monkeypatch: pytest.MonkeyPatch) -> Resolved:
    """Makes every name have these addresses, in this order; several lists are answers one after the other."""

    def install(*answers: list[str]) -> None:
        given = iter(answers)
        last = answers[-1]

        def lookup(host: str, port: int, **_: object) -> list[object]:
            assert not host.replace(".", "").isdigit()
            return [
                (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
                if ":" in address
                else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
                for address in next(given, last)
            ]

        monkeypatch.setattr(socket, "getaddrinfo", lookup)

    return install


async def post(outlet: Outlet, url: str, *, whose: str = "team", timeout: float = 20.0) -> int:  # noqa: ASYNC109
    request = outlet.post(parse_url(url), whose=whose, body=b"{}", headers={"X-Test": "1"}, timeout=timeout)
    async with request as answer:
        return answer.status


async def closing(outlet: Outlet, done: Awaitable[object]) -> None:
    try:
        await done
    finally:
        await outlet.close()


async def refused(guard: Guard, url: str, proxies: Proxies | None = None) -> str:
    outlet = Outlet(guard, proxies or Proxies())
    with pytest.raises(ForbiddenError) as caught:
        await closing(outlet, post(outlet, url))
    return caught.value.sentence


async def accepted(guard: Guard, url: str, proxies: Proxies | None = None) -> None:
    outlet = Outlet(guard, proxies or Proxies())
    try:
        assert await post(outlet, url) == 200
    finally:
        await outlet.close()


# the address that is really connected to


async def test_an_ip_literal_is_judged(server: RawServer) -> None:
    assert "loopback" in await refused(Guard(), f"http://127.0.0.1:{server.port}/")
    await accepted(LOOPBACK, f"http://127.0.0.1:{server.port}/")
    assert server.connections == 1


async def test_an_ipv6_literal_is_judged() -> None:
    assert "::1 is a loopback address" in await refused(LOOPBACK, "http://[::1]:9/")
    assert "127.0.0.1 is a loopback" in await refused(Guard(), "http://[::ffff:127.0.0.1]:9/")
    assert "169.254.169.254" in await refused(LOOPBACK, "http://[::ffff:a9fe:a9fe]/latest")


async def test_a_name_is_judged_by_its_address(server: RawServer, resolves: Resolved) -> None:
    resolves(["127.0.0.1"])
    assert "127.0.0.1" in await refused(Guard(), f"http://public.example.org:{server.port}/")
    assert server.connections == 0
    await accepted(LOOPBACK, f"http://public.example.org:{server.port}/")


async def test_the_guard_also_stands_behind_the_static_look(server: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    # An IP literal never meets the resolver: it is the socket's factory that has to refuse it.
    monkeypatch.setattr(Outlet, "check", lambda *_: None)
    assert "127.0.0.1" in await refused(Guard(), f"http://127.0.0.1:{server.port}/")
    assert "169.254.169.254" in await refused(Guard(), "http://[::ffff:169.254.169.254]/")
    assert server.connections == 0


@pytest.mark.parametrize(
    "addresses",
    [
        ["10.0.0.1", "10.0.0.2"],
        ["10.0.0.1", "fd00::1"],
        ["fd00::1", "10.0.0.1", "fe80::1", "169.254.169.254"],
        ["64:ff9b::10.0.0.1", "10.0.0.1"],
    ],
)
async def test_every_contender_of_happy_eyeballs_is_judged(addresses: list[str], resolves: Resolved) -> None:
    resolves(addresses)
    said = await refused(LOOPBACK, "http://public.example.org:9/")
    assert any(address in said for address in (*addresses, "10.0.0.1"))


@pytest.mark.parametrize(
    "addresses", [["10.0.0.1", "127.0.0.1"], ["127.0.0.1", "10.0.0.1"], ["fd00::1", "127.0.0.1", "fe80::1"]]
)
async def test_an_address_that_may_be_used_is_found_among_others(
    addresses: list[str], server: RawServer, resolves: Resolved
) -> None:
    resolves(addresses)
    await accepted(LOOPBACK, f"http://public.example.org:{server.port}/")


async def test_a_name_that_changes_its_mind_is_judged_each_time(server: RawServer, resolves: Resolved) -> None:
    guard = Guard(Networks.parse("127.0.0.1"))
    resolves(["127.0.0.1"], ["127.0.0.2"])
    for _ in range(2):
        outlet = Outlet(guard, Proxies())
        url = f"http://rebinding.example.org:{server.port}/"
        if not server.connections:
            await closing(outlet, post(outlet, url))
        else:
            with pytest.raises(ForbiddenError):
                await closing(outlet, post(outlet, url))
    assert server.connections == 1


async def test_a_redirect_is_an_answer_and_nothing_more() -> None:
    async with raw_server(status(302, "Location: http://169.254.169.254/latest/meta-data/")) as raw:
        outlet = Outlet(LOOPBACK, Proxies())
        assert await post(outlet, f"http://127.0.0.1:{raw.port}/") == 302
        await outlet.close()
        assert len(raw.requests) == 1


async def test_a_connection_is_used_again(server: RawServer) -> None:
    outlet = Outlet(LOOPBACK, Proxies())
    for _ in range(3):
        async with outlet.post(
            parse_url(f"http://127.0.0.1:{server.port}/"), whose="team", body=b"", headers={}, timeout=5.0
        ) as answer:
            await answer.content.read(100)
    await outlet.close()
    assert server.connections == 1


@pytest.mark.parametrize("proxied", [False, True])
async def test_nothing_of_a_request_that_was_given_up_is_sent_later(proxied: bool) -> None:
    ends: list[type[Exception] | None] = []
    async with raw_server(silent_until(ends)) as raw:
        url = f"http://127.0.0.1:{raw.port}/"
        outlet = Outlet(LOOPBACK, Proxies(http=url) if proxied else Proxies())
        with pytest.raises(TimeoutError):
            await closing(outlet, post(outlet, url, timeout=1.0))
        await eventually(lambda: ends, what="the end of the connection")
    # A reset: the kernel has thrown away what was not acknowledged.
    assert ends == [ConnectionResetError]


# what does not pass from one receiver to the next


async def test_cookies_are_not_kept() -> None:
    async with raw_server(status(200, "Set-Cookie: who=tenant-a; Path=/")) as raw:
        outlet = Outlet(LOOPBACK, Proxies())
        for _ in range(2):
            await post(outlet, f"http://127.0.0.1:{raw.port}/")
        await outlet.close()
        assert all("cookie" not in request.headers for request in raw.requests)


async def test_the_passwords_of_a_netrc_are_not_sent(
    server: RawServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login operator password s3cr3t\n")
    monkeypatch.setenv("NETRC", str(netrc))
    await accepted(LOOPBACK, f"http://127.0.0.1:{server.port}/")
    assert "authorization" not in server.requests[0].headers


class Names:
    """A resolver of which names that begin with `dead` never get an answer, until the end."""

    def __init__(self, live: int) -> None:
        self.asked: list[str] = []
        self.end = threading.Event()
        self._live = live

    def __call__(self, host: str, *_: object, **__: object) -> list[object]:
        self.asked.append(host)
        if host.startswith("dead"):
            self.end.wait(60)
            raise socket.gaierror
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", self._live))]


@pytest.fixture
def names(server: RawServer, monkeypatch: pytest.MonkeyPatch) -> Names:
    made = Names(server.port)
    monkeypatch.setattr(socket, "getaddrinfo", made)
    return made


async def test_names_without_an_answer_keep_nobody_waiting(server: RawServer, names: Names) -> None:
    """More of one namespace than there are threads; even for a name that it asks for as well, behind those."""
    outlet = Outlet(LOOPBACK, Proxies())
    dead = [
        asyncio.create_task(post(outlet, f"http://dead{n}.example.org:{server.port}/", whose="mallory", timeout=0.05))
        for n in range(200)
    ]
    try:
        failures = await asyncio.gather(*dead, return_exceptions=True)
        assert all(isinstance(failure, TimeoutError) for failure in failures)
        await eventually(lambda: len(names.asked) == 4, what="the lookups that one namespace may have")
        again = asyncio.create_task(
            post(outlet, f"http://live.example.org:{server.port}/", whose="mallory", timeout=60)
        )
        await eventually(
            lambda: outlet._resolver is not None and len(outlet._resolver._lookups) == 201, what="its turn"
        )
        assert await post(outlet, f"http://live.example.org:{server.port}/", whose="team", timeout=30) == 200
        assert not again.done()
        assert names.asked[4:] == ["live.example.org"]
        again.cancel()
    finally:
        names.end.set()
        await asyncio.gather(*dead, again, return_exceptions=True)
        await outlet.close()


async def test_a_burst_asks_for_a_name_once_and_each_namespace_for_itself(server: RawServer, names: Names) -> None:
    outlet = Outlet(LOOPBACK, Proxies())
    url = f"http://live.example.org:{server.port}/"
    codes = await asyncio.gather(*(post(outlet, url, whose=whose) for whose in ("team", "other") for _ in range(20)))
    assert set(codes) == {200}
    await outlet.close()
    assert names.asked == ["live.example.org"] * 2


async def test_closing_ends_lookups(server: RawServer, names: Names) -> None:
    outlet = Outlet(LOOPBACK, Proxies())
    waiting = asyncio.create_task(post(outlet, f"http://dead.example.org:{server.port}/"))
    await eventually(lambda: names.asked, what="the lookup")
    await outlet.close()
    with pytest.raises(aiohttp.ClientConnectorDNSError):
        await asyncio.wait_for(waiting, 5)
    names.end.set()


async def test_a_name_that_failed_is_asked_for_again(server: RawServer, names: Names) -> None:
    outlet = Outlet(LOOPBACK, Proxies())
    names.end.set()
    for _ in range(2):
        with pytest.raises(aiohttp.ClientConnectorDNSError):
            await post(outlet, f"http://dead.example.org:{server.port}/")
    await outlet.close()
    assert len(names.asked) == 2


# proxies


async def test_through_a_proxy_the_proxy_connects(server: RawServer) -> None:
    # The proxy is not judged, though nothing is allowed; the URL's host is, by its name only.
    proxies = Proxies(http=f"http://user:pass@127.0.0.1:{server.port}")
    await accepted(Guard(), "http://receiver.example.org/hook", proxies)
    (request,) = server.requests
    assert request.line == "POST http://receiver.example.org/hook HTTP/1.1"
    assert request.headers["proxy-authorization"] == "Basic dXNlcjpwYXNz"
    for inside in ("http://169.254.169.254/", "http://receiver.team.svc/", "http://localhost/", "http://10.0.0.1/"):
        await refused(Guard(), inside, proxies)
    assert len(server.requests) == 1


async def test_through_a_proxy_tls_goes_by_a_tunnel() -> None:
    async with raw_server(says("HTTP/1.1 403 No\r\nContent-Length: 0")) as raw:
        outlet = Outlet(Guard(), Proxies(https=f"http://127.0.0.1:{raw.port}"))
        with pytest.raises(aiohttp.ClientHttpProxyError):
            await closing(outlet, post(outlet, "https://receiver.example.org/secret-path"))
        (request,) = raw.requests
        assert request.line == "CONNECT receiver.example.org:443 HTTP/1.1"
        assert "secret-path" not in str(request)


async def test_what_no_proxy_names_is_connected_to_and_judged(server: RawServer, resolves: Resolved) -> None:
    resolves(["127.0.0.1"])
    proxies = Proxies(http="http://proxy.invalid:1", bypass=".svc")
    url = f"http://receiver.team.svc:{server.port}/"
    assert "127.0.0.1" in await refused(Guard(), url, proxies)
    await accepted(LOOPBACK, url, proxies)


async def test_a_proxied_connection_is_not_used_for_direct_requests(server: RawServer) -> None:
    outlet = Outlet(Guard(), Proxies(http=f"http://127.0.0.1:{server.port}", bypass="127.0.0.1"))
    await post(outlet, "http://receiver.example.org/")
    with pytest.raises(ForbiddenError):
        await closing(outlet, post(outlet, f"http://127.0.0.1:{server.port}/"))


# certificates


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def test_an_unknown_authority_is_not_trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    async with raw_server(OK, tls=authority.context()) as raw:
        outlet = Outlet(LOOPBACK, Proxies())
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await closing(outlet, post(outlet, f"https://127.0.0.1:{raw.port}/"))
        assert raw.requests == []


async def test_ssl_cert_file_names_the_authorities(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    async with raw_server(OK, tls=authority.context()) as raw:
        await accepted(LOOPBACK, f"https://127.0.0.1:{raw.port}/")


async def test_ssl_cert_dir_names_the_authorities(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "hashed"
    folder.mkdir()
    (folder / f"{authority.hashed_name}.0").write_bytes(authority.file.read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "absent"))
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    async with raw_server(OK, tls=authority.context()) as raw:
        await accepted(LOOPBACK, f"https://127.0.0.1:{raw.port}/")


# URLs


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org/hook",
        "//example.org",
        "ftp://example.org/",
        "file:///etc/passwd",
        "unix:///run/x.sock",
        "javascript:alert(1)",
        "http://",
        "http:///path",
        "http://user@example.org/",
        "http://user:pass@example.org/",
        "http://:pass@example.org/",
        "http://example.org/#fragment",
        "http://example.org/#",
        "http://example.org:99999/",
        "http://example.org:0/",
        "http://example.org:80:80/",
        "http://example.org:port/",
        "http://exa mple.org/",
        "http://example.org/a b",
        "http://example.org/\n",
        "http://example.org/\r\nX-Evil: 1",
        "http://example.org\t/",
        "http://example.org\x00/",
        "http://example.org\\@evil.org/",
        "http://example.org%2f@evil.org/",
        "http://%31%32%37.0.0.1/",
        "http://127.1/",
        "http://127.0.0.01/",
        "http://0177.0.0.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://127.0.0.1./",
        "http://127.0.0.1\u3002/",
        "http://[::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://[::1/",
        "http://[1.2.3.4]/",
        "http://-.example.org/",
        "http://exa*mple.org/",
        f"http://{'a' * 254}/",
        f"http://{'a.' * 127}aa/",
        f"http://example.org/{'a' * 5000}",
        f"http://{'a-' * 2000}/",
    ],
    ids=ascii,
)
def test_urls_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ValueError, match="URL") as caught:
        parse_url(url)
    assert "evil" not in str(caught.value)
    assert "pass@" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://example.org", "example.org"),
        ("HTTPS://Example.ORG:8443/a?b=c%20d&e=ü", "example.org"),
        ("http://ex_ample.org./x", "ex_ample.org."),
        ("http://bücher.example/", "xn--bcher-kva.example"),
        ("http://8.8.8.8/", "8.8.8.8"),
        ("http://[2606:4700::1111]:8080/", "2606:4700::1111"),
        ("http://\uff11\uff12\uff17.\uff10.\uff10.\uff11/", "127.0.0.1"),
        ("http://receiver.team.svc.cluster.local/", "receiver.team.svc.cluster.local"),
    ],
    ids=ascii,
)
def test_urls_that_can_be_used(url: str, host: str) -> None:
    assert parse_url(url).raw_host == host
