# SPDX-License-Identifier: Apache-2.0
"""What somebody at a terminal may try once the demo has shown its message."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from demo.cluster import DemoCluster
from demo.tracker import Tracker


def what_next(cluster: DemoCluster, tracker: Tracker, *, metrics_port: int, log: Path) -> str:
    """Return commands to paste into another terminal, each with what to expect."""
    pod, name = tracker.pod, tracker.name
    patch = f"kubectl patch podtracker {name} --type=merge -p"
    blocks = (
        _block("In another terminal:", _preparation(cluster)),
        _block(
            "Gone and made again: one more message.",
            (f"kubectl delete pod {pod} --now", f"kubectl run {pod} --image=nginx"),
        ),
        _block(
            "A pod of another name: silence, until the tracker asks for it.",
            (
                "kubectl run web --image=nginx",
                "kubectl delete pod web --now",
                f"""{patch} '{{"spec":{{"name":"web"}}}}'""",
                "kubectl run web --image=nginx",
            ),
        ),
        _block(
            "A channel that does not exist: the tracker tells.",
            (
                f"""{patch} '{{"spec":{{"name":"lost","reporter":{{"channel":"C0000000000"}}}}}}'""",
                "kubectl run lost --image=nginx",
                f"kubectl describe podtracker {name}",
            ),
        ),
        _block(
            "What the operator says and counts.", (f"tail -f {log}", f"curl -s http://127.0.0.1:{metrics_port}/metrics")
        ),
        "# Ctrl-C here ends the demo and cleans up.",
    )
    return "\n\n".join(block for block in blocks if block)


def _block(title: str, commands: Sequence[str]) -> str:
    return "\n".join((f"# {title}", *commands)) if commands else ""


def _preparation(cluster: DemoCluster) -> list[str]:
    commands = [f"export KUBECONFIG={shlex.quote(cluster.kubeconfig)}"] if cluster.kubeconfig else []
    if shutil.which("kubectl") is None:
        commands.append(f'export PATH="{cluster.kubectl.parent}:$PATH"')
    return commands
