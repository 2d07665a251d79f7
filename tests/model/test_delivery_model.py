# SPDX-License-Identifier: Apache-2.0
"""Any life of pods, trackers, watches, receivers and operators, with crashes anywhere: each news once, nothing else.

`HYPOTHESIS_PROFILE=thorough` looks for longer, and elsewhere each time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from model.cluster import Cluster
from model.fates import Fates
from model.instance import SimulationLoop, Stage, simulation
from model.judge import Judge
from model.slack import Slack
from model.world import NAMESPACES, World

THOROUGH: Final = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
EXAMPLES: Final = int(os.environ.get("MODEL_EXAMPLES", "3000" if THOROUGH else "100"))

Act = Callable[[World, int], None]

ACTS: Final[tuple[Act, ...]] = (
    *(World.pod_made,) * 6,
    *(World.pod_deleted,) * 2,
    World.pod_touched,
    *(World.tracker_made,) * 2,
    World.tracker_renamed,
    World.tracker_moved,
    World.tracker_deleted,
    World.watches_cut,
    World.past_forgotten,
    World.api_server_away,
    *(World.receiver_changes,) * 2,
    *(World.killed_on_the_way,) * 4,
    World.killed,
    World.replaced,
    World.terminated,
    World.rivalled,
    *(World.time_passes,) * 2,
    World.journal_deleted,
)
"""What can happen next; what stands twice happens twice as often."""
PAUSES: Final = (0.0, 0.03, 0.6, 1.5)
"""Seconds until the next."""


@dataclass(frozen=True)
class Plan:
    """One life."""

    acts: list[tuple[Act, int, float]]
    fates: bytes
    harmless: bool
    readable: bool
    whole: bool
    page_size: int


plans = st.builds(
    Plan,
    acts=st.lists(
        st.tuples(st.sampled_from(ACTS), st.integers(0, 39), st.sampled_from(PAUSES)), min_size=5, max_size=50
    ),
    fates=st.binary(max_size=300),
    harmless=st.booleans(),
    readable=st.booleans(),
    whole=st.booleans(),
    page_size=st.sampled_from((500, 1)),
)


@given(plan=plans)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=not THOROUGH,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
def test_each_news_is_told_once_and_nothing_else(plan: Plan) -> None:
    with simulation() as errors, asyncio.Runner(loop_factory=SimulationLoop) as runner:
        runner.run(_life(plan, errors))
    assert not errors, "\n".join(errors)


async def _life(plan: Plan, errors: list[str]) -> None:
    cluster = Cluster()
    stage = Stage(
        cluster=cluster,
        slack=Slack(readable=plan.readable),
        judge=Judge(cluster, readable=plan.readable),
        fates=Fates(plan.fates, harmless=plan.harmless),
        scopes="" if plan.whole else ",".join(NAMESPACES),
        page_size=plan.page_size,
        note=note,
    )
    world = World(stage, bugs=errors)
    await world.live(plan.acts)
