# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from podtracker.messages import MAX_PODS, MAX_TEXT, how_many_fit, text_for
from unit.podtracker.builders import note


def test_one_pod() -> None:
    assert text_for([note("nginx")]) == "Pod nginx was created"


def test_a_digest_names_every_pod_in_order() -> None:
    names = [f"web-{number}" for number in range(12)]
    assert text_for([note(name) for name in names]) == f"12 pods were created: {', '.join(names)}"


def test_a_name_that_was_used_twice_is_told_twice() -> None:
    assert text_for([note("nginx", uid="1"), note("nginx", uid="2")]) == "2 pods were created: nginx, nginx"


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


def test_what_was_dropped_is_told_below() -> None:
    assert text_for([note("a")], dropped=3) == "Pod a was created\n3 more were dropped: too many were waiting"
    assert text_for([note("a"), note("b")], dropped=1).splitlines()[0] == "2 pods were created: a, b"


def test_a_smaller_limit_is_kept_too() -> None:
    notes = [note("nginx") for _ in range(100)]
    assert len(text_for(notes[: how_many_fit(notes, 200)])) <= 200


def test_nothing_fits_where_there_is_nothing() -> None:
    assert how_many_fit([]) == 0
