# SPDX-License-Identifier: Apache-2.0
"""The recorded traces are whole, and there is one of each scenario."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from recorder import scenarios
from recorder.script import SCENARIOS

_FOLDER = Path(__file__).resolve().parents[2] / "data" / "traces"
_TRACES = sorted(_FOLDER.glob("*.jsonl"))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_trace_has_its_scenario() -> None:
    assert scenarios.__all__
    assert {path.stem for path in _TRACES} <= set(SCENARIOS)
    assert len(_TRACES) >= 25


@pytest.mark.parametrize("path", _TRACES, ids=lambda path: path.stem)
def test_a_trace_is_whole(path: Path) -> None:
    header, *events = lines(path)
    assert header["trace"] == path.stem
    assert header["cause"] == SCENARIOS[path.stem].cause
    assert header["kubernetes"].startswith("v1.")
    times = [datetime.fromisoformat(event["at"]) for event in events]
    assert times == sorted(times)
    alive: dict[str, int] = {}
    gone: set[str] = set()
    for event in events:
        metadata = event["object"]["metadata"]
        uid, version = metadata["uid"], int(metadata["resourceVersion"])
        assert (event["type"] == "ADDED") == (uid not in alive)
        assert uid not in gone
        assert version > alive.get(uid, 0)
        alive[uid] = version
        if event["type"] == "DELETED":
            gone.add(uid)
