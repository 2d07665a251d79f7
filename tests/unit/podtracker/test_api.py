# SPDX-License-Identifier: Apache-2.0
"""Reading PodTracker objects: what fits, what does not, and no token in what is said about it."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from podtracker import times, trackers
from podtracker.errors import InvalidTrackerError
from podtracker.redact import Token
from unit.podtracker.builders import CHANNEL, NOW, SECRET, by_secret, inline, stamp, tracker_body


def test_the_founding_example_is_read() -> None:
    body = tracker_body()
    body["spec"] = {"name": "nginx", "reporter": {"kind": "slack", "key": "xoxb-…", "channel": CHANNEL}}
    tracker = trackers.parse(body)
    assert (tracker.uid, tracker.namespace, tracker.name, tracker.generation) == ("t1", "team", "pod-tracker", 1)
    assert tracker.created == NOW
    assert tracker.spec.name == "nginx"
    assert tracker.spec.reporter.key == Token("xoxb-…")
    assert tracker.spec.reporter.channel == CHANNEL
    assert tracker.spec.reporter.key_secret_ref is None


@pytest.mark.parametrize(
    ("reporter", "name", "key"),
    [(by_secret("mine"), "mine", None), (by_secret("mine", "slack-token"), "mine", "slack-token")],
    ids=["no key", "key"],
)
def test_a_secret_ref_is_read(reporter: dict[str, Any], name: str, key: str | None) -> None:
    ref = trackers.parse(tracker_body(reporter=reporter)).spec.reporter.key_secret_ref
    assert ref is not None
    assert (ref.name, ref.key) == (name, key)


def test_unknown_fields_are_passed_over() -> None:
    body = tracker_body()
    body["spec"] |= {"events": ["Created"], "someday": {"deep": [1]}}
    body["spec"]["reporter"]["future"] = True
    assert trackers.parse(body).spec.name == "nginx"


def without(body: dict[str, Any], *path: str) -> dict[str, Any]:
    place = body
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    return body


def changed(value: Any, *path: str) -> dict[str, Any]:
    place = body = tracker_body()
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return body


SECRET_REF = {"name": "pod-tracker-reporter"}


@pytest.mark.parametrize("key", ["a", "A_b-1.c", "a.example/b", "k8s-app", "x" * 63, f"{'d' * 60}.example/{'k' * 63}"])
@pytest.mark.parametrize("value", ["", "a", "A_b-1.c", "v" * 63])
def test_what_a_label_can_be_may_be_selected(key: str, value: str) -> None:
    demands = [{"key": key, "operator": "NotIn", "values": [value]}]
    spec = {"selector": {"matchLabels": {key: value}, "matchExpressions": demands}}
    selector = trackers.parse(tracker_body(spec=spec)).spec.selector
    assert selector is not None
    assert selector.match_labels == {key: value}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no spec": (without(tracker_body(), "spec"), "spec"),
    "spec null": (changed(None, "spec"), "spec"),
    "spec a string": (changed(SECRET, "spec"), "spec"),
    "spec a list": (changed([SECRET], "spec"), "spec"),
    "no name": (tracker_body(pod_name=None), "exactly one of name, selector and workloadRef"),
    "name null": (changed(None, "spec", "name"), "exactly one of name, selector and workloadRef"),
    "name a number": (changed(7, "spec", "name"), "name"),
    "name too long": (changed("a" * 254, "spec", "name"), "name"),
    "no reporter": (without(tracker_body(), "spec", "reporter"), "reporter"),
    "reporter null": (changed(None, "spec", "reporter"), "reporter"),
    "reporter a string": (changed(SECRET, "spec", "reporter"), "reporter"),
    "no kind": (without(tracker_body(), "spec", "reporter", "kind"), "kind"),
    "another kind": (changed("carrier-pigeon", "spec", "reporter", "kind"), "kind"),
    "no channel": (without(tracker_body(), "spec", "reporter", "channel"), "channel"),
    "channel empty": (changed("", "spec", "reporter", "channel"), "channel"),
    "channel a number": (changed(7, "spec", "reporter", "channel"), "channel"),
    "channel too long": (changed("C" * 256, "spec", "reporter", "channel"), "channel"),
    "key a number": (changed(12345678, "spec", "reporter", "key"), "key"),
    "key a list": (changed([SECRET], "spec", "reporter", "key"), "key"),
    "key an object": (changed({"token": SECRET}, "spec", "reporter", "key"), "key"),
    "neither key nor ref": (without(tracker_body(), "spec", "reporter", "key"), "keySecretRef"),
    "key and ref": (tracker_body(reporter=inline() | {"keySecretRef": SECRET_REF}), "keySecretRef"),
    "ref a string": (tracker_body(reporter=by_secret() | {"keySecretRef": SECRET}), "keySecretRef"),
    "ref without name": (tracker_body(reporter=by_secret() | {"keySecretRef": {"key": "k"}}), "keySecretRef"),
    "ref name empty": (tracker_body(reporter=by_secret() | {"keySecretRef": {"name": ""}}), "keySecretRef"),
    "ref name leads elsewhere": (
        tracker_body(reporter=by_secret() | {"keySecretRef": {"name": "../../other/secrets/pod-tracker-reporter"}}),
        "keySecretRef",
    ),
    "ref name a command": (
        tracker_body(reporter=by_secret() | {"keySecretRef": {"name": f"a; echo {SECRET}"}}),
        "keySecretRef",
    ),
    "ref key a command": (
        tracker_body(reporter=by_secret() | {"keySecretRef": {"name": "a", "key": f"$(echo {SECRET})"}}),
        "keySecretRef",
    ),
    "label with a blank": (tracker_body(spec={"selector": {"matchLabels": {"app": f"a {SECRET}"}}}), "spec.selector"),
    "label key with a colon": (tracker_body(spec={"selector": {"matchLabels": {"app:": "web"}}}), "spec.selector"),
    "label key of two prefixes": (tracker_body(spec={"selector": {"matchLabels": {"a/b/c": "d"}}}), "spec.selector"),
    "label key without a name": (
        tracker_body(spec={"selector": {"matchLabels": {"a.example/": "d"}}}),
        "spec.selector",
    ),
    "label key with a capital prefix": (
        tracker_body(spec={"selector": {"matchExpressions": [{"key": "A/b", "operator": "Exists"}]}}),
        "spec.selector",
    ),
    "label value with an end": (
        tracker_body(spec={"selector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b", "c-"]}]}}),
        "spec.selector",
    ),
    "ref key empty": (tracker_body(reporter=by_secret() | {"keySecretRef": {"name": "a", "key": ""}}), "keySecretRef"),
}


@pytest.mark.parametrize(("body", "named"), BAD.values(), ids=BAD.keys())
def test_a_bad_spec_is_refused_by_the_name_of_its_field_and_without_its_token(body: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidTrackerError) as caught:
        trackers.parse(body)
    assert named in str(caught.value)
    error: BaseException | None = caught.value
    seen = ["".join(traceback.format_exception(caught.value))]
    while error is not None:
        seen += [str(error), repr(error)]
        error = error.__cause__ or error.__context__
    assert not [text for text in seen if SECRET in text]


@pytest.mark.parametrize(
    "path", [("spec", "reporter", "kind"), ("spec", "name"), ("spec", "reporter", "channel")], ids=lambda path: path[-1]
)
def test_a_token_in_the_wrong_field_is_not_repeated(path: tuple[str, ...]) -> None:
    too_long = SECRET + "a" * 300
    with pytest.raises(InvalidTrackerError) as caught:
        trackers.parse(changed(too_long, *path))
    assert SECRET not in str(caught.value)


def test_identify_reads_metadata_whatever_the_spec() -> None:
    body = tracker_body(uid="u", namespace="n", name="x", created=NOW + 3, generation=9)
    body["spec"] = "nonsense"
    who = trackers.identify(body)
    assert (who.uid, who.namespace, who.name, who.generation, who.created) == ("u", "n", "x", 9, NOW + 3)


def test_identify_takes_no_generation_for_none() -> None:
    assert trackers.identify(without(tracker_body(), "metadata", "generation")).generation == 0


def entry(seconds: int, **fields: str) -> dict[str, str]:
    return {"manager": "kubectl", "operation": "Update", "time": stamp(seconds)} | fields


def owning(seconds: int, *of_spec: str) -> dict[str, Any]:
    fields: dict[str, Any] = {"f:spec": {field: {} for field in of_spec}} if of_spec else {"f:metadata": {}}
    return {**entry(seconds), "fieldsType": "FieldsV1", "fieldsV1": fields}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param([], NOW, id="empty"),
        pytest.param(None, NOW, id="null"),
        pytest.param([entry(NOW + 5)], NOW + 5, id="one"),
        pytest.param([entry(NOW + 5), entry(NOW + 9), entry(NOW + 7)], NOW + 9, id="the newest"),
        pytest.param([entry(NOW + 5), entry(NOW + 60, subresource="status")], NOW + 5, id="status does not count"),
        pytest.param([entry(NOW + 60, subresource="status")], NOW, id="only status"),
        pytest.param([entry(NOW + 5, subresource="")], NOW + 5, id="no subresource"),
        pytest.param([{"manager": "old", "operation": "Update"}], NOW, id="no time"),
        pytest.param([{"manager": "old"}, entry(NOW + 5)], NOW + 5, id="one without time"),
        pytest.param([owning(NOW + 5, "f:selector"), owning(NOW + 9)], NOW + 5, id="an annotation"),
        pytest.param([owning(NOW + 5, "f:name"), owning(NOW + 9, "f:message")], NOW + 5, id="another field"),
        pytest.param([owning(NOW + 9, "f:workloadRef", "f:events"), owning(NOW + 5)], NOW + 9, id="pods and more"),
        pytest.param([owning(NOW + 5), owning(NOW + 9)], NOW + 9, id="nobody says"),
        pytest.param([entry(NOW + 5) | {"fieldsV1": None}], NOW + 5, id="no fields"),
    ],
)
def test_when_the_spec_was_written(fields: list[dict[str, Any]] | None, expected: int) -> None:
    body = tracker_body()
    body["metadata"]["managedFields"] = fields
    assert trackers.spec_written(body) == expected


def test_when_the_spec_was_written_without_managed_fields() -> None:
    assert trackers.spec_written(without(tracker_body(), "metadata", "managedFields")) == NOW


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2027-01-01T00:00:00Z", NOW),
        ("2027-01-01T01:00:00+01:00", NOW),
        ("2027-01-01T00:00:00.999999Z", NOW),
    ],
)
def test_times_are_read(text: str, seconds: int) -> None:
    assert times.epoch_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "now", "2027-13-01T00:00:00Z", "1798761600", "2027-01-01T25:00:00Z"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        times.epoch_seconds(text)


@pytest.mark.parametrize("seconds", [0, NOW, NOW + 86_399])
def test_times_are_written_as_kubernetes_writes_them(seconds: int) -> None:
    text = times.rfc3339(seconds + 0.9)
    assert text.endswith("Z")
    assert "." not in text
    assert times.epoch_seconds(text) == seconds
