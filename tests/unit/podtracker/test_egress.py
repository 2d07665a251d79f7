# SPDX-License-Identifier: Apache-2.0
"""Where connections may go: which addresses, in which disguise, and what holds behind a proxy."""

from __future__ import annotations

import ipaddress
import json
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podtracker.egress import ForbiddenError, Guard, Networks, Proxies, literal
from podtracker.errors import Failure
from podtracker.outlet import forbidden

CLOSED = [
    "0.0.0.0",  # noqa: S104 - nothing is bound here
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:0:10.0.0.1",
    "::10.0.0.1",
    "::8.8.8.8",
    "64:ff9b::10.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b:1::1",
    "64:ff9b:1::8.8.8.8",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:0a00:0001::1",
    "2002:0808:0808::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456:789a::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]
METADATA = ["169.254.169.254", "169.254.170.2", "100.100.100.200", "fd00:ec2::254", "::ffff:169.254.169.254"]
OPEN = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.1",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00:1450:4001:81b::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]


def refusal(guard: Guard, address: str, port: int = 443) -> str:
    with pytest.raises(ForbiddenError) as caught:
        guard.check(address, port)
    return caught.value.sentence


@pytest.mark.parametrize("address", [*CLOSED, *METADATA])
def test_what_is_not_public_is_closed(address: str) -> None:
    said = refusal(Guard(), address)
    assert "EGRESS_ALLOW" in said


@pytest.mark.parametrize("address", OPEN)
def test_what_is_public_is_open(address: str) -> None:
    Guard().check(address, 443)


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "0x7f.0.0.1", "10.0.0.1:80", "/run/x.sock", "example.org"])
def test_what_is_no_address_is_closed(text: str) -> None:
    refusal(Guard(Networks.parse("0.0.0.0/0, ::/0")), text)


def test_the_refusal_says_what_it_is_and_who_can_change_it() -> None:
    said = refusal(Guard(), "10.1.2.3")
    assert said == "10.1.2.3 is a private address; who runs the operator can allow it in EGRESS_ALLOW"
    error = forbidden(said)
    assert (error.failure, error.reason, error.message) == (Failure.REFUSED, "EgressForbidden", said)


def test_an_allowed_network_is_open_in_every_disguise() -> None:
    guard = Guard(Networks.parse("10.0.0.0/8,fd00::/8"))
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "fd12::1"):
        guard.check(address, 80)
    for address in ("11.0.0.1", "2606:4700::1111"):
        guard.check(address, 80)
    for address in ("127.0.0.1", "192.168.0.1", "fe80::1", "fc00::1"):
        refusal(guard, address)


@pytest.mark.parametrize("address", METADATA)
def test_metadata_services_are_opened_by_their_own_address_only(address: str) -> None:
    assert "metadata" in refusal(Guard(Networks.parse("0.0.0.0/0,::/0,169.254.0.0/16,fd00::/8")), address)
    plain = address.removeprefix("::ffff:")
    Guard(Networks.parse(plain)).check(address, 80)


def test_the_api_server_is_closed_even_inside_an_allowed_network() -> None:
    guard = Guard(Networks.parse("10.0.0.0/8"), api_server="https://10.96.0.1")
    assert "API server" in refusal(guard, "10.96.0.1")
    assert "API server" in refusal(guard, "::ffff:10.96.0.1")
    guard.check("10.96.0.2", 443)
    # Something else may listen on the same machine, as it does in tests.
    guard.check("10.96.0.1", 8443)
    Guard(Networks.parse("10.96.0.1"), api_server="https://10.96.0.1").check("10.96.0.1", 443)


def test_the_api_server_is_closed_where_its_address_is_public() -> None:
    guard = Guard(api_server="https://52.1.2.3:6443")
    for port in (6443, 443):
        assert "API server" in refusal(guard, "52.1.2.3", port)
    guard.check("52.1.2.4", 6443)


def test_the_api_servers_name_is_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: int, **_: object) -> list[object]:
        assert (host, port) == ("api.example.org", 6443)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("52.1.2.3", port)),
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2606:4700::1111", port, 0, 0)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    guard = Guard(api_server="https://api.example.org:6443")
    for address in ("52.1.2.3", "2606:4700::1111"):
        assert "API server" in refusal(guard, address, 6443)
    with pytest.raises(ForbiddenError):
        guard.check_proxied("API.example.org.", 6443)


def test_an_api_server_that_cannot_be_resolved_is_known_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object, **__: object) -> None:
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(ForbiddenError):
        Guard(api_server="https://api.example.org:6443").check_proxied("api.example.org", 6443)


def test_a_guard_crosses_to_another_process() -> None:
    guard = Guard(Networks.parse("10.0.0.0/8, fd00::/8,192.168.1.1"), api_server="https://10.96.0.1:6443")
    copy = Guard.restore(json.loads(json.dumps(guard.export())))
    assert copy.export() == guard.export()
    copy.check("10.1.1.1", 80)
    refusal(copy, "10.96.0.1", 6443)
    refusal(copy, "192.168.1.2")


@given(st.sampled_from([address for address in CLOSED if ":" not in address]), st.data())
def test_no_way_to_write_a_closed_ipv4_address_opens_it(network: str, data: st.DataObject) -> None:
    wanted = ipaddress.IPv4Address(network)
    number = int(wanted)
    spelled = data.draw(
        st.sampled_from(
            [
                str(number),
                hex(number),
                f"0{number:o}",
                ".".join(hex(part) for part in wanted.packed),
                ".".join(f"0{part:o}" for part in wanted.packed),
                f"{wanted.packed[0]}.{number & 0xFFFFFF}",
                f"{wanted}.",
                f"[::ffff:{wanted}]",
                f"[64:ff9b::{wanted}]",
            ]
        )
    )
    found = literal(spelled)
    assert found is not None
    with pytest.raises(ForbiddenError):
        Guard().check(str(found), 80)
    with pytest.raises(ForbiddenError):
        Guard().check_proxied(spelled, 80)


@given(st.ip_addresses())
def test_every_address_is_judged(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    try:
        Guard().check(str(address), 443)
    except ForbiddenError:
        return
    assert address.is_global or address.version == 6


# behind a proxy


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "printer.local",
        "metadata.google.internal",
        "metadata.google.internal.",
        "receiver.team.svc",
        "receiver.team.svc.cluster.local",
        "kubernetes",
        "receiver",
        "router.lan",
        "x.home.arpa",
        "host.localdomain",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "169.254.169.254",
        "0xa9fea9fe",
        "[::1]",
        "::ffff:169.254.169.254",
        "fd00:ec2::254",
        "10.0.0.1",
    ],
)
def test_behind_a_proxy_what_can_only_be_inside_is_closed(host: str) -> None:
    with pytest.raises(ForbiddenError) as caught:
        Guard().check_proxied(host, 443)
    assert "EGRESS_ALLOW" in caught.value.sentence


@pytest.mark.parametrize(
    "host", ["example.org", "hooks.example.co.uk", "local.example.org", "svc.dev", "8.8.8.8", "a-b.c"]
)
def test_behind_a_proxy_other_names_are_the_proxys_business(host: str) -> None:
    Guard().check_proxied(host, 443)


def test_behind_a_proxy_allowed_addresses_are_open() -> None:
    Guard(Networks.parse("10.0.0.0/8")).check_proxied("10.0.0.1", 443)


# settings


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("", ""),
        (" , ", ""),
        ("10.0.0.0/8", "10.0.0.0/8"),
        (" 10.0.0.0/8 ,192.168.1.7,fd00::/8", "10.0.0.0/8,192.168.1.7/32,fd00::/8"),
        ("0.0.0.0/0,::/0", "0.0.0.0/0,::/0"),
    ],
)
def test_networks_are_read(text: str, read: str) -> None:
    assert str(Networks.parse(text)) == read
    assert str(Networks.parse(read)) == read


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("10.0.0.0/33", "10.0.0.0/33 is no network"),
        ("example.org", "example.org is no network"),
        ("10.0.0.0/8;192.168.0.0/16", "is no network"),
        ("10.0.0.1/8", "10.0.0.1/8 has bits behind its prefix: write 10.0.0.0/8"),
        ("10", "10 is no network"),
        ("::ffff:10.0.0.0/104", "write it as an IPv4 network"),
        ("64:ff9b::/96", "write it as an IPv4 network"),
    ],
)
def test_what_is_no_network_is_refused_with_a_sentence(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says.replace(".", r"\.")):
        Networks.parse(text)


PROXY = "http://proxy.example.org:3128"


@pytest.mark.parametrize(
    ("bypass", "host", "port", "direct"),
    [
        ("", "example.org", 443, False),
        ("*", "example.org", 443, True),
        ("example.org", "example.org", 443, True),
        ("example.org", "EXAMPLE.org.", 443, True),
        ("example.org", "a.example.org", 443, True),
        (".example.org", "a.example.org", 443, True),
        ("*.example.org", "a.example.org", 443, True),
        ("example.org", "badexample.org", 443, False),
        ("example.org:8443", "example.org", 443, False),
        ("example.org:8443", "example.org", 8443, True),
        (".svc, .cluster.local", "receiver.team.svc.cluster.local", 80, True),
        (".svc,.cluster.local", "receiver.team.svc", 80, True),
        ("10.0.0.0/8", "10.1.2.3", 80, True),
        ("10.1.2.3", "10.1.2.3", 80, True),
        ("10.0.0.0/8", "11.1.2.3", 80, False),
        ("fd00::/8,::1", "::1", 80, True),
        ("[::1]", "::1", 80, True),
        ("10.0.0.0/8", "example.org", 80, False),
        (".", "example.org", 80, False),
    ],
)
def test_no_proxy_is_honoured(bypass: str, host: str, port: int, direct: bool) -> None:
    proxies = Proxies(http=PROXY, https=PROXY, bypass=bypass)
    assert (proxies.of("https", host, port) is None) is direct


def test_each_scheme_has_its_own_proxy() -> None:
    proxies = Proxies(https=PROXY)
    assert proxies.of("https", "example.org", 443) == PROXY
    assert proxies.of("http", "example.org", 80) is None
    assert Proxies(**proxies.export()).of("https", "example.org", 443) == PROXY


def test_the_environment_is_read_as_everybody_does() -> None:
    proxies = Proxies.from_environment(
        {"HTTPS_PROXY": "http://upper:1", "https_proxy": "http://lower:1", "HTTP_PROXY": "upper:2", "no_proxy": "x.org"}
    )
    assert proxies.of("https", "example.org", 443) == "http://lower:1"
    assert proxies.of("http", "example.org", 80) == "http://upper:2"
    assert proxies.of("http", "x.org", 80) is None
    assert Proxies.from_environment({}).of("https", "example.org", 443) is None


@pytest.mark.parametrize("url", ["socks5://proxy:1", "ftp://", "http://proxy:port", "http://proxy:0", "http://:80"])
def test_a_proxy_that_cannot_be_used_is_told_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="HTTPS_PROXY is no URL of an HTTP proxy") as caught:
        Proxies(https=url)
    assert url not in str(caught.value)
