# SPDX-License-Identifier: Apache-2.0
"""`make bench`: the operator beside its baselines, in one run, on one local cluster."""
