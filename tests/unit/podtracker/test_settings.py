# SPDX-License-Identifier: Apache-2.0
"""Every setting: from the environment, from its flag, which wins, and what is said of a wrong value."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from podtracker import settings
from podtracker.egress import Networks
from podtracker.errors import SettingsError
from podtracker.settings import Settings
from podtracker.web import Address

FIELDS = [field for field in Settings.__struct_fields__ if field != "proxies"]
SECRET = "hunter2-hunter2"


PARSER = argparse.ArgumentParser()
settings.add_flags(PARSER)


def flags(*arguments: str) -> dict[str, Any]:
    return vars(PARSER.parse_args(arguments))


def load(*arguments: str, **environment: str) -> Settings:
    return settings.load(flags(*arguments), environment)


@pytest.fixture(autouse=True)
def own_namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which Kubernetes tells a pod its namespace; it is not there."""
    path = tmp_path / "namespace"
    monkeypatch.setattr(settings, "_NAMESPACE_FILE", path)
    return path


def shown(value: object) -> object:
    """Addresses have no equality; their text has."""
    return str(value) if isinstance(value, (Address, Networks)) else value


def test_the_defaults() -> None:
    chosen = load()
    assert {field: shown(getattr(chosen, field)) for field in FIELDS if field != "pod_uid"} == {
        "watch_namespaces": (),
        "pod_namespace": "pod-tracker-system",
        "pod_name": "pod-tracker",
        "service_account": "pod-tracker-controller-manager",
        "slack_api_url": "https://slack.com/api/",
        "slack_rate": 1.0,
        "slack_burst": 3,
        "slack_timeout": 10.0,
        "retry_backoff": 1.0,
        "retry_backoff_max": 60.0,
        "blocked_retry": 600.0,
        "secret_refresh": 60.0,
        "drain_timeout": 20.0,
        "lease_duration": 8.0,
        "lease_renew_deadline": 5.0,
        "lease_retry": 1.0,
        "watch_silence": 90.0,
        "digest_interval": 60.0,
        "unschedulable_grace": 60,
        "mount_grace": 150,
        "recovery_hold": 180,
        "cluster_name": "",
        "allow_inline_keys": True,
        "egress_allow": "",
        "apprise_schemes": frozenset(),
        "webhook_timeout": 10.0,
        "health_address": "*:8081",
        "metrics_address": "*:8080",
        "log_level": "info",
        "log_format": "text",
    }


def test_in_a_pod_the_own_namespace_is_the_pods(own_namespace: Path) -> None:
    own_namespace.write_text("mine\n", encoding="utf-8")
    assert load().pod_namespace == "mine"
    assert load(POD_NAMESPACE="other").pod_namespace == "other"


def test_who_has_no_pod_uid_gets_one_of_its_own() -> None:
    assert load().pod_uid != load().pod_uid
    assert load(POD_UID="u1").pod_uid == "u1"


# variable, flag, field, two good values with what they mean
GOOD: list[tuple[str, str, str, tuple[str, object], tuple[str, object]]] = [
    ("WATCH_NAMESPACE", "--watch-namespace", "watch_namespaces", ("a", ("a",)), ("a, b,,a", ("a", "b"))),
    ("POD_NAMESPACE", "--pod-namespace", "pod_namespace", ("own", "own"), ("x1", "x1")),
    ("POD_NAME", "--pod-name", "pod_name", ("pod-tracker-1", "pod-tracker-1"), ("x", "x")),
    ("POD_UID", "--pod-uid", "pod_uid", ("u1", "u1"), ("u2", "u2")),
    ("POD_SERVICE_ACCOUNT", "--service-account", "service_account", ("sa", "sa"), ("sa.b", "sa.b")),
    (
        "SLACK_API_URL",
        "--slack-api-url",
        "slack_api_url",
        ("http://127.0.0.1:9/api", "http://127.0.0.1:9/api/"),
        ("https://gateway.example/x/", "https://gateway.example/x/"),
    ),
    ("SLACK_RATE", "--slack-rate", "slack_rate", ("0.5", 0.5), ("20", 20.0)),
    ("SLACK_BURST", "--slack-burst", "slack_burst", ("1", 1), ("50", 50)),
    ("SLACK_TIMEOUT", "--slack-timeout", "slack_timeout", ("2.5", 2.5), ("300", 300.0)),
    ("RETRY_BACKOFF", "--retry-backoff", "retry_backoff", ("0.05", 0.05), ("2", 2.0)),
    ("RETRY_BACKOFF_MAX", "--retry-backoff-max", "retry_backoff_max", ("1", 1.0), ("3600", 3600.0)),
    ("BLOCKED_RETRY", "--blocked-retry", "blocked_retry", ("5", 5.0), ("86400", 86400.0)),
    ("SECRET_REFRESH", "--secret-refresh", "secret_refresh", ("1", 1.0), ("600", 600.0)),
    ("DRAIN_TIMEOUT", "--drain-timeout", "drain_timeout", ("0", 0.0), ("30", 30.0)),
    ("LEASE_DURATION", "--lease-duration", "lease_duration", ("6", 6.0), ("30", 30.0)),
    ("LEASE_RENEW_DEADLINE", "--lease-renew-deadline", "lease_renew_deadline", ("2", 2.0), ("7.5", 7.5)),
    ("LEASE_RETRY", "--lease-retry", "lease_retry", ("0.2", 0.2), ("2", 2.0)),
    ("WATCH_SILENCE", "--watch-silence", "watch_silence", ("5", 5.0), ("120", 120.0)),
    (
        "HEALTH_PROBE_BIND_ADDRESS",
        "--health-probe-bind-address",
        "health_address",
        ("127.0.0.1:9001", "127.0.0.1:9001"),
        ("[::1]:9001", "::1:9001"),
    ),
    ("METRICS_BIND_ADDRESS", "--metrics-bind-address", "metrics_address", (":1", "*:1"), ("0", None)),
    ("DIGEST_INTERVAL", "--digest-interval", "digest_interval", ("1", 1.0), ("300", 300.0)),
    ("UNSCHEDULABLE_GRACE", "--unschedulable-grace", "unschedulable_grace", ("0", 0), ("120", 120)),
    ("MOUNT_GRACE", "--mount-grace", "mount_grace", ("5", 5), ("600", 600)),
    ("RECOVERY_HOLD", "--recovery-hold", "recovery_hold", ("5", 5), ("600", 600)),
    ("CLUSTER_NAME", "--cluster-name", "cluster_name", ("prod", "prod"), ("Küche 1", "Küche 1")),
    ("ALLOW_INLINE_KEYS", "--allow-inline-keys", "allow_inline_keys", ("False", False), ("true", True)),
    ("EGRESS_ALLOW", "--egress-allow", "egress_allow", ("10.0.0.0/8", "10.0.0.0/8"), ("::1/128", "::1/128")),
    (
        "APPRISE_SCHEMES",
        "--apprise-schemes",
        "apprise_schemes",
        ("Discord", frozenset({"discord"})),
        ("mailtos, json", frozenset({"mailtos", "json"})),
    ),
    ("WEBHOOK_TIMEOUT", "--webhook-timeout", "webhook_timeout", ("1", 1.0), ("30", 30.0)),
    ("LOG_LEVEL", "--log-level", "log_level", ("DEBUG", "debug"), ("error", "error")),
    ("LOG_FORMAT", "--log-format", "log_format", ("JSON", "json"), ("text", "text")),
]
VARIABLES = [entry[0] for entry in GOOD]


def test_the_table_below_has_every_setting() -> None:
    assert {entry[2] for entry in GOOD} | {"proxies"} == set(Settings.__struct_fields__)


@pytest.mark.parametrize(("variable", "flag", "field", "one", "two"), GOOD, ids=VARIABLES)
def test_a_setting_comes_from_the_environment_or_its_flag_and_the_flag_wins(
    variable: str, flag: str, field: str, one: tuple[str, object], two: tuple[str, object]
) -> None:
    def value(chosen: Settings) -> object:
        return shown(getattr(chosen, field))

    assert value(load(**{variable: one[0]})) == one[1]
    assert value(load(**{variable: f"  {one[0]}\n"})) == one[1]
    assert value(load(flag, two[0])) == two[1]
    assert value(load(f"{flag}={one[0]}", **{variable: two[0]})) == one[1]
    assert value(load(f"{flag}={one[0]}", **{variable: "this is wrong, and it does not matter"})) == one[1]


@pytest.mark.parametrize("variable", [name for name in VARIABLES if name != "POD_UID"])
def test_an_empty_variable_means_the_default(variable: str) -> None:
    empty, unset = load(POD_UID="u", **{variable: ""}), load(POD_UID="u")
    assert [shown(getattr(empty, field)) for field in FIELDS] == [shown(getattr(unset, field)) for field in FIELDS]


NUMBERS = ["x", "nan", "-1", "1 s"]
BAD: dict[str, list[str]] = {
    "WATCH_NAMESPACE": ["*", "a,*", "Team", "a b", "-a", "a_b", "a" * 64, "kube-*"],
    "POD_NAMESPACE": ["*", "A", "a,b", "a.b"],
    "DIGEST_INTERVAL": [*NUMBERS, "0"],
    "UNSCHEDULABLE_GRACE": [*NUMBERS, "1.5"],
    "MOUNT_GRACE": [*NUMBERS, "1.5"],
    "RECOVERY_HOLD": [*NUMBERS, "1.5"],
    "CLUSTER_NAME": ["a" * 64, "a\nb", "a\x1bb"],
    "ALLOW_INLINE_KEYS": ["yes", "0", "no"],
    "EGRESS_ALLOW": ["10.0.0.0/33", "example.org", "10.0.0.1/8", "*"],
    "APPRISE_SCHEMES": ["json://", "1x", "a b", "*"],
    "WEBHOOK_TIMEOUT": [*NUMBERS, "0", "301"],
    "POD_SERVICE_ACCOUNT": ["A", "a b", "a:b", "a/b", ".a"],
    "SLACK_API_URL": [
        "slack.com/api",
        "ftp://slack.com/",
        "http://",
        "https://slack.com/api/?x=1",
        "https://slack.com/#x",
        "//slack.com",
        "http://[::1",
        "http://host:port/",
        "http://host:99999/",
    ],
    "SLACK_RATE": [*NUMBERS, "0", "1001"],
    "SLACK_BURST": [*NUMBERS, "0", "1.5", "1001", "²", "+1"],
    "SLACK_TIMEOUT": [*NUMBERS, "0", "301"],
    "RETRY_BACKOFF": [*NUMBERS, "0", "3601"],
    "RETRY_BACKOFF_MAX": [*NUMBERS, "0", "604801", "0.5"],
    "BLOCKED_RETRY": [*NUMBERS, "0.5", "604801"],
    "SECRET_REFRESH": [*NUMBERS, "0.5", "604801"],
    "DRAIN_TIMEOUT": [*NUMBERS, "3601"],
    "LEASE_DURATION": [*NUMBERS, "0.5", "3601", "5", "4"],
    "LEASE_RENEW_DEADLINE": [*NUMBERS, "0.4", "8", "1", "60"],
    "LEASE_RETRY": [*NUMBERS, "0.05", "5", "601"],
    "WATCH_SILENCE": [*NUMBERS, "0.5", "3601"],
    "HEALTH_PROBE_BIND_ADDRESS": ["8081", ":", ":0", ":x", "a:65536", "localhost", ":-1", "::"],
    "METRICS_BIND_ADDRESS": ["8080", ":", ":0", ":x", "a:65536", "none"],
    "LOG_LEVEL": ["trace", "verbose", "10", "warn ing"],
    "LOG_FORMAT": ["xml", "logfmt"],
}
CASES = [(name, value) for name, values in BAD.items() for value in values]
FLAGS = {entry[0]: entry[1] for entry in GOOD}


@pytest.mark.parametrize(("variable", "value"), CASES, ids=[f"{name}={value}" for name, value in CASES])
def test_a_wrong_value_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(**{variable: value})
    assert variable in str(caught.value)
    with pytest.raises(SettingsError) as caught:
        load(f"{FLAGS[variable]}={value}")
    assert FLAGS[variable] in str(caught.value) or variable in str(caught.value)


def test_every_setting_that_can_be_wrong_is_in_the_table() -> None:
    assert set(VARIABLES) - set(BAD) == {"POD_NAME", "POD_UID"}


@pytest.mark.parametrize(
    "url",
    [
        f"https://user:{SECRET}@slack.com/api/",
        f"https://user:{SECRET}@slack.com/api/?x=1",
        f"ftp://user:{SECRET}@slack.com/",
        f"https://{SECRET}@slack.com/api/#x",
        f"https://user:{SECRET}@slack.com:port/",
    ],
)
def test_a_password_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError, match="SLACK_API_URL") as caught:
        load(SLACK_API_URL=url)
    assert SECRET not in str(caught.value)


def test_flags_tell_their_variable_and_default() -> None:
    text = " ".join(PARSER.format_help().split())
    for variable, flag, *_ in GOOD:
        assert flag in text
        assert f"environment: {variable}" in text
    assert "default https://slack.com/api/" in text


def test_a_proxy_that_cannot_be_used_is_refused_without_its_password() -> None:
    with pytest.raises(SettingsError) as caught:
        load(HTTPS_PROXY=f"socks9://user:{SECRET}@proxy")
    assert "HTTPS_PROXY" in str(caught.value)
    assert SECRET not in str(caught.value)
