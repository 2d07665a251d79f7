# SPDX-License-Identifier: Apache-2.0
"""Record what a real kubelet makes of pods: `python -m recorder run` writes traces to replay in tests."""
