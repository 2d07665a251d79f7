# SPDX-License-Identifier: Apache-2.0
"""Where a scenario is played: a namespace of its own, with everything that happens to its pods written down."""

import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from devcluster.errors import ClusterError
from kindnode.cluster import NODE, Cluster
from recorder.reduction import reduced

_TIMEOUT: Final = 90.0
_READY_TIMEOUT: Final = 20.0
_POLL: Final = 0.2

Pod = Mapping[str, Any]
"""A pod as it was last seen."""


@dataclass(slots=True)
class View:
    """What was seen so far."""

    events: list[dict[str, Any]] = field(default_factory=list)
    pods: dict[str, Pod] = field(default_factory=dict)
    """The pods that exist, by uid."""


Question = Callable[[View], bool]


class Stage:
    """A namespace whose pods are watched; a context manager that removes the namespace in the end."""

    node: Final = NODE

    def __init__(self, cluster: Cluster, kubectl: Path, name: str) -> None:
        """Prepare to play the scenario `name`."""
        self._cluster = cluster
        self._kubectl = kubectl
        self._name = name
        self.namespace = f"trace-{name}"
        self.view = View()
        self.steps: list[dict[str, str]] = []
        self._changed = threading.Condition()
        self._watch: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Make the namespace and begin to watch.

        Raises:
            ClusterError: the API server refuses or does not answer.
        """
        self.kubectl("create", "namespace", self.namespace, outside=True)
        self._wait_account()
        listed = json.loads(self.kubectl("get", "--raw", f"/api/v1/namespaces/{self.namespace}/pods", outside=True))
        version = listed["metadata"]["resourceVersion"]
        path = f"/api/v1/namespaces/{self.namespace}/pods?watch=1&timeoutSeconds=3600&resourceVersion={version}"
        self._watch = subprocess.Popen(
            [self._kubectl, "get", "--raw", path],
            env={**os.environ, "KUBECONFIG": str(self._cluster.kubeconfig)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the watch and remove the namespace, without waiting for its end."""
        if self._watch is not None:
            self._watch.terminate()
            self._watch.wait()
        with contextlib.suppress(ClusterError):
            self.kubectl("delete", "namespace", self.namespace, "--wait=false", outside=True)

    def kubectl(self, *args: str, input: str | None = None, outside: bool = False) -> str:  # noqa: A002
        """Run kubectl, in the scenario's namespace unless `outside`, and return what it prints.

        Raises:
            ClusterError: it failed.
        """
        where = [] if outside else ["--namespace", self.namespace]
        done = self._cluster.kubectl(*where, *args, input=input)
        if done.returncode != 0:
            raise ClusterError(f"{self._name}: kubectl {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    def on_node(self, *command: str) -> str:
        """Run a command on the node and return what it prints.

        Raises:
            ClusterError: it failed.
        """
        answer = self._cluster.on_node(*command)
        if answer is None:
            raise ClusterError(f"{self._name}: {' '.join(command)} failed on the node")
        return answer

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Create objects."""
        for each in objects:
            self.kubectl("create", "-f", "-", input=json.dumps(each))

    def step(self, what: str) -> None:
        """Write down that something was done to the pods now, such as `the ConfigMap was created`."""
        self.steps.append({"at": now(), "what": what})

    def until(self, what: str, question: Question, timeout: float = _TIMEOUT) -> None:
        """Wait until what was seen answers the question with yes.

        Raises:
            ClusterError: it does not within `timeout` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: question(self.view), timeout):
                seen = [pod["status"] for pod in self.view.pods.values()]
                raise ClusterError(f"{self._name}: {what}: not within {timeout:.0f} s; seen: {json.dumps(seen)}")

    def settle(self, seconds: float) -> None:
        """Go on watching for a while, since nothing more should happen or an unknown number of things will."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)

    def _wait_account(self) -> None:
        """Wait for the ServiceAccount without which no pod is admitted."""
        deadline = time.monotonic() + _READY_TIMEOUT
        while time.monotonic() < deadline:
            with contextlib.suppress(ClusterError):
                self.kubectl("get", "serviceaccount", "default")
                return
            time.sleep(_POLL)
        raise ClusterError(f"{self._name}: the namespace gets no ServiceAccount")

    def _read(self) -> None:
        if self._watch is None or self._watch.stdout is None:
            return
        for line in self._watch.stdout:
            at = now()
            event = json.loads(line)
            if event["type"] not in ("ADDED", "MODIFIED", "DELETED"):
                continue
            pod = reduced(event["object"])
            with self._changed:
                self.view.events.append({"at": at, "type": event["type"], "object": pod})
                if event["type"] == "DELETED":
                    self.view.pods.pop(pod["metadata"]["uid"], None)
                else:
                    self.view.pods[pod["metadata"]["uid"]] = pod
                self._changed.notify_all()


def now() -> str:
    """Return the time as the API writes it, with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
