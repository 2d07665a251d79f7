# SPDX-License-Identifier: Apache-2.0
"""One demo at a time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from demo.errors import DemoError
from demo.lock import only_demo


def test_a_second_demo_is_told_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lock"
    with only_demo(path), pytest.raises(DemoError, match=rf"process {os.getpid()}\)"), only_demo(path):
        pass
    with only_demo(path):
        pass
