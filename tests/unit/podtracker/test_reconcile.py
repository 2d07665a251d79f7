# SPDX-License-Identifier: Apache-2.0
"""The reconciler between fakes: everything of ours around it is real, the API server and Slack are not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest

from podtracker import api, times
from podtracker.errors import KubeError
from podtracker.reconcile import PAGE
from podtracker.redact import Token
from unit.podtracker.assembly import BLOCKED, HERE, REFRESH, Operator, operator
from unit.podtracker.builders import (
    CHANNEL,
    NOW,
    SECRET,
    by_secret,
    inline,
    page,
    pod,
    pod_body,
    refused,
    retry,
    tracker_body,
)
from unit.podtracker.fakes import DOWN, FORBIDDEN, NOT_FOUND
from unit.podtracker.virtual import clock, in_virtual_time, passing, quiet

# the plain way


@in_virtual_time
async def test_a_new_tracker_is_connected_checked_and_shown() -> None:
    async with operator() as o:
        o.reconciler.changed(tracker_body())
        await passing(1.0)
        assert o.said() == {
            "Ready": ("True", "Active"),
            "ReporterReady": ("True", "TokenAccepted"),
            "CredentialsSecure": ("False", "InlineKey"),
        }
        assert [where.credential.token for where in o.slack.verified] == [Token(SECRET)]
        assert o.slack.attempts == []
        o.create_pod()
        await passing(1.0)
        assert o.slack.texts == ["Pod nginx was created"]
        assert o.slack.attempts[0][1].channel == CHANNEL
        assert o.said()["ReporterReady"] == ("True", "Delivered")


@in_virtual_time
async def test_a_restart_says_of_the_receiver_what_was_known() -> None:
    async with operator() as o:
        o.reconciler.changed(tracker_body())
        o.create_pod()
        await passing(10.0)
        body = tracker_body() | {"status": o.sink.last()}
    async with operator() as restarted:
        restarted.reconciler.adopt([body], resumed=True)
        await passing(10.0)
        assert len(restarted.slack.verified) == 1
        assert [written["conditions"] for _, _, written in restarted.sink.writes] in (
            [],
            [body["status"]["conditions"]],
        )
        edited = tracker_body(generation=2) | {"status": body["status"]}
    async with operator() as later:
        later.reconciler.adopt([edited], resumed=True)
        await passing(10.0)
        assert later.said()["ReporterReady"] == ("True", "TokenAccepted")


@in_virtual_time
async def test_a_tracker_with_a_secret_is_connected_too() -> None:
    async with operator() as o:
        o.reconciler.changed(tracker_body(reporter=by_secret()))
        o.create_pod()
        await passing(1.0)
        assert o.secrets.read == [HERE]
        assert o.slack.texts == ["Pod nginx was created"]
        assert o.said()["CredentialsSecure"] == ("True", "SecretRef")


@in_virtual_time
async def test_creating_editing_reapplying_and_deleting_a_tracker_send_nothing() -> None:
    async with operator() as o:
        o.pods.answers.append(page([pod_body(created=NOW - 60)]))
        o.reconciler.changed(tracker_body())
        await passing(1.0)
        for generation in (1, 2, 2, 3):
            o.reconciler.changed(tracker_body(generation=generation, edited=NOW + generation))
            await passing(1.0)
        o.reconciler.deleted("t1")
        await passing(100.0)
        assert o.slack.attempts == []


# the pods that the watch had passed


@in_virtual_time
async def test_a_new_tracker_lists_its_pods_and_reports_those_that_are_not_older() -> None:
    async with operator() as o:
        o.pods.answers.append(page([pod_body(uid="p1", created=NOW)]))
        o.reconciler.changed(tracker_body())
        await passing(1.0)
        (asked,) = o.pods.asked
        assert (asked["namespace"], asked["limit"], asked["fields"]) == ("team", PAGE, "metadata.name=nginx")
        assert o.slack.texts == ["Pod nginx was created"]
        assert o.sink.last()["podCount"] == 1
        o.create_pod(uid="p1")
        await passing(1.0)
        assert len(o.slack.attempts) == 1


@in_virtual_time
async def test_all_pages_are_listed() -> None:
    async with operator() as o:
        o.pods.answers.extend([page([pod_body(uid="p1")], token="next"), page([pod_body(uid="p2")])])
        o.reconciler.changed(tracker_body())
        await passing(1.0)
        assert [asked["continue"] for asked in o.pods.asked] == ["", "next"]
        assert len(o.slack.attempts) == 2


@in_virtual_time
async def test_matching_does_not_wait_for_the_list() -> None:
    async with operator() as o:
        o.pods.gate = asyncio.Event()
        o.reconciler.changed(tracker_body())
        o.create_pod(uid="p1")
        await quiet()
        assert o.ledger.waiting == 1
        o.pods.answers.append(page([pod_body(uid="p1")]))
        o.pods.gate.set()
        await passing(1.0)
        assert len(o.slack.attempts) == 1


@in_virtual_time
async def test_a_pod_that_came_and_went_before_the_tracker_was_seen_is_reported() -> None:
    async with operator() as o:
        o.create_pod(uid="p1")
        o.engine.remove(pod(uid="p1"), now=NOW)
        o.reconciler.changed(tracker_body())
        await passing(1.0)
        assert o.slack.texts == ["Pod nginx was created"]
        assert o.sink.last()["podCount"] == 0


@pytest.mark.parametrize("resumed", [False, True])
@in_virtual_time
async def test_who_is_there_at_a_first_start_lists_only_where_no_list_of_all_follows(resumed: bool) -> None:
    async with operator() as o:
        assert o.reconciler.adopt([tracker_body(uid="t1"), tracker_body("b", uid="t2")], resumed=resumed) == {
            "t1",
            "t2",
        }
        await passing(1.0)
        # Both want the same list: one is made, for both.
        assert len(o.pods.asked) == (1 if resumed else 0)
        assert o.said("t1")["Ready"] == o.said("t2")["Ready"] == ("True", "Active")


@in_virtual_time
async def test_who_is_remembered_and_missed_nothing_lists_nothing() -> None:
    async with operator() as o:
        o.reconciler.adopt([tracker_body()], resumed=False)
        other = Operator()
        other.ledger.load([o.ledger.snapshot()])
        other.reconciler.adopt([tracker_body()], resumed=True)
        working = asyncio.create_task(other.reconciler.run())
        await passing(1.0)
        assert other.pods.asked == []
        working.cancel()
        await other.dispatcher.close()


@in_virtual_time
async def test_a_tracker_that_comes_after_the_start_lists() -> None:
    async with operator() as o:
        o.reconciler.adopt([tracker_body(uid="t1")], resumed=False)
        o.reconciler.changed(tracker_body("b", uid="t2"))
        await passing(1.0)
        assert len(o.pods.asked) == 1


@in_virtual_time
async def test_an_edited_name_lists_and_an_edited_channel_does_not() -> None:
    async with operator() as o:
        o.reconciler.changed(tracker_body())
        await passing(1.0)
        o.reconciler.changed(tracker_body(generation=2, reporter=inline(channel="C2")))
        await passing(1.0)
        assert len(o.pods.asked) == 1
        o.reconciler.changed(tracker_body(generation=3, pod_name="redis", edited=NOW + 9))
        await passing(1.0)
        assert [asked["fields"] for asked in o.pods.asked] == ["metadata.name=nginx", "metadata.name=redis"]


@in_virtual_time
async def test_a_list_of_all_pods_comes_first_and_then_the_trackers_own() -> None:
    async with operator() as o:
        under_way = o.engine.begin_relist(None)
        o.pods.answers.append(page([pod_body(uid="p1")]))
        o.reconciler.changed(tracker_body())
        await passing(10.0)
        assert o.pods.asked == []
        assert o.said()["Ready"] == ("True", "Active")
        o.engine.end_relist(under_way, now=NOW)
        await passing(10.0)
        assert len(o.pods.asked) == 1
        assert o.slack.texts == ["Pod nginx was created"]


@in_virtual_time
async def test_a_list_that_a_list_of_all_pods_overtook_is_made_again() -> None:
    async with operator() as o:
        o.pods.gate = asyncio.Event()
        o.pods.answers.extend([page([pod_body(uid="p1")]), page([pod_body(uid="p2")])])
        o.reconciler.changed(tracker_body())
        await quiet()
        o.engine.end_relist(o.engine.begin_relist(None), now=NOW)
        o.pods.gate.set()
        await passing(10.0)
        assert len(o.pods.asked) == 2
        assert set(o.ledger.pods_in(None)) == {"p2"}
        await passing(600.0)
        assert len(o.pods.asked) == 2


@pytest.mark.parametrize(
    "trouble",
    [DOWN, KubeError(500, "InternalError", "x"), KubeError(410, "Expired", "x")],
    ids=lambda error: error.reason,
)
@in_virtual_time
async def test_a_list_that_failed_is_made_again(trouble: KubeError) -> None:
    async with operator() as o:
        o.pods.answers.extend([page([pod_body(uid="p1")], token="next"), trouble])
        o.pods.answers.append(page([pod_body(uid="p1"), pod_body(uid="p2")]))
        o.reconciler.changed(tracker_body())
        await passing(10.0)
        assert [asked["continue"] for asked in o.pods.asked] == ["", "next", ""]
        assert len(o.slack.attempts) == 2
        assert o.reconciled("error") == 1


@in_virtual_time
async def test_waits_after_failures_grow_and_end_with_a_success() -> None:
    async with operator() as o:
        o.pods.answers.extend([DOWN] * 9)
        o.reconciler.changed(tracker_body())
        await passing(300.0)
        times = [asked["at"] for asked in o.pods.asked]
        waits = [later - earlier for earlier, later in pairwise(times)]
        assert len(waits) == 9
        for number, wait in enumerate(waits):
            doubled = min(30.0, 2.0**number)
            assert doubled / 2 <= wait <= doubled + 0.1


@in_virtual_time
async def test_the_api_servers_retry_after_is_obeyed() -> None:
    async with operator() as o:
        o.pods.answers.append(KubeError(429, "TooManyRequests", "x", retry_after=17.0))
        o.reconciler.changed(tracker_body())
        await passing(60.0)
        first, second = (asked["at"] for asked in o.pods.asked)
        assert second - first == pytest.approx(17.0, abs=0.1)


# what is there, and what is not any more


@in_virtual_time
async def test_an_older_or_equal_generation_changes_nothing() -> None:
    async with operator() as o:
        o.reconciler.changed(tracker_body(generation=5, pod_name="redis"))
        await passing(1.0)
        for generation in (5, 4, 1):
            o.reconciler.changed(tracker_body(generation=generation, pod_name="nginx"))
        await passing(1.0)
        o.create_pod("nginx")
        o.create_pod("redis")
        await passing(1.0)
        assert o.slack.texts == ["Pod redis was created"]
        assert len(o.slack.verified) == 1


@in_virtual_time
async def test_namespaces_that_are_not_watched_are_passed_over() -> None:
    async with operator(watched=("team",)) as o:
        o.reconciler.changed(tracker_body(namespace="other", uid="t2"))
        o.reconciler.changed(tracker_body())
        await passing(1.0)
        assert o.reconciler.known() == {"t1"}
        assert {uid for _, uid, _ in o.sink.writes} == {"t1"}


@in_virtual_time
async def test_a_tracker_that_is_gone_hears_and_shows_nothing_more() -> None:
    async with operator() as o:
        o.slack.plan.extend([retry()] * 10)
        o.reconciler.changed(tracker_body(reporter=by_secret()))
        await passing(1.0)
        o.create_pod(uid="p1")
        await passing(0.5)
        attempts, writes = len(o.slack.attempts), len(o.sink.writes)
        o.reconciler.deleted("t1")
        o.reconciler.deleted("t1")
        o.create_pod(uid="p2")
        await passing(1000.0)
        assert (len(o.slack.attempts), len(o.sink.writes)) == (attempts, writes)
        assert o.secrets.read == [HERE]
        assert o.ledger.waiting == 0
        assert o.reconciler.known() == frozenset()


@in_virtual_time
async def test_a_tracker_that_is_being_deleted_counts_as_gone() -> None:
    async with operator() as o:
        o.reconciler.changed(tracker_body())
        await passing(1.0)
        o.reconciler.changed(tracker_body(generation=2, deletionTimestamp="2027-01-01T00:00:00Z"))
        assert o.reconciler.known() == frozenset()
        o.reconciler.changed(tracker_body(uid="t9", deletionTimestamp="2027-01-01T00:00:00Z"))
        assert o.reconciler.known() == frozenset()
        o.create_pod()
        await passing(1.0)
        assert o.slack.attempts == []


@in_virtual_time
async def test_a_tracker_whose_status_cannot_be_written_because_it_is_gone_is_dropped() -> None:
    async with operator() as o:
        o.sink.plan.append(NOT_FOUND)
        o.reconciler.changed(tracker_body())
        await passing(1.0)
        assert o.reconciler.known() == frozenset()


@in_virtual_time
async def test_a_tracker_made_again_under_its_name_is_a_new_one() -> None:
    async with operator() as o:
        o.reconciler.changed(tracker_body(uid="t1"))
        await passing(1.0)
        o.reconciler.deleted("t1")
        o.reconciler.changed(tracker_body(uid="t2", created=NOW + 60))
        o.create_pod(created=NOW + 30)
        o.create_pod(created=NOW + 60)
        await passing(1.0)
        assert len(o.slack.attempts) == 1


# invalid specs


def bad(generation: int = 1, **fields: Any) -> dict[str, Any]:
    return tracker_body(generation=generation, pod_name=None, **fields)


@in_virtual_time
async def test_an_invalid_spec_is_shown_and_asks_nobody() -> None:
    async with operator() as o:
        o.reconciler.changed(bad())
        await passing(100.0)
        assert o.sink.last()["status"] == "Invalid"
        assert o.said() == {"Ready": ("False", "InvalidSpec")}
        assert (o.pods.asked, o.secrets.read, o.slack.verified) == ([], [], [])


@in_virtual_time
async def test_a_spec_that_became_invalid_pauses_and_a_mended_one_goes_on() -> None:
    async with operator() as o:
        o.reconciler.changed(tracker_body())
        await passing(1.0)
        o.create_pod(uid="p1")
        await passing(1.0)
        o.reconciler.changed(bad(2))
        o.create_pod(uid="p2", created=NOW + 5)
        await passing(1.0)
        assert o.sink.last()["status"] == "Invalid"
        assert len(o.slack.attempts) == 1
        o.pods.answers.append(page([pod_body(uid="p1"), pod_body(uid="p2", created=NOW + 5)]))
        o.reconciler.changed(tracker_body(generation=3))
        await passing(10.0)
        assert len(o.slack.attempts) == 2
        assert o.sink.last()["status"] == "Active"


@in_virtual_time
async def test_a_spec_that_becomes_invalid_while_its_pods_are_listed_is_no_bug() -> None:
    async with operator() as o:
        o.pods.gate = asyncio.Event()
        o.reconciler.changed(tracker_body())
        await quiet()
        o.reconciler.changed(bad(2))
        o.pods.gate.set()
        await passing(10.0)
        assert o.reconciled("bug") == 0
        assert o.sink.last()["status"] == "Invalid"


@in_virtual_time
async def test_a_spec_edited_while_its_pods_are_listed_lists_again() -> None:
    async with operator() as o:
        o.pods.gate = asyncio.Event()
        o.reconciler.changed(tracker_body())
        await quiet()
        o.reconciler.changed(tracker_body(generation=2, pod_name="redis", edited=NOW + 1))
        o.pods.answers.extend([page([pod_body("nginx")]), page([pod_body("redis", created=NOW + 1)])])
        o.pods.gate.set()
        await passing(10.0)
        assert o.slack.texts == ["Pod redis was created"]


@in_virtual_time
async def test_a_tracker_deleted_while_its_pods_are_listed_reports_nothing() -> None:
    async with operator() as o:
        o.pods.gate = asyncio.Event()
        o.reconciler.changed(tracker_body())
        await quiet()
        writes = len(o.sink.writes)
        o.reconciler.deleted("t1")
        o.pods.answers.append(page([pod_body()]))
        o.pods.gate.set()
        await passing(1000.0)
        assert o.slack.attempts == []
        assert len(o.sink.writes) == writes
        assert o.dispatcher._queues == {}


@in_virtual_time
async def test_a_list_that_cannot_be_read_does_not_stop_the_others() -> None:
    made = Operator()
    working = asyncio.create_task(made.reconciler.run())
    made.pods.answers.extend([b"<html>", page([pod_body("redis")]), page([pod_body("nginx")])])
    made.reconciler.changed(tracker_body(uid="t1"))
    await quiet()
    made.reconciler.changed(tracker_body("b", uid="t2", pod_name="redis"))
    await passing(60.0)
    assert sorted(made.slack.texts) == ["Pod nginx was created", "Pod redis was created"]
    working.cancel()
    await made.dispatcher.close()


# credentials


@pytest.mark.parametrize(
    ("secret", "reason"),
    [(NOT_FOUND, "SecretNotFound"), (FORBIDDEN, "SecretForbidden"), ({"other": b"x"}, "SecretKeyMissing")],
    ids=["missing", "forbidden", "no key"],
)
@in_virtual_time
async def test_a_secret_that_cannot_be_had_is_shown_at_once_and_asked_for_again(
    secret: Mapping[str, bytes] | KubeError, reason: str
) -> None:
    async with operator() as o:
        o.secrets.secrets[HERE] = secret
        o.reconciler.changed(tracker_body(reporter=by_secret()))
        o.create_pod()
        await passing(1.0)
        assert o.said()["ReporterReady"] == o.said()["Ready"] == ("False", reason)
        assert o.slack.attempts == []
        o.secrets.secrets[HERE] = {"token": SECRET.encode()}
        await passing(REFRESH + 1)
        assert o.said()["ReporterReady"] == ("True", "Delivered")
        assert o.slack.texts == ["Pod nginx was created"]
        assert len(o.secrets.read) == 2


@in_virtual_time
async def test_an_edit_asks_for_a_missing_secret_at_once() -> None:
    async with operator() as o:
        o.secrets.secrets.clear()
        o.reconciler.changed(tracker_body(reporter=by_secret()))
        await passing(5.0)
        o.secrets.secrets[HERE] = {"token": SECRET.encode()}
        o.reconciler.changed(tracker_body(reporter=by_secret(), generation=2))
        await passing(1.0)
        assert o.said()["Ready"] == ("True", "Active")


@in_virtual_time
async def test_a_changed_secret_is_noticed_by_itself() -> None:
    async with operator() as o:
        o.reconciler.changed(tracker_body(reporter=by_secret()))
        await passing(1.0)
        o.secrets.secrets[HERE] = {"token": b"xoxb-new"}
        await passing(REFRESH + 1)
        o.create_pod()
        await passing(1.0)
        assert [where.credential.token for _, where, _ in o.slack.attempts] == [Token("xoxb-new")]
        assert [where.credential.token for where in o.slack.verified] == [Token(SECRET), Token("xoxb-new")]


@in_virtual_time
async def test_a_secret_that_went_away_stops_the_messages_and_keeps_them() -> None:
    async with operator() as o:
        o.reconciler.changed(tracker_body(reporter=by_secret()))
        await passing(1.0)
        o.secrets.secrets.clear()
        await passing(REFRESH + 1)
        o.create_pod()
        await passing(1.0)
        assert o.said()["ReporterReady"] == ("False", "SecretNotFound")
        assert (o.slack.attempts, o.ledger.waiting) == ([], 1)


@in_virtual_time
async def test_an_api_server_that_is_away_changes_no_verdict() -> None:
    async with operator() as o:
        o.reconciler.changed(tracker_body(reporter=by_secret()))
        await passing(1.0)
        o.secrets.secrets[HERE] = DOWN
        await passing(300.0)
        o.create_pod()
        await passing(1.0)
        assert o.said()["ReporterReady"] == ("True", "Delivered")
        assert o.slack.texts == ["Pod nginx was created"]


@in_virtual_time
async def test_a_thousand_trackers_with_one_secret_cost_one_read_and_one_check() -> None:
    async with operator() as o:
        bodies = [tracker_body(f"t-{n}", uid=f"t{n}", pod_name=f"pod-{n}", reporter=by_secret()) for n in range(1000)]
        o.reconciler.adopt(bodies, resumed=False)
        await passing(1.0)
        assert o.secrets.read == [HERE]
        assert len(o.slack.verified) == 1
        await passing(REFRESH)
        assert len(o.secrets.read) <= 3


# the receiver's verdicts


@in_virtual_time
async def test_a_refused_token_sends_nothing_and_is_not_hammered() -> None:
    async with operator() as o:
        o.slack.verdict = refused("InvalidAuth")
        o.reconciler.changed(tracker_body())
        o.create_pod()
        await passing(BLOCKED - 10)
        assert o.said()["ReporterReady"] == ("False", "InvalidAuth")
        assert o.slack.attempts == []
        assert len(o.slack.verified) == 1
        o.slack.verdict = None
        await passing(60.0)
        assert o.slack.texts == ["Pod nginx was created"]


@in_virtual_time
async def test_a_refused_token_in_a_secret_is_replaced_within_the_refresh_time() -> None:
    async with operator() as o:
        o.slack.verdict = refused("InvalidAuth")
        o.reconciler.changed(tracker_body(reporter=by_secret()))
        o.create_pod()
        await passing(1.0)
        o.slack.verdict = None
        o.secrets.secrets[HERE] = {"token": b"xoxb-new"}
        await passing(REFRESH + 1)
        assert o.slack.texts == ["Pod nginx was created"]


@in_virtual_time
async def test_a_receiver_that_cannot_be_asked_is_asked_again_soon() -> None:
    async with operator() as o:
        o.slack.verdict = retry()
        o.reconciler.changed(tracker_body())
        await passing(1.0)
        assert o.said()["ReporterReady"] == ("False", "Unreachable")
        o.slack.verdict = None
        await passing(20.0)
        assert o.said()["ReporterReady"] == ("True", "TokenAccepted")


@in_virtual_time
async def test_a_refused_channel_is_shown_and_not_hammered() -> None:
    async with operator() as o:
        o.slack.plan.extend([refused("NotInChannel")] * 100)
        o.reconciler.changed(tracker_body(reporter=by_secret()))
        o.create_pod()
        await passing(BLOCKED - 10)
        assert len(o.slack.attempts) == 1
        assert o.said()["ReporterReady"] == ("False", "NotInChannel")
        assert o.events.reasons[-1] == "NotInChannel"
        assert len(o.slack.verified) <= 3
        assert len(o.secrets.read) <= BLOCKED / REFRESH + 2
        await passing(60.0)
        assert len(o.slack.attempts) == 2


@in_virtual_time
async def test_a_refused_channel_that_is_edited_is_tried_at_once() -> None:
    async with operator() as o:
        o.slack.plan.append(refused("ChannelNotFound"))
        o.reconciler.changed(tracker_body())
        o.create_pod()
        await passing(10.0)
        assert o.said()["ReporterReady"] == ("False", "ChannelNotFound")
        o.reconciler.changed(tracker_body(generation=2, reporter=inline(channel="C-right")))
        await passing(1.0)
        assert [where.channel for _, where, _ in o.slack.attempts] == [CHANNEL, "C-right"]
        assert o.said()["ReporterReady"] == ("True", "Delivered")


@in_virtual_time
async def test_an_edit_that_keeps_the_channel_tries_a_refusal_again_even_if_the_api_server_stumbles() -> None:
    async with operator() as o:
        o.slack.plan.append(refused("NotInChannel"))
        o.reconciler.changed(tracker_body(reporter=by_secret()))
        o.create_pod()
        await passing(10.0)
        assert len(o.slack.attempts) == 1
        o.secrets.secrets[HERE] = DOWN
        o.reconciler.changed(tracker_body(reporter=by_secret(), generation=2))
        await passing(0.2)
        o.secrets.secrets[HERE] = {"token": SECRET.encode()}
        await passing(30.0)
        assert len(o.slack.attempts) == 2


@in_virtual_time
async def test_a_token_revoked_later_is_seen_at_the_next_message_and_replaced_from_the_secret() -> None:
    async with operator() as o:
        o.reconciler.changed(tracker_body(reporter=by_secret()))
        await passing(1.0)
        o.slack.plan.append(refused("InvalidAuth"))
        o.secrets.secrets[HERE] = {"token": b"xoxb-new"}
        o.create_pod()
        await passing(5.0)
        assert [where.credential.token for _, where, _ in o.slack.attempts] == [Token(SECRET), Token("xoxb-new")]
        assert o.slack.texts == ["Pod nginx was created"]
        assert o.said()["ReporterReady"] == ("True", "Delivered")


@in_virtual_time
async def test_a_token_revoked_later_stops_the_messages_until_it_is_replaced() -> None:
    async with operator() as o:
        o.reconciler.changed(tracker_body(reporter=by_secret()))
        await passing(1.0)
        o.slack.plan.extend([refused("InvalidAuth")] * 100)
        o.slack.verdict = refused("InvalidAuth")
        o.create_pod()
        await passing(BLOCKED / 2)
        assert len(o.slack.attempts) == 1
        assert o.said()["ReporterReady"] == ("False", "InvalidAuth")
        assert o.ledger.waiting == 1


@in_virtual_time
async def test_trouble_at_delivery_is_not_glossed_over_by_a_good_token() -> None:
    async with operator() as o:
        o.slack.plan.extend([retry()] * 1000)
        o.reconciler.changed(tracker_body(reporter=by_secret()))
        o.create_pod()
        await passing(REFRESH * 3 + 10)
        assert o.said()["ReporterReady"] == ("False", "Unreachable")


@in_virtual_time
async def test_a_new_tracker_of_a_failing_destination_does_not_claim_that_it_works() -> None:
    async with operator() as o:
        o.slack.plan.extend([refused("NotInChannel")] * 1000)
        o.reconciler.changed(tracker_body(uid="t1"))
        o.create_pod()
        await passing(5.0)
        o.reconciler.changed(tracker_body("b", uid="t2", pod_name="redis"))
        o.create_pod("redis")
        await passing(5.0)
        assert o.said("t2")["ReporterReady"] == ("False", "NotInChannel")


@in_virtual_time
async def test_an_inline_token_that_works_is_not_asked_about_again() -> None:
    async with operator() as o:
        o.reconciler.changed(tracker_body())
        await passing(100_000.0)
        assert len(o.slack.verified) == 1
        assert len(o.sink.writes) == 1


# tests on the object


def asked(nonce: str, **fields: Any) -> dict[str, Any]:
    return tracker_body(annotations={api.TEST_ANNOTATION: nonce}, **fields)


@in_virtual_time
async def test_the_annotation_sends_one_test_and_the_same_nonce_no_other() -> None:
    async with operator() as o:
        o.reconciler.changed(tracker_body())
        await passing(1.0)
        o.reconciler.changed(asked("one"))
        await passing(1.0)
        assert len(o.slack.texts) == 1
        assert "Test message" in o.slack.texts[0]
        assert o.said()["ReporterVerified"] == ("True", "TestDelivered")
        assert o.sink.last()["lastTest"]["nonce"] == "one"
        o.reconciler.changed(asked("one"))
        o.reconciler.changed(asked("one", generation=2))
        await passing(10.0)
        assert len(o.slack.texts) == 1
        o.reconciler.changed(asked("two", generation=2))
        await passing(1.0)
        assert len(o.slack.texts) == 2


@in_virtual_time
async def test_a_test_that_was_told_is_not_sent_after_a_restart() -> None:
    async with operator() as o:
        o.reconciler.changed(asked("one"))
        await passing(10.0)
        body = asked("one") | {"status": o.sink.last()}
        kept = o.ledger.snapshot()
    async with operator() as restarted:
        restarted.ledger.load([kept])
        restarted.reconciler.adopt([body], resumed=True)
        await passing(10.0)
        assert restarted.slack.texts == []


@in_virtual_time
async def test_a_test_whose_outcome_was_never_written_is_told_as_such() -> None:
    async with operator() as o:
        o.reconciler.changed(asked("one"))
        await passing(10.0)
        kept = o.ledger.snapshot()
    async with operator() as restarted:
        restarted.ledger.load([kept])
        restarted.reconciler.adopt([asked("one")], resumed=True)
        await passing(10.0)
        assert restarted.slack.texts == []
        assert restarted.said()["ReporterVerified"] == ("False", "Interrupted")
        assert restarted.sink.last()["lastTest"]["nonce"] == "one"


@in_virtual_time
async def test_a_test_without_a_secret_says_why() -> None:
    async with operator() as o:
        o.secrets.secrets.clear()
        o.reconciler.changed(asked("one", reporter=by_secret()))
        await passing(1.0)
        assert o.said()["ReporterVerified"] == ("False", "SecretNotFound")
        assert o.ledger.waiting == 0


@in_virtual_time
async def test_a_test_of_a_refused_token_says_why() -> None:
    async with operator() as o:
        o.slack.verdict = refused("InvalidAuth")
        o.reconciler.changed(asked("one"))
        await passing(1.0)
        assert o.said()["ReporterVerified"] == ("False", "InvalidAuth")


# quiet times, texts, groups


@in_virtual_time
async def test_a_suspended_tracker_says_so_and_tells_all_in_one_afterwards() -> None:
    async with operator() as o:
        o.reconciler.changed(tracker_body(spec={"suspend": True}))
        o.create_pod("nginx", uid="p1")
        o.create_pod("nginx", uid="p2")
        await passing(10.0)
        assert o.slack.texts == []
        status = o.sink.last()
        assert (status["status"], status["suppressed"], status["pending"]) == ("Suspended", 2, 2)
        o.reconciler.changed(tracker_body(generation=2))
        await passing(10.0)
        assert len(o.slack.texts) == 1
        assert o.sink.last()["status"] == "Active"
        assert o.sink.last()["delivered"] == 2


@in_virtual_time
async def test_a_mute_ends_by_itself_with_a_summary() -> None:
    async with operator() as o:
        o.reconciler.changed(tracker_body(spec={"muteUntil": times.rfc3339(NOW + clock() + 60)}))
        o.create_pod(uid="p1")
        await passing(58.0)
        assert o.slack.texts == []
        assert o.sink.last()["status"] == "Suspended"
        await passing(4.0)
        assert len(o.slack.texts) == 1
        await passing(1.0)
        assert o.sink.last()["status"] == "Active"


@in_virtual_time
async def test_a_bad_message_is_a_condition_that_goes_with_it() -> None:
    async with operator() as o:
        o.reconciler.changed(tracker_body(spec={"message": "{{ bad"}))
        await passing(1.0)
        assert o.said()["MessageValid"] == ("False", "InvalidTemplate")
        assert o.said()["Ready"] == ("True", "Active")
        o.reconciler.changed(tracker_body(generation=2, spec={"message": "good"}))
        await passing(1.0)
        assert o.said()["MessageValid"] == ("True", "Valid")
        o.reconciler.changed(tracker_body(generation=3))
        await passing(1.0)
        assert "MessageValid" not in o.said()


@in_virtual_time
async def test_digests_are_gathered_where_the_tracker_asks_for_them() -> None:
    async with operator() as o:
        o.reconciler.changed(tracker_body(spec={"grouping": "Digest"}))
        await passing(1.0)
        o.create_pod(uid="p1")
        await passing(30.0)
        o.create_pod(uid="p2")
        assert o.slack.texts == []
        await passing(31.0)
        assert o.slack.texts == ["2 pods were created: nginx, nginx"]


@in_virtual_time
async def test_selectors_and_workloads_list_what_they_mean() -> None:
    async with operator() as o:
        o.reconciler.changed(tracker_body(uid="t1", spec={"selector": {"matchLabels": {"app": "web"}}}))
        o.reconciler.changed(tracker_body(uid="t2", spec={"workloadRef": {"kind": "Job", "name": "night"}}))
        await passing(1.0)
        assert sorted((asked["fields"], asked["labels"]) for asked in o.pods.asked) == [("", ""), ("", "app=web")]


@in_virtual_time
async def test_a_selector_that_only_loses_a_label_begins_anew_now() -> None:
    """The API server notes no time for what is taken away: managedFields are as they were."""
    async with operator() as o:
        began = int(Operator._wall())
        both = {"app": "web", "tier": "front"}
        o.reconciler.changed(tracker_body(created=began, spec={"selector": {"matchLabels": both}}))
        await passing(10.0)
        old = pod_body("old", uid="old", created=began + 5)
        old["metadata"]["labels"] = {"app": "web"}
        o.pods.answers.append(page([old]))
        o.reconciler.changed(
            tracker_body(created=began, generation=2, spec={"selector": {"matchLabels": {"app": "web"}}})
        )
        await passing(5.0)
        o.create_pod("new", uid="new", created=began + 12, labels={"app": "web"})
        await passing(5.0)
        assert o.slack.texts == ["Pod new was created"]
        assert o.ledger.pod_count("t1") == 2
