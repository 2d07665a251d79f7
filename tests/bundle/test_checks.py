# SPDX-License-Identifier: Apache-2.0
"""Every check refuses what it is for, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundle.builder import good_tree
from bundle.mutations import MUTATIONS, Mutation
from bundle.tree import REPOSITORY, Tree
from bundlecheck.registry import CHECKS

_BUILT = good_tree()


def _ours() -> Tree | None:
    return Tree.read() if (REPOSITORY / "bundle" / "manifests").is_dir() else None


_OURS = _ours()


def test_the_built_bundle_has_no_fault(tmp_path: Path) -> None:
    assert _BUILT.copy().check(tmp_path) == []


def test_a_bundle_in_a_tree_of_releases_has_no_fault(tmp_path: Path) -> None:
    tree = _BUILT.copy()
    tree.folder = "operators/pod-tracker/0.2.0"
    assert tree.check(tmp_path) == []


@pytest.mark.skipif(_OURS is None, reason="bundle/ is not made yet: run `make bundle`")
def test_our_bundle_has_no_fault(tmp_path: Path) -> None:
    assert _OURS is not None
    assert _OURS.copy().check(tmp_path / "as-it-is") == []
    assert _OURS.copy().with_older_release().check(tmp_path / "grown") == []


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[each.id for each in MUTATIONS])
def test_a_change_of_the_built_bundle_is_refused_by_its_check_only(mutation: Mutation, tmp_path: Path) -> None:
    _refused(_BUILT.copy(), mutation, tmp_path)


@pytest.mark.skipif(_OURS is None, reason="bundle/ is not made yet: run `make bundle`")
@pytest.mark.parametrize("mutation", MUTATIONS, ids=[each.id for each in MUTATIONS])
def test_a_change_of_our_bundle_is_refused_by_its_check_only(mutation: Mutation, tmp_path: Path) -> None:
    assert _OURS is not None
    _refused(_OURS.copy().with_older_release(), mutation, tmp_path)


def _refused(tree: Tree, mutation: Mutation, folder: Path) -> None:
    mutation.change(tree)
    findings = tree.check(folder)
    assert {finding.check for finding in findings} == {mutation.check}, findings
    assert {finding.severity for finding in findings} == {CHECKS[mutation.check].severity}
    assert all(finding.message and finding.remedy and finding.source for finding in findings)


def test_every_check_has_a_mutation() -> None:
    assert {mutation.check for mutation in MUTATIONS} == set(CHECKS)


def test_every_check_says_what_must_hold() -> None:
    assert all(check.summary.endswith((".", ":")) for check in CHECKS.values())
