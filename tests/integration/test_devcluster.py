# SPDX-License-Identifier: Apache-2.0
"""The local cluster: a real API server that starts, stops, keeps its data, and never outlives who it shall not."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devcluster import ports, processes
from devcluster.binaries import Binaries
from devcluster.local import ClusterError, LocalCluster
from devcluster.processes import ProcessId
from devcluster.teardown import end_recorded, family

PATIENCE = 60.0
LISTENING = "0A"
"""State of a listening socket in /proc/net/tcp."""

STARTER = """
import json, sys
from pathlib import Path
from devcluster.binaries import ensure_binaries
from devcluster.local import LocalCluster
cluster = LocalCluster.start(Path(sys.argv[1]), ensure_binaries())
print(json.dumps(cluster.pids), flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def own(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A cluster of this module's own, since its API server is stopped now and then."""
    cluster = LocalCluster.start(tmp_path_factory.mktemp("own"), binaries, audit=True)
    yield cluster
    cluster.stop()


@pytest.fixture
def environment(binaries: Binaries, tmp_path: Path) -> dict[str, str]:
    """Environment of a command line with a cache folder of its own, in which nothing has to be built."""
    env = {name: value for name, value in os.environ.items() if name not in ("CLUSTER", "KUBECONFIG")}
    return env | {"XDG_CACHE_HOME": str(tmp_path), "DEVCLUSTER_BIN_DIR": str(binaries.etcd.parent)}


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that must survive whatever a test ends."""
    with subprocess.Popen(["/bin/sleep", "600"]) as process:
        yield process
        assert process.poll() is None, "a process that is not the cluster's was ended"
        process.kill()


def test_version_is_the_pinned_one(own: LocalCluster) -> None:
    assert json.loads(own.kubectl("get", "--raw", "/version").stdout)["gitVersion"] == "v1.36.3"


def test_kubectl_takes_nothing_from_the_caller(
    own: LocalCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert own.kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}").stdout == "admin"
    assert list(tmp_path.iterdir()) == []


def test_kubectl_that_fails_tells_why(own: LocalCluster) -> None:
    with pytest.raises(ClusterError, match=r'kubectl get pod nobody: exit 1: .*pods "nobody" not found'):
        own.kubectl("get", "pod", "nobody")
    assert own.kubectl("get", "pod", "nobody", check=False).returncode == 1


def test_pod_can_be_created_and_stays_pending(own: LocalCluster) -> None:
    own.kubectl("run", "pending", "--image=nginx")
    assert own.kubectl("get", "pod", "pending", "-o", "jsonpath={.status.phase}").stdout == "Pending"


def test_input_and_the_token_of_a_service_account(own: LocalCluster, tmp_path: Path) -> None:
    manifest = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "somebody"}}
    own.kubectl("apply", "-f", "-", input=json.dumps(manifest))
    token = own.kubectl("create", "token", "somebody").stdout.strip()
    kubeconfig = own.kubeconfig_for_token(tmp_path / "kubeconfig", token)
    user = own.kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}", kubeconfig=kubeconfig).stdout
    assert user == "system:serviceaccount:default:somebody"
    assert own.kubectl("get", "secrets", kubeconfig=kubeconfig, check=False).returncode == 1


def test_everything_listens_on_loopback_only(own: LocalCluster) -> None:
    listening = {name: _listening_addresses(pid) for name, pid in own.pids.items()}
    assert {name: len(addresses) for name, addresses in listening.items()} == {
        "etcd": 2,
        "kube-apiserver": 1,
        "kube-controller-manager": 0,
    }
    assert {address for addresses in listening.values() for address in addresses} == {"127.0.0.1"}


def test_nobody_gets_in_without_a_certificate(own: LocalCluster, tmp_path: Path) -> None:
    stranger = own.kubeconfig_for_token(tmp_path / "kubeconfig", "made-up")
    refused = own.kubectl("get", "pods", kubeconfig=stranger, check=False)
    assert "Unauthorized" in refused.stderr + refused.stdout


def test_audit_log_tells_who_did_what_without_bodies(own: LocalCluster) -> None:
    assert own.audit_log is not None
    own.kubectl("create", "secret", "generic", "audited", "--from-literal=token=xoxb-very-secret")
    lines = own.audit_log.read_text().splitlines()
    events = [json.loads(line) for line in lines if '"name":"audited"' in line]
    assert [(event["verb"], event["user"]["username"], event["stage"]) for event in events] == [
        ("create", "admin", "ResponseComplete")
    ]
    assert "very-secret" not in own.audit_log.read_text()


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_api_server_comes_back_with_its_data_on_its_port(own: LocalCluster, kill: bool) -> None:
    name = "kept-over-kill" if kill else "kept-over-stop"
    own.kubectl("create", "configmap", name)
    server = own.server
    own.stop_apiserver(kill=kill)
    assert "kube-apiserver" not in own.pids
    assert own.kubectl("get", "pods", check=False).returncode == 1
    own.start_apiserver()
    assert own.server == server
    assert own.kubectl("get", "configmap", name, "-o", "name").stdout.strip() == f"configmap/{name}"


def test_port_taken_while_the_api_server_was_away(own: LocalCluster) -> None:
    port = int(own.server.rpartition(":")[2])
    own.stop_apiserver()
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", port))
        thief.listen()
        with pytest.raises(ClusterError, match=f"Port {port} of 127.0.0.1 is taken by another program: end that"):
            own.start_apiserver()
    own.start_apiserver()
    assert own.kubectl("get", "pods").returncode == 0


def test_folder_with_a_running_cluster_is_refused(own: LocalCluster, binaries: Binaries) -> None:
    with pytest.raises(ClusterError, match="A cluster already runs in"):
        LocalCluster.start(own.kubeconfig.parent, binaries)
    assert own.kubectl("get", "pods").returncode == 0


def test_wrong_flag_shows_what_the_api_server_said(binaries: Binaries, tmp_path: Path) -> None:
    with pytest.raises(
        ClusterError, match=r"kube-apiserver ended by itself; its log .*\n(.*\n)*.*unknown flag: --nope"
    ):
        LocalCluster.start(tmp_path, binaries, apiserver_args=["--nope"])
    assert processes.find_marked(family(tmp_path)) == []


@pytest.mark.usefixtures("stranger")
def test_without_controllers_on_a_port_of_choice(binaries: Binaries, tmp_path: Path) -> None:
    port = ports.choose(1)[0]
    cluster = LocalCluster.start(tmp_path, binaries, controller_manager=False, port=port)
    try:
        assert cluster.server == f"https://127.0.0.1:{port}"
        assert set(cluster.pids) == {"etcd", "kube-apiserver"}
        assert cluster.audit_log is None
        cluster.kubectl("run", "nginx", "--image=nginx")
    finally:
        cluster.stop()
    cluster.stop()
    assert cluster.pids == {}
    assert processes.find_marked(family(tmp_path)) == []
    assert ports.is_free(port)


@pytest.mark.usefixtures("stranger")
def test_cluster_ends_with_its_killed_starter(environment: dict[str, str], tmp_path: Path) -> None:
    workdir = tmp_path / "cluster"
    with subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, "-c", STARTER, str(workdir)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as starter:
        assert starter.stdout is not None
        started = [_identify(pid) for pid in json.loads(starter.stdout.readline()).values()]
        assert len(started) == 3
        starter.kill()
    _wait(lambda: not any(processes.is_alive(process) for process in started))
    assert not end_recorded(workdir), "nothing is left to end"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
@pytest.mark.usefixtures("stranger")
def test_up_that_is_stopped_half_way_leaves_nothing(
    environment: dict[str, str], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    ours = family((tmp_path / "pod-tracker" / "clusters" / "default").resolve())
    with subprocess.Popen(_command("up", "--kind", "local"), env=environment, stderr=subprocess.DEVNULL) as up:  # noqa: S603
        _wait(lambda: len(processes.find_marked(ours)) == 2)
        up.send_signal(number)
    assert up.returncode == code
    _wait(lambda: not processes.find_marked(ours))
    assert _run(environment, "status").returncode == 3
    assert _run(environment, "down").returncode == 0


@pytest.mark.usefixtures("stranger")
def test_up_status_down(environment: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "pod-tracker" / "clusters" / "default"
    assert _run(environment, "status").returncode == 3
    try:
        up = _run(environment, "up", "--kind", "local")
        assert up.returncode == 0, up.stderr
        assert up.stdout == f"export KUBECONFIG={folder / 'kubeconfig'}\n"
        shown = up.stderr.splitlines()[-8:]
        assert {"kind: local", "version: v1.36.3"} <= set(shown)

        again = _run(environment, "up")
        assert again.stdout == up.stdout
        assert again.stderr.splitlines() == ["The local cluster is already up.", *shown]

        status = _run(environment, "status")
        assert (status.returncode, status.stdout.splitlines()) == (0, shown)
        running = _pids(shown)
        assert set(running) == {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}

        processes.kill([running["kube-apiserver"]])
        assert _run(environment, "status").returncode == 3

        renewed = _run(environment, "up", "--kind", "local")
        assert renewed.returncode == 0, renewed.stderr
        assert not any(processes.is_alive(process) for process in running.values())
        running = _pids(renewed.stderr.splitlines())
    finally:
        down = _run(environment, "down")
    assert (down.returncode, down.stdout) == (0, "The cluster is down and its data are removed.\n")
    assert not any(processes.is_alive(process) for process in running.values())
    assert not folder.exists()
    assert _run(environment, "status").returncode == 3
    assert _run(environment, "down").stdout == "No cluster is up.\n"


def _command(*args: str) -> list[str]:
    return [sys.executable, "-m", "devcluster", *args]


def _run(environment: dict[str, str], *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own code
        _command(*args), env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
    )


def _pids(lines: list[str]) -> dict[str, ProcessId]:
    """Return the processes that lines such as `pid: 17 etcd` name."""
    fields = [line.split() for line in lines if line.startswith("pid: ")]
    return {name: _identify(int(pid)) for _, pid, name in fields}


def _identify(pid: int) -> ProcessId:
    process = processes.identify(pid)
    assert process is not None
    return process


def _listening_addresses(pid: int) -> list[str]:
    """Return the local addresses that a process listens on, IPv6 ones as hexadecimal digits."""
    inodes = {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()}
    addresses = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and f"socket:[{fields[9]}]" in inodes:
                address = fields[1].partition(":")[0]
                addresses.append(socket.inet_ntoa(bytes.fromhex(address)[::-1]) if table == "tcp" else address)
    return addresses


def _wait(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.05)
