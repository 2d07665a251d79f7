# SPDX-License-Identifier: Apache-2.0
"""The API `pod-tracker.lost.backend/v1`: the one source of the CRD's schema and of what the operator reads and writes.

The structs' constraints and docs become the CRD (`make manifests`); CEL rules stand beside the field they guard.
Rules that look at `reporter.key` stand on `reporter`: the API server prints the value of the field that a rule stands
on, and must never print a token back.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from podtracker.errors import InvalidTrackerError
from podtracker.redact import Token

GROUP: Final = "pod-tracker.lost.backend"
VERSION: Final = "v1"
KIND: Final = "PodTracker"
PLURAL: Final = "podtrackers"
SINGULAR: Final = "podtracker"
SHORT_NAMES: Final = ("pt",)
CATEGORIES: Final = ("all", "pod-tracker")
API_VERSION: Final = f"{GROUP}/{VERSION}"

DEFAULT_SECRET_KEY: Final = "token"  # noqa: S105 - the name of a key in a Secret, not its value
"""The key of the referenced Secret that holds a Slack token, where the tracker names none."""

_QUOTED: Final = re.compile(r"value '.*?'(?= - at|$)", re.DOTALL)
"""Where msgspec repeats a value that it refuses; it could be a token in the wrong field."""

MAX_NAME: Final = 253
"""Characters; Kubernetes' own limit for the names of pods and Secrets."""


def _rule(rule: str, message: str) -> dict[str, str]:
    return {"rule": rule, "message": message}


def _rules(*rules: dict[str, str]) -> dict[str, Any]:
    return {"x-kubernetes-validations": list(rules)}


class SecretRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """A key of a Secret in the tracker's namespace."""

    name: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=MAX_NAME,
            description="Name of a Secret in the tracker's namespace. The operator may read `pod-tracker-reporter`"
            " everywhere; any other once the namespace grants it (the tracker's condition shows the commands).",
        ),
    ]
    key: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=MAX_NAME,
                description="Key within the Secret that holds the token; `token` where absent.",
            ),
        ]
        | None
    ) = None


class Reporter(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a tracker's messages go, and the credential that sends them."""

    kind: Annotated[Literal["slack"], Meta(description="The kind of receiver: `slack`.")]
    channel: (
        Annotated[
            str,
            Meta(
                max_length=255,
                description="Slack channel ID, such as `C0821GM4602` (in Slack: channel name, About, at the bottom)."
                " The bot must be a member.",
            ),
        ]
        | None
    ) = None
    # The Meta stands around `SecretRef | None`: msgspec forgets one that stands on a struct inside a union.
    key_secret_ref: Annotated[
        SecretRef | None,
        Meta(
            description="Secret that holds the Slack bot token. The way to go; the token needs the scope `chat:write`.",
            extra_json_schema=_rules(_rule("has(self.name)", "write name: the Secret that holds the token")),
        ),
    ] = msgspec.field(default=None, name="keySecretRef")
    key: (
        Annotated[
            Token,
            Meta(
                description="Slack bot token, inline. Works, but whoever may read the tracker may read the token:"
                " prefer `keySecretRef`.",
                extra_json_schema={"maxLength": 4096},
            ),
        ]
        | None
    ) = None


class PodTrackerSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which pods to report, and where."""

    reporter: Annotated[
        Reporter,
        Meta(
            extra_json_schema=_rules(
                _rule("has(self.kind)", "write kind: slack"),
                _rule(
                    "has(self.key) != has(self.keySecretRef)",
                    "write exactly one of keySecretRef (a Secret with the token; better) and key (the token inline)",
                ),
                _rule(
                    "!has(self.kind) || self.kind != 'slack' || (has(self.channel) && self.channel != '')",
                    "kind slack needs channel: write the channel's ID, such as C0821GM4602",
                ),
            )
        ),
    ]
    name: (
        Annotated[
            str,
            Meta(
                max_length=MAX_NAME,
                description="Exact name of the pod to report, in the tracker's namespace.",
                extra_json_schema=_rules(
                    _rule(
                        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
                        "write a pod's exact name: lower case letters, digits, '-' and '.'; no wildcards",
                    )
                ),
            ),
        ]
        | None
    ) = None


class Condition(msgspec.Struct, frozen=True, omit_defaults=True):
    """One aspect of the tracker's state; all of ours are positive: True is good."""

    type: Annotated[str, Meta(max_length=316, description="Name of the aspect, in CamelCase.")]
    status: Annotated[str, Meta(max_length=7, description="True, False or Unknown.")]
    reason: Annotated[str, Meta(max_length=1024, description="Why, in one CamelCase word that programs may match on.")]
    message: Annotated[str, Meta(max_length=32768, description="Why, and what to do about it, for people.")]
    last_transition_time: Annotated[
        str,
        Meta(
            max_length=64,
            description="When `status` last changed.",
            extra_json_schema={"format": "date-time"},
        ),
    ] = msgspec.field(name="lastTransitionTime")
    observed_generation: (
        Annotated[
            int,
            Meta(ge=0, description="The generation of the spec that this was found for."),
        ]
        | None
    ) = msgspec.field(default=None, name="observedGeneration")


class PodTrackerStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the operator found and did. Counters count occurrences, not messages: a digest of 12 counts 12."""

    observed_generation: (
        Annotated[
            int,
            Meta(ge=0, description="The generation of the spec that this status speaks of."),
        ]
        | None
    ) = msgspec.field(default=None, name="observedGeneration")
    status: (
        Annotated[
            str,
            Meta(max_length=64, description="One word for people: Active, Degraded, Suspended or Invalid."),
        ]
        | None
    ) = None
    pod_count: (
        Annotated[
            int,
            Meta(ge=0, description="Pods that match now."),
        ]
        | None
    ) = msgspec.field(default=None, name="podCount")
    delivered: Annotated[int, Meta(ge=0, description="Occurrences that the receiver accepted.")] | None = None
    pending: Annotated[int, Meta(ge=0, description="Occurrences that wait for delivery.")] | None = None
    dropped: (
        Annotated[
            int,
            Meta(ge=0, description="Occurrences given up: over the quota, or never acceptable to the receiver."),
        ]
        | None
    ) = None
    last_delivered: (
        Annotated[
            str,
            Meta(
                max_length=64,
                description="When the receiver last accepted a message.",
                extra_json_schema={"format": "date-time"},
            ),
        ]
        | None
    ) = msgspec.field(default=None, name="lastDelivered")
    last_error: (
        Annotated[
            str,
            Meta(max_length=1024, description="What went wrong at the last failed delivery; gone after a good one."),
        ]
        | None
    ) = msgspec.field(default=None, name="lastError")
    conditions: Annotated[
        tuple[Condition, ...],
        Meta(
            max_length=16,
            description="`Ready`, `ReporterReady`, `CredentialsSecure`; all positive.",
            extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = ()


class PodTracker(msgspec.Struct, frozen=True):
    """Reports the named pods of its namespace to a receiver, each occurrence once."""

    spec: Annotated[
        PodTrackerSpec,
        Meta(
            extra_json_schema=_rules(
                _rule("has(self.name)", "write name: the exact name of the pod to report"),
                _rule("has(self.reporter)", "write reporter: kind (slack), channel and keySecretRef"),
            )
        ),
    ]
    status: PodTrackerStatus | None = None


Resource = Annotated[
    PodTracker,
    Meta(extra_json_schema=_rules(_rule("has(self.spec)", "write spec: name (of the pod) and reporter"))),
]
"""The whole object as the CRD's schema is made from it: the struct, and the rule for what stands beside `metadata`."""


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


def epoch_seconds(timestamp: str) -> int:
    """RFC 3339 as Kubernetes writes it, to whole seconds since 1970.

    Raises:
        ValueError: it is not such a time.
    """
    return int(dt.datetime.fromisoformat(timestamp).timestamp())


def rfc3339(seconds: float) -> str:
    """Seconds since 1970 as Kubernetes writes times: whole seconds, UTC."""
    return dt.datetime.fromtimestamp(int(seconds), tz=dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


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


def spec_written(body: Mapping[str, Any]) -> int:
    """When the object was last written other than its status, in seconds since 1970 by the API server's clock.

    From managedFields, the only record of it; where somebody cleared them, the creation time.
    """
    meta = body["metadata"]
    times = [
        epoch_seconds(entry["time"])
        for entry in meta.get("managedFields") or ()
        if "time" in entry and entry.get("subresource") != "status"
    ]
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
    if spec.name is None:
        return "spec.name is missing: write the exact name of the pod to report"
    if (spec.reporter.key is None) == (spec.reporter.key_secret_ref is None):
        return "spec.reporter needs exactly one of keySecretRef and key"
    if not spec.reporter.channel:
        return "spec.reporter.channel is missing: kind slack needs the channel's ID"
    return None
