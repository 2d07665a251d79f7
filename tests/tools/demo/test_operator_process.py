# SPDX-License-Identifier: Apache-2.0
"""How the operator is started, watched and ended; a script stands in for it."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from demo.errors import DemoError
from demo.operator_process import (
    OPERATOR_SETTINGS,
    OperatorDiedError,
    OperatorProcess,
    Ports,
    environment,
    write_kubeconfig,
)
from podtracker import settings
from support.waiting import eventually

PORTS = Ports(health=1234, metrics=2345)

MakeOperator = Callable[[str], OperatorProcess]


def made(base: dict[str, str], slack_api_url: str | None = None, watch: str = "") -> dict[str, str]:
    return environment(
        base,
        kubeconfig=Path("/kubeconfig"),
        bound=PORTS,
        namespace="pod-tracker-system",
        watch=watch,
        slack_api_url=slack_api_url,
    )


@pytest.fixture
def make(tmp_path: Path) -> MakeOperator:
    """Return a function that makes an operator out of the body of a Python script."""

    def make(script: str) -> OperatorProcess:
        package = tmp_path / "podtracker"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(textwrap.dedent(script))
        bound = Ports.choose()
        env = {**os.environ, "PYTHONPATH": str(tmp_path), "PORT": str(bound.health)}
        return OperatorProcess(env, tmp_path / "operator.log", bound)

    return make


def test_it_gets_what_it_needs() -> None:
    env = made({"PATH": "/bin"}, "http://127.0.0.1:1/api/", watch="default")
    assert env == {
        "PATH": "/bin",
        "KUBECONFIG": "/kubeconfig",
        "POD_NAMESPACE": "pod-tracker-system",
        "WATCH_NAMESPACE": "default",
        "SLACK_API_URL": "http://127.0.0.1:1/api/",
        "HEALTH_PROBE_BIND_ADDRESS": "127.0.0.1:1234",
        "METRICS_BIND_ADDRESS": "127.0.0.1:2345",
    }


def test_it_does_not_inherit_its_own_settings_nor_the_token() -> None:
    base = {"SLACK_TOKEN": "xoxb-secret", "SLACK_CHANNEL": "C1", "SLACK_RATE": "0.01", "LOG_LEVEL": "error"}
    assert not made(base).keys() & base.keys()


def test_all_its_settings_are_known() -> None:
    assert {setting.variable for setting in settings._SETTINGS} == OPERATOR_SETTINGS


def test_a_slack_on_loopback_is_not_sought_behind_a_proxy() -> None:
    base = {"HTTPS_PROXY": "http://proxy", "http_proxy": "http://proxy", "SLACK_API_URL": "https://gateway/api/"}
    loopback = made(base, "http://127.0.0.1:1/api/")
    assert loopback["SLACK_API_URL"] == "http://127.0.0.1:1/api/"
    assert not {name.upper() for name in loopback} & {"HTTPS_PROXY", "HTTP_PROXY"}
    assert made(base).items() >= base.items()


def test_its_kubeconfig_is_private_and_without_the_admins_rights(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    admin = {
        "clusters": [{"name": "x", "cluster": {"server": "https://127.0.0.1:1", "certificate-authority-data": "Q0E="}}],
        "users": [{"name": "admin", "user": {"client-key-data": "cHJpdmF0ZQ=="}}],
    }
    write_kubeconfig(path, admin, "token-of-the-account")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    written = json.loads(path.read_text())
    assert written["clusters"][0]["cluster"] == admin["clusters"][0]["cluster"]
    assert written["users"][0]["user"] == {"token": "token-of-the-account"}
    assert "cHJpdmF0ZQ" not in path.read_text()


async def test_it_is_ready_when_it_says_so_and_ends_when_told(make: MakeOperator) -> None:
    script = """
        import http.server, os, signal, sys
        assert sys.argv[1:] == ["run"]
        signal.signal(signal.SIGTERM, lambda *_: (print("drained", flush=True), os._exit(0)))
        class Probe(http.server.BaseHTTPRequestHandler):
            asked = 0
            def do_GET(self):
                Probe.asked += 1
                self.send_response(200 if self.path == "/readyz" and Probe.asked > 2 else 503)
                self.end_headers()
        http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Probe).serve_forever()
    """
    async with make(script) as operator, asyncio.timeout(20):
        await operator.wait_ready()
    assert "drained" in operator.log.read_text()


async def test_its_death_ends_the_waiting_and_shows_its_last_words(make: MakeOperator) -> None:
    script = """
        for number in range(100):
            print("line", number)
        raise SystemExit(3)
    """
    async with make(script) as operator, asyncio.timeout(20):
        with pytest.raises(OperatorDiedError, match="exit status 3") as caught:
            await operator.wait_ready()
    assert "line 99" in str(caught.value)
    assert "line 84\n" not in str(caught.value)


async def test_its_death_ends_whatever_depends_on_it(make: MakeOperator) -> None:
    async with make("raise SystemExit(1)") as operator, asyncio.timeout(20):
        with pytest.raises(OperatorDiedError, match=r"operator\.log is empty"):
            await operator.alive(asyncio.Event().wait())


async def test_a_failure_of_the_work_passes_through(make: MakeOperator) -> None:
    async def fail() -> None:
        raise DemoError("no message came")

    async with make("import time; time.sleep(60)") as operator, asyncio.timeout(20):
        with pytest.raises(DemoError, match="no message came"):
            await operator.alive(fail())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the guardian needs /proc")
async def test_it_does_not_outlive_a_demo_that_is_killed(tmp_path: Path) -> None:
    package = tmp_path / "podtracker"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n")
    log = tmp_path / "operator.log"
    demo = textwrap.dedent(f"""
        import asyncio, os, pathlib, signal
        from demo.operator_process import OperatorProcess, Ports
        async def main():
            log = pathlib.Path({str(log)!r})
            env = {{**os.environ, "PYTHONPATH": {str(tmp_path)!r}}}
            async with OperatorProcess(env, log, Ports(1, 2)):
                while not log.read_text().strip():
                    await asyncio.sleep(0.01)
                os.kill(os.getpid(), signal.SIGKILL)
        asyncio.run(main())
    """)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", demo, env={**os.environ, "PYTHONPATH": ":".join(filter(None, sys.path))}
    )
    async with asyncio.timeout(20):
        assert await process.wait() == -9
    orphan = Path("/proc") / log.read_text().strip()
    await eventually(lambda: not orphan.exists(), what="the end of the orphan")
