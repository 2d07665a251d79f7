# SPDX-License-Identifier: Apache-2.0
"""The operator with every allocation counted: RSS is too coarse to see a hundred bytes of a pod.

At SIGUSR1 the bytes that are allocated then go to the file that BENCH_COUNT names.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import tracemalloc
from pathlib import Path


def _count(*_: object) -> None:
    gc.collect()
    target = Path(os.environ["BENCH_COUNT"])
    unfinished = target.with_suffix(".part")
    unfinished.write_text(str(tracemalloc.get_traced_memory()[0]))
    unfinished.rename(target)


def main() -> int:
    """Run the operator's own command line."""
    from podtracker import __main__ as program  # noqa: PLC0415 - counted from here on
    from podtracker import app  # noqa: F401, PLC0415 - modules are no pods

    tracemalloc.start()
    signal.signal(signal.SIGUSR1, _count)
    return program.main()


if __name__ == "__main__":
    sys.exit(main())
