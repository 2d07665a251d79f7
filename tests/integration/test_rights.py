# SPDX-License-Identifier: Apache-2.0
"""What the operator may do, in the words of `kubectl auth can-i`: what templates/rbac_rules.yaml says, and no more."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from devcluster.local import LocalCluster
from manifests.cli import REPOSITORY
from manifests.sources import Rule, load_rules
from support.install import OPERATOR_ACCOUNT, OPERATOR_NAMESPACE

OPERATOR: Final = f"system:serviceaccount:{OPERATOR_NAMESPACE}:{OPERATOR_ACCOUNT}"
NOBODY: Final = "system:serviceaccount:default:nobody"
"""Has what everybody has who is known to the API server."""
ELSEWHERE: Final = "default"
TRACKERS: Final = "podtrackers.pod-tracker.lost.backend"
RULES: Final = load_rules(REPOSITORY / "templates")

FORBIDDEN: Final = {
    ELSEWHERE: (
        ("*", "*"),
        ("get", "*"),
        ("list", "secrets"),
        ("watch", "secrets"),
        ("get", "secrets"),
        ("get", "secrets/another"),
        ("patch", "secrets/pod-tracker-reporter"),
        ("get", "pods"),
        ("create", "pods"),
        ("patch", "pods"),
        ("update", "pods"),
        ("delete", "pods"),
        ("create", "pods/exec"),
        ("create", "pods/eviction"),
        ("get", "pods/log"),
        ("patch", "pods/status"),
        ("update", TRACKERS),
        ("patch", TRACKERS),
        ("create", TRACKERS),
        ("delete", TRACKERS),
        ("update", f"{TRACKERS}/status"),
        ("list", "events"),
        ("delete", "events"),
        ("list", "nodes"),
        ("list", "namespaces"),
        ("get", "configmaps"),
        ("get", "configmaps/pod-tracker-journal"),
        ("get", "leases/pod-tracker-leader"),
        ("list", "replicasets.apps"),
        ("watch", "replicasets.apps"),
        ("patch", "replicasets.apps"),
        ("get", "deployments.apps"),
        ("list", "jobs.batch"),
        ("get", "cronjobs.batch"),
        ("create", "serviceaccounts/token"),
        ("impersonate", "users"),
        ("impersonate", "serviceaccounts"),
        ("create", "rolebindings"),
        ("bind", "clusterroles"),
        ("escalate", "roles"),
        ("get", "/metrics"),
    ),
    OPERATOR_NAMESPACE: (
        ("list", "secrets"),
        ("get", "secrets/another"),
        ("list", "configmaps"),
        ("get", "configmaps/another"),
        ("delete", "configmaps/pod-tracker-journal"),
        ("create", "configmaps"),
        ("list", "leases"),
        ("get", "leases/another"),
        ("delete", "leases/pod-tracker-leader"),
        ("patch", "deployments.apps"),
    ),
}
"""Of the very kinds that it may do something with, and of what would give it more."""


SUBRESOURCES: Final = frozenset({"eviction", "exec", "log", "status", "token"})
"""What stands behind a slash is one of these, or a name."""


class Grant(NamedTuple):
    """One verb on one kind of object; `name` is empty where every name is meant."""

    verb: str
    resource: str
    """As kubectl writes it: `podtrackers.pod-tracker.lost.backend/status`."""
    name: str


def grants(rules: Iterable[Rule]) -> set[Grant]:
    """Each single right of some rules."""
    found = set()
    for rule in rules:
        for resource in rule.resources:
            kind, slash, part = resource.partition("/")
            for group in rule.api_groups:
                full = f"{kind}.{group}" if group else kind
                found |= {
                    Grant(verb, f"{full}{slash}{part}", name)
                    for verb in rule.verbs
                    for name in rule.resource_names or ("",)
                }
    return found


async def listed(cluster: LocalCluster, who: str, namespace: str) -> set[Grant]:
    """What `kubectl auth can-i --list` says of somebody in a namespace."""
    done = await kubectl(cluster, "--list", "--no-headers", f"--as={who}", f"--namespace={namespace}")
    found = set()
    for line in done.splitlines():
        row = re.fullmatch(r"(\S*) +\[(.*?)\] +\[(.*?)\] +\[(.*?)\]", line)
        assert row is not None, line
        resource, urls, names, verbs = row.groups()
        found |= {
            Grant(verb, resource or url, name)
            for verb in verbs.split()
            for url in urls.split() or [""]
            for name in names.split() or [""]
        }
    return found


async def kubectl(cluster: LocalCluster, *args: str) -> str:
    done = await asyncio.to_thread(cluster.kubectl, "auth", "can-i", *args, check=False)
    return done.stdout


async def answers(cluster: LocalCluster, namespace: str, questions: Sequence[tuple[str, str]]) -> dict[str, str]:
    """What kubectl says to each question about the operator."""
    limit = asyncio.Semaphore(4)

    async def one(verb: str, resource: str) -> tuple[str, str]:
        what, _, part = resource.rpartition("/")
        asked = [what, f"--subresource={part}"] if part in SUBRESOURCES else [resource]
        async with limit:
            said = await kubectl(cluster, verb, *asked, f"--as={OPERATOR}", f"--namespace={namespace}")
        return f"{verb} {resource}", said.strip()

    return dict(await asyncio.gather(*(one(*question) for question in questions)))


async def test_the_operator_may_do_what_its_rules_say_and_nothing_else(cluster: LocalCluster) -> None:
    """The whole list, without what everybody may do: in a namespace that it watches, and in its own."""
    manager, leader = grants(RULES.manager), grants(RULES.leader)
    for namespace, expected in {ELSEWHERE: manager, OPERATOR_NAMESPACE: manager | leader}.items():
        mine, everybodys = await asyncio.gather(
            listed(cluster, OPERATOR, namespace), listed(cluster, NOBODY, namespace)
        )
        assert {grant for grant in everybodys if grant.verb not in {"get", "create"}} == set()
        assert mine - everybodys == expected


async def test_each_right_by_itself(cluster: LocalCluster) -> None:
    """Yes to each verb of each rule, for the first name and the last."""
    for namespace, rules in {ELSEWHERE: RULES.manager, OPERATOR_NAMESPACE: RULES.leader}.items():
        questions = []
        for rule in rules:
            [one] = [grants([rule])]
            names = sorted({grant.name for grant in one})
            questions += [
                (grant.verb, f"{grant.resource}/{grant.name}".removesuffix("/"))
                for grant in sorted(one)
                if grant.name in {names[0], names[-1]}
            ]
        said = await answers(cluster, namespace, questions)
        assert {question for question, answer in said.items() if answer != "yes"} == set()


async def test_what_it_may_not(cluster: LocalCluster) -> None:
    """No to what the same kinds of objects would allow beyond, and to all that would give it more rights."""
    for namespace, questions in FORBIDDEN.items():
        said = await answers(cluster, namespace, questions)
        assert {question for question, answer in said.items() if answer != "no"} == set()


def test_the_page_tells_each_rule() -> None:
    """docs/user/rights.md has a row for each rule of each role, with what it is needed for and why."""
    page = (REPOSITORY / "docs" / "user" / "rights.md").read_text(encoding="utf-8").splitlines()
    roles = (getattr(RULES, role) for role in RULES.__struct_fields__)
    for rule in (rule for rules in roles for rule in rules):
        row = [line for line in page if line.startswith(f"| {rule.feature} | {', '.join(rule.verbs)} | ")]
        assert any(line.endswith(f"| {rule.why} |") for line in row), rule
