# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podtracker.api import Event, PodTrackerSpec, Reporter, WorkloadRef
from podtracker.ledger import TEST, Notification
from podtracker.messages import MAX_CLUSTER, MAX_PODS, MAX_TEXT, QUIET, Composer, how_many_fit, text_for
from podtracker.trackers import Tracker
from unit.podtracker.occurrences import TRACKER, crash, escape, occurrence


def note(name: str) -> Notification:
    return occurrence(Event.CREATED, name)


# one occurrence


@pytest.mark.parametrize(
    ("notification", "text"),
    [
        (occurrence(Event.CREATED), "Pod web-1 was created"),
        (occurrence(Event.STARTED), "Pod shop/web-1 started"),
        (occurrence(Event.READY, seconds=12), "Pod shop/web-1 is ready after 12 s"),
        (occurrence(Event.READY, seconds=75), "Pod shop/web-1 is ready after 1 min 15 s"),
        (occurrence(Event.READY, seconds=3720), "Pod shop/web-1 is ready after 1 h 2 min"),
        (occurrence(Event.READY), "Pod shop/web-1 is ready"),
        (crash(), "Pod shop/web-1: container app crashed (exit code 1, Error), restarted 3 times"),
        (crash(restarts=1), "Pod shop/web-1: container app crashed (exit code 1, Error), restarted 1 time"),
        (
            crash(exit_code=0, reason="Completed"),
            "Pod shop/web-1: container app ended (exit code 0, Completed), restarted 3 times",
        ),
        (crash(exit_code=None, reason=""), "Pod shop/web-1: container app ended, restarted 3 times"),
        (occurrence(Event.RESTARTED), "Pod shop/web-1 was restarted"),
        (
            occurrence(Event.CRASH_LOOPING, container="app", exit_code=1, reason="Error", restarts=5),
            "Pod shop/web-1: container app keeps crashing (exit code 1, Error)",
        ),
        (
            occurrence(Event.OOM_KILLED, container="app", exit_code=137, reason="OOMKilled"),
            "Pod shop/web-1: container app ran out of memory (exit code 137, OOMKilled)",
        ),
        (
            occurrence(Event.IMAGE_PULL_FAILED, container="app", reason="ErrImagePull"),
            "Pod shop/web-1: the image of container app cannot be pulled (ErrImagePull)",
        ),
        (
            occurrence(Event.START_FAILED, container="app", reason="CreateContainerConfigError"),
            "Pod shop/web-1: container app cannot start (CreateContainerConfigError)",
        ),
        (
            occurrence(Event.START_FAILED, reason="NotReadyToStartContainers"),
            "Pod shop/web-1 cannot start (NotReadyToStartContainers)",
        ),
        (occurrence(Event.UNSCHEDULABLE, reason="Unschedulable"), "Pod shop/web-1 cannot be scheduled (Unschedulable)"),
        (occurrence(Event.FAILED, reason="Evicted"), "Pod shop/web-1 failed (Evicted)"),
        (
            occurrence(Event.FAILED, container="main", exit_code=2, reason="Error"),
            "Pod shop/web-1 failed: container main (exit code 2, Error)",
        ),
        (occurrence(Event.SUCCEEDED), "Pod shop/web-1 succeeded"),
        (occurrence(Event.DELETED), "Pod shop/web-1 was deleted"),
        (occurrence(Event.RECOVERED), "Pod shop/web-1 recovered"),
        (occurrence(TEST, "", reason="a-nonce"), "Test message of PodTracker shop/web-crashes: this receiver works"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.event,
)
def test_one_occurrence(notification: Notification, text: str) -> None:
    assert text_for([notification], tracker=TRACKER) == text
    clustered = text if notification.event == Event.CREATED else f"[prod] {text}"
    assert text_for([notification], tracker=TRACKER, cluster="prod") == clustered


def test_a_reason_is_one_line_of_a_bounded_length() -> None:
    assert (
        text_for([occurrence(Event.FAILED, reason="\u202ea\nPod b\x1b was\u2028\u200bc\ue000\x00")])
        == "Pod shop/web-1 failed (a Pod b was c)"
    )
    assert text_for([occurrence(Event.FAILED, reason="a" * 101)]) == f"Pod shop/web-1 failed ({'a' * 99}…)"
    assert text_for([occurrence(Event.FAILED, reason="a" * 100)]) == f"Pod shop/web-1 failed ({'a' * 100})"


# several


def test_one_pod() -> None:
    assert text_for([note("nginx")]) == "Pod nginx was created"


def test_a_digest_names_every_pod_in_order() -> None:
    names = [f"web-{number}" for number in range(12)]
    digest = f"12 pods were created: {', '.join(names)}"
    assert text_for([note(name) for name in names]) == digest
    assert text_for([note(name) for name in names], cluster="prod") == digest


def test_a_name_that_was_used_twice_is_told_twice() -> None:
    assert text_for([note("nginx"), note("nginx")]) == "2 pods were created: nginx, nginx"


@pytest.mark.parametrize(
    ("notification", "text"),
    [
        (occurrence(Event.STARTED), "3 pods started in shop: web-1, a, a-2"),
        (occurrence(Event.READY, seconds=75), "3 pods are ready in shop: web-1 (1 min 15 s), a, a-2"),
        (crash(), "3 containers were restarted in shop: web-1 (app, exit code 1, Error), a, a-2"),
        (crash(container=""), "3 containers were restarted in shop: web-1 (exit code 1, Error), a, a-2"),
        (
            occurrence(Event.CRASH_LOOPING, container="app", exit_code=1),
            "3 containers keep crashing in shop: web-1 (app, exit code 1), a, a-2",
        ),
        (occurrence(Event.OOM_KILLED, container="app"), "3 containers ran out of memory in shop: web-1 (app), a, a-2"),
        (
            occurrence(Event.IMAGE_PULL_FAILED, container="app", reason="ErrImagePull"),
            "3 images cannot be pulled in shop: web-1 (app, ErrImagePull), a, a-2",
        ),
        (
            occurrence(Event.START_FAILED, reason="RunContainerError"),
            "3 pods cannot start in shop: web-1 (RunContainerError), a, a-2",
        ),
        (occurrence(Event.UNSCHEDULABLE), "3 pods cannot be scheduled in shop: web-1, a, a-2"),
        (occurrence(Event.FAILED, reason="Evicted"), "3 pods failed in shop: web-1 (Evicted), a, a-2"),
        (occurrence(Event.SUCCEEDED), "3 pods succeeded in shop: web-1, a, a-2"),
        (occurrence(Event.DELETED), "3 pods were deleted in shop: web-1, a, a-2"),
        (occurrence(Event.RECOVERED), "3 pods recovered in shop: web-1, a, a-2"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.event,
)
def test_several_of_one_event(notification: Notification, text: str) -> None:
    group = [notification, occurrence(notification.event, "a"), occurrence(notification.event, "a-2")]
    assert text_for(group) == text
    assert text_for(group, cluster="prod") == f"[prod] {text}"


def test_the_same_again_is_counted() -> None:
    group = [crash(restarts=number) for number in range(1, 5)] + [crash("web-2")]
    said = "5 containers were restarted in shop: web-1 (app, exit code 1, Error) ×4, web-2 (app, exit code 1, Error)"  # noqa: RUF001
    assert text_for(group) == said


def test_every_event_has_its_line_in_the_order_they_came() -> None:
    group = [note("a"), crash("a"), note("b"), occurrence(Event.DELETED, "a")]
    assert text_for(group).splitlines() == [
        "2 pods were created: a, b",
        "Pod shop/a: container app crashed (exit code 1, Error), restarted 3 times",
        "Pod shop/a was deleted",
    ]


def test_what_was_dropped_is_told_below() -> None:
    assert text_for([note("a")], dropped=3) == "Pod a was created\n3 more were dropped: too many were waiting"
    assert text_for([note("a"), note("b")], dropped=1).splitlines()[0] == "2 pods were created: a, b"


def test_a_quiet_time_is_told_in_a_summary() -> None:
    quiet = [occurrence(Event.CREATED, name, quiet=True) for name in "ab"] + [occurrence(Event.READY, "a", quiet=True)]
    summary = [QUIET, "2 pods were created: a, b", "Pod shop/a is ready"]
    assert text_for(quiet).splitlines() == summary
    assert text_for(quiet[:1]) == f"{QUIET}\nPod a was created"


# how many fit


@pytest.mark.parametrize("count", [1, 2, 100])
def test_a_few_always_fit(count: int) -> None:
    assert how_many_fit([note("nginx")] * count) == count


def test_one_fits_however_long_its_name() -> None:
    assert how_many_fit([note("a" * 5000), note("b")]) == 1


@pytest.mark.parametrize("length", [1, 2, 5, 30, 40, 63, 253])
def test_what_fits_keeps_the_limits_and_wastes_little_of_them(length: int) -> None:
    notes = [note("a" * length) for _ in range(300)]
    count = how_many_fit(notes)
    assert 1 < count <= MAX_PODS
    text = text_for(notes[:count])
    assert len(text) <= MAX_TEXT
    assert count == MAX_PODS or len(text) > MAX_TEXT - 2 * (length + 2) - 80


def test_a_smaller_limit_is_kept_too() -> None:
    notes = [note("nginx") for _ in range(100)]
    assert len(text_for(notes[: how_many_fit(notes, 200)])) <= 200


def test_nothing_fits_where_there_is_nothing() -> None:
    assert how_many_fit([]) == 0


OCCURRENCES = st.builds(
    occurrence,
    st.sampled_from([*Event, TEST]),
    st.integers(1, 253).map(lambda length: "p" * length),
    quiet=st.booleans(),
    container=st.integers(0, 63).map(lambda length: "c" * length),
    reason=st.integers(0, 120).map(lambda length: "r" * length),
    exit_code=st.none() | st.integers(0, 255),
    restarts=st.integers(0, 2**31),
    seconds=st.none() | st.integers(0, 2**31),
)


@given(batch=st.lists(OCCURRENCES, min_size=1, max_size=120), limit=st.integers(700, MAX_TEXT), same=st.booleans())
def test_what_fits_fits_whatever_it_is(batch: list[Notification], limit: int, *, same: bool) -> None:
    batch = batch[:1] * len(batch) if same else [item for item in batch if item.quiet == batch[0].quiet]
    count = how_many_fit(batch, limit)
    assert 1 <= count <= min(len(batch), MAX_PODS)
    text = text_for(batch[:count], dropped=10**9, cluster="c" * MAX_CLUSTER, tracker=TRACKER)
    assert count == 1 or len(text) <= limit
    assert all(notification.pod in text for notification in batch[:count] if notification.event != TEST)


# whose text


def composer(message: str | None = None, *, cluster: str = "", known: bool = True) -> Composer:
    spec = PodTrackerSpec(
        reporter=Reporter(kind="slack"), message=message, workload_ref=WorkloadRef(kind="Deployment", name="web")
    )
    tracker = Tracker(
        uid=TRACKER.uid, namespace=TRACKER.namespace, name=TRACKER.name, generation=1, created=1, spec=spec
    )
    return Composer(cluster=cluster, tracker=lambda uid: tracker if known and uid == TRACKER.uid else None)


def composed(maker: Composer, *batch: Notification, dropped: int = 0) -> str:
    return maker.compose(batch, dropped=dropped, escape=escape, tracker=TRACKER).text


def test_a_message_carries_what_it_tells() -> None:
    message = composer(cluster="prod").compose([crash(), note("a")], dropped=0, escape=escape, tracker=TRACKER)
    assert message.notifications == (crash(), note("a"))
    assert message.tracker is TRACKER
    assert message.cluster == "prod"
    assert message.ids == ("Restarted-web-1", "Created-a")


def test_a_tracker_without_a_text_has_the_default_one() -> None:
    default = "Pod shop/web-1: container app crashed (exit code 1, &lt;Error&gt;), restarted 3 times"
    for maker in (composer(), composer(""), composer("{{ mine }}"), composer("mine", known=False)):
        assert composed(maker, crash(reason="<Error>")) == default


def test_a_single_occurrence_has_the_trackers_own_text() -> None:
    maker = composer("<!here> {{ pod.name }} of {{ workload.kind }} in {{ cluster }}: {{ event.text }}", cluster="c<")
    assert composed(maker, crash("w<")) == (
        "<!here> w&lt; of Deployment in c&lt;: [c&lt;] Pod shop/w&lt;: container app crashed (exit code 1, Error),"
        " restarted 3 times"
    )


def test_digests_summaries_and_tests_have_the_default_text() -> None:
    maker = composer("mine")
    assert composed(maker, note("a"), note("b")) == "2 pods were created: a, b"
    assert composed(maker, occurrence(Event.CREATED, "a", quiet=True)) == f"{QUIET}\nPod a was created"
    assert composed(maker, occurrence(TEST, "", reason="a")) == (
        "Test message of PodTracker shop/web-crashes: this receiver works"
    )


def test_what_was_dropped_is_told_below_any_text() -> None:
    long = composed(composer("a" * 1000 + "{{ event.text }}" * 30), crash(pod="b" * 253), dropped=7)
    assert long.endswith("…\n7 more were dropped: too many were waiting")
    assert len(long) == MAX_TEXT
    assert composed(composer("mine"), crash(), dropped=7) == "mine\n7 more were dropped: too many were waiting"


def test_a_clusters_name_is_cut() -> None:
    assert (
        composed(composer(cluster="c" * 100), occurrence(Event.STARTED))
        == f"[{'c' * MAX_CLUSTER}] Pod shop/web-1 started"
    )
