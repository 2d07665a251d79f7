# SPDX-License-Identifier: Apache-2.0
"""What is compared, each as its users would run it: one process, its defaults, the rights it asks for."""

from __future__ import annotations

import itertools
import json
import sys
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmark.process import Process
from devcluster import ports

OPERATOR: Final = "operator"
KOPF: Final = "operator, pods through kopf"
INFORMER: Final = "client-go informer"
CONTROLLER: Final = "controller-runtime"
FLOOR: Final = "bare watch"

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Site:
    """Where systems run: credentials, programs, the receiver, and a folder for what they write."""

    folder: Path
    admin: Path
    """Kubeconfig of the administrator, for the baselines."""
    operator: Path
    """Kubeconfig of the operator's ServiceAccount."""
    programs: Path
    """Folder of the Go baselines."""
    hook: str
    """URL of the receiver."""
    labels: str
    """Selector of the pods that the informer tells of; the others read it from trackers."""


class System:
    """One start of one system."""

    def __init__(self, name: str, process: Process, stamps: Callable[[], dict[str, float]]) -> None:
        self.name = name
        self.process = process
        self.stamps = stamps
        """By a pod's name: when the message about it was there."""

    async def stop(self) -> None:
        """End it in order."""
        await self.process.stop()


def operator(
    site: Site, *, uid: str = "bench", module: str = "podtracker", flags: Mapping[str, str] | None = None
) -> System:
    """The operator; with the same `uid` it goes on with the ledger of the last one, as a restarted container does."""
    health, metrics = ports.choose(2)
    env = {
        "KUBECONFIG": str(site.operator),
        "POD_UID": uid,
        "POD_NAMESPACE": "pod-tracker-system",
        "HEALTH_PROBE_BIND_ADDRESS": f"127.0.0.1:{health}",
        "METRICS_BIND_ADDRESS": f"127.0.0.1:{metrics}",
        # The receiver of the benchmark is on loopback, which the operator refuses by default.
        "EGRESS_ALLOW": "127.0.0.0/8",
        **(flags or {}),
    }
    process = Process(
        [sys.executable, "-m", module, "run"],
        env=env,
        log=_log(site, module),
        probe=f"http://127.0.0.1:{health}/readyz",
    )
    return System(KOPF if module != "podtracker" else OPERATOR, process, lambda: received(site))


def operator_with_kopf(site: Site) -> System:
    """The operator whose pods come through kopf: a switch of the benchmark only."""
    return operator(site, module="benchmark.kopfpods")


def informer(site: Site) -> System:
    """Our own minimal notifier on client-go."""
    port = ports.choose(1)[0]
    address = f"127.0.0.1:{port}"
    command = [str(site.programs / "informer"), f"-kubeconfig={site.admin}", f"-selector={site.labels}"]
    process = Process(
        [*command, f"-url={site.hook}", f"-probe={address}"],
        env={},
        log=_log(site, "informer"),
        probe=f"http://{address}/",
    )
    return System(INFORMER, process, lambda: received(site))


def controller(site: Site) -> System:
    """Our own notifier on controller-runtime, in the founding design."""
    port = ports.choose(1)[0]
    address = f"127.0.0.1:{port}"
    process = Process(
        [str(site.programs / "controller"), f"-config={site.admin}", f"-url={site.hook}", f"-probe={address}"],
        env={},
        log=_log(site, "controller"),
        probe=f"http://{address}/readyz",
    )
    return System(CONTROLLER, process, lambda: received(site))


def floor(site: Site) -> System:
    """The bare watch; its times are known once it has ended."""
    target = site.folder / f"floor-{next(_numbers)}.json"
    process = Process(
        [sys.executable, "-m", "benchmark.floor", str(site.admin), str(target)], env={}, log=_log(site, "floor")
    )

    def stamps() -> dict[str, float]:
        found: dict[str, float] = json.loads(target.read_text())
        return found

    return System(FLOOR, process, stamps)


Start = Callable[[Site], System]


def received(site: Site) -> dict[str, float]:
    """What the receiver got: by a pod's name, when its first message came."""
    with urllib.request.urlopen(site.hook) as answer:  # noqa: S310 - our own URL
        pairs: list[tuple[str, float]] = json.load(answer)
    first: dict[str, float] = {}
    for name, stamp in pairs:
        first.setdefault(name, stamp)
    return first


def forget_received(site: Site) -> None:
    """Empty the receiver."""
    with urllib.request.urlopen(urllib.request.Request(site.hook, method="DELETE")):  # noqa: S310 - our own URL
        pass


def _log(site: Site, name: str) -> Path:
    return site.folder / f"{name}.log"
