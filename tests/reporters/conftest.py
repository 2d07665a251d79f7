# SPDX-License-Identifier: Apache-2.0
"""Reporters run on the loop that the operator runs on: where it connects, and to what, is part of what is tested."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The operator's (docs/adr/0010-uvloop.md)."""
    return {"uvloop": uvloop.new_event_loop}
