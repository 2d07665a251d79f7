# SPDX-License-Identifier: Apache-2.0
"""`config/`: the Deployment, what kustomize makes of the overlays, alerts with their pages and metrics that exist."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from manifests.cli import REPOSITORY, main
from manifests.errors import TemplateError
from manifests.installer import installer
from manifests.render import render
from podtracker.metrics import Metrics
from podtracker.settings import load

RENDERED = render(REPOSITORY / "templates")
OVERLAYS = sorted(path.removesuffix("/kustomization.yaml") for path in RENDERED if path.endswith("/kustomization.yaml"))


def parsed(path: str) -> Any:
    return yaml.safe_load(RENDERED[path])


DEPLOYMENT = parsed("config/manager/manager.yaml")
POD = DEPLOYMENT["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]


@pytest.fixture(scope="session")
def kubectl() -> str:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pod-tracker"
    built = [*cache.glob("dev-bin/kubectl"), *cache.glob("bin/*/kubectl")]
    found = next((str(path) for path in built if path.is_file()), None) or shutil.which("kubectl")
    if found is None:
        pytest.skip("no kubectl in the cache folder nor on PATH; `make binaries` builds one")
    return found


def kustomize(kubectl: str, overlay: str) -> list[dict[str, Any]]:
    done = subprocess.run(  # noqa: S603 - kubectl, of our cache
        [kubectl, "kustomize", str(REPOSITORY / overlay)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return list(yaml.safe_load_all(done.stdout))


def identity(manifest: dict[str, Any]) -> tuple[str, str, str]:
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]


def test_two_replicas_that_avoid_each_other_and_can_be_taken_one_at_a_time() -> None:
    assert DEPLOYMENT["spec"]["replicas"] == 2
    selector = DEPLOYMENT["spec"]["selector"]["matchLabels"]
    assert selector.items() <= DEPLOYMENT["spec"]["template"]["metadata"]["labels"].items()
    assert "app.kubernetes.io/version" not in selector
    (avoided,) = POD["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert avoided["podAffinityTerm"]["labelSelector"]["matchLabels"] == selector
    assert POD["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"] == selector
    budget = parsed("config/manager/pod_disruption_budget.yaml")["spec"]
    assert budget == {"maxUnavailable": 1, "selector": {"matchLabels": selector}}
    assert parsed("config/default/metrics_service.yaml")["spec"]["selector"] == selector


def test_the_pod_is_restricted() -> None:
    assert POD["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert CONTAINER["name"] == "manager"
    assert CONTAINER["resources"].keys() == {"requests", "limits"}
    assert CONTAINER["resources"]["requests"].keys() == {"cpu", "memory"}
    assert "volumes" not in POD


def test_probes_and_metrics_are_where_the_operator_serves_them() -> None:
    settings = load({}, {variable["name"]: variable["value"] for variable in CONTAINER["env"] if "value" in variable})
    ports = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
    assert settings.health_address is not None
    assert settings.metrics_address is not None
    assert ports == {"health": settings.health_address.port, "metrics": settings.metrics_address.port}
    assert CONTAINER["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "health"}
    assert CONTAINER["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}
    (endpoint,) = parsed("config/prometheus/monitor.yaml")["spec"]["endpoints"]
    (port,) = parsed("config/default/metrics_service.yaml")["spec"]["ports"]
    assert (endpoint["port"], port["targetPort"], port["port"]) == (port["name"], "metrics", ports["metrics"])
    assert settings.drain_timeout < POD["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kustomize_builds(overlay: str, kubectl: str) -> None:
    built = kustomize(kubectl, overlay)
    assert built
    assert len({identity(manifest) for manifest in built}) == len(built)


def test_the_installer_is_what_kustomize_makes_of_the_default(kubectl: str) -> None:
    ours = list(yaml.safe_load_all(installer(RENDERED)))
    theirs = kustomize(kubectl, "config/default")
    assert sorted(ours, key=identity) == sorted(theirs, key=identity)


def test_the_installer_begins_with_what_the_others_need() -> None:
    kinds = [manifest["kind"] for manifest in yaml.safe_load_all(installer(RENDERED))]
    assert kinds[:2] == ["Namespace", "CustomResourceDefinition"]
    assert kinds.index("ServiceAccount") < kinds.index("Deployment")


def test_the_installer_refuses_what_it_cannot_do() -> None:
    path = "config/default/kustomization.yaml"
    with pytest.raises(TemplateError, match=r"has namePrefix, which installer.py cannot do"):
        installer({**RENDERED, path: RENDERED[path] + "namePrefix: other-\n"})


def test_the_installer_into_a_file(tmp_path: Path) -> None:
    file = tmp_path / "dist/install.yaml"
    assert main(["installer", "--output", str(file), "--image", "example.org/x/y:dev"]) == 0
    assert 'image: "example.org/x/y:dev"' in file.read_text(encoding="utf-8")


ALERTS = [rule for group in parsed("config/prometheus/rules.yaml")["spec"]["groups"] for rule in group["rules"]]
RUNBOOK = REPOSITORY / "docs/runbook"


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_every_alert_has_a_page(alert: dict[str, Any]) -> None:
    page = RUNBOOK / f"{alert['alert']}.md"
    assert alert["annotations"]["runbook_url"].endswith(f"/docs/runbook/{page.name}")
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {alert['alert']}\n")
    for part in ("**What it means for users.**", "**Look", "**Mend"):
        assert part in text
    row = f"| [{alert['alert']}]({page.name}) | {alert['labels']['severity']} |"
    assert row in (RUNBOOK / "README.md").read_text(encoding="utf-8")


def test_no_page_without_its_alert() -> None:
    assert {page.stem for page in RUNBOOK.glob("*.md")} - {"README"} == {alert["alert"] for alert in ALERTS}


def dashboard() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(parsed("config/grafana/dashboard.yaml")["data"]["pod-tracker.json"])
    return data


def queries() -> Iterator[str]:
    yield from (alert["expr"] for alert in ALERTS)
    yield from (target["expr"] for panel in dashboard()["panels"] for target in panel["targets"])


def test_every_metric_in_a_query_exists() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "operator/podtracker").glob("*.py"))
    named = set(re.findall(r'"(pod_tracker_[a-z_]+)"', source))
    counters = {f"{name}_total" for name in named}
    histograms = {f"{name}_bucket" for name in named}
    used = {name for query in queries() for name in re.findall(r"pod_tracker_[a-z_]+", query)}
    assert used <= named | counters | histograms
    gauges = used & named
    text = Metrics().render().decode()
    assert {name for name in gauges if f"# TYPE {name} counter" in text or f"# TYPE {name} histogram" in text} == set()


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(dashboard()["panels"])


def test_scopes_of_the_slack_app() -> None:
    scopes = parsed("config/slack/app_manifest.yaml")["oauth_config"]["scopes"]
    assert scopes == {"bot": ["chat:write", "channels:history"], "bot_optional": ["channels:history"]}
