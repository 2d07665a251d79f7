# SPDX-License-Identifier: Apache-2.0
"""What delivery is made of: destinations, messages, and the ports on both sides of the dispatcher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from podtracker.errors import DeliveryError
from podtracker.ledger import Notification
from podtracker.redact import Token
from podtracker.trackers import TrackerIdentity


class Credential(msgspec.Struct, frozen=True):
    """What a receiver is reached and convinced with; all of it is secret, the URL too."""

    token: Token | None = None
    url: Token | None = None
    """Of a webhook, or for Apprise; from the Secret only."""
    hmac_key: Token | None = None
    """Signs a webhook's body."""


class Destination(msgspec.Struct, frozen=True):
    """Where messages go. Equal destinations share a lane, and so a pace, whoever's tracker they come from."""

    kind: str
    channel: str
    credential: Credential


class Message(msgspec.Struct, frozen=True):
    """What a reporter delivers."""

    text: str
    """For people; already escaped by the reporter's own `escape`."""
    notifications: tuple[Notification, ...]
    """The occurrences that the text tells; their ids travel with the message."""
    tracker: TrackerIdentity
    cluster: str = ""
    """The cluster's name, where one is configured."""

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the occurrences."""
        return tuple(notification.id for notification in self.notifications)


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """How a kind of receiver is to be treated."""

    paced: bool
    """Whether it limits messages per second. What is not paced may run ahead of the ledger by up to a second."""
    digests: bool
    """Whether one message may tell of several occurrences."""
    accepted: tuple[str, str]
    """Condition reason and message once `verify` found nothing wrong."""


class Reporter(Protocol):
    """The port of every kind of receiver."""

    @property
    def traits(self) -> Traits:
        """How it is to be treated."""
        ...

    def escape(self, text: str) -> str:
        """Text that cannot become markup, a link or a mention at the receiver."""
        ...

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

    async def close(self) -> None:
        """Close what is open; nothing is asked of it afterwards."""
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

    def tested(self, tracker: str, nonce: str, error: DeliveryError | None) -> None:
        """A test message was accepted, or why it was not."""
        ...


class Commit(Protocol):
    """Keeps the ledger."""

    async def __call__(self, *, within: float = 0.0) -> None:
        """Return when all that the ledger holds now is kept.

        Args:
            within: seconds in which the write has to begin; the more, the more share it.
        """
        ...


class Compose(Protocol):
    """Puts occurrences into words."""

    def __call__(
        self,
        batch: Sequence[Notification],
        *,
        dropped: int,
        escape: Callable[[str], str],
        tracker: TrackerIdentity,
    ) -> Message:
        """One message for occurrences of one tracker.

        Args:
            batch: what to tell.
            dropped: how many occurrences the tracker has lost to its quota since the last message.
            escape: makes a value harmless at the receiver.
            tracker: whose they are.
        """
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
