# SPDX-License-Identifier: Apache-2.0
"""Clusters to develop and test against: a real control plane on loopback, kind, or the one the user already has.

Start with :class:`devcluster.local.LocalCluster` in tests and ``python -m devcluster`` on the command line.
"""
