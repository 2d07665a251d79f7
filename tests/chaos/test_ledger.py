# SPDX-License-Identifier: Apache-2.0
"""What is kept of the past goes missing, is damaged, or was written by a newer version."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from chaos.arena import Arena, NewArena
from chaos.replica import Replica
from chaos.report import Report
from chaos.scale import Scale

_JOURNAL = "pod-tracker-journal"
_LABEL = "app.kubernetes.io/managed-by=pod-tracker"
_PODS = [f"web-{number}" for number in range(30)]
_RARE = {"journal deleted", "shard deleted"}
_NEWER_FORMAT = 5
"""The exit status where the ledger is of a newer version."""


async def _told_and_stopped(arena: Arena) -> Replica:
    """Let an operator tell 30 pods and end."""
    arena.read_back(allowed=True)
    operator = arena.new_replica(await arena.new_proxy())
    operator.spawn()
    await operator.leads()
    await arena.track(*_PODS)
    await arena.run(*_PODS)
    await arena.settled()
    await operator.stop()
    return operator


async def _maps(arena: Arena) -> dict[str, dict[str, Any]]:
    found = json.loads(await arena.kubectl("get", "configmaps", "--selector", _LABEL, "--output=json"))["items"]
    return {body["metadata"]["name"]: body for body in found}


async def _patch(arena: Arena, name: str, patch: dict[str, Any]) -> None:
    await arena.kubectl("patch", "configmap", name, "--type=merge", f"--patch={json.dumps(patch)}")


@pytest.mark.parametrize("harm", ["everything deleted", "journal deleted", "shard deleted", "shard damaged"])
async def test_ledger_lost(new_arena: NewArena, scale: Scale, report: Report, harm: str) -> None:
    """It starts as new, says so loudly, and floods nobody; what comes later is told."""
    if harm in _RARE and not scale.thorough:
        pytest.skip("full scale only")
    arena = await new_arena("lost")
    operator = await _told_and_stopped(arena)
    maps = await _maps(arena)
    shard = next(name for name, body in maps.items() if name != _JOURNAL and body.get("binaryData"))
    if harm == "everything deleted":
        await arena.kubectl("delete", "configmaps", "--selector", _LABEL)
    elif harm == "shard damaged":
        (key,) = maps[shard]["binaryData"]
        raw = bytearray(base64.b64decode(maps[shard]["binaryData"][key]))
        raw[len(raw) // 2] ^= 0xFF
        await _patch(arena, shard, {"binaryData": {key: base64.b64encode(raw).decode()}})
    else:
        await arena.kubectl("delete", "configmap", _JOURNAL if harm == "journal deleted" else shard)
    arena.excused |= set(await arena.run("late-0"))  # nobody tracks it; it only passes the time
    before = len(arena.messages)
    operator.spawn()
    await operator.leads()
    await arena.fence()
    flood = len(arena.messages) - before
    events = await arena.noted("LedgerMissing", len(_PODS))
    await arena.remove(*_PODS[:5])
    await arena.run(*_PODS[:5])
    verdict = await arena.settled()
    gaps = await operator.number("pod_tracker_gaps_total")
    said = operator.said("ledger missing, starting as new")
    await operator.stop()
    operator.spawn()
    await operator.leads()
    await arena.fence()
    report.add(
        f"The ledger is lost while the operator is down: {harm}",
        {
            "messages about what existed": flood,
            "log lines": len(said),
            "gaps reported by the metric": gaps,
            "Events LedgerMissing": len(events),
            **verdict.rows(),
        },
    )
    assert flood == 0
    assert len(said) == 1
    assert gaps == 1
    arena.verdict().require()
    assert len(operator.said("ledger missing, starting as new")) == 1


async def test_ledger_deleted_under_it(new_arena: NewArena, report: Report) -> None:
    """What is deleted while an operator leads is written anew from what it remembers; the next one misses nothing."""
    arena = await new_arena("deleted")
    operator = await _told_and_stopped(arena)
    operator.spawn()
    await operator.leads()
    await arena.kubectl("delete", "configmaps", "--selector", _LABEL)
    await arena.remove(*_PODS[:5])
    await arena.run(*_PODS[:5])
    await arena.told()
    await operator.kill()
    operator.spawn()
    await operator.leads()
    verdict = await arena.settled()
    report.add("The ledger is deleted under a leader, which is then killed", verdict.rows())
    verdict.require()
    assert not operator.said("ledger missing, starting as new")


@pytest.mark.parametrize("where", ["journal", "shard"])
async def test_newer_format(new_arena: NewArena, where: str) -> None:
    """It ends with a sentence, has never led, and leaves everything as it was."""
    arena = await new_arena("newer")
    operator = await _told_and_stopped(arena)
    maps = await _maps(arena)
    if where == "journal":
        head = json.loads(maps[_JOURNAL]["data"]["meta"])
        await _patch(arena, _JOURNAL, {"data": {"meta": json.dumps(head | {"format": head["format"] + 1})}})
    else:
        name, body = next((name, body) for name, body in maps.items() if name != _JOURNAL and body.get("binaryData"))
        (key,) = body["binaryData"]
        raw = bytearray(base64.b64decode(body["binaryData"][key]))
        raw[0] += 1
        await _patch(arena, name, {"binaryData": {key: base64.b64encode(raw).decode()}})
    before = await _maps(arena)
    leads = len(operator.said("became leader"))
    operator.spawn()
    assert await operator.wait_exit(30) == _NEWER_FORMAT, operator.tail()
    assert "newer version" in operator.output()
    assert len(operator.said("became leader")) == leads
    after = await _maps(arena)
    assert {name: (one.get("data"), one.get("binaryData")) for name, one in after.items()} == {
        name: (one.get("data"), one.get("binaryData")) for name, one in before.items()
    }
    # The lease is free again at once for a version that understands.
    lease = json.loads(await arena.kubectl("get", "lease", "pod-tracker-leader", "--output=json"))
    assert not lease["spec"].get("holderIdentity")
