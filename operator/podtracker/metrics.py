# SPDX-License-Identifier: Apache-2.0
"""The operator's metrics. No label holds a tenant's name: their number would be the cluster's, not ours."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

disable_created_metrics()  # type: ignore[no-untyped-call]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _ReadCounter(Collector):
    """A counter that lives elsewhere as a plain integer, so that hot paths pay an addition and nothing more."""

    def __init__(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        self._name, self._documentation, self._read = name, documentation, read

    def collect(self) -> list[CounterMetricFamily]:
        return [CounterMetricFamily(self._name, self._documentation, value=self._read())]


class Metrics:
    """Everything exported under /metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own = self.registry
        self.occurrences = Counter(
            "pod_tracker_occurrences", "Occurrences settled, by event and outcome.", ("event", "outcome"), registry=own
        )
        self.attempts = Counter(
            "pod_tracker_delivery_attempts",
            "Requests to receivers, by kind and outcome.",
            ("kind", "outcome"),
            registry=own,
        )
        self.delivery_seconds = Histogram(
            "pod_tracker_delivery_seconds", "Duration of one request to a receiver.", ("kind",), registry=own
        )
        self.lists = Counter("pod_tracker_pod_lists", "Full lists of pods, by cause.", ("cause",), registry=own)
        self.watch_ends = Counter("pod_tracker_watch_ends", "Ends of pod watches, by cause.", ("cause",), registry=own)
        self.reconciles = Counter(
            "pod_tracker_reconciles", "Reconciles of trackers, by outcome.", ("outcome",), registry=own
        )
        self.status_writes = Counter(
            "pod_tracker_status_writes", "Writes of tracker status, by outcome.", ("outcome",), registry=own
        )
        self.checkpoint_writes = Counter(
            "pod_tracker_checkpoint_writes",
            "Writes of the ledger, by object and outcome.",
            ("object", "outcome"),
            registry=own,
        )
        self.checkpoint_seconds = Histogram("pod_tracker_checkpoint_seconds", "Duration of one commit.", registry=own)
        self.gaps = Counter("pod_tracker_gaps", "Times that pods may have come and gone unseen.", registry=own)
        self.readbacks = Counter(
            "pod_tracker_readbacks", "Looks whether a message had arrived, by outcome.", ("outcome",), registry=own
        )
        self.takeover_seconds = Gauge(
            "pod_tracker_takeover_seconds",
            "Time from the last sign of the leader before to having the lead.",
            registry=own,
        )
        self.api_requests = Counter(
            "pod_tracker_api_requests",
            "Requests to the API server, by method and status.",
            ("method", "code"),
            registry=own,
        )

    def gauge(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        """Export a value that lives elsewhere."""
        Gauge(name, documentation, registry=self.registry).set_function(read)

    def counter(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        """Export a count that lives elsewhere."""
        self.registry.register(_ReadCounter(name, documentation, read))

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)
