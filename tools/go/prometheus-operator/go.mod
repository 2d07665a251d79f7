module pod-tracker.lost.backend/tools/prometheus-operator

go 1.24.0

// Not built: its folder example/prometheus-operator-crd has the CRDs of ServiceMonitor and PrometheusRule, for tests.
require github.com/prometheus-operator/prometheus-operator v0.86.1
