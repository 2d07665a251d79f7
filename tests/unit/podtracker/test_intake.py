# SPDX-License-Identifier: Apache-2.0
"""From the reflector's calls to the outbox."""

from __future__ import annotations

from podtracker.delivery import Policy
from podtracker.dispatch import Dispatcher
from podtracker.engine import Engine
from podtracker.intake import Intake
from podtracker.ledger import Ledger
from podtracker.matching import TrackerIndex
from podtracker.metrics import Metrics
from podtracker.owners import Owners
from unit.podtracker.builders import NOW, compose, destination, identity, pod, tracker
from unit.podtracker.fakes import FakeGate, FakeListener, FakeOwners, FakeReporter
from unit.podtracker.virtual import clock, in_virtual_time, quiet


class Scene:
    """An intake, and everything behind it up to the receiver."""

    def __init__(self, namespace: str | None = None) -> None:
        self.reporter = FakeReporter()
        self.ledger = Ledger()
        self.gaps: list[str | None] = []
        self.lists: list[str | None] = []
        index = TrackerIndex()
        self.engine = Engine(index, self.ledger, changed=lambda _: None)
        self.dispatcher = Dispatcher(
            ledger=self.ledger,
            reporters={"slack": self.reporter},
            compose=compose,
            commit=self._commit,
            listener=FakeListener(),
            metrics=Metrics(),
            policy=Policy(rate=1000.0, burst=1000),
            gate=FakeGate(),
            clock=clock,
            wall=clock,
        )
        self.intake = Intake(
            self.engine,
            self.dispatcher,
            namespace,
            owners=Owners(FakeOwners(), index, clock=clock),
            on_gap=self.gaps.append,
            on_list=lambda: self.lists.append(namespace),
            wall=lambda: float(NOW),
        )
        self.engine.track(tracker("t1"), edited=NOW)
        self.dispatcher.assign(identity("t1"), destination())

    async def _commit(self, *, within: float = 0.0) -> None:
        pass


@in_virtual_time
async def test_what_the_watch_shows_is_delivered() -> None:
    s = Scene()
    s.intake.changed(pod(uid="p1"), appeared=True)
    s.intake.changed(pod(uid="p1", version=2), appeared=True)
    s.intake.deleted(pod(uid="p1"))
    s.intake.changed(pod(uid="p2"), appeared=True)
    await quiet()
    assert s.reporter.texts == ["Pod nginx was created"] * 2
    assert s.ledger.pod_count("t1") == 1
    await s.dispatcher.close()


@in_virtual_time
async def test_what_a_list_shows_is_delivered_and_what_it_lacks_is_gone() -> None:
    s = Scene()
    s.intake.changed(pod(uid="p1"), appeared=True)
    s.intake.begin_list(gap=False)
    s.intake.listed([pod(uid="p2")])
    s.intake.listed([pod(uid="p3")])
    s.intake.end_list()
    await quiet()
    assert len(s.reporter.attempts) == 3
    assert set(s.ledger.pods_in(None)) == {"p2", "p3"}
    await s.dispatcher.close()


@in_virtual_time
async def test_a_list_of_one_namespace_says_nothing_of_others() -> None:
    s = Scene("other")
    s.intake.changed(pod(uid="p1"), appeared=True)
    s.intake.begin_list(gap=False)
    s.intake.end_list()
    assert set(s.ledger.pods_in(None)) == {"p1"}
    await s.dispatcher.close()


@in_virtual_time
async def test_a_gap_is_told_once_however_often_its_list_begins_again() -> None:
    s = Scene("team")
    for _ in range(3):
        s.intake.begin_list(gap=True)
    s.intake.end_list()
    assert (s.gaps, s.lists) == (["team"], ["team"])
    s.intake.begin_list(gap=True)
    assert s.gaps == ["team", "team"]
    await s.dispatcher.close()


@in_virtual_time
async def test_the_first_list_is_no_gap() -> None:
    s = Scene()
    s.intake.begin_list(gap=False)
    s.intake.end_list()
    assert s.gaps == []
    await s.dispatcher.close()


@in_virtual_time
async def test_pages_and_ends_without_a_beginning_are_passed_over() -> None:
    s = Scene()
    s.intake.listed([pod(uid="p1")])
    s.intake.end_list()
    await quiet()
    assert s.reporter.attempts == []
    await s.dispatcher.close()
