# SPDX-License-Identifier: Apache-2.0
"""Programs that the checks need, built from pinned sources by the repository's own tools."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bundlecheck.errors import ToolError
from devcluster.binaries import ensure_programs
from devcluster.errors import BuildError
from devcluster.pins import Program

KUBECONFORM: Final = Program("kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform", "kubeconform", 5)


def ensure_kubeconform() -> Path:
    """kubeconform; where it is missing it is built, which takes seconds.

    Raises:
        ToolError: it cannot be built; the text says what to do.
    """
    try:
        return ensure_programs((KUBECONFORM,), family=(KUBECONFORM,))[KUBECONFORM.name]
    except BuildError as error:
        raise ToolError(str(error)) from None
