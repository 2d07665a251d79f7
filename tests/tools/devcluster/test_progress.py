# SPDX-License-Identifier: Apache-2.0
"""Progress with elapsed time, now and then."""

from __future__ import annotations

from devcluster.progress import Narrator


def test_lines_have_the_elapsed_time_and_come_every_heartbeat(said: list[str]) -> None:
    now = [1000.0]
    narrator = Narrator(said.append, now=lambda: now[0])
    for second in (0, 5, 14.9, 15, 29, 30.5, 125):
        now[0] = 1000 + second
        narrator.say_again("building")
    assert said == ["[15s] building", "[30s] building", "[2m05s] building"]


def test_a_new_line_postpones_the_next_heartbeat(said: list[str]) -> None:
    now = [0.0]
    narrator = Narrator(said.append, now=lambda: now[0])
    now[0] = 14
    narrator.say("one")
    now[0] = 16
    narrator.say_again("two")
    assert said == ["[14s] one"]
