# SPDX-License-Identifier: Apache-2.0
"""Trackers that the API server takes or refuses, and what `podtracker check` says of them.

An integration test asks the API server about the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from podtracker import api
from podtracker.commands.schema import NOT_CHECKED

KEY: Final = "sekret-that-shows-nowhere"
"""The inline key of all that have one."""
GOOD: Final = {"kind": "slack", "channel": "C1", "keySecretRef": {"name": "a"}}
BLOCKED: Final = ("", NOT_CHECKED)
ONE_WAY: Final = "exactly one of name"
ONE_KEY: Final = "write exactly one of keySecretRef (a Secret with the token; better) and key (the token inline)"
SECRET_NAME: Final = "write a Secret's name: lower case letters, digits, '-' and '.'"
CHANNEL: Final = "kind slack needs channel: write the channel's ID, such as C0821GM4602"
EVENTS: Final = 'supported values: "CrashLooping", "Created", "Deleted", "Failed", "ImagePullFailed", "OOMKilled"'

Found = tuple[str, str]
"""A field, and some of what is said of it."""


def tracker(**top: Any) -> dict[str, Any]:
    """A manifest with these fields."""
    return {"apiVersion": api.API_VERSION, "kind": api.KIND, "metadata": {"name": "web"}, **top}


def of(**fields: Any) -> dict[str, Any]:
    """A good tracker with these fields of its spec."""
    return tracker(spec={"name": "web", "reporter": GOOD, **fields})


def reporting(**fields: Any) -> dict[str, Any]:
    """A tracker with this reporter."""
    return tracker(spec={"name": "web", "reporter": fields})


def selecting(**fields: Any) -> dict[str, Any]:
    """A tracker with this selector."""
    return tracker(spec={"selector": fields, "reporter": GOOD})


def of_workload(**fields: Any) -> dict[str, Any]:
    """A tracker of this workload."""
    return tracker(spec={"workloadRef": fields, "reporter": GOOD})


def typed(path: str, wanted: str, actual: str) -> Found:
    return path, f'{path} in body must be of type {wanted}: "{actual}"'


TAKEN: Final[Mapping[str, dict[str, Any]]] = {
    "the least": of(),
    "the founding example": reporting(kind="slack", key="xoxb-…", channel="C0821GM4602"),
    "a selector of everything": selecting(),
    "labels": selecting(
        matchLabels={"app": "web"},
        matchExpressions=[{"key": "a", "operator": "In", "values": ["b"]}, {"key": "c", "operator": "Exists"}],
    ),
    "a workload": of_workload(kind="Deployment", name="web"),
    "a job": of_workload(kind="Job", name="web", apiVersion="batch/v1"),
    "every event": of(events=[event.value for event in api.Event]),
    "null for nothing": of(events=None, muteUntil=None, selector=None),
    "a key of a Secret": reporting(kind="slack", channel="C1", keySecretRef={"name": "a.b-1", "key": "A_b-1.c"}),
    "a null key": reporting(kind="slack", channel="C1", key=None, keySecretRef={"name": "a", "key": None}),
    "a webhook": reporting(kind="webhook", keySecretRef={"name": "a"}),
    "apprise": reporting(kind="apprise", keySecretRef={"name": "a"}),
    "a time": of(muteUntil="2027-01-01T00:00:00Z"),
    "a time with an offset": of(muteUntil="2027-01-01T00:00:00.5+01:00"),
    "a long text": of(message="ä" * 2000),
    "other fields": of(startPolicy="All", suspend=True, grouping="Digest"),
    "a generated name": of() | {"metadata": {"generateName": "web-"}},
    "labels of its own": of() | {"metadata": {"name": "web", "labels": {"a": "b"}, "annotations": None}},
}

REFUSED: Final[Mapping[str, tuple[dict[str, Any], tuple[Found, ...]]]] = {
    "no spec": (tracker(), (("", "write spec: name"),)),
    "null spec": (tracker(spec=None), (("", "write spec: name"),)),
    "text spec": (tracker(spec="web"), (typed("spec", "object", "string"), BLOCKED)),
    "list spec": (tracker(spec=[]), (typed("spec", "object", "array"), BLOCKED)),
    "empty spec": (tracker(spec={}), (("spec", ONE_WAY), ("spec", "write reporter: "))),
    "no pods": (tracker(spec={"reporter": GOOD}), (("spec", ONE_WAY),)),
    "null pods": (tracker(spec={"name": None, "reporter": GOOD}), (("spec", ONE_WAY),)),
    "two ways": (of(selector={}), (("spec", ONE_WAY),)),
    "no reporter": (tracker(spec={"name": "web"}), (("spec", "write reporter: "),)),
    "empty reporter": (
        reporting(),
        (("spec.reporter", "write kind: slack, webhook or apprise"), ("spec.reporter", ONE_KEY)),
    ),
    "unknown kind": (
        reporting(kind="mail", channel="C1", key=KEY),
        (
            ("spec.reporter.kind", 'Unsupported value: "mail": supported values: "apprise", "slack", "webhook"'),
            BLOCKED,
        ),
    ),
    "number as a kind": (
        reporting(kind=3, channel="C1", key=KEY),
        (
            typed("spec.reporter.kind", "string", "integer"),
            ("spec.reporter.kind", "Unsupported value: 3: supported values: "),
            BLOCKED,
        ),
    ),
    "two keys": (reporting(**GOOD, key=KEY), (("spec.reporter", ONE_KEY),)),
    "no key": (reporting(kind="slack", channel="C1"), (("spec.reporter", ONE_KEY),)),
    "no channel": (reporting(kind="slack", key=KEY), (("spec.reporter", CHANNEL),)),
    "empty channel": (reporting(kind="slack", channel="", key=KEY), (("spec.reporter", CHANNEL),)),
    "long channel": (
        reporting(kind="slack", channel="C" * 256, key=KEY),
        (("spec.reporter.channel", "Too long: may not be more than 255 bytes"), BLOCKED),
    ),
    "webhook with a channel": (
        reporting(kind="webhook", channel="C1", keySecretRef={"name": "a"}),
        (("spec.reporter", "channel is for kind slack only"),),
    ),
    "webhook with a key": (reporting(kind="webhook", key=KEY), (("spec.reporter", "key is for kind slack only"),)),
    "webhook with a key of a Secret": (
        reporting(kind="webhook", keySecretRef={"name": "a", "key": "b"}),
        (("spec.reporter", "keySecretRef.key is for kind slack only"),),
    ),
    "number as a key": (
        reporting(kind="slack", channel="C1", key=12345),
        (typed("spec.reporter.key", "string", "integer"), BLOCKED),
    ),
    "list as a key": (
        reporting(kind="slack", channel="C1", key=[KEY]),
        (typed("spec.reporter.key", "string", "array"), BLOCKED),
    ),
    "long key": (
        reporting(kind="slack", channel="C1", key=KEY * 200),
        (("spec.reporter.key", "Too long: may not be more than 4096 bytes"), BLOCKED),
    ),
    "Secret without a name": (
        reporting(kind="slack", channel="C1", keySecretRef={}),
        (("spec.reporter.keySecretRef", "write name: the Secret that holds the token"),),
    ),
    "Secret with an empty name": (
        reporting(kind="slack", channel="C1", keySecretRef={"name": ""}),
        (
            ("spec.reporter.keySecretRef.name", "spec.reporter.keySecretRef.name in body should be at least 1 chars"),
            ("spec.reporter.keySecretRef", SECRET_NAME),
        ),
    ),
    "Secret of another namespace": (
        reporting(kind="slack", channel="C1", keySecretRef={"name": "../../other/secrets/pod-tracker-reporter"}),
        (("spec.reporter.keySecretRef", SECRET_NAME),),
    ),
    "token as the name of a Secret": (
        reporting(kind="slack", channel="C1", keySecretRef={"name": f"xoxb_{KEY}"}),
        (("spec.reporter.keySecretRef", SECRET_NAME),),
    ),
    "command as a Secret": (
        reporting(kind="webhook", keySecretRef={"name": "a; echo b"}),
        (("spec.reporter.keySecretRef", SECRET_NAME),),
    ),
    "command as a key of a Secret": (
        reporting(kind="slack", channel="C1", keySecretRef={"name": "a", "key": f"$(echo {KEY})"}),
        (("spec.reporter.keySecretRef", "write a key of the Secret: letters, digits, '-', '_' and '.'"),),
    ),
    "text as a Secret": (
        reporting(kind="slack", channel="C1", keySecretRef="a"),
        (typed("spec.reporter.keySecretRef", "object", "string"), BLOCKED),
    ),
    "capital pod": (of(name="Web"), (("spec.name", "write a pod's exact name"),)),
    "wildcard": (of(name="web-*"), (("spec.name", "write a pod's exact name"),)),
    "empty name": (of(name=""), (("spec.name", "write a pod's exact name"),)),
    "long name": (of(name="a" * 254), (("spec.name", "Too long: may not be more than 253 bytes"), BLOCKED)),
    "number as a name": (of(name=1), (typed("spec.name", "string", "integer"), BLOCKED)),
    "no events": (of(events=[]), (("spec.events", "spec.events in body should have at least 1 items"),)),
    "unknown event": (
        of(events=["Created", "Crashed"]),
        (("spec.events[1]", f'Unsupported value: "Crashed": {EVENTS}'), BLOCKED),
    ),
    "event twice": (of(events=["Created", "Ready", "Created"]), (("spec.events[2]", 'Duplicate value: "Created"'),)),
    "text as events": (of(events="Created"), (typed("spec.events", "array", "string"), BLOCKED)),
    "number as an event": (
        of(events=[1.5]),
        (
            typed("spec.events[0]", "string", "number"),
            ("spec.events[0]", f"Unsupported value: 1.5: {EVENTS}"),
            BLOCKED,
        ),
    ),
    "long text": (of(message="a" * 2001), (("spec.message", "Too long: may not be more than 2000 bytes"), BLOCKED)),
    "number as a text": (of(message=3), (typed("spec.message", "string", "integer"), BLOCKED)),
    "start policy": (
        of(startPolicy="Old"),
        (("spec.startPolicy", 'Unsupported value: "Old": supported values: "All", "New"'), BLOCKED),
    ),
    "yes": (of(suspend="yes"), (typed("spec.suspend", "boolean", "string"), BLOCKED)),
    "one": (of(suspend=1), (typed("spec.suspend", "boolean", "integer"), BLOCKED)),
    "grouping": (
        of(grouping="Workload"),
        (("spec.grouping", 'Unsupported value: "Workload": supported values: "Auto", "Digest"'), BLOCKED),
    ),
    "selector without values": (
        selecting(matchExpressions=[{"key": "a", "operator": "In"}]),
        (("spec.selector.matchExpressions", "write values for In and NotIn, and none for Exists"),),
    ),
    "selector with too many values": (
        selecting(matchExpressions=[{"key": "a", "operator": "Exists", "values": ["b"]}]),
        (("spec.selector.matchExpressions", "write values for In and NotIn, and none for Exists"),),
    ),
    "selector of much": (
        selecting(matchExpressions=[{"key": "", "operator": "Is", "values": ["b" * 64]}]),
        (
            ("spec.selector.matchExpressions[0].key", "spec.selector.matchExpressions[0].key in body should be at"),
            ("spec.selector.matchExpressions[0].operator", 'Unsupported value: "Is": supported values: "DoesNotExist"'),
            ("spec.selector.matchExpressions[0].values[0]", "Too long: may not be more than 63 bytes"),
            BLOCKED,
        ),
    ),
    "selector without keys": (
        selecting(matchExpressions=[{"operator": "In"}]),
        (("spec.selector.matchExpressions[0].key", "Required value"), BLOCKED),
    ),
    "text as an expression": (
        selecting(matchExpressions=["a"]),
        (typed("spec.selector.matchExpressions[0]", "object", "string"), BLOCKED),
    ),
    "labels of other types": (
        selecting(matchLabels={"a": "b" * 64, "c": 3}),
        (
            ("spec.selector.matchLabels.a", "Too long: may not be more than 63 bytes"),
            typed("spec.selector.matchLabels.c", "string", "integer"),
            BLOCKED,
        ),
    ),
    "many labels": (
        selecting(matchLabels={f"a{number}": "b" for number in range(33)}),
        (("spec.selector.matchLabels", "Too many: 33: must have at most 32 items"), BLOCKED),
    ),
    "many expressions": (
        selecting(matchExpressions=[{"key": "a", "operator": "Exists"}] * 17),
        (("spec.selector.matchExpressions", "Too many: 17: must have at most 16 items"), BLOCKED),
    ),
    "workload of another kind": (
        of_workload(kind="Pod", name=""),
        (
            ("spec.workloadRef.kind", 'Unsupported value: "Pod": supported values: "CronJob", "DaemonSet"'),
            ("spec.workloadRef.name", "spec.workloadRef.name in body should be at least 1 chars long"),
            BLOCKED,
        ),
    ),
    "workload of another group": (
        of_workload(kind="Job", name="a", apiVersion="apps/v1"),
        (("spec.workloadRef", "batch/v1 for Job and CronJob"),),
    ),
    "wildcard of workloads": (
        of_workload(kind="Deployment", name="web-*"),
        (("spec.workloadRef", "write the workload's exact name"),),
    ),
    "workload without letters": (
        of_workload(kind="Deployment", name=""),
        (
            ("spec.workloadRef.name", "spec.workloadRef.name in body should be at least 1 chars long"),
            ("spec.workloadRef", "write the workload's exact name"),
        ),
    ),
    "empty workload": (
        of_workload(),
        (("spec.workloadRef.kind", "Required value"), ("spec.workloadRef.name", "Required value"), BLOCKED),
    ),
    "several": (
        tracker(spec={"name": "A", "reporter": {"kind": "slack", "channel": ""}}),
        (
            ("spec.name", "write a pod's exact name"),
            ("spec.reporter", ONE_KEY),
            ("spec.reporter", CHANNEL),
        ),
    ),
    "metadata without a name": (
        of() | {"metadata": {}},
        (("metadata.name", "Required value: name or generateName is required"), BLOCKED),
    ),
    "no metadata": (
        of() | {"metadata": None},
        (("metadata.name", "Required value: name or generateName is required"), BLOCKED),
    ),
    "capital tracker": (
        of() | {"metadata": {"name": "Web"}},
        (("metadata.name", "a lowercase RFC 1123 subdomain must consist of"),),
    ),
    "long tracker": (
        of() | {"metadata": {"name": "a" * 254}},
        (("metadata.name", "must be no more than 253 characters"),),
    ),
}
"""What is said of each, in the API server's words."""

TIMES: Final[Mapping[str, bool]] = {
    "2027-01-01T00:00:00Z": True,
    "2027-01-01T00:00:00.5+01:00": True,
    "2027-01-01t00:00:00z": True,
    "2027-01-01T23:59:59.123456789-23:00": True,
    "tomorrow": False,
    "": False,
    "2027-01-01": False,
    "2027-01-01 00:00:00Z": False,
    "2027-02-30T00:00:00Z": False,
    "2027-01-01T24:00:00Z": False,
    "2027-01-01T00:60:00Z": False,
    "2027-01-01T23:59:60Z": False,
    "2027-01-01T00:00:00": False,
    "2027-01-01T00:00Z": False,
    "2027-01-01T00:00:00+0100": False,
    "27-01-01T00:00:00Z": False,
}
"""Values of muteUntil, and whether the API server takes them."""

UNKNOWN: Final[Mapping[str, dict[str, Any]]] = {
    "nmae": tracker(spec={"name": "web", "reporter": GOOD}, nmae="web"),
    "spec.nmae": of(nmae="web"),
    "spec.reporter.token": reporting(kind="slack", channel="C1", key=KEY, token=KEY),
    "spec.reporter.keySecretRef.nmae": reporting(**GOOD | {"keySecretRef": {"name": "a", "nmae": "a"}}),
    "spec.selector.matchExpressions[0].foo": selecting(matchExpressions=[{"key": "a", "operator": "Exists", "foo": 1}]),
    "metadata.nmae": of() | {"metadata": {"name": "web", "nmae": "web"}},
}
"""By the field that the API does not know."""
