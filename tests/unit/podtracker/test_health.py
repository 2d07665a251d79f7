# SPDX-License-Identifier: Apache-2.0
"""What the probes answer: liveness fails where a restart helps, and never because somebody else is away."""

from __future__ import annotations

import asyncio

import pytest

from podtracker.health import Health, Limits
from unit.podtracker.virtual import clock, in_virtual_time, passing

LIMITS = Limits(lag=10.0, silence=240.0, idle=300.0)


class FakeWatch:
    """A watch of pods."""

    def __init__(self, silence: float = 0.0, *, synced: bool = True) -> None:
        self.silence = silence
        self.synced = asyncio.Event()
        if synced:
            self.synced.set()

    def silent_for(self) -> float:
        return self.silence


class Patient:
    """Health, and what it looks at."""

    def __init__(self, *watches: FakeWatch, leads: bool = True) -> None:
        self.away = False
        self.idle = 0.0
        self.now = 1000.0
        self.watches = watches
        self.health = Health(
            limits=LIMITS,
            watches=lambda: {str(place): watch for place, watch in enumerate(self.watches)},
            api_server_away=lambda: self.away,
            idle_for=lambda: self.idle,
            clock=lambda: self.now,
        )
        self.health.leads = leads


def test_a_new_process_is_well() -> None:
    health = Patient(leads=False).health
    assert (health.lag(), health.deaf(), health.stuck(), health.not_ready()) == (None,) * 4
    assert health.role() == "standby"


def test_a_leader_says_so() -> None:
    assert Patient().health.role() == "leader"


@pytest.mark.parametrize(("late", "bad"), [(1.0, False), (10.9, False), (11.5, True), (600.0, True)])
def test_a_loop_that_is_late(late: float, bad: bool) -> None:
    patient = Patient()
    patient.now += late
    assert (patient.health.lag() is not None) is bad


@in_virtual_time
async def test_a_beating_loop_is_not_late() -> None:
    health = Health(limits=LIMITS, watches=dict, api_server_away=bool, idle_for=float, clock=clock)
    beating = asyncio.create_task(health.beat())
    await passing(3600.0)
    assert health.lag() is None
    beating.cancel()
    await passing(60.0)
    assert "late" in (health.lag() or "")


@pytest.mark.parametrize(
    ("silences", "away", "bad"),
    [
        ([], False, False),
        ([239.0], False, False),
        ([241.0], False, True),
        ([1.0, 241.0, 2.0], False, True),
        ([9999.0], True, False),
    ],
)
def test_a_deaf_watch_is_bad_only_while_the_api_server_answers(silences: list[float], away: bool, bad: bool) -> None:
    patient = Patient(*map(FakeWatch, silences))
    patient.away = away
    assert (patient.health.deaf() is not None) is bad


@pytest.mark.parametrize(
    ("idle", "leads", "bad"), [(0.0, True, False), (299.0, True, False), (301.0, True, True), (9999.0, False, False)]
)
def test_deliveries_that_do_not_move_are_bad_for_a_leader(idle: float, leads: bool, bad: bool) -> None:
    patient = Patient(leads=leads)
    patient.idle = idle
    assert (patient.health.stuck() is not None) is bad


def test_a_leader_is_ready_once_it_sees_pods_and_trackers() -> None:
    first, second = FakeWatch(synced=False), FakeWatch(synced=False)
    patient = Patient(first, second)
    assert patient.health.not_ready() == "the first list of pods is not complete"
    first.synced.set()
    assert patient.health.not_ready() == "the first list of pods is not complete"
    second.synced.set()
    assert patient.health.not_ready() == "trackers are not watched yet"
    patient.health.watching_trackers.set()
    assert patient.health.not_ready() is None


def test_a_standby_is_ready_to_lead() -> None:
    assert Patient(FakeWatch(synced=False), leads=False).health.not_ready() is None
