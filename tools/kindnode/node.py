# SPDX-License-Identifier: Apache-2.0
"""Which engine runs the node, and from which image: kind's own where it can be had, else the one made from packages."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from devcluster.binaries import ensure_programs
from devcluster.cache import Cache
from devcluster.errors import ClusterError
from devcluster.kind import PUBLISHED_IMAGE
from devcluster.progress import Narrator, Progress
from kindnode import pins
from kindnode.engine import Engine
from kindnode.image import NodeImage

VARIABLE: Final = "K8S_IMAGE"
"""Environment variable with the node image that is meant, such as `docker.io/kindest/node:v1.35.8`."""

_PROVIDER: Final = "KIND_EXPERIMENTAL_PROVIDER"
_ENGINES: Final = ("docker", "podman")
_PUBLISHED: Final = f"docker.io/{PUBLISHED_IMAGE}"
_PULL_TIMEOUT: Final = 600.0


class NodeSource(Protocol):
    """Where the node's image comes from."""

    name: str
    """What kind and the engine call the image."""

    @property
    def digest(self) -> str:
        """What changes whenever the image does."""
        ...

    def ensure(self, *, install: bool) -> None:
        """Make sure that the engine has it; `install`: missing Debian packages too.

        Raises:
            ClusterError: it cannot be had; the text says what to do.
        """
        ...


class PublishedImage:
    """A node image of a registry."""

    def __init__(self, engine: Engine, name: str) -> None:
        """Use the image `name` of an engine of this machine."""
        self.name = name
        self._engine = engine

    @property
    def digest(self) -> str:
        """Its name, which says its version and may say its digest."""
        return self.name

    def available(self) -> bool:
        """Tell whether the engine has it, or could pull it just now."""
        if self._engine.ask("image", "inspect", self.name) is not None:
            return True
        self._engine.narrator.say(f"pulling {self.name} with {self._engine.program}")
        return self._engine.ask("pull", "--quiet", self.name, timeout=_PULL_TIMEOUT) is not None

    def ensure(self, *, install: bool) -> None:  # noqa: ARG002 - the port's
        """Pull it unless it is there."""
        if not self.available():
            raise ClusterError(
                f"{self._engine.program} cannot pull the node image {self.name} (`{self._engine.program} pull "
                f"{self.name}` says why). Without {VARIABLE} a node is made from packages, as root on Debian 12."
            )


@dataclass(frozen=True, slots=True)
class Chosen:
    """An engine and the image that it runs the node from."""

    engine: Engine
    node: NodeSource


@dataclass(frozen=True, slots=True)
class Chooser:
    """Decides."""

    cache: Cache
    narrator: Narrator
    progress: Progress
    environment: Mapping[str, str]

    def own(self) -> Chosen:
        """The node made from packages, on an engine of our own."""
        return self._own()[0]

    def published(self, engine: str, image: str) -> Chosen:
        """A node image of a registry, on this engine of the machine."""
        return self._published(engine, image)[0]

    def choose(self) -> Chosen:
        """The image of K8S_IMAGE; else the one made from packages, if it is there; else kind's own, if it can be had.

        Raises:
            ClusterError: K8S_IMAGE cannot be used; the text says what to do.
        """
        (own, made), asked = self._own(), self.environment.get(VARIABLE, "")
        if asked == made.name:
            return own
        engines = self._working_engines()
        if asked:
            if not engines:
                raise ClusterError(
                    f"{VARIABLE}={asked} needs docker or podman, and neither works here: `docker info` and `podman "
                    f"info` say why. Without {VARIABLE} a node is made from packages, as root on Debian 12."
                )
            return self.published(engines[0], asked)
        if made.exists():
            return own
        for each in engines:
            published, image = self._published(each, _PUBLISHED)
            if image.available():
                return published
        self.narrator.say("no kindest/node image can be pulled here: the node is made from packages")
        return own

    def _own(self) -> tuple[Chosen, NodeImage]:
        engine = Engine(self.cache, self.narrator)
        image = NodeImage(self.cache, engine, self.progress)
        return Chosen(engine, image), image

    def _published(self, engine: str, name: str) -> tuple[Chosen, PublishedImage]:
        used = Engine(self.cache, self.narrator, engine)
        image = PublishedImage(used, name)
        return Chosen(used, image), image

    def _working_engines(self) -> Sequence[str]:
        wanted = self.environment.get(_PROVIDER)
        names = [wanted] if wanted else _ENGINES
        return [each for each in names if Engine(self.cache, self.narrator, each).ask("info") is not None]


def kind_program(engine: Engine, progress: Progress) -> Path:
    """Return the program kind: for an engine of the machine the one on PATH, else the pinned one, built when needed.

    Raises:
        BuildError: it cannot be built; the text says what to do.
    """
    installed = None if engine.own else shutil.which("kind")
    if installed:
        return Path(installed)
    wanted = [program for program in pins.PROGRAMS if program.name == "kind"]
    return ensure_programs(wanted, progress, family=pins.PROGRAMS)["kind"]
