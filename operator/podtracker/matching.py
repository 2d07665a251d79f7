# SPDX-License-Identifier: Apache-2.0
"""Which trackers mean a pod, at a cost of what matches and not of what exists."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Final

import msgspec

from podtracker.api import LabelSelector, PodTrackerSpec
from podtracker.pods import Owner, Pod
from podtracker.trackers import Tracker

BETWEEN: Final[Mapping[str, str]] = {"Deployment": "ReplicaSet", "CronJob": "Job"}
"""Workloads that do not own their pods themselves, with the kind that does."""
_LONGEST_WHOLE: Final = 500
"""Bytes of a selector that is kept as it is; of a longer one a hash stands for it."""
_LONGEST_QUERY: Final = 4000
"""Characters of a selector that is sent as a parameter."""
_Key = tuple[str, ...]


class TrackerIndex:
    """Trackers by what a pod must have for them to mean it: its name, one of its labels, its workload, or nothing."""

    def __init__(self) -> None:
        self._trackers: dict[str, Tracker] = {}
        self._selections: dict[str, Selection] = {}
        self._buckets: dict[_Key, dict[str, Tracker]] = {}
        self._tracked: dict[str, int] = {}
        """Trackers by namespace; most have none, and their pods are passed over at once."""
        self._labels: dict[str, dict[str, int]] = {}
        """By namespace: the label keys that buckets are of, each with how many."""
        self._workloads: dict[str, dict[str, int]] = {}
        """By namespace: the kinds of workloads that trackers mean, each with how many."""
        self.parents: dict[tuple[str, str], str] = {}
        """By namespace and uid of a ReplicaSet or Job: the Deployment or CronJob that it belongs to, or nothing.

        By namespace too: a pod may claim any uid for its owner's, one of another tenant's as well."""
        self.looked_at = 0
        """Trackers handed out as candidates since the start: the cost of matching, for a metric."""

    def __len__(self) -> int:
        return len(self._trackers)

    def __iter__(self) -> Iterator[Tracker]:
        return iter(self._trackers.values())

    def get(self, uid: str) -> Tracker | None:
        """The tracker of this uid, where it is known."""
        return self._trackers.get(uid)

    def put(self, tracker: Tracker) -> None:
        """Add a tracker, or take its newest spec."""
        self.drop(tracker.uid)
        self._trackers[tracker.uid] = tracker
        if tracker.spec.selector is not None:
            self._selections[tracker.uid] = Selection(tracker.spec.selector)
        self._tracked[tracker.namespace] = self._tracked.get(tracker.namespace, 0) + 1
        for key in _keys_of(tracker):
            self._buckets.setdefault(key, {})[tracker.uid] = tracker
            self._count(tracker.namespace, key, 1)

    def drop(self, uid: str) -> None:
        """Forget a tracker; one that is not there is fine."""
        tracker = self._trackers.pop(uid, None)
        if tracker is None:
            return
        self._selections.pop(uid, None)
        self._tracked[tracker.namespace] -= 1
        if not self._tracked[tracker.namespace]:
            del self._tracked[tracker.namespace]
        for key in _keys_of(tracker):
            bucket = self._buckets[key]
            del bucket[uid]
            if not bucket:
                del self._buckets[key]
            self._count(tracker.namespace, key, -1)

    def matching(self, pod: Pod) -> tuple[Tracker, ...]:
        """The trackers that mean this pod; those of its workload only once its parent is known."""
        if pod.namespace not in self._tracked:
            return ()
        found: dict[str, Tracker] = {}
        for key in self._candidates(pod):
            bucket = self._buckets.get(key)
            if bucket:
                self.looked_at += len(bucket)
                found.update(bucket)
        if not found:
            return ()
        labels: Mapping[str, str] | None = None
        meant = []
        for tracker in found.values():
            selection = self._selections.get(tracker.uid)
            if selection is not None:
                labels = pod.labels if labels is None else labels
                if not selection.selects(labels):
                    continue
            meant.append(tracker)
        return tuple(meant)

    def means(self, uid: str, pod: Pod) -> bool:
        """Whether this one tracker means the pod: as `matching` says, at the cost of one."""
        tracker = self._trackers.get(uid)
        if tracker is None or tracker.namespace != pod.namespace:
            return False
        selection = self._selections.get(uid)
        if selection is not None:
            return selection.selects(pod.labels)
        return _keys_of(tracker)[0] in self._candidates(pod)

    def orphan(self, pod: Pod) -> Owner | None:
        """The pod's owner, where what it belongs to decides about trackers and is not known yet."""
        for workload in self._workloads.get(pod.namespace, ()):
            if (between := BETWEEN.get(workload)) is not None:
                owner = pod.controller
                if owner is None or not owner.native or owner.kind != between:
                    continue
                if (pod.namespace, owner.uid) not in self.parents:
                    return owner
        return None

    def _candidates(self, pod: Pod) -> Iterator[_Key]:
        namespace = pod.namespace
        yield namespace, "name", pod.name
        yield namespace, "any"
        keys = self._labels.get(namespace)
        if keys:
            labels = pod.labels
            for label in keys:
                if label in labels:
                    yield namespace, "label", label, labels[label]
                    yield namespace, "label", label
        if namespace in self._workloads:
            owner = pod.controller
            if owner is not None and owner.native:
                yield namespace, "workload", owner.kind, owner.name
                for workload, between in BETWEEN.items():
                    if owner.kind == between and (parent := self.parents.get((namespace, owner.uid))):
                        yield namespace, "workload", workload, parent

    def _count(self, namespace: str, key: _Key, amount: int) -> None:
        counts = {"label": self._labels, "workload": self._workloads}.get(key[1])
        if counts is not None:
            of_namespace = counts.setdefault(namespace, {})
            of_namespace[key[2]] = of_namespace.get(key[2], 0) + amount
            if not of_namespace[key[2]]:
                del of_namespace[key[2]]
            if not of_namespace:
                del counts[namespace]


def _keys_of(tracker: Tracker) -> list[_Key]:
    """The buckets of a tracker: a pod that it means has at least one of them."""
    namespace, spec = tracker.namespace, tracker.spec
    if spec.workload_ref is not None:
        return [(namespace, "workload", spec.workload_ref.kind, spec.workload_ref.name)]
    if spec.selector is None:
        return [(namespace, "name", spec.name or "")]
    for label, value in spec.selector.match_labels.items():
        return [(namespace, "label", label, value)]
    for demand in spec.selector.match_expressions:
        if demand.operator == "In":
            return [(namespace, "label", demand.key, value) for value in dict.fromkeys(demand.values)]
    for demand in spec.selector.match_expressions:
        if demand.operator == "Exists":
            return [(namespace, "label", demand.key)]
    return [(namespace, "any")]


class Selection:
    """A selector, made ready to be held against the labels of many pods."""

    __slots__ = ("_demands", "_labels")

    def __init__(self, selector: LabelSelector) -> None:
        self._labels = tuple(selector.match_labels.items())
        self._demands = tuple((one.key, one.operator, frozenset(one.values)) for one in selector.match_expressions)

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether labels meet the selector; an empty one is met by all (metav1.LabelSelector)."""
        for key, value in self._labels:
            if labels.get(key) != value:
                return False
        return all(_meets(key, operator, values, labels) for key, operator, values in self._demands)


def _meets(key: str, operator: str, values: Container[str | None], labels: Mapping[str, str]) -> bool:
    if operator == "In":
        return labels.get(key) in values
    if operator == "NotIn":
        return labels.get(key) not in values
    return (key in labels) == (operator == "Exists")


def signature(spec: PodTrackerSpec) -> str:
    """Which pods a spec means, as one string: it changes when they do. A pod's name stands for itself.

    It is kept in the ledger, where a selector of the greatest size would take as much room as a thousand others.
    """
    if spec.selector is not None:
        whole = msgspec.json.encode(spec.selector, order="deterministic")
        return f"selector:{whole.decode() if len(whole) <= _LONGEST_WHOLE else hashlib.sha256(whole).hexdigest()}"
    if spec.workload_ref is not None:
        return f"workload:{spec.workload_ref.kind}/{spec.workload_ref.name}"
    return spec.name or ""


def is_looser(spec: PodTrackerSpec, than: PodTrackerSpec) -> bool:
    """Whether a selector demands less than another, and nothing else."""
    less, more = spec.selector, than.selector
    if less is None or more is None or less == more:
        return False
    labels = less.match_labels.items() <= more.match_labels.items()
    return labels and less.match_expressions in {(), more.match_expressions}


def query(spec: PodTrackerSpec) -> dict[str, str]:
    """Parameters that narrow a list to about the pods that a spec means; what they let through is matched again."""
    if spec.name is not None:
        return {"field_selector": f"metadata.name={spec.name}"}
    if spec.selector is None:
        return {}
    terms = ",".join(_terms(spec.selector))
    # What is too long may be refused by what stands before the API server.
    return {"label_selector": terms} if len(terms) <= _LONGEST_QUERY else {}


def _terms(selector: LabelSelector) -> Iterable[str]:
    for key, value in selector.match_labels.items():
        yield f"{key}={value}"
    for demand in selector.match_expressions:
        if demand.operator in {"In", "NotIn"}:
            yield f"{demand.key} {demand.operator.lower()} ({','.join(demand.values)})"
        else:
            yield demand.key if demand.operator == "Exists" else f"!{demand.key}"
