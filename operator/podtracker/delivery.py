# SPDX-License-Identifier: Apache-2.0
"""What delivery is made of: destinations, messages, and the ports on both sides of the dispatcher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from podtracker.errors import DeliveryError
from podtracker.ledger import Notification
from podtracker.redact import Token


class Destination(msgspec.Struct, frozen=True):
    """Where messages go. Equal destinations share a lane, and so a pace, whoever's tracker they come from."""

    kind: str
    channel: str
    token: Token


class Message(msgspec.Struct, frozen=True):
    """What a reporter delivers."""

    text: str
    ids: tuple[str, ...]
    """The ids of the occurrences that the text tells."""


class Reporter(Protocol):
    """The port of every kind of receiver."""

    async def deliver(self, destination: Destination, message: Message) -> None:
        """Deliver once; returning means that the receiver has it.

        Raises:
            DeliveryError: it has not, or nobody knows; the failure's kind says what to do.
        """
        ...

    async def verify(self, destination: Destination) -> None:
        """Check the credential without delivering anything.

        Raises:
            DeliveryError: it would not be accepted, or could not be checked.
        """
        ...

    async def arrived(self, destination: Destination, *, since: float) -> frozenset[str] | None:
        """The ids of the occurrences that the receiver has, of messages since a time (seconds since 1970).

        Returns:
            None where this receiver, or this credential, cannot tell.

        Raises:
            DeliveryError: it could not be asked now.
        """
        ...


class Gate(Protocol):
    """Whether this process may send at all."""

    def leading(self) -> bool:
        """It may now."""
        ...

    async def wait_leading(self) -> None:
        """Return once it may."""
        ...


class Listener(Protocol):
    """Who wants to know how deliveries end. Both calls are synchronous and cheap."""

    def delivered(self, trackers: Sequence[str], settled: Sequence[Notification]) -> None:
        """The receiver has these; `trackers` are those for whom that is news about their destination."""
        ...

    def failed(self, trackers: Sequence[str], error: DeliveryError) -> None:
        """An attempt failed; `trackers` are all that share the destination."""
        ...


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How fast, and how stubborn. All times in seconds."""

    rate: float = 1.0
    """Messages per second and destination. Slack allows about one, with short bursts (docs.slack.dev, rate limits)."""
    burst: int = 3
    """Messages that may go at once after a quiet time."""
    backoff: float = 1.0
    """First wait after a failed attempt; doubles, with jitter."""
    backoff_max: float = 60.0
    """Longest wait after a failed attempt."""
    blocked_retry: float = 600.0
    """Wait after a refusal that only a person can end, such as a bot that is not in its channel."""
