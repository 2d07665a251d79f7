# SPDX-License-Identifier: Apache-2.0
"""How often the API server was written to, by its own count: the same for every system."""

from __future__ import annotations

from collections import Counter
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

from benchmark.connection import Connection, Endpoint

_WRITING = frozenset({"POST", "PUT", "PATCH", "APPLY", "DELETE"})
_COUNTED = frozenset({"configmaps", "podtrackers", "leases", "events"})


class Writes:
    """Counts from its beginning to its end."""

    def __init__(self, endpoint: Endpoint, before: Counter[str]) -> None:
        self._endpoint = endpoint
        self._before = before

    @classmethod
    async def begin(cls, endpoint: Endpoint) -> Self:
        """Begin to count."""
        return cls(endpoint, await _count(endpoint))

    async def end(self) -> dict[str, int]:
        """Writes since the beginning, by resource; and their bytes under `bytes`."""
        return dict(await _count(self._endpoint) - self._before)


async def _count(endpoint: Endpoint) -> Counter[str]:
    async with Connection(endpoint) as connection:
        text = (await connection.call("GET", "/metrics")).decode()
    found: Counter[str] = Counter()
    wanted = "\n".join(
        line
        for line in text.splitlines()
        if line.startswith(("apiserver_request_total", "apiserver_request_body_size"))
    )
    for family in text_string_to_metric_families(wanted + "\n"):
        for sample in family.samples:
            if sample.labels.get("resource") not in _COUNTED or sample.labels.get("verb", "").upper() not in _WRITING:
                continue
            if sample.name == "apiserver_request_total":
                found[sample.labels["resource"]] += int(sample.value)
            elif sample.name.endswith("size_bytes_sum"):
                found["bytes"] += int(sample.value)
    return found
