# SPDX-License-Identifier: Apache-2.0
"""The words that people read. Plain text: a reporter escapes for its receiver."""

from __future__ import annotations

from collections.abc import Sequence

from podtracker.ledger import Event, Notification

MAX_TEXT = 3500
"""Characters of a digest. Slack advises 4,000 for `text` and cuts at 40,000; the rest is left to escaping."""

_VERBS = {Event.CREATED: "created"}


MAX_PODS = 100
"""Pods that one digest names: its ids travel with it, and Slack limits a message's metadata."""


def text_for(notifications: Sequence[Notification], *, dropped: int = 0) -> str:
    """One message for one or several occurrences of one tracker; each pod is named.

    Args:
        notifications: what to tell.
        dropped: how many occurrences the tracker has lost to its quota since the last message.
    """
    by_event: dict[Event, list[str]] = {}
    for notification in notifications:
        by_event.setdefault(notification.event, []).append(notification.pod)
    lines = []
    for event, names in by_event.items():
        if len(names) == 1:
            lines.append(f"Pod {names[0]} was {_VERBS[event]}")
        else:
            lines.append(f"{len(names)} pods were {_VERBS[event]}: {', '.join(names)}")
    if dropped:
        lines.append(f"{dropped} more were dropped: too many were waiting")
    return "\n".join(lines)


def how_many_fit(notifications: Sequence[Notification], limit: int = MAX_TEXT) -> int:
    """How many of these, from the first, one digest can name within `limit` characters; at least one."""
    room = limit
    for count, notification in enumerate(notifications[:MAX_PODS]):
        room -= len(notification.pod) + len(", ")
        if room < _HEADLINES:
            return max(count, 1)
    return min(len(notifications), MAX_PODS)


_HEADLINES = 40 * len(_VERBS)
"""Characters kept for the words around the names."""
