# SPDX-License-Identifier: Apache-2.0
"""The API `pod-tracker.lost.backend/v1`: the one source of the CRD's schema and of what the operator reads and writes.

The structs' constraints and docs become the CRD (`make manifests`); CEL rules stand beside the field they guard.
Rules that look at `reporter.key` stand on `reporter`: the API server prints the value of the field that a rule stands
on, and must never print a token back.
"""

from __future__ import annotations

import datetime as dt
import enum
import re
from collections.abc import Iterator, Mapping
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

_SUBDOMAIN: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
"""What pods and Secrets can be called; RE2 and Python read it alike."""
_WHICH_PODS: Final = frozenset({"f:name", "f:selector", "f:workloadRef"})
"""The fields that say which pods are meant, as managedFields name them."""
_LABEL: Final = "([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]"
"""What a label's value can be, and its key behind the prefix."""
_DATA_KEY: Final = "[-._a-zA-Z0-9]+"
"""What a key of a Secret can be called."""
_QUOTED: Final = re.compile(r"value '.*?'(?= - at|$)", re.DOTALL)
"""Where msgspec repeats a value that it refuses; it could be a token in the wrong field."""

MAX_NAME: Final = 253
"""Characters; Kubernetes' own limit for the names of pods and Secrets."""


MAX_MESSAGE: Final = 2000
"""Characters of a tracker's own text."""
TEST_ANNOTATION: Final = f"{GROUP}/test"
"""Asks for one test message; its value is a nonce, and the same one asks nothing again."""


class Event(enum.StrEnum):
    """What can happen to a pod that a tracker may ask for; docs/user/events.md says when each is told."""

    CREATED = "Created"
    STARTED = "Started"
    READY = "Ready"
    RESTARTED = "Restarted"
    CRASH_LOOPING = "CrashLooping"
    OOM_KILLED = "OOMKilled"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    START_FAILED = "StartFailed"
    UNSCHEDULABLE = "Unschedulable"
    FAILED = "Failed"
    SUCCEEDED = "Succeeded"
    DELETED = "Deleted"
    RECOVERED = "Recovered"


TROUBLES: Final = frozenset(
    {Event.CRASH_LOOPING, Event.OOM_KILLED, Event.IMAGE_PULL_FAILED, Event.START_FAILED, Event.UNSCHEDULABLE}
)
"""Told once per episode; the episode ends with `Recovered`."""


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
                description="Key within the Secret that holds the Slack token; `token` where absent. Slack only.",
            ),
        ]
        | None
    ) = None


class Reporter(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a tracker's messages go, and the credential that sends them."""

    kind: Annotated[
        Literal["slack", "webhook", "apprise"],
        Meta(
            description="The kind of receiver: `slack`; `webhook` (CloudEvents over HTTP); `apprise` (where the"
            " operator's configuration allows it)."
        ),
    ]
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
            description="Secret that holds the credential. For slack: the bot token (scope `chat:write`) under `key`."
            " For webhook and apprise: the Secret's keys `url`, and for webhook optionally `token` and `hmacKey`.",
            # Here and not on the fields themselves: a token that was put into the wrong one is not printed.
            extra_json_schema=_rules(
                _rule("has(self.name)", "write name: the Secret that holds the token"),
                _rule(
                    f"!has(self.name) || self.name.matches('^{_SUBDOMAIN}$')",
                    "write a Secret's name: lower case letters, digits, '-' and '.'",
                ),
                _rule(
                    f"!has(self.key) || self.key.matches('^{_DATA_KEY}$')",
                    "write a key of the Secret: letters, digits, '-', '_' and '.'",
                ),
            ),
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


class LabelRequirement(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of matchExpressions."""

    key: Annotated[str, Meta(min_length=1, max_length=317, description="The label's key.")]
    operator: Annotated[
        Literal["In", "NotIn", "Exists", "DoesNotExist"], Meta(description="How the label is compared with `values`.")
    ]
    values: Annotated[
        tuple[Annotated[str, Meta(max_length=63)], ...],
        Meta(
            max_length=32,
            description="For In and NotIn: at least one value. For Exists and DoesNotExist: none.",
            extra_json_schema={"x-kubernetes-list-type": "atomic"},
        ),
    ] = ()


class LabelSelector(msgspec.Struct, frozen=True, omit_defaults=True):
    """A label query, as Deployments have it: everything in it has to hold."""

    match_labels: Annotated[
        dict[str, Annotated[str, Meta(max_length=63)]],
        Meta(max_length=32, description="Labels that the pod must have, with these values."),
    ] = msgspec.field(default_factory=dict, name="matchLabels")
    match_expressions: Annotated[
        tuple[LabelRequirement, ...],
        Meta(
            max_length=16,
            description="Further demands on the pod's labels.",
            extra_json_schema={
                "x-kubernetes-list-type": "atomic",
                **_rules(
                    _rule(
                        "self.all(e, (e.operator in ['In', 'NotIn']) == (has(e.values) && size(e.values) > 0))",
                        "write values for In and NotIn, and none for Exists and DoesNotExist",
                    )
                ),
            },
        ),
    ] = msgspec.field(default=(), name="matchExpressions")


class WorkloadRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """The workload whose pods are meant, in the tracker's namespace."""

    kind: Annotated[
        Literal["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob"],
        Meta(description="Kind of the workload."),
    ]
    name: Annotated[str, Meta(min_length=1, max_length=MAX_NAME, description="Name of the workload.")]
    api_version: (
        Annotated[
            Literal["apps/v1", "batch/v1"],
            Meta(description="apps/v1, or batch/v1 for Job and CronJob; found from the kind where absent."),
        ]
        | None
    ) = msgspec.field(default=None, name="apiVersion")


class PodTrackerSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which pods to report, what of them, and where."""

    reporter: Annotated[
        Reporter,
        Meta(
            extra_json_schema=_rules(
                _rule("has(self.kind)", "write kind: slack, webhook or apprise"),
                _rule(
                    "has(self.key) != has(self.keySecretRef)",
                    "write exactly one of keySecretRef (a Secret with the token; better) and key (the token inline)",
                ),
                _rule(
                    "!has(self.kind) || self.kind != 'slack' || (has(self.channel) && self.channel != '')",
                    "kind slack needs channel: write the channel's ID, such as C0821GM4602",
                ),
                _rule(
                    "!has(self.kind) || self.kind == 'slack' || !has(self.channel)",
                    "channel is for kind slack only: write the URL of a webhook or of apprise into the Secret",
                ),
                _rule(
                    "!has(self.kind) || self.kind == 'slack' || !has(self.key)",
                    "key is for kind slack only: write keySecretRef: a Secret with url (webhook: token, hmacKey too)",
                ),
                _rule(
                    "!has(self.kind) || self.kind == 'slack' || !has(self.keySecretRef) || !has(self.keySecretRef.key)",
                    "keySecretRef.key is for kind slack only: write name alone; the keys are url, token and hmacKey",
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
                        f"self.matches('^{_SUBDOMAIN}$')",
                        "write a pod's exact name: lower case letters, digits, '-' and '.'; no wildcards",
                    )
                ),
            ),
        ]
        | None
    ) = None
    selector: Annotated[
        LabelSelector | None,
        Meta(
            description="Labels of the pods to report, as in a Deployment's selector; an empty one means every pod of"
            " the namespace. An edit starts anew: pods that exist then are not reported as created."
        ),
    ] = None
    workload_ref: Annotated[
        WorkloadRef | None,
        Meta(
            description="The workload whose pods to report, through all its ReplicaSets or Jobs.",
            extra_json_schema=_rules(
                _rule(
                    "!has(self.apiVersion) || (self.apiVersion == 'batch/v1') == (self.kind in ['Job', 'CronJob'])",
                    "write apiVersion batch/v1 for Job and CronJob, apps/v1 for the others, or leave it out",
                ),
                _rule(
                    f"!has(self.name) || self.name.matches('^{_SUBDOMAIN}$')",
                    "write the workload's exact name: lower case letters, digits, '-' and '.'; no wildcards",
                ),
            ),
        ),
    ] = msgspec.field(default=None, name="workloadRef")
    events: Annotated[
        tuple[Event, ...],
        Meta(
            min_length=1,
            max_length=len(Event),
            description="What to report of those pods; `Created` where absent.",
            extra_json_schema={"x-kubernetes-list-type": "set", "x-default": ["Created"]},
        ),
    ] = (Event.CREATED,)
    message: (
        Annotated[
            str,
            Meta(
                max_length=MAX_MESSAGE,
                description="Text of a single message, instead of the default: Jinja expressions, filters and `if`."
                " Digests use the default text. `podtracker explain` lists the variables.",
            ),
        ]
        | None
    ) = None
    start_policy: Annotated[
        Literal["New", "All"],
        Meta(
            description="`New`: pods that are not older than the tracker. `All`: also the matching pods that exist when"
            " the tracker is made.",
            extra_json_schema={"x-default": "New"},
        ),
    ] = msgspec.field(default="New", name="startPolicy")
    suspend: Annotated[
        bool,
        Meta(description="While true nothing is sent; what happens is kept and told in one summary afterwards."),
    ] = False
    mute_until: (
        Annotated[
            str,
            Meta(
                max_length=64,
                description="Until then nothing is sent; what happens is kept and told in one summary afterwards.",
                extra_json_schema={"format": "date-time"},
            ),
        ]
        | None
    ) = msgspec.field(default=None, name="muteUntil")
    grouping: (
        Annotated[
            Literal["Auto", "Digest"],
            Meta(
                description="`Auto` (where absent): one message for each occurrence, digests under pressure. `Digest`:"
                " collect for a while, then send one digest."
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


class LastTest(msgspec.Struct, frozen=True):
    """The last test message that the annotation asked for."""

    nonce: Annotated[str, Meta(max_length=253, description="The annotation's value.")]
    time: Annotated[
        str, Meta(max_length=64, description="When it was tried.", extra_json_schema={"format": "date-time"})
    ]


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
    suppressed: Annotated[int, Meta(ge=0, description="Occurrences found while suspended or muted.")] | None = None
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
    last_test: Annotated[LastTest | None, Meta(description="The last test message.")] = msgspec.field(
        default=None, name="lastTest"
    )
    conditions: Annotated[
        tuple[Condition, ...],
        Meta(
            max_length=16,
            description="`Ready`, `ReporterReady`, `ReporterVerified`, `MessageValid`, `CredentialsSecure`; all are"
            " positive.",
            extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = ()


class PodTracker(msgspec.Struct, frozen=True):
    """Reports what happens to pods of its namespace to a receiver, each occurrence once."""

    spec: Annotated[
        PodTrackerSpec,
        Meta(
            extra_json_schema=_rules(
                _rule(
                    "(has(self.name) ? 1 : 0) + (has(self.selector) ? 1 : 0) + (has(self.workloadRef) ? 1 : 0) == 1",
                    "write exactly one of name (of a pod), selector (labels) and workloadRef (a Deployment or such)",
                ),
                _rule("has(self.reporter)", "write reporter: kind (slack), channel and keySecretRef"),
            )
        ),
    ]
    status: PodTrackerStatus | None = None


Resource = Annotated[
    PodTracker,
    Meta(extra_json_schema=_rules(_rule("has(self.spec)", "write spec: name, selector or workloadRef, and reporter"))),
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


def _is_time(text: str) -> bool:
    try:
        epoch_seconds(text)
    except ValueError:
        return False
    return True


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
        yield not value or re.fullmatch(_LABEL, value) is not None
    for demand in selector.match_expressions:
        yield _is_label_key(demand.key)
        for value in demand.values:
            yield not value or re.fullmatch(_LABEL, value) is not None


def _is_label_key(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    if slash and not (len(prefix) <= MAX_NAME and re.fullmatch(_SUBDOMAIN, prefix)):
        return False
    return re.fullmatch(_LABEL, name) is not None


def _is_secret(ref: SecretRef) -> bool:
    """Whether a Secret and a key can be called that; both are written into requests, and into commands for people."""
    good_key = ref.key is None or re.fullmatch(_DATA_KEY, ref.key) is not None
    return good_key and re.fullmatch(_SUBDOMAIN, ref.name) is not None


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
