# SPDX-License-Identifier: Apache-2.0
"""The CRD on a real API server: what it refuses and in which words, what it takes, and how people look at it.

No operator runs. Every refused tracker holds a token, and no refusal may repeat it.
"""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Iterator
from typing import Any, Final

import pytest
import yaml

from devcluster.local import LocalCluster
from support.install import CONFIG, OPERATOR_NAMESPACE
from support.kube import ApiError, Kube
from support.waiting import eventually

TOKEN: Final = "xoxb-this-must-never-be-printed"

FOUNDING: Final = """\
apiVersion: "pod-tracker.lost.backend/v1"
kind: "PodTracker"
metadata: {name: pod-tracker}
spec:
  name: "nginx"                      # exact pod name
  reporter: {kind: "slack", key: "xoxb-…", channel: "C0821GM4602"}
"""
"""What was promised in the beginning to work for ever."""

DROP: Final = object()
"""In a change: leave the field out."""

Change = dict[str, Any]


def tracker(spec: object = None, *, reporter: Change | None = None, **top: object) -> dict[str, Any]:
    """A good tracker, changed in the named fields."""
    good_reporter = {"kind": "slack", "key": TOKEN, "channel": "C0821GM4602"}
    good_spec = {"name": "nginx", "reporter": merged(good_reporter, reporter or {})}
    good = {
        "apiVersion": "pod-tracker.lost.backend/v1",
        "kind": "PodTracker",
        "metadata": {"name": "refused"},
        "spec": merged(good_spec, spec) if isinstance(spec, dict) else good_spec,
    }
    return merged(good, top)


def merged(good: Change, change: Change) -> Change:
    return {key: value for key, value in {**good, **change}.items() if value is not DROP}


def apply(
    cluster: LocalCluster, namespace: str, manifest: str, *options: str, command: str = "apply"
) -> subprocess.CompletedProcess[str]:
    return cluster.kubectl(
        command, f"--namespace={namespace}", "--validate=strict", *options, "-f", "-", input=manifest, check=False
    )


@pytest.fixture(scope="module")
def namespace(cluster: LocalCluster) -> Iterator[str]:
    """A namespace for this module; nothing is left in it when a test ends."""
    name = f"test-crd-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


ONE_KEY: Final = "write exactly one of keySecretRef (a Secret with the token; better) and key (the token inline)"
ONE_TARGET: Final = "spec: Invalid value: write exactly one of name (of a pod), selector (labels) and workloadRef"
CHANNEL: Final = "kind slack needs channel: write the channel's ID, such as C0821GM4602"
POD_NAME: Final = "write a pod's exact name: lower case letters, digits, '-' and '.'; no wildcards"
SECRET_NAME: Final = "spec.reporter.keySecretRef: Invalid value: write name: the Secret that holds the token"
WRONG_SECRET: Final = "spec.reporter.keySecretRef: Invalid value: write a Secret's name: lower case letters, digits"
SECRET: Final = {"name": "pod-tracker-reporter"}
KINDS: Final = 'supported values: "apprise", "slack", "webhook"'
NO_CHANNEL: Final = "spec.reporter: Invalid value: channel is for kind slack only: write the URL"
NO_KEY: Final = "spec.reporter: Invalid value: key is for kind slack only: write keySecretRef"
NO_SECRET_KEY: Final = "spec.reporter: Invalid value: keySecretRef.key is for kind slack only: write name alone"
VALUES: Final = "write values for In and NotIn, and none for Exists and DoesNotExist"
WORKLOAD_VERSION: Final = "write apiVersion batch/v1 for Job and CronJob, apps/v1 for the others, or leave it out"


def selecting(*demands: Change, **labels: str) -> Change:
    """A tracker with this selector."""
    selector = {"matchLabels": labels} | ({"matchExpressions": list(demands)} if demands else {})
    return tracker({"name": DROP, "selector": selector})


def of_workload(**workload: object) -> Change:
    """A tracker with this workloadRef."""
    return tracker({"name": DROP, "workloadRef": workload})


def reporting(kind: str, **reporter: object) -> Change:
    """A tracker with this reporter, and the Secret unless something else is said."""
    return tracker({"reporter": merged({"kind": kind, "keySecretRef": SECRET}, reporter)})


def demand(operator: str, *values: str) -> Change:
    """A line of matchExpressions; without values it has none at all."""
    return {"key": "app", "operator": operator} | ({"values": list(values)} if values else {})


THE_OBJECT: Final = {
    "spec missing": (tracker(spec=None) | {"spec": DROP}, "write spec: name, selector or workloadRef, and reporter"),
    "spec empty": (tracker() | {"spec": {}}, ONE_TARGET),
    "spec null": (tracker() | {"spec": None}, "spec in body must be of type object"),
    "spec a string": (tracker() | {"spec": "nginx"}, ".spec: expected map"),
    "unknown field beside spec": (tracker(data={}), ".data: field not declared in schema"),
    "unknown field in spec": (tracker({"namespace": "other"}), ".spec.namespace: field not declared in schema"),
    "misspelt field": (tracker({"nmae": "nginx", "name": DROP}), ".spec.nmae: field not declared in schema"),
    "status with an unknown field": (tracker(status={"junk": 1}), ".status.junk: field not declared in schema"),
    "status with a word for a number": (tracker(status={"podCount": "many"}), ".status.podCount: expected numeric"),
    "status a string": (tracker(status="fine"), ".status: expected map"),
    "condition without a type": (
        tracker(status={"conditions": [{"status": "True"}]}),
        '.status.conditions: element 0: associative list with keys has an element that omits all key fields ["type"]',
    ),
}

WHICH_PODS: Final = {
    "no target": (tracker({"name": DROP}), ONE_TARGET),
    "name and selector": (tracker({"selector": {}}), ONE_TARGET),
    "name and workloadRef": (tracker({"workloadRef": {"kind": "Job", "name": "a"}}), ONE_TARGET),
    "selector and workloadRef": (
        tracker({"name": DROP, "selector": {}, "workloadRef": {"kind": "Job", "name": "a"}}),
        ONE_TARGET,
    ),
    "all three": (tracker({"selector": {}, "workloadRef": {"kind": "Job", "name": "a"}}), ONE_TARGET),
    "name empty": (tracker({"name": ""}), POD_NAME),
    "name with wildcard": (tracker({"name": "nginx-*"}), POD_NAME),
    "name in upper case": (tracker({"name": "Nginx"}), POD_NAME),
    "name with a slash": (tracker({"name": "other/nginx"}), POD_NAME),
    "name with an empty part": (tracker({"name": "nginx..web"}), POD_NAME),
    "name with a line end": (tracker({"name": "nginx\n"}), POD_NAME),
    "name too long": (tracker({"name": "n" * 254}), "spec.name: Too long: may not be more than 253 bytes"),
    "name a number": (tracker({"name": 8080}), ".spec.name: expected string"),
    "name a list": (tracker({"name": ["nginx"]}), ".spec.name: expected string"),
    "name null": (tracker({"name": None}), "spec.name in body must be of type string"),
    "selector a string": (tracker({"name": DROP, "selector": "app=web"}), ".spec.selector: expected map"),
    "selector with labels themselves": (
        tracker({"name": DROP, "selector": {"app": "web"}}),
        ".spec.selector.app: field not declared in schema",
    ),
    "label a number": (
        tracker({"name": DROP, "selector": {"matchLabels": {"app": 1}}}),
        ".spec.selector.matchLabels.app: expected string",
    ),
    "label too long": (selecting(app="x" * 64), "spec.selector.matchLabels.app: Too long: may not be more than 63"),
    "too many labels": (
        selecting(**{f"l{number}": "x" for number in range(33)}),
        "spec.selector.matchLabels: Too many: 33: must have at most 32 items",
    ),
    "unknown operator": (
        selecting(demand("Equals", "web")),
        'spec.selector.matchExpressions[0].operator: Unsupported value: "Equals": supported values: "DoesNotExist"',
    ),
    "In without values": (selecting(demand("In")), VALUES),
    "NotIn with empty values": (selecting({"key": "app", "operator": "NotIn", "values": []}), VALUES),
    "Exists with values": (selecting(demand("Exists", "web")), VALUES),
    "DoesNotExist with values": (selecting(demand("In", "a"), demand("DoesNotExist", "web")), VALUES),
    "expression without a key": (
        selecting({"operator": "Exists"}),
        "spec.selector.matchExpressions[0].key: Required value",
    ),
    "expression without an operator": (
        selecting({"key": "app"}),
        "spec.selector.matchExpressions[0].operator: Required value",
    ),
    "value too long": (
        selecting(demand("In", "x" * 64)),
        "spec.selector.matchExpressions[0].values[0]: Too long: may not be more than 63 bytes",
    ),
    "too many expressions": (
        selecting(*[demand("Exists")] * 17),
        "spec.selector.matchExpressions: Too many: 17: must have at most 16 items",
    ),
    "too many values": (
        selecting(demand("In", *map(str, range(33)))),
        "spec.selector.matchExpressions[0].values: Too many: 33: must have at most 32 items",
    ),
    "workloadRef without a kind": (of_workload(name="web"), "spec.workloadRef.kind: Required value"),
    "workloadRef without a name": (of_workload(kind="Job"), "spec.workloadRef.name: Required value"),
    "workloadRef with an empty name": (
        of_workload(kind="Job", name=""),
        "spec.workloadRef.name in body should be at least 1 chars long",
    ),
    "workloadRef with a wildcard": (
        of_workload(kind="Deployment", name="web-*"),
        "spec.workloadRef: Invalid value: write the workload's exact name: lower case letters, digits, '-' and '.'",
    ),
    "workloadRef of a Pod": (
        of_workload(kind="Pod", name="web"),
        'spec.workloadRef.kind: Unsupported value: "Pod": supported values: "CronJob", "DaemonSet", "Deployment"',
    ),
    "workloadRef of another group": (
        of_workload(apiVersion="argoproj.io/v1alpha1", kind="Deployment", name="web"),
        'spec.workloadRef.apiVersion: Unsupported value: "argoproj.io/v1alpha1": supported values: "apps/v1"',
    ),
    "Deployment in batch": (of_workload(apiVersion="batch/v1", kind="Deployment", name="web"), WORKLOAD_VERSION),
    "CronJob in apps": (of_workload(apiVersion="apps/v1", kind="CronJob", name="web"), WORKLOAD_VERSION),
    "workloadRef in a namespace": (
        of_workload(kind="Job", name="web", namespace="other"),
        ".spec.workloadRef.namespace: field not declared in schema",
    ),
}

WHAT_OF_THEM: Final = {
    "unknown event": (
        tracker({"events": ["Created", "Crashed"]}),
        'spec.events[1]: Unsupported value: "Crashed": supported values: "CrashLooping", "Created", "Deleted"',
    ),
    "event in lower case": (tracker({"events": ["created"]}), 'spec.events[0]: Unsupported value: "created"'),
    "event twice": (tracker({"events": ["Ready", "Created", "Ready"]}), ".spec.events: duplicate entries for key"),
    "no events": (tracker({"events": []}), "spec.events in body should have at least 1 items"),
    "events a string": (tracker({"events": "Created"}), ".spec.events: expected list"),
    "event null": (tracker({"events": [None]}), ".spec.events: element 0"),
    "message too long": (tracker({"message": "x" * 2001}), "spec.message: Too long: may not be more than 2000 bytes"),
    "message a number": (tracker({"message": 1}), ".spec.message: expected string"),
    "unknown startPolicy": (
        tracker({"startPolicy": "Never"}),
        'spec.startPolicy: Unsupported value: "Never": supported values: "All", "New"',
    ),
    "startPolicy empty": (tracker({"startPolicy": ""}), 'supported values: "All", "New"'),
    "suspend a string": (tracker({"suspend": "yes"}), ".spec.suspend: expected boolean"),
    "suspend a number": (tracker({"suspend": 1}), ".spec.suspend: expected boolean"),
    "muteUntil a word": (tracker({"muteUntil": "tomorrow"}), "spec.muteUntil in body must be of type date-time"),
    "muteUntil a day": (tracker({"muteUntil": "2027-01-01"}), "spec.muteUntil in body must be of type date-time"),
    "muteUntil without a zone": (
        tracker({"muteUntil": "2027-01-01T00:00:00"}),
        "spec.muteUntil in body must be of type date-time",
    ),
    "muteUntil a number": (tracker({"muteUntil": 1798761600}), "spec.muteUntil in body must be of type"),
    "muteUntil too long": (
        tracker({"muteUntil": f"2027-01-01T00:00:00.{'0' * 60}Z"}),
        "spec.muteUntil: Too long: may not be more than 64 bytes",
    ),
    "grouping that comes later": (
        tracker({"grouping": "Workload"}),
        'spec.grouping: Unsupported value: "Workload": supported values: "Auto", "Digest"',
    ),
    "grouping a boolean": (tracker({"grouping": True}), ".spec.grouping: expected string"),
}

WHERE_TO: Final = {
    "reporter missing": (
        tracker({"reporter": DROP}),
        "spec: Invalid value: write reporter: kind (slack), channel and keySecretRef",
    ),
    "reporter empty": (
        tracker({"reporter": {}}),
        "spec.reporter: Invalid value: write kind: slack, webhook or apprise",
    ),
    "reporter a string": (tracker({"reporter": "slack"}), ".spec.reporter: expected map"),
    "unknown field in reporter": (
        tracker(reporter={"token": TOKEN, "key": DROP}),
        ".spec.reporter.token: field not declared in schema",
    ),
    "unknown field beside key": (
        tracker(reporter={"url": "https://example.com"}),
        ".spec.reporter.url: field not declared in schema",
    ),
    "kind missing": (tracker(reporter={"kind": DROP}), "write kind: slack, webhook or apprise"),
    "kind unknown": (
        tracker(reporter={"kind": "email"}),
        f'spec.reporter.kind: Unsupported value: "email": {KINDS}',
    ),
    "kind in upper case": (tracker(reporter={"kind": "Slack"}), KINDS),
    "kind empty": (tracker(reporter={"kind": ""}), KINDS),
    "kind null": (tracker(reporter={"kind": None}), "spec.reporter.kind in body must be of type string"),
    "channel missing": (tracker(reporter={"channel": DROP}), CHANNEL),
    "channel empty": (tracker(reporter={"channel": ""}), CHANNEL),
    "channel too long": (
        tracker(reporter={"channel": "C" * 256}),
        "spec.reporter.channel: Too long: may not be more than 255 bytes",
    ),
    "channel a number": (tracker(reporter={"channel": 821}), ".spec.reporter.channel: expected string"),
    "channel null": (tracker(reporter={"channel": None}), "spec.reporter.channel in body must be of type string"),
    "channel missing and name wrong": (tracker({"name": "*"}, reporter={"channel": DROP}), CHANNEL),
    "webhook with a channel": (reporting("webhook", channel="C0821GM4602"), NO_CHANNEL),
    "webhook with a key": (reporting("webhook", keySecretRef=DROP, key=TOKEN), NO_KEY),
    "webhook with a key of the Secret": (reporting("webhook", keySecretRef={**SECRET, "key": "url"}), NO_SECRET_KEY),
    "webhook without a Secret": (reporting("webhook", keySecretRef=DROP), ONE_KEY),
    "apprise with a channel": (reporting("apprise", channel="C0821GM4602"), NO_CHANNEL),
    "apprise with a key": (reporting("apprise", keySecretRef=DROP, key=f"discord://{TOKEN}"), NO_KEY),
    "apprise with a key of the Secret": (reporting("apprise", keySecretRef={**SECRET, "key": "url"}), NO_SECRET_KEY),
    "apprise without a Secret": (reporting("apprise", keySecretRef=DROP), ONE_KEY),
}

CREDENTIALS: Final = {
    "neither credential": (tracker(reporter={"key": DROP}), ONE_KEY),
    "both credentials": (tracker(reporter={"keySecretRef": SECRET}), ONE_KEY),
    "key too long": (
        tracker(reporter={"key": TOKEN + "x" * 4096}),
        "spec.reporter.key: Too long: may not be more than 4096 bytes",
    ),
    "key a number": (tracker(reporter={"key": 12345}), ".spec.reporter.key: expected string"),
    "key null": (tracker(reporter={"key": None}), "spec.reporter.key in body must be of type string"),
    "key in a message that is too long": (
        tracker({"message": "x" * 2001}),
        "spec.message: Too long: may not be more than 2000 bytes",
    ),
    "Secret without a name": (tracker(reporter={"key": DROP, "keySecretRef": {"key": "token"}}), SECRET_NAME),
    "Secret's name empty": (
        tracker(reporter={"key": DROP, "keySecretRef": {"name": ""}}),
        "spec.reporter.keySecretRef.name in body should be at least 1 chars long",
    ),
    "Secret's name too long": (
        tracker(reporter={"key": DROP, "keySecretRef": {"name": "s" * 254}}),
        "spec.reporter.keySecretRef.name: Too long: may not be more than 253 bytes",
    ),
    "Secret of another namespace": (
        tracker(reporter={"key": DROP, "keySecretRef": {**SECRET, "namespace": "other"}}),
        ".spec.reporter.keySecretRef.namespace: field not declared in schema",
    ),
    "Secret a string": (
        tracker(reporter={"key": DROP, "keySecretRef": "pod-tracker-reporter"}),
        ".spec.reporter.keySecretRef: expected map",
    ),
    "Secret's name leads elsewhere": (
        tracker(reporter={"key": DROP, "keySecretRef": {"name": "../../other/secrets/pod-tracker-reporter"}}),
        WRONG_SECRET,
    ),
    "Secret's name a command": (
        tracker(reporter={"key": DROP, "keySecretRef": {"name": f"a; echo {TOKEN}"}}),
        WRONG_SECRET,
    ),
    "Secret's name a token": (tracker(reporter={"key": DROP, "keySecretRef": {"name": f"{TOKEN}_x"}}), WRONG_SECRET),
    "key in the Secret a command": (
        tracker(reporter={"key": DROP, "keySecretRef": {**SECRET, "key": f"$(echo {TOKEN})"}}),
        "spec.reporter.keySecretRef: Invalid value: write a key of the Secret: letters, digits, '-', '_' and '.'",
    ),
    "key in the Secret empty": (
        tracker(reporter={"key": DROP, "keySecretRef": {**SECRET, "key": ""}}),
        "spec.reporter.keySecretRef.key in body should be at least 1 chars long",
    ),
    "key in the Secret too long": (
        tracker(reporter={"key": DROP, "keySecretRef": {**SECRET, "key": "k" * 254}}),
        "spec.reporter.keySecretRef.key: Too long: may not be more than 253 bytes",
    ),
}

REFUSED: Final = THE_OBJECT | WHICH_PODS | WHAT_OF_THEM | WHERE_TO | CREDENTIALS


@pytest.mark.parametrize(("manifest", "sentence"), REFUSED.values(), ids=REFUSED)
async def test_refused_with_a_sentence_that_says_what_to_write(
    kube: Kube, namespace: str, manifest: Change, sentence: str
) -> None:
    with pytest.raises(ApiError) as refusal:
        await kube.apply(merged({}, manifest), namespace, fieldValidation="Strict")
    assert sentence in refusal.value.message
    assert TOKEN not in refusal.value.message


@pytest.mark.parametrize("case", ["spec empty", "In without values", "unknown event", "webhook with a key"])
def test_kubectl_shows_the_sentence(cluster: LocalCluster, namespace: str, case: str) -> None:
    manifest, sentence = REFUSED[case]
    done = apply(cluster, namespace, json.dumps(manifest), "--server-side")
    assert done.returncode != 0
    assert sentence in done.stderr
    assert TOKEN not in done.stdout + done.stderr


EVENTS: Final = [
    *("Created", "Started", "Ready", "Restarted", "CrashLooping", "OOMKilled", "ImagePullFailed", "StartFailed"),
    *("Unschedulable", "Failed", "Succeeded", "Deleted", "Recovered"),
]

TAKEN: Final[dict[str, Change]] = {
    "an empty selector": selecting(),
    "labels": selecting(app="web", **{"example.com/tier": ""}),
    "expressions": selecting(
        demand("In", "web", "api"), demand("NotIn", "db"), demand("Exists"), demand("DoesNotExist")
    ),
    "the largest selector": selecting(*[demand("In", *(f"{value:063}" for value in range(32)))] * 16),
    **{
        f"a {kind}": of_workload(kind=kind, name="web", **version)
        for kind, versions in {
            "Deployment": ({"apiVersion": "apps/v1"},),
            "StatefulSet": ({"apiVersion": "apps/v1"},),
            "DaemonSet": ({},),
            "ReplicaSet": ({},),
            "Job": ({"apiVersion": "batch/v1"},),
            "CronJob": ({},),
        }.items()
        for version in versions
    },
    "every event": tracker({"events": EVENTS}),
    "a message": tracker({"message": "{{ pod.name }}: " + "ä" * 1984}),
    "startPolicy All": tracker({"startPolicy": "All"}),
    "startPolicy New": tracker({"startPolicy": "New"}),
    "suspended": tracker({"suspend": True}),
    "not suspended": tracker({"suspend": False}),
    "muted": tracker({"muteUntil": "2027-01-01T09:30:00.5+01:00"}),
    "grouping Auto": tracker({"grouping": "Auto"}),
    "grouping Digest": tracker({"grouping": "Digest"}),
    "kind webhook": reporting("webhook"),
    "kind apprise": reporting("apprise"),
    "a key of the Secret": reporting("slack", channel="#any", keySecretRef={**SECRET, "key": "bot"}),
}


@pytest.mark.parametrize("manifest", TAKEN.values(), ids=TAKEN)
async def test_taken_and_stored_as_written(kube: Kube, namespace: str, manifest: Change) -> None:
    """With these two defaults, which are frozen for ever, and no others."""
    try:
        await kube.apply(merged({}, manifest), namespace, fieldValidation="Strict")
        stored = await kube.get("PodTracker", "refused", namespace)
    finally:
        await kube.delete("PodTracker", "refused", namespace)
    assert stored["spec"] == {"events": ["Created"], "startPolicy": "New", **manifest["spec"]}


async def test_the_crd_is_in_order(kube: Kube) -> None:
    """Structural, its rules within the API server's budget for their cost, and with the two defaults only."""
    crd = await kube.get("CustomResourceDefinition", "podtrackers.pod-tracker.lost.backend")
    conditions = {entry["type"]: entry["status"] for entry in crd["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    [version] = crd["spec"]["versions"]
    assert defaults(version["schema"]["openAPIV3Schema"]) == {"spec.events": ["Created"], "spec.startPolicy": "New"}


def defaults(schema: Change, path: str = "") -> Change:
    """The defaults in a schema, by the path of their field."""
    found = {path: schema["default"]} if "default" in schema else {}
    for name, inner in schema.get("properties", {}).items():
        found |= defaults(inner, f"{path}.{name}".lstrip("."))
    return found | (defaults(schema["items"], f"{path}[]") if "items" in schema else {})


@pytest.mark.parametrize("command", ["create", "apply"])
@pytest.mark.parametrize("case", ["unknown field beside key", "both credentials", "key too long", "channel missing"])
def test_refused_without_the_token_by_the_other_ways_to_write_too(
    cluster: LocalCluster, namespace: str, case: str, command: str
) -> None:
    done = apply(cluster, namespace, json.dumps(REFUSED[case][0]), command=command)
    assert done.returncode != 0
    assert TOKEN not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("xoxb-…", id="as-founded"),
        pytest.param("", id="empty"),
        pytest.param("x" * 4000, id="4000-characters"),
        pytest.param("…" * 4096, id="4096-characters-of-three-bytes"),
        pytest.param("\"'`\\", id="quotes"),
        pytest.param("ключ-鍵-🔑", id="unicode"),
        pytest.param(" \t\n ", id="white-space"),
        pytest.param("*", id="asterisk"),
        pytest.param("null", id="null"),
        pytest.param("' || has(self.key) == false && self.kind == '", id="like-cel"),
        pytest.param("{{ config }} ${HOME} $(id) %s", id="like-templates"),
    ],
)
def test_the_founding_manifest_is_taken_with_any_key(cluster: LocalCluster, namespace: str, key: str) -> None:
    manifest = FOUNDING.replace('"xoxb-…"', json.dumps(key, ensure_ascii=False))
    assert yaml.safe_load(manifest)["spec"]["reporter"]["key"] == key
    try:
        done = apply(cluster, namespace, manifest, "--server-side")
        assert done.returncode == 0, done.stderr
        assert (done.stdout, done.stderr) == (
            "podtracker.pod-tracker.lost.backend/pod-tracker serverside-applied\n",
            "",
        )
        there = cluster.kubectl("get", "podtracker", "pod-tracker", f"--namespace={namespace}", "--output=json")
        given = yaml.safe_load(manifest)["spec"]
        assert json.loads(there.stdout)["spec"] == {"events": ["Created"], "startPolicy": "New", **given}
    finally:
        cluster.kubectl("delete", "podtrackers", "--all", f"--namespace={namespace}")


def test_the_sample_is_the_founding_manifest() -> None:
    assert (CONFIG / "samples" / "tracker.yaml").read_text(encoding="utf-8").endswith(FOUNDING)


@pytest.mark.parametrize("sample", sorted(path.name for path in (CONFIG / "samples").glob("tracker*.yaml")))
def test_every_sample_is_taken(cluster: LocalCluster, namespace: str, sample: str) -> None:
    manifest = (CONFIG / "samples" / sample).read_text(encoding="utf-8")
    done = apply(cluster, namespace, manifest, "--server-side", "--dry-run=server")
    assert done.returncode == 0, done.stderr


def test_everything_that_config_default_installs_is_taken(cluster: LocalCluster) -> None:
    objects = cluster.kubectl("kustomize", str(CONFIG / "default")).stdout
    done = cluster.kubectl(
        "apply", "--server-side", "--validate=strict", "--dry-run=server", "-f", "-", input=objects, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"namespace/{OPERATOR_NAMESPACE} " in done.stdout
    assert done.stdout.count("serverside-applied") == len(list(yaml.safe_load_all(objects)))


def test_the_columns_of_kubectl_get(cluster: LocalCluster, namespace: str) -> None:
    status = json.dumps({"status": {"status": "Active", "podCount": 1, "delivered": 7}})
    where = f"--namespace={namespace}"
    try:
        apply(cluster, namespace, FOUNDING, "--server-side").check_returncode()
        cluster.kubectl(
            "patch", "pt", "pod-tracker", where, "--subresource=status", "--type=merge", f"--patch={status}"
        )
        header, row = cluster.kubectl("get", "pt", where).stdout.splitlines()
        in_category = cluster.kubectl("get", "pod-tracker", where, "--output=name").stdout
    finally:
        cluster.kubectl("delete", "podtrackers", "--all", where)
    assert header.split() == ["NAME", "POD", "REPORTER", "STATUS", "PODS", "DELIVERED", "AGE"]
    assert row.split()[:-1] == ["pod-tracker", "nginx", "slack", "Active", "1", "7"]
    assert in_category.strip() == "podtracker.pod-tracker.lost.backend/pod-tracker"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("podtracker", "Reports what happens to pods of its namespace to a receiver, each occurrence once"),
        ("podtracker.spec.name", "Exact name of the pod to report"),
        ("podtracker.spec.reporter.channel", "The bot must be a member"),
        ("podtracker.spec.reporter.key", "prefer `keySecretRef`"),
        ("podtracker.spec.reporter.keySecretRef", "the bot token (scope `chat:write`) under `key`"),
        ("podtracker.spec.events", "`Created` where absent"),
        ("podtracker.spec.workloadRef", "through all its ReplicaSets or Jobs"),
        ("podtracker.status.conditions.reason", "programs may match on"),
    ],
)
def test_kubectl_explain(cluster: LocalCluster, path: str, text: str) -> None:
    assert text in " ".join(cluster.kubectl("explain", path).stdout.split())


def test_status_is_written_apart_from_spec(cluster: LocalCluster, namespace: str) -> None:
    where = f"--namespace={namespace}"
    try:
        apply(cluster, namespace, FOUNDING + 'status: {status: "Forged"}\n', "--server-side").check_returncode()
        stored = json.loads(cluster.kubectl("get", "pt", "pod-tracker", where, "--output=json").stdout)
    finally:
        cluster.kubectl("delete", "podtrackers", "--all", where)
    assert "status" not in stored


@pytest.mark.parametrize(
    ("cluster_role", "can", "cannot"),
    [
        ("view", ["list podtrackers", "get podtrackers/status"], ["create podtrackers", "patch podtrackers/status"]),
        (
            "edit",
            ["create podtrackers", "delete podtrackers"],
            ["deletecollection podtrackers", "patch podtrackers/status"],
        ),
        ("admin", ["create podtrackers", "deletecollection podtrackers"], ["patch podtrackers/status"]),
    ],
)
async def test_people_have_rights_through_the_clusters_own_roles(
    cluster: LocalCluster, namespace: str, cluster_role: str, can: list[str], cannot: list[str]
) -> None:
    where = f"--namespace={namespace}"
    person = f"{cluster_role}-user"
    cluster.kubectl("create", "rolebinding", person, where, f"--clusterrole={cluster_role}", f"--user={person}")

    def may(right: str) -> bool:
        verb, resource = right.split()
        resource, _, subresource = resource.partition("/")
        option = [f"--subresource={subresource}"] if subresource else []
        answer = cluster.kubectl("auth", "can-i", verb, resource, *option, where, f"--as={person}", check=False)
        return answer.stdout.strip() == "yes"

    # The controller manager copies the rules into the cluster's own roles, a moment after they were applied.
    await eventually(lambda: all(may(right) for right in can), what=f"{cluster_role} to have {can}")
    assert [right for right in cannot if may(right)] == []
