# SPDX-License-Identifier: Apache-2.0
"""What the whole session shows, once all other tests have run: no token anywhere, and no right too many or too few."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from devcluster.local import LocalCluster
from support.audit import Right, calls_of, rights_of
from support.evidence import Evidence
from support.install import CONFIG, LEADER_ROLE, OPERATOR_ACCOUNT, OPERATOR_NAMESPACE, OPERATOR_ROLE
from support.manifests import OTHER_SECRET

ACCOUNTS = f"system:serviceaccount:{OPERATOR_NAMESPACE}:"
DELIBERATELY_FORBIDDEN = {("get", "secrets", name) for name in (OTHER_SECRET, "another", "missing")}
"""Calls that tests provoke to see them refused."""
GRANTED_BY_NAMESPACES = 'Role "pod-tracker-secret-reader'
"""What a namespace's owner binds: the shipped ClusterRole, or a Role of that name from the condition's command."""


@pytest.fixture(autouse=True)
def _whole_session(request: pytest.FixtureRequest) -> None:
    """These tests speak of all others; a selection would prove nothing."""
    here = Path(__file__).parent
    run = {item.path.name for item in request.session.items if item.path.parent == here}
    if run != {path.name for path in here.glob("test_*.py")} or request.config.getoption("keyword"):
        pytest.skip("needs all integration tests in the same session")


def test_no_token_anywhere(evidence: Evidence) -> None:
    """No token of any test in any operator's output, in Events, status or metrics."""
    kinds = {path.name.partition("-")[2].partition("-")[0].partition(".")[0] for path in evidence.folder.iterdir()}
    assert kinds == {"operator", "events", "status", "metrics"}
    assert len(evidence.tokens) > 50
    assert evidence.leaks() == []


def test_rights_are_those_used(cluster: LocalCluster) -> None:
    """Each single right of config/rbac was used in this session, and nothing was called that it does not allow."""
    assert cluster.audit_log is not None
    roles = [yaml.safe_load((CONFIG / "rbac" / file).read_text()) for file in ("role.yaml", "leader_role.yaml")]
    assert [role["metadata"]["name"] for role in roles] == [OPERATOR_ROLE, LEADER_ROLE]
    rights = frozenset[Right]().union(*map(rights_of, roles))
    calls = calls_of(ACCOUNTS, cluster.audit_log)
    assert f"{ACCOUNTS}{OPERATOR_ACCOUNT}" in {call.user for call in calls}

    denied = {call for call in calls if not call.allowed}
    assert {call for call in denied if (call.verb, call.resource, call.name) not in DELIBERATELY_FORBIDDEN} == set()

    ours = tuple(f'Role "{name}"' for name in (OPERATOR_ROLE, LEADER_ROLE))
    by_role = [call for call in calls if call.allowed and any(name in call.reason for name in ours)]
    used = {right for call in by_role for right in call.needs(rights)}
    assert {_one_shard(right) for right in used} == {_one_shard(right) for right in rights}
    otherwise = [call for call in calls if call.allowed and call.resource and call not in by_role]
    assert {(call.verb, call.resource) for call in otherwise} == {("get", "secrets")}
    assert {call.reason for call in otherwise if GRANTED_BY_NAMESPACES not in call.reason} == set()


def _one_shard(right: Right) -> Right:
    """Take the shards of the ledger as one: which of them a session writes depends on the uids of its pods."""
    return replace(right, name=re.sub(r"^(pod-tracker-ledger)-\w$", r"\1", right.name))


def test_other_paths_are_discovery(cluster: LocalCluster) -> None:
    """What is asked beside resources is discovery, which every authenticated user may do without any role of ours."""
    assert cluster.audit_log is not None
    others = [call for call in calls_of(ACCOUNTS, cluster.audit_log) if not call.resource]
    assert {call.path for call in others if 'ClusterRole "system:discovery"' not in call.reason} == set()
