# SPDX-License-Identifier: Apache-2.0
"""The CRDs of the Prometheus operator, from its Go module: pinned, and kept in the cache folder like all others."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Final

from devcluster.cache import Cache, cache_root
from devcluster.pins import SOURCES
from devcluster.toolchain import go_environment

KINDS: Final = frozenset({"PrometheusRule", "ServiceMonitor"})
"""Those of its kinds that we ship objects of."""

_MODULE: Final = "github.com/prometheus-operator/prometheus-operator"
_FILES: Final = tuple(f"monitoring.coreos.com_{kind.lower()}s.yaml" for kind in sorted(KINDS))


def prometheus_crds() -> list[Path]:
    """Return their files; none where no Go is at hand, or the module cannot be had."""
    cache = Cache(cache_root())
    installed = sorted(cache.toolchains.glob("*/go/bin/go"))
    go = shutil.which("go") or (installed[-1] if installed else None)
    if go is None:
        return []
    done = subprocess.run(  # noqa: S603 - Go, on our own module
        [str(go), "-C", str(SOURCES / "prometheus-operator"), "mod", "download", "-json", _MODULE],
        env=go_environment(cache),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode != 0:
        return []
    folder = Path(json.loads(done.stdout)["Dir"]) / "example" / "prometheus-operator-crd"
    return [folder / name for name in _FILES]
