# SPDX-License-Identifier: Apache-2.0
"""A cache that is incomplete or damaged is noticed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devcluster.store import Store

CONTENT = b"a program"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    finished = tmp_path / "finished"
    finished.write_bytes(CONTENT)
    store = Store(tmp_path / "store")
    store.add("etcd", finished)
    return store


def test_whole_program_has_no_problem_and_can_be_executed(store: Store) -> None:
    assert store.problem("etcd") is None
    assert os.access(store.path("etcd"), os.X_OK)


def test_second_program_keeps_the_first(store: Store, tmp_path: Path) -> None:
    finished = tmp_path / "finished"
    finished.write_bytes(b"another")
    store.add("kubectl", finished)
    assert store.problem("etcd") is None
    assert store.problem("kubectl") is None


def test_missing_program(store: Store) -> None:
    store.path("etcd").unlink()
    assert store.problem("etcd") == "missing"
    assert store.problem("kubectl") == "missing"


def test_truncated_program(store: Store) -> None:
    store.path("etcd").write_bytes(CONTENT[:3])
    assert store.problem("etcd") == "damaged: it has 3 bytes instead of 9"


def test_program_with_other_content_of_the_same_size(store: Store) -> None:
    store.path("etcd").write_bytes(CONTENT[::-1])
    os.utime(store.path("etcd"), (1, 1))
    assert store.problem("etcd") == "damaged: its content changed"


def test_copied_cache_with_other_times_is_fine(store: Store) -> None:
    os.utime(store.path("etcd"), (1, 1))
    assert store.problem("etcd") is None


@pytest.mark.parametrize("manifest", [b"", b"{", b"[]", b'{"etcd": {"size": 9}}'])
def test_unreadable_manifest(store: Store, manifest: bytes) -> None:
    (store.path("etcd").parent / "manifest.json").write_bytes(manifest)
    assert store.problem("etcd") == "damaged: nothing is known about it"
