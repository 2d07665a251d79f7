# SPDX-License-Identifier: Apache-2.0
"""What can go wrong besides findings; each message says what to do."""

from __future__ import annotations


class BundleCheckError(Exception):
    """The root of everything that this package raises on purpose."""


class InputError(BundleCheckError):
    """What was given to check is not there, or is nothing that can be checked."""


class ToolError(BundleCheckError):
    """A program that was to help failed, or said what nobody understands."""
