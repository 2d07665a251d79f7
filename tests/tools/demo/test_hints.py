# SPDX-License-Identifier: Apache-2.0
"""The commands to try next can be pasted as they are."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from demo.cluster import DemoCluster
from demo.hints import what_next
from demo.tracker import Tracker
from devcluster.choose import Kind

SAMPLE = Tracker.from_sample(Path(__file__).parents[3] / "config/samples/tracker.yaml", None)


def text(kubeconfig: str = "/cache dir/kubeconfig") -> str:
    cluster = DemoCluster(Kind.LOCAL, Path("/cache/bin/kubectl"), kubeconfig, is_ours=True)
    return what_next(cluster, SAMPLE, metrics_port=2345, log=Path("/cache/operator.log"))


def test_where_the_cluster_and_kubectl_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "export KUBECONFIG='/cache dir/kubeconfig'\n" in text()
    assert 'export PATH="/cache/bin:$PATH"' in text()


def test_the_users_own_settings_stay() -> None:
    assert "KUBECONFIG" not in text(kubeconfig="")


def test_commands_are_whole() -> None:
    commands = [line for line in text().splitlines() if line and not line.startswith("#")]
    assert all(shlex.split(command) for command in commands)
    patches = [json.loads(found) for found in re.findall(r"-p '(.*)'", text())]
    assert patches[0] == {"spec": {"name": "web"}}
    assert patches[1]["spec"]["reporter"] == {"channel": "C0000000000"}
    assert "curl -s http://127.0.0.1:2345/metrics" in commands
    assert "Ctrl-C" in text().splitlines()[-1]
