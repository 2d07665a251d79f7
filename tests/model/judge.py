# SPDX-License-Identifier: Apache-2.0
"""What an operator has to tell, and whether it did: from what was shown to it, knowing nothing of how it works."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from model.cluster import Change, Cluster, Pod, Tracker
from podtracker.api import Event
from podtracker.ledger import notification_id
from podtracker.trackers import spec_written


class Pair(NamedTuple):
    """An occurrence: what one tracker wants told of one pod."""

    tracker: str
    pod: str


@dataclass
class Memory:
    """What one operator has seen."""

    number: int
    """Of all operators, in the order of their starts."""
    term: int = 0
    """Of all that began to work, in that order."""
    fresh: bool = False
    """It found that nothing is kept."""
    adopted: bool = False
    """It knows the trackers that exist."""
    began_with: set[str] = field(default_factory=set)
    """The trackers that existed when it began."""
    knows: dict[str, tuple[int, str]] = field(default_factory=dict)
    """The trackers that it was told of: their generation, and the name of the pods they mean."""
    gone: set[str] = field(default_factory=set)
    """The trackers that it was told are deleted."""
    shown: set[str] = field(default_factory=set)
    departed: dict[str, Pod] = field(default_factory=dict)
    """The pods whose deletion it was shown."""
    places: set[str | None] = field(default_factory=set)
    """The scopes that it has asked to watch: from a place that is kept, or after a list."""
    last_sent: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By channel, the ids of the message accepted last: all that a crash may repeat."""


@dataclass
class Judge:
    """The oracle."""

    cluster: Cluster
    readable: bool
    """Whether the receiver can be asked what it has."""
    owed: dict[Pair, Memory | None] = field(default_factory=dict)
    """What must be told; with the operator that alone can, where it learnt it from its own memory of pods gone."""
    told: Counter[tuple[str, Pair]] = field(default_factory=Counter)
    """How often, by channel."""
    excused: set[Pair] = field(default_factory=set)
    """Need not be told: it was there when nothing was remembered, or can never be accepted."""
    silent: set[Pair] = field(default_factory=set)
    """Must not be told: it was there when nothing was remembered."""
    status: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Each tracker's status, as written last."""
    wrong: list[str] = field(default_factory=list)
    """What was told and should not have been."""
    _doubts: Counter[tuple[str, Pair]] = field(default_factory=Counter)
    """How often a repeat is allowed."""
    _since: dict[tuple[str, str], int] = field(default_factory=dict)
    """By tracker and name of pods, the second from which an operator may take them for news."""
    _pairs: dict[str, Pair] = field(default_factory=dict)
    _pods: dict[str, Pod] = field(default_factory=dict)
    _began: list[Memory] = field(default_factory=list)
    _newest: int = 0
    """The term of the newest operator that has turned to the receiver."""

    # what there is

    def exists(self, pod: Pod | None = None) -> None:
        """A pod was made, or a tracker."""
        if pod is not None:
            self._pods[pod.uid] = pod
        for tracker in self.cluster.trackers.values():
            for one in self._pods.values():
                if one.namespace == tracker.namespace:
                    key = notification_id(tracker.uid, one.uid, Event.CREATED)
                    self._pairs[key] = Pair(tracker.uid, one.uid)

    # what an operator was told and shown

    def nothing_kept(self, memory: Memory) -> None:
        """It looked for what an earlier one kept, and there is nothing."""
        if not memory.adopted:
            memory.fresh = True

    def begins(self, memory: Memory) -> None:
        """It knows the trackers that exist, and has been shown no pod yet, if it has not begun before."""
        if memory.adopted:
            return
        memory.adopted = True
        for earlier in self._began:
            self.died(earlier)  # or cannot record any more what it sent last
        self._began.append(memory)
        memory.term = len(self._began)
        for tracker in self.cluster.trackers.values():
            if tracker.deleted and tracker.uid not in memory.knows:
                memory.gone.add(tracker.uid)
        memory.began_with = set(memory.knows)
        for pair, only in list(self.owed.items()):
            renamed = self.cluster.trackers[pair.tracker].name != self._pods[pair.pod].name
            if not self._heard(pair) and (memory.fresh or only is not None or renamed):
                del self.owed[pair]
                self.excused |= {pair} if memory.fresh else set()

    def told_of(self, memory: Memory, body: Mapping[str, Any]) -> None:
        """It was told of a tracker."""
        tracker = self.cluster.trackers[body["metadata"]["uid"]]
        generation, name = body["metadata"]["generation"], body["spec"]["name"]
        before = memory.knows.get(tracker.uid, (0, ""))
        if generation <= before[0]:
            return
        memory.knows[tracker.uid] = generation, name
        if before[1] not in {"", name}:
            for pair in self._unheard(tracker.namespace):
                if pair.tracker == tracker.uid and pair.pod not in memory.shown:
                    del self.owed[pair]  # it will not be shown to anybody who could find that it was meant
        # Who learns of a name without having known another takes it for the first.
        since = spec_written(body) if before[1] not in {"", name} else tracker.created
        self._since[tracker.uid, name] = min(since, self._since.get((tracker.uid, name), since))
        for pod in memory.departed.values() if name == tracker.name != before[1] else ():
            if _means(tracker, pod):
                self.owed.setdefault(Pair(tracker.uid, pod.uid), memory)

    def told_gone(self, memory: Memory, uid: str) -> None:
        """It was told that a tracker is deleted."""
        memory.knows.pop(uid, None)
        memory.gone.add(uid)

    def deleted(self, tracker: Tracker) -> None:
        """A tracker was deleted: nothing is owed to it any more."""
        self.owed = {pair: only for pair, only in self.owed.items() if pair.tracker != tracker.uid}

    def listed(self, memory: Memory, namespace: str | None, pods: Sequence[Pod], *, first: bool) -> None:
        """It was shown a page of a list of a scope."""
        if first:
            for pair in self._unheard(namespace):
                if pair.pod not in memory.shown and pair.pod not in self.cluster.pods:
                    del self.owed[pair]  # gone before anybody who remembers could see it
        for pod in pods:
            if namespace in memory.places:
                self._shown(memory, pod)
            else:
                self._was_there(memory, pod)

    def watched(self, memory: Memory, changes: Sequence[Change]) -> None:
        """It was shown lines of a watch."""
        for change in changes:
            if change.kind == "DELETED":
                memory.departed[change.pod.uid] = change.pod
            else:
                self._shown(memory, change.pod)

    def watching(self, memory: Memory, namespace: str | None) -> None:
        """It asked to watch a scope."""
        memory.places.add(namespace)

    def merged_away(self, memory: Memory, pod: Pod) -> None:
        """A pod's beginning and end were merged, so that it will never be shown."""
        if pod.uid not in memory.shown:
            for pair in self._unheard(pod.namespace):
                if pair.pod == pod.uid:
                    del self.owed[pair]

    def _shown(self, memory: Memory, pod: Pod) -> None:
        memory.shown.add(pod.uid)
        for uid, (_, name) in memory.knows.items():
            tracker = self.cluster.trackers[uid]
            pair = Pair(uid, pod.uid)
            if name == pod.name and _means(tracker, pod) and pair not in self.excused:
                self.owed[pair] = None

    def _was_there(self, memory: Memory, pod: Pod) -> None:
        """A list showed it that no place of a watch precedes: to the trackers of then, it may be old."""
        memory.shown.add(pod.uid)
        for uid, (_, name) in memory.knows.items():
            pair = Pair(uid, pod.uid)
            tracker = self.cluster.trackers[uid]
            if name != pod.name or tracker.namespace != pod.namespace or self._heard(pair):
                continue
            if uid in memory.began_with:
                self.owed.pop(pair, None)
                self.excused.add(pair)
                self.silent |= {pair} if memory.fresh else set()
            elif _means(tracker, pod):
                self.owed[pair] = None

    # what it told

    def sends(self, memory: Memory, ids: Sequence[str]) -> None:
        """It turns to the receiver, with a message or to ask what it has."""
        self._must(memory.term >= self._newest, f"operator {memory.number} sends although another has followed it")
        self._newest = max(self._newest, memory.term)
        for pair in (self._pairs[one] for one in ids):
            self._must(pair.tracker not in memory.gone, f"sent although the tracker is known to be deleted: {pair}")

    def accepted(self, memory: Memory, channel: str, ids: Sequence[str], text: str) -> None:
        """The receiver took a message."""
        memory.last_sent[channel] = tuple(ids)
        self._must(len(set(ids)) == len(ids), f"told twice in one message: {text}")
        for pair in (self._pairs[one] for one in ids):
            tracker, pod = self.cluster.trackers[pair.tracker], self._pods[pair.pod]
            news = pod.created >= self._since.get((tracker.uid, pod.name), pod.created + 1)
            self._must(pod.name in text, f"{text!r} does not name the pod of {pair}")
            self._must(news, f"told what is no news: {pair}")
            edited_back = any(name == pod.name and pod.created >= since for name, since in tracker.names[1:])
            silent = pair in self.silent and not edited_back
            self._must(not silent, f"told what was there when nothing was remembered: {pair}")
            self.told[channel, pair] += 1
            allowed = self.told[channel, pair] <= 1 + self._doubts[channel, pair]
            self._must(allowed or edited_back, f"told again: {pair}")

    def unanswered(self, channel: str, ids: Sequence[str]) -> None:
        """The operator does not learn that the receiver has these, unless it may ask."""
        if not self.readable:
            self._doubts.update((channel, self._pairs[one]) for one in ids)

    def died(self, memory: Memory) -> None:
        """What was sent last in each channel may not be on record."""
        for channel, ids in memory.last_sent.items():
            self.unanswered(channel, ids)
        memory.last_sent.clear()

    def undeliverable(self, ids: Sequence[str]) -> None:
        """The receiver can never take these."""
        self.excused |= {self._pairs[one] for one in ids}

    # the verdict

    def problems(self) -> list[str]:
        """What is wrong once nothing is under way any more."""
        heard = {pair for _, pair in self.told}
        found = [f"was shown and not told: {pair}" for pair in sorted(self.owed.keys() - heard - self.excused)]
        for tracker in self.cluster.living_trackers():
            living = [one for one in self.cluster.pods.values() if _matches(tracker, one)]
            pairs = {Pair(tracker.uid, one.uid) for one in living if _means(tracker, one)}
            found += [f"lives and was not told: {pair}" for pair in sorted(pairs - heard - self.excused)]
            status = self.status.get(tracker.uid, {})
            if (status.get("podCount"), status.get("pending")) != (len(living), 0):
                found.append(f"{tracker.uid} has {len(living)} pods, its status says {status}")
        return found

    def _must(self, holds: bool, what: str) -> None:
        # Not raised: the operator would take it for a receiver's bug and go on.
        if not holds:
            self.wrong.append(what)

    def _heard(self, pair: Pair) -> bool:
        return any(one == pair for _, one in self.told)

    def _unheard(self, namespace: str | None) -> list[Pair]:
        return [
            pair for pair in self.owed if namespace in {None, self._pods[pair.pod].namespace} and not self._heard(pair)
        ]


def _matches(tracker: Tracker, pod: Pod) -> bool:
    return (tracker.namespace, tracker.name) == (pod.namespace, pod.name)


def _means(tracker: Tracker, pod: Pod) -> bool:
    """Whether a pod is certainly news to a tracker, which is as old as its name, or as the last edit after a change."""
    since = tracker.written if len(tracker.names) > 1 else tracker.created
    return _matches(tracker, pod) and pod.created >= since and not tracker.deleted
