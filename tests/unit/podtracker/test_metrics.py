# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from podtracker.metrics import Metrics

ALLOWED_LABELS = {"event", "outcome", "kind", "cause", "method", "code", "object", "le"}
"""Their values come from short lists of ours. A tenant's names (namespace, tracker, pod, channel) must never be one."""


@pytest.fixture
def metrics() -> Metrics:
    made = Metrics()
    made.gauge("pod_tracker_pending", "What waits.", lambda: 7)
    made.counter("pod_tracker_candidates", "Looks.", lambda: 12)
    made.occurrences.labels("Created", "delivered").inc(3)
    made.attempts.labels("slack", "retry").inc()
    made.delivery_seconds.labels("slack").observe(0.2)
    made.lists.labels("start").inc()
    made.watch_ends.labels("timeout").inc()
    made.reconciles.labels("ok").inc()
    made.status_writes.labels("written").inc()
    made.api_requests.labels("GET", "200").inc()
    made.checkpoint_writes.labels("journal", "written").inc()
    made.readbacks.labels("read").inc()
    return made


def test_no_label_holds_a_tenants_name(metrics: Metrics) -> None:
    for attribute in vars(metrics).values():
        assert set(getattr(attribute, "_labelnames", ())) <= ALLOWED_LABELS
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            assert set(sample.labels) <= ALLOWED_LABELS


def test_all_names_are_ours_and_have_help(metrics: Metrics) -> None:
    families = list(text_string_to_metric_families(metrics.render().decode()))
    assert len(families) >= 12
    for family in families:
        assert family.name.startswith("pod_tracker_")
        assert family.documentation.endswith(".")


def test_values_that_live_elsewhere_are_read_when_scraped() -> None:
    metrics = Metrics()
    value = [1.0]
    metrics.gauge("pod_tracker_g", "G.", lambda: value[0])
    metrics.counter("pod_tracker_c", "C.", lambda: value[0])
    value[0] = 5.0
    text = metrics.render().decode()
    assert "pod_tracker_g 5.0" in text
    assert "pod_tracker_c_total 5.0" in text
    assert "# TYPE pod_tracker_c_total counter" in text or "# TYPE pod_tracker_c counter" in text


def test_two_operators_in_a_process_do_not_share_numbers() -> None:
    first, second = Metrics(), Metrics()
    first.lists.labels("start").inc()
    assert second.registry.get_sample_value("pod_tracker_pod_lists_total", {"cause": "start"}) is None


def test_there_are_no_created_series(metrics: Metrics) -> None:
    assert "_created" not in metrics.render().decode()
