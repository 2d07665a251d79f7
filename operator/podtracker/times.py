# SPDX-License-Identifier: Apache-2.0
"""Times as Kubernetes writes them."""

from __future__ import annotations

import datetime as dt


def epoch_seconds(timestamp: str) -> int:
    """RFC 3339 as Kubernetes writes it, to whole seconds since 1970.

    Raises:
        ValueError: it is not such a time.
    """
    return int(dt.datetime.fromisoformat(timestamp).timestamp())


def rfc3339(seconds: float) -> str:
    """Seconds since 1970 as Kubernetes writes times: whole seconds, UTC."""
    return dt.datetime.fromtimestamp(int(seconds), tz=dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
