# SPDX-License-Identifier: Apache-2.0
"""The floor: a bare watch of all pods, which only notes when the bytes about each new one came.

No notifier can tell of a pod earlier. Run as a program: kubeconfig, and the file that the times go to at SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
import time
from pathlib import Path
from typing import Final

from benchmark.connection import Connection, Endpoint

_NAME: Final = re.compile(rb'"metadata":\{"name":"([^"]+)"')
_READY: Final = "ready"


async def _watch(endpoint: Endpoint, stamps: dict[str, float]) -> None:
    async with Connection(endpoint) as connection:
        page = json.loads(await connection.call("GET", "/api/v1/pods?limit=1"))
        version = page["metadata"]["resourceVersion"]
        sys.stdout.write(_READY + "\n")
        sys.stdout.flush()
        async for chunk in connection.stream(f"/api/v1/pods?watch=true&resourceVersion={version}"):
            now = time.monotonic()
            for name in _NAME.findall(chunk):
                stamps.setdefault(name.decode(), now)


async def _main(kubeconfig: Path) -> dict[str, float]:
    stamps: dict[str, float] = {}
    watching = asyncio.create_task(_watch(Endpoint.of(kubeconfig), stamps))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, watching.cancel)
    await asyncio.wait([watching])
    return stamps


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(asyncio.run(_main(Path(sys.argv[1])))), encoding="ascii")
