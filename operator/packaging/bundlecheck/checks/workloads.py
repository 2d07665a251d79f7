# SPDX-License-Identifier: Apache-2.0
"""§1d, §1e and §1j: the CSV's deployments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from bundlecheck import names
from bundlecheck.node import Node
from bundlecheck.registry import ERROR, WARNING, Problems, check
from bundlecheck.subject import Subject

MANAGER: Final = "manager"
TARGET_NAMESPACES: Final = "metadata.annotations['olm.targetNamespaces']"


def deployments(subject: Subject) -> list[Node]:
    """The CSV's deployments."""
    return subject.csv.at("spec", "install", "spec", "deployments").items()


def pods(subject: Subject) -> list[Node]:
    """The pod specifications of the CSV's deployments."""
    return [deployment.at("spec", "template", "spec") for deployment in deployments(subject)]


def containers(subject: Subject) -> list[Node]:
    """The containers of the CSV's deployments, init containers included."""
    return [each for pod in pods(subject) for key in ("containers", "initContainers") for each in pod.at(key).items()]


def images(subject: Subject) -> Iterator[Node]:
    """The images of those containers."""
    return (container.at("image") for container in containers(subject))


def variable(container: Node, name: str) -> Node | None:
    """An environment variable of a container; None when it is not set."""
    return next((each for each in container.at("env").items() if each.at("name").value == name), None)


def managers(subject: Subject) -> list[Node]:
    """The containers named manager."""
    return [container for container in containers(subject) if container.at("name").value == MANAGER]


@check(
    "deployments-present",
    ERROR,
    "§1d; operator-framework/api, CSV",
    "Write the operator's deployment under spec.install.spec.deployments, with install.strategy `deployment`.",
)
def present(subject: Subject) -> Problems:
    """The CSV installs at least one deployment with a container."""
    node = subject.csv.at("spec", "install", "spec", "deployments")
    if not node.items():
        yield node, "there are no deployments"
    for pod in pods(subject):
        if not pod.at("containers").items():
            yield pod.at("containers"), "there are no containers"
    strategy = subject.csv.at("spec", "install", "strategy")
    if strategy.exists and strategy.value != "deployment":
        yield strategy, f"`{strategy.value}` is not `deployment`"


@check(
    "deployments-names",
    ERROR,
    "§1e; OLM v1, unique DNS-1123 names of deployments",
    "Give each deployment its own name: lower case letters, digits, `-` and `.`.",
)
def deployment_names(subject: Subject) -> Problems:
    """Deployments have valid names, each its own."""
    counts = Counter(node.at("name").text for node in deployments(subject))
    for node in deployments(subject):
        name = node.at("name")
        if not names.is_subdomain(name.text):
            yield name, f"`{name.value}` is no DNS-1123 subdomain"
        elif counts[name.text] > 1:
            yield name, f"`{name.text}` is there {counts[name.text]} times"


@check(
    "deployments-selector",
    ERROR,
    "§1d; Kubernetes, Deployment",
    "Give the pod template the labels that the selector asks for.",
)
def selector(subject: Subject) -> Problems:
    """Each deployment selects its own pods."""
    for node in deployments(subject):
        wanted = node.at("spec", "selector", "matchLabels")
        labels = node.at("spec", "template", "metadata", "labels").mapping
        if not wanted.mapping:
            yield wanted, "there is no selector"
        for key, value in wanted.fields():
            if labels.get(key) != value.value:
                yield value, f"the pods do not have {key}: {value.value}"


@check(
    "container-manager",
    ERROR,
    "§1d, §1j; operator-framework/api, multiarch",
    "Name the operator's container `manager`.",
)
def manager(subject: Subject) -> Problems:
    """The operator's container is named manager."""
    if containers(subject) and not managers(subject):
        yield containers(subject)[0].at("name"), "no container is named manager"


@check(
    "container-requests",
    WARNING,
    "§1d; operator-framework/api, good practices",
    "Write resources.requests with cpu and memory.",
)
def requests(subject: Subject) -> Problems:
    """Each container requests CPU and memory."""
    for container in containers(subject):
        asked = container.at("resources", "requests")
        lacking = [name for name in ("cpu", "memory") if name not in asked.mapping]
        if lacking:
            yield asked, f"container {container.at('name').text} requests no {' and no '.join(lacking)}"


@check(
    "container-probes",
    WARNING,
    "issue 6; OpenShift's best practices",
    "Write livenessProbe and readinessProbe.",
)
def probes(subject: Subject) -> Problems:
    """The operator's container has a liveness and a readiness probe."""
    for container in managers(subject):
        for probe in ("livenessProbe", "readinessProbe"):
            if not container.at(probe).mapping:
                yield container.at(probe), f"there is no {probe}"


@check(
    "container-security",
    ERROR,
    "§1j; Pod Security Standards, restricted",
    "Write runAsNonRoot: true and seccompProfile RuntimeDefault for the pod; allowPrivilegeEscalation: false and"
    " capabilities.drop [ALL] for each container.",
)
def security(subject: Subject) -> Problems:
    """Pods pass the restricted Pod Security Standard."""
    for pod in pods(subject):
        for container in (each for key in ("containers", "initContainers") for each in pod.at(key).items()):
            yield from _privileges(container.at("securityContext"))
            yield from _identity(container.at("securityContext"), pod.at("securityContext"))
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.at(field).value is True:
                yield pod.at(field), f"{field} is true"


def _privileges(own: Node) -> Problems:
    """What a container may do beyond an ordinary process."""
    if own.at("allowPrivilegeEscalation").value is not False:
        yield own.at("allowPrivilegeEscalation"), "allowPrivilegeEscalation is not false"
    if "ALL" not in own.at("capabilities", "drop").texts():
        yield own.at("capabilities", "drop"), "not all capabilities are dropped"
    if set(own.at("capabilities", "add").texts()) - {"NET_BIND_SERVICE"}:
        yield own.at("capabilities", "add"), "capabilities are added"
    if own.at("privileged").value is True:
        yield own.at("privileged"), "it is privileged"


def _identity(own: Node, shared: Node) -> Problems:
    """As whom a container runs; what it does not say, its pod says."""
    if _either(own, shared, "runAsNonRoot").value is not True:
        yield own.at("runAsNonRoot"), "runAsNonRoot is not true"
    if _either(own, shared, "runAsUser").value == 0:
        yield own.at("runAsUser"), "it runs as root"
    if _either(own, shared, "seccompProfile").at("type").value not in {"RuntimeDefault", "Localhost"}:
        yield own.at("seccompProfile"), "there is no seccomp profile"


def _either(own: Node, shared: Node, key: str) -> Node:
    return own.at(key) if own.at(key).exists else shared.at(key)


@check(
    "container-read-only",
    WARNING,
    "issue 6; OpenShift's best practices",
    "Write readOnlyRootFilesystem: true.",
)
def read_only(subject: Subject) -> Problems:
    """Containers have a read-only root file system."""
    for container in containers(subject):
        node = container.at("securityContext", "readOnlyRootFilesystem")
        if node.value is not True:
            yield node, "the root file system is writable"


@check(
    "container-watch-namespace",
    ERROR,
    "§1j; OLM tells the namespaces of its OperatorGroup by this annotation",
    f"Write env WATCH_NAMESPACE with valueFrom.fieldRef.fieldPath {TARGET_NAMESPACES}.",
)
def watch_namespace(subject: Subject) -> Problems:
    """The operator watches the namespaces that OLM chose."""
    for container in managers(subject):
        found = variable(container, "WATCH_NAMESPACE")
        if found is None:
            yield container.at("env"), "WATCH_NAMESPACE is missing"
        elif found.at("valueFrom", "fieldRef", "fieldPath").value != TARGET_NAMESPACES:
            yield found, "WATCH_NAMESPACE is not what OLM chose"


@check(
    "container-operator-condition",
    ERROR,
    "§1e, §1j; OLM v0 sets it, OLM v1 does not",
    "Remove it; the operator must do without.",
)
def operator_condition(subject: Subject) -> Problems:
    """Nothing sets or needs OPERATOR_CONDITION_NAME."""
    for container in containers(subject):
        found = variable(container, "OPERATOR_CONDITION_NAME")
        if found is not None:
            yield found, "OPERATOR_CONDITION_NAME is OLM v0's own"


@check(
    "deployments-service-account",
    ERROR,
    "§1d; OLM v0 and v1: rights go to the ServiceAccounts that permissions name",
    "Write the same serviceAccountName in the deployment and in permissions.",
)
def service_accounts(subject: Subject) -> Problems:
    """The rights go to the ServiceAccount that the pods run as."""
    install = subject.csv.at("spec", "install", "spec")
    used = {pod.at("serviceAccountName").text for pod in pods(subject)}
    for key in ("permissions", "clusterPermissions"):
        for part in install.at(key).items():
            name = part.at("serviceAccountName")
            if name.text and used and name.text not in used:
                yield name, f"no deployment runs as `{name.text}`"


@check(
    "deployments-arch-affinity",
    WARNING,
    "§1d, §6; operator-framework/api, multiarch",
    "Require, in nodeAffinity, kubernetes.io/arch and kubernetes.io/os to be in what the labels"
    " operatorframework.io/arch.* and os.* name.",
)
def arch_affinity(subject: Subject) -> Problems:
    """Pods are bound to the architectures and systems that the CSV's labels name."""
    required = ("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
    for what in ("arch", "os"):
        prefix = f"operatorframework.io/{what}."
        labels = subject.csv.at("metadata", "labels").mapping
        named = {key.removeprefix(prefix) for key in labels if isinstance(key, str) and key.startswith(prefix)}
        for pod in pods(subject) if named else ():
            terms = pod.at(*required)
            if not terms.items():
                yield terms, f"no node is excluded by its {what}"
            for term in terms.items():
                values = [
                    each.at("values")
                    for each in term.at("matchExpressions").items()
                    if each.at("key").value == f"kubernetes.io/{what}" and each.at("operator").value == "In"
                ]
                if len(values) != 1 or set(values[0].texts()) != named:
                    yield values[0] if values else term, f"the labels name {', '.join(sorted(named))}"
