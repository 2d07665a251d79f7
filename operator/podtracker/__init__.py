# SPDX-License-Identifier: Apache-2.0
"""PodTracker: tells people, once per occurrence, when their pods start, become ready or fail."""

__version__ = "0.1.0"
