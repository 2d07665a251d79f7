# SPDX-License-Identifier: Apache-2.0
"""The reflector against an API server that plays scripts: what it lists and watches, when, and what it tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

import pytest

from podtracker.errors import KubeError
from podtracker.metrics import Metrics
from podtracker.pods import Pod
from podtracker.reflector import BACKOFF_MAX, PAGE, TRIES_BEFORE_RELIST, TURN, Reflector
from unit.podtracker.builders import bookmark_line, error_line, page, pod_body, watch_line
from unit.podtracker.fakes import DOWN, FakeSink, FakeWatch, Silence
from unit.podtracker.virtual import clock, in_virtual_time, passing, quiet

SILENCE = 90.0
GONE = KubeError(410, "Expired", "too old resource version")
END = Silence(300.0)
"""A watch that lasts until the API server ends it."""


def added(name: str, version: int) -> bytes:
    return watch_line("ADDED", pod_body(name, version=version))


def deleted(name: str, version: int) -> bytes:
    return watch_line("DELETED", pod_body(name, version=version))


class Scene:
    """A reflector, its API server, and who is told."""

    def __init__(self, *, namespace: str | None = None, resume: str = "") -> None:
        self.api = FakeWatch()
        self.sink = FakeSink()
        self.metrics = Metrics()
        self.reflector = Reflector(
            self.api, namespace, self.sink, metrics=self.metrics, clock=clock, resume=resume, silence=SILENCE
        )

    def ended(self, cause: str) -> float:
        return self.metrics.registry.get_sample_value("pod_tracker_watch_ends_total", {"cause": cause}) or 0.0

    def listed(self, cause: str) -> float:
        return self.metrics.registry.get_sample_value("pod_tracker_pod_lists_total", {"cause": cause}) or 0.0


@asynccontextmanager
async def scene(*, namespace: str | None = None, resume: str = "") -> AsyncIterator[Scene]:
    """A scene whose reflector starts with the first wait of the test."""
    made = Scene(namespace=namespace, resume=resume)
    running = asyncio.create_task(made.reflector.run())
    try:
        yield made
        assert not running.done()
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        assert made.api.open == 0


# listing


@in_virtual_time
async def test_a_list_then_a_watch_from_where_the_list_stood() -> None:
    async with scene() as s:
        s.api.answers.append(page([pod_body("a"), pod_body("b")], version=50))
        s.api.scripts.append((added("c", 51), deleted("a", 52), Silence(1e9)))
        await quiet()
        assert s.sink.told == ["list", "page a,b", "end", "+c", "-a"]
        assert s.api.watched == ["50"]
        assert s.reflector.position == "52"
        assert s.reflector.events == 2
        assert s.reflector.synced.is_set()
        assert s.listed("start") == 1


@in_virtual_time
async def test_pages_are_followed_to_their_end() -> None:
    async with scene(namespace="team") as s:
        s.api.answers.extend(
            [
                page([pod_body("a")], version=50, token="one"),
                page([pod_body("b")], version=50, token="two"),
                page([pod_body("c")], version=50),
            ]
        )
        await quiet()
        assert s.sink.told == ["list", "page a", "page b", "page c", "end"]
        assert [asked["continue"] for asked in s.api.asked] == ["", "one", "two"]
        assert {(asked["namespace"], asked["limit"], asked["fields"]) for asked in s.api.asked} == {("team", PAGE, "")}
        assert s.api.watched == ["50"]


@in_virtual_time
async def test_it_is_not_synced_before_the_list_is_complete() -> None:
    async with scene() as s:
        s.api.gate = asyncio.Event()
        s.api.answers.extend([page([pod_body("a")], token="one"), DOWN])
        await passing(60.0)
        assert not s.reflector.synced.is_set()
        assert s.reflector.position == ""
        s.api.gate.set()
        await passing(60.0)
        assert s.reflector.synced.is_set()


@in_virtual_time
async def test_where_the_position_is_known_no_list_is_made() -> None:
    async with scene(resume="41") as s:
        s.api.scripts.append((added("a", 42), Silence(1e9)))
        await quiet()
        assert s.api.asked == []
        assert s.api.watched == ["41"]
        assert s.sink.told == ["+a"]
        assert s.reflector.synced.is_set()
        assert s.reflector.position == "42"


@in_virtual_time
async def test_where_the_known_position_is_too_old_a_list_closes_the_gap() -> None:
    async with scene(resume="41") as s:
        s.api.scripts.append(GONE)
        s.api.answers.append(page([pod_body("a")], version=90))
        await passing(5.0)
        assert s.api.watched == ["41", "90"]
        assert s.sink.told == ["list after a gap", "page a", "end"]
        assert s.listed("gone") == 1


@pytest.mark.parametrize("trouble", [DOWN, KubeError(500, "InternalError", "x"), b"<html>", b'{"items":[]}'], ids=repr)
@in_virtual_time
async def test_a_list_that_failed_begins_again(trouble: KubeError | bytes) -> None:
    async with scene() as s:
        s.api.answers.extend(
            [page([pod_body("a")], token="one"), trouble, page([pod_body("a"), pod_body("b")], version=60)]
        )
        await passing(5.0)
        assert s.sink.told == ["list", "page a", "list", "page a,b", "end"]
        assert s.api.watched == ["60"]


@in_virtual_time
async def test_a_list_whose_next_page_is_too_old_begins_again_from_its_first() -> None:
    async with scene() as s:
        s.api.answers.extend([page([pod_body("a")], token="one"), GONE, page([pod_body("a")], version=60)])
        await passing(5.0)
        assert [asked["continue"] for asked in s.api.asked] == ["", "one", ""]
        assert s.api.watched == ["60"]


@in_virtual_time
async def test_waits_between_lists_grow_to_a_ceiling_and_are_spread() -> None:
    async with scene() as s:
        s.api.answers.extend([DOWN] * 12)
        await passing(300.0)
        times = [asked["at"] for asked in s.api.asked]
        waits = [later - earlier for earlier, later in pairwise(times)]
        for number, wait in enumerate(waits):
            doubled = min(BACKOFF_MAX, 2.0**number)
            assert doubled / 2 <= wait <= doubled + 0.01
        assert len({round(wait, 3) for wait in waits[-4:]}) == 4


@in_virtual_time
async def test_the_api_servers_retry_after_is_obeyed() -> None:
    async with scene() as s:
        s.api.answers.append(KubeError(429, "TooManyRequests", "x", retry_after=25.0))
        await passing(60.0)
        first, second = (asked["at"] for asked in s.api.asked)
        assert second - first == pytest.approx(25.0, abs=0.01)


# watching


@in_virtual_time
async def test_a_watch_that_ends_in_time_goes_on_at_once_where_it_was() -> None:
    async with scene() as s:
        s.api.answers.append(page(version=50))
        s.api.scripts.extend([(added("a", 51), Silence(80.0), bookmark_line(60), Silence(80.0)), (added("b", 61), END)])
        await passing(165.0)
        assert s.api.watched == ["50", "60"]
        assert s.sink.told == ["list", "page ", "end", "+a", "+b"]
        assert s.ended("timeout") == 1
        assert len(s.api.asked) == 1


@in_virtual_time
async def test_a_bookmark_moves_the_position_and_tells_nobody() -> None:
    async with scene() as s:
        s.api.answers.append(page(version=50))
        s.api.scripts.append((bookmark_line(77), Silence(1e9)))
        await quiet()
        assert s.reflector.position == "77"
        assert s.reflector.events == 0
        assert s.sink.told == ["list", "page ", "end"]


@in_virtual_time
async def test_modified_is_told_as_such() -> None:
    async with scene(resume="1") as s:
        s.api.scripts.append((watch_line("MODIFIED", pod_body("a", version=2)), Silence(1e9)))
        await quiet()
        assert s.sink.told == ["~a"]
        assert s.sink.prepared == 1


@pytest.mark.parametrize("size", [1, 7, 100, 1000, 100_000])
@in_virtual_time
async def test_lines_are_read_however_their_bytes_arrive(size: int) -> None:
    stream = (
        added("a", 51) + b"\n" + bookmark_line(52) + deleted("ü-is-no-name-but-bytes-all-the-same", 53) + added("b", 54)
    )
    async with scene(resume="50") as s:
        s.api.scripts.append((*(stream[at : at + size] for at in range(0, len(stream), size)), Silence(1e9)))
        await quiet()
        assert s.sink.told == ["+a", "-ü-is-no-name-but-bytes-all-the-same", "+b"]
        assert s.reflector.position == "54"


@in_virtual_time
async def test_half_a_line_at_the_end_is_told_by_the_next_watch() -> None:
    async with scene(resume="50") as s:
        s.api.scripts.extend([(added("a", 51), added("b", 52)[:-20]), (added("b", 52), Silence(1e9))])
        await passing(5.0)
        assert s.api.watched == ["50", "51"]
        assert s.sink.told == ["+a", "+b"]


@in_virtual_time
async def test_a_cut_connection_resumes_where_it_was() -> None:
    async with scene(resume="50") as s:
        s.api.scripts.extend([(added("a", 51), Silence(10.0), DOWN), (added("b", 52), Silence(1e9))])
        await passing(15.0)
        assert s.api.watched == ["50", "51"]
        assert s.sink.told == ["+a", "+b"]
        assert s.ended("cut") == 1
        assert s.api.asked == []


@in_virtual_time
async def test_a_watch_that_ends_at_once_does_not_become_a_loop() -> None:
    async with scene(resume="50") as s:
        s.api.scripts.extend([()] * 1000)
        await passing(100.0)
        assert len(s.api.watched) < 25
        assert s.api.asked == []


@in_virtual_time
async def test_an_api_server_that_refuses_connections_is_not_hammered_and_not_listed() -> None:
    async with scene(resume="50") as s:
        s.api.scripts.extend([DOWN] * 1000)
        await passing(100.0)
        assert 8 <= len(s.api.watched) < 25
        assert s.api.asked == []
        assert set(s.api.watched) == {"50"}


@in_virtual_time
async def test_events_end_the_backoff() -> None:
    async with scene(resume="50") as s:
        s.api.scripts.extend([DOWN] * 8)
        s.api.scripts.extend([(added("a", 51), Silence(10.0), DOWN), (Silence(1e9),)])
        await passing(120.0)
        assert len(s.api.watched) == 10
        assert s.api.watched_at[9] - (s.api.watched_at[8] + 10.0) <= 1.01


@pytest.mark.parametrize("how", ["in the stream", "as the answer"])
@in_virtual_time
async def test_410_lists_again_and_goes_on_from_there(how: str) -> None:
    async with scene() as s:
        s.api.answers.extend([page([pod_body("a")], version=50), page([pod_body("b")], version=90)])
        s.api.scripts.append(GONE if how == "as the answer" else (added("x", 51), Silence(5.0), error_line(410)))
        s.api.scripts.append((added("c", 91), Silence(1e9)))
        await passing(30.0)
        assert s.sink.told[-4:] == ["list after a gap", "page b", "end", "+c"]
        assert s.api.watched == ["50", "90"]
        assert s.listed("gone") == 1
        assert s.ended("gone") == 1


@in_virtual_time
async def test_410_again_and_again_is_not_a_loop() -> None:
    async with scene() as s:
        s.api.scripts.extend([GONE] * 1000)
        await passing(100.0)
        assert len(s.api.asked) <= 200


TROUBLES = {
    "error in the stream": (error_line(500, "InternalError"),),
    "error as the answer": KubeError(503, "ServiceUnavailable", "x"),
    "forbidden": KubeError(403, "Forbidden", "x"),
    "garbage": (b"<html>\n",),
    "half a pod": (b'{"type":"ADDED","object":{"metadata":{"name":"a"}}}\n',),
    "two lines merged": (added("a", 51).strip() + added("b", 52),),
    "an unknown bookmark": (b'{"type":"BOOKMARK","object":{}}\n',),
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES.keys())
@in_virtual_time
async def test_other_errors_are_tried_at_the_same_place_a_few_times_before_a_list(
    trouble: KubeError | tuple[bytes, ...],
) -> None:
    async with scene(resume="50") as s:
        s.api.scripts.extend([trouble] * TRIES_BEFORE_RELIST)
        s.api.answers.append(page(version=90))
        await passing(60.0)
        assert s.api.watched == ["50"] * TRIES_BEFORE_RELIST + ["90"]
        assert s.listed("error") == 1
        assert s.ended("error") == TRIES_BEFORE_RELIST


@in_virtual_time
async def test_an_error_that_passes_costs_no_list() -> None:
    async with scene(resume="50") as s:
        s.api.scripts.append((error_line(500),))
        s.api.scripts.append((added("a", 51), Silence(20.0), error_line(500)))
        s.api.scripts.append((added("b", 52), Silence(20.0), error_line(500)))
        await passing(100.0)
        assert s.api.asked == []
        assert s.sink.told == ["+a", "+b"]


@in_virtual_time
async def test_a_silent_watch_is_dead_and_resumes() -> None:
    async with scene(resume="50") as s:
        s.api.scripts.extend([(added("a", 51), Silence(1e9)), (added("b", 52), Silence(1e9))])
        await passing(SILENCE - 1)
        assert s.api.watched == ["50"]
        await passing(5.0)
        assert s.api.watched == ["50", "51"]
        assert s.ended("silence") == 1
        assert s.sink.told == ["+a", "+b"]


@in_virtual_time
async def test_a_watch_that_the_api_server_forgets_to_end_is_ended() -> None:
    async with scene(resume="50") as s:
        s.api.scripts.append(tuple(step for n in range(100) for step in (bookmark_line(51 + n), Silence(60.0))))
        await passing(400.0)
        assert len(s.api.watched) == 2
        assert s.api.asked == []


# waiting and health


@in_virtual_time
async def test_nothing_overtakes_a_pod_of_which_it_is_not_known_whom_it_concerns() -> None:
    async with scene(resume="50") as s:
        s.sink.gate = asyncio.Event()
        s.api.scripts.append((added("a", 51), added("b", 52), Silence(1e9)))
        await passing(30.0)
        assert s.sink.told == []
        s.sink.gate.set()
        await quiet()
        assert s.sink.told == ["+a", "+b"]


@in_virtual_time
async def test_others_have_their_turn_while_there_is_always_more_to_read() -> None:
    async with scene(resume="1") as s:
        s.api.scripts.append((*(added(f"p-{number}", number) for number in range(2, 2 + 4 * TURN)), Silence(1e9)))
        turns = set()
        while s.reflector.events < 4 * TURN:
            await asyncio.sleep(0)
            turns.add(s.reflector.events)
        assert len(turns) >= 4


@in_virtual_time
async def test_no_page_is_asked_for_before_the_last_is_told() -> None:
    async with scene() as s:
        s.sink.gate = asyncio.Event()
        s.api.answers.extend([page([pod_body("a")], token="one"), page([pod_body("b")])])
        await passing(30.0)
        assert len(s.api.asked) == 1
        s.sink.gate.set()
        await quiet()
        assert s.sink.told == ["list", "page a", "page b", "end"]


@in_virtual_time
async def test_waiting_for_long_makes_the_watch_neither_deaf_nor_lossy() -> None:
    # Owners cannot be read for an hour: that must not look like a watch that hears nothing.
    async with scene(resume="50") as s:
        s.sink.gate = asyncio.Event()
        s.api.scripts.extend([(added("a", 51), added("b", 52), Silence(1e9))] * 20)
        for _ in range(100):
            await passing(36.0)
            # Each watch ends by its time and is made anew after a pause.
            assert s.reflector.silent_for() <= BACKOFF_MAX
        s.sink.gate.set()
        await passing(30.0)
        assert s.sink.told == ["+a", "+b"]
        assert s.api.asked == []


@in_virtual_time
async def test_silence_is_measured_from_the_last_byte() -> None:
    async with scene(resume="50") as s:
        s.api.scripts.append((bookmark_line(51), Silence(40.0), bookmark_line(52), Silence(1e9)))
        await passing(30.0)
        assert s.reflector.silent_for() == pytest.approx(30.0, abs=0.01)
        await passing(30.0)
        assert s.reflector.silent_for() == pytest.approx(20.0, abs=0.01)


@in_virtual_time
async def test_a_page_breaks_the_silence() -> None:
    async with scene() as s:
        s.api.gate = asyncio.Event()
        await passing(50.0)
        s.api.gate.set()
        await quiet()
        assert s.reflector.silent_for() < 1.0


@in_virtual_time
async def test_the_end_of_a_bug_in_the_sink_is_not_swallowed() -> None:
    made = Scene(resume="50")

    class Broken(FakeSink):
        def changed(self, pod: Pod, *, appeared: bool) -> None:
            raise RuntimeError(f"a bug: {pod!r:.0} {appeared}")

    reflector = Reflector(made.api, None, Broken(), metrics=made.metrics, clock=clock, resume="50")
    made.api.scripts.append((added("a", 51),))
    with pytest.raises(RuntimeError, match="a bug"):
        await reflector.run()
