# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from podtracker.errors import KubeError
from podtracker.patience import LIMIT, patiently
from unit.podtracker.fakes import DOWN, FORBIDDEN
from unit.podtracker.virtual import clock, in_virtual_time


class Oracle:
    """Answers with an error until its time has come."""

    def __init__(self, *, after: float, error: KubeError = DOWN) -> None:
        self.began = clock()
        self.asked = 0
        self._after = after
        self._error = error

    async def ask(self) -> str:
        self.asked += 1
        if clock() - self.began < self._after:
            raise self._error
        return "an answer"


@in_virtual_time
async def test_an_answer_in_time_is_waited_for() -> None:
    oracle = Oracle(after=LIMIT - 2)
    assert await patiently(oracle.ask, what="it", final=lambda _: False, clock=clock) == "an answer"
    assert 10 < oracle.asked < 2 * LIMIT


@in_virtual_time
async def test_patience_ends() -> None:
    oracle = Oracle(after=10 * LIMIT)
    with pytest.raises(KubeError, match="connection refused"):
        await patiently(oracle.ask, what="it", final=lambda _: False, clock=clock)
    assert clock() - oracle.began == pytest.approx(LIMIT, abs=3.0)


@in_virtual_time
async def test_an_error_that_is_an_answer_is_raised_at_once() -> None:
    oracle = Oracle(after=LIMIT, error=FORBIDDEN)
    with pytest.raises(KubeError, match="Forbidden"):
        await patiently(oracle.ask, what="it", final=lambda error: error.forbidden, clock=clock)
    assert oracle.asked == 1
