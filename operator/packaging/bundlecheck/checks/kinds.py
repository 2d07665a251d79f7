# SPDX-License-Identifier: Apache-2.0
"""§1c: which objects may lie in manifests/, and what holds for them."""

from __future__ import annotations

from typing import Final

from bundlecheck import names
from bundlecheck.node import Node
from bundlecheck.registry import ERROR, WARNING, Problems, check
from bundlecheck.subject import CRD_KIND, CSV_KIND, Subject

_ALWAYS: Final = frozenset({
    CSV_KIND, CRD_KIND, "ClusterRole", "ClusterRoleBinding", "Service", "ServiceAccount", "Role", "RoleBinding",
    "Secret", "ConfigMap", "PodDisruptionBudget", "PriorityClass",
})  # fmt: skip
_NEEDS_CRD: Final = frozenset({
    "PrometheusRule", "ServiceMonitor", "VerticalPodAutoscaler", "ConsoleYAMLSample", "ConsoleQuickStart",
    "ConsoleCLIDownload", "ConsoleLink", "ConsolePlugin",
})  # fmt: skip
_RBAC: Final = frozenset({"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"})
_POD_MONITOR: Final = "PodMonitor"
_NETWORK_POLICY: Final = "NetworkPolicy"
_DEFAULT_SCCS: Final = frozenset({
    "anyuid", "hostaccess", "hostmount-anyuid", "hostnetwork", "hostnetwork-v2", "node-exporter", "nonroot",
    "nonroot-v2", "privileged", "restricted", "restricted-v2",
})  # fmt: skip


@check(
    "kind-supported",
    ERROR,
    "§1c; operator-sdk, operator-registry, OLM v1",
    "Take it out of the bundle; what the operator needs besides, it can make itself.",
    needs_csv=False,
)
def supported(subject: Subject) -> Problems:
    """Every object is of a kind that OLM installs."""
    allowed = _ALWAYS | _NEEDS_CRD | {_POD_MONITOR, _NETWORK_POLICY}
    for node in subject.manifests():
        kind = node.at("kind")
        if kind.text and kind.text not in allowed:
            yield kind, f"OLM installs no {kind.text} from bundles"


@check(
    "object-metadata",
    ERROR,
    "§1c; operator-sdk, ObjectMeta of every object; Kubernetes",
    "Write names, and keys and values of labels, as Kubernetes takes them: letters, digits, `-`, `_`, `.`, 63 at most.",
    needs_csv=False,
)
def object_metadata(subject: Subject) -> Problems:
    """Every object has a name and labels that an API server takes."""
    for node in subject.manifests():
        metadata = node.at("metadata")
        name, kind = metadata.at("name"), node.at("kind").text
        valid = names.is_path_segment if kind in _RBAC else names.is_subdomain
        if name.text and kind != CSV_KIND and not valid(name.text):
            yield name, f"`{name.text}` is no name for a {kind}"
        for part in (metadata.at("labels"), metadata.at("annotations")):
            for key, value in part.fields():
                if not names.is_key(key):
                    yield value, f"`{key}` is no key"
        for _, value in metadata.at("labels").fields():
            if not names.is_label_value(value.text):
                yield value, f"`{value.text}` is no value of a label"


@check(
    "kind-pod-monitor",
    ERROR,
    "§1c; operator-sdk 1.42 refuses it, and so does OLM v0's InstallPlan",
    "Keep PodMonitors under config/.",
    needs_csv=False,
)
def pod_monitor(subject: Subject) -> Problems:
    """The bundle has no PodMonitor."""
    for node in subject.objects(_POD_MONITOR):
        yield node.at("kind"), "OLM v0 cannot install a PodMonitor"


@check(
    "kind-needs-crd",
    ERROR,
    "§1c, §1j; OLM v0: the InstallPlan fails where the cluster does not know the kind",
    "Keep it under config/, for those clusters that have the kind.",
    needs_csv=False,
)
def needs_crd(subject: Subject) -> Problems:
    """The bundle installs on clusters without Prometheus operator, autoscaler and OpenShift's console."""
    for node in subject.objects(*_NEEDS_CRD):
        yield node.at("kind"), f"clusters that do not know {node.at('kind').text} refuse the whole bundle"


@check(
    "kind-network-policy",
    ERROR,
    "§1c, §1h; OperatorHub pipeline, check_network_policy_presence",
    "Keep NetworkPolicies under config/.",
    needs_csv=False,
)
def network_policy(subject: Subject) -> Problems:
    """The bundle has no NetworkPolicy."""
    for node in subject.objects(_NETWORK_POLICY):
        yield node.at("kind"), "OperatorHub's pipeline refuses a NetworkPolicy"


@check(
    "service-account",
    ERROR,
    "§1c; operator-framework/api, bundle",
    "Remove it: OLM makes the ServiceAccounts that the CSV names.",
)
def service_account(subject: Subject) -> Problems:
    """The bundle does not bring a ServiceAccount that OLM makes."""
    install = subject.csv.at("spec", "install", "spec")
    named = {
        part.at("spec", "template", "spec", "serviceAccountName").text for part in install.at("deployments").items()
    }
    for key in ("permissions", "clusterPermissions"):
        named |= {part.at("serviceAccountName").text for part in install.at(key).items()}
    for node in subject.objects("ServiceAccount"):
        if node.at("metadata", "name").text in named:
            yield node.at("metadata", "name"), f"OLM makes the ServiceAccount {node.at('metadata', 'name').text} itself"


@check(
    "disruption-budget",
    ERROR,
    "§1c; operator-framework/api, objects (operator-verify takes every percentage of maxUnavailable for 0)",
    "Write maxUnavailable as a whole number of at least 1, or minAvailable below 100%.",
    needs_csv=False,
)
def disruption_budget(subject: Subject) -> Problems:
    """A PodDisruptionBudget lets nodes be drained."""
    for node in subject.objects("PodDisruptionBudget"):
        most, least = node.at("spec", "maxUnavailable"), node.at("spec", "minAvailable")
        if most.exists and (not isinstance(most.value, int) or most.value < 1):
            yield most, f"maxUnavailable is {most.value!r}"
        if least.value == "100%":
            yield least, "minAvailable is 100%"


@check(
    "priority-class",
    ERROR,
    "§1c; operator-framework/api, objects",
    "Write globalDefault: false.",
    needs_csv=False,
)
def priority_class(subject: Subject) -> Problems:
    """A PriorityClass does not make itself everybody's default."""
    for node in subject.objects("PriorityClass"):
        if node.at("globalDefault").value is True:
            yield node.at("globalDefault"), "globalDefault is true"


def _rules(subject: Subject) -> list[Node]:
    return [rule for role in subject.objects("Role", "ClusterRole") for rule in role.at("rules").items()]


@check(
    "role-disruption-budgets",
    WARNING,
    "§1c; operator-framework/api, objects",
    "Grant get, list and watch only.",
    needs_csv=False,
)
def role_disruption_budgets(subject: Subject) -> Problems:
    """No role may write PodDisruptionBudgets."""
    for rule in _rules(subject):
        verbs = set(rule.at("verbs").texts()) & {"create", "update", "patch", "*"}
        budgets = "policy" in rule.at("apiGroups").texts() and "poddisruptionbudgets" in rule.at("resources").texts()
        if verbs and budgets:
            yield rule.at("verbs"), f"it grants {', '.join(sorted(verbs))} of poddisruptionbudgets"


@check(
    "role-default-sccs",
    ERROR,
    "§1c; operator-framework/api, objects",
    "Do not touch OpenShift's own SecurityContextConstraints; make one of your own.",
    needs_csv=False,
)
def role_default_sccs(subject: Subject) -> Problems:
    """No role may change OpenShift's own SecurityContextConstraints."""
    for rule in _rules(subject):
        if "securitycontextconstraints" not in rule.at("resources").texts():
            continue
        verbs = set(rule.at("verbs").texts()) & {"delete", "update", "patch", "*"}
        touched = _DEFAULT_SCCS & set(rule.at("resourceNames").texts())
        if verbs and touched:
            yield rule.at("verbs"), f"it grants {', '.join(sorted(verbs))} of {', '.join(sorted(touched))}"
