# SPDX-License-Identifier: Apache-2.0
"""The scenarios; importing this package registers them."""

from recorder.scenarios import containers, deletions, images, nodes, placement, starts, workloads

__all__ = ["containers", "deletions", "images", "nodes", "placement", "starts", "workloads"]
