# SPDX-License-Identifier: Apache-2.0
"""The image of the program that plays containers, for nodes that do not bring it."""

from pathlib import Path

from devcluster.binaries import ensure_programs
from devcluster.cache import Cache
from devcluster.progress import Progress
from kindnode import pins
from kindnode.archive import Image, architecture, write_archive


def archive(cache: Cache, progress: Progress) -> Path:
    """Return a docker archive with the image, made anew; its program is built when needed.

    Raises:
        BuildError: it cannot be built; the text says what to do.
    """
    wanted = [program for program in pins.OWN_PROGRAMS if program.name == "actor"]
    program = ensure_programs(wanted, progress, family=pins.OWN_PROGRAMS)["actor"]
    path = cache.root / "kindnode" / "actor.tar"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_archive(path, [image(program)], architecture=architecture())
    return path


def image(program: Path) -> Image:
    """Return the image."""
    return Image(pins.ACTOR_IMAGE, {"actor": program}, entrypoint=["/actor"])
