# SPDX-License-Identifier: Apache-2.0
"""The process itself: settings, probes, signals, exit statuses."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path

import pytest

from devcluster import ports
from fakeslack.outcomes import Hang
from fakeslack.server import FakeSlack
from support.manifests import OTHER_CHANNEL
from support.operators import Operators
from support.process import Operator
from support.scene import Scene
from support.waiting import eventually

BAD_SETTINGS = {
    "WATCH_NAMESPACE": "Not_A_Namespace",
    "POD_NAMESPACE": "UPPER",
    "POD_SERVICE_ACCOUNT": "not an account",
    "SLACK_API_URL": "slack.com",
    "SLACK_RATE": "nan",
    "SLACK_BURST": "1.5",
    "SLACK_TIMEOUT": "0",
    "RETRY_BACKOFF": "x",
    "RETRY_BACKOFF_MAX": "0.001",
    "BLOCKED_RETRY": "-5",
    "SECRET_REFRESH": "often",
    "DRAIN_TIMEOUT": "-1",
    "HEALTH_PROBE_BIND_ADDRESS": ":99999",
    "METRICS_BIND_ADDRESS": "8080",
    "LEASE_DURATION": "0.1",
    "LOG_LEVEL": "loud",
    "LOG_FORMAT": "xml",
}
"""Values that cannot work, by variable."""


async def test_bad_settings(operators: Operators) -> None:
    """Each wrong value ends the process with status 2 and one sentence that names the variable."""
    limit = asyncio.Semaphore(2)

    async def check(variable: str, value: str) -> str | None:
        async with limit:
            operator = operators.prepare(**{variable: value})
            operator.spawn()
            status = await operator.wait_exit(20)
        said = operator.output().strip()
        well = status == 2 and len(said.splitlines()) == 1 and variable in said
        return None if well else f"{variable}={value!r}: exit {status}: {said}"

    checks = [check(variable, value) for variable, value in BAD_SETTINGS.items()]
    assert [problem for problem in await asyncio.gather(*checks) if problem] == []


async def test_flag_wins(operators: Operators) -> None:
    """A flag is looked at instead of its variable, and named when it is wrong."""
    operator = operators.prepare(flags=("--slack-rate=?!",), SLACK_RATE="1")
    operator.spawn()
    assert await operator.wait_exit(20) == 2
    assert "--slack-rate" in operator.output()


async def test_flags_work(scene: Scene) -> None:
    """The right values of flags override wrong ones of the environment."""
    flags = ("--watch-namespace", scene.namespace, "--slack-api-url", scene.slack.url, "--log-level", "info")
    environment = {"WATCH_NAMESPACE": "elsewhere", "SLACK_API_URL": "nonsense", "LOG_LEVEL": "loud"}
    operator = scene.operators.prepare(flags=flags, **environment)
    await operator.start()
    await scene.track()
    await scene.run("nginx")
    await scene.delivered("Pod nginx was created")


async def test_taken_port(operators: Operators) -> None:
    """An address that somebody else listens on: status 2 and a sentence."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        operator = operators.prepare(METRICS_BIND_ADDRESS=address)
        operator.spawn()
        assert await operator.wait_exit(20) == 2
    assert address in operator.output()


async def test_no_kubeconfig(operators: Operators) -> None:
    """A KUBECONFIG that is not there: status 2 and a sentence that says what to set."""
    operator = operators.prepare(KUBECONFIG="nowhere/kubeconfig")
    operator.spawn()
    assert await operator.wait_exit(20) == 2
    assert "KUBECONFIG" in operator.output()


async def test_term_while_the_api_server_is_away(operators: Operators, tmp_path: Path) -> None:
    """Asked to end while it still waits for the API server, it ends soon and well."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(_config_of(f"http://127.0.0.1:{ports.choose(1)[0]}"))
    operator = operators.prepare(KUBECONFIG=str(kubeconfig))
    operator.spawn()
    await eventually(lambda: "Cannot connect" in operator.output(), what="its first complaint")
    assert await operator.probe("/healthz") == 200
    await operator.stop()


def _config_of(server: str) -> str:
    return f"""\
apiVersion: v1
kind: Config
current-context: c
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
clusters: [{{name: c, cluster: {{server: "{server}"}}}}]
users: [{{name: u, user: {{}}}}]
"""


async def test_probes(scene: Scene) -> None:
    """Ready means live too; after the end nobody listens."""
    operator = await scene.operate()
    assert await operator.probe("/healthz") == 200
    assert await operator.probe("/readyz") == 200
    assert "pod_tracker_pod_events_total" in await operator.exposition()
    await operator.stop()
    assert await operator.probe("/healthz") == 0


async def test_healthy_while_slack_is_away(scene: Scene, slack: FakeSlack) -> None:
    """Trouble of a receiver is no reason to restart the operator."""
    operator = await scene.operate()
    await scene.track()
    await scene.handled()
    await slack.stop()
    await scene.run("nginx")
    await scene.condition("ReporterReady", "False", "Unreachable")
    assert await operator.probe("/healthz") == 200
    assert await operator.probe("/readyz") == 200
    await slack.start()
    await scene.delivered("Pod nginx was created")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_end_delivers_what_waits(scene: Scene, number: signal.Signals) -> None:
    """Asked to end with a queue of messages: all are delivered, at the pace, the status is written, exit 0."""
    operator = await scene.operate(SLACK_RATE="5", SLACK_BURST="1", DRAIN_TIMEOUT="10")
    count = 8
    for each in range(count):
        await scene.track(f"t-{each}", pod="nginx", channel=OTHER_CHANNEL)
        await scene.handled(f"t-{each}")
    await scene.run("nginx")
    await eventually(scene.messages, what="the first message")
    assert len(scene.messages()) < count
    operator.terminate(number)
    assert await operator.wait_exit(20) == 0
    assert len(scene.messages()) == count
    assert len(set(scene.occurrences())) == count
    times = sorted(message.received_at for message in scene.messages())
    assert times[-1] - times[0] >= (count - 2) / 5
    assert [(await scene.status(f"t-{each}"))["delivered"] for each in range(count)] == [1] * count


async def test_end_does_not_wait_for_ever(scene: Scene, slack: FakeSlack) -> None:
    """A receiver that never answers cannot hold the process beyond DRAIN_TIMEOUT; what it left undone shows."""
    operator = await scene.operate(DRAIN_TIMEOUT="1", SLACK_TIMEOUT="60")
    slack.script(*[Hang()] * 10)
    await scene.track()
    await scene.run("nginx")
    await slack.wait_for(lambda fake: any(request.method == "chat.postMessage" for request in fake.requests))
    operator.terminate()
    assert await operator.wait_exit(8) == 0
    assert (await scene.status())["pending"] == 1


async def test_version() -> None:
    """`podtracker version` prints it, and nothing else."""
    process = await asyncio.create_subprocess_exec(
        *Operator.command("version"), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, error = await process.communicate()
    assert (process.returncode, error) == (0, b"")
    assert out.decode().strip().count(".") == 2
