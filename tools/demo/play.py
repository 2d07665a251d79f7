# SPDX-License-Identifier: Apache-2.0
"""The demo itself, from an API server that answers to the message on the screen."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

from demo import hints, operator_process, tracker
from demo.cluster import DemoCluster
from demo.console import Console
from demo.errors import DemoError
from demo.kubectl import Kubectl
from demo.operator_process import OperatorProcess, Ports
from demo.settings import Settings
from demo.stage import IMAGE, OPERATOR_NAMESPACE, Checkout, Stage
from demo.tracker import Status, Tracker
from fakeslack.server import FakeSlack, Request

READY_TIMEOUT: Final = 60.0
"""Seconds for the operator to list and watch; one or two are normal."""

TRACKER_TIMEOUT: Final = 60.0
"""Seconds for a tracker to become ready or to have delivered; real Slack may ask for patience."""


@dataclass(slots=True)
class Play:
    """One performance in one cluster."""

    settings: Settings
    cluster: DemoCluster
    console: Console
    checkout: Checkout
    shown: bool = False
    """Whether the message was shown: from here on, Ctrl-C is a regular end."""

    async def run(self) -> None:
        """Perform, clean up; raises DemoError with the reason when the message did not come."""
        self.checkout.check()
        folder = self.settings.folder
        environment = {"KUBECONFIG": self.cluster.kubeconfig} if self.cluster.kubeconfig else {}
        kubectl = Kubectl(self.cluster.kubectl, {**environment, "KUBECACHEDIR": str(folder / "kubectl-cache")})
        sample = Tracker.from_sample(self.checkout.sample, self.settings.slack)
        stage = Stage(self.cluster, kubectl, self.console, sample)
        async with AsyncExitStack() as stack:
            await self._set_up(stage)
            stack.push_async_callback(self._tidy, stage)
            slack = None if self.settings.slack else await stack.enter_async_context(self._slack(sample))
            operator = await self._start_operator(stack, stage, slack)
            await operator.alive(self._perform(stage, slack))
            self.shown = True
            if self.settings.interactive:
                log, port = operator.log, operator.ports.metrics
                self.console.say("That was it. What to try next:")
                self.console.show(hints.what_next(self.cluster, sample, metrics_port=port, log=log))
                await operator.alive(asyncio.Event().wait())
            await self._close(operator, slack, sample)

    async def _set_up(self, stage: Stage) -> None:
        await stage.check_no_rival()
        await stage.check_untouched()
        async with self.console.patience("Installing the CRD and the operator's rights"):
            await stage.install(self.checkout)
        await stage.clear()

    async def _tidy(self, stage: Stage) -> None:
        if self.cluster.is_ours:  # all of it goes
            return
        await stage.strike()
        self.console.say(
            "CRD and rights stay in the cluster; `kubectl delete -k config/default` removes them and all trackers."
        )

    def _slack(self, sample: Tracker) -> FakeSlack:
        return FakeSlack(tokens={sample.token}, channels={sample.channel}, on_request=self._heard)

    def _heard(self, request: Request) -> None:
        self.console.say(f"Slack received: {request.summary()}")

    async def _start_operator(self, stack: AsyncExitStack, stage: Stage, slack: FakeSlack | None) -> OperatorProcess:
        folder = self.settings.folder
        kubeconfig, bound = folder / "operator.kubeconfig", Ports.choose()
        admin = json.loads(await stage.kubectl.run("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
        operator_process.write_kubeconfig(kubeconfig, admin, await stage.operator_token())
        stack.callback(kubeconfig.unlink, missing_ok=True)
        environment = operator_process.environment(
            os.environ,
            kubeconfig=kubeconfig,
            bound=bound,
            namespace=OPERATOR_NAMESPACE,
            watch=tracker.NAMESPACE if self.cluster.is_somebodys else "",
            slack_api_url=slack.url if slack else None,
        )
        operator = await stack.enter_async_context(OperatorProcess(environment, folder / "operator.log", bound))
        async with self.console.patience("Starting the operator with its own ServiceAccount"):
            await _within(
                READY_TIMEOUT, operator.wait_ready(), lambda: f"The operator is not ready. {operator.last_words()}"
            )
        return operator

    async def _perform(self, stage: Stage, slack: FakeSlack | None) -> None:
        sample, kubectl = stage.tracker, stage.kubectl
        if self.settings.slack:
            await kubectl.apply(tracker.secret(self.settings.slack))
        async with self.console.patience(f"Applying the tracker {sample.name}, which waits for the pod {sample.pod}"):
            await kubectl.apply(sample.manifest)
            await _reach(kubectl, sample, tracker.is_ready)
        if slack and slack.messages:
            raise DemoError(f"The tracker alone posted something already.\n{slack.summary()}")
        async with self.console.patience(f"kubectl run {sample.pod} --image={IMAGE}"):
            await stage.run_pod()
            status = await _reach(kubectl, sample, tracker.has_delivered)
        if slack:
            _check_one(slack, sample)
            self.console.show(f"#{sample.channel}  {slack.messages[0].text}")
        else:
            _check_counted_one(status)
            self.console.show(f"Slack took it for channel {sample.channel}:  {sample.text}")
        self.console.say("kubectl get podtrackers")
        self.console.show(await kubectl.run("-n", tracker.NAMESPACE, "get", "podtrackers"))

    async def _close(self, operator: OperatorProcess, slack: FakeSlack | None, sample: Tracker) -> None:
        """End the operator, which drains; only then is it certain that nothing came twice."""
        async with self.console.patience("Stopping the operator"):
            await operator.stop()
        if slack:
            _check_one(slack, sample)


async def _reach(kubectl: Kubectl, sample: Tracker, reached: tracker.Predicate) -> Status:
    try:
        async with asyncio.timeout(TRACKER_TIMEOUT):
            return await tracker.follow(kubectl, sample.name, reached)
    except TimeoutError:
        found = await kubectl.get(tracker.NAMESPACE, "podtracker", sample.name)
        state = tracker.describe((found or {}).get("status", {}))
        raise DemoError(f"Waited {TRACKER_TIMEOUT:.0f} s in vain for the tracker. {state}") from None


def _check_one(slack: FakeSlack, sample: Tracker) -> None:
    if [(message.channel, message.text) for message in slack.messages] != [(sample.channel, sample.text)]:
        raise DemoError(f"Exactly one message was due: {sample.text}\n{slack.summary()}")


def _check_counted_one(status: Status) -> None:
    if status.get("delivered") != 1:
        raise DemoError(f"Exactly one message was due, but the tracker counts {status.get('delivered')}.")


async def _within(seconds: float, work: Coroutine[Any, Any, object], explain: Callable[[], str]) -> None:
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        raise DemoError(f"Waited {seconds:.0f} s in vain. {explain()}") from None
