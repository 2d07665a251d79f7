# SPDX-License-Identifier: Apache-2.0
"""Which template makes which file; a file that another one reads comes before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from manifests.catalog import Channel, Published
from manifests.sources import Values
from podtracker import api

MANAGER: Final = "config/manager/manager.yaml"
SAMPLES: Final = "config/samples"
BUNDLE: Final = "bundle"
CATALOG: Final = "catalog"
_CRD: Final = f"{api.GROUP}_{api.PLURAL}.yaml"
_RBAC_GROUP: Final = "rbac.authorization.k8s.io_v1_clusterrole"


class Output(NamedTuple):
    """A template, relative to the templates, and the file it makes, relative to the repository."""

    template: str
    path: str
    source: str | None = None
    """A file rendered before; the template has it, parsed, as `source`."""
    variables: Mapping[str, Any] = {}
    """What this output's template has beside what all have."""


CONFIG: Final = (
    Output("crd.yaml.j2", f"config/crd/bases/{_CRD}"),
    *(
        Output(f"{path}.yaml.j2", f"config/{path}.yaml")
        for path in (
            "crd/kustomization",
            "rbac/service_account",
            "rbac/role",
            "rbac/role_binding",
            "rbac/leader_role",
            "rbac/leader_role_binding",
            "rbac/secret_reader_role",
            "rbac/metrics_reader_role",
            "rbac/podtracker_admin_role",
            "rbac/podtracker_editor_role",
            "rbac/podtracker_viewer_role",
            "rbac/kustomization",
            "manager/manager",
            "manager/pod_disruption_budget",
            "manager/kustomization",
            "default/namespace",
            "default/metrics_service",
            "default/kustomization",
            "samples/tracker",
            "samples/tracker_secret",
            "samples/tracker_rollouts",
            "samples/tracker_trouble",
            "samples/tracker_batch",
            "samples/tracker_digest",
            "samples/tracker_startup",
            "samples/tracker_suspended",
            "samples/tracker_webhook",
            "samples/tracker_apprise",
            "samples/kustomization",
            "policies/no_inline_keys",
            "policies/no_inline_keys_binding",
            "policies/kustomization",
            "prometheus/monitor",
            "prometheus/rules",
            "prometheus/kustomization",
            "network-policy/allow_metrics_traffic",
            "network-policy/kustomization",
            "grafana/dashboard",
            "grafana/kustomization",
            "slack/app_manifest",
            "scorecard/bases/config",
            "scorecard/patches/basic.config",
            "scorecard/patches/olm.config",
            "scorecard/kustomization",
            "manifests/kustomization",
        )
    ),
    Output("docs/rights.md.j2", "docs/user/rights.md"),
    Output("docs/install.md.j2", "docs/user/install.md"),
)
"""Needs nothing but the templates."""


def csv_path(values: Values) -> str:
    """Where the bundle's ClusterServiceVersion is."""
    return f"{BUNDLE}/manifests/{values.app}.clusterserviceversion.yaml"


def bundle_outputs(values: Values) -> Iterator[Output]:
    """What reads `config/`: the bundle, and the Dockerfiles."""
    roles = values.roles
    yield Output(
        "manifests/bases/clusterserviceversion.yaml.j2",
        f"config/manifests/bases/{values.app}.clusterserviceversion.yaml",
    )
    yield Output("bundle/clusterserviceversion.yaml.j2", csv_path(values))
    yield Output("crd.yaml.j2", f"{BUNDLE}/manifests/{_CRD}")
    for name, gvk, source in (
        (roles.secret_reader, _RBAC_GROUP, "rbac/secret_reader_role"),
        (roles.metrics_reader, _RBAC_GROUP, "rbac/metrics_reader_role"),
        (roles.tracker_admin, _RBAC_GROUP, "rbac/podtracker_admin_role"),
        (roles.tracker_editor, _RBAC_GROUP, "rbac/podtracker_editor_role"),
        (roles.tracker_viewer, _RBAC_GROUP, "rbac/podtracker_viewer_role"),
        (values.metrics_service, "v1_service", "default/metrics_service"),
        (values.deployment, "policy_v1_poddisruptionbudget", "manager/pod_disruption_budget"),
    ):
        yield Output("bundle/object.yaml.j2", f"{BUNDLE}/manifests/{name}_{gvk}.yaml", f"config/{source}.yaml")
    yield Output("bundle/annotations.yaml.j2", f"{BUNDLE}/metadata/annotations.yaml")
    yield Output("bundle/scorecard.yaml.j2", f"{BUNDLE}/tests/scorecard/config.yaml")
    for name in ("Dockerfile", "bundle.Dockerfile", "catalog.Dockerfile"):
        yield Output(f"{name}.j2", name)


def catalog_outputs(values: Values, versions: Sequence[Published], channels: Sequence[Channel]) -> Iterator[Output]:
    """What reads the bundle, and those of versions published before."""
    folder = f"{CATALOG}/{values.app}"
    yield Output("catalog/package.yaml.j2", f"{folder}/package.yaml")
    for channel in channels:
        variables = {"channel": {"name": channel.name, "entries": channel.entries}}
        yield Output("catalog/channel.yaml.j2", f"{folder}/channel-{channel.name}.yaml", variables=variables)
    for version in versions:
        path = f"{folder}/bundle-v{version.version}.yaml"
        yield Output("catalog/bundle.yaml.j2", path, variables={"blob": version.blob()})
