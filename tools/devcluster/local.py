# SPDX-License-Identifier: Apache-2.0
"""A real control plane on loopback, without nodes: etcd, kube-apiserver and, when wanted, the two controllers.

Pods can be created and never run. Everything lies in one folder and ends with its starter, also when the starter is
killed, unless it is started `detached`.
"""

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from devcluster import components, kubeconfig, pki, ports, processes
from devcluster.binaries import Binaries
from devcluster.components import APISERVER, CONTROLLER_MANAGER, ETCD, SCHEDULER, Layout, Ports, Site
from devcluster.errors import ClusterError, sentence
from devcluster.guardian import Guardian
from devcluster.probe import Probe
from devcluster.progress import Progress, silent
from devcluster.state import State
from devcluster.teardown import end_recorded, family, require_idle

__all__ = ["ClusterError", "LocalCluster"]

START_TIMEOUT: Final = 120.0
"""Seconds until a start counts as failed; about 5 are normal."""

KUBECTL_TIMEOUT: Final = 120.0
"""Seconds until a kubectl command counts as hanging."""

_POLL: Final = 0.05
_PORT_ATTEMPTS: Final = 5
_LOG_TAIL_LINES: Final = 8
_PORT_TAKEN: Final = "address already in use"
_DEFAULT_ACCOUNT: Final = "/api/v1/namespaces/default/serviceaccounts/default"


class _PortTakenError(ClusterError):
    """Somebody took a port between its choice and its use."""


@dataclass(frozen=True, slots=True)
class _Options:
    controller_manager: bool
    scheduler: bool
    audit: bool
    apiserver_args: Sequence[str]
    port: int | None
    detached: bool


class LocalCluster:
    """A running local cluster; make one with `start`."""

    def __init__(self, layout: Layout, binaries: Binaries, options: _Options) -> None:
        """Prepare a cluster; it does not run yet. Use `start`."""
        self._layout = layout
        self._binaries = binaries
        self._options = options
        free = ports.choose(3)
        self._ports = Ports(apiserver=options.port or free[0], etcd_client=free[1], etcd_peer=free[2])
        self._pki = pki.create(layout.pki)
        self._site = Site(layout, self._ports, self._pki)
        self._probe = Probe(port=self._ports.apiserver, ca=self._pki.ca, pair=self._pki.admin)
        self._state = State(server=self._ports.server)
        self._mark = f"{family(layout.workdir)}.{secrets.token_hex(8)}"
        self._log_starts: dict[str, int] = {}
        self._guardian: Guardian | None = None

    @classmethod
    def start(
        cls,
        workdir: Path,
        binaries: Binaries,
        *,
        controller_manager: bool = True,
        scheduler: bool = False,
        audit: bool = False,
        apiserver_args: Sequence[str] = (),
        port: int | None = None,
        detached: bool = False,
        progress: Progress = silent,
    ) -> Self:
        """Start a new cluster in `workdir` and return when it is ready: some 5 seconds.

        Args:
            workdir: folder for all the cluster writes, made when missing; the remains of an ended one are replaced.
            binaries: the programs, from `ensure_binaries`.
            controller_manager: run it too, and wait for the `default` ServiceAccount. Without it pods need no
                ServiceAccount, and nothing collects garbage or empties deleted namespaces.
            scheduler: run it too; there are no nodes, so pods become `Unschedulable`.
            audit: write an audit log (who did what, no bodies); it is complete when the client has its answer.
            apiserver_args: more flags of kube-apiserver.
            port: port of the API server; a free one by default.
            detached: outlive this process, until `end_recorded`; otherwise it ends with this process, in any case.
            progress: called with sentences about what goes on.

        Raises:
            ClusterError: it could not start; the text says why and what to do. Nothing is left running.
        """
        layout = Layout(workdir.resolve())
        require_idle(layout.workdir)
        if port is not None and not ports.is_free(port):
            raise ClusterError(_port_taken_sentence(port))
        options = _Options(controller_manager, scheduler, audit, tuple(apiserver_args), port, detached)
        begin = time.monotonic()
        try:
            cluster = cls._start_on_free_ports(layout, binaries, options)
        except OSError as exc:
            raise ClusterError(sentence(exc, layout.workdir)) from exc
        progress(f"The API server answers at {cluster.server} after {time.monotonic() - begin:.1f} s.")
        return cluster

    @classmethod
    def _start_on_free_ports(cls, layout: Layout, binaries: Binaries, options: _Options) -> Self:
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            _prepare(layout)
            cluster = cls(layout, binaries, options)
            try:
                cluster._bring_up()
            except _PortTakenError:
                cluster.stop()
                if attempt == _PORT_ATTEMPTS or (options.port and not ports.is_free(options.port)):
                    raise
            except BaseException:
                cluster.stop()
                raise
            else:
                return cluster
        raise AssertionError

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of the administrator."""
        return self._layout.kubeconfig

    @property
    def server(self) -> str:
        """URL of the API server."""
        return self._ports.server

    @property
    def ca_file(self) -> Path:
        """Certificate of the authority that signed the API server's."""
        return self._pki.ca

    @property
    def audit_log(self) -> Path | None:
        """The audit log, one JSON event per line; None unless asked for at the start."""
        return self._layout.audit_log if self._options.audit else None

    @property
    def pids(self) -> dict[str, int]:
        """The pids of what runs, by component."""
        return {name: process.pid for name, process in self._state.alive().items()}

    def log_file(self, name: str) -> Path:
        """Return the log of a component, such as `kube-apiserver`."""
        return self._layout.log(name)

    def kubeconfig_for_token(self, path: Path, token: str) -> Path:
        """Write a kubeconfig to `path` that authenticates with a ServiceAccount's token; return `path`."""
        return kubeconfig.write_for_token(path, server=self.server, ca=self.ca_file, token=token)

    def kubectl(
        self,
        *args: str,
        input: str | None = None,  # noqa: A002 - as in subprocess.run
        check: bool = True,
        kubeconfig: Path | None = None,
        timeout: float = KUBECTL_TIMEOUT,
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator, or as the user of `kubeconfig`, untouched by the caller's own settings.

        Raises:
            ClusterError: it failed and `check` is set, or it took longer than `timeout` seconds.
        """
        env = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig or self.kubeconfig),
            "KUBECACHEDIR": str(self._layout.kubectl_cache),
            "KUBERC": "off",
        }
        command = [str(self._binaries.kubectl), *args]
        try:
            done = subprocess.run(
                command, input=input, env=env, capture_output=True, text=True, check=False, timeout=timeout
            )
        except subprocess.TimeoutExpired as exc:
            msg = f"kubectl {' '.join(args)}: no end after {timeout:.0f} s"
            raise ClusterError(msg) from exc
        if check and done.returncode != 0:
            msg = f"kubectl {' '.join(args)}: exit {done.returncode}: {done.stderr.strip() or done.stdout.strip()}"
            raise ClusterError(msg)
        return done

    def stop_apiserver(self, kill: bool = False) -> None:
        """End the API server only, or `kill` it; `start_apiserver` continues with the same data on the same port."""
        process = self._state.processes.get(APISERVER)
        if process is not None:
            (processes.kill if kill else processes.end)([process])

    def start_apiserver(self) -> None:
        """Start the API server again and return when it is ready.

        Raises:
            ClusterError: it did not start, for instance because somebody took its port.
        """
        if APISERVER in self._state.alive():
            return
        try:
            self._spawn_apiserver()
            self._wait(self._probe.is_ready, "the API server to be ready")
        except OSError as exc:
            raise ClusterError(sentence(exc, self._layout.workdir)) from exc

    def stop(self) -> None:
        """End exactly the processes of this cluster and wait until they are gone; its files stay. Can be repeated."""
        end_recorded(self._layout.workdir)
        self._dismiss_guardian()

    def _bring_up(self) -> None:
        self._state.save(self._layout.workdir)
        self._guardian = Guardian(self._mark)
        self._write_configs()
        self._spawn(ETCD, components.etcd(self._binaries.etcd, self._site))
        self._spawn_apiserver()
        self._wait(self._probe.is_ready, "the API server to be ready")
        if self._options.controller_manager:
            program = self._binaries.kube_controller_manager
            self._spawn(CONTROLLER_MANAGER, components.controller_manager(program, self._site))
        if self._options.scheduler:
            self._spawn(SCHEDULER, components.scheduler(self._binaries.kube_scheduler, self._site))
        if self._options.controller_manager:
            self._wait(lambda: self._probe.exists(_DEFAULT_ACCOUNT), "the controller manager's first ServiceAccount")
        self._state = replace(self._state, ready=True)
        self._state.save(self._layout.workdir)
        if self._options.detached:
            self._dismiss_guardian()

    def _dismiss_guardian(self) -> None:
        if self._guardian is not None:
            self._guardian.release()
            self._guardian = None

    def _write_configs(self) -> None:
        self._layout.audit_policy.write_text(components.AUDIT_POLICY)
        for path, pair in (
            (self.kubeconfig, self._pki.admin),
            (self._layout.client_config(CONTROLLER_MANAGER), self._pki.controller_manager),
            (self._layout.client_config(SCHEDULER), self._pki.scheduler),
        ):
            kubeconfig.write_for_client_cert(path, server=self.server, ca=self.ca_file, pair=pair)

    def _spawn_apiserver(self) -> None:
        command = components.apiserver(
            self._binaries.kube_apiserver,
            self._site,
            audit=self._options.audit,
            service_accounts=self._options.controller_manager,
            extra=self._options.apiserver_args,
        )
        self._spawn(APISERVER, command)

    def _spawn(self, name: str, command: list[str]) -> None:
        log = self._layout.log(name)
        self._log_starts[name] = log.stat().st_size if log.exists() else 0
        # Not the starter's environment: etcd takes ETCD_* for flags, and tokens and proxies are none of their business.
        env = {"PATH": os.defpath, "HOME": str(self._layout.workdir)}
        pid = processes.spawn(command, log=log, env=env, mark=self._mark)
        process = processes.identify(pid)
        if process is None:
            raise self._death(name)
        self._state = self._state.with_process(name, process)
        self._state.save(self._layout.workdir)

    def _wait(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not done():
            for name, process in self._state.processes.items():
                if not processes.is_alive(process):
                    raise self._death(name)
            if time.monotonic() > deadline:
                msg = (
                    f"Waited {START_TIMEOUT:.0f} s in vain for {what}; see the logs in {self._layout.log('x').parent}."
                )
                raise ClusterError(msg)
            time.sleep(_POLL)

    def _death(self, name: str) -> ClusterError:
        """Return the error that says why a component ended by itself."""
        log = self._layout.log(name)
        with log.open("rb") as file:
            file.seek(self._log_starts[name])
            text = file.read().decode(errors="replace")
        if _PORT_TAKEN in text:
            return _PortTakenError(_port_taken_sentence(self._ports.apiserver if name == APISERVER else None))
        if "no space left on device" in text:
            return ClusterError(sentence(OSError(28, "full"), self._layout.workdir))
        tail = "\n".join(text.splitlines()[-_LOG_TAIL_LINES:])
        return ClusterError(f"{name} ended by itself; its log {log} ends with:\n{tail}")


def _prepare(layout: Layout) -> None:
    """Make the folders of a new cluster, without anything of an earlier one."""
    layout.workdir.mkdir(parents=True, exist_ok=True)
    for folder in (layout.pki, layout.etcd_data, layout.log("x").parent, layout.kubectl_cache):
        shutil.rmtree(folder, ignore_errors=True)
    layout.audit_log.unlink(missing_ok=True)
    layout.log("x").parent.mkdir()


def _port_taken_sentence(port: int | None) -> str:
    which = "A port that was free a moment ago" if port is None else f"Port {port}"
    return f"{which} of {ports.LOOPBACK} is taken by another program: end that program, or choose another port."
