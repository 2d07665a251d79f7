# SPDX-License-Identifier: Apache-2.0
"""What a tracker's text may name, and what can be wrong with one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

import msgspec

from podtracker.api import WorkloadRef
from podtracker.errors import PodTrackerError
from podtracker.ledger import Detail, Notification
from podtracker.times import rfc3339
from podtracker.trackers import TrackerIdentity

MAX_LABELS: Final = 8
"""Different labels that one text may read: they are kept with every occurrence that waits."""

Value: TypeAlias = str | int | None
"""What a variable has; None where that is not known or does not apply."""


_MAX_WORD: Final = 100
"""Characters that are shown of a reason; Kubernetes' own are shorter."""


def word(text: str) -> str:
    """A reason, which whoever may write a pod's status chooses freely: in one line, and of a bounded length.

    Signs that are not shown themselves but change what is, such as those for writing from right to left, are left out.
    """
    shown = "".join(sign if sign.isprintable() else " " for sign in text[: _MAX_WORD + 1])
    line = " ".join(shown.split())
    return line if len(text) <= _MAX_WORD else line[: _MAX_WORD - 1] + "…"


class Author(str):
    """Text that stands in the template itself: the author's own words, links and mentions are theirs to choose."""

    __slots__ = ()


class TemplateError(PodTrackerError):
    """A tracker's text cannot be used; `message` says what is wrong in `line` and what would be right."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line
        self.message = message


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What a text is about."""

    notification: Notification
    tracker: TrackerIdentity
    workload: WorkloadRef | None = None
    cluster: str = ""
    text: str
    """The default text of this occurrence, not escaped."""

    @property
    def detail(self) -> Detail:
        """What is known beyond the pod."""
        return self.notification.detail

    def label(self, key: str) -> str | None:
        """The value of one of the pod's labels."""
        return next((value for name, value in self.detail.labels if name == key), None)


class Variable(msgspec.Struct, frozen=True):
    """Something that a text can name."""

    means: str
    example: str
    """As a text would show it."""
    read: Callable[[Subject], Value]
    number: bool = False


VARIABLES: Final[Mapping[str, Variable]] = {
    "pod.name": Variable("the pod's name", "web-1", lambda it: it.notification.pod),
    "pod.namespace": Variable("its namespace", "shop", lambda it: it.notification.namespace),
    "pod.uid": Variable("its uid", "0c1f9a3e-…", lambda it: it.notification.pod_uid or None),
    "pod.node": Variable("the node it runs on", "worker-3", lambda it: it.detail.node or None),
    "event.type": Variable("what happened", "Restarted", lambda it: it.notification.event),
    "event.container": Variable("the container it is about", "app", lambda it: it.detail.container or None),
    "event.reason": Variable("Kubernetes' word for why", "Error", lambda it: word(it.detail.reason) or None),
    "event.exitCode": Variable("how the container ended", "1", lambda it: it.detail.exit_code, number=True),
    "event.restarts": Variable(
        "how often the container was started again", "3", lambda it: it.detail.restarts, number=True
    ),
    "event.readyAfterSeconds": Variable(
        "for Ready: seconds since the pod was created", "12", lambda it: it.detail.seconds, number=True
    ),
    "event.time": Variable(
        "when it happened, UTC",
        "2027-01-01T00:00:00Z",
        lambda it: rfc3339(it.notification.at) if it.notification.at else None,
    ),
    "event.text": Variable("the default text", "Pod shop/web-1: container app crashed (…)", lambda it: it.text),
    "tracker.name": Variable("the tracker's name", "web-crashes", lambda it: it.tracker.name),
    "tracker.namespace": Variable("its namespace", "shop", lambda it: it.tracker.namespace),
    "workload.kind": Variable(
        "the kind in workloadRef", "Deployment", lambda it: it.workload.kind if it.workload is not None else None
    ),
    "workload.name": Variable(
        "the name in workloadRef", "web", lambda it: it.workload.name if it.workload is not None else None
    ),
    "cluster": Variable("the cluster's name, where the operator was told one", "prod", lambda it: it.cluster or None),
}
"""By name. Beside these stands `pod.labels['key']`, for any constant key."""
LABEL: Final = "pod.labels['key']"
LABEL_MEANS: Final = "the value of that label of the pod; the key is written out"

MAX_TRUNCATE: Final = 3000
"""Characters that `truncate` may be asked for."""
FILTERS: Final[Mapping[str, str]] = {
    "upper": "in capitals",
    "lower": "in small letters",
    "capitalize": "the first letter a capital, all others small",
    "title": "every word begins with a capital",
    "trim": "without white space at both ends",
    "truncate": "truncate(80): at most 80 characters, words kept whole; truncate(80, true) cuts words",
    "default": "default('none'): this text or number where nothing is known",
}
"""By name, what each does; those of Jinja, where it has them."""

Program: TypeAlias = Callable[[Subject], Iterator[str]]
"""Gives a text in parts, each when it is asked for: the author's own as `Author`, the values of variables as `str`."""
