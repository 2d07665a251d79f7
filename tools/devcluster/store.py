# SPDX-License-Identifier: Apache-2.0
"""A folder of finished programs that notices when one of them is missing or damaged."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from devcluster.pki import write_private

_MANIFEST: Final = "manifest.json"
_EXECUTABLE: Final = 0o755


@dataclass(frozen=True, slots=True)
class _Record:
    size: int
    modified: int
    """Nanoseconds since the epoch. An unchanged size and time spare the seconds that hashing takes."""
    sha256: str


class Store:
    """Programs in one folder, with what is known about each in a manifest."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, which need not exist yet."""
        self._folder = folder

    def path(self, name: str) -> Path:
        """Return where a program lies, or would."""
        return self._folder / name

    def problem(self, name: str) -> str | None:
        """Return what is wrong with a program, such as `missing`, or None when it is whole."""
        record = self._records().get(name)
        try:
            stat = self.path(name).stat()
        except FileNotFoundError:
            return "missing"
        if record is None:
            return "damaged: nothing is known about it"
        if stat.st_size != record.size:
            return f"damaged: it has {stat.st_size} bytes instead of {record.size}"
        if stat.st_mtime_ns != record.modified and _sha256(self.path(name)) != record.sha256:
            return "damaged: its content changed"
        return None

    def add(self, name: str, finished: Path) -> None:
        """Take over the file `finished`, which lies on the same disk, as the program `name`.

        Raises:
            OSError: the folder cannot be written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        finished.chmod(_EXECUTABLE)
        with finished.open("rb") as file:
            os.fsync(file.fileno())  # or a crash of the machine could leave the name without the content
        stat = finished.stat()
        record = _Record(size=stat.st_size, modified=stat.st_mtime_ns, sha256=_sha256(finished))
        finished.replace(self.path(name))
        records = {**self._records(), name: record}
        temporary = self.path(f"{_MANIFEST}.tmp")
        write_private(temporary, json.dumps({key: asdict(value) for key, value in records.items()}, indent=2).encode())
        temporary.replace(self.path(_MANIFEST))

    def _records(self) -> dict[str, _Record]:
        try:
            content = json.loads(self.path(_MANIFEST).read_bytes())
            return {name: _Record(**record) for name, record in content.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}  # then every program counts as damaged and is built again


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
