# SPDX-License-Identifier: Apache-2.0
"""Which kind of cluster is used."""

from __future__ import annotations

import pytest

from devcluster.choose import Kind, choose, requested
from devcluster.errors import ClusterError

NO_KIND = "there is no program kind on PATH"


@pytest.mark.parametrize(
    ("asked", "obstacle", "kind", "why"),
    [
        (Kind.AUTO, None, Kind.KIND, "it is installed and works"),
        (Kind.AUTO, NO_KIND, Kind.LOCAL, f"kind cannot be used: {NO_KIND}"),
        (Kind.KIND, None, Kind.KIND, "as asked"),
    ],
)
def test_choice_where_kind_matters(asked: Kind, obstacle: str | None, kind: Kind, why: str) -> None:
    choice = choose(asked, lambda: obstacle)
    assert (choice.kind, choice.why) == (kind, why)


@pytest.mark.parametrize("asked", [Kind.LOCAL, Kind.CURRENT])
def test_choice_that_does_not_even_look_at_kind(asked: Kind) -> None:
    def look() -> str | None:
        raise AssertionError

    assert choose(asked, look).kind is asked


def test_kind_by_name_where_it_cannot_be_used() -> None:
    with pytest.raises(ClusterError, match=f"{NO_KIND}. Remedy that, or use CLUSTER=local"):
        choose(Kind.KIND, lambda: NO_KIND)


@pytest.mark.parametrize(
    ("flag", "environment", "kind"),
    [
        (None, {}, Kind.AUTO),
        (None, {"CLUSTER": ""}, Kind.AUTO),
        (None, {"CLUSTER": "current"}, Kind.CURRENT),
        ("local", {"CLUSTER": "current"}, Kind.LOCAL),
        (None, {"KUBECONFIG": "/somewhere"}, Kind.AUTO),
    ],
)
def test_requested(flag: str | None, environment: dict[str, str], kind: Kind) -> None:
    assert requested(flag, environment) is kind


def test_requested_unknown() -> None:
    with pytest.raises(
        ClusterError, match="'minikube': choose one of auto, local, kind, current with --kind or CLUSTER"
    ):
        requested("minikube", {})
