# SPDX-License-Identifier: Apache-2.0
"""Scenario 7: thousands of matching pods: what the ledger weighs, what it costs to keep, how long a take-over takes."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from chaos.arena import Arena, NewArena
from chaos.chance import branch
from chaos.churn import Churn
from chaos.replica import Replica
from chaos.report import Report
from chaos.scale import Scale
from chaos.waiting import lasting
from support.waiting import until_second_after

_LIMIT = 900 * 1024
"""Bytes of an object; etcd takes 1.5 MB, the API server's ConfigMaps 1 MiB."""
_CHURN = [f"churn-{number}" for number in range(60)]


async def test_size(new_arena: NewArena, scale: Scale, report: Report) -> None:
    arena = await new_arena("size")
    arena.read_back(allowed=True)
    began = time.monotonic()
    names = [f"p-{number}" for number in range(scale.objects)]
    news = scale.objects // 10
    await arena.run(*names[news:])
    await until_second_after(time.time())
    await arena.track(*names, *_CHURN)
    made = time.monotonic() - began
    proxies = [await arena.new_proxy() for _ in range(3)]
    first, usual, third = (
        arena.new_replica(proxy, env) for proxy, env in zip(proxies, (_FAST, _USUAL, _FAST), strict=True)
    )
    first.spawn()
    start = await first.leads(within=120) - first.started_at
    usual.spawn()
    # The others are news, and are told.
    await arena.run(*names[:news])
    told = time.monotonic()
    await arena.told(within=600)
    told = time.monotonic() - told
    await usual.stands_by()
    handed = time.monotonic()
    first.terminate()
    handed = await usual.leads() - handed
    third.spawn()
    await third.stands_by()
    since, cpu = time.time(), _cpu(usual)
    async with Churn(arena.kube, arena.namespace, _CHURN, rng=branch(arena.rng)) as churn:
        await lasting(scale.measured)
        seconds = time.time() - since
        writes = {what: len(arena.recorder.writes_to(what, since=since)) / seconds for what in _KINDS}
        sent = sum(write.size for write in arena.recorder.writes_to("configmaps", since=since)) / seconds
        busy = (_cpu(usual) - cpu) / seconds
        ledger = await usual.number("pod_tracker_ledger_bytes")
        killed = time.monotonic()
        await usual.kill()
        taken = await third.leads() - killed
    verdict = await arena.settled(within=300)
    sizes = await _object_sizes(arena)
    takeover = await third.number("pod_tracker_takeover_seconds")
    report.add(
        f"7. {scale.objects} matching pods, a tracker each",
        {
            "of these made after their tracker": news,
            "pods and trackers made in": made,
            "first start to leader": start,
            f"these were told (pace {_FAST['SLACK_RATE']}/s) after": told,
            "ledger bytes (metric)": int(ledger),
            "ledger bytes per matching pod": ledger / scale.objects,
            "ledger objects": len(sizes),
            "largest object in the API, as JSON": max(sizes.values()),
            "bytes/s sent to the ledger, 20 pods/s": int(sent),
            **{f"writes/s to {what}, 20 pods/s": count for what, count in writes.items()},
            "CPU of the leader, cores": busy,
            "RSS of the last leader, MB": _rss(third),
            "take-over after SIGTERM": handed,
            "take-over after kill -9": taken,
            "pod_tracker_takeover_seconds": takeover,
            "pods made by the churn": churn.created,
            **verdict.rows(),
            "took": time.monotonic() - began,
        },
    )
    verdict.require()
    assert max(sizes.values()) < _LIMIT
    assert taken <= _TAKE_OVER


_TAKE_OVER = 20.0
_FAST = {"SLACK_RATE": "1000", "SLACK_BURST": "10"}
_USUAL = {"SLACK_RATE": "1", "SLACK_BURST": "3"}
"""The defaults, by which the cost is measured."""
_KINDS = ("configmaps/pod-tracker-journal", "configmaps/pod-tracker-ledger", "leases", "/status", "/events")


async def _object_sizes(arena: Arena) -> dict[str, int]:
    found = json.loads(await arena.kubectl("get", "configmaps", "--output=json"))["items"]
    return {
        body["metadata"]["name"]: len(json.dumps(body)) for body in found if "pod-tracker" in body["metadata"]["name"]
    }


def _cpu(operator: Replica) -> float:
    """Return the seconds of CPU that a process has used."""
    fields = Path(f"/proc/{operator.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss(operator: Replica) -> float:
    """Return the memory that a process has now, in MB."""
    pages = int(Path(f"/proc/{operator.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
