# SPDX-License-Identifier: Apache-2.0
"""What the benchmark makes of its samples."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from benchmark import report
from benchmark.bars import Figure, figures, quantile, regressions
from benchmark.samples import Allocation, Churn, Delivery, Machine, Recovery, Samples, Start, load
from benchmark.systems import CONTROLLER, FLOOR, INFORMER, OPERATOR

MIB = {OPERATOR: 80.0, INFORMER: 250.0, CONTROLLER: 290.0, FLOOR: 25.0}


def delivery(system: str, latency: float, *, cpu: float = 0.1) -> Delivery:
    return Delivery(
        system=system,
        pods=4,
        delivered=4,
        latencies=[latency, latency, latency, 2 * latency],
        after_answer=[-0.5, 0.5, 0.5, 1.0],
        arrivals=[0.1, 0.2, 0.3, 0.4],
        created_seconds=0.35,
        last_seconds=0.4,
        cpu=cpu,
        resident=MIB[system],
        peak=MIB[system],
        writes={"configmaps": 1, "leases": 5, "bytes": 4096},
    )


def start(system: str, pods: int, matching: str) -> Start:
    return Start(
        system=system,
        pods=pods,
        matching=matching,
        trackers=1,
        ready_seconds=1.5,
        ready_cpu=1.0 + pods / 20_000,
        settled_cpu=0.1,
        settle=4.0,
        resident=MIB[system],
        peak=MIB[system],
    )


def counted(pods: int, counted: int | None, *, matching: bool) -> Allocation:
    resident = None if counted is not None else 120.0
    return Allocation(
        pods=pods, matching=matching, counted=counted, resident=resident, peak=resident, ready_cpu=resident and 6.0
    )


def samples(*, slower: float = 1.0) -> Samples:
    """Two rounds; the operator's messages `slower` than they might be."""
    machine = Machine(
        cpu="two",
        cores=2,
        memory_gib=4.0,
        kernel="6.1",
        versions={"python": "3.11"},
        date="2026-01-01",
        scale="usual",
        rounds=2,
    )
    return Samples(
        machine=machine,
        starts=[
            *(start(system, 0, "none") for system in (OPERATOR, INFORMER)),
            *(start(system, 10_000, "all") for system in (OPERATOR, INFORMER, CONTROLLER) * 2),
        ],
        steady=[delivery(FLOOR, 4.0), delivery(INFORMER, 5.0), delivery(OPERATOR, 6.0 * slower)] * 2,
        burst=[delivery(INFORMER, 50.0), delivery(OPERATOR, 40.0 * slower, cpu=0.09)] * 2,
        churn=[
            Churn(system=system, events=1000, seconds=3.0, cpu=cpu, idle_cpu=0.01)
            for system, cpu in ((INFORMER, 0.16), (OPERATOR, 0.06))
        ],
        recovery=[Recovery(system=OPERATOR, pods=10_000, first_seconds=2.0, lost=0, made=200)],
        allocations=[
            counted(0, 1000, matching=True),
            counted(100_000, 30_001_000, matching=True),
            counted(100_000, None, matching=True),
        ],
    )


def value(found: list[Figure], key: str) -> float:
    [figure] = [figure for figure in found if figure.key == key]
    return figure.value


def test_figures_are_medians_of_what_the_rounds_gave() -> None:
    found = figures(samples())
    expected = {
        "rss": 80.0,
        f"rss/{INFORMER}": 80 / 250,
        f"rss/{CONTROLLER}": 80 / 290,
        "bytes/matching": 300.0,
        "rss/100k": 120.0,
        "latency/p50": 1.2,
        "latency/p99/added": 4.0,
        "burst/p99": 0.8,
        "burst/cpu": 0.9,
        "churn": 50.0,
        "churn/ratio": 1 / 3,
        "start": 0.5,
        "recovery": 2.0,
        "writes": 0.25,
    }
    assert {key: value(found, key) for key in expected} == pytest.approx(expected)
    assert {figure.key for figure in found if not figure.met} == {"writes"}


@pytest.mark.parametrize(("slower", "keys"), [(0.5, 0), (1.0, 0), (1.24, 0), (1.3, 3)])
def test_a_ratio_that_became_worse_by_more_than_a_quarter_is_told(slower: float, keys: int) -> None:
    worse = regressions(figures(samples(slower=slower)), figures(samples()))
    assert len(worse) == keys, worse
    assert all("over" in sentence for sentence in worse)


def test_samples_are_stored_whole_and_other_formats_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "samples.json"
    assert load(path) is None
    samples().store(path)
    assert load(path) == samples()
    path.write_bytes(msgspec.json.encode({"format": 99}))
    assert load(path) is None


def test_the_report_shows_every_system_and_figure() -> None:
    text = report.text(samples())
    assert all(f"| {system} |" in text for system in (OPERATOR, INFORMER, CONTROLLER, FLOOR))
    assert all(f"| {figure.what} |" in text for figure in figures(samples()))
    assert "**missed**" in text


def test_quantiles() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile(list(map(float, range(100))), 0.99) == 99.0
