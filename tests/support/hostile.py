# SPDX-License-Identifier: Apache-2.0
"""What tenants can put into the Secrets and pods of their namespaces to break out, leak, hang or exhaust."""

from __future__ import annotations

from typing import Final, NamedTuple

from podtracker.credentials import LONGEST
from support.manifests import Json, make_pod

MENTION: Final = "<!channel> <https://evil.example|look> & <@U1>"
CONTROL: Final = "\x1b]0;title\x07\x1b[31m\r\n\n\u2028\u202e"
BLOB: Final = 700_000
"""Bytes that fit into a Secret, of which the API server takes a mebibyte."""


class Hostile(NamedTuple):
    """A Secret that a tracker of some kind names, and the reasons that may be told about it."""

    kind: str
    data: dict[str, bytes]
    reasons: frozenset[str]


def _url(url: str | bytes, *reasons: str, kind: str = "webhook", **more: bytes) -> Hostile:
    encoded = url if isinstance(url, bytes) else url.encode()
    return Hostile(kind, {"url": encoded, **more}, frozenset(reasons))


def _token(token: bytes, *reasons: str) -> Hostile:
    return Hostile("slack", {"token": token}, frozenset(reasons))


_PUBLIC: Final = "http://192.0.2.1/"
"""Where nobody is, and what is looked at after all else."""

SECRETS: Final[dict[str, Hostile]] = {
    # where a webhook leads
    "metadata": _url("http://169.254.169.254/latest/meta-data/", "EgressForbidden"),
    "metadata mapped": _url("http://[::ffff:169.254.169.254]/", "EgressForbidden"),
    "metadata mapped in hex": _url("http://[::ffff:a9fe:a9fe]/", "EgressForbidden"),
    "metadata of IPv6": _url("http://[fd00:ec2::254]/", "EgressForbidden"),
    "metadata as a number": _url("http://2852039166/", "InvalidURL"),
    "loopback in hex": _url("http://0x7f.1/", "InvalidURL"),
    "loopback in octal": _url("http://0177.0.0.1/", "InvalidURL"),
    "loopback in short": _url("http://127.1/", "InvalidURL"),
    "loopback with a zone": _url("http://[fe80::1%25eth0]/", "EgressForbidden", "InvalidURL"),
    "loopback of IPv6": _url("http://[::1]:8080/", "EgressForbidden"),
    "nowhere": _url("http://0.0.0.0/", "EgressForbidden"),
    "private": _url("http://10.0.0.1/", "EgressForbidden"),
    "carrier": _url("http://100.64.0.1/", "EgressForbidden"),
    "NAT64": _url("http://[64:ff9b::a00:1]/", "EgressForbidden"),
    "6to4": _url("http://[2002:a00:1::]/", "EgressForbidden"),
    "compatible": _url("http://[::10.0.0.1]/", "EgressForbidden"),
    "localhost": _url("http://localhost:1/", "EgressForbidden", "Unreachable"),
    "localhost with a dot": _url("http://localhost.:1/", "EgressForbidden", "Unreachable"),
    "the API server": _url("https://kubernetes.default.svc/api", "EgressForbidden", "Unreachable"),
    "other letters": _url("http://①②⑦.⓪.⓪.①/", "EgressForbidden", "InvalidURL"),
    # what a URL is made of
    "with a password": _url("http://user:passw0rd-s3cr3t@example.org/", "InvalidURL"),
    "two hosts": _url("http://example.org#@169.254.169.254/", "InvalidURL"),
    "a backslash": _url("http://example.org\\@169.254.169.254/", "InvalidURL"),
    "a file": _url("file:///etc/passwd", "InvalidURL"),
    "gopher": _url("gopher://example.org/_x", "InvalidURL"),
    "no host": _url("http://", "InvalidURL"),
    "no URL": _url("not a URL", "InvalidURL"),
    "a port too far": _url("http://example.org:99999/", "InvalidURL"),
    "a header in a URL": _url("http://example.org/\r\nX-Injected: 1", "InvalidURL"),
    "a NUL in a URL": _url(b"http://example.org/\x00", "InvalidURL"),
    "a URL that is no text": _url(b"http://example.org/\xff\xfe", "InvalidURL"),
    "a long URL": _url("http://example.org/" + "a" * BLOB, "SecretKeyTooLong"),
    # what goes with it
    "a header in a bearer token": _url(_PUBLIC, "InvalidAuth", token=b"a\r\nX-Injected: 1"),
    "a bearer token that is no text": _url(_PUBLIC, "InvalidAuth", token=b"\xff\xfe"),
    "a long bearer token": _url(_PUBLIC, "SecretKeyTooLong", token=b"t" * BLOB),
    "a long key": _url(_PUBLIC, "SecretKeyTooLong", hmacKey=b"k" * (LONGEST + 1)),
    # Slack's tokens
    "no token": _token(b"", "SecretKeyMissing"),
    "a blank token": _token(b" \r\n\t", "SecretKeyMissing"),
    "a long token": _token(b"xoxb-" + b"x" * BLOB, "SecretKeyTooLong"),
    "a header in a token": _token(b"xoxb-1\r\nX-Injected: 1", "InvalidAuth"),
    "a NUL in a token": _token(b"xoxb-\x00", "InvalidAuth"),
    "a token that is no text": _token(bytes(range(128, 256)), "InvalidAuth"),
    "a token of other letters": _token("xoxb-\N{SNOWMAN}".encode(), "InvalidAuth"),
    "a text as a token": _token(b"{{ pod.name }} $(id) <!channel>", "InvalidAuth"),
    # Apprise
    "a file for Apprise": _url("file:///etc/passwd", "SchemeNotAllowed", kind="apprise"),
    "a scheme that is off": _url("mailto://user:passw0rd-s3cr3t@example.org", "SchemeNotAllowed", kind="apprise"),
    "metadata for Apprise": _url("json://169.254.169.254/?redirect=yes", "EgressForbidden", kind="apprise"),
    "lines for Apprise": _url("json://a\r\njson://b", "InvalidURL", kind="apprise"),
    "a long URL for Apprise": _url("json://example.org/" + "a" * BLOB, "SecretKeyTooLong", kind="apprise"),
}


def _owned_by(name: str) -> Json:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name, "uid": f"uid-of-{name}"}}
    return make_pod("owned", owner=owner)


def _with(name: str, **metadata: object) -> Json:
    pod = make_pod("app")
    return {**pod, "metadata": {**pod["metadata"], "name": name, **metadata}}


_LABELS: Final = {f"{'d' * 60}.example/{'k' * 58}{number:05}": "v" * 63 for number in range(400)}
"""A hundred kibibytes."""

PODS: Final[dict[str, Json]] = {
    "the longest name": _with("p" * 63 + ".p" * 95),
    "a name like a path": _with("a.b.c-d.json"),
    "a name like a template": _with("pod.name"),
    "a name like a link": _with("https.example.com"),
    "many labels": _with("labels", labels=_LABELS),
    "great annotations": _with(
        "annotations", annotations={"a": MENTION, "b": CONTROL + "{{ pod }}", "c": "x" * 250_000}
    ),
    "the operator's own annotations": _with(
        "kopf", annotations={"kopf.zalando.org/last-handled-configuration": "{", "pod-tracker.lost.backend/test": "1"}
    ),
    "an owner up the path": _owned_by("../../../../../api/v1/pods"),
    "an owner up one": _owned_by(".."),
    "an owner in percent": _owned_by("%2e%2e%2f%2e%2e"),
    "an owner with a query": _owned_by("a?watch=true&timeoutSeconds=600"),
    "an owner with much name": _owned_by("o" * 5000),
}
"""Bodies of pods; each is made under a name of its own."""

REASONS: Final[dict[str, str]] = {
    "a mention": MENTION,
    "control characters": CONTROL + "Error" + CONTROL,
    "a template": "{{ pod.__class__ }}{% for a in range(9) %}",
    "a great reason": "R" * 200_000,
    "a great reason of mentions": "<!channel>" * 20_000,
    "lines": "\n" * 1000,
    "half characters": "\N{COMBINING GRAVE ACCENT}" * 5000,
}
"""Why a pod failed, as whoever may write its status says."""
