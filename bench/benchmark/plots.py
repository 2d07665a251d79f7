# SPDX-License-Identifier: Apache-2.0
"""The report's plots."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmark.bars import of
from benchmark.samples import Samples, Start
from benchmark.systems import CONTROLLER, FLOOR, INFORMER, KOPF, OPERATOR

_COLOURS: Final = {
    OPERATOR: "#0b6e4f",
    INFORMER: "#1f77b4",
    CONTROLLER: "#9467bd",
    KOPF: "#d62728",
    FLOOR: "#7f7f7f",
}
_SIZE: Final = (7.5, 4.0)
_SHOWN_MS: Final = 100

NAMES: Final = ("latency", "memory", "cpu", "throughput")
"""Files without their ending."""


def draw(samples: Samples, folder: Path) -> None:
    """Write the plots as SVG, the same for the same samples."""
    mpl.rcParams.update({"svg.hashsalt": "podtracker", "svg.fonttype": "none", "font.size": 9})
    folder.mkdir(parents=True, exist_ok=True)
    _save(_latency(samples), folder / "latency.svg")
    _save(_over_pods(samples, "resident", "RSS, MiB"), folder / "memory.svg")
    _save(_over_pods(samples, "ready_cpu", "CPU until ready, s"), folder / "cpu.svg")
    _save(_throughput(samples), folder / "throughput.svg")


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _axes(across: str, up: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(visible=True, alpha=0.3)
    return figure, axes


def _latency(samples: Samples) -> Figure:
    figure, axes = _axes("create to message at 20 pods/s, ms", "share of messages")
    for system, colour in _COLOURS.items():
        values = sorted(value for entry in of(samples.steady, system) for value in entry.latencies)
        if values:
            shares = [(place + 1) / len(values) for place in range(len(values))]
            axes.step(values, shares, where="post", label=system, color=colour)
    axes.set_xscale("log")
    axes.legend(loc="lower right")
    return figure


def _over_pods(samples: Samples, field: str, what: str) -> Figure:
    figure, axes = _axes("pods at the start, all matching", what)
    for system, colour in _COLOURS.items():
        found: dict[int, list[float]] = defaultdict(list)
        starts: list[Start] = of(samples.starts, system)
        for start in starts:
            if start.matching == "all" or start.pods == 0:
                found[start.pods].append(getattr(start, field))
        if system == OPERATOR:
            for entry in samples.allocations:
                value = getattr(entry, field)
                if value is not None and entry.matching:
                    found[entry.pods].append(value)
        if found:
            counts = sorted(found)
            axes.plot(counts, [median(found[count]) for count in counts], marker="o", label=system, color=colour)
    axes.set_xscale("symlog", linthresh=1000)
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left")
    return figure


def _throughput(samples: Samples) -> Figure:
    figure, axes = _axes("seconds since the burst began", "messages")
    for system, colour in _COLOURS.items():
        for number, entry in enumerate(of(samples.burst, system)):
            counts = range(1, len(entry.arrivals) + 1)
            axes.plot(entry.arrivals, counts, color=colour, alpha=0.6, label=system if number == 0 else None)
    axes.legend(loc="lower right")
    return figure
