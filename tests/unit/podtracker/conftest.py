# SPDX-License-Identifier: Apache-2.0
"""What several unit tests of the operator need."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from podtracker.logs import _QUIET


@pytest.fixture
def _logging_restored() -> Iterator[None]:
    """For tests of what sets up the process's logging."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in _QUIET}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
