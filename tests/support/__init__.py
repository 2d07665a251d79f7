# SPDX-License-Identifier: Apache-2.0
"""What the tests share: a small API client, manifests, the operator as a process, and waiting on facts."""
