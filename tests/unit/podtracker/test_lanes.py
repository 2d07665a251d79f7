# SPDX-License-Identifier: Apache-2.0
"""One destination's lane: pace, turns, and when to try again. Time is a number that the tests pass in."""

from __future__ import annotations

import pytest

from podtracker.delivery import Policy
from podtracker.errors import DeliveryError
from podtracker.lanes import Lane, Queue
from podtracker.messages import MAX_PODS
from unit.podtracker.builders import destination, note, refused, retry, throttled

POLICY = Policy(rate=2.0, burst=3, backoff=1.0, backoff_max=60.0, blocked_retry=600.0)


def lane(policy: Policy = POLICY, now: float = 0.0) -> Lane:
    return Lane(destination(), policy, now)


def queue(lane: Lane, tracker: str = "t1", namespace: str = "team", waiting: int = 1) -> Queue:
    joined = Queue(tracker, namespace)
    joined.items.extend(note(f"{tracker}-{number}", tracker=tracker) for number in range(waiting))
    lane.add(joined)
    return joined


def turns(lane: Lane, count: int) -> list[str]:
    """Whose turns the next ones are, when each sends one message."""
    taken = []
    for _ in range(count):
        served = lane.next_queue(0.0)
        if served is None:
            break
        taken.append(served.tracker)
        served.settle({one.id for one in served.take(pressed=False)})
    return taken


# who waits


def test_a_lane_without_trackers_is_not_used() -> None:
    empty = lane()
    assert not empty.used
    assert empty.due_in(0.0) is None
    assert empty.next_queue(0.0) is None
    assert empty.backlog == 0


def test_a_tracker_joins_and_leaves() -> None:
    served = lane()
    first, second = queue(served, "t1"), queue(served, "t2", waiting=2)
    assert list(served.trackers) == ["t1", "t2"]
    assert served.backlog == 3
    assert [first.lane, second.lane] == [served, served]
    served.remove(first)
    assert [first.lane, second.lane] == [None, served]
    assert list(served.trackers) == ["t2"]
    served.remove(second)
    assert not served.used


def test_joining_twice_is_joining_once() -> None:
    served = lane()
    served.add(queue(served, "t1"))
    assert served.trackers == ("t1",)


def test_what_is_in_flight_is_no_work() -> None:
    served = lane()
    only = queue(served)
    only.in_flight = True
    assert served.due_in(0.0) is None
    assert served.next_queue(0.0) is None
    assert served.backlog == 1


def test_trackers_of_a_namespace_take_turns() -> None:
    served = lane()
    for tracker in ("t1", "t2", "t3"):
        queue(served, tracker, waiting=3)
    assert turns(served, 7) == ["t1", "t2", "t3", "t1", "t2", "t3", "t1"]


def test_namespaces_take_turns_however_many_trackers_they_have() -> None:
    served = lane()
    for tracker in ("a1", "a2", "a3", "a4"):
        queue(served, tracker, namespace="crowd", waiting=10)
    queue(served, "b1", namespace="one", waiting=10)
    taken = turns(served, 8)
    assert taken.count("b1") == 4
    assert taken == ["a1", "b1", "a2", "b1", "a3", "b1", "a4", "b1"]


def test_a_tracker_with_a_long_queue_does_not_hold_up_another() -> None:
    served = lane()
    queue(served, "flood", waiting=1000)
    queue(served, "quiet", waiting=1)
    assert turns(served, 3) == ["flood", "quiet", "flood"]


def test_who_has_nothing_is_passed_over() -> None:
    served = lane()
    queue(served, "idle", waiting=0)
    queue(served, "busy", waiting=2)
    assert turns(served, 5) == ["busy", "busy"]


# what is sent


def test_without_pressure_a_message_tells_one() -> None:
    waiting = queue(lane(), waiting=3)
    assert [one.pod for one in waiting.take(pressed=False)] == ["t1-0"]
    assert len(waiting.items) == 3


def test_under_pressure_a_message_tells_all_that_fit() -> None:
    waiting = queue(lane(), waiting=12)
    assert [one.pod for one in waiting.take(pressed=True)] == [f"t1-{number}" for number in range(12)]


def test_a_flood_is_cut_into_messages_in_order() -> None:
    waiting = queue(lane(), waiting=5000)
    told: list[str] = []
    messages = 0
    while waiting.items:
        batch = waiting.take(pressed=True)
        told += [one.pod for one in batch]
        assert waiting.settle({one.id for one in batch}) == batch
        messages += 1
    assert told == [f"t1-{number}" for number in range(5000)]
    assert messages == 5000 / MAX_PODS


def test_an_attempt_that_may_have_arrived_is_taken_again_as_it_was() -> None:
    waiting = queue(lane(), waiting=2)
    batch = waiting.take(pressed=True)
    waiting.attempted = len(batch)
    waiting.items.extend(note(f"late-{number}") for number in range(10))
    assert waiting.take(pressed=True) == batch
    assert waiting.take(pressed=False) == batch
    assert waiting.settle({one.id for one in batch}) == batch
    assert len(waiting.take(pressed=True)) == 10


@pytest.mark.parametrize(
    ("places", "left"),
    [([], [0, 1, 2, 3]), ([0, 1], [2, 3]), ([1, 3], [0, 2]), ([0, 2], [1, 3]), ([3], [0, 1, 2]), ([0, 1, 2, 3], [])],
    ids=str,
)
def test_what_is_settled_leaves_the_queue_wherever_it_stands(places: list[int], left: list[int]) -> None:
    waiting = queue(lane(), waiting=4)
    items = list(waiting.items)
    assert set(waiting.settle({items[place].id for place in places})) == {items[place] for place in places}
    assert list(waiting.items) == [items[place] for place in left]


def test_settling_what_is_not_there_is_fine() -> None:
    waiting = queue(lane(), waiting=2)
    assert waiting.settle({"stranger"}) == ()
    assert len(waiting.items) == 2


# when: the pace


def spend(lane: Lane, now: float) -> float:
    """Send at the first moment from `now` on when a message may go; gives that moment."""
    at = now + lane.wait_time(now)
    assert lane.wait_time(at) == pytest.approx(0.0)
    lane.spend()
    return at


def test_a_burst_goes_at_once_and_then_the_pace_holds() -> None:
    served = lane()
    times, now = [], 0.0
    for _ in range(7):
        now = spend(served, now)
        times.append(now)
    assert times == pytest.approx([0.0, 0.0, 0.0, 0.5, 1.0, 1.5, 2.0])


def test_a_quiet_time_earns_a_burst_and_not_more() -> None:
    served = lane()
    for _ in range(3):
        spend(served, 0.0)
    times, now = [], 3600.0
    for _ in range(4):
        now = spend(served, now)
        times.append(now)
    assert times == pytest.approx([3600.0, 3600.0, 3600.0, 3600.5])


@pytest.mark.parametrize(("waiting", "pressed"), [(1, False), (3, False), (4, True), (500, True)])
def test_pressure_is_more_than_may_go_at_once(waiting: int, pressed: bool) -> None:
    served = lane()
    queue(served, waiting=waiting)
    assert served.pressed(0.0) is pressed


def test_pressure_counts_all_trackers_of_the_lane() -> None:
    served = lane()
    queue(served, "t1", waiting=2)
    queue(served, "t2", waiting=2)
    assert served.pressed(0.0)


def test_a_rate_below_one_waits_longer() -> None:
    slow = lane(Policy(rate=0.1, burst=1))
    assert spend(slow, 0.0) == 0.0
    assert slow.wait_time(0.0) == pytest.approx(10.0)


# when: after a failure


@pytest.mark.parametrize("after", [0.5, 2.0, 30.0, 3600.0])
def test_who_is_told_when_to_come_back_comes_back_then(after: float) -> None:
    served = lane()
    served.failed(throttled(after), now=100.0)
    assert served.failing
    assert served.wait_time(100.0) == pytest.approx(after)
    assert served.wait_time(100.0 + after) == 0.0


@pytest.mark.parametrize("after", [None, 0.0])
def test_who_is_not_told_when_waits_the_first_backoff(after: float | None) -> None:
    served = lane()
    served.failed(throttled(after), now=0.0)
    assert served.wait_time(0.0) == pytest.approx(POLICY.backoff)


def test_a_refusal_waits_for_people() -> None:
    served = lane()
    served.failed(refused(), now=0.0)
    assert served.wait_time(0.0) == POLICY.blocked_retry


def waits(lane: Lane, failures: int, error: DeliveryError, now: float = 0.0) -> list[float]:
    found = []
    for _ in range(failures):
        lane.failed(error, now)
        found.append(lane.wait_time(now))
        now += 1000.0
    return found


@pytest.mark.parametrize("attempt", range(5))
def test_the_backoff_doubles_up_to_its_ceiling(attempt: int) -> None:
    del attempt  # another draw of the jitter
    for number, wait in enumerate(waits(lane(), 40, retry())):
        doubled = min(60.0, 2.0**number)
        assert doubled / 2 <= wait <= doubled


def test_the_backoff_is_spread() -> None:
    assert len({waits(lane(), 1, retry())[0] for _ in range(20)}) > 1


def test_a_thousand_failures_overflow_nothing() -> None:
    assert 30.0 <= waits(lane(), 1100, retry())[-1] <= 60.0


def test_a_success_ends_the_backoff() -> None:
    served = lane()
    waits(served, 10, retry())
    served.recovered(now=50_000.0)
    assert not served.failing
    assert served.wait_time(50_000.0) == 0.0
    assert waits(served, 1, retry(), now=50_000.0)[0] <= 1.0


def test_the_pace_holds_after_a_failure_too() -> None:
    served = lane(Policy(rate=0.1, burst=1, backoff=1.0))
    spend(served, 0.0)
    served.failed(retry(), now=0.0)
    assert served.wait_time(0.0) == pytest.approx(10.0)
