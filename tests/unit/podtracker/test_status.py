# SPDX-License-Identifier: Apache-2.0
"""The status board: few writes, none for nothing, none lost, and Events only where something turned."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import pytest

from podtracker.api import PodTrackerStatus
from podtracker.errors import KubeError
from podtracker.metrics import Metrics
from podtracker.status import CREDENTIALS_SECURE, READY, REPORTER_READY, Counts, StatusBoard
from podtracker.times import epoch_seconds
from unit.podtracker.builders import NOW, identity, stamp
from unit.podtracker.fakes import DOWN, NOT_FOUND, FakeEvents, FakeGate, FakeStatusSink
from unit.podtracker.virtual import clock, in_virtual_time, passing


class Office:
    """A board with what stands around it; its wall clock began at NOW."""

    def __init__(self) -> None:
        self.sink = FakeStatusSink()
        self.events = FakeEvents()
        self.gate = FakeGate()
        self.metrics = Metrics()
        self.numbers: dict[str, Counts] = {}
        self.gone: list[str] = []
        self.began = clock()
        self.board = StatusBoard(
            sink=self.sink,
            record=self.events.record,
            may_write=self.gate.wait_leading,
            counts=lambda uid: self.numbers.get(uid, Counts(0, 0, 0, 0)),
            gone=self._gone,
            metrics=self.metrics,
            clock=clock,
            wall=lambda: NOW + clock() - self.began,
        )

    def _gone(self, uid: str) -> None:
        self.gone.append(uid)
        self.board.forget(uid)

    def ready(self, status: bool = True, reason: str = "Active", uid: str = "t1", message: str = "") -> None:
        self.board.condition(uid, READY, status, reason, message)

    def reporter(self, status: bool, reason: str, uid: str = "t1", message: str = "m") -> None:
        self.board.condition(uid, REPORTER_READY, status, reason, message)

    def written(self, outcome: str) -> float:
        return self.metrics.registry.get_sample_value("pod_tracker_status_writes_total", {"outcome": outcome}) or 0.0


@asynccontextmanager
async def office(*uids: str) -> AsyncIterator[Office]:
    made = Office()
    for uid in uids or ("t1",):
        made.board.adopt(identity(uid), {})
    writer = asyncio.create_task(made.board.run())
    try:
        yield made
        assert not writer.done()
    finally:
        writer.cancel()
        with suppress(asyncio.CancelledError):
            await writer


# writing


@in_virtual_time
async def test_a_tracker_of_which_nothing_is_known_is_not_written() -> None:
    async with office() as o:
        await passing(600.0)
        assert o.sink.writes == []


@in_virtual_time
async def test_a_condition_is_written_soon_and_whole() -> None:
    async with office() as o:
        o.numbers["t1"] = Counts(pods=3, delivered=5, pending=2, dropped=1)
        o.ready()
        await passing(0.5)
        ((at, uid, status),) = o.sink.writes
        assert at - o.began < 0.5
        assert uid == "t1"
        assert status == {
            "observedGeneration": 1,
            "status": "Active",
            "podCount": 3,
            "delivered": 5,
            "pending": 2,
            "dropped": 1,
            "suppressed": 0,
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "Active",
                    "message": "",
                    "lastTransitionTime": stamp(NOW),
                    "observedGeneration": 1,
                }
            ],
        }


@in_virtual_time
async def test_who_does_not_certainly_lead_writes_nothing() -> None:
    async with office() as o:
        o.gate.open.clear()
        o.ready(False, "InvalidAuth")
        await passing(60.0)
        assert o.sink.tries == 0
        o.ready()
        o.gate.open.set()
        await passing(1.0)
        assert [status["status"] for _, _, status in o.sink.writes] == ["Active"]


@in_virtual_time
async def test_conditions_that_change_together_are_written_together_in_a_fixed_order() -> None:
    async with office() as o:
        o.board.condition("t1", CREDENTIALS_SECURE, True, "SecretRef", "")
        o.reporter(False, "InvalidAuth")
        await passing(0.05)
        o.reporter(True, "TokenAccepted")
        o.ready()
        await passing(2.0)
        assert len(o.sink.writes) == 1
        assert [entry["type"] for entry in o.sink.last()["conditions"]] == [READY, REPORTER_READY, CREDENTIALS_SECURE]


@in_virtual_time
async def test_what_did_not_change_is_not_written() -> None:
    async with office() as o:
        o.ready()
        await passing(1.0)
        for _ in range(100):
            o.ready()
            o.board.touch("t1")
            await passing(1.0)
        assert len(o.sink.writes) == 1


@in_virtual_time
async def test_counters_are_written_at_leisure() -> None:
    async with office() as o:
        o.ready()
        await passing(1.0)
        for delivered in range(1, 601):
            o.numbers["t1"] = Counts(pods=1, delivered=delivered, pending=0, dropped=0)
            o.board.touch("t1")
            await passing(0.05)
        await passing(10.0)
        assert 5 <= len(o.sink.writes) - 1 <= 8
        assert o.sink.last()["delivered"] == 600


@in_virtual_time
async def test_a_first_count_does_not_wait() -> None:
    async with office() as o:
        await passing(60.0)
        o.numbers["t1"] = Counts(pods=1, delivered=0, pending=0, dropped=0)
        o.board.touch("t1")
        await passing(0.5)
        assert o.sink.last()["podCount"] == 1


@in_virtual_time
async def test_a_condition_does_not_wait_for_the_counters_turn() -> None:
    async with office() as o:
        o.ready()
        await passing(1.0)
        o.board.touch("t1")
        o.ready(False, "InvalidAuth")
        await passing(0.5)
        assert o.sink.last()["status"] == "Degraded"


@in_virtual_time
async def test_a_change_while_a_write_is_under_way_is_written_next() -> None:
    async with office() as o:
        o.ready()

        class Slow(FakeStatusSink):
            async def apply_status(self, *args: Any) -> None:
                await asyncio.sleep(1.0)
                await super().apply_status(*args)

        o.board._sink = o.sink = Slow()
        await passing(0.7)
        o.ready(False, "InvalidAuth")
        await passing(5.0)
        assert [status["status"] for _, _, status in o.sink.writes] == ["Active", "Degraded"]


@in_virtual_time
async def test_writes_of_many_trackers_are_spread() -> None:
    uids = [f"t{number}" for number in range(100)]
    async with office(*uids) as o:
        for uid in uids:
            o.ready(uid=uid)
        await passing(1.2)
        assert 10 <= len(o.sink.writes) <= 30
        await passing(10.0)
        assert sorted(uid for _, uid, _ in o.sink.writes) == sorted(uids)


# words


@in_virtual_time
async def test_a_thousand_trackers_of_one_namespace_keep_no_other_waiting() -> None:
    async with office("a") as o:
        for number in range(1000):
            o.board.adopt(identity(f"m{number}", namespace="mallory"), {})
            o.ready(uid=f"m{number}")
        await passing(3.0)
        o.ready(uid="a")
        began = clock()
        await passing(2.0)
        [(at, _, _)] = [write for write in o.sink.writes if write[1] == "a"]
        assert at - began < 1.5
        assert len(o.sink.writes) < 200


@in_virtual_time
async def test_what_has_nothing_new_takes_no_turn() -> None:
    async with office("a", *(f"m{number}" for number in range(500))) as o:
        o.ready(uid="a")
        for number in range(500):
            o.ready(uid=f"m{number}")
        await passing(60.0)
        writes = len(o.sink.writes)
        for number in range(500):
            o.board.touch(f"m{number}")
        o.ready(False, "Broken", uid="a")
        began = clock()
        await passing(2.0)
        assert len(o.sink.writes) == writes + 1
        assert o.sink.writes[-1][0] - began < 0.5


@pytest.mark.parametrize(
    ("status", "reason", "word"),
    [
        (True, "Active", "Active"),
        (False, "InvalidAuth", "Degraded"),
        (False, "InvalidSpec", "Invalid"),
    ],
)
@in_virtual_time
async def test_one_word_for_people(status: bool, reason: str, word: str) -> None:
    async with office() as o:
        o.ready(status, reason)
        await passing(1.0)
        assert o.sink.last()["status"] == word


@in_virtual_time
async def test_last_delivered_and_last_error() -> None:
    async with office() as o:
        o.board.failed("t1", "Unreachable: no answer")
        await passing(1.0)
        assert o.sink.last()["lastError"] == "Unreachable: no answer"
        assert "lastDelivered" not in o.sink.last()
        await passing(9.0)
        o.board.delivered("t1")
        await passing(10.0)
        assert "lastError" not in o.sink.last()
        assert epoch_seconds(o.sink.last()["lastDelivered"]) == NOW + 10


@in_virtual_time
async def test_the_transition_time_changes_with_the_status_and_not_with_the_words() -> None:
    async with office() as o:
        o.ready(False, "InvalidAuth")
        await passing(60.0)
        o.ready(False, "NotInChannel", message="other words")
        await passing(60.0)
        condition = o.sink.conditions()["Ready"]
        assert (condition["reason"], condition["lastTransitionTime"]) == ("NotInChannel", stamp(NOW))
        o.ready()
        await passing(1.0)
        assert o.sink.conditions()["Ready"]["lastTransitionTime"] == stamp(NOW + 120)


# what was there before


def old_status(**fields: Any) -> dict[str, Any]:
    entry = {
        "type": "Ready",
        "status": "True",
        "reason": "Active",
        "message": "",
        "lastTransitionTime": stamp(NOW - 9999),
        "observedGeneration": 1,
    }
    counters = {"podCount": 0, "delivered": 0, "pending": 0, "dropped": 0, "suppressed": 0}
    return {"observedGeneration": 1, "status": "Active", **counters, "conditions": [entry]} | fields


@in_virtual_time
async def test_a_status_that_is_still_right_is_not_written_again() -> None:
    async with office("other") as o:
        o.board.adopt(identity("t1"), old_status())
        o.ready()
        o.board.touch("t1")
        await passing(60.0)
        assert o.sink.writes == []


@in_virtual_time
async def test_transition_times_go_on_over_a_restart() -> None:
    async with office("other") as o:
        o.board.adopt(identity("t1", generation=2), old_status())
        o.ready()
        await passing(1.0)
        condition = o.sink.conditions()["Ready"]
        assert (condition["lastTransitionTime"], condition["observedGeneration"]) == (stamp(NOW - 9999), 2)


@in_virtual_time
async def test_what_was_delivered_last_goes_on_over_a_restart() -> None:
    async with office("other") as o:
        o.board.adopt(identity("t1"), old_status(lastDelivered=stamp(NOW - 50), lastError="Unreachable: x"))
        o.ready(False, "InvalidAuth")
        await passing(1.0)
        assert (o.sink.last()["lastDelivered"], o.sink.last()["lastError"]) == (stamp(NOW - 50), "Unreachable: x")


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"conditions": "nonsense"},
        {"podCount": -5},
        {"conditions": [{"type": "Ready"}]},
        {"delivered": "many", "status": 7},
        {"someday": True},
    ],
    ids=str,
)
@in_virtual_time
async def test_a_status_that_somebody_spoiled_is_written_anew(status: dict[str, Any]) -> None:
    async with office("other") as o:
        o.board.adopt(identity("t1"), status)
        o.ready()
        await passing(1.0)
        assert o.sink.conditions()["Ready"]["lastTransitionTime"] == stamp(NOW)
        assert o.sink.last()["podCount"] == 0


@in_virtual_time
async def test_adopting_again_takes_the_generation_and_keeps_what_is_known() -> None:
    async with office() as o:
        o.ready(False, "InvalidAuth")
        await passing(1.0)
        o.board.adopt(identity("t1", generation=2), {})
        o.board.touch("t1")
        await passing(10.0)
        assert o.sink.last()["observedGeneration"] == 2
        assert o.sink.last()["status"] == "Degraded"


# failures


@in_virtual_time
async def test_a_failed_write_is_tried_again() -> None:
    async with office() as o:
        o.sink.plan.extend([DOWN, KubeError(500, "InternalError", "x"), KubeError(409, "Conflict", "x")])
        o.ready()
        await passing(30.0)
        assert len(o.sink.writes) == 1
        assert o.sink.tries == 4
        assert (o.written("failed"), o.written("written")) == (3, 1)


@in_virtual_time
async def test_a_failed_write_obeys_retry_after() -> None:
    async with office() as o:
        o.sink.plan.append(KubeError(429, "TooManyRequests", "slow down", retry_after=20.0))
        o.ready()
        await passing(19.0)
        assert o.sink.tries == 1
        await passing(3.0)
        assert len(o.sink.writes) == 1


@in_virtual_time
async def test_a_failed_write_writes_what_is_true_by_then() -> None:
    async with office() as o:
        o.sink.plan.append(DOWN)
        o.ready(False, "InvalidAuth")
        await passing(1.0)
        o.ready()
        await passing(10.0)
        assert [status["status"] for _, _, status in o.sink.writes] == ["Active"]


@in_virtual_time
async def test_a_tracker_that_is_gone_is_told_and_written_no_more() -> None:
    async with office() as o:
        o.sink.plan.append(NOT_FOUND)
        o.ready()
        await passing(60.0)
        assert o.gone == ["t1"]
        assert o.sink.tries == 1
        assert o.written("gone") == 1
        o.ready(False, "InvalidAuth")
        await passing(60.0)
        assert o.sink.tries == 1


@in_virtual_time
async def test_one_trackers_failing_write_does_not_hold_up_another() -> None:
    async with office("t1", "t2") as o:
        o.sink.plan.append(DOWN)
        o.ready(uid="t1")
        o.ready(uid="t2")
        await passing(1.0)
        assert [uid for _, uid, _ in o.sink.writes] == ["t2"]


@in_virtual_time
async def test_who_was_forgotten_is_not_written() -> None:
    async with office() as o:
        o.ready()
        o.board.forget("t1")
        o.board.forget("t1")
        for call in (o.board.touch, o.board.delivered):
            call("t1")
        o.board.failed("t1", "x")
        assert o.board.reporter_condition("t1") is None
        await passing(60.0)
        assert o.sink.writes == []


# events


@in_virtual_time
async def test_events_are_shown_where_the_receiver_turns_good_or_bad_or_the_trouble_changes() -> None:
    async with office() as o:
        for status, reason in (
            (True, "TokenAccepted"),
            (True, "Delivered"),
            (False, "Unreachable"),
            (False, "Unreachable"),
            (False, "InvalidAuth"),
            (True, "Delivered"),
            (True, "TokenAccepted"),
        ):
            o.reporter(status, reason, message=f"{reason} words")
            await passing(1.0)
        assert o.events.reasons == ["TokenAccepted", "Unreachable", "InvalidAuth", "Delivered"]


@in_virtual_time
async def test_other_conditions_show_no_events() -> None:
    async with office() as o:
        o.ready(False, "InvalidAuth")
        o.board.condition("t1", CREDENTIALS_SECURE, False, "InlineKey", "")
        await passing(1.0)
        assert o.events.recorded == []


@in_virtual_time
async def test_other_words_for_the_same_trouble_are_no_event() -> None:
    async with office() as o:
        o.reporter(False, "RateLimited", message="wait 3 s")
        await passing(1.0)
        o.reporter(False, "RateLimited", message="wait 4 s")
        await passing(1.0)
        assert o.events.reasons == ["RateLimited"]


@in_virtual_time
async def test_what_was_known_before_a_restart_is_no_event() -> None:
    async with office("other") as o:
        known = old_status()["conditions"][0] | {"type": "ReporterReady", "reason": "Delivered"}
        o.board.adopt(identity("t1"), old_status(conditions=[known]))
        o.reporter(True, "Delivered", message="")
        await passing(1.0)
        assert o.events.recorded == []


@in_virtual_time
async def test_an_event_waits_for_the_status_it_speaks_of() -> None:
    async with office() as o:
        o.sink.plan.append(DOWN)
        o.reporter(False, "InvalidAuth")
        await passing(1.0)
        assert o.events.recorded == []
        await passing(10.0)
        assert o.events.reasons == ["InvalidAuth"]


@in_virtual_time
async def test_an_event_that_cannot_be_shown_does_not_stop_the_writer() -> None:
    async with office() as o:
        o.events.error = KubeError(403, "Forbidden", "no")
        o.reporter(False, "InvalidAuth")
        await passing(1.0)
        o.events.error = None
        o.reporter(True, "Delivered")
        await passing(1.0)
        assert o.events.reasons == ["Delivered"]
        assert len(o.sink.writes) == 2


# the end


@in_virtual_time
async def test_flushing_writes_what_is_not_written_yet() -> None:
    made = Office()
    for uid in ("t1", "t2", "t3"):
        made.board.adopt(identity(uid), {})
    made.ready(uid="t1")
    made.ready(False, "InvalidAuth", uid="t2")
    await made.board.flush()
    assert sorted(uid for _, uid, _ in made.sink.writes) == ["t1", "t2"]
    await made.board.flush()
    assert len(made.sink.writes) == 2


@in_virtual_time
async def test_flushing_survives_a_failing_write() -> None:
    made = Office()
    for uid in ("t1", "t2"):
        made.board.adopt(identity(uid), {})
        made.ready(uid=uid)
    made.sink.plan.append(DOWN)
    await made.board.flush()
    assert len(made.sink.writes) == 1


@in_virtual_time
async def test_what_is_written_fits_the_api() -> None:
    async with office() as o:
        o.reporter(False, "InvalidAuth")
        o.ready(False, "InvalidAuth")
        o.board.failed("t1", "x")
        o.board.delivered("t1")
        await passing(10.0)
        assert msgspec.convert(o.sink.last(), PodTrackerStatus, strict=True).conditions


@in_virtual_time
async def test_a_long_error_is_cut_to_what_the_api_takes() -> None:
    async with office() as o:
        o.board.failed("t1", "x" * 5000)
        o.reporter(False, "InvalidAuth", message="y" * 40_000)
        await passing(10.0)
        assert msgspec.convert(o.sink.last(), PodTrackerStatus, strict=True).conditions
