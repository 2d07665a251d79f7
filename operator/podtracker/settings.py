# SPDX-License-Identifier: Apache-2.0
"""Settings: each is an environment variable and a flag, parsed once, at the start. The flag wins."""

from __future__ import annotations

import argparse
import math
import re
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from podtracker.egress import Networks, Proxies
from podtracker.errors import SettingsError
from podtracker.web import Address

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LONGEST = 7 * 24 * 3600.0
"""Seconds; a longer time in a setting is a mistake of unit."""
_MAX_PORT = 65535
_LONGEST_NAME = 63
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,31}")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator is told. Times are in seconds."""

    watch_namespaces: tuple[str, ...]
    """Exact names; empty for all namespaces."""
    pod_namespace: str
    pod_name: str
    pod_uid: str
    """This replica's identity; survives a restart of its container."""
    lease_duration: float
    lease_renew_deadline: float
    lease_retry: float
    watch_silence: float
    service_account: str
    slack_api_url: str
    slack_rate: float
    slack_burst: int
    slack_timeout: float
    retry_backoff: float
    retry_backoff_max: float
    blocked_retry: float
    secret_refresh: float
    drain_timeout: float
    digest_interval: float
    unschedulable_grace: int
    mount_grace: int
    recovery_hold: int
    cluster_name: str
    allow_inline_keys: bool
    egress_allow: Networks
    apprise_schemes: frozenset[str]
    webhook_timeout: float
    proxies: Proxies
    """From HTTP_PROXY, HTTPS_PROXY and NO_PROXY, which have no flags."""
    health_address: Address | None
    metrics_address: Address | None
    log_level: str
    log_format: str


class _Setting(msgspec.Struct, frozen=True):
    field: str
    variable: str
    default: str
    parse: Callable[[str], Any]
    help: str

    @property
    def flag(self) -> str:
        return "--" + self.variable.lower().replace("_", "-").replace("pod-service-", "service-")


def _namespaces(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in names:
        _namespace(name)
    return names


def _namespace(text: str) -> str:
    if not _LABEL.fullmatch(text):
        raise ValueError(f"{text!r} is no namespace name: lower case letters, digits and '-', at most 63; no wildcards")
    return text


def _service_account(text: str) -> str:
    if not all(_LABEL.fullmatch(part) for part in text.split(".")):
        raise ValueError(f"{text!r} is no ServiceAccount name")
    return text


def _url(text: str) -> str:
    if "@" in text:
        raise ValueError("a URL with a user name or password in it is not accepted")
    try:
        parts = urlsplit(text)
        whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        raise ValueError(f"{text!r} is no http(s) URL such as https://slack.com/api/") from None
    if not whole or parts.query or parts.fragment:
        raise ValueError(f"{text!r} is no http(s) URL such as https://slack.com/api/")
    return text if text.endswith("/") else text + "/"


def _number(lowest: float, highest: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not lowest <= value <= highest:
            raise ValueError(f"{text!r} is no number from {lowest:g} to {highest:g}")
        return value

    return parse


def _whole(lowest: int, highest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not lowest <= int(text) <= highest:
            raise ValueError(f"{text!r} is no whole number from {lowest} to {highest}")
        return int(text)

    return parse


def _address(text: str) -> Address | None:
    if text == "0":
        return None
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or not 0 < int(port) <= _MAX_PORT:
        raise ValueError(f"{text!r} is no address: write :PORT, HOST:PORT, or 0 for none")
    return Address(host.strip("[]"), int(port))


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"{text!r} is none of {', '.join(words)}")
        return text.lower()

    return parse


def _boolean(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


def _cluster_name(text: str) -> str:
    if len(text) > _LONGEST_NAME or not text.isprintable():
        raise ValueError(f"a cluster's name has at most {_LONGEST_NAME} characters, and no control characters")
    return text


def _schemes(text: str) -> frozenset[str]:
    schemes = frozenset(part.strip().lower() for part in text.split(",") if part.strip())
    for scheme in schemes:
        if not _SCHEME.fullmatch(scheme):
            raise ValueError(f"{scheme!r} is no URL scheme such as mailtos or discord; write it without ://")
    return schemes


def _any(text: str) -> str:
    return text


_SETTINGS: Final = (
    _Setting(
        "watch_namespaces",
        "WATCH_NAMESPACE",
        "",
        _namespaces,
        "namespaces to watch, separated by commas; empty for all",
    ),
    _Setting("pod_namespace", "POD_NAMESPACE", "", _namespace, "the operator's own namespace"),
    _Setting("pod_name", "POD_NAME", "pod-tracker", _any, "the operator's own pod, as Kubernetes Events name it"),
    _Setting(
        "pod_uid", "POD_UID", "", _any, "the operator's own pod's uid, its identity as a leader; random where empty"
    ),
    _Setting(
        "lease_duration",
        "LEASE_DURATION",
        "8",
        _number(1, 3600),
        "seconds after which an unrenewed lease may be taken over",
    ),
    _Setting(
        "lease_renew_deadline",
        "LEASE_RENEW_DEADLINE",
        "5",
        _number(0.5, 3600),
        "seconds without a renewal after which the leader sends nothing",
    ),
    _Setting(
        "watch_silence",
        "WATCH_SILENCE",
        "90",
        _number(1, 3600),
        "seconds without a byte after which a watch is dead; bookmarks come about once a minute",
    ),
    _Setting("lease_retry", "LEASE_RETRY", "1", _number(0.1, 600), "seconds between renewals of the lease"),
    _Setting(
        "service_account",
        "POD_SERVICE_ACCOUNT",
        "pod-tracker-controller-manager",
        _service_account,
        "the operator's own ServiceAccount, as printed in the commands that grant it more",
    ),
    _Setting(
        "slack_api_url", "SLACK_API_URL", "https://slack.com/api/", _url, "Slack, or a gateway that speaks like it"
    ),
    _Setting("slack_rate", "SLACK_RATE", "1", _number(0.01, 1000), "messages per second and channel"),
    _Setting("slack_burst", "SLACK_BURST", "3", _whole(1, 1000), "messages that may go at once after a quiet time"),
    _Setting("slack_timeout", "SLACK_TIMEOUT", "10", _number(0.1, 300), "seconds for one request to Slack"),
    _Setting("retry_backoff", "RETRY_BACKOFF", "1", _number(0.01, 3600), "seconds before the second attempt; doubles"),
    _Setting(
        "retry_backoff_max", "RETRY_BACKOFF_MAX", "60", _number(0.01, _LONGEST), "seconds between attempts at most"
    ),
    _Setting(
        "blocked_retry",
        "BLOCKED_RETRY",
        "600",
        _number(1, _LONGEST),
        "seconds before a receiver that refused is tried again",
    ),
    _Setting("secret_refresh", "SECRET_REFRESH", "60", _number(1, _LONGEST), "seconds between two reads of a Secret"),
    _Setting(
        "drain_timeout", "DRAIN_TIMEOUT", "20", _number(0, 3600), "seconds to deliver what waits when asked to stop"
    ),
    _Setting(
        "digest_interval",
        "DIGEST_INTERVAL",
        "60",
        _number(0.1, _LONGEST),
        "seconds for which a tracker with grouping: Digest collects",
    ),
    _Setting(
        "unschedulable_grace",
        "UNSCHEDULABLE_GRACE",
        "60",
        _whole(0, int(_LONGEST)),
        "seconds that a pod may be unschedulable before it is told",
    ),
    _Setting(
        "mount_grace",
        "MOUNT_GRACE",
        "150",
        _whole(0, int(_LONGEST)),
        "seconds that volumes and network may take before StartFailed is told; the kubelet gives up a mount after 123",
    ),
    _Setting(
        "recovery_hold",
        "RECOVERY_HOLD",
        "180",
        _whole(0, int(_LONGEST)),
        "seconds that a pod in trouble has to be ready without a break to count as recovered",
    ),
    _Setting("cluster_name", "CLUSTER_NAME", "", _cluster_name, "the cluster's name, for messages; empty for none"),
    _Setting(
        "allow_inline_keys",
        "ALLOW_INLINE_KEYS",
        "true",
        _boolean,
        "whether a token may stand in a tracker (spec.reporter.key)",
    ),
    _Setting(
        "egress_allow",
        "EGRESS_ALLOW",
        "",
        Networks.parse,
        "networks (CIDR, separated by commas) that webhooks and apprise may reach although they are private",
    ),
    _Setting(
        "apprise_schemes",
        "APPRISE_SCHEMES",
        "",
        _schemes,
        "URL schemes of Apprise that trackers may use, separated by commas; empty switches the kind apprise off",
    ),
    _Setting("webhook_timeout", "WEBHOOK_TIMEOUT", "10", _number(0.1, 300), "seconds for one request to a webhook"),
    _Setting(
        "health_address",
        "HEALTH_PROBE_BIND_ADDRESS",
        ":8081",
        _address,
        "where /healthz and /readyz are served; 0 for nowhere",
    ),
    _Setting("metrics_address", "METRICS_BIND_ADDRESS", ":8080", _address, "where /metrics is served; 0 for nowhere"),
    _Setting(
        "log_level", "LOG_LEVEL", "info", _one_of("debug", "info", "warning", "error"), "debug, info, warning or error"
    ),
    _Setting("log_format", "LOG_FORMAT", "text", _one_of("text", "json"), "text or json"),
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """One flag per setting, with its variable and default in the help."""
    for setting in _SETTINGS:
        default = f", default {setting.default}" if setting.default else ""
        text = f"{setting.help} (environment: {setting.variable}{default})"
        parser.add_argument(setting.flag, dest=setting.field, metavar="VALUE", help=text)


def load(flags: Mapping[str, str | None], environment: Mapping[str, str]) -> Settings:
    """Flags over environment over defaults.

    Raises:
        SettingsError: a value cannot work; names the flag or the variable that has it.
    """
    values: dict[str, Any] = {}
    for setting in _SETTINGS:
        text = flags.get(setting.field)
        source = setting.flag
        if text is None:
            text, source = environment.get(setting.variable), setting.variable
        if text is None or (text == "" and setting.default):
            text = setting.default
        if setting.field == "pod_namespace" and not text:
            text = _own_namespace()
        try:
            values[setting.field] = setting.parse(text.strip())
        except ValueError as error:
            raise SettingsError(f"{source}: {error}") from None
    if values["retry_backoff_max"] < values["retry_backoff"]:
        raise SettingsError("RETRY_BACKOFF_MAX: must not be less than RETRY_BACKOFF")
    if not values["lease_retry"] < values["lease_renew_deadline"] < values["lease_duration"]:
        raise SettingsError("LEASE_RETRY must be less than LEASE_RENEW_DEADLINE, and that less than LEASE_DURATION")
    try:
        values["proxies"] = Proxies.from_environment(environment)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    values["pod_uid"] = values["pod_uid"] or uuid.uuid4().hex
    return Settings(**values)


def _own_namespace() -> str:
    try:
        return _NAMESPACE_FILE.read_text(encoding="utf-8").strip()
    except OSError:
        return "pod-tracker-system"
