# SPDX-License-Identifier: Apache-2.0
"""Where the ledger survives: read once at the start, committed as things happen.

The rest of the operator knows two verbs. `restore` says whether there is a memory to compare the world with; `commit`
returns when everything the ledger holds is as safe as it gets. A paced destination sends its next message only then.
"""

from __future__ import annotations

from typing import Protocol


class Checkpoint(Protocol):
    """The ledger's other half."""

    async def restore(self) -> bool:
        """Fill the ledger with what was kept. False: nothing was, so what exists now is the baseline."""
        ...

    async def commit(self) -> None:
        """Return when all that the ledger holds now is kept."""
        ...


class MemoryCheckpoint:
    """Keeps nothing beyond the process: every start is a first start."""

    async def restore(self) -> bool:
        """There is never anything."""
        return False

    async def commit(self) -> None:
        """Memory is as safe as it gets here."""
