# SPDX-License-Identifier: Apache-2.0
"""docs/benchmarks.md, made of the samples alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Final

from benchmark.bars import Figure, figures, of, quantile
from benchmark.samples import Delivery, Samples, Start
from benchmark.systems import CONTROLLER, FLOOR, INFORMER, KOPF, OPERATOR

_SYSTEMS: Final = (OPERATOR, INFORMER, CONTROLLER, KOPF, FLOOR)

_HEAD: Final = """\
<!-- SPDX-License-Identifier: Apache-2.0 -->
<!-- Made by `make bench`; the samples are in benchmarks/samples.json. -->
# Benchmarks

`make bench` measures the operator beside its baselines in one run, in turn, on one local control plane (etcd and
kube-apiserver; no nodes, so pods stay Pending, but for a status that the load writes). Pods have 7 to 8 KB of JSON.
`make bench-full` does the same for longer. The bars are those of the issue; a ratio that becomes worse than the stored
one by more than a quarter fails the run.

| system | what it is |
|---|---|
| operator | this one: defaults, its own ServiceAccount, the ledger on, one webhook tracker |
| client-go informer | our own minimal notifier (`bench/baselines/informer`): shared informer, work queue, one worker; \
nothing tuned; remembers nothing across a restart |
| controller-runtime | our own notifier in the founding design (`bench/baselines/controller`): all trackers listed per \
pod, annotated, cleared, posted; one tracker per pod |
| operator, pods through kopf | the operator with kopf's handlers in place of its reflector: a switch of the \
benchmark only |
| bare watch | the floor: an asyncio watch that stamps the bytes' arrival and tells nobody |

All post to one receiver that answers at once. *Create to message* begins when the request to create the pod is sent.
The API server's answer often comes later than its watch event, so times from the answer can be below zero.
"""


def text(samples: Samples) -> str:
    """The report."""
    found = figures(samples)
    parts = [
        _HEAD,
        _machine(samples),
        "## Against the bars\n\nMedian of the rounds; in brackets the lowest and the highest.\n\n" + _bars(found),
        "## Create to message at 20 pods/s\n\n"
        + _deliveries(samples.steady)
        + "\n\n![latency](benchmarks/latency.svg)",
        "## A burst of pods\n\n" + _deliveries(samples.burst) + "\n\n![throughput](benchmarks/throughput.svg)",
        "## Memory and CPU over the number of pods\n\n" + _starts(samples.starts) + _memory_plots(),
        "## 100,000 pods\n\nOf a small fake API server (`bench/benchmark/fakeserver.py`), the only fake here.\n\n"
        + _allocations(samples),
        "## Changes of pods that nobody asked about\n\n350 changes of status per second are asked for; what came is"
        " what the machine could do.\n\n" + _churn(samples),
        "## kill -9\n\n" + _recovery(samples),
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _machine(samples: Samples) -> str:
    machine = samples.machine
    remark = f"\n\n{machine.remark}" if machine.remark else ""
    versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    return (
        f"Measured on {machine.date}: {machine.cores} cores of {machine.cpu}, {machine.memory_gib:g} GiB, Linux"
        f" {machine.kernel}; {machine.minutes:g} minutes, scale `{machine.scale}`. Load, API server, etcd, receiver and"
        f" system share the cores.\n{versions}.{remark}"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _bars(found: Iterable[Figure]) -> str:
    rows = []
    for figure in found:
        unit = f" {figure.unit}" if figure.unit else ""
        value = f"{_number(figure.value)}{unit} ({_number(figure.lowest)} - {_number(figure.highest)})"
        bar = "-" if figure.bar is None else f"≤ {_number(figure.bar)}{unit}"
        verdict = "" if figure.bar is None else ("met" if figure.met else "**missed**")
        rows.append([figure.what, value, str(figure.count), bar, verdict])
    return _table(["figure", "value", "rounds", "bar", ""], rows)


def _deliveries(entries: Sequence[Delivery]) -> str:
    rows = []
    for system in _SYSTEMS:
        known = of(entries, system)
        if not known:
            continue
        pods = sum(entry.pods for entry in known)
        rows.append(
            [
                system,
                f"{sum(entry.delivered for entry in known)} of {pods}",
                *(_spread([quantile(entry.latencies, share) for entry in known], "ms") for share in (0.5, 0.99)),
                _spread([quantile(entry.after_answer, 0.5) for entry in known], "ms"),
                _spread([entry.last_seconds for entry in known], "s"),
                _spread([entry.cpu / entry.pods * 1e6 for entry in known], "µs"),
                _spread([entry.peak for entry in known], "MiB"),
            ]
        )
    head = ["system", "delivered", "p50", "p99", "p50 from the answer", "last message", "CPU per pod", "peak RSS"]
    return _table(head, rows)


def _starts(starts: Sequence[Start]) -> str:
    rows = []
    for pods in sorted({start.pods for start in starts}):
        for matching in dict.fromkeys(start.matching for start in starts if start.pods == pods):
            for system in _SYSTEMS:
                known = [start for start in of(starts, system) if (start.pods, start.matching) == (pods, matching)]
                if known:
                    rows.append(
                        [
                            f"{pods:,} pods, matching: {matching}",
                            system,
                            _spread([start.resident for start in known], "MiB"),
                            _spread([start.peak for start in known], "MiB"),
                            _spread([start.ready_seconds for start in known], "s"),
                            _spread([start.ready_cpu for start in known], "s"),
                            _spread([start.settled_cpu / start.settle * 1000 for start in known], "ms/s"),
                            str(len(known)),
                        ]
                    )
    head = ["start at", "system", "RSS", "peak", "ready after", "CPU until ready", "CPU after", "rounds"]
    return _table(head, rows)


def _memory_plots() -> str:
    return "\n\n![memory](benchmarks/memory.svg)\n\n![cpu](benchmarks/cpu.svg)"


def _allocations(samples: Samples) -> str:
    rows = [
        [
            f"{entry.pods:,} pods, {'all' if entry.matching else 'none'} matching",
            "-" if entry.counted is None else f"{entry.counted:,} bytes",
            "-" if entry.resident is None else f"{entry.resident:g} MiB (peak {entry.peak:g})",
            "-" if entry.ready_cpu is None else f"{entry.ready_cpu:g} s",
        ]
        for entry in samples.allocations
    ]
    return _table(["operator at", "counted by the allocator", "RSS", "CPU until ready"], rows)


def _churn(samples: Samples) -> str:
    rows = []
    for system in _SYSTEMS:
        known = of(samples.churn, system)
        if known:
            rows.append(
                [
                    system,
                    _spread([entry.events / entry.seconds for entry in known], "/s"),
                    _spread([(entry.cpu - entry.idle_cpu) / entry.events * 1e6 for entry in known], "µs"),
                    _spread([entry.idle_cpu / entry.seconds * 1000 for entry in known], "ms/s"),
                    str(len(known)),
                ]
            )
    return _table(["system", "events", "CPU per event", "CPU without events", "rounds"], rows)


def _recovery(samples: Samples) -> str:
    rows = []
    for system in _SYSTEMS:
        known = of(samples.recovery, system)
        if known:
            firsts = [entry.first_seconds for entry in known if entry.first_seconds is not None]
            rows.append(
                [
                    system,
                    f"{known[0].pods:,}",
                    _spread(firsts, "s"),
                    f"{sum(entry.lost for entry in known)} of {sum(entry.made for entry in known)}",
                    str(len(known)),
                ]
            )
    words = "Started again at once, while pods come at 20/s.\n\n"
    return words + _table(["system", "pods that exist", "first new message after", "lost", "rounds"], rows)


def _spread(values: Sequence[float], unit: str) -> str:
    if not values:
        return "-"
    middle = f"{_number(median(values))} {unit}"
    return middle if len(values) == 1 else f"{middle} ({_number(min(values))} - {_number(max(values))})"


def _number(value: float) -> str:
    if abs(value) >= 100:  # noqa: PLR2004 - three digits are enough
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"  # noqa: PLR2004
