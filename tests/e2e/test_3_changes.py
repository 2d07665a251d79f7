# SPDX-License-Identifier: Apache-2.0
"""The operator is replaced while pods come and go: nothing is lost, nothing is doubled."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from e2e.api import Api
from e2e.churn import Churn
from e2e.deployment import leader, operator_pods, restarts
from e2e.scene import Scene, occurrence
from support.install import OPERATOR_NAMESPACE
from support.manifests import Json
from support.waiting import eventually

_RATE: Final = 10.0
_PODS_AROUND: Final = 40
"""Pods that are created before the change begins, and after it."""


async def test_a_rolling_upgrade_loses_and_doubles_nothing(scene: Scene) -> None:
    tracker = await scene.track("Created", "Deleted")
    before = {each["metadata"]["uid"] for each in await operator_pods(scene.api)}
    following = scene.deployment.next_image
    if following is None:
        pytest.skip("NEXT_IMG names no other image of the operator")
    async with Churn(scene, _RATE) as churn:
        await _more_pods(churn)
        await asyncio.to_thread(scene.deployment.upgrade, following)
        await eventually(lambda: _leads_other_than(scene.api, before), what="a new leader", within=60)
        await _more_pods(churn)
    await _require_each_told_once(scene, tracker, churn.pods)
    pods = await operator_pods(scene.api)
    assert {each["spec"]["containers"][0]["image"] for each in pods} == {following}
    assert restarts(pods) == 0


async def test_an_eviction_of_the_leader_loses_and_doubles_nothing(scene: Scene) -> None:
    tracker = await scene.track("Created", "Deleted")
    old = await eventually(lambda: leader(scene.api), what="a leader", within=60)
    assert old
    async with Churn(scene, _RATE) as churn:
        await _more_pods(churn)
        await scene.api.evict(old["metadata"]["name"], OPERATOR_NAMESPACE)
        await eventually(
            lambda: _leads_other_than(scene.api, {old["metadata"]["uid"]}), what="the other one leads", within=60
        )
        await _more_pods(churn)
    await _require_each_told_once(scene, tracker, churn.pods)
    scene.deployment.wait()


async def _more_pods(churn: Churn) -> None:
    goal = len(churn.pods) + _PODS_AROUND
    await eventually(lambda: len(churn.pods) >= goal, what="pods", within=90)


async def _leads_other_than(api: Api, uids: set[str]) -> bool:
    pod = await leader(api)
    return pod is not None and pod["metadata"]["uid"] not in uids


async def _require_each_told_once(scene: Scene, tracker: Json, pods: list[Json]) -> None:
    wanted = {occurrence(tracker, pod, event): (pod["metadata"]["name"], event)
              for pod in pods for event in ("Created", "Deleted")}  # fmt: skip
    await scene.until_told(*wanted, within=180)
    await scene.settled_lines()
    told = await scene.slack.ids(scene.channel)
    assert [wanted[one] for one in wanted if told[one] != 1] == []
