# SPDX-License-Identifier: Apache-2.0
"""Questions about what was seen."""

from typing import Any

import pytest

from recorder import questions
from recorder.stage import Pod, Question, View


def view(*statuses: dict[str, Any], gone: int = 0) -> View:
    pods: dict[str, Pod] = {str(number): {"metadata": {}, "status": status} for number, status in enumerate(statuses)}
    return View(events=[{"type": "DELETED"}] * gone, pods=pods)


def container(state: dict[str, Any], restarts: int = 0, last: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"containerStatuses": [{"state": state, "restartCount": restarts, "lastState": last or {}}]}


READY: dict[str, Any] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
WAITS = container({"waiting": {"reason": "CrashLoopBackOff"}}, 3, {"terminated": {"reason": "OOMKilled"}})
RUNS: dict[str, Any] = {"initContainerStatuses": [{"state": {"running": {}}, "restartCount": 1}]}


@pytest.mark.parametrize(
    ("question", "yes", "no"),
    [
        (questions.ready(2), view(READY, READY), view(READY)),
        (questions.unready, view(WAITS), view(READY)),
        (questions.restarts(3), view(WAITS), view(RUNS)),
        (questions.waiting("CrashLoopBackOff"), view(WAITS), view(RUNS)),
        (questions.terminated("OOMKilled"), view(WAITS), view(RUNS)),
        (questions.running, view(RUNS), view(WAITS)),
        (questions.phase("Running"), view(READY), view(WAITS)),
        (questions.is_condition("Ready", "True"), view(READY), view(WAITS)),
        (questions.deleted(2), view(gone=2), view(gone=1)),
        (questions.exists, view(READY), view()),
    ],
)
def test_question(question: Question, yes: View, no: View) -> None:
    assert question(yes)
    assert not question(no)
