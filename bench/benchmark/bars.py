# SPDX-License-Identifier: Apache-2.0
"""What the samples come to: each figure with the bar it is held against, and what became of it since last time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Final, TypeVar

import msgspec

from benchmark.samples import Churn, Delivery, Samples, Start
from benchmark.systems import CONTROLLER, FLOOR, INFORMER, OPERATOR

T = TypeVar("T")

TOLERATED: Final = 1.25
"""How much worse a ratio may become until the benchmark fails."""
_WRITES: Final = ("configmaps", "podtrackers")
"""The ledger's and the status' objects; a Lease is renewed whatever is told."""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One number of the report. The smaller the better, in all of them."""

    key: str
    what: str
    value: float
    lowest: float
    highest: float
    count: int
    """Of rounds; the value is their median."""
    bar: float | None = None
    """The most it is to be; None where it is only shown."""
    unit: str = ""
    """Empty for a ratio."""

    @property
    def met(self) -> bool:
        """Whether it is within its bar."""
        return self.bar is None or self.value <= self.bar


def figures(samples: Samples) -> list[Figure]:
    """All figures of a run."""
    return [figure for part in _PARTS for figure in part(samples)]


def regressions(new: Sequence[Figure], old: Sequence[Figure]) -> list[str]:
    """The ratios that have become worse than is tolerated, each as a sentence."""
    before = {figure.key: figure for figure in old}
    found = []
    for figure in new:
        known = before.get(figure.key)
        if known is not None and not figure.unit and known.value > 0 and figure.value > known.value * TOLERATED:
            found.append(f"{figure.what}: {figure.value:.2f}, stored {known.value:.2f}")
    return found


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which this share of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def of(entries: Iterable[T], system: str) -> list[T]:
    """Those of one system, in order."""
    return [entry for entry in entries if getattr(entry, "system", None) == system]


def _figure(key: str, what: str, values: Sequence[float], bar: float | None = None, unit: str = "") -> list[Figure]:
    if not values:
        return []
    return [
        Figure(
            key=key,
            what=what,
            value=median(values),
            lowest=min(values),
            highest=max(values),
            count=len(values),
            bar=bar,
            unit=unit,
        )
    ]


def _ratios(entries: Sequence[T], value: Callable[[T], float], base: str) -> list[float]:
    """The operator's value over a baseline's, round by round."""
    pairs = zip(of(entries, OPERATOR), of(entries, base), strict=False)
    return [value(ours) / value(theirs) for ours, theirs in pairs if value(theirs) > 0]


def at_crowd(samples: Samples, matching: str, pods: int | None = None) -> list[Start]:
    """The starts at the largest crowd, or at one of so many pods."""
    largest = max((start.pods for start in samples.starts), default=0) if pods is None else pods
    return [start for start in samples.starts if start.pods == largest and start.matching == matching]


def _memory(samples: Samples) -> list[Figure]:
    crowd = at_crowd(samples, "all")
    seen = [entry.resident for entry in of(crowd, OPERATOR)]
    found = _figure("rss", "1. RSS at 10,000 pods, all matching", seen, 85, "MiB")
    for base in (INFORMER, CONTROLLER):
        ratios = _ratios(crowd, lambda start: start.resident, base)
        found += _figure(f"rss/{base}", f"1. RSS at 10,000 pods, over {base}", ratios, 0.33)
    for matching, bar in ((False, 60), (True, 400)):
        kind = "matching" if matching else "non-matching"
        found += _figure(f"bytes/{kind}", f"1. memory per {kind} pod", _bytes_per_pod(samples, matching), bar, "bytes")
    large = [entry for entry in samples.allocations if entry.resident is not None and entry.matching]
    resident = [entry.resident for entry in large if entry.resident is not None]
    return found + _figure("rss/100k", "1. RSS at 100,000 pods of the fake, all matching", resident, 160, "MiB")


def _bytes_per_pod(samples: Samples, matching: bool) -> list[float]:
    counted = [entry for entry in samples.allocations if entry.counted is not None and entry.matching == matching]
    none = [entry.counted or 0 for entry in counted if entry.pods == 0]
    some = [entry for entry in counted if entry.pods]
    return [((entry.counted or 0) - before) / entry.pods for entry, before in zip(some, none, strict=False)]


def _latency(samples: Samples) -> list[Figure]:
    found: list[Figure] = []
    for share, bar in ((0.5, 1.3), (0.99, 1.5)):
        name = f"p{share * 100:g}"
        ratios = _ratios(samples.steady, lambda entry: quantile(entry.latencies, share), INFORMER)  # noqa: B023 - used at once
        found += _figure(f"latency/{name}", f"2. create to message at 20 pods/s, {name}, over {INFORMER}", ratios, bar)
        for system in (FLOOR, INFORMER, OPERATOR):
            values = [quantile(entry.latencies, share) for entry in of(samples.steady, system)]
            found += _figure(f"latency/{name}/{system}", f"2. the same, {name}, {system}", values, None, "ms")
        added = [
            quantile(ours.latencies, share) - quantile(floor.latencies, share)
            for ours, floor in zip(of(samples.steady, OPERATOR), of(samples.steady, FLOOR), strict=False)
        ]
        found += _figure(f"latency/{name}/added", f"2. added to the floor, {name}", added, None, "ms")
    return found


def _burst(samples: Samples) -> list[Figure]:
    lost = [float(entry.pods - entry.delivered) for entry in of(samples.burst, OPERATOR)]
    found = _figure("burst/lost", "3. burst: messages that did not come", lost, 0, "messages")
    kinds: tuple[tuple[str, str, Callable[[Delivery], float]], ...] = (
        ("p99", "p99", lambda entry: quantile(entry.latencies, 0.99)),
        ("last", "time to the last message", lambda entry: entry.last_seconds),
        ("cpu", "CPU per pod", lambda entry: entry.cpu / entry.pods),
    )
    for key, what, value in kinds:
        ratios = _ratios(samples.burst, value, INFORMER)
        found += _figure(f"burst/{key}", f"3. burst of 2,000: {what}, over {INFORMER}", ratios, 1.0)
    for system in (INFORMER, OPERATOR):
        cpu = [entry.cpu / entry.pods * 1e6 for entry in of(samples.burst, system)]
        found += _figure(f"burst/cpu/{system}", f"3. burst: CPU per pod, {system}", cpu, None, "µs")
    return found


def _churn(samples: Samples) -> list[Figure]:
    def cost(entry: Churn) -> float:
        return (entry.cpu - entry.idle_cpu) / entry.events

    ours = [cost(entry) * 1e6 for entry in of(samples.churn, OPERATOR)]
    found = _figure("churn", "4. CPU per event of a non-matching pod", ours, 60, "µs")
    for system in (FLOOR, INFORMER):
        costs = [cost(entry) * 1e6 for entry in of(samples.churn, system)]
        found += _figure(f"churn/{system}", f"4. the same, {system}", costs, None, "µs")
    return found + _figure("churn/ratio", f"4. the same, over {INFORMER}", _ratios(samples.churn, cost, INFORMER), 0.5)


def _starts(samples: Samples) -> list[Figure]:
    none = [entry.ready_cpu for entry in of(at_crowd(samples, "none", 0), OPERATOR)]
    crowd = [entry.ready_cpu for entry in of(at_crowd(samples, "all"), OPERATOR)]
    more = [ours - before for ours, before in zip(crowd, none, strict=False)]
    found = _figure("start", "5. CPU of a start at 10,000 pods, more than at none", more, 0.8, "s")
    firsts = [entry.first_seconds for entry in of(samples.recovery, OPERATOR) if entry.first_seconds is not None]
    lost = [float(entry.lost) for entry in of(samples.recovery, OPERATOR)]
    found += _figure("recovery", "5. from kill -9 to the first new message", firsts, None, "s")
    return found + _figure("recovery/lost", "5. messages lost in that", lost, 0, "messages")


def _writes(samples: Samples) -> list[Figure]:
    ours = of(samples.steady, OPERATOR)
    each = [sum(entry.writes.get(kind, 0) for kind in _WRITES) / max(1, entry.delivered) for entry in ours]
    rate = [entry.writes.get("bytes", 0) / entry.last_seconds / 1024 for entry in ours if entry.last_seconds]
    found = _figure("writes", "6. API writes per message at 20/s, one tracker", each, 0.2, "writes")
    return found + _figure("writes/bytes", "6. bytes written to the API server, all together", rate, None, "KiB/s")


_PARTS: Final = (_memory, _latency, _burst, _churn, _starts, _writes)
