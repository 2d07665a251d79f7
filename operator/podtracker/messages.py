# SPDX-License-Identifier: Apache-2.0
"""The words that people read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from podtracker.api import MAX_NAME, Event
from podtracker.delivery import Message
from podtracker.ledger import TEST, Notification
from podtracker.templates import compile_message
from podtracker.templates.vocabulary import Subject, TemplateError, word
from podtracker.trackers import Tracker, TrackerIdentity

MAX_TEXT = 3500
"""Characters of a message. Slack advises 4,000 for `text` and cuts at 40,000; the rest is left to escaping."""
MAX_PODS = 100
"""Pods that one digest names: its ids travel with it, and Slack limits a message's metadata."""
MAX_CLUSTER: Final = 63
"""Characters of a cluster's name; of a longer one the first."""

QUIET: Final = "While this tracker was quiet:"
"""Above what was found while it was suspended or muted."""

_MINUTE = 60
_HOUR = 60 * _MINUTE


class _Wording(msgspec.Struct, frozen=True):
    """How an event is told."""

    many: str
    """Behind a count."""
    bare: str
    """Behind the pod's name, where no container is meant."""
    container: str = ""
    """Behind the pod's name and before the container's, where one is."""
    does: str = ""
    """Behind the container's name."""


_WORDINGS: Final = {
    Event.CREATED: _Wording("pods were created", " was created"),
    Event.STARTED: _Wording("pods started", " started"),
    Event.READY: _Wording("pods are ready", " is ready"),
    Event.RESTARTED: _Wording("containers were restarted", " was restarted", ": container", " ended"),
    Event.CRASH_LOOPING: _Wording("containers keep crashing", " keeps crashing", ": container", " keeps crashing"),
    Event.OOM_KILLED: _Wording(
        "containers ran out of memory", " ran out of memory", ": container", " ran out of memory"
    ),
    Event.IMAGE_PULL_FAILED: _Wording(
        "images cannot be pulled", ": an image cannot be pulled", ": the image of container", " cannot be pulled"
    ),
    Event.START_FAILED: _Wording("pods cannot start", " cannot start", ": container", " cannot start"),
    Event.UNSCHEDULABLE: _Wording("pods cannot be scheduled", " cannot be scheduled"),
    Event.FAILED: _Wording("pods failed", " failed", " failed: container", ""),
    Event.SUCCEEDED: _Wording("pods succeeded", " succeeded"),
    Event.DELETED: _Wording("pods were deleted", " was deleted"),
    Event.RECOVERED: _Wording("pods recovered", " recovered"),
}


class Composer:
    """Makes messages of what is to be told: the tracker's own text where it has one, else the default."""

    def __init__(self, *, cluster: str, tracker: Callable[[str], Tracker | None]) -> None:
        """Args: cluster: its name, empty for none; tracker: the tracker of a uid, where it is known."""
        self._cluster = cluster[:MAX_CLUSTER]
        self._tracker = tracker

    def compose(
        self,
        batch: Sequence[Notification],
        *,
        dropped: int,
        escape: Callable[[str], str],
        tracker: TrackerIdentity,
    ) -> Message:
        """One message for one or several occurrences of one tracker.

        Args:
            batch: what to tell; all of a quiet time, or none.
            dropped: how many occurrences the tracker has lost to its quota since the last message.
            escape: makes text harmless for the receiver; looks at single characters only.
            tracker: whose occurrences they are.
        """
        text = self._own_text(batch, dropped, escape, tracker)
        if text is None:
            text = escape(text_for(batch, dropped=dropped, cluster=self._cluster, tracker=tracker))
        return Message(text=text, notifications=tuple(batch), tracker=tracker, cluster=self._cluster)

    def _own_text(
        self, batch: Sequence[Notification], dropped: int, escape: Callable[[str], str], who: TrackerIdentity
    ) -> str | None:
        """The tracker's own text, where it is for this batch and can be used; what is wrong shows in a condition."""
        [first, *others] = batch
        tracker = self._tracker(first.tracker)
        if others or first.quiet or first.event == TEST or tracker is None or not tracker.spec.message:
            return None
        try:
            template = compile_message(tracker.spec.message)
        except TemplateError:
            return None
        subject = Subject(
            notification=first,
            tracker=who,
            workload=tracker.spec.workload_ref,
            cluster=self._cluster,
            text=text_for(batch, cluster=self._cluster),
        )
        rest = "".join(f"\n{line}" for line in _lost(dropped))
        return template.render(subject, escape=escape, limit=MAX_TEXT - len(rest)) + rest


def text_for(
    notifications: Sequence[Notification],
    *,
    dropped: int = 0,
    cluster: str = "",
    tracker: TrackerIdentity | None = None,
) -> str:
    """The default text, not escaped; each pod is named.

    Args:
        notifications: what to tell, all of one tracker; all of a quiet time, or none.
        dropped: how many occurrences the tracker has lost to its quota since the last message.
        cluster: its name, where one is configured.
        tracker: whose occurrences they are; only a test message names it.
    """
    groups: dict[str, list[Notification]] = {}
    for notification in notifications:
        groups.setdefault(notification.event, []).append(notification)
    heading = [QUIET] if notifications[0].quiet else []
    return "\n".join((*heading, *(_line(group, cluster, tracker) for group in groups.values()), *_lost(dropped)))


def how_many_fit(notifications: Sequence[Notification], limit: int = MAX_TEXT) -> int:
    """How many of these, from the first, a digest can name within `limit` characters before escaping; at least one."""
    room = limit - len(_lost(_MANY)[0]) - 1
    if notifications and notifications[0].quiet:
        room -= len(QUIET) + 1
    seen: set[str] = set()
    for count, notification in enumerate(notifications[:MAX_PODS]):
        room -= len(_item(notification)) + len(", ")
        if notification.event not in seen:
            seen.add(notification.event)
            alone = len(_line([notification], _WIDEST, _LONGEST))
            several = 0 if notification.event == TEST else len(_headline(notification, MAX_PODS, _WIDEST))
            room -= max(several, alone - len(_item(notification))) + 1
        if room < 0:
            return max(count, 1)
    return min(len(notifications), MAX_PODS)


_MANY = 10**9
_WIDEST = "-" * MAX_CLUSTER
_LONGEST = TrackerIdentity(uid="", namespace="-" * 63, name="-" * MAX_NAME, generation=0, created=0)
"""A tracker, and a cluster, whose names are as long as names can be."""


def _lost(dropped: int) -> list[str]:
    return [f"{dropped} more were dropped: too many were waiting"] if dropped else []


def _line(group: Sequence[Notification], cluster: str, tracker: TrackerIdentity | None) -> str:
    """What is told of one event."""
    [first, *others] = group
    if first.event == TEST:
        name = "" if tracker is None else f" {tracker.namespace}/{tracker.name}"
        return f"{_where(cluster)}Test message of PodTracker{name}: this receiver works"
    if not others:
        return _sentence(first, cluster)
    items = [_item(notification) for notification in group]
    if first.event != Event.CREATED:
        times = "\N{MULTIPLICATION SIGN}"
        items = [item if count == 1 else f"{item} {times}{count}" for item, count in Counter(items).items()]
    return _headline(first, len(group), cluster) + ", ".join(items)


def _sentence(notification: Notification, cluster: str) -> str:
    """One occurrence."""
    detail, wording = notification.detail, _wording(notification)
    if notification.event == Event.CREATED:
        return f"Pod {notification.pod}{wording.bare}"
    predicate = wording.bare
    if detail.container and wording.container:
        does = " crashed" if notification.event == Event.RESTARTED and detail.exit_code else wording.does
        predicate = f"{wording.container} {word(detail.container)}{does}"
    facts = f" ({', '.join(known)})" if (known := _facts(notification)) else ""
    subject = f"Pod {notification.namespace}/{notification.pod}"
    return f"{_where(cluster)}{subject}{predicate}{facts}{_more(notification)}"


def _more(notification: Notification) -> str:
    """What a sentence ends with."""
    detail = notification.detail
    times = "1 time" if detail.restarts == 1 else f"{detail.restarts} times"
    if notification.event == Event.READY and detail.seconds is not None:
        return f" after {_duration(detail.seconds)}"
    if notification.event == Event.RESTARTED and detail.restarts:
        return f", restarted {times}"
    return ""


def _headline(notification: Notification, count: int, cluster: str) -> str:
    """What stands before the names."""
    wording = _wording(notification)
    if notification.event == Event.CREATED:
        return f"{count} {wording.many}: "
    return f"{_where(cluster)}{count} {wording.many} in {notification.namespace}: "


def _item(notification: Notification) -> str:
    """One of several occurrences of an event."""
    if notification.event == Event.CREATED:
        return notification.pod
    detail = notification.detail
    facts = [word(detail.container)] if detail.container else []
    facts += _facts(notification)
    if notification.event == Event.READY and detail.seconds is not None:
        facts.append(_duration(detail.seconds))
    return f"{notification.pod} ({', '.join(facts)})" if facts else notification.pod


def _facts(notification: Notification) -> list[str]:
    detail = notification.detail
    code = [] if detail.exit_code is None else [f"exit code {detail.exit_code}"]
    return code + ([word(detail.reason)] if detail.reason else [])


def _where(cluster: str) -> str:
    return f"[{cluster}] " if cluster else ""


def _wording(notification: Notification) -> _Wording:
    return _WORDINGS[Event(notification.event)]


def _duration(seconds: int) -> str:
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        minutes, rest = divmod(seconds, _MINUTE)
        return f"{minutes} min {rest} s"
    hours, rest = divmod(seconds, _HOUR)
    return f"{hours} h {rest // _MINUTE} min"
