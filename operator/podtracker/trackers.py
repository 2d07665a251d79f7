# SPDX-License-Identifier: Apache-2.0
"""A PodTracker object as the operator works with it: who it is, what it wants, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from podtracker.api import (
    DATA_KEY,
    LABEL,
    MAX_NAME,
    SUBDOMAIN,
    TEST_ANNOTATION,
    LabelSelector,
    PodTrackerSpec,
    Reporter,
    SecretRef,
)
from podtracker.errors import InvalidTrackerError
from podtracker.redact import Token
from podtracker.times import epoch_seconds

_WHICH_PODS: Final = frozenset({"f:name", "f:selector", "f:workloadRef"})
"""The fields that say which pods are meant, as managedFields name them."""
_QUOTED: Final = re.compile(r"value '.*?'(?= - at|$)", re.DOTALL)
"""Where msgspec repeats a value that it refuses; it could be a token in the wrong field."""


class Notice(msgspec.Struct, frozen=True):
    """What a Kubernetes Event tells on a tracker."""

    warning: bool
    reason: str
    message: str


class Tracker(msgspec.Struct, frozen=True):
    """A tracker as the operator works with it: identity from its metadata, and its spec."""

    uid: str
    namespace: str
    name: str
    generation: int
    created: int
    """Seconds since 1970, the API server's clock: metadata.creationTimestamp."""
    spec: PodTrackerSpec


class TrackerIdentity(msgspec.Struct, frozen=True):
    """What is known of a tracker whatever its spec says."""

    uid: str
    namespace: str
    name: str
    generation: int
    created: int


def identify(body: Mapping[str, Any]) -> TrackerIdentity:
    """Who a PodTracker object is, from its metadata, which the API server itself wrote."""
    meta = body["metadata"]
    return TrackerIdentity(
        uid=meta["uid"],
        namespace=meta["namespace"],
        name=meta["name"],
        generation=int(meta.get("generation", 0)),
        created=epoch_seconds(meta["creationTimestamp"]),
    )


def test_nonce(body: Mapping[str, Any]) -> str:
    """What the annotation that asks for a test message says; empty where it is not there."""
    value = (body["metadata"].get("annotations") or {}).get(TEST_ANNOTATION, "")
    return str(value)[:MAX_NAME]


def spec_written(body: Mapping[str, Any]) -> int:
    """When it was last written which pods are meant, in seconds since 1970 by the API server's clock.

    From managedFields, the only record of it: of those who wrote that, or, where none says so, of all who wrote more
    than the status; where somebody cleared them, the creation time. What is only taken away leaves no time there.
    """
    meta = body["metadata"]
    written = [
        entry for entry in meta.get("managedFields") or () if "time" in entry and entry.get("subresource") != "status"
    ]
    chosen = [entry for entry in written if _WHICH_PODS & ((entry.get("fieldsV1") or {}).get("f:spec") or {}).keys()]
    times = [epoch_seconds(entry["time"]) for entry in chosen or written]
    return max(times, default=epoch_seconds(meta["creationTimestamp"]))


def parse(body: Mapping[str, Any]) -> Tracker:
    """Read a PodTracker object.

    The CRD has refused what is wrong long before; this is for objects that an older CRD let in.

    Raises:
        InvalidTrackerError: the spec does not fit; the message names the field and never its value.
    """
    who = identify(body)
    try:
        spec = msgspec.convert(body.get("spec"), PodTrackerSpec, dec_hook=_decode_token)
    except msgspec.ValidationError as error:
        raise InvalidTrackerError(f"spec: {_QUOTED.sub('value', str(error))}") from None
    problem = _problem(spec)
    if problem:
        raise InvalidTrackerError(problem)
    return Tracker(
        uid=who.uid,
        namespace=who.namespace,
        name=who.name,
        generation=who.generation,
        created=who.created,
        spec=spec,
    )


def _decode_token(kind: type, value: Any) -> Any:
    if kind is Token and isinstance(value, str):
        return Token(value)
    raise TypeError(f"expected a string for {kind.__name__}")


def _problem(spec: PodTrackerSpec) -> str | None:
    """The CRD's CEL rules once more, for objects older than the rule."""
    if sum(way is not None for way in (spec.name, spec.selector, spec.workload_ref)) != 1:
        return "spec needs exactly one of name, selector and workloadRef"
    if spec.selector is not None and not all(_can_be_labels(spec.selector)):
        return (
            "spec.selector has a key or a value that no label can have, so it would never mean a pod: write letters,"
            " digits, '-', '_' and '.', at most 63; before a key may stand a domain and '/'"
        )
    if spec.mute_until is not None and not _is_time(spec.mute_until):
        return "spec.muteUntil is no time such as 2027-01-01T00:00:00Z"
    return _reporter_problem(spec.reporter)


def _can_be_labels(selector: LabelSelector) -> Iterator[bool]:
    """Of each key and value, whether a label can be so. As a CEL rule this would cost too much: keys have no bound."""
    for key, value in selector.match_labels.items():
        yield _is_label_key(key)
        yield not value or re.fullmatch(LABEL, value) is not None
    for demand in selector.match_expressions:
        yield _is_label_key(demand.key)
        for value in demand.values:
            yield not value or re.fullmatch(LABEL, value) is not None


def _is_label_key(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    if slash and not (len(prefix) <= MAX_NAME and re.fullmatch(SUBDOMAIN, prefix)):
        return False
    return re.fullmatch(LABEL, name) is not None


def _is_secret(ref: SecretRef) -> bool:
    """Whether a Secret and a key can be called that; both are written into requests, and into commands for people."""
    good_key = ref.key is None or re.fullmatch(DATA_KEY, ref.key) is not None
    return good_key and re.fullmatch(SUBDOMAIN, ref.name) is not None


def _is_time(text: str) -> bool:
    try:
        epoch_seconds(text)
    except ValueError:
        return False
    return True


def _reporter_problem(reporter: Reporter) -> str | None:
    if (reporter.key is None) == (reporter.key_secret_ref is None):
        return "spec.reporter needs exactly one of keySecretRef and key"
    if reporter.key_secret_ref is not None and not _is_secret(reporter.key_secret_ref):
        return "spec.reporter.keySecretRef names no Secret, or no key, that could exist"
    if reporter.kind == "slack":
        return None if reporter.channel else "spec.reporter.channel is missing: kind slack needs the channel's ID"
    if reporter.channel is not None:
        return "spec.reporter.channel is for kind slack only"
    if reporter.key_secret_ref is None or reporter.key_secret_ref.key is not None:
        return f"kind {reporter.kind} needs keySecretRef with name only"
    return None
