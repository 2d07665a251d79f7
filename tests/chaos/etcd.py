# SPDX-License-Identifier: Apache-2.0
"""etcd behind the API server: what it forgets, no watch can be resumed from."""

from __future__ import annotations

import ssl

import aiohttp

from devcluster.local import LocalCluster


async def compact(cluster: LocalCluster) -> int:
    """Make etcd forget all revisions but the newest, and return that one."""
    site = cluster._site
    trust = ssl.create_default_context(cafile=str(site.pki.etcd_ca))
    trust.load_cert_chain(site.pki.etcd.cert, site.pki.etcd.key)
    base = f"https://127.0.0.1:{site.ports.etcd_client}/v3/kv"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session:
        # Keys and values are in base64; a NUL byte is the first key there can be.
        async with session.post(f"{base}/range", json={"key": "AA==", "limit": "1"}) as answer:
            answer.raise_for_status()
            revision = int((await answer.json())["header"]["revision"])
        body = {"revision": str(revision), "physical": True}
        async with session.post(f"{base}/compaction", json=body) as answer:
            answer.raise_for_status()
    return revision
