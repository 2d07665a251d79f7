# SPDX-License-Identifier: Apache-2.0
"""How the demo calls kubectl; a script stands in for it."""

from __future__ import annotations

import json
import os
import signal
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from demo.kubectl import Kubectl, KubectlError

MakeKubectl = Callable[[str], Kubectl]


@pytest.fixture
def make(tmp_path: Path) -> MakeKubectl:
    """Return a function that makes a kubectl out of the body of a shell script."""

    def make(script: str) -> Kubectl:
        program = tmp_path / "kubectl"
        program.write_text(f"#!/bin/sh\n{textwrap.dedent(script)}\n")
        program.chmod(0o700)
        return Kubectl(program, {"KUBECONFIG": "/kubeconfig", "SEEN": str(tmp_path / "seen")})

    return make


async def test_output_and_environment(make: MakeKubectl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_TOKEN", "xoxb-secret")
    kubectl = make('echo "$* $KUBECONFIG $KUBERC ${SLACK_TOKEN-none}"')
    assert await kubectl.run("get", "pods") == "get pods /kubeconfig off none\n"


async def test_a_failure_is_the_command_and_its_words(make: MakeKubectl) -> None:
    with pytest.raises(KubectlError, match=r"`kubectl get pods` failed: no such server$"):
        await make("echo no such server >&2; exit 1").run("get", "pods")


async def test_a_command_that_hangs_is_ended(make: MakeKubectl, tmp_path: Path) -> None:
    kubectl = make('echo $$ > "$SEEN"; exec sleep 60')
    with pytest.raises(KubectlError, match="did not end within"):
        await kubectl.run("get", "pods", timeout=0.3)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "seen").read_text()), 0)


async def test_apply_keeps_objects_out_of_the_command_line(make: MakeKubectl, tmp_path: Path) -> None:
    kubectl = make('echo "$*" > "$SEEN"; cat >> "$SEEN"')
    await kubectl.apply({"kind": "Secret", "stringData": {"token": "xoxb-secret"}})
    command, _, body = (tmp_path / "seen").read_text().partition("\n")
    assert command == "apply --server-side --field-manager=pod-tracker-demo -f -"
    assert json.loads(body)["items"] == [{"kind": "Secret", "stringData": {"token": "xoxb-secret"}}]


async def test_get(make: MakeKubectl) -> None:
    assert await make("""echo '{"kind": "Pod"}'""").get("default", "pod", "nginx") == {"kind": "Pod"}
    assert await make("true").get("default", "pod", "nginx") is None


async def test_lines_come_one_by_one_and_the_command_ends_with_them(make: MakeKubectl, tmp_path: Path) -> None:
    kubectl = make('echo one; echo two; echo $$ > "$SEEN"; echo three; exec sleep 60')
    async with kubectl.lines("get", "pods", "--watch") as lines:
        assert [await anext(lines) for _ in range(3)] == ["one", "two", "three"]
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "seen").read_text()), signal.SIGCONT)
