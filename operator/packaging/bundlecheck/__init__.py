# SPDX-License-Identifier: Apache-2.0
"""Checks an OLM bundle and its file-based catalog, with no cluster, container engine or network.

Used while building, never by the operator. `python -m bundlecheck check bundle` is what `make bundle-validate` calls.
Checked is what OLM v0 and v1, operator-sdk, opm, OperatorHub's pipeline and OpenShift's preflight refuse, and the traps
that those let through and clusters do not. One function per check, in `checks`.
"""
