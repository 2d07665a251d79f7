# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, in the operator's own words.

Adapters translate the errors of their libraries into these by type and code, at the edge, so that nothing inside
needs to know a library. No message in here may hold a credential or a response body that could hold one.
"""

from __future__ import annotations

import enum
from typing import ClassVar


class PodTrackerError(Exception):
    """The root of everything that this package raises on purpose."""

    exit_code: ClassVar[int] = 1
    """Of the process, when it ends the process."""


class SettingsError(PodTrackerError):
    """A flag or an environment variable has a value that cannot work; the message says which and what would."""

    exit_code = 2


class InvalidTrackerError(PodTrackerError):
    """A tracker's spec is not what the CRD's schema asks for (another CRD version may have let it in)."""


class KubeError(PodTrackerError):
    """The API server answered with an error, or could not be reached.

    `status` is the HTTP status, or 0 where there was no answer; `retry_after` is in seconds, where it sent one.
    """

    def __init__(self, status: int, reason: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}" if status else f"{reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after

    @property
    def gone(self) -> bool:
        """Whether the asked resourceVersion or continue token is no longer known (410)."""
        return self.status == 410  # noqa: PLR2004 - the HTTP status itself

    @property
    def not_found(self) -> bool:
        """Whether the object, or its whole kind, does not exist (404)."""
        return self.status == 404  # noqa: PLR2004 - the HTTP status itself

    @property
    def conflict(self) -> bool:
        """Whether the object is not at the version that the request named (409)."""
        return self.status == 409  # noqa: PLR2004 - the HTTP status itself

    @property
    def forbidden(self) -> bool:
        """Whether the operator's ServiceAccount may not do this (403)."""
        return self.status == 403  # noqa: PLR2004 - the HTTP status itself


class Failure(enum.Enum):
    """What a failed delivery means for the next one."""

    RETRY = "retry"
    """Not accepted, or nobody knows: try again with backoff."""
    THROTTLED = "throttled"
    """Not accepted; the receiver said when to come back."""
    REFUSED = "refused"
    """Not accepted, and will not be until somebody changes something: a token, a channel, a scope."""
    UNDELIVERABLE = "undeliverable"
    """This one message can never be accepted, whatever the receiver's state: drop it, count it, go on."""


class DeliveryError(PodTrackerError):
    """A reporter could not deliver, or could not check its credentials.

    `reason` is a condition reason (CamelCase, stable: users match on it), `retry_after` seconds where the receiver said
    so; `arrived_perhaps` says that the request was sent and its outcome is unknown; `advice` is what to do about
    it.
    """

    def __init__(
        self,
        failure: Failure,
        reason: str,
        message: str,
        *,
        retry_after: float | None = None,
        arrived_perhaps: bool = False,
        advice: str = "",
    ) -> None:
        super().__init__(f"{reason}: {message}")
        self.arrived_perhaps = arrived_perhaps
        self.advice = advice
        self.failure = failure
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class CredentialsError(PodTrackerError):
    """A tracker's credential cannot be read; `reason` is a condition reason, the message says what to do."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
