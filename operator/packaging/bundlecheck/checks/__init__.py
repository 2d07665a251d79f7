# SPDX-License-Identifier: Apache-2.0
"""The checks. Importing this registers all of them."""

from bundlecheck.checks import (
    catalogs,
    channels,
    crds,
    examples,
    files,
    identity,
    installation,
    kinds,
    layout,
    metadata,
    openshift,
    presentation,
    releases,
    rights,
    workloads,
)

__all__ = [
    "catalogs",
    "channels",
    "crds",
    "examples",
    "files",
    "identity",
    "installation",
    "kinds",
    "layout",
    "metadata",
    "openshift",
    "presentation",
    "releases",
    "rights",
    "workloads",
]
