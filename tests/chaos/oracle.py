# SPDX-License-Identifier: Apache-2.0
"""The judge: what the API server showed against what Slack accepted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from chaos.recorder import Recorder, Sighting
from fakeslack.workspace import Message
from podtracker.api import Event
from podtracker.ledger import notification_id

_ONE: Final = re.compile(r"Pod (\S+) was created")
_MANY: Final = re.compile(r"(\d+) pods were created: (.+)")


@dataclass(frozen=True, slots=True)
class Target:
    """A tracker, as the API server made it."""

    uid: str
    namespace: str
    pod: str
    """The name of the pods that it means."""
    created: int
    """Seconds since 1970, by the API server's clock."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the occurrences."""

    shown: int
    """Pods that a list or a watch showed."""
    expected: int
    """Occurrences that had to be told."""
    told: int
    """Of these, how many were."""
    messages: int
    lost: list[str] = field(default_factory=list)
    """What had to be told and was not, for people."""
    doubled: list[str] = field(default_factory=list)
    """What was told again, once for each time too many."""
    resent: int = 0
    """Messages of which something was told again by a later message."""
    strange: list[str] = field(default_factory=list)
    """Ids that nobody could know of, or that should not have been told."""
    misnamed: list[str] = field(default_factory=list)
    """Messages whose words name other pods than their ids."""
    disordered: list[str] = field(default_factory=list)
    """Trackers that told a later pod first."""

    def rows(self) -> dict[str, int]:
        """The numbers, for a table."""
        return {
            "pods shown to the operator": self.shown,
            "occurrences to tell": self.expected,
            "told": self.told,
            "messages": self.messages,
            "lost": len(self.lost),
            "doubled (ids)": len(self.doubled),
            "messages sent again": self.resent,
        }

    def require(self, *, resent: int = 0) -> None:
        """Assert that nothing is wrong, but for so many messages sent again."""
        assert not self.lost, f"{len(self.lost)} of {self.expected} lost: {self.lost[:20]}"
        assert not self.strange, f"{len(self.strange)} told that should not be: {self.strange[:20]}"
        assert not self.misnamed, f"{len(self.misnamed)} messages with wrong names: {self.misnamed[:5]}"
        assert not self.disordered, f"{len(self.disordered)} trackers out of order: {self.disordered[:20]}"
        assert self.resent <= resent, f"{self.resent} messages sent again, {resent} allowed: {self.doubled[:20]}"


def occurrence(tracker: str, pod: str) -> str:
    """Return the id under which a tracker tells that a pod was created; both by uid."""
    return notification_id(tracker, pod, Event.CREATED)


def ids_of(message: Message) -> list[str]:
    """Return the ids of the occurrences that a message tells."""
    assert message.metadata is not None, message
    assert message.metadata["event_type"] == "pod_tracker", message
    ids: list[str] = message.metadata["event_payload"]["ids"]
    return ids


def names_in(text: str) -> Counter[str]:
    """Return the pods that a message's text names, with how often each."""
    names: Counter[str] = Counter()
    for line in text.splitlines():
        if one := _ONE.fullmatch(line):
            names[one[1]] += 1
        elif many := _MANY.fullmatch(line):
            found = many[2].split(", ")
            assert len(found) == int(many[1]), line
            names.update(found)
        else:
            raise AssertionError(f"no words of ours: {line!r}")
    return names


def judge(
    targets: Iterable[Target],
    recorder: Recorder,
    messages: Sequence[Message],
    *,
    excused: frozenset[str] = frozenset(),
) -> Verdict:
    """Compare. `excused` are the uids of pods that are old news by the test's own plan: they must not be told."""
    news = _news(targets, recorder, excused)
    told = [ids_of(message) for message in messages]
    first: dict[str, int] = {}
    doubled: list[str] = []
    resent: set[int] = set()
    for place, ids in enumerate(told):
        for one in ids:
            if one in first:
                doubled.append(_name(news, one))
                resent.add(first[one])
            else:
                first[one] = place
    return Verdict(
        shown=len(recorder.pods),
        expected=len(news),
        told=len(news.keys() & first.keys()),
        messages=len(messages),
        lost=[_name(news, one) for one in news if one not in first],
        doubled=doubled,
        resent=len(resent),
        strange=[f"{one} in {messages[place].text:.80}" for one, place in first.items() if one not in news],
        misnamed=[
            message.text
            for message, ids in zip(messages, told, strict=True)
            if names_in(message.text) != Counter(news[one][1].name for one in ids if one in news)
        ],
        disordered=_disordered(news, first),
    )


def _news(targets: Iterable[Target], recorder: Recorder, excused: frozenset[str]) -> dict[str, tuple[Target, Sighting]]:
    by_name: dict[tuple[str, str], list[Target]] = {}
    for target in targets:
        by_name.setdefault((target.namespace, target.pod), []).append(target)
    return {
        occurrence(target.uid, pod.uid): (target, pod)
        for pod in recorder.pods.values()
        if pod.uid not in excused
        for target in by_name.get((pod.namespace, pod.name), ())
        if pod.created >= target.created
    }


def _disordered(news: dict[str, tuple[Target, Sighting]], first: dict[str, int]) -> list[str]:
    latest: dict[str, int] = {}
    wrong: dict[str, None] = {}
    for one in first:  # in the order of telling
        if one in news:
            target, pod = news[one]
            if pod.order < latest.get(target.uid, -1):
                wrong[f"{target.pod} ({target.uid})"] = None
            latest[target.uid] = max(pod.order, latest.get(target.uid, -1))
    return list(wrong)


def _name(news: dict[str, tuple[Target, Sighting]], one: str) -> str:
    if one not in news:
        return one
    pod = news[one][1]
    return f"{pod.name}/{pod.uid} ({'+'.join(sorted(pod.ways))})"
