# SPDX-License-Identifier: Apache-2.0
"""The API `pod-tracker.lost.backend/v1`: the one source of the CRD's schema and of what the operator reads and writes.

The structs' constraints and docs become the CRD (`make manifests`); CEL rules stand beside the field they guard.
Rules that look at `reporter.key` stand on `reporter`: the API server prints the value of the field that a rule stands
on, and must never print a token back.
"""

from __future__ import annotations

import enum
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

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

SUBDOMAIN: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
"""What pods and Secrets can be called; RE2 and Python read it alike."""
LABEL: Final = "([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]"
"""What a label's value can be, and its key behind the prefix."""
DATA_KEY: Final = "[-._a-zA-Z0-9]+"
"""What a key of a Secret can be called."""

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
                    f"!has(self.name) || self.name.matches('^{SUBDOMAIN}$')",
                    "write a Secret's name: lower case letters, digits, '-' and '.'",
                ),
                _rule(
                    f"!has(self.key) || self.key.matches('^{DATA_KEY}$')",
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
                        f"self.matches('^{SUBDOMAIN}$')",
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
                    f"!has(self.name) || self.name.matches('^{SUBDOMAIN}$')",
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
