# SPDX-License-Identifier: Apache-2.0
"""Where connections to receivers may go; the one place that decides it.

A tenant chooses the URL of a webhook or of Apprise, and the operator connects to it from inside the cluster. So:

**Without a proxy** the address of every connection is looked at when it is made, after DNS: `Guard.check`. Only public
addresses pass, and those that the operator's configuration allows (`EGRESS_ALLOW`). An IPv4 address inside an IPv6 one
(mapped, NAT64) counts as that IPv4 address; 6to4 and Teredo never pass. The API server's own endpoint and the clouds'
metadata services pass only where their very address is listed, not by a network that contains it. Redirects are not
followed.

**Behind a proxy** (`HTTPS_PROXY`, `HTTP_PROXY`; `NO_PROXY` names the exceptions) it is the proxy that resolves names
and connects, so nobody here sees the address. Then the host in the URL is looked at: `Guard.check_proxied`. Addresses
are judged as above, in whatever notation; of names those are refused that can only mean something inside: one without
a dot, `localhost`, `*.local`, `*.internal`, `*.svc` and the like. Which other names lead inside only the proxy can
know: it has to refuse those itself. The proxy's own address is the operator's configuration, and is not judged. A host
in `NO_PROXY` is connected to directly, by the first rule: so receivers in the cluster are reached where a proxy is set.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SETTING: Final = "EGRESS_ALLOW"
"""The setting that the sentences name."""

_CLOSED: Final = tuple(
    (ipaddress.ip_network(network), what)
    for network, what in (
        ("0.0.0.0/8", "an unspecified address"),
        ("10.0.0.0/8", "a private address"),
        ("100.64.0.0/10", "a shared (carrier or cluster) address"),
        ("127.0.0.0/8", "a loopback address"),
        ("169.254.0.0/16", "a link-local address"),
        ("172.16.0.0/12", "a private address"),
        ("192.0.0.0/24", "a reserved address"),
        ("192.0.2.0/24", "a documentation address"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "a private address"),
        ("198.18.0.0/15", "a benchmarking address"),
        ("198.51.100.0/24", "a documentation address"),
        ("203.0.113.0/24", "a documentation address"),
        ("224.0.0.0/4", "a multicast address"),
        ("240.0.0.0/4", "a reserved address"),
        ("::/128", "an unspecified address"),
        ("::1/128", "a loopback address"),
        ("64:ff9b:1::/48", "a local NAT64 address"),
        ("2001::/32", "a Teredo address"),
        ("2001::/23", "a reserved address"),
        ("2001:db8::/32", "a documentation address"),
        ("2002::/16", "a 6to4 address"),
        ("3fff::/20", "a documentation address"),
        ("fc00::/7", "a private address"),
        ("fe80::/10", "a link-local address"),
        ("fec0::/10", "a site-local address"),
        ("ff00::/8", "a multicast address"),
    )
)
"""IANA's special-purpose registries, most special first. Python's `is_global` differs between its patch releases."""
_PUBLIC_IPV6: Final = ipaddress.IPv6Network("2000::/3")
"""Global unicast; everything else of IPv6 is unassigned or special."""
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""RFC 6052's well-known prefix: what an IPv6-only cluster reaches the IPv4 internet by."""
_METADATA: Final = frozenset(
    ipaddress.ip_address(address)
    for address in ("169.254.169.254", "169.254.170.2", "100.100.100.200", "fd00:ec2::254")
)
"""Of the clouds: whoever may ask these is given credentials of the machine."""
_INSIDE: Final = ("localhost", "localdomain", "local", "internal", "svc", "lan", "home.arpa")
"""Last labels of names that mean something inside only; `cluster.local` is one of `local`."""


_DIRECTLY: Final = f"who runs the operator can name it in NO_PROXY, and its network in {SETTING}"


class ForbiddenError(OSError):
    """A connection that must not be made. An OSError, so that HTTP libraries treat it as one that failed.

    `sentence` says what, why, and who can change it; it names an address or a kind of name, never a URL.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


def _closed_to(address: Address, what: str) -> ForbiddenError:
    return ForbiddenError(f"{address} is {what}; who runs the operator can allow it in {SETTING}")


class Networks:
    """The networks that the operator's configuration opens."""

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        self._networks = tuple(networks)

    @classmethod
    def parse(cls, text: str) -> Networks:
        """Read networks in CIDR notation, or single addresses, separated by commas.

        Raises:
            ValueError: one of them is none; the message is a sentence.
        """
        return cls(_network(part.strip()) for part in text.split(",") if part.strip())

    def __str__(self) -> str:
        return ",".join(str(network) for network in self._networks)

    def __contains__(self, address: Address) -> bool:
        return any(address in network for network in self._networks)

    def names(self, address: Address) -> bool:
        """Whether this very address is listed, rather than a network around it."""
        return any(network.num_addresses == 1 and address in network for network in self._networks)


class Guard:
    """Says no to connections that must not be made."""

    def __init__(self, allowed: Networks | None = None, *, api_server: str = "") -> None:
        """Args.

        allowed: what else may be connected to.
        api_server: URL of the API server; its name is resolved here, once, which may block for seconds.
        """
        self.allowed = allowed or Networks()
        self._api_name, self._api_port, self._api_addresses = _endpoint(api_server)

    def check(self, host: str, port: int) -> None:
        """Judge an address that is about to be connected to.

        Raises:
            ForbiddenError: it must not be, or is no address.
        """
        try:
            address = _plain(ipaddress.ip_address(host.partition("%")[0]))
        except ValueError:
            raise ForbiddenError("a connection to something that is no IP address is not made") from None
        if self.allowed.names(address):
            return
        if address in _METADATA:
            raise _closed_to(address, "a metadata service of a cloud")
        if address in self._api_addresses and (port == self._api_port or address not in self.allowed):
            where = f"with port {port} the" if port == self._api_port else "an address of the"
            raise _closed_to(address, f"{where} cluster's API server")
        what = _closed(address)
        if what and address not in self.allowed:
            raise _closed_to(address, what)

    def check_proxied(self, host: str, port: int) -> None:
        """Judge the host of a URL that a proxy will resolve and connect to.

        Raises:
            ForbiddenError: it must not be connected to.
        """
        address = literal(host)
        if address is not None:
            self.check(str(address), port)
            return
        labels = host.rstrip(".").lower().split(".")
        if len(labels) == 1 or ".".join(labels) == self._api_name:
            raise ForbiddenError(f"the URL's host is a name of this cluster only; {_DIRECTLY}")
        if any(labels[-len(inside) :] == inside for inside in (each.split(".") for each in _INSIDE)):
            raise ForbiddenError(f"the URL's host ends in .{labels[-1]}, which is for use inside only; {_DIRECTLY}")

    def export(self) -> dict[str, Any]:
        """What `restore` makes the same guard of, in another process; JSON."""
        return {
            "allowed": str(self.allowed),
            "api": [self._api_name, self._api_port, [str(address) for address in self._api_addresses]],
        }

    @classmethod
    def restore(cls, exported: Mapping[str, Any]) -> Guard:
        """The guard that was exported."""
        guard = cls(Networks.parse(exported["allowed"]))
        guard._api_name, guard._api_port, addresses = exported["api"]
        guard._api_addresses = frozenset(ipaddress.ip_address(each) for each in addresses)
        return guard


def literal(host: str) -> Address | None:
    """The address that a host is, in any notation some resolver takes (`0x7f.1`, `2130706433`); None for a name."""
    bare = host.strip("[]").partition("%")[0].rstrip(".")
    try:
        return ipaddress.ip_address(bare)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(bare))
    except (OSError, UnicodeError):
        return None


class Proxies:
    """Which proxy a URL is reached through; from the environment variables that everybody uses."""

    def __init__(self, *, http: str = "", https: str = "", bypass: str = "") -> None:
        """Args: http, https: the proxy for such URLs; bypass: NO_PROXY.

        Raises:
            ValueError: a proxy's URL cannot be used; the message is a sentence and does not repeat it.
        """
        self._given = {"http": http, "https": https, "bypass": bypass}
        self._proxies = {"http": _proxy("HTTP_PROXY", http), "https": _proxy("HTTPS_PROXY", https)}
        self._bypass = tuple(part.strip().lower() for part in bypass.split(",") if part.strip())

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Proxies:
        """Read HTTP_PROXY, HTTPS_PROXY and NO_PROXY; the spelling in lower case comes first, as everywhere.

        Raises:
            ValueError: as the constructor.
        """

        def value(name: str) -> str:
            return environment.get(name.lower()) or environment.get(name) or ""

        return cls(http=value("HTTP_PROXY"), https=value("HTTPS_PROXY"), bypass=value("NO_PROXY"))

    def export(self) -> dict[str, str]:
        """The constructor's arguments, for another process."""
        return dict(self._given)

    def of(self, scheme: str, host: str, port: int) -> str | None:
        """The URL of the proxy for a URL, or None where it is reached directly."""
        proxy = self._proxies.get(scheme)
        return proxy if proxy and not self._bypassed(host.rstrip(".").lower(), port) else None

    def _bypassed(self, host: str, port: int) -> bool:
        address = literal(host)
        if address is not None:
            return any(entry == "*" or _covers_address(entry, address) for entry in self._bypass)
        return any(entry == "*" or _covers_name(entry, host, port) for entry in self._bypass)


def _covers_address(entry: str, address: Address) -> bool:
    try:
        return address in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return False


def _covers_name(entry: str, host: str, port: int) -> bool:
    name, _, only = entry.partition(":")
    name = name.removeprefix("*").removeprefix(".").rstrip(".")
    return bool(name) and (host == name or host.endswith(f".{name}")) and only in {"", str(port)}


def _proxy(name: str, text: str) -> str:
    if not text:
        return ""
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"{name} is no URL of an HTTP proxy: write http://HOST:PORT (other kinds are not supported)")
    return url


def _network(text: str) -> Network:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        pass
    else:
        if isinstance(network, ipaddress.IPv4Network) or _plain(network.network_address) is network.network_address:
            return network
        raise ValueError(f"{text} is an IPv4 network in IPv6 notation: write it as an IPv4 network")
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text} is no network: write CIDR notation such as 10.96.0.0/12, or an IP address") from None
    raise ValueError(f"{text} has bits behind its prefix: write {meant}")


def _plain(address: Address) -> Address:
    """The address that is really meant."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _closed(address: Address) -> str | None:
    """What kind of address it is, where it is not a public one."""
    for network, what in _CLOSED:
        if address in network:
            return what
    if isinstance(address, ipaddress.IPv6Address) and address not in _PUBLIC_IPV6:
        return "a reserved address"
    return None


def _endpoint(url: str) -> tuple[str, int, frozenset[Address]]:
    """Name, port and addresses of an URL's host; the name is empty where it is an address."""
    parts = urlsplit(url)
    if not parts.hostname:
        return "", 0, frozenset()
    port = parts.port or (80 if parts.scheme == "http" else 443)
    address = literal(parts.hostname)
    if address is not None:
        return "", port, frozenset({_plain(address)})
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except OSError:
        found = []
    addresses = frozenset(_plain(ipaddress.ip_address(str(entry[4][0]).partition("%")[0])) for entry in found)
    return parts.hostname.rstrip(".").lower(), port, addresses
