# SPDX-License-Identifier: Apache-2.0
"""What people see while they wait, and what they never see."""

from __future__ import annotations

import asyncio
import io
import itertools

import pytest

from demo.console import Console
from support.waiting import eventually


def test_lines_carry_the_time_since_the_start() -> None:
    out, clock = io.StringIO(), itertools.count(100.0, 1.5)
    console = Console(out, clock=lambda: next(clock))
    console.say("one")
    console.say("two")
    assert out.getvalue() == "[  1.5 s] one\n[  3.0 s] two\n"


def test_blocks_stand_apart() -> None:
    out = io.StringIO()
    Console(out).show("NAME   POD\npod-tracker   nginx\n")
    assert out.getvalue() == "\n    NAME   POD\n    pod-tracker   nginx\n\n"


def test_the_secret_never_shows() -> None:
    out = io.StringIO()
    console = Console(out, secret="xoxb-secret")
    console.say("Slack refused xoxb-secret")
    console.show("key: xoxb-secret")
    assert "secret" not in out.getvalue()
    assert "xoxb-(hidden)" in out.getvalue()


async def test_long_work_is_mentioned_again_and_again() -> None:
    out = io.StringIO()
    console = Console(out, patience=0.01)
    async with console.patience("Starting"):
        await eventually(lambda: out.getvalue().count("still: Starting") >= 2)
    assert out.getvalue().startswith("[  0.0 s] Starting\n")
    silent = out.getvalue()
    await asyncio.sleep(0.03)
    assert out.getvalue() == silent


async def test_work_that_fails_is_not_mentioned_any_more() -> None:
    out = io.StringIO()
    with pytest.raises(ValueError, match="broken"):
        async with Console(out, patience=0.01).patience("Starting"):
            raise ValueError("broken")
    await asyncio.sleep(0.03)
    assert "still" not in out.getvalue()


def test_a_terminal_that_went_away_is_no_reason_to_fail() -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(5, "Input/output error")

    Console(Gone()).say("nobody reads this")
