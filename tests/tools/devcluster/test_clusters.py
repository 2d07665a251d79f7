# SPDX-License-Identifier: Apache-2.0
"""The commands of the command line where no local cluster is started. Scripts play Docker, kind and kubectl."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from devcluster import ports
from devcluster.__main__ import main
from devcluster.cache import Cache
from devcluster.kind import local_image

from .conftest import AddProgram

KUBECTL = """
case "$*" in
"config current-context") echo mine;;
"config view"*) echo https://127.0.0.1:6443;;
"get --raw /version"*) echo '{"gitVersion": "v1.36.4"}';;
esac
"""
KIND = """
echo "$KIND_EXPERIMENTAL_PROVIDER $@" >> "${XDG_CACHE_HOME}/calls"
case "$1 $2" in
"get clusters") cat "${XDG_CACHE_HOME}/kind-clusters" 2>/dev/null;;
"create cluster") echo pod-tracker > "${XDG_CACHE_HOME}/kind-clusters";;
"delete cluster") : > "${XDG_CACHE_HOME}/kind-clusters";;
esac
"""
PODMAN = 'case "$1 $2" in "image ls") echo localhost/kindest/node:v1.36.3-local;; esac'


pytestmark = pytest.mark.usefixtures("add_program")


@pytest.fixture(autouse=True)
def _surroundings(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.root.mkdir(parents=True)
    for name in ("CLUSTER", "KIND_EXPERIMENTAL_PROVIDER", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def calls(cache: Cache) -> Path:
    return cache.root.parent / "calls"


def test_kind_roundtrip(cache: Cache, add_program: AddProgram, calls: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_program("docker", "exit 1")
    add_program("podman", PODMAN)
    add_program("kind", KIND)
    add_program("kubectl", KUBECTL)
    kubeconfig = cache.clusters / "default" / "kubeconfig"
    assert main(["up"]) == 0
    up = capsys.readouterr()
    assert "Cluster: kind (it is installed and works)." in up.err
    assert up.out == f"export KUBECONFIG={kubeconfig}\n"
    assert up.err.splitlines()[-4:] == [
        "kind: kind",
        "context: kind-pod-tracker",
        "server: https://127.0.0.1:6443",
        "version: v1.36.4",
    ]
    create = next(call for call in calls.read_text().splitlines() if " create " in call)
    assert create.startswith("podman create cluster --name pod-tracker --image localhost/kindest/node:v1.36.3-local ")
    assert f"--kubeconfig {kubeconfig}" in create
    assert main(["up"]) == 0
    assert "The kind cluster is already up." in capsys.readouterr().err
    assert main(["up", "--kind", "local"]) == 1
    assert "A kind cluster is up already: take it down first" in capsys.readouterr().err
    assert main(["status"]) == 0
    assert main(["down"]) == 0
    assert f"podman delete cluster --name pod-tracker --kubeconfig {kubeconfig}" in calls.read_text().splitlines()
    assert main(["status"]) == 3
    assert capsys.readouterr().out.splitlines()[-1] == "No cluster is up."


def test_kind_that_fails_leaves_nothing(
    cache: Cache, add_program: AddProgram, calls: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_program("podman", PODMAN)
    add_program("kind", KIND.replace('create cluster")', 'create cluster") echo cgroups are missing; exit 1;'))
    add_program("kubectl", KUBECTL)
    assert main(["up", "--kind", "kind"]) == 1
    error = capsys.readouterr().err
    assert "kind failed while creating the kind cluster pod-tracker" in error
    assert "cgroups are missing" in error
    assert " delete cluster " in calls.read_text()
    assert not (cache.clusters / "default").exists()


def test_kind_cluster_of_somebody_else_is_left_alone(
    cache: Cache, add_program: AddProgram, calls: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_program("podman", PODMAN)
    add_program("kind", KIND)
    (cache.root.parent / "kind-clusters").write_text("pod-tracker\n")
    assert main(["up", "--kind", "kind"]) == 1
    assert "that this command did not make" in capsys.readouterr().err
    assert main(["down"]) == 0
    assert "delete" not in calls.read_text()


@pytest.mark.parametrize(
    ("programs", "reason"),
    [
        ({}, "there is no program kind on PATH"),
        ({"kind": ""}, "there is no program docker on PATH and there is no program podman on PATH"),
        (
            {"kind": "", "docker": "exit 1"},
            "docker does not work (`docker info` says why) and there is no program podman",
        ),
        (
            {"kind": "", "docker": 'case "$1" in info) ;; image) test "$2" = ls;; *) exit 1;; esac'},
            "there is no node image, and pulling kindest/node:v1.36.4@sha256:",
        ),
    ],
    ids=["no kind", "no engine", "engine without daemon", "no image"],
)
def test_reasons_against_kind(
    add_program: AddProgram, capsys: pytest.CaptureFixture[str], programs: dict[str, str], reason: str
) -> None:
    for name, script in programs.items():
        add_program(name, script)
    assert main(["up", "--kind", "kind"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("kind cannot be used here: ")
    assert reason in error
    assert error.endswith("Remedy that, or use CLUSTER=local.")


def test_current_only_looks(
    add_program: AddProgram, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, cache: Cache
) -> None:
    add_program("kubectl", KUBECTL)
    monkeypatch.setenv("CLUSTER", "current")
    shown = "kind: current\ncontext: mine\nserver: https://127.0.0.1:6443\nversion: v1.36.4\n"
    assert main(["up"]) == 0
    assert capsys.readouterr() == ("", shown)
    assert main(["status"]) == 0
    assert capsys.readouterr() == (shown, "")
    assert main(["down"]) == 0
    assert "nothing is ended" in capsys.readouterr().out
    assert not cache.clusters.exists()


def test_current_that_does_not_answer(add_program: AddProgram, capsys: pytest.CaptureFixture[str]) -> None:
    add_program("kubectl", 'case "$1" in config) echo x;; *) echo "warning\nconnection refused" >&2; exit 1;; esac')
    assert main(["up", "--kind", "current"]) == 1
    assert capsys.readouterr().err == (
        "The cluster of your KUBECONFIG cannot be used (connection refused): "
        "choose one with `kubectl config use-context`, or unset CLUSTER.\n"
    )


def test_unknown_kind_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--kind", "minikube"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_taken_port_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("etcd", "kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler"):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("DEVCLUSTER_BIN_DIR", str(tmp_path))
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert main(["up", "--kind", "local", "--port", str(port)]) == 1
    assert f"Port {port} of 127.0.0.1 is taken by another program" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["0", "65536", "x"])
def test_impossible_port(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["up", "--port", port])
    assert "is no port: give a number from 1 to 65535" in capsys.readouterr().err


def test_chosen_ports_are_free_and_different() -> None:
    chosen = ports.choose(3)
    assert len(set(chosen)) == 3
    assert all(ports.is_free(port) for port in chosen)


@pytest.mark.parametrize(
    ("references", "image"),
    [
        ([], None),
        (["kindest/node:v1.35.9", "node:v1.36.1", "kindest/node:<none>"], None),
        (
            ["kindest/node:v1.36.9", "localhost/kindest/node:v1.36.10", "kindest/node:v1.36.1"],
            "localhost/kindest/node:v1.36.10",
        ),
        (["localhost/kindest/node:v1.36.3-local"], "localhost/kindest/node:v1.36.3-local"),
    ],
)
def test_local_image(references: list[str], image: str | None) -> None:
    assert local_image(references, "v1.36") == image
