# SPDX-License-Identifier: Apache-2.0
"""What stops the demo."""


class DemoError(Exception):
    """The demo cannot go on; the text says why and what to do."""


class UsageError(DemoError):
    """The demo was asked for something that makes no sense."""
