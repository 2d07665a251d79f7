# SPDX-License-Identifier: Apache-2.0
"""The dispatcher, with a receiver that answers as told and a clock that jumps."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from podtracker.delivery import Destination, Message, Policy
from podtracker.dispatch import AHEAD, Dispatcher
from podtracker.errors import DeliveryError
from podtracker.ledger import Ledger, Notification, TrackerRecord
from podtracker.metrics import Metrics
from unit.podtracker.builders import (
    CREATED,
    NOW,
    SECRET,
    compose,
    destination,
    identity,
    record,
    refused,
    retry,
    throttled,
    undeliverable,
    who,
)
from unit.podtracker.fakes import FakeGate, FakeListener, FakeReporter
from unit.podtracker.virtual import clock, in_virtual_time, passing, quiet

FAST = Policy(rate=1000.0, burst=1000, backoff=1.0, backoff_max=60.0, blocked_retry=600.0)
PACED = Policy(rate=1.0, burst=3, backoff=1.0, backoff_max=60.0, blocked_retry=600.0)


class Post:
    """A dispatcher with what stands around it."""

    def __init__(self, policy: Policy) -> None:
        self.reporter = FakeReporter()
        self.words_fail = 0
        """How often words cannot be found, because of a bug."""
        self.listener = FakeListener()
        self.ledger = Ledger()
        self.metrics = Metrics()
        self.gate = FakeGate()
        self.began = clock()
        self.commits: list[int] = []
        """How many messages had been accepted at each commit."""
        self.commit_gate: asyncio.Event | None = None
        self.reporters = {"slack": self.reporter}
        self.dispatcher = Dispatcher(
            ledger=self.ledger,
            reporters=self.reporters,
            compose=self._compose,
            commit=self._commit,
            listener=self.listener,
            metrics=self.metrics,
            policy=policy,
            gate=self.gate,
            clock=clock,
            wall=lambda: NOW + clock() - self.began,
        )

    async def _commit(self, *, within: float = 0.0) -> None:
        assert within < AHEAD
        self.commits.append(len(self.reporter.accepted))
        if self.commit_gate is not None:
            await self.commit_gate.wait()

    def _compose(self, batch: Sequence[Notification], **how: Any) -> Message:
        if self.words_fail:
            self.words_fail -= 1
            raise KeyError("a bug")
        return compose(batch, **how)

    def use(self, reporter: FakeReporter) -> None:
        """Have another receiver."""
        self.reporter = self.reporters["slack"] = reporter

    def test(self, nonce: str) -> Notification:
        """A test that was asked for."""
        if self.ledger.tracker("t1") is None:
            self.ledger.put_tracker("t1", record("team"))
        asked = self.ledger.ask_test("t1", nonce)
        assert asked is not None
        return asked

    def assign(self, tracker: str = "t1", where: Destination | None = None, namespace: str = "team") -> bool:
        return self.dispatcher.assign(identity(tracker, namespace=namespace), where or destination())

    def submit(
        self, *names: str, tracker: str = "t1", namespace: str = "team", quiet: bool = False
    ) -> list[Notification]:
        if self.ledger.tracker(tracker) is None:
            self.ledger.put_tracker(tracker, record(namespace))
        notes = []
        for name in names:
            one = self.ledger.found(tracker, CREATED, pod=who(f"{name}-uid", name, namespace), quiet=quiet)
            assert one is not None
            notes.append(one)
        self.dispatcher.submit(notes)
        return notes

    def kept(self, tracker: str = "t1") -> TrackerRecord:
        found = self.ledger.tracker(tracker)
        assert found is not None
        return found

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def post(policy: Policy = FAST) -> AsyncIterator[Post]:
    made = Post(policy)
    try:
        yield made
    finally:
        await made.dispatcher.close()


def ids(notes: Sequence[Notification]) -> tuple[str, ...]:
    return tuple(one.id for one in notes)


# the plain way


@in_virtual_time
async def test_a_notification_becomes_a_message_and_is_settled() -> None:
    async with post() as p:
        p.assign()
        notes = p.submit("nginx")
        await quiet()
        assert p.reporter.texts == ["Pod nginx was created"]
        assert p.reporter.tried == [ids(notes)]
        assert p.reporter.attempts[0][1] == destination()
        assert p.ledger.waiting == 0
        assert p.kept().delivered == 1
        assert p.listener.good == [(("t1",), tuple(notes))]
        assert p.listener.bad == []
        assert p.counted("pod_tracker_occurrences_total", event="Created", outcome="delivered") == 1
        assert p.counted("pod_tracker_delivery_attempts_total", kind="slack", outcome="delivered") == 1


@in_virtual_time
async def test_nothing_is_sent_where_nothing_was_submitted() -> None:
    async with post() as p:
        p.assign()
        await passing(3600.0)
        assert p.reporter.attempts == []


@in_virtual_time
async def test_a_tracker_without_a_destination_keeps_what_it_has_until_it_gets_one() -> None:
    async with post() as p:
        p.submit("a", "b")
        await passing(10.0)
        assert p.reporter.attempts == []
        assert p.assign() is False
        await quiet()
        assert p.reporter.texts == ["Pod a was created", "Pod b was created"]


@in_virtual_time
async def test_a_destination_may_be_taken_away_and_given_back() -> None:
    async with post() as p:
        p.assign()
        p.dispatcher.assign(identity("t1"), None)
        p.submit("a")
        await passing(10.0)
        assert p.reporter.attempts == []
        p.assign()
        await quiet()
        assert p.reporter.texts == ["Pod a was created"]


@in_virtual_time
async def test_assigning_the_same_again_changes_nothing() -> None:
    async with post() as p:
        for round_ in range(3):
            p.assign()
            p.submit(f"a{round_}", f"b{round_}")
            p.assign()
        await quiet()
        assert len(p.reporter.accepted) == 6


@in_virtual_time
async def test_messages_of_a_tracker_keep_their_order() -> None:
    async with post() as p:
        p.assign()
        names = [f"pod-{number}" for number in range(50)]
        for name in names:
            p.submit(name)
            await asyncio.sleep(0)
        await passing(60.0)
        told = [name for text in p.reporter.texts for name in text.replace(",", " ").split() if name.startswith("pod-")]
        assert told == names


@in_virtual_time
async def test_one_message_at_a_time_is_on_its_way_to_a_destination() -> None:
    async with post() as p:
        p.reporter.gate = asyncio.Event()
        for number in range(5):
            p.assign(f"t{number}")
            p.submit("a", "b", tracker=f"t{number}")
        await passing(5.0)
        assert (p.reporter.flying, len(p.reporter.attempts)) == (1, 1)
        p.reporter.gate.set()
        await passing(5.0)
        assert p.reporter.most_flying == 1
        assert len(p.reporter.accepted) == 10


@in_virtual_time
async def test_the_next_message_waits_for_the_commit_of_the_last() -> None:
    async with post() as p:
        p.commit_gate = asyncio.Event()
        p.assign()
        p.submit("a", "b")
        await passing(60.0)
        assert p.reporter.texts == ["Pod a was created"]
        assert p.commits == [1]
        p.commit_gate.set()
        await quiet()
        assert p.reporter.texts == ["Pod a was created", "Pod b was created"]
        assert p.commits == [1, 2]


@in_virtual_time
async def test_destinations_are_independent() -> None:
    async with post() as p:
        slow = FakeReporter()
        slow.gate = asyncio.Event()
        p.dispatcher = Dispatcher(
            ledger=p.ledger,
            reporters={"slack": p.reporter, "slow": slow},
            compose=compose,
            commit=p._commit,
            listener=p.listener,
            metrics=p.metrics,
            policy=FAST,
            gate=p.gate,
            clock=clock,
            wall=clock,
        )
        p.assign("stuck", destination("C1", kind="slow"))
        p.assign("t1", destination("C2"))
        p.submit("a", tracker="stuck")
        p.submit("b", "c")
        await quiet()
        assert p.reporter.texts == ["Pod b was created", "Pod c was created"]
        assert slow.flying == 1
        await p.dispatcher.close()


@in_virtual_time
async def test_a_failing_channel_does_not_hold_up_another_with_the_same_token() -> None:
    async with post() as p:
        p.reporter.plan.append(refused())
        p.assign("bad", destination("C-bad"))
        p.submit("a", tracker="bad")
        await quiet()
        p.assign("good", destination("C-good"))
        p.submit("b", tracker="good")
        await quiet()
        assert p.reporter.texts == ["Pod b was created"]


# leadership


@in_virtual_time
async def test_who_does_not_lead_sends_nothing() -> None:
    async with post() as p:
        p.gate.open.clear()
        p.assign()
        p.submit("a")
        await passing(3600.0)
        assert p.reporter.attempts == []
        assert p.dispatcher.idle_for() == 0.0
        p.gate.open.set()
        await quiet()
        assert p.reporter.texts == ["Pod a was created"]


# pace and pressure


@in_virtual_time
async def test_a_burst_goes_at_once_and_the_rest_at_the_pace() -> None:
    async with post(PACED) as p:
        began = clock()
        p.assign()
        for number in range(6):
            p.submit(f"pod-{number}")
            await passing(0.01)
        await passing(60.0)
        times = [at - began for at in p.reporter.times]
        assert times[:3] == pytest.approx([0.0, 0.01, 0.02], abs=1e-3)
        assert times[3] == pytest.approx(1.0, abs=0.05)
        assert p.reporter.texts[3].startswith("3 pods were created: ")


@in_virtual_time
async def test_a_flood_becomes_a_digest_that_names_every_pod() -> None:
    async with post(PACED) as p:
        p.assign()
        notes = p.submit(*[f"web-{number}" for number in range(12)])
        await quiet()
        assert p.reporter.texts == ["12 pods were created: " + ", ".join(f"web-{number}" for number in range(12))]
        assert p.reporter.tried == [ids(notes)]
        assert p.kept().delivered == 12


@in_virtual_time
async def test_the_pace_is_the_destinations_and_is_shared_fairly() -> None:
    async with post(Policy(rate=1.0, burst=1)) as p:
        began = clock()
        for tracker, namespace in (("a1", "crowd"), ("a2", "crowd"), ("a3", "crowd"), ("b1", "one")):
            p.assign(tracker, namespace=namespace)
            p.submit(f"{tracker}-x", tracker=tracker, namespace=namespace)
        await passing(60.0)
        assert [text.split()[1] for text in p.reporter.texts] == ["a1-x", "b1-x", "a2-x", "a3-x"]
        assert [at - began for at in p.reporter.times] == pytest.approx([0.0, 1.0, 2.0, 3.0], abs=0.01)


# failures


@in_virtual_time
async def test_what_may_have_arrived_is_sent_again_as_it_was() -> None:
    async with post(PACED) as p:
        p.reporter.plan.extend([retry(arrived_perhaps=True)] * 2)
        p.assign()
        notes = p.submit("a")
        await quiet()
        p.submit("b", "c", "d", "e", "f")
        await passing(120.0)
        assert p.reporter.tried[:3] == [ids(notes)] * 3
        assert p.reporter.texts[0] == "Pod a was created"
        assert p.reporter.texts[1] == "5 pods were created: b, c, d, e, f"
        assert p.counted("pod_tracker_delivery_attempts_total", kind="slack", outcome="retry") == 2


@in_virtual_time
async def test_a_digest_that_may_have_arrived_is_sent_again_as_it_was() -> None:
    async with post(PACED) as p:
        p.reporter.plan.append(retry(arrived_perhaps=True))
        p.assign()
        notes = p.submit(*"abcdef")
        await quiet()
        late = p.submit("late")
        await passing(120.0)
        assert p.reporter.tried == [ids(notes), ids(notes), ids(late)]


@in_virtual_time
async def test_being_throttled_does_not_change_what_may_have_arrived_before() -> None:
    async with post(PACED) as p:
        p.reporter.plan.extend([retry(arrived_perhaps=True), throttled(5.0)])
        p.assign()
        notes = p.submit("a")
        await quiet()
        p.submit(*"bcdefgh")
        await passing(120.0)
        assert p.reporter.tried[:3] == [ids(notes)] * 3


@in_virtual_time
async def test_after_a_clear_refusal_the_waiting_ones_may_be_merged() -> None:
    async with post(PACED) as p:
        p.reporter.plan.append(throttled(30.0))
        p.assign()
        p.submit("a")
        await quiet()
        p.submit("b", "c", "d")
        await passing(60.0)
        assert p.reporter.texts == ["4 pods were created: a, b, c, d"]


@in_virtual_time
async def test_waits_between_attempts_grow() -> None:
    async with post() as p:
        p.reporter.plan.extend([retry()] * 9)
        p.assign()
        p.submit("a")
        await passing(600.0)
        waits = [later - earlier for earlier, later in pairwise(p.reporter.times)]
        assert len(p.reporter.accepted) == 1
        for number, wait in enumerate(waits):
            doubled = min(60.0, 2.0**number)
            assert doubled / 2 - 0.01 <= wait <= doubled + 0.01


@in_virtual_time
async def test_retry_after_is_obeyed() -> None:
    async with post() as p:
        p.reporter.plan.append(throttled(30.0))
        p.assign()
        p.submit("a")
        await passing(29.9)
        assert len(p.reporter.attempts) == 1
        await passing(0.2)
        assert p.reporter.texts == ["Pod a was created"]


@in_virtual_time
async def test_a_new_or_edited_tracker_does_not_cut_retry_after_short() -> None:
    async with post() as p:
        p.reporter.plan.append(throttled(30.0))
        p.assign()
        p.submit("a")
        await quiet()
        p.dispatcher.assign(identity("t1"), destination(), retry=True)
        p.dispatcher.assign(identity("t2"), destination(), retry=True)
        p.submit("b", tracker="t2")
        await passing(29.0)
        assert len(p.reporter.attempts) == 1
        await passing(2.0)
        assert len(p.reporter.accepted) == 2


@in_virtual_time
async def test_a_destination_that_was_left_for_a_moment_still_obeys_retry_after() -> None:
    async with post() as p:
        p.reporter.plan.append(throttled(30.0))
        p.assign()
        p.submit("a")
        await quiet()
        p.dispatcher.assign(identity("t1"), None)
        await quiet()
        p.assign()
        await passing(29.0)
        assert len(p.reporter.attempts) == 1


@in_virtual_time
async def test_a_destination_that_was_left_for_a_moment_keeps_its_pace() -> None:
    async with post(Policy(rate=0.1, burst=1)) as p:
        for round_ in range(3):
            p.assign()
            p.submit(f"pod-{round_}")
            await quiet()
            p.dispatcher.assign(identity("t1"), None)
            await quiet()
        assert len(p.reporter.attempts) == 1


@in_virtual_time
async def test_a_refusal_is_tried_again_rarely() -> None:
    async with post() as p:
        p.reporter.plan.extend([refused()] * 2)
        p.assign()
        p.submit("a", "b")
        await passing(599.0)
        assert len(p.reporter.attempts) == 1
        await passing(10.0)
        assert len(p.reporter.attempts) == 2
        assert p.assign() is True
        await passing(600.0)
        assert p.reporter.texts == ["Pod a was created", "Pod b was created"]
        assert p.assign() is False


@in_virtual_time
async def test_a_refusal_is_tried_again_at_once_when_something_changed() -> None:
    async with post() as p:
        p.reporter.plan.append(refused())
        p.assign()
        p.submit("a")
        await quiet()
        assert p.dispatcher.assign(identity("t1"), destination()) is True
        await passing(10.0)
        assert p.reporter.accepted == []
        assert p.dispatcher.assign(identity("t1"), destination(), retry=True) is False
        await quiet()
        assert p.reporter.texts == ["Pod a was created"]


@in_virtual_time
async def test_all_that_share_a_destination_hear_of_its_failure_and_of_its_end() -> None:
    async with post() as p:
        p.reporter.plan.append(retry())
        p.assign("t1")
        p.assign("t2")
        p.submit("a", tracker="t1")
        await passing(5.0)
        assert [(set(told), error.reason) for told, error in p.listener.bad] == [({"t1", "t2"}, "Unreachable")]
        assert [set(told) for told, _ in p.listener.good] == [{"t1", "t2"}]


@in_virtual_time
async def test_in_good_times_only_the_own_tracker_hears_of_a_delivery() -> None:
    async with post() as p:
        p.assign("t1")
        p.assign("t2")
        p.submit("a", tracker="t2")
        await quiet()
        assert [told for told, _ in p.listener.good] == [("t2",)]


@in_virtual_time
async def test_what_can_never_be_delivered_is_dropped_and_counted_and_the_next_goes_on() -> None:
    async with post() as p:
        p.reporter.plan.append(undeliverable())
        p.assign()
        p.submit("a", "b")
        await quiet()
        assert p.reporter.texts == ["Pod b was created"]
        assert (p.kept().delivered, p.kept().dropped) == (1, 1)
        assert p.ledger.waiting == 0
        assert p.counted("pod_tracker_occurrences_total", event="Created", outcome="dropped") == 1
        assert p.commits == [0, 1]


@in_virtual_time
async def test_what_can_never_be_delivered_concerns_only_its_own_tracker() -> None:
    async with post() as p:
        p.reporter.plan.append(undeliverable())
        p.assign("t1")
        p.assign("t2")
        p.submit("a", tracker="t1")
        await quiet()
        assert [told for told, _ in p.listener.bad] == [("t1",)]


@in_virtual_time
async def test_a_bug_in_a_reporter_does_not_end_the_lane_and_is_not_repeated_in_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with post() as p:
        p.reporter.plan.append(RuntimeError("what a reporter says is not meant for people"))
        p.assign()
        p.submit("a")
        await passing(5.0)
        assert p.reporter.texts == ["Pod a was created"]
        ((_, error),) = p.listener.bad
        assert (error.reason, error.message) == ("InternalError", "RuntimeError")
        assert p.counted("pod_tracker_delivery_attempts_total", kind="slack", outcome="error") == 1
        assert [record for record in caplog.records if record.exc_info]


@in_virtual_time
async def test_no_failure_shows_the_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with post() as p:
        p.reporter.plan.extend([retry(), throttled(1.0), refused(), undeliverable(), RuntimeError("boom")])
        p.assign()
        p.submit("a", "b")
        await passing(1000.0)
        said = [str(vars(record)) + record.getMessage() for record in caplog.records]
        said += ["".join(traceback.format_exception(error)) for _, error in p.listener.bad]
        assert len(said) > 5
        assert not [text for text in said if SECRET in text]


# what may have arrived: asking the receiver


@in_virtual_time
async def test_what_the_receiver_has_is_not_sent_again() -> None:
    async with post() as p:
        p.reporter.plan.append(retry(arrived_perhaps=True))
        p.assign()
        notes = p.submit("a")
        p.reporter.history.append(frozenset(ids(notes)))
        began = NOW + clock() - p.began
        await passing(60.0)
        assert p.reporter.tried == [ids(notes)]
        ((where, since),) = p.reporter.looked_back
        assert where == destination()
        assert since == pytest.approx(began, abs=0.01)
        assert p.kept().delivered == 1
        assert p.ledger.waiting == 0
        assert [told for told, _ in p.listener.good] == [("t1",)]
        assert p.counted("pod_tracker_readbacks_total", outcome="read") == 1


@pytest.mark.parametrize("history", [None, frozenset(), frozenset({"of somebody else"})], ids=str)
@in_virtual_time
async def test_what_the_receiver_has_not_or_cannot_tell_is_sent_again(history: frozenset[str] | None) -> None:
    async with post() as p:
        p.reporter.plan.append(retry(arrived_perhaps=True))
        p.reporter.history.append(history)
        p.assign()
        notes = p.submit("a")
        await passing(60.0)
        assert p.reporter.tried == [ids(notes)] * 2
        assert len(p.reporter.looked_back) == 1


@in_virtual_time
async def test_what_surely_did_not_arrive_is_not_asked_for() -> None:
    async with post() as p:
        p.reporter.plan.extend([retry(), throttled(1.0)])
        p.assign()
        p.submit("a")
        await passing(60.0)
        assert p.reporter.looked_back == []
        assert len(p.reporter.accepted) == 1


@in_virtual_time
async def test_a_receiver_that_cannot_be_asked_is_asked_again_before_anything_is_sent() -> None:
    async with post() as p:
        p.reporter.plan.append(retry(arrived_perhaps=True))
        p.assign()
        notes = p.submit("a")
        p.reporter.history.extend([retry(), throttled(5.0), frozenset(ids(notes))])
        await passing(120.0)
        assert len(p.reporter.attempts) == 1
        assert len(p.reporter.looked_back) == 3
        assert p.ledger.waiting == 0


@in_virtual_time
async def test_a_bug_while_reading_back_does_not_end_the_lane() -> None:
    async with post() as p:
        p.reporter.plan.append(retry(arrived_perhaps=True))
        p.reporter.history.append(RuntimeError("a bug"))
        p.assign()
        p.submit("a")
        await passing(600.0)
        assert p.reporter.texts == ["Pod a was created"]


@in_virtual_time
async def test_what_an_earlier_process_may_have_sent_is_asked_for_first() -> None:
    async with post() as p:
        p.dispatcher.doubt(NOW - 100.0)
        first, second = p.submit("a"), p.submit("b")
        p.reporter.history.append(frozenset(ids(first)))
        p.assign()
        await quiet()
        assert p.reporter.looked_back == [(destination(), NOW - 100.0)]
        assert p.reporter.tried == [ids(second)]
        assert p.kept().delivered == 2


@in_virtual_time
async def test_doubt_that_was_settled_concerns_no_new_destination() -> None:
    async with post() as p:
        p.dispatcher.doubt(NOW - 100.0)
        p.dispatcher.doubt(None)
        p.assign()
        p.submit("a")
        await quiet()
        assert p.reporter.looked_back == []
        assert p.reporter.texts == ["Pod a was created"]


@in_virtual_time
async def test_doubt_lasts_as_long_as_something_waits_where_nobody_has_asked() -> None:
    async with post() as p:
        p.dispatcher.doubt(NOW - 100.0)
        p.reporter.history.extend([retry()])
        p.submit("a")
        p.assign()
        await quiet()
        before = p.dispatcher.doubtful
        await passing(10.0)
        assert (before, p.dispatcher.doubtful) == (True, False)
        assert p.reporter.texts == ["Pod a was created"]


# what was lost to the quota


@in_virtual_time
async def test_the_next_message_tells_how_many_were_dropped_and_the_one_after_does_not() -> None:
    async with post() as p:
        p.assign()
        p.submit("a")
        p.kept().unannounced = 7
        await quiet()
        p.submit("b")
        await quiet()
        assert p.reporter.texts == [
            "Pod a was created\n7 more were dropped: too many were waiting",
            "Pod b was created",
        ]


@in_virtual_time
async def test_what_was_dropped_is_told_until_it_arrived() -> None:
    async with post() as p:
        p.reporter.plan.append(retry())
        p.assign()
        p.submit("a")
        p.kept().unannounced = 7
        await passing(5.0)
        assert p.reporter.texts == ["Pod a was created\n7 more were dropped: too many were waiting"]
        assert p.kept().unannounced == 0


# whether it moves


@in_virtual_time
async def test_attempts_that_fail_are_no_idleness() -> None:
    async with post() as p:
        p.reporter.plan.extend([retry()] * 100)
        p.assign()
        p.submit("a")
        for _ in range(20):
            await passing(37.0)
            assert p.dispatcher.idle_for() <= 61.0


@in_virtual_time
async def test_waiting_for_retry_after_is_no_idleness() -> None:
    async with post() as p:
        p.reporter.plan.append(throttled(3600.0))
        p.assign()
        p.submit("a")
        await passing(3599.0)
        assert p.dispatcher.idle_for() == 0.0


@in_virtual_time
async def test_an_attempt_that_does_not_end_is_idleness() -> None:
    async with post() as p:
        p.reporter.gate = asyncio.Event()
        p.assign()
        p.submit("a")
        await passing(500.0)
        assert p.dispatcher.idle_for() == pytest.approx(500.0, abs=1.0)
        p.reporter.gate.set()
        await quiet()
        assert p.dispatcher.idle_for() == 0.0


@in_virtual_time
async def test_a_long_quiet_time_is_no_idleness_when_something_comes() -> None:
    async with post(Policy(rate=0.1, burst=1)) as p:
        p.assign()
        await passing(10_000.0)
        p.submit("a", "b")
        await passing(5.0)
        assert p.dispatcher.idle_for() < 11.0


# changes while a message is on its way


@in_virtual_time
async def test_a_tracker_that_moves_while_its_message_travels_sends_it_once() -> None:
    async with post() as p:
        p.reporter.gate = asyncio.Event()
        p.assign("t1", destination("C-old"))
        p.submit("a", "b")
        await quiet()
        p.assign("t1", destination("C-new"))
        await passing(10.0)
        assert [where.channel for _, where, _ in p.reporter.attempts] == ["C-old"]
        p.reporter.gate.set()
        await quiet()
        assert [where.channel for _, where, _ in p.reporter.attempts] == ["C-old", "C-new"]
        assert p.reporter.texts == ["Pod a was created", "Pod b was created"]


@in_virtual_time
async def test_a_message_that_failed_while_its_tracker_moved_goes_to_the_new_place() -> None:
    async with post() as p:
        p.reporter.gate = asyncio.Event()
        p.reporter.plan.append(refused())
        p.assign("t1", destination("C-old"))
        p.submit("a")
        await quiet()
        p.assign("t1", destination("C-new"))
        p.reporter.gate.set()
        await quiet()
        assert [where.channel for _, where, _ in p.reporter.attempts] == ["C-old", "C-new"]
        assert p.reporter.texts == ["Pod a was created"]


@in_virtual_time
async def test_a_place_that_was_left_says_nothing_about_the_tracker_any_more() -> None:
    async with post() as p:
        p.reporter.gate = asyncio.Event()
        p.reporter.plan.append(refused())
        p.assign("t1", destination("C-old"))
        p.submit("a")
        await quiet()
        p.dispatcher.assign(identity("t1"), destination("C-new"))
        p.dispatcher.assign(identity("t1"), None)
        p.reporter.gate.set()
        await quiet()
        assert [told for told, _ in p.listener.bad if told] == []


@in_virtual_time
async def test_a_tracker_dropped_while_its_message_travels_sends_no_more() -> None:
    async with post() as p:
        p.reporter.gate = asyncio.Event()
        p.assign()
        p.submit("a", "b")
        await quiet()
        p.dispatcher.drop("t1")
        p.ledger.drop_tracker("t1")
        p.reporter.gate.set()
        await passing(10.0)
        assert p.reporter.texts == ["Pod a was created"]
        assert p.ledger.waiting == 0


@in_virtual_time
async def test_a_dropped_tracker_sends_nothing_of_what_waited() -> None:
    async with post(Policy(rate=0.1, burst=1)) as p:
        p.assign("t1")
        p.assign("t2")
        p.submit("a", tracker="t1")
        p.submit("b", tracker="t2")
        await quiet()
        p.dispatcher.drop("t2")
        p.dispatcher.drop("t2")
        p.dispatcher.drop("never there")
        await passing(60.0)
        assert p.reporter.texts == ["Pod a was created"]


@in_virtual_time
async def test_a_place_that_was_left_while_a_message_travelled_can_be_used_again() -> None:
    async with post() as p:
        p.reporter.gate = asyncio.Event()
        p.assign()
        p.submit("a")
        await quiet()
        p.dispatcher.drop("t1")
        p.assign("t2")
        p.submit("b", tracker="t2")
        p.reporter.gate.set()
        await quiet()
        assert p.reporter.texts == ["Pod a was created", "Pod b was created"]
        assert p.reporter.most_flying == 1


# the end


@in_virtual_time
async def test_draining_waits_until_all_is_delivered() -> None:
    async with post(PACED) as p:
        p.assign("t1")
        p.assign("t2", destination("C2"))
        for number in range(5):
            p.submit(f"a-{number}", tracker="t1")
            p.submit(f"b-{number}", tracker="t2")
            await quiet()
        assert p.ledger.waiting > 0
        assert await p.dispatcher.drain(20.0) == 0
        assert p.ledger.waiting == 0


@in_virtual_time
async def test_draining_waits_for_the_message_in_flight() -> None:
    async with post() as p:
        gate = p.reporter.gate = asyncio.Event()
        p.assign()
        p.submit("a")
        await quiet()
        asyncio.get_running_loop().call_later(3.0, gate.set)
        began = clock()
        assert await p.dispatcher.drain(20.0) == 0
        assert clock() - began == pytest.approx(3.0, abs=0.1)
        assert p.reporter.texts == ["Pod a was created"]


@in_virtual_time
async def test_draining_ends_in_time_and_tells_what_is_left() -> None:
    async with post() as p:
        p.reporter.gate = asyncio.Event()
        p.assign()
        p.submit("a", "b")
        began = clock()
        assert await p.dispatcher.drain(5.0) == 2
        assert clock() - began == pytest.approx(5.0, abs=0.1)


@in_virtual_time
async def test_draining_does_not_wait_for_what_fails_or_has_no_destination() -> None:
    async with post() as p:
        p.reporter.plan.extend([retry()] * 50)
        p.assign("t1")
        p.submit("a", tracker="t1")
        p.submit("b", tracker="nowhere")
        await quiet()
        began = clock()
        assert await p.dispatcher.drain(20.0) == 2
        assert clock() - began < 0.1


@in_virtual_time
async def test_draining_nothing_is_done_at_once() -> None:
    async with post() as p:
        p.assign()
        assert await p.dispatcher.drain(0.0) == 0


@in_virtual_time
async def test_closing_gives_up_what_is_in_flight() -> None:
    async with post() as p:
        p.reporter.gate = asyncio.Event()
        p.assign()
        p.submit("a")
        await quiet()
        assert await p.dispatcher.close() is False
        assert p.reporter.flying == 0
        assert p.ledger.waiting == 1
        assert len(asyncio.all_tasks()) == 1


@in_virtual_time
async def test_closing_with_nothing_in_flight_is_clean() -> None:
    async with post() as p:
        p.assign()
        p.submit("a")
        await quiet()
        assert await p.dispatcher.close() is True


@in_virtual_time
async def test_closing_while_something_may_have_arrived_is_not_clean() -> None:
    async with post() as p:
        p.reporter.plan.append(retry(arrived_perhaps=True))
        p.assign()
        p.submit("a")
        await quiet()
        assert await p.dispatcher.close() is False


@in_virtual_time
async def test_lanes_end_with_their_last_tracker() -> None:
    async with post() as p:
        for number in range(20):
            p.assign(f"t{number}", destination(f"C{number}"))
        await quiet()
        assert len(asyncio.all_tasks()) == 21
        for number in range(20):
            p.dispatcher.drop(f"t{number}")
        await passing(3600.0)
        assert len(asyncio.all_tasks()) == 1


# quiet times and digests


@in_virtual_time
async def test_what_is_held_waits_and_goes_as_one_summary() -> None:
    async with post() as p:
        p.assign()
        p.dispatcher.hold(identity("t1"), held=True, gather=0.0)
        notes = p.submit("a", "b", "c", quiet=True)
        await passing(60.0)
        assert p.reporter.attempts == []
        assert p.dispatcher.idle_for() == 0.0
        assert await p.dispatcher.drain(20.0) == 3
        p.dispatcher.hold(identity("t1"), held=False, gather=0.0)
        after = p.submit("d")
        await quiet()
        assert p.reporter.tried == [ids(notes), ids(after)]
        assert "a, b, c" in p.reporter.texts[0]


@in_virtual_time
async def test_a_digest_is_gathered_from_its_first_occurrence_on() -> None:
    async with post() as p:
        p.assign()
        p.dispatcher.hold(identity("t1"), held=False, gather=60.0)
        p.submit("a")
        await passing(50.0)
        p.submit("b")
        assert p.reporter.attempts == []
        await passing(10.5)
        assert p.reporter.texts == ["2 pods were created: a, b"]
        p.submit("c")
        await passing(59.0)
        assert len(p.reporter.texts) == 1
        await passing(2.0)
        assert p.reporter.texts[1:] == ["Pod c was created"]


@in_virtual_time
async def test_what_is_gathered_does_not_hold_up_the_others_of_its_lane() -> None:
    async with post() as p:
        p.assign("t1")
        p.assign("t2")
        p.dispatcher.hold(identity("t1"), held=False, gather=60.0)
        p.submit("a", tracker="t1")
        p.submit("b", tracker="t2")
        await quiet()
        assert p.reporter.texts == ["Pod b was created"]


# receivers without a pace, or without digests


@in_virtual_time
async def test_who_takes_one_at_a_time_gets_one_at_a_time_and_at_once() -> None:
    async with post(PACED) as p:
        p.use(FakeReporter(paced=False, digests=False))
        p.assign()
        notes = p.submit(*(f"p-{number}" for number in range(50)))
        await quiet()
        assert p.reporter.tried == [(one.id,) for one in notes]


@in_virtual_time
async def test_without_a_pace_deliveries_run_ahead_of_the_ledger_for_a_second() -> None:
    async with post(PACED) as p:
        p.use(FakeReporter(paced=False, digests=False))
        p.commit_gate = asyncio.Event()
        p.assign()
        p.submit("a", "b", "c")
        await quiet()
        assert len(p.reporter.accepted) == 3
        await passing(AHEAD + 0.1)
        p.submit("d", "e", "f")
        await passing(5.0)
        assert len(p.reporter.accepted) == 4
        p.commit_gate.set()
        await quiet()
        assert len(p.reporter.accepted) == 6
        assert p.ledger.waiting == 0


# tests


@in_virtual_time
async def test_a_test_goes_before_everything_and_even_while_all_is_held() -> None:
    async with post(PACED) as p:
        p.assign()
        p.submit("a", "b")
        p.dispatcher.hold(identity("t1"), held=True, gather=0.0)
        test = p.ledger.ask_test("t1", "nonce-1")
        assert test is not None
        p.dispatcher.submit([test])
        await quiet()
        assert p.reporter.tried == [(test.id,)]
        assert p.listener.tests == [("t1", "nonce-1", None)]
        assert p.kept().delivered == 0
        assert p.ledger.waiting == 2


@pytest.mark.parametrize("error", [refused(), retry(), retry(arrived_perhaps=True), undeliverable()])
@in_virtual_time
async def test_a_test_that_failed_is_told_and_not_tried_again(error: DeliveryError) -> None:
    async with post() as p:
        p.reporter.plan.append(error)
        p.assign()
        p.submit()
        p.dispatcher.submit([p.test("nonce-1")])
        await passing(3600.0)
        assert p.listener.tests == [("t1", "nonce-1", error)]
        assert len(p.reporter.attempts) == 1
        assert p.ledger.waiting == 0


@in_virtual_time
async def test_a_throttled_test_waits_for_its_time() -> None:
    async with post() as p:
        p.reporter.plan.append(throttled(30.0))
        p.assign()
        p.dispatcher.submit([p.test("nonce-1")])
        await passing(29.0)
        assert p.listener.tests == []
        await passing(2.0)
        assert p.listener.tests == [("t1", "nonce-1", None)]


@in_virtual_time
async def test_a_test_without_a_destination_can_be_given_up() -> None:
    async with post() as p:
        p.dispatcher.submit([p.test("nonce-1")])
        p.dispatcher.give_up_test("t1", refused("SecretNotFound"))
        p.dispatcher.give_up_test("nobody", refused("SecretNotFound"))
        assert [(nonce, error and error.reason) for _, nonce, error in p.listener.tests] == [
            ("nonce-1", "SecretNotFound")
        ]
        assert p.ledger.waiting == 0


@in_virtual_time
async def test_words_that_cannot_be_found_end_no_lane() -> None:
    async with post() as p:
        p.words_fail = 1
        p.assign()
        p.submit("a")
        await quiet()
        assert [error.reason for _, error in p.listener.bad] == ["InternalError"]
        await passing(5.0)
        assert p.reporter.texts == ["Pod a was created"]
