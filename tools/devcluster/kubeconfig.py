# SPDX-License-Identifier: Apache-2.0
"""Kubeconfig files: self-contained, readable by their owner only."""

import base64
from pathlib import Path
from typing import Final

import yaml

from devcluster.pki import KeyPair, write_private

CONTEXT: Final = "pod-tracker-local"
"""Name of the context, cluster and user in every kubeconfig written here."""


def write_for_client_cert(path: Path, *, server: str, ca: Path, pair: KeyPair) -> Path:
    """Write a kubeconfig that authenticates by client certificate."""
    return _write(
        path,
        server,
        ca,
        {
            "client-certificate-data": _base64(pair.cert),
            "client-key-data": _base64(pair.key),
        },
    )


def write_for_token(path: Path, *, server: str, ca: Path, token: str) -> Path:
    """Write a kubeconfig that authenticates by bearer token."""
    return _write(path, server, ca, {"token": token})


def _write(path: Path, server: str, ca: Path, user: dict[str, str]) -> Path:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": {"server": server, "certificate-authority-data": _base64(ca)}}],
        "users": [{"name": CONTEXT, "user": user}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT}}],
        "current-context": CONTEXT,
    }
    write_private(path, yaml.safe_dump(content, sort_keys=False).encode())
    return path


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
