# SPDX-License-Identifier: Apache-2.0
"""The other commands: what they print, how they end, and what they load. `check` has a file of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from devcluster import ports
from podtracker import __main__ as cli
from podtracker.__main__ import main
from podtracker.api import GROUP, TEST_ANNOTATION, Event
from podtracker.commands import completion
from podtracker.commands.examples import example
from podtracker.messages import text_for
from podtracker.templates.vocabulary import FILTERS, LABEL, VARIABLES
from unit.podtracker.builders import SECRET

DOCS = Path(__file__).resolve().parents[2] / "docs" / "user"


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run a command: exit code, output, errors."""
    code = main(arguments)
    streams = capsys.readouterr()
    return code, streams.out, streams.err


# explain


def test_explain_lists_all_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, "explain")
    assert (code, err) == (0, "")
    listed = [line.split()[0] for line in out.splitlines() if line.startswith("  ")]
    assert listed == [*VARIABLES, LABEL, *FILTERS, *(event.value for event in Event)]
    assert max(map(len, out.splitlines())) <= 120


@pytest.mark.parametrize("topic", ["event", "filter", "variable"])
def test_explain_lists_a_topic(topic: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "explain", topic)
    assert code == 0
    assert out.startswith(f"{topic.capitalize()}s\n")
    assert out in said(capsys, "explain")[1]


@pytest.mark.parametrize("event", list(Event))
def test_explain_an_event_shows_what_is_told(event: Event, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "explain", "event", event.lower())
    first, often, one, several = out.splitlines()
    assert code == 0
    assert first.startswith(f"{event}: ")
    assert often.startswith("Told ")
    assert one == f"One:     {text_for([example(event)])}"
    assert several.startswith("Several: 2 ")
    assert "web-1" in several
    assert "web-2" in several


def test_explain_other_things(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "explain", "filter", "upper") == (0, "upper: in capitals\n", "")
    assert said(capsys, "explain", "variable", "POD.NAME") == (0, "pod.name: the pod's name, such as web-1\n", "")
    assert said(capsys, "explain", "event", "Redy") == (2, "", "podtracker: no event Redy; did you mean Ready?\n")
    code, _, err = said(capsys, "explain", "filter", "zzz")
    assert code == 2
    assert err.startswith("podtracker: no filter zzz; there are upper, lower")


# test


class ApiServer(ThreadingHTTPServer):
    """Has one tracker, whose operator answers as the test says."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((ports.LOOPBACK, ports.choose(1)[0]), _Handler)
        self.requests: list[tuple[str, str]] = []
        self.nonce = ""
        self.refusal: tuple[int, dict[str, Any]] | None = None
        self.answer: Callable[[str], dict[str, Any]] = lambda _: {}
        """The tracker's status, by the nonce that was asked for."""


class _Handler(BaseHTTPRequestHandler):
    server: ApiServer

    def do_PATCH(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.nonce = body["metadata"]["annotations"][TEST_ANNOTATION]
        self._reply()

    def do_GET(self) -> None:
        self._reply()

    def _reply(self) -> None:
        self.server.requests.append((self.command, self.path))
        assert self.headers["Authorization"] == f"Bearer {SECRET}"
        code, body = self.server.refusal or (200, {"status": self.server.answer(self.server.nonce)})
        raw = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def api_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    with ApiServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        kubeconfig = {
            "current-context": "a",
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "clusters": [{"name": "a", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "users": [{"name": "a", "user": {"token": SECRET}}],
        }
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(kubeconfig), encoding="utf-8")
        monkeypatch.setenv("KUBECONFIG", str(path))
        yield server
        server.shutdown()
        thread.join()


def verified(status: str, reason: str, message: str) -> Callable[[str], dict[str, Any]]:
    condition = {"type": "ReporterVerified", "status": status, "reason": reason, "message": message}
    others = [{"type": "Ready", "status": "True"}]
    return lambda nonce: {"lastTest": {"nonce": nonce, "time": "now"}, "conditions": [*others, condition]}


PATH = f"/apis/{GROUP}/v1/namespaces/shop/podtrackers/web"


def test_a_test_that_arrives(api_server: ApiServer, capsys: pytest.CaptureFixture[str]) -> None:
    late: Iterator[dict[str, Any]] = iter([{}, {"lastTest": {"nonce": "another"}}, {"lastTest": None}])
    good = verified("True", "TestDelivered", "the receiver took the test message")
    api_server.answer = lambda nonce: next(late, good(nonce))
    assert said(capsys, "test", "web", "-n", "shop") == (
        0,
        "TestDelivered: the receiver took the test message\n",
        "",
    )
    assert api_server.requests[:2] == [("PATCH", PATH), ("GET", PATH)]
    assert len(api_server.nonce) == 16
    before = api_server.nonce
    main(["test", "web", "-n", "shop"])
    assert api_server.nonce != before


def test_a_test_that_fails(api_server: ApiServer, capsys: pytest.CaptureFixture[str]) -> None:
    api_server.answer = verified("False", "NotInChannel", "invite the bot")
    assert said(capsys, "test", "web", "-n", "shop") == (1, "", "NotInChannel: invite the bot\n")
    api_server.answer = lambda nonce: {"lastTest": {"nonce": nonce}}
    assert said(capsys, "test", "web", "-n", "shop")[0] == 1


def test_a_test_that_nobody_answers(api_server: ApiServer, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, "test", "web", "-n", "shop", "--timeout", "0.2")
    assert (code, out) == (1, "")
    assert err.startswith("no answer within 0.2 s: is the operator running, and does it watch namespace shop?")
    assert api_server.nonce


def test_a_test_of_nothing(api_server: ApiServer, capsys: pytest.CaptureFixture[str]) -> None:
    api_server.refusal = 404, {"kind": "Status", "reason": "NotFound", "message": "it is not there"}
    assert said(capsys, "test", "web", "-n", "shop") == (1, "", "podtracker: no PodTracker shop/web\n")
    api_server.refusal = 403, {"kind": "Status", "reason": "Forbidden", "message": "you may not"}
    assert said(capsys, "test", "web", "-n", "shop") == (1, "", "podtracker: 403 Forbidden: you may not\n")
    main(["test", "../../../secrets", "-n", "a/b"])
    assert api_server.requests[-1][1].endswith("/namespaces/a%2Fb/podtrackers/..%2F..%2F..%2Fsecrets")


def test_a_test_without_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    code, _, err = said(capsys, "test", "web", "-n", "shop")
    assert code == 2
    assert err.startswith("podtracker: no cluster to talk to: set KUBECONFIG")


@pytest.mark.parametrize(
    "arguments",
    [
        ["test"],
        ["test", "web"],
        ["test", "web", "-n", "shop", "--timeout", "0"],
        ["test", "web", "-n", "shop", "--timeout", "nan"],
        ["test", "web", "-n", "shop", "--timeout", "soon"],
        ["check"],
        ["explain", "pods"],
        ["explain", "event", "Ready", "Failed"],
        ["completion"],
        ["completion", "csh"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: podtracker" in capsys.readouterr().err


# completion


def test_the_choices_are_those_of_the_commands() -> None:
    assert set(cli._SHELLS) == set(completion.SHELLS)
    commands = {command.name: command for command in completion.commands_of(cli._parser())}
    assert set(commands) == {"run", "check", "explain", "test", "completion", "version"}
    assert commands["check"].files
    assert commands["explain"].words == cli._EXPLAIN_TOPICS
    assert commands["test"].valued == ("-n", "--namespace", "--timeout")
    assert all(command.help and all(text for _, text in command.options) for command in commands.values())


@pytest.mark.parametrize("shell", cli._SHELLS)
def test_a_script_knows_every_word(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, script, err = said(capsys, "completion", shell)
    assert (code, err) == (0, "")
    for command in completion.commands_of(cli._parser()):
        assert command.name in script
        for word in (*command.words, *(flag for flag, _ in command.options)):
            assert word in script or (shell == "fish" and f"-l {word[2:]} " in script) or f"-s {word[1:]} " in script


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("podtracker |", "run check explain test completion version"),
        ("podtracker c|", "check completion"),
        ("podtracker explain e|", "event"),
        ("podtracker completion z|", "zsh"),
        ("podtracker test --n|", "--namespace"),
        ("podtracker test -n |", ""),
        ("podtracker check some-f|", "some-file.yaml"),
        ("podtracker run --log-f|", "--log-format"),
        ("podtracker nothing |", ""),
    ],
)
def test_bash_completes(line: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "some-file.yaml").touch()
    _, script, _ = said(capsys, "completion", "bash")
    typed = line.removesuffix("|").split(" ")
    ask = f'COMP_WORDS=("$@"); COMP_CWORD={len(typed) - 1}; _podtracker; echo "${{COMPREPLY[*]}}"'
    done = subprocess.run(  # noqa: S603 - our own script
        [str(shutil.which("bash")), "--norc", "-c", f"{script}\n{ask}", "bash", *typed],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout.strip(), done.stderr) == (words, "")


# all of them


def test_a_command_loads_only_what_it_needs() -> None:
    """The operator neither loads the other commands nor Jinja; they do not load its libraries."""
    loaded = "import sys; from podtracker.__main__ import main; {}; print(*sys.modules)"
    for run, absent in (
        ("import podtracker.app", {"jinja2", "podtracker.commands"}),
        ("main(['version'])", {"jinja2", "yaml", "kopf", "kubernetes", "slack_sdk", "podtracker.commands"}),
        ("main(['explain'])", {"jinja2", "yaml", "kopf", "kubernetes", "slack_sdk", "podtracker.kube"}),
        ("main(['completion', 'zsh'])", {"jinja2", "yaml", "kopf", "kubernetes", "podtracker.messages"}),
    ):
        code = loaded.format(run)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
        assert not absent & set(done.stdout.split()), run


@pytest.mark.parametrize("command", ["run", "check", "explain", "test", "completion"])
def test_help_and_the_docs_say_the_exit_codes(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    _, _, told = " ".join(capsys.readouterr().out.split()).partition("Exit codes: ")
    page = " ".join((DOCS / "cli.md").read_text(encoding="utf-8").split())
    _, _, section = page.partition(f"## `podtracker {command}`")
    for code in told.removesuffix(".").split("; "):
        number, _, meaning = code.partition(" ")
        assert f"| {number} | {meaning} |" in section.partition(" ## ")[0], command


def test_the_docs_list_every_variable_filter_and_event() -> None:
    page = (DOCS / "messages.md").read_text(encoding="utf-8")
    rows = [f"| `{name}` | {variable.means} | `{variable.example}` |" for name, variable in VARIABLES.items()]
    rows += [f"| `{name}` | {means} |" for name, means in FILTERS.items()]
    rows += [f"| `{event}` | {text_for([example(event)])} |" for event in Event]
    assert [row for row in rows if row not in page.splitlines()] == []


def test_the_docs_texts_are_valid(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = (DOCS / "messages.md").read_text(encoding="utf-8")
    blocks = [block.partition("```")[0] for block in page.split("```yaml\n")[1:]]
    assert len(blocks) >= 5
    for number, block in enumerate(blocks):
        spec = {"name": "web", "reporter": {"kind": "slack", "channel": "C1", "keySecretRef": {"name": "a"}}}
        body = {"apiVersion": f"{GROUP}/v1", "kind": "PodTracker", "metadata": {"name": "web"}}
        path = tmp_path / f"{number}.yaml"
        path.write_text(yaml.safe_dump(body | {"spec": spec | yaml.safe_load(block)["spec"]}), encoding="utf-8")
        assert main(["check", str(path)]) == 0, capsys.readouterr().out
