# SPDX-License-Identifier: Apache-2.0
"""The CEL rules of the API once more, as Python, so that they can be checked without an API server.

A rule of `api` that has no twin here fails a test, and so does a twin without its rule; another test compares what both
say of the same objects.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

_HAS: Final = re.compile(r"has\(self\.(\w+)\)")
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_DATA_KEY: Final = re.compile(r"[-._a-zA-Z0-9]+")

TWINS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "(has(self.name) ? 1 : 0) + (has(self.selector) ? 1 : 0) + (has(self.workloadRef) ? 1 : 0) == 1": lambda spec: (
        sum(way in spec for way in ("name", "selector", "workloadRef")) == 1
    ),
    "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')": lambda name: (
        _SUBDOMAIN.fullmatch(name) is not None
    ),
    "!has(self.name) || self.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')": (
        lambda ref: "name" not in ref or _SUBDOMAIN.fullmatch(ref["name"]) is not None
    ),
    "!has(self.key) || self.key.matches('^[-._a-zA-Z0-9]+$')": lambda ref: (
        "key" not in ref or _DATA_KEY.fullmatch(ref["key"]) is not None
    ),
    "has(self.key) != has(self.keySecretRef)": lambda reporter: ("key" in reporter) != ("keySecretRef" in reporter),
    "!has(self.kind) || self.kind != 'slack' || (has(self.channel) && self.channel != '')": lambda reporter: (
        reporter.get("kind") != "slack" or bool(reporter.get("channel"))
    ),
    "!has(self.kind) || self.kind == 'slack' || !has(self.channel)": lambda reporter: (
        _slack(reporter) or "channel" not in reporter
    ),
    "!has(self.kind) || self.kind == 'slack' || !has(self.key)": lambda reporter: (
        _slack(reporter) or "key" not in reporter
    ),
    "!has(self.kind) || self.kind == 'slack' || !has(self.keySecretRef) || !has(self.keySecretRef.key)": (
        lambda reporter: _slack(reporter) or "key" not in reporter.get("keySecretRef", {})
    ),
    "self.all(e, (e.operator in ['In', 'NotIn']) == (has(e.values) && size(e.values) > 0))": lambda demands: all(
        (demand["operator"] in {"In", "NotIn"}) == bool(demand.get("values")) for demand in demands
    ),
    "!has(self.apiVersion) || (self.apiVersion == 'batch/v1') == (self.kind in ['Job', 'CronJob'])": lambda ref: (
        "apiVersion" not in ref or (ref["apiVersion"] == "batch/v1") == (ref["kind"] in {"Job", "CronJob"})
    ),
}
"""By rule; `has(self.x)` alone needs none."""


def holds(rule: str, value: Any) -> bool:
    """Whether a rule holds for a value that has the right type."""
    if field := _HAS.fullmatch(rule):
        return bool(field[1] in value)
    return bool(TWINS[rule](value))


def said_by(rule: str) -> str | None:
    """The field whose absence this rule tells of, where it does nothing else: the schema does not demand it then."""
    field = _HAS.fullmatch(rule)
    return field[1] if field else None


def _slack(reporter: Mapping[str, Any]) -> bool:
    return bool(reporter.get("kind", "slack") == "slack")
