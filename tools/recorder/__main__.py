# SPDX-License-Identifier: Apache-2.0
"""The command line: `python -m recorder run [SCENARIO…]` and `python -m recorder list`."""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import recorder.scenarios  # noqa: F401 - registers them
from devcluster.binaries import ensure_kubectl
from devcluster.errors import ClusterError
from devcluster.progress import Narrator, to_stderr
from kindnode.cluster import Cluster
from recorder.script import SCENARIOS, Scenario
from recorder.stage import Stage, now

_AT_ONCE: Final = 8
_TRACES: Final = Path(__file__).resolve().parents[2] / "tests" / "data" / "traces"


class Recorder:
    """Plays scenarios on one cluster and writes their traces."""

    def __init__(self, cluster: Cluster, folder: Path, narrator: Narrator) -> None:
        """Write traces into `folder`."""
        self._cluster = cluster
        self._folder = folder
        self._narrator = narrator
        self._kubectl = ensure_kubectl(to_stderr)
        self._site = _site(cluster)

    def record(self, chosen: Sequence[Scenario]) -> list[str]:
        """Play these scenarios and return the names of those that did not go as written."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            good = list(pool.map(self._play, [each for each in chosen if not each.alone]))
        alone = [each for each in chosen if each.alone]
        good += [self._play(each) for each in alone]
        order = [each for each in chosen if not each.alone] + alone
        return [each.name for each, fine in zip(order, good, strict=True) if not fine]

    def _play(self, scenario: Scenario) -> bool:
        began = now()
        try:
            with Stage(self._cluster, self._kubectl, scenario.name) as stage:
                scenario.play(stage)
                events = list(stage.view.events)
                steps = list(stage.steps)
        except (ClusterError, subprocess.TimeoutExpired) as exc:
            self._narrator.say(f"FAILED {exc}")
            return False
        header = {"trace": scenario.name, "cause": scenario.cause, **self._site, "recorded": began, "steps": steps}
        path = self._folder / f"{scenario.name}.jsonl"
        path.write_text("".join(_line(each) for each in [header, *events]))
        self._narrator.say(f"{scenario.name}: {len(events)} events, {path.stat().st_size} bytes")
        return True


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, or 1 with sentences on stderr."""
    args = _parser().parse_args(argv)
    known = SCENARIOS
    if args.command == "list":
        for each in known.values():
            sys.stdout.write(f"{each.name}: {each.cause}\n")
        return 0
    unknown = [name for name in args.scenario if name not in known]
    if unknown:
        to_stderr(f"There is no scenario {', '.join(unknown)}: `python -m recorder list` names them all.")
        return 1
    narrator = Narrator(to_stderr)
    cluster = Cluster(progress=to_stderr)
    try:
        cluster.up()
        chosen = [known[name] for name in args.scenario or known]
        if args.missing:
            chosen = [each for each in chosen if not (args.out / f"{each.name}.jsonl").exists()]
        failed = Recorder(cluster, args.out, narrator).record(chosen)
    except ClusterError as exc:
        to_stderr(str(exc))
        return 1
    if failed:
        to_stderr(f"Not recorded: {', '.join(failed)}")
    return 1 if failed else 0


def _site(cluster: Cluster) -> dict[str, Any]:
    """Return what the traces of this cluster have in common."""
    nodes = json.loads(cluster.kubectl("get", "nodes", "-o", "json").stdout)
    info = nodes["items"][0]["status"]["nodeInfo"]
    unified = cluster.on_node("test", "-f", "/sys/fs/cgroup/cgroup.controllers") is not None
    return {
        "kubernetes": info["kubeletVersion"],
        "node": {
            "made_by": "kind",
            "image": "kindnode",
            "os": info["osImage"],
            "kernel": info["kernelVersion"].partition("-")[0],
            "runtime": info["containerRuntimeVersion"],
            "cgroups": "v2" if unified else "v1",
        },
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m recorder", description="Record the life cycles of real pods.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="run|list")
    run = commands.add_parser("run", help="play scenarios on the cluster of kindnode and write their traces")
    run.add_argument("scenario", nargs="*", help="names; all by default")
    run.add_argument("--missing", action="store_true", help="only those that have no trace yet")
    run.add_argument("--out", type=Path, default=_TRACES, help="folder of the traces")
    commands.add_parser("list", help="name the scenarios")
    return parser


def _line(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
