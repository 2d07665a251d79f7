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


EXACTLY_ONE: Final = "write exactly one of keySecretRef (a Secret with the token; better) and key (the token inline)"
CHANNEL: Final = "kind slack needs channel: write the channel's ID, such as C0821GM4602"
POD_NAME: Final = "write a pod's exact name: lower case letters, digits, '-' and '.'; no wildcards"
SECRET_NAME: Final = "spec.reporter.keySecretRef: Invalid value: write name: the Secret that holds the token"
SECRET: Final = {"name": "pod-tracker-reporter"}

REFUSED: Final = {
    "spec missing": (tracker(spec=None) | {"spec": DROP}, "write spec: name (of the pod) and reporter"),
    "spec empty": (tracker() | {"spec": {}}, "spec: Invalid value: write name: the exact name of the pod to report"),
    "spec null": (tracker() | {"spec": None}, "spec in body must be of type object"),
    "spec a string": (tracker() | {"spec": "nginx"}, ".spec: expected map"),
    "unknown field beside spec": (tracker(data={}), ".data: field not declared in schema"),
    "unknown field in spec": (tracker({"namespace": "other"}), ".spec.namespace: field not declared in schema"),
    "field of a later version": (tracker({"suspend": True}), ".spec.suspend: field not declared in schema"),
    "misspelt field": (tracker({"nmae": "nginx", "name": DROP}), ".spec.nmae: field not declared in schema"),
    "unknown field in reporter": (
        tracker(reporter={"token": TOKEN, "key": DROP}),
        ".spec.reporter.token: field not declared in schema",
    ),
    "unknown field beside key": (
        tracker(reporter={"url": "https://example.com"}),
        ".spec.reporter.url: field not declared in schema",
    ),
    "unknown field in keySecretRef": (
        tracker(reporter={"key": DROP, "keySecretRef": {**SECRET, "namespace": "other"}}),
        ".spec.reporter.keySecretRef.namespace: field not declared in schema",
    ),
    "name missing": (tracker({"name": DROP}), "spec: Invalid value: write name: the exact name of the pod to report"),
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
    "reporter missing": (
        tracker({"reporter": DROP}),
        "spec: Invalid value: write reporter: kind (slack), channel and keySecretRef",
    ),
    "reporter empty": (tracker({"reporter": {}}), "spec.reporter: Invalid value: write kind: slack"),
    "reporter a string": (tracker({"reporter": "slack"}), ".spec.reporter: expected map"),
    "kind missing": (tracker(reporter={"kind": DROP}), "spec.reporter: Invalid value: write kind: slack"),
    "kind unknown": (
        tracker(reporter={"kind": "email"}),
        'spec.reporter.kind: Unsupported value: "email": supported values: "slack"',
    ),
    "kind in upper case": (tracker(reporter={"kind": "Slack"}), 'supported values: "slack"'),
    "kind empty": (tracker(reporter={"kind": ""}), 'supported values: "slack"'),
    "kind null": (tracker(reporter={"kind": None}), "spec.reporter.kind in body must be of type string"),
    "neither credential": (tracker(reporter={"key": DROP}), EXACTLY_ONE),
    "both credentials": (tracker(reporter={"keySecretRef": SECRET}), EXACTLY_ONE),
    "key too long": (
        tracker(reporter={"key": TOKEN + "x" * 4096}),
        "spec.reporter.key: Too long: may not be more than 4096 bytes",
    ),
    "key a number": (tracker(reporter={"key": 12345}), ".spec.reporter.key: expected string"),
    "key null": (tracker(reporter={"key": None}), "spec.reporter.key in body must be of type string"),
    "channel missing": (tracker(reporter={"channel": DROP}), CHANNEL),
    "channel empty": (tracker(reporter={"channel": ""}), CHANNEL),
    "channel too long": (
        tracker(reporter={"channel": "C" * 256}),
        "spec.reporter.channel: Too long: may not be more than 255 bytes",
    ),
    "channel a number": (tracker(reporter={"channel": 821}), ".spec.reporter.channel: expected string"),
    "channel missing and name wrong": (tracker({"name": "*"}, reporter={"channel": DROP}), CHANNEL),
    "Secret without a name": (tracker(reporter={"key": DROP, "keySecretRef": {"key": "token"}}), SECRET_NAME),
    "Secret's name empty": (
        tracker(reporter={"key": DROP, "keySecretRef": {"name": ""}}),
        "spec.reporter.keySecretRef.name in body should be at least 1 chars long",
    ),
    "Secret's name too long": (
        tracker(reporter={"key": DROP, "keySecretRef": {"name": "s" * 254}}),
        "spec.reporter.keySecretRef.name: Too long: may not be more than 253 bytes",
    ),
    "Secret a string": (
        tracker(reporter={"key": DROP, "keySecretRef": "pod-tracker-reporter"}),
        ".spec.reporter.keySecretRef: expected map",
    ),
    "key in the Secret empty": (
        tracker(reporter={"key": DROP, "keySecretRef": {**SECRET, "key": ""}}),
        "spec.reporter.keySecretRef.key in body should be at least 1 chars long",
    ),
    "key in the Secret too long": (
        tracker(reporter={"key": DROP, "keySecretRef": {**SECRET, "key": "k" * 254}}),
        "spec.reporter.keySecretRef.key: Too long: may not be more than 253 bytes",
    ),
    "status with an unknown field": (tracker(status={"junk": 1}), ".status.junk: field not declared in schema"),
    "status with a word for a number": (tracker(status={"podCount": "many"}), ".status.podCount: expected numeric"),
    "status a string": (tracker(status="fine"), ".status: expected map"),
    "condition without a type": (
        tracker(status={"conditions": [{"status": "True"}]}),
        '.status.conditions: element 0: associative list with keys has an element that omits all key fields ["type"]',
    ),
}


@pytest.mark.parametrize(("manifest", "sentence"), REFUSED.values(), ids=REFUSED)
def test_refused_with_a_sentence_that_says_what_to_write(
    cluster: LocalCluster, namespace: str, manifest: dict[str, Any], sentence: str
) -> None:
    done = apply(cluster, namespace, json.dumps(merged({}, manifest)), "--server-side")
    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    assert sentence in said
    assert TOKEN not in said


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
        assert json.loads(there.stdout)["spec"] == yaml.safe_load(manifest)["spec"]
    finally:
        cluster.kubectl("delete", "podtrackers", "--all", f"--namespace={namespace}")


def test_the_sample_is_the_founding_manifest() -> None:
    assert (CONFIG / "samples" / "tracker.yaml").read_text(encoding="utf-8").endswith(FOUNDING)


@pytest.mark.parametrize("sample", ["tracker.yaml", "tracker_secret.yaml"])
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
        ("podtracker", "Reports the named pods of its namespace to a receiver"),
        ("podtracker.spec.name", "Exact name of the pod to report"),
        ("podtracker.spec.reporter.channel", "The bot must be a member"),
        ("podtracker.spec.reporter.key", "prefer `keySecretRef`"),
        ("podtracker.spec.reporter.keySecretRef", "needs the scope `chat:write`"),
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
