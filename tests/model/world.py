# SPDX-License-Identifier: Apache-2.0
"""What may happen to a cluster, a receiver and operators; and that all comes out right in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from model.cluster import Tracker
from model.instance import Instance, Stage, Trap
from model.slack import Mood
from podtracker.journal import JOURNAL
from unit.podtracker.virtual import clock

T = TypeVar("T")

NAMESPACES: Final = ("a", "b")
_NAMES: Final = ("nginx", "redis")
_CHANNELS: Final = ("C1", "C2")
_MOST_TRACKERS: Final = 4
_LASTING: Final = (2.0, 7.0, 20.0, 90.0)
"""Seconds that the API server is away."""
_DOWN: Final = (0.0, 0.5, 5.0, 40.0)
"""Seconds from an operator's end to the next one's start."""
_LONG: Final = (4.0, 15.0, 45.0, 150.0)
"""Seconds in which nothing happens."""
_PLACES: Final = ("journal", "shard", "send", "journal", "shard", "watch", "list", "read", "history", "anything")
"""Kinds of points at which an operator may die."""
_PATIENCE: Final = 150.0
"""Seconds in which everything comes to its end once nothing goes wrong any more."""
_QUIET: Final = 4.0
"""Seconds between looks."""


@dataclass
class World:
    """The stage, and the acts; each takes a number that chooses its object."""

    stage: Stage
    bugs: list[str] = field(default_factory=list)
    """What failed where nothing may fail."""
    _operators: list[Instance] = field(default_factory=list)
    _replica: int = 0
    _downtime: float = 0.0
    _pause: float = 0.0
    _over: bool = False

    def _note(self, what: str) -> None:
        self.stage.note(f"{clock() - 5_000:8.2f} {what}")

    # operators

    def _start(self) -> None:
        operator = Instance(self.stage, len(self._operators) + 1, f"replica-{self._replica}")
        self._note(f"operator {operator.memory.number} starts")
        self._operators.append(operator)
        operator.start().add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.bugs.append(f"an operator ended by a bug: {task.exception()!r}")
        if not self._over:
            self.stage.spawn(self._start_again())

    async def _start_again(self) -> None:
        await asyncio.sleep(self._downtime)
        if not self._living:
            self._start()

    @property
    def _living(self) -> list[Instance]:
        return [operator for operator in self._operators if operator.alive]

    # pods

    def pod_made(self, choice: int) -> None:
        """Mostly one that a tracker means."""
        where = NAMESPACES[choice % 2], _NAMES[choice // 2 % 2]
        if choice % 8:
            where = next(((one.namespace, one.name) for one in self._tracker(choice)), where)
        pod = self.stage.cluster.make_pod(*where)
        self.stage.judge.exists(pod)
        self._note(f"made {pod}")

    def pod_touched(self, choice: int) -> None:
        for pod in _one_of(self.stage.cluster.pods.values(), choice):
            self.stage.cluster.touch_pod(pod)
            self._note(f"touched {pod.uid}")

    def pod_deleted(self, choice: int) -> None:
        for pod in _one_of(self.stage.cluster.pods.values(), choice):
            self.stage.cluster.delete_pod(pod)
            self._note(f"deleted {pod.uid}")

    # trackers

    def _tracker(self, choice: int) -> list[Tracker]:
        return _one_of(self.stage.cluster.living_trackers(), choice)

    def tracker_made(self, choice: int) -> None:
        if len(self.stage.cluster.living_trackers()) < _MOST_TRACKERS:
            what = NAMESPACES[choice % 2], _NAMES[choice // 2 % 2], _CHANNELS[choice // 4 % 2]
            self._note(f"made {self.stage.cluster.make_tracker(*what)}")
            self.stage.judge.exists()

    def tracker_renamed(self, choice: int) -> None:
        for tracker in self._tracker(choice):
            self.stage.cluster.edit_tracker(tracker, name=_other(_NAMES, tracker.name))
            self._note(f"edited {tracker}")

    def tracker_moved(self, choice: int) -> None:
        for tracker in self._tracker(choice):
            self.stage.cluster.edit_tracker(tracker, channel=_other(_CHANNELS, tracker.channel))
            self._note(f"edited {tracker}")

    def tracker_deleted(self, choice: int) -> None:
        for tracker in self._tracker(choice):
            self.stage.cluster.delete_tracker(tracker)
            self.stage.judge.deleted(tracker)
            self._note(f"deleted {tracker.uid}")

    # the API server and the receiver

    def watches_cut(self, _: int) -> None:
        self._note("watches cut")
        for operator in self._living:
            operator.client.cut()

    def past_forgotten(self, choice: int) -> None:
        self._note("the past is forgotten")
        self.stage.cluster.compacted = self.stage.cluster.revision
        if choice % 4:
            self.watches_cut(choice)

    def api_server_away(self, choice: int) -> None:
        seconds = _LASTING[choice % 4]
        self._note(f"API server away for {seconds} s")
        for operator in self._living:
            self.stage.spawn(self._lose_api_server(operator, seconds))

    async def _lose_api_server(self, operator: Instance, seconds: float) -> None:
        operator.client.away = True
        operator.client.cut()
        await asyncio.sleep(seconds)
        operator.client.away = False

    def journal_deleted(self, _: int) -> None:
        """While it has one keeper."""
        if len(self._living) == 1:
            self._note("journal deleted")
            self.stage.cluster.maps.pop(JOURNAL, None)

    def receiver_changes(self, choice: int) -> None:
        self.stage.slack.mood = tuple(Mood)[choice % len(Mood)]
        self._note(f"receiver: {self.stage.slack.mood}")

    # ends

    def killed(self, choice: int) -> None:
        self._downtime, self.stage.trap = _DOWN[choice % 4], Trap()
        self._kill_all()

    def _kill_all(self) -> None:
        for operator in self._living:
            self._note(f"operator {operator.memory.number} killed")
            operator.die()

    def killed_on_the_way(self, choice: int) -> None:
        self._downtime = _DOWN[choice // 3 % 4]
        self.stage.trap = Trap(_PLACES[choice % len(_PLACES)], choice // len(_PLACES) % 4)
        self._note(f"{self.stage.trap}")

    def replaced(self, choice: int) -> None:
        """Killed, and the next one is another replica."""
        self._replica += 1
        self.killed(choice)

    def terminated(self, choice: int) -> None:
        self._downtime = _DOWN[choice % 4]
        for operator in self._living:
            self._note(f"operator {operator.memory.number} asked to end")
            operator.terminate()

    def rivalled(self, choice: int) -> None:
        """It loses the API server but not the receiver, while another replica stands by."""
        if len(self._living) == 1 and JOURNAL in self.stage.cluster.maps:
            self.api_server_away(choice)
            self._replica += 1
            self._start()

    def time_passes(self, choice: int) -> None:
        self._pause = _LONG[choice % 4]

    # all of it

    async def live(self, acts: Iterable[tuple[Callable[[World, int], None], int, float]]) -> None:
        """Let these happen, each with its choice and the pause after it; then let all come to its end, and judge.

        Raises:
            AssertionError: something is missing, was repeated, or went wrong.
        """
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self.bugs.append(str(context)))
        self.tracker_made(0)
        self._start()
        try:
            for act, choice, pause in acts:
                self._pause = pause
                act(self, choice)
                await asyncio.sleep(self._pause)
                self._check()
            await self._come_to_rest()
            await self._start_over()
        finally:
            self._over = True
            self._kill_all()
            await asyncio.sleep(_QUIET)

    def _check(self) -> None:
        assert not self.bugs, "\n".join(self.bugs)
        assert not self.stage.judge.wrong, "\n".join(self.stage.judge.wrong)

    async def _come_to_rest(self) -> None:
        self._note("nothing goes wrong any more")
        self.stage.fates.end()
        self.stage.trap, self._downtime, self.stage.slack.mood = Trap(), 0.0, Mood.WELL
        for operator in self._living:
            operator.client.away = False
        await self._settled()

    async def _start_over(self) -> None:
        before = self.stage.judge.told.total()
        for operator in self._living:
            operator.memory.last_sent.clear()  # that is on record by now
        self._kill_all()
        await self._settled()
        assert self.stage.judge.told.total() == before, "a restart repeats what was told long ago"

    async def _settled(self) -> None:
        deadline = clock() + _PATIENCE
        await asyncio.sleep(_QUIET)
        while problems := self._problems():
            self._check()
            assert clock() < deadline, "\n".join(problems)
            await asyncio.sleep(_QUIET)
        await asyncio.sleep(_QUIET)
        self._check()

    def _problems(self) -> list[str]:
        follows = any(operator.client.follows() for operator in self._living)
        return self.stage.judge.problems() if follows else ["no operator follows the pods"]


def _one_of(things: Iterable[T], choice: int) -> list[T]:
    found = list(things)
    return [found[choice % len(found)]] if found else []


def _other(of: Sequence[str], this: str) -> str:
    return next(one for one in of if one != this)
