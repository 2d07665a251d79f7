# SPDX-License-Identifier: Apache-2.0
"""What happened to a pod, from its status alone; recorded lives of real pods are in test_traces.py."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podtracker.api import Event
from podtracker.lifecycle import MAX_CONTAINERS, NOTHING, Grace, Happening, Seen, step
from podtracker.pods import Pod, decode_pod
from unit.podtracker.builders import NOW, pod_body, stamp

GRACE = Grace(unschedulable=60, mounts=150, recovery=180)
Json = dict[str, Any]


def condition(kind: str, status: str = "True", at: int = NOW, reason: str | None = None) -> Json:
    entry = {"type": kind, "status": status, "lastTransitionTime": stamp(at)}
    return entry if reason is None else entry | {"reason": reason}


def running(at: int = NOW) -> Json:
    return {"running": {"startedAt": stamp(at)}}


def waiting(reason: str) -> Json:
    return {"waiting": {"reason": reason}}


def ended(code: int = 1, reason: str = "Error", started: int = NOW, finished: int = NOW + 1) -> Json:
    end = {"exitCode": code, "reason": reason, "startedAt": stamp(started), "finishedAt": stamp(finished)}
    return {"terminated": end}


def container(name: str = "app", state: Json | None = None, last: Json | None = None, restarts: int = 0) -> Json:
    return {"name": name, "restartCount": restarts, "state": state or running(), "lastState": last or {}}


def pod(*containers: Json, phase: str = "Running", deleted: bool = False, **status: Any) -> Pod:
    body = pod_body(uid="p1")
    body["status"] = {"phase": phase, "containerStatuses": list(containers), **status}
    if deleted:
        body["metadata"]["deletionTimestamp"] = stamp(NOW + 5)
    return decode_pod(json.dumps(body).encode())


class Life:
    """A pod that is looked at again and again."""

    def __init__(self) -> None:
        self.seen = NOTHING

    def look(self, one: Pod, now: float = NOW) -> list[Event]:
        return [happening.event for happening in self.found(one, now)]

    def found(self, one: Pod, now: float = NOW) -> list[Happening]:
        looked = step(self.seen, one, now=now, grace=GRACE)
        self.seen = looked.seen
        assert step(self.seen, one, now=now, grace=GRACE) == type(looked)(happenings=(), seen=self.seen)
        return list(looked.happenings)


CREATED, STARTED, READY = Event.CREATED, Event.STARTED, Event.READY
WELL = [condition("Ready", at=NOW + 7)]


def test_a_plain_start() -> None:
    life = Life()
    assert life.look(pod(phase="Pending")) == [CREATED]
    assert life.look(pod(container(state=waiting("ContainerCreating")), phase="Pending")) == []
    assert life.look(pod(container())) == [STARTED]
    [ready] = life.found(pod(container(), conditions=WELL))
    assert (ready.event, ready.at, ready.seconds) == (READY, NOW + 7, 7)


def test_what_was_merged_is_told_together_and_in_order() -> None:
    assert Life().look(pod(container(), conditions=WELL)) == [CREATED, STARTED, READY]


def test_started_waits_for_every_container_and_ready_is_told_once() -> None:
    life = Life()
    assert life.look(pod(container(), container("second", waiting("ContainerCreating")))) == [CREATED]
    assert life.look(pod(container(), container("second"), conditions=WELL)) == [STARTED, READY]
    assert life.look(pod(container(), conditions=[condition("Ready", "False")])) == []
    assert life.look(pod(container(), conditions=WELL)) == []


def test_init_containers_do_not_start_a_pod_and_ephemeral_ones_are_nobodys() -> None:
    life = Life()
    init = container("init", ended(0, "Completed"))
    waits = container(state=waiting("PodInitializing"))
    assert life.look(pod(waits, phase="Pending", initContainerStatuses=[init])) == [CREATED]
    debug = container("debug", waiting("ImagePullBackOff"))
    assert life.look(pod(container(), ephemeralContainerStatuses=[debug])) == [STARTED]


def test_a_crash_loop_is_one_episode_and_each_restart_is_told() -> None:
    life = Life()
    assert life.look(pod(container())) == [CREATED, STARTED]
    assert life.look(pod(container(state=ended()))) == []
    [restarted] = life.found(pod(container(last=ended(3, "Error"), restarts=1)))
    assert (restarted.event, restarted.exit_code, restarted.restarts) == (Event.RESTARTED, 3, 1)
    assert (restarted.container, restarted.reason) == ("app", "Error")
    backoff = pod(container(state=waiting("CrashLoopBackOff"), last=ended(3), restarts=1))
    [looping] = life.found(backoff)
    assert (looping.event, looping.exit_code, looping.restarts) == (Event.CRASH_LOOPING, 3, 2)
    assert life.look(pod(container(last=ended(), restarts=4))) == [Event.RESTARTED]
    assert life.look(pod(container(state=waiting("CrashLoopBackOff"), last=ended(), restarts=4))) == []


def test_an_episode_ends_when_the_pod_was_ready_for_long_enough() -> None:
    life = Life()
    looping = pod(container(state=waiting("CrashLoopBackOff"), last=ended(), restarts=1))
    life.look(looping)
    well = pod(container(restarts=2), conditions=[condition("Ready", at=NOW + 20)])
    assert life.look(well, NOW + 21) == [READY, Event.RESTARTED]
    assert life.seen.deadlines == {"Recovered": NOW + 200}
    assert life.look(well, NOW + 199) == []
    assert life.look(pod(container(restarts=2), conditions=[condition("Ready", "False")]), NOW + 199) == []
    assert life.seen.due is None
    assert life.look(pod(container(restarts=2), conditions=[condition("Ready", at=NOW + 250)]), NOW + 429) == []
    [recovered] = life.found(pod(container(restarts=2), conditions=[condition("Ready", at=NOW + 250)]), NOW + 430)
    assert (recovered.event, recovered.restarts) == (Event.RECOVERED, 2)
    again = pod(container(state=waiting("CrashLoopBackOff"), last=ended(), restarts=2))
    [second] = life.found(again, NOW + 500)
    assert second.event is Event.CRASH_LOOPING
    assert second.restarts == 3


@pytest.mark.parametrize(
    ("state", "last", "restarts"),
    [
        (ended(137, "OOMKilled"), None, 0),
        (waiting("CrashLoopBackOff"), ended(137, "OOMKilled"), 0),
        (running(), ended(137, "OOMKilled"), 1),
    ],
)
def test_an_end_for_memory_is_told_wherever_it_shows_first_and_once(
    state: Json, last: Json | None, restarts: int
) -> None:
    life = Life()
    found = life.look(pod(container(state=state, last=last, restarts=restarts)))
    assert found.count(Event.OOM_KILLED) == 1
    looping = container(state=waiting("CrashLoopBackOff"), last=ended(137, "OOMKilled"), restarts=restarts)
    assert Event.OOM_KILLED not in life.look(pod(looping))


def test_an_old_end_for_memory_is_not_told_again_after_the_recovery() -> None:
    life = Life()
    killed = ended(137, "OOMKilled")
    well = pod(container(last=killed, restarts=1), conditions=WELL)
    assert Event.OOM_KILLED in life.look(well)
    assert life.look(well, NOW + 400) == [Event.RECOVERED]
    assert life.look(well, NOW + 500) == []
    later = ended(137, "OOMKilled", finished=NOW + 600)
    assert Event.OOM_KILLED in life.look(pod(container(last=later, restarts=2), conditions=WELL), NOW + 601)


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable"])
def test_images_that_cannot_be_had(reason: str) -> None:
    life = Life()
    [_, failed] = life.found(pod(container(state=waiting(reason)), phase="Pending"))
    assert (failed.event, failed.reason, failed.container) == (Event.IMAGE_PULL_FAILED, reason, "app")
    assert life.look(pod(container(state=waiting("ImagePullBackOff")), phase="Pending")) == []


@pytest.mark.parametrize(
    "state",
    [
        waiting("CreateContainerConfigError"),
        waiting("CreateContainerError"),
        waiting("InvalidImageName"),
        waiting("RunContainerError"),
        ended(128, "StartError", started=0),
        ended(127, "ContainerCannotRun", started=0),
    ],
)
def test_containers_that_cannot_start(state: Json) -> None:
    assert Life().look(pod(container(state=state), phase="Pending")) == [CREATED, Event.START_FAILED]


def test_a_failed_start_that_was_got_over_is_no_news() -> None:
    assert Life().look(pod(container(last=ended(128, "StartError", started=0), restarts=1))) == [
        CREATED,
        STARTED,
        Event.RESTARTED,
    ]


def test_mounts_that_never_come_are_told_after_their_grace() -> None:
    life = Life()
    stuck = pod(
        container(state=waiting("ContainerCreating")),
        phase="Pending",
        conditions=[condition("PodScheduled", at=NOW), condition("PodReadyToStartContainers", "False", at=NOW + 2)],
    )
    assert life.look(stuck, NOW + 3) == [CREATED]
    assert life.seen.deadlines == {"StartFailed": NOW + 152}
    assert life.look(stuck, NOW + 151) == []
    assert life.look(stuck, NOW + 152) == [Event.START_FAILED]


def test_a_long_pull_is_no_failed_start() -> None:
    pulling = pod(
        container(state=waiting("ContainerCreating")),
        phase="Pending",
        conditions=[condition("PodScheduled"), condition("PodReadyToStartContainers")],
    )
    assert Life().look(pulling, NOW + 9999) == [CREATED]


def test_unschedulable_is_told_after_its_grace_and_not_when_a_gate_holds_it() -> None:
    life = Life()
    nowhere = pod(phase="Pending", conditions=[condition("PodScheduled", "False", NOW, "Unschedulable")])
    assert life.look(nowhere, NOW + 59) == [CREATED]
    assert life.seen.due == NOW + 60
    assert life.look(nowhere, NOW + 60) == [Event.UNSCHEDULABLE]
    assert life.seen.deadlines == {}
    gated = pod(phase="Pending", conditions=[condition("PodScheduled", "False", NOW, "SchedulingGated")])
    assert Life().look(gated, NOW + 9999) == [CREATED]


def test_who_is_scheduled_in_time_was_not_unschedulable() -> None:
    life = Life()
    life.look(pod(phase="Pending", conditions=[condition("PodScheduled", "False", NOW, "Unschedulable")]))
    assert life.look(pod(container(), conditions=[condition("PodScheduled", at=NOW + 50)]), NOW + 90) == [STARTED]
    assert life.seen.due is None


def test_the_ends_of_pods() -> None:
    assert Life().look(pod(container(state=ended(0, "Completed")), phase="Succeeded"))[-1] is Event.SUCCEEDED
    [*_, failed] = Life().found(pod(container(state=ended(3)), phase="Failed"))
    assert (failed.event, failed.exit_code, failed.reason, failed.container) == (Event.FAILED, 3, "Error", "app")
    [*_, evicted] = Life().found(pod(phase="Failed", reason="Evicted"))
    assert (evicted.event, evicted.reason) == (Event.FAILED, "Evicted")


def test_how_a_deleted_pods_containers_end_is_no_news() -> None:
    life = Life()
    life.look(pod(container(), conditions=WELL))
    assert life.look(pod(container(state=ended(143)), phase="Failed", deleted=True)) == []
    assert life.look(pod(container(state=ended(0)), phase="Succeeded", deleted=True)) == []


def test_who_is_evicted_failed_although_it_is_deleted_too() -> None:
    life = Life()
    life.look(pod(container(), conditions=WELL))
    disruption = condition("DisruptionTarget", at=NOW + 9, reason="EvictionByEvictionAPI")
    [failed] = life.found(pod(container(), deleted=True, conditions=[disruption]))
    assert (failed.event, failed.reason, failed.at) == (Event.FAILED, "EvictionByEvictionAPI", NOW + 9)
    assert life.look(pod(container(state=ended(143)), phase="Failed", deleted=True, conditions=[disruption])) == []


def test_pods_of_which_nothing_special_is_known_share_what_is_known() -> None:
    first, second = Life(), Life()
    first.look(pod(container()))
    second.look(pod(container()))
    assert first.seen is second.seen


def test_a_pod_of_thousands_of_containers_costs_no_more_than_one_of_a_hundred() -> None:
    many = [container(f"c{number}", last=ended(), restarts=1) for number in range(5000)]
    life = Life()
    told = life.look(pod(*many, initContainerStatuses=many))
    assert told.count(Event.RESTARTED) == MAX_CONTAINERS
    assert told.count(STARTED) == 1
    assert len(life.seen.restarts) == MAX_CONTAINERS


def test_what_is_missing_in_a_status_is_nothing() -> None:
    body = pod_body(uid="p1")
    for status in (None, {}, {"containerStatuses": None, "conditions": None}, {"conditions": [{"type": "Ready"}]}):
        body["status"] = status
        assert Life().look(decode_pod(json.dumps(body).encode())) == [CREATED]


STATES = st.one_of(
    st.just(running()),
    st.sampled_from(["CrashLoopBackOff", "ErrImagePull", "CreateContainerError", "ContainerCreating"]).map(waiting),
    st.builds(ended, st.integers(0, 255), st.sampled_from(["Error", "OOMKilled", "Completed", "StartError"])),
)
STATUSES = st.builds(
    lambda state, last, restarts, ready, phase, gone: pod(
        container(state=state, last=last, restarts=restarts),
        phase=phase,
        deleted=gone,
        conditions=[condition("Ready", "True" if ready else "False")],
    ),
    STATES,
    st.one_of(st.none(), STATES),
    st.integers(0, 5),
    st.booleans(),
    st.sampled_from(["Pending", "Running", "Succeeded", "Failed"]),
    st.booleans(),
)


@given(st.lists(STATUSES, max_size=8), st.integers(0, 1000))
def test_whatever_the_status_looking_again_finds_nothing_and_nothing_is_told_twice(
    statuses: list[Pod], later: int
) -> None:
    life, told = Life(), []
    for number, one in enumerate(statuses):
        told += life.look(one, NOW + later + number)
    for event in (CREATED, STARTED, READY, Event.SUCCEEDED, Event.FAILED):
        assert told.count(event) <= 1
    assert set(life.seen.deadlines) <= {"Recovered"}


def test_seen_is_small_where_little_is_known() -> None:
    assert Seen(1) == step(NOTHING, pod(phase="Pending"), now=NOW, grace=GRACE).seen
