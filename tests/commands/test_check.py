# SPDX-License-Identifier: Apache-2.0
"""`podtracker check`: what it says of manifests, and that no credential is ever in it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from commands.wrong_trackers import GOOD, KEY, REFUSED, TAKEN, TIMES, UNKNOWN, Found, of, reporting, tracker
from podtracker import api
from podtracker.__main__ import main
from podtracker.commands import rules, schema
from podtracker.commands.check import INLINE_KEY
from podtracker.redact import Token

CONFIG = Path(__file__).resolve().parents[2] / "config"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def check(text: str, capsys: pytest.CaptureFixture[str], *, name: str = "a.yaml") -> tuple[int, list[str]]:
    """The exit code and the lines of a check of a file."""
    Path(name).write_text(text, encoding="utf-8")
    code = main(["check", name])
    said = capsys.readouterr()
    assert KEY not in said.out + said.err
    return code, (said.out + said.err).splitlines()


# the API's rules


@pytest.mark.parametrize("body", TAKEN.values(), ids=TAKEN)
def test_what_the_api_server_takes(body: dict[str, Any]) -> None:
    assert schema.problems(body) == []


@pytest.mark.parametrize(("body", "expected"), REFUSED.values(), ids=REFUSED)
def test_what_the_api_server_refuses(body: dict[str, Any], expected: Sequence[Found]) -> None:
    found = sorted((problem.field, problem.message) for problem in schema.problems(body))
    assert [field for field, _ in found] == [field for field, _ in sorted(expected)]
    for (_, message), (_, sentence) in zip(found, sorted(expected), strict=True):
        assert sentence in message


@pytest.mark.parametrize(("time", "good"), TIMES.items(), ids=TIMES)
def test_times(time: str, *, good: bool) -> None:
    assert (schema.problems(of(muteUntil=time)) == []) is good


@pytest.mark.parametrize(("field", "body"), UNKNOWN.items(), ids=UNKNOWN)
def test_unknown_fields(field: str, body: dict[str, Any]) -> None:
    assert schema.Problem(field, f'unknown field "{field}"') in schema.problems(body)


def test_values_of_any_size_are_not_repeated() -> None:
    bomb: list[Any] = ["x"]
    for _ in range(40):
        bomb = [bomb, bomb]
    for body in (
        of(startPolicy=bomb, events=bomb, message=bomb, more=bomb),
        of(events=[bomb, bomb]),
        reporting(kind=bomb, key=bomb),
        tracker(spec=bomb, more=bomb),
        of() | {"metadata": {"name": "a", "labels": bomb, "managedFields": bomb}},
    ):
        assert all(len(problem.message) < 300 for problem in schema.problems(body))


def _rules(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (rule["rule"] for rule in node.get("x-kubernetes-validations", ()))
        for inner in node.values():
            yield from _rules(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _rules(inner)


def test_every_rule_has_its_twin_and_every_twin_its_rule() -> None:
    document = msgspec.json.schema(api.Resource, schema_hook=lambda kind: {"type": "string"} if kind is Token else {})
    written = set(_rules(document))
    assert {rule for rule in written if rules.said_by(rule) is None} == set(rules.TWINS)


def test_the_schema_is_the_crds() -> None:
    """Both are made of the same types; here the keywords that refuse something are compared."""
    [path] = (CONFIG / "crd" / "bases").glob("*.yaml")
    version = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]["versions"][0]
    rendered = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert _refusing(schema._schema()["properties"]["spec"]) == _refusing(rendered)


def _refusing(node: Any) -> Any:
    """The part of a schema that refuses values."""
    keywords = {"maxLength", "minLength", "maxItems", "minItems", "maxProperties", "format", "x-kubernetes-list-type"}
    found = {key: value for key, value in node.items() if key in keywords and value != "int64"}
    if "enum" in node:
        found["enum"] = sorted(node["enum"])
    found["rules"] = [(rule["rule"], rule["message"]) for rule in node.get("x-kubernetes-validations", ())]
    told = {rules.said_by(rule) for rule, _ in found["rules"]}
    found["required"] = sorted(name for name in node.get("required", ()) if name not in told)
    found["properties"] = {name: _refusing(inner) for name, inner in node.get("properties", {}).items()}
    found["inner"] = [
        _refusing(node[key]) for key in ("items", "additionalProperties") if isinstance(node.get(key), dict)
    ]
    return found


# files


def test_a_valid_tracker_shows_its_messages(capsys: pytest.CaptureFixture[str]) -> None:
    body = of(events=["Created", "Ready"]) | {"metadata": {"name": "web", "namespace": "shop"}}
    assert check(json.dumps(body), capsys) == (
        0,
        [
            "a.yaml: 1: shop/web: valid; it would tell, for example:",
            "  Created:",
            "    Pod web was created",
            "  Ready:",
            "    Pod shop/web is ready after 12 s",
        ],
    )


def test_its_own_text_is_filled_in(capsys: pytest.CaptureFixture[str]) -> None:
    text = """
apiVersion: pod-tracker.lost.backend/v1
kind: PodTracker
metadata: {generateName: web-}
spec:
  selector: {matchLabels: {app: front}}
  muteUntil: 2027-01-01T00:00:00Z
  message: |
    {{ pod.labels.app }} {{ pod.labels.team }}
    of {{ tracker.name }}
  reporter: {kind: webhook, keySecretRef: {name: hook}}
"""
    code, lines = check(text, capsys)
    assert (code, lines[1:]) == (0, ["  Created:", "    front example", "    of web-x7k2p"])
    workload = tracker(
        spec={"workloadRef": {"kind": "Job", "name": "a"}, "message": "{{ pod.name }}", "reporter": GOOD}
    )
    assert check(json.dumps(workload), capsys)[1][-1] == "    a-x7k2p"


def test_the_founding_example_is_valid_with_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    text = """
apiVersion: "pod-tracker.lost.backend/v1"
kind: "PodTracker"
metadata: {name: pod-tracker}
spec:
  name: "nginx"                      # exact pod name
  reporter: {kind: "slack", key: "xoxb-…", channel: "C0821GM4602"}
"""
    assert check(text, capsys) == (
        0,
        [
            f"a.yaml: 1: spec.reporter.key: {INLINE_KEY}",
            "a.yaml: 1: default/pod-tracker: valid; it would tell, for example:",
            "  Created:",
            "    Pod nginx was created",
        ],
    )


def test_every_field_stands_in_a_sample_and_every_event_and_kind() -> None:
    specs = [yaml.safe_load(path.read_text())["spec"] for path in (CONFIG / "samples").glob("tracker*.yaml")]
    shown = {field for spec in specs for field in spec} | {field for spec in specs for field in spec["reporter"]}
    shown |= {field for spec in specs for field in spec.get("selector", {})}
    schema = msgspec.json.schema(api.Resource, schema_hook=lambda _: {"type": "string"})["$defs"]
    wanted = {field for kind in ("PodTrackerSpec", "Reporter", "LabelSelector") for field in schema[kind]["properties"]}
    assert shown == wanted
    assert {event for spec in specs for event in spec.get("events", ["Created"])} == set(api.Event)
    assert {spec["reporter"]["kind"] for spec in specs} == {"slack", "webhook", "apprise"}


def test_samples_are_valid(capsys: pytest.CaptureFixture[str]) -> None:
    samples = [str(path) for path in (CONFIG / "samples").glob("*.yaml") if path.name != "kustomization.yaml"]
    assert main(["check", *samples]) == 0, capsys.readouterr()


def test_several_documents(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = of(name="Web")
    documents = [
        {"apiVersion": "v1", "kind": "Secret", "data": {"token": KEY}},
        None,
        of(),
        {"apiVersion": "v1", "kind": "List", "items": [of(), wrong, {"kind": "Secret"}, 3]},
        wrong,
        "text",
        {"apiVersion": "v1", "kind": "List", "items": "none"},
    ]
    code, lines = check(yaml.safe_dump_all(documents), capsys)
    sentence = "spec.name: write a pod's exact name: lower case letters, digits, '-' and '.'; no wildcards"
    assert code == 1
    assert [line for line in lines if line.startswith("a.yaml")] == [
        "a.yaml: 3: default/web: valid; it would tell, for example:",
        "a.yaml: 4[0]: default/web: valid; it would tell, for example:",
        f"a.yaml: 4[1]: {sentence}",
        f"a.yaml: 5: {sentence}",
    ]


def test_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(of(name="Web"))))
    assert main(["check", "-"]) == 1
    assert capsys.readouterr().out.startswith("-: 1: spec.name: write a pod's exact name")


@pytest.mark.parametrize("text", ["", "---\n---\n", "kind: Secret", "- 1", "3"])
def test_nothing_to_check_is_wrong(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(text, capsys) == (1, ["podtracker: no PodTracker in there"])


def test_an_unreadable_file_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    Path("latin.yaml").write_bytes(b"a: \xe4")
    assert main(["check", "nowhere.yaml", "latin.yaml"]) == 2
    said = capsys.readouterr().err
    assert said == "podtracker: nowhere.yaml: No such file or directory\npodtracker: latin.yaml: this is not UTF-8\n"
    Path("wrong.yaml").write_text(json.dumps(of(name="Web")), encoding="utf-8")
    assert main(["check", "nowhere.yaml", "wrong.yaml"]) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "a.yaml: line 1: expected the node content, but found …"),
        (f"a: b\na: {KEY}", "a.yaml: line 2: the same key stands here twice"),
        (f"\na: *{KEY}", "a.yaml: line 2: found undefined alias …"),
        (f"a: !{KEY} b", "a.yaml: line 1: could not determine a constructor for the tag …"),
        (f"a: {KEY}\n\tb: c", "a.yaml: line 2: found character … that cannot start any token"),
        (f"{{[{KEY}]: 1}}", "a.yaml: line 1: found unhashable key"),
        (f"a: \x07{KEY}", "a.yaml: line 1: this is no YAML"),
        ("[" * 5000, "a.yaml: line 1: this is no YAML"),
    ],
)
def test_what_is_no_yaml(text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(text, capsys) == (1, [said])


def test_yaml_is_read_as_kubectl_reads_it(capsys: pytest.CaptureFixture[str]) -> None:
    text = f"""
apiVersion: pod-tracker.lost.backend/v1
kind: PodTracker
metadata: {{name: web, annotations: {{a: 1:30, b: 2027-01-01}}}}
spec:
  name: 10:20
  suspend: yes
  reporter: {json.dumps(GOOD)}
"""
    code, [line] = check(text, capsys)
    assert code == 1
    assert line.startswith("a.yaml: 1: spec.name: write a pod's exact name")


# what else the operator would refuse


def test_a_text_that_cannot_be_used(capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = check(json.dumps(of(message="hello\n{{ pod.nam }}")), capsys)
    assert (code, lines) == (1, ["a.yaml: 1: spec.message: line 2: pod has no 'nam'; did you mean pod.name?"])


def test_labels_that_no_pod_can_have(capsys: pytest.CaptureFixture[str]) -> None:
    """The API server takes them; they would silently mean nothing."""
    body = tracker(spec={"selector": {"matchLabels": {"app:": "web"}}, "reporter": GOOD})
    assert schema.problems(body) == []
    code, [line] = check(json.dumps(body), capsys)
    assert code == 1
    assert "spec: spec.selector has a key or a value that no label can have" in line


def test_a_time_that_only_the_api_server_takes(capsys: pytest.CaptureFixture[str]) -> None:
    code, [line] = check(json.dumps(of(muteUntil="2027-01-01T00:00:00+99:99")), capsys)
    assert code == 1
    assert line.startswith("a.yaml: 1: spec: ")


def test_another_version_or_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(json.dumps(of() | {"apiVersion": "pod-tracker.lost.backend/v2"}), capsys) == (
        1,
        ["a.yaml: 1: apiVersion: write pod-tracker.lost.backend/v1"],
    )
    assert check(json.dumps(of() | {"kind": "PodTrackers"}), capsys) == (1, ["a.yaml: 1: kind: write PodTracker"])


@pytest.mark.parametrize("body", [body for body, _ in REFUSED.values()], ids=REFUSED)
def test_what_is_refused_is_told_without_credentials(body: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = check(json.dumps(body), capsys)
    assert code == 1
    assert all(line.startswith("a.yaml: 1: ") for line in lines)


@pytest.mark.parametrize(
    "body",
    [
        reporting(kind=KEY, channel="C1", key=KEY),
        reporting(kind="slack", channel="C" * 300 + KEY, key=KEY),
        tracker(spec={"name": f"{KEY}!", "startPolicy": KEY, "events": [KEY, KEY], "reporter": {**GOOD, "key": KEY}}),
        of(muteUntil="xoxb-1-2-abc", startPolicy="xoxb-1-2-abc"),
        reporting(kind="slack", channel="C1", key=KEY) | {"apiVersion": f"pod-tracker.lost.backend/{KEY}"},
        of(reporter={"kind": "slack", "channel": "C1", "key": KEY}, message=f"{{{{ '{KEY}' }}}} {{{{ pod.name }}}}"),
        of(reporter={"kind": "slack", "channel": "C1", "key": KEY}, message=f"{{{{ pod['{KEY}'] }}}}"),
    ],
)
def test_a_token_in_a_wrong_place_is_not_repeated(body: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    _, lines = check(json.dumps(body), capsys)
    assert not any("xoxb-1" in line for line in lines)


def test_nothing_in_a_manifest_commands_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    _, lines = check(json.dumps(of(**{"\x1b[2J\u202e\nfoo": 1}, startPolicy="\x1b]0;a\x07")), capsys)
    assert all(line.isprintable() for line in lines)
    assert len(lines) == 3
