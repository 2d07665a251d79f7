# SPDX-License-Identifier: Apache-2.0
"""`podtracker explain`: what a tracker's text can name, what can be done with it, and what can be told."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

from podtracker.api import Event
from podtracker.commands.examples import example
from podtracker.messages import text_for
from podtracker.templates.vocabulary import FILTERS, LABEL, LABEL_MEANS, VARIABLES

EVENTS: Final[Mapping[Event, str]] = {
    Event.CREATED: "the pod exists",
    Event.STARTED: "every container of the pod ran for the first time",
    Event.READY: "the pod is ready for the first time; tells how long that took",
    Event.RESTARTED: "a container ended and was started again; told each time, with how it ended",
    Event.CRASH_LOOPING: "a container crashes again and again, and Kubernetes waits longer each time",
    Event.OOM_KILLED: "a container used more memory than it may and was killed",
    Event.IMAGE_PULL_FAILED: "an image cannot be had: a wrong name, no access, a registry that is away",
    Event.START_FAILED: "a container cannot be started: its configuration, its command, volumes that never come",
    Event.UNSCHEDULABLE: "no node can take the pod, for longer than a minute",
    Event.FAILED: "the pod ended and does not come back; evictions too, with the reason",
    Event.SUCCEEDED: "all containers ended well, as those of a job do",
    Event.DELETED: "the pod is gone",
    Event.RECOVERED: "a pod that was in trouble has been ready for three minutes",
}
_SYNTAX: Final = """
In a text: {{ pod.name | upper }}, {% if event.exitCode != none %}…{% elif … %}…{% endif %}, ~ joins texts.
"""
_ONCE: Final = "Told once per pod."
_EPISODE: Final = "Told once until the pod has recovered."
_EACH_TIME: Final = "Told each time."
_OFTEN: Final[Mapping[Event, str]] = {
    Event.RESTARTED: _EACH_TIME,
    Event.RECOVERED: _EACH_TIME,
    Event.CRASH_LOOPING: _EPISODE,
    Event.OOM_KILLED: _EPISODE,
    Event.IMAGE_PULL_FAILED: _EPISODE,
    Event.START_FAILED: _EPISODE,
    Event.UNSCHEDULABLE: _EPISODE,
}


def run(topic: str | None, name: str | None) -> int:
    """Print everything, one topic, or one thing; returns the exit code."""
    tables = {
        "variable": {
            **{name: f"{variable.means}, such as {variable.example}" for name, variable in VARIABLES.items()},
            LABEL: LABEL_MEANS,
        },
        "filter": dict(FILTERS),
        "event": {event.value: sentence for event, sentence in EVENTS.items()},
    }
    if topic is None:
        sys.stdout.write("\n".join(_table(title, rows) for title, rows in tables.items()))
        sys.stdout.write(
            "\nIn a text: {{ pod.name | upper }}, {% if event.exitCode != none %}…{% endif %}, ~ joins texts.\n"
        )
        return 0
    if name is None:
        sys.stdout.write(_table(topic, tables[topic]))
        return 0
    rows = {key.lower(): key for key in tables[topic]}
    found = rows.get(name.lower())
    if found is None:
        near = get_close_matches(name.lower(), rows, n=1)
        hint = f"did you mean {rows[near[0]]}?" if near else f"there are {', '.join(rows.values())}"
        sys.stderr.write(f"podtracker: no {topic} {name}; {hint}\n")
        return 2
    sys.stdout.write(f"{found}: {tables[topic][found]}\n")
    if topic == "event":
        sys.stdout.write(_event(Event(found)))
    return 0


def _table(topic: str, rows: Mapping[str, str]) -> str:
    width = max(map(len, rows))
    lines = [f"  {name:{width}}  {means}" for name, means in rows.items()]
    return "\n".join((f"{topic.capitalize()}s", *lines)) + "\n"


def _event(event: Event) -> str:
    """What is told of an event."""
    one, other = example(event), example(event, pod="web-2")
    lines = (_OFTEN.get(event, _ONCE), f"One:     {text_for([one])}", f"Several: {text_for([one, other])}")
    return "\n".join(lines) + "\n"
