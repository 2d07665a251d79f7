# SPDX-License-Identifier: Apache-2.0
"""The words that people read. Plain text: a reporter escapes for its receiver."""

from __future__ import annotations

from collections.abc import Sequence

from podtracker.ledger import Event, Notification

MAX_TEXT = 3500
"""Characters of a digest. Slack advises 4,000 for `text` and cuts at 40,000; the rest is left to escaping."""

_VERBS = {Event.CREATED: "created"}


def text_for(notifications: Sequence[Notification]) -> str:
    """One message for one or several occurrences of one tracker; each pod is named."""
    by_event: dict[Event, list[str]] = {}
    for notification in notifications:
        by_event.setdefault(notification.event, []).append(notification.pod)
    lines = []
    for event, names in by_event.items():
        if len(names) == 1:
            lines.append(f"Pod {names[0]} was {_VERBS[event]}")
        else:
            lines.append(f"{len(names)} pods were {_VERBS[event]}: {', '.join(names)}")
    return "\n".join(lines)


def how_many_fit(notifications: Sequence[Notification], limit: int = MAX_TEXT) -> int:
    """How many of these, from the first, one digest can name within `limit` characters; at least one."""
    room = limit
    for count, notification in enumerate(notifications):
        room -= len(notification.pod) + len(", ")
        if room < _HEADLINES:
            return max(count, 1)
    return len(notifications)


_HEADLINES = 40 * len(_VERBS)
"""Characters kept for the words around the names."""
