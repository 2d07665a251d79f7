# SPDX-License-Identifier: Apache-2.0
"""The file by which a later command finds the processes of a cluster again."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

from devcluster import processes
from devcluster.pki import write_private
from devcluster.processes import ProcessId

_FILE: Final = "state.json"
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class State:
    """What is known about the processes of a cluster."""

    server: str
    ready: bool = False
    """Whether the start came to its end."""
    processes: dict[str, ProcessId] = field(default_factory=dict)

    @classmethod
    def load(cls, workdir: Path) -> Self | None:
        """Read the state of the cluster in `workdir`; None where there is none that can be read."""
        try:
            content: dict[str, Any] = json.loads((workdir / _FILE).read_bytes())
            known = {name: ProcessId(**process) for name, process in content["processes"].items()}
            if content["format"] != _FORMAT:
                return None
            return cls(server=str(content["server"]), ready=bool(content["ready"]), processes=known)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def save(self, workdir: Path) -> None:
        """Write the state; a reader sees the old or the new one, never half of it."""
        temporary = workdir / f"{_FILE}.tmp"
        write_private(temporary, json.dumps({"format": _FORMAT, **asdict(self)}, indent=2).encode())
        temporary.replace(workdir / _FILE)

    def with_process(self, name: str, process: ProcessId) -> "State":
        """Return this state with the process that now runs under `name`."""
        return replace(self, processes={**self.processes, name: process})

    def alive(self) -> dict[str, ProcessId]:
        """Return the recorded processes that still run."""
        return {name: process for name, process in self.processes.items() if processes.is_alive(process)}

    @staticmethod
    def remove(workdir: Path) -> None:
        """Forget the cluster in `workdir`."""
        (workdir / _FILE).unlink(missing_ok=True)
