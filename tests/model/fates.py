# SPDX-License-Identifier: Apache-2.0
"""What becomes of a request on its way: drawn beforehand by hypothesis, and nothing at all after the last."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

_DELAYS: Final = (0.02, 0.3, 0.7, 2.5)
"""Seconds."""


@dataclass(frozen=True)
class Fate:
    """Of one request, or of one piece of a watch."""

    there: float = 0.0
    """Seconds until it arrives."""
    back: float = 0.0
    """Seconds until its answer does."""
    lost_there: bool = False
    """It never arrives."""
    lost_back: bool = False
    """Its answer never does."""
    lands: bool = False
    """It arrives even when the sender dies meanwhile."""
    turn: int = 0
    """0 to 15, which of several other things happens, 0 for none."""


NOTHING: Final = Fate()


@dataclass
class Fates:
    """One after the other. A byte of 0 means nothing, which is where hypothesis shrinks to."""

    draws: bytes
    harmless: bool = False
    """Nothing is lost, things only take their time."""
    _place: int = field(default=0, init=False)

    def take(self) -> Fate:  # noqa: PLR0911 - one for each fate
        """The next one."""
        if self._place >= len(self.draws):
            return NOTHING
        draw = self.draws[self._place]
        self._place += 1
        kind, more = draw % 16, draw // 16
        delay = _DELAYS[more % 4]
        match kind:
            case 9 | 10:
                return Fate(there=delay, lands=more >= 8)
            case 11 | 12:
                return Fate(back=delay)
            case 13 if not self.harmless:
                return Fate(lost_there=True, there=delay)
            case 14 if not self.harmless:
                return Fate(lost_back=True, back=delay)
            case 15:
                return Fate(turn=more)
        return NOTHING

    def end(self) -> None:
        """From now on nothing happens."""
        self._place = len(self.draws)
