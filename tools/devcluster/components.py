# SPDX-License-Identifier: Apache-2.0
"""Where the files of a local cluster lie and how each of its programs is called."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devcluster.pki import Pki
from devcluster.ports import LOOPBACK

ETCD: Final = "etcd"
APISERVER: Final = "kube-apiserver"
CONTROLLER_MANAGER: Final = "kube-controller-manager"
SCHEDULER: Final = "kube-scheduler"

_SERVICE_RANGE: Final = "10.96.0.0/16"
_ISSUER: Final = "https://kubernetes.default.svc.cluster.local"

AUDIT_POLICY: Final = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
"""
"""Who did what to which object, without bodies: neither Secrets nor tokens reach the audit log."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of one cluster, all in its folder."""

    workdir: Path

    @property
    def pki(self) -> Path:
        """Folder of the certificates and keys."""
        return self.workdir / "pki"

    @property
    def etcd_data(self) -> Path:
        """Folder of etcd's data."""
        return self.workdir / "etcd"

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of the administrator."""
        return self.workdir / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        """Where the API server writes its audit log when asked to."""
        return self.workdir / "audit.log"

    @property
    def audit_policy(self) -> Path:
        """What the API server's audit log contains."""
        return self.workdir / "audit-policy.yaml"

    @property
    def kubectl_cache(self) -> Path:
        """Discovery cache of kubectl, apart from the user's own."""
        return self.workdir / "kubectl-cache"

    @property
    def volume_plugins(self) -> Path:
        """Empty folder for the controller manager, which insists on one."""
        return self.workdir / "volume-plugins"

    def log(self, name: str) -> Path:
        """Return the log file of a component."""
        return self.workdir / "logs" / f"{name}.log"

    def client_config(self, name: str) -> Path:
        """Return the kubeconfig of a component."""
        return self.workdir / "pki" / f"{name}.kubeconfig"


@dataclass(frozen=True, slots=True)
class Ports:
    """The loopback ports of one cluster."""

    apiserver: int
    etcd_client: int
    etcd_peer: int

    @property
    def server(self) -> str:
        """URL of the API server."""
        return f"https://{LOOPBACK}:{self.apiserver}"


@dataclass(frozen=True, slots=True)
class Site:
    """Files, ports and certificates of one cluster: what its programs have in common."""

    layout: Layout
    ports: Ports
    pki: Pki


def etcd(program: Path, site: Site) -> list[str]:
    """Return the command of etcd.

    It does not wait for the disk (`--unsafe-no-fsync`): faster by far, and data survive the end of any process, only
    not the crash of the machine. TLS on both ports, since other users of the machine can reach loopback too.
    """
    pki = site.pki
    client = f"https://{LOOPBACK}:{site.ports.etcd_client}"
    peer = f"https://{LOOPBACK}:{site.ports.etcd_peer}"
    return [
        str(program),
        "--name=local",
        f"--data-dir={site.layout.etcd_data}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=local={peer}",
        "--client-cert-auth",
        f"--cert-file={pki.etcd.cert}",
        f"--key-file={pki.etcd.key}",
        f"--trusted-ca-file={pki.etcd_ca}",
        "--peer-client-cert-auth",
        f"--peer-cert-file={pki.etcd.cert}",
        f"--peer-key-file={pki.etcd.key}",
        f"--peer-trusted-ca-file={pki.etcd_ca}",
        "--unsafe-no-fsync",
        "--log-level=warn",
        # A member without peers elects itself after one election timeout.
        "--heartbeat-interval=50",
        "--election-timeout=250",
    ]


def apiserver(program: Path, site: Site, *, audit: bool, service_accounts: bool, extra: Sequence[str]) -> list[str]:
    """Return the command of the API server.

    Args:
        program: the binary.
        site: the cluster.
        audit: write an audit log.
        service_accounts: whether a controller manager makes the `default` ServiceAccounts that pods need.
        extra: more flags; they come last and win.
    """
    layout, ports, pki = site.layout, site.ports, site.pki
    command = [
        str(program),
        f"--bind-address={LOOPBACK}",
        f"--secure-port={ports.apiserver}",
        f"--advertise-address={LOOPBACK}",
        # Loopback is no valid endpoint address, and there is one API server only: nothing to reconcile.
        "--endpoint-reconciler-type=none",
        f"--etcd-servers=https://{LOOPBACK}:{ports.etcd_client}",
        f"--etcd-cafile={pki.etcd_ca}",
        f"--etcd-certfile={pki.etcd.cert}",
        f"--etcd-keyfile={pki.etcd.key}",
        f"--tls-cert-file={pki.server.cert}",
        f"--tls-private-key-file={pki.server.key}",
        f"--client-ca-file={pki.ca}",
        "--anonymous-auth=false",
        "--authorization-mode=Node,RBAC",
        f"--service-account-issuer={_ISSUER}",
        f"--service-account-key-file={pki.service_account_key}",
        f"--service-account-signing-key-file={pki.service_account_key}",
        f"--service-cluster-ip-range={_SERVICE_RANGE}",
        "--profiling=false",
        # Closes watches at shutdown; without it a stopping server keeps them open for a minute.
        "--shutdown-watch-termination-grace-period=1s",
    ]
    if audit:
        command += [f"--audit-policy-file={layout.audit_policy}", f"--audit-log-path={layout.audit_log}"]
    if not service_accounts:
        command.append("--disable-admission-plugins=ServiceAccount")
    return [*command, *extra]


def controller_manager(program: Path, site: Site) -> list[str]:
    """Return the command of the controller manager.

    Without the two controllers that presume kubelets: they would taint nodes that tests make up, and delete the pods
    bound to nodes that do not exist. It listens nowhere.
    """
    return [
        str(program),
        f"--kubeconfig={site.layout.client_config(CONTROLLER_MANAGER)}",
        "--controllers=*,-node-lifecycle-controller,-pod-garbage-collector-controller",
        "--leader-elect=false",
        "--secure-port=0",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={site.pki.service_account_key}",
        f"--root-ca-file={site.pki.ca}",
        # By default it makes this folder under /usr.
        f"--flex-volume-plugin-dir={site.layout.volume_plugins}",
        # The default of 20 requests/s makes it start 4 s later and trail behind tests that create many objects.
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        "--profiling=false",
    ]


def scheduler(program: Path, site: Site) -> list[str]:
    """Return the command of the scheduler; it listens nowhere."""
    return [
        str(program),
        f"--kubeconfig={site.layout.client_config(SCHEDULER)}",
        "--leader-elect=false",
        "--secure-port=0",
        "--profiling=false",
    ]
