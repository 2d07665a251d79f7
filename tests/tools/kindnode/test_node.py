# SPDX-License-Identifier: Apache-2.0
"""Which engine and image the node gets, and whose clusters are left alone; engines and kind are scripts."""

from __future__ import annotations

from pathlib import Path

import pytest

from devcluster.cache import Cache
from devcluster.errors import ClusterError
from kindnode import actor, pins
from kindnode.cluster import NAME, Cluster
from kindnode.engine import forget_former_boot
from kindnode.node import VARIABLE

_ENGINE = """\
#!/bin/sh
# Which files stand beside this program tells what it can do.
here=$(dirname "$0"); me=$(basename "$0")
echo "$me $*" >>"$here/calls"
case "$1 $2" in
  "info ") [ -e "$here/$me-works" ] ;;
  "image inspect") [ "$me-$4" = podman---format ] && [ -e "$here/own" ] && cat "$here/own" ;;
  "pull --quiet") [ -e "$here/$me-pulls" ] ;;
  "ps --all") [ ! -e "$here/$me-runs" ] || cat "$here/$me-runs" ;;
  "rm --force") rm -f "$here/$me-runs" ;;
esac
"""
_KIND = """\
#!/bin/sh
here=$(dirname "$0")
echo "kind $*" >>"$here/calls"
if [ "$1" = create ]; then
  echo node >"$here/docker-runs"
  for each; do case $each in --kubeconfig=*) touch "${each#*=}" ;; esac; done
fi
"""
_KUBECTL = """\
#!/bin/sh
echo '{"gitVersion": "v1.35.8"}'
"""
_ASKED = "docker.io/kindest/node:v1.35.8"


class Machine:
    """A machine with these programs."""

    def __init__(self, programs: Path, cache: Cache) -> None:
        self.programs = programs
        self.cache = cache
        for name, text in {"docker": _ENGINE, "podman": _ENGINE, "kind": _KIND, "kubectl": _KUBECTL}.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)

    def has(self, *marks: str) -> None:
        for mark in marks:
            (self.programs / mark).write_text(f"{pins.digest()}\n" if mark == "own" else "container\n")

    def cluster(self, **environment: str) -> Cluster:
        return Cluster(self.cache, environment=environment)

    def calls(self, *words: str) -> list[str]:
        """What was called that begins with these words."""
        path = self.programs / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if line.startswith(" ".join(words))]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setattr(actor, "archive", lambda *_: tmp_path / "actor.tar")
    return Machine(programs, Cache(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("marks", "environment", "engine"),
    [
        (["docker-works", "docker-pulls", "podman-works", "podman-pulls"], {}, "docker"),
        (["docker-works", "podman-works", "podman-pulls"], {}, "podman"),
        (["docker-pulls", "podman-works", "podman-pulls"], {}, "podman"),
        (["docker-works", "docker-pulls", "podman-works", "podman-pulls"],
         {"KIND_EXPERIMENTAL_PROVIDER": "podman"}, "podman"),
        (["docker-works", "podman-works"], {}, ""),
        ([], {}, ""),
        (["own", "docker-works", "docker-pulls"], {}, ""),
    ],
)  # fmt: skip
def test_kinds_own_node_where_it_can_be_had(
    machine: Machine, marks: list[str], environment: dict[str, str], engine: str
) -> None:
    machine.has(*marks)
    chosen = machine.cluster(**environment).chosen
    assert ("" if chosen.engine.own else chosen.engine.program) == engine
    assert chosen.node.name.startswith("docker.io/kindest/node:v" if engine else "localhost/kindest/node:v")
    assert chosen.engine.environment["KIND_EXPERIMENTAL_PROVIDER"] == (engine or "podman")


def test_nothing_is_pulled_once_a_node_was_made(machine: Machine) -> None:
    machine.has("own", "docker-works", "docker-pulls")
    assert machine.cluster().chosen.engine.own
    assert machine.calls("docker pull") == []


def test_only_our_own_engine_gets_a_configuration(machine: Machine) -> None:
    machine.has("docker-works", "docker-pulls")
    assert "CONTAINERS_CONF" not in machine.cluster().chosen.engine.environment
    machine.has("own")
    assert str(machine.cache.root) in machine.cluster().chosen.engine.environment["CONTAINERS_CONF"]


def test_the_image_that_is_asked_for_is_the_one(machine: Machine) -> None:
    machine.has("own", "docker-works")
    chosen = machine.cluster(**{VARIABLE: _ASKED}).chosen
    assert (chosen.engine.program, chosen.node.name) == ("docker", _ASKED)
    with pytest.raises(ClusterError, match=f"docker pull {_ASKED}"):
        chosen.node.ensure(install=False)


def test_an_image_needs_an_engine(machine: Machine) -> None:
    with pytest.raises(ClusterError, match=r"needs docker or podman.*`docker info`.*made from packages"):
        _ = machine.cluster(**{VARIABLE: _ASKED}).chosen


def test_a_cluster_of_somebody_else_is_left_alone(machine: Machine) -> None:
    machine.has("docker-works", "docker-pulls", "docker-runs")
    with pytest.raises(ClusterError, match=r"did not make.*kind delete cluster.*CLUSTER=current"):
        machine.cluster(**{VARIABLE: _ASKED}).up()
    assert machine.calls("docker rm") == []
    assert machine.calls("kind") == []
    assert not machine.cluster().down()
    assert machine.calls("docker rm") == []


def test_a_cluster_of_ours_is_made_used_again_and_ended(machine: Machine) -> None:
    machine.has("docker-works", "docker-pulls")
    made = machine.cluster(**{VARIABLE: _ASKED}).up()
    assert made.version == "v1.35.8"
    [create] = machine.calls("kind create")
    assert f"--image={_ASKED}" in create
    assert f"--name={NAME}" in create
    assert len(machine.calls("kind load image-archive")) == 1
    again = machine.cluster()
    assert again.up() == made
    assert again.engine.program == "docker"
    assert len(machine.calls("kind create")) == 1
    with pytest.raises(ClusterError, match=r"runs docker\.io/kindest/node:v1\.35\.8, not other"):
        machine.cluster(**{VARIABLE: "other"}).up()
    assert machine.cluster().down()
    assert len(machine.calls("docker rm")) == 1
    assert machine.cluster().status() is None
    assert not machine.cluster().down()


def test_what_ran_before_a_restart_of_the_machine_is_forgotten(tmp_path: Path) -> None:
    state = tmp_path / "run" / "libpod" / "alive"
    for boot, stays in (("one", True), ("one", True), ("two", False)):
        state.parent.mkdir(parents=True, exist_ok=True)
        state.touch()
        forget_former_boot(tmp_path, boot)
        assert state.exists() is stays
