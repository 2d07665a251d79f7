# SPDX-License-Identifier: Apache-2.0
"""What makes an operator unwell, caused for real: a blocked loop, a lane that stands still; and what does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from podtracker import health as health_module
from podtracker.delivery import Destination, Message, Policy
from podtracker.dispatch import Dispatcher
from podtracker.errors import DeliveryError
from podtracker.health import Health, Limits
from podtracker.ledger import Ledger
from podtracker.metrics import Metrics
from support.waiting import eventually
from unit.podtracker.builders import NOW, compose, destination, identity, note, refused, retry, throttled
from unit.podtracker.fakes import FakeGate, FakeListener, FakeReporter
from unit.podtracker.virtual import clock, in_virtual_time, passing, quiet

LIMITS = Limits(silence=240.0)
PROBE = 10.0
"""Seconds between two probes."""
HOUR = 3600.0
SOON = LIMITS.idle + 2 * PROBE
"""Seconds in which what stands still must have been noticed."""


class Receiver(FakeReporter):
    """A receiver that fails in the same way every time, or never answers at all."""

    def __init__(self) -> None:
        super().__init__()
        self.always: DeliveryError | None = None
        self.mute = False

    async def deliver(self, destination: Destination, message: Message) -> None:
        await self._answer()
        await super().deliver(destination, message)

    async def arrived(self, destination: Destination, *, since: float) -> frozenset[str] | None:
        await self._answer()
        return await super().arrived(destination, since=since)

    async def _answer(self) -> None:
        if self.mute:
            await asyncio.Event().wait()
        if self.always is not None:
            raise self.always


class Patient:
    """An outbox, and the health that looks at it."""

    def __init__(self, policy: Policy) -> None:
        self.slack = Receiver()
        self.gate = FakeGate()
        self.submitted = 0
        self.commit: Callable[[], Any] = _kept
        self.dispatcher = Dispatcher(
            ledger=Ledger(),
            reporters={"slack": self.slack},
            compose=compose,
            commit=self._commit,
            listener=FakeListener(),
            metrics=Metrics(),
            policy=policy,
            gate=self.gate,
            clock=clock,
            wall=lambda: NOW + clock(),
        )
        self.health = Health(
            limits=LIMITS, watches=dict, api_server_away=bool, idle_for=self.dispatcher.idle_for, clock=clock
        )
        self.health.leads = True

    async def _commit(self, *, within: float = 0.0) -> None:  # noqa: ARG002 - the port's
        await self.commit()

    def submit(self, *pods: str, tracker: str = "t1", channel: str | None = "C1") -> None:
        """Pods to tell; nowhere yet where the channel is None."""
        self.dispatcher.assign(identity(tracker), None if channel is None else destination(channel))
        notes = [note(pod, tracker=tracker) for pod in pods]
        self.submitted += len(notes)
        self.dispatcher.submit(notes)

    @property
    def told(self) -> int:
        """How many occurrences the receiver has."""
        return sum(len(message.ids) for message in self.slack.accepted)

    async def probed(self, seconds: float) -> list[str]:
        """What the probes of so long said; nothing where all was well."""
        said = []
        end = clock() + seconds
        while clock() < end:
            await passing(PROBE)
            said.append(self.health.stuck())
        return [problem for problem in said if problem is not None]


async def _kept() -> None:
    """A ledger that is stored at once."""


@asynccontextmanager
async def patient(policy: Policy | None = None) -> AsyncIterator[Patient]:
    made = Patient(policy or Policy(rate=1000.0, burst=1000))
    try:
        yield made
    finally:
        await made.dispatcher.close()


# the loop


async def test_a_loop_that_something_blocks_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    # In real time: that the loop is stuck while time passes is just what virtual time cannot show.
    monkeypatch.setattr(health_module, "BEAT", 0.01)
    limits = Limits(lag=0.05, silence=240.0)
    health = Health(limits=limits, watches=dict, api_server_away=bool, idle_for=float, clock=time.monotonic)
    beating = asyncio.create_task(health.beat())
    said: list[str | None] = []

    async def block() -> None:
        time.sleep(0.2)  # noqa: ASYNC251 - the very mistake
        said.append(health.lag())

    await asyncio.create_task(block())
    assert said[0] is not None
    assert "the event loop is" in said[0]
    # Once nothing blocks it any more it is well again by itself.
    await eventually(lambda: health.lag() is None, what="the loop to be in time", within=5)
    beating.cancel()


# lanes that stand still


@in_virtual_time
async def test_a_receiver_that_never_answers_and_a_reporter_without_a_timeout() -> None:
    async with patient() as p:
        p.slack.mute = True
        p.submit("a")
        assert await p.probed(LIMITS.idle - PROBE) == []
        assert "has seen no attempt for 3" in (await p.probed(3 * PROBE))[-1]


@in_virtual_time
async def test_looking_back_without_end() -> None:
    async with patient() as p:
        p.dispatcher.doubt(NOW)
        p.slack.mute = True
        p.submit("a")
        assert await p.probed(SOON)


@in_virtual_time
async def test_one_lane_that_stands_still_among_many_that_move() -> None:
    async with patient() as p:
        p.slack.mute = True
        p.submit("a", tracker="stuck", channel="C-STUCK")
        await quiet()
        p.slack.mute = False
        said = []
        for number in range(round(SOON / PROBE)):
            p.submit(f"b{number}", tracker="moving", channel="C-MOVING")
            said += await p.probed(PROBE)
        assert len(p.slack.accepted) == round(SOON / PROBE)
        assert said


@in_virtual_time
async def test_a_lane_whose_task_died() -> None:
    unseen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))

    async def broken() -> None:
        raise RuntimeError("a bug")

    async with patient(Policy(rate=1000.0, burst=1)) as p:
        p.commit = broken
        p.submit("a", tracker="t1")
        p.submit("b", tracker="t2")
        await quiet()
        p.commit = _kept
        assert await p.probed(SOON)
        assert len(p.slack.accepted) == 1
    assert all(isinstance(context.get("exception"), RuntimeError) for context in unseen)


@in_virtual_time
async def test_a_ledger_that_is_never_stored_although_this_process_leads() -> None:
    async with patient(Policy(rate=1000.0, burst=1)) as p:
        p.commit = asyncio.Event().wait
        p.submit("a", tracker="t1")
        p.submit("b", tracker="t2")
        assert await p.probed(SOON)


# what is no illness


@pytest.mark.parametrize(
    "outcome",
    [retry(), retry(arrived_perhaps=True), throttled(30.0), throttled(HOUR / 2), refused()],
    ids=["fails", "fails perhaps", "throttled", "throttled for long", "refused"],
)
@in_virtual_time
async def test_attempts_that_all_fail(outcome: DeliveryError) -> None:
    async with patient() as p:
        p.slack.always = outcome
        for number in range(5):
            p.submit("a", "b", tracker=f"t{number}", channel=f"C{number}")
        assert await p.probed(HOUR) == []
        assert p.slack.accepted == []
        p.slack.always = None
        assert await p.probed(HOUR) == []
        assert p.told == p.submitted


@in_virtual_time
async def test_a_slow_pace_with_much_that_waits() -> None:
    async with patient(Policy(rate=0.01, burst=1)) as p:
        for number in range(20):
            p.submit("a", tracker=f"t{number}")
        assert await p.probed(HOUR / 2) == []
        assert p.told < p.submitted
        assert await p.probed(HOUR) == []
        assert p.told == p.submitted


@in_virtual_time
async def test_what_waits_for_a_tracker_without_a_destination() -> None:
    async with patient() as p:
        p.submit("a", channel=None)
        assert await p.probed(HOUR) == []
        assert p.told == 0


@in_virtual_time
async def test_a_standby_with_a_full_outbox() -> None:
    async with patient() as p:
        p.health.leads = False
        p.gate.open.clear()
        p.submit("a")
        assert await p.probed(HOUR) == []
        assert p.slack.attempts == []


@in_virtual_time
async def test_a_leader_that_may_not_send_for_long() -> None:
    async with patient() as p:
        p.gate.open.clear()
        p.submit("a")
        assert await p.probed(HOUR) == []
        p.gate.open.set()
        assert await p.probed(HOUR) == []
        assert p.slack.texts == ["Pod a was created"]


@in_virtual_time
async def test_an_api_server_that_is_back_but_has_not_stored_the_ledger_yet() -> None:
    # The lease was renewed before the ledger could be: what waited meanwhile could not be attempted.
    async with patient(Policy(rate=1000.0, burst=1)) as p:
        stored = asyncio.Event()
        p.commit = stored.wait
        p.submit("a", tracker="t1")
        p.submit("b", tracker="t2")
        await quiet()
        p.gate.open.clear()
        assert await p.probed(HOUR) == []
        p.gate.open.set()
        assert await p.probed(PROBE) == []
        stored.set()
        assert await p.probed(HOUR) == []
        assert p.told == p.submitted
