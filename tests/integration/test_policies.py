# SPDX-License-Identifier: Apache-2.0
"""The policy that ships beside the operator (config/policies): no inline tokens, refused when they are written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import pytest
import yaml

from devcluster.local import LocalCluster
from support.install import CONFIG
from support.kube import ApiError, Kube
from support.manifests import Json, make_tracker
from support.waiting import eventually

TOKEN: Final = "xoxb-this-must-never-be-printed"
SENTENCE: Final = "put the token into a Secret and write spec.reporter.keySecretRef; inline tokens are not allowed here"
FILES: Final = ("no_inline_keys.yaml", "no_inline_keys_binding.yaml")


@pytest.fixture
async def policy(cluster: LocalCluster, namespace: str) -> AsyncIterator[None]:
    """The policy as it ships, but for this namespace only: other tests go on writing inline tokens."""
    policy, binding = (yaml.safe_load((CONFIG / "policies" / file).read_text(encoding="utf-8")) for file in FILES)
    here = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    binding["spec"]["matchResources"] = {"namespaceSelector": here}
    manifests = yaml.safe_dump_all([policy, binding])
    cluster.kubectl("apply", "-f", "-", input=manifests)
    yield
    cluster.kubectl("delete", "--wait=false", "-f", "-", input=manifests)


async def refusal(kube: Kube, namespace: str, body: Json) -> str:
    """What is said against writing a tracker; empty where it is taken."""
    try:
        await kube.create(body, namespace, dryRun="All")
    except ApiError as error:
        return str(error)
    return ""


@pytest.mark.usefixtures("policy")
async def test_inline_tokens_are_refused_when_they_are_written(kube: Kube, namespace: str) -> None:
    """New ones and edited ones, without their token; Secrets are named as ever, and status is not looked at."""
    inline = make_tracker("inline", key=TOKEN)
    said = await eventually(lambda: refusal(kube, namespace, inline), what="the policy to be known")
    assert SENTENCE in said
    assert TOKEN not in said
    await kube.create(make_tracker("secret"), namespace)
    with pytest.raises(ApiError) as edited:
        await kube.patch(
            "PodTracker", "secret", namespace, {"spec": {"reporter": {"keySecretRef": None, "key": TOKEN}}}
        )
    assert SENTENCE in edited.value.message
    assert TOKEN not in str(edited.value)
    await kube.patch("PodTracker", "secret", namespace, {"spec": {"suspend": True}})
    await kube.patch("PodTracker", "secret", namespace, {"status": {"podCount": 1}}, subresource="status")
