# SPDX-License-Identifier: Apache-2.0
"""Errors whose text is a sentence for people: what is wrong and what to do about it."""

import errno
from pathlib import Path

DISK_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})
"""A full file system and a used-up quota look the same to the user."""


class ClusterError(Exception):
    """A cluster could not be started, reached or ended; the text says what to do."""


class BuildError(ClusterError):
    """The programs of the control plane could not be built; the text says what to do."""


def disk_full(where: Path) -> str:
    """Return the sentence for a disk that ran full while writing under `where`."""
    return (
        f"The disk of {where} is full: free some space there (or set XDG_CACHE_HOME to a larger disk) and run it again."
    )


def sentence(exc: OSError, where: Path) -> str:
    """Return what the user should read about an operating system error met while working under `where`."""
    if exc.errno in DISK_FULL_ERRNOS:
        return disk_full(where)
    return f"{exc.strerror or exc}: {exc.filename or where}. Check that this path exists and that you may write there."
