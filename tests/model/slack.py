# SPDX-License-Identifier: Apache-2.0
"""The receiver: what it has, and one operator's way to it, in the shape of a reporter."""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass, field
from typing import Final

from model.client import Life
from model.cluster import wall
from model.fates import Fates
from model.judge import Judge
from podtracker.delivery import Destination, Message, Traits
from podtracker.errors import DeliveryError, Failure
from podtracker.reporters.slack import CLOCK_MARGIN

_QUICK: Final = 0.05
"""Seconds that every request takes."""
TIMEOUT: Final = 10.0
"""Seconds after which a request without an answer is given up."""


class Mood(enum.Enum):
    """How it is."""

    WELL = "well"
    AWAY = "away"
    """Connections are refused."""
    MUTE = "mute"
    """It takes messages and answers nothing."""
    DEAF = "deaf"
    """It takes nothing and answers nothing."""
    BUSY = "busy"
    """429."""
    STRICT = "strict"
    """The bot is not in the channel."""


@dataclass
class Slack:
    """What it has."""

    readable: bool
    """Whether the bot may read its channels."""
    mood: Mood = Mood.WELL
    history: list[tuple[float, str, tuple[str, ...]]] = field(default_factory=list)
    """When, in which channel, the ids of each message that it took."""


class Reporter:
    """One operator's way to it."""

    def __init__(self, slack: Slack, life: Life, judge: Judge, fates: Fates) -> None:
        self._slack = slack
        self._life = life
        self._judge = judge
        self._fates = fates

    traits = Traits(paced=True, digests=True, accepted=("TokenAccepted", "the receiver accepts the token"))

    def escape(self, text: str) -> str:
        return text

    async def close(self) -> None:
        pass

    async def verify(self, destination: Destination) -> None:
        assert destination.kind == "slack"
        self._life.passes("")
        if self._slack.mood is Mood.AWAY:
            raise _unreachable(arrived_perhaps=False)

    async def deliver(self, destination: Destination, message: Message) -> None:
        memory, channel, ids = self._life.memory, destination.channel, message.ids
        self._life.passes("send")
        self._judge.sends(memory, ids)
        fate, mood = self._fates.take(), self._slack.mood
        refusal = _refusal(mood, fate.turn)
        if refusal is not None:
            await asyncio.sleep(_QUICK)
            if refusal.failure is Failure.UNDELIVERABLE:
                self._judge.undeliverable(ids)
            raise refusal
        try:
            await asyncio.sleep(fate.there + _QUICK)
        except asyncio.CancelledError:
            if fate.lands:
                self._take(channel, message, answered=False)
            raise
        self._life.passes("send")
        if mood is Mood.DEAF or fate.lost_there:
            await asyncio.sleep(TIMEOUT - fate.there)
            raise _unreachable(arrived_perhaps=True)
        lost = mood is Mood.MUTE or fate.lost_back
        self._take(channel, message, answered=not lost)
        self._life.passes("send")
        try:
            await asyncio.sleep(TIMEOUT - fate.there if lost else fate.back)
        except asyncio.CancelledError:
            self._judge.unanswered(channel, ids)
            raise
        self._life.passes("send")
        if lost:
            raise _unreachable(arrived_perhaps=True)

    def _take(self, channel: str, message: Message, *, answered: bool) -> None:
        self._slack.history.append((wall(), channel, message.ids))
        self._judge.accepted(self._life.memory, channel, message.ids, message.text)
        if not answered:
            self._judge.unanswered(channel, message.ids)

    async def arrived(self, destination: Destination, *, since: float) -> frozenset[str] | None:
        self._life.passes("history")
        self._judge.sends(self._life.memory, ())
        if not self._slack.readable:
            return None
        fate = self._fates.take()
        await asyncio.sleep(fate.there + _QUICK)
        self._life.passes("history")
        if fate.lost_there or self._slack.mood in {Mood.AWAY, Mood.DEAF}:
            raise _unreachable(arrived_perhaps=False)
        found = frozenset(
            one
            for at, channel, ids in self._slack.history
            if channel == destination.channel and at >= since - CLOCK_MARGIN
            for one in ids
        )
        await asyncio.sleep(fate.back)
        self._life.passes("history")
        if fate.lost_back:
            raise _unreachable(arrived_perhaps=False)
        return found


def _unreachable(*, arrived_perhaps: bool) -> DeliveryError:
    return DeliveryError(Failure.RETRY, "Unreachable", "Slack did not answer", arrived_perhaps=arrived_perhaps)


def _refusal(mood: Mood, turn: int) -> DeliveryError | None:
    if mood is Mood.AWAY:
        return _unreachable(arrived_perhaps=False)
    if mood is Mood.BUSY or turn == 1:
        return DeliveryError(Failure.THROTTLED, "RateLimited", "Slack asks to wait 2 s", retry_after=2.0)
    if mood is Mood.STRICT or turn == 2:
        return DeliveryError(Failure.REFUSED, "NotInChannel", "Slack answered not_in_channel")
    if turn == 3:
        return _unreachable(arrived_perhaps=True)
    if turn == 4:
        return DeliveryError(Failure.UNDELIVERABLE, "Rejected", "Slack answered msg_too_long")
    return None
