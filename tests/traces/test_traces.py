# SPDX-License-Identifier: Apache-2.0
"""Recorded lives of real pods (tests/data/traces): exactly the expected events, once, however the log is replayed."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podtracker.api import Event
from podtracker.engine import Engine
from podtracker.ledger import Ledger, Notification
from podtracker.lifecycle import Grace
from podtracker.matching import TrackerIndex
from podtracker.pods import Pod, decode_pod
from traces.expected_events import EXPECTED
from unit.podtracker.builders import tracker

TRACES: Final = Path(__file__).resolve().parents[1] / "data" / "traces"
GRACE: Final = Grace(unschedulable=60, mounts=150, recovery=180)
LATER: Final = 1000.0
"""Seconds after the end of a trace at which everything that had to last has lasted."""


class Step(NamedTuple):
    """One event of a recorded watch."""

    at: float
    kind: str
    pod: Pod


@cache
def trace(name: str) -> tuple[Step, ...]:
    lines = [json.loads(line) for line in (TRACES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    return tuple(_step(line) for line in lines if "type" in line)


def _step(line: dict[str, Any]) -> Step:
    pod = decode_pod(json.dumps(line["object"]).encode())
    return Step(dt.datetime.fromisoformat(line["at"]).timestamp(), line["type"], pod)


class Replay:
    """An engine with one tracker of everything, its watch, and the clock that looks at deadlines."""

    def __init__(self, first: Pod) -> None:
        self.ledger = Ledger()
        self.engine = Engine(TrackerIndex(), self.ledger, changed=lambda _: None, grace=GRACE)
        self.living: dict[str, Pod] = {}
        self.told: list[Notification] = []
        every = tracker(
            namespace=first.namespace,
            created=first.created,
            spec={"selector": {}, "events": [event.value for event in Event]},
        )
        self.engine.track(every, edited=first.created)
        self.engine.listed(every.uid)

    def watch(self, step: Step) -> None:
        self.pass_time(step.at)
        if step.kind == "DELETED":
            self.told += self.engine.remove(step.pod, now=step.at)
            self.living.pop(step.pod.uid, None)
        else:
            self.told += self.engine.observe(step.pod, now=step.at, appeared=step.kind == "ADDED")
            self.living[step.pod.uid] = step.pod

    def relist(self, at: float) -> None:
        relist = self.engine.begin_relist(None)
        self.told += self.engine.relisted(relist, list(self.living.values()), now=at)
        self.told += self.engine.end_relist(relist, now=at)

    def restart(self) -> None:
        """Go on with nothing but what the ledger keeps."""
        kept, self.ledger = self.ledger.snapshot(), Ledger()
        self.ledger.load([kept])
        old, self.engine = self.engine, Engine(TrackerIndex(), self.ledger, changed=lambda _: None, grace=GRACE)
        for one in tuple(old._index):
            self.engine.track(one, edited=one.created, missed=False)

    def pass_time(self, to: float) -> None:
        """Look at what becomes due until then, when it does."""
        while due := [at for at in self.ledger._due.values() if at <= to]:
            now = float(min(due))
            for uid in self.ledger.due_pods(now):
                self.told += self.engine.confirm(self.living[uid], now=now)

    def events(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for one in self.told:
            found.setdefault(one.pod, []).append(_word(one))
        return found


def _word(one: Notification) -> str:
    detail = one.detail
    parts = [one.event, detail.container, detail.reason, "" if detail.exit_code is None else str(detail.exit_code)]
    return " ".join(part for part in parts if part)


def play(steps: Iterable[Step]) -> Replay:
    steps = list(steps)
    replay = Replay(steps[0].pod)
    for step in steps:
        replay.watch(step)
    replay.pass_time(steps[-1].at + LATER)
    return replay


NAMES = sorted(path.stem for path in TRACES.glob("*.jsonl"))


def test_every_trace_is_expected_to_be_something_and_there_are_enough() -> None:
    assert sorted(EXPECTED) == NAMES
    assert len(NAMES) >= 25


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_life_is_told_as_it_was(name: str) -> None:
    replay = play(trace(name))
    assert list(replay.events().values()) == EXPECTED[name]
    ids = Counter(one.id for one in replay.told)
    assert ids.most_common(1)[0][1] == 1


@pytest.mark.parametrize("name", NAMES)
def test_duplicates_relists_and_restarts_change_nothing(name: str) -> None:
    steps = trace(name)
    replay = Replay(steps[0].pod)
    for step in steps:
        replay.watch(step)
        replay.watch(step)
        replay.relist(step.at)
        replay.restart()
    replay.pass_time(steps[-1].at + LATER)
    assert list(replay.events().values()) == EXPECTED[name]


def merged(steps: Iterable[Step], kept: Iterator[bool]) -> list[Step]:
    """The log in which some updates were merged into the next of the same pod."""
    found: list[Step] = []
    waiting: dict[str, Step] = {}
    for step in steps:
        waiting.pop(step.pod.uid, None)
        if step.kind == "MODIFIED" and not next(kept):
            waiting[step.pod.uid] = step
        else:
            found.append(step)
    return [*found, *waiting.values()]


@given(st.sampled_from(NAMES), st.lists(st.booleans(), min_size=60, max_size=60))
def test_merged_updates_are_told_as_the_merged_log_says(name: str, choices: list[bool]) -> None:
    """Nothing twice, nothing that the whole log does not have, and what stays visible is told."""
    steps = merged(trace(name), iter(choices))
    replay = play(steps)
    again = Replay(steps[0].pod)
    for step in steps:
        again.watch(step)
        again.relist(step.at)
        again.watch(step)
    again.pass_time(steps[-1].at + LATER)
    assert again.events() == replay.events()
    told = Counter((one.pod_uid, one.event) for one in replay.told)
    for pod_uid in {step.pod.uid for step in steps}:
        assert told[pod_uid, "Created"] == 1
        for event in ("Started", "Ready", "Failed", "Succeeded", "Deleted"):
            assert told[pod_uid, event] <= 1
    whole = {event for events in EXPECTED[name] for event in map(_first_word, events)}
    assert {one.event for one in replay.told} <= whole | {"Recovered"}


def _first_word(text: str) -> str:
    return text.partition(" ")[0]
