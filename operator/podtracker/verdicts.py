# SPDX-License-Identifier: Apache-2.0
"""Puts what was found about a tracker into its conditions; the one place that words them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from podtracker.errors import CredentialsError, DeliveryError, Failure
from podtracker.ledger import Notification
from podtracker.status import (
    CREDENTIALS_SECURE,
    MESSAGE_VALID,
    READY,
    REPORTER_READY,
    REPORTER_VERIFIED,
    StatusBoard,
)


class Verdicts:
    """Also the dispatcher's listener: how deliveries end says whether a receiver works."""

    def __init__(self, board: StatusBoard, *, recheck: Callable[[str], None]) -> None:
        """Args: recheck: called with a tracker's uid when its credential should be read again soon."""
        self._board = board
        self._recheck = recheck

    # from reconciling

    def invalid(self, uid: str, problem: str) -> None:
        """The spec cannot be understood."""
        self._board.condition(uid, READY, False, "InvalidSpec", problem)

    def credential(self, uid: str, *, inline: bool) -> None:
        """Where the token comes from."""
        if inline:
            message = (
                "the token stands in the tracker, where everybody who may read trackers may read it; use keySecretRef"
            )
            self._board.condition(uid, CREDENTIALS_SECURE, False, "InlineKey", message)
        else:
            self._board.condition(uid, CREDENTIALS_SECURE, True, "SecretRef", "the token comes from a Secret")

    def unavailable(self, uid: str, error: CredentialsError) -> None:
        """There is no token to send with."""
        self._reporter(uid, False, error.reason, error.message)

    def message(self, uid: str, problem: str | None, *, given: bool) -> None:
        """Whether the tracker's own text can be used."""
        if not given:
            self._board.no_condition(uid, MESSAGE_VALID)
        elif problem is None:
            self._board.condition(uid, MESSAGE_VALID, True, "Valid", "single messages have the tracker's own text")
        else:
            advice = "; the default text is used meanwhile. podtracker explain lists what may be used"
            self._board.condition(uid, MESSAGE_VALID, False, "InvalidTemplate", f"spec.message, {problem}{advice}")

    def verified(
        self, uid: str, error: DeliveryError | None, *, accepted: tuple[str, str], edited: bool = False
    ) -> None:
        """The receiver was asked whether it takes the credential.

        Args:
            uid: the tracker's.
            error: why it does not.
            accepted: reason and message where it does.
            edited: what was known before is of another spec.
        """
        if error is not None:
            self._reporter(uid, False, error.reason, _advised(error))
            self._board.failed(uid, f"{error.reason}: {error.message}")
            return
        known = self._board.reporter_condition(uid)
        if known is not None and known.status == "True" and not edited:
            self._reporter(uid, True, known.reason, known.message)
        else:
            self._reporter(uid, True, *accepted)

    # from delivering

    def delivered(self, trackers: Sequence[str], settled: Sequence[Notification]) -> None:
        """The receiver has these."""
        for uid in trackers:
            self._reporter(uid, True, "Delivered", "the last message was accepted")
        for uid in {notification.tracker for notification in settled}:
            self._board.delivered(uid)

    def failed(self, trackers: Sequence[str], error: DeliveryError) -> None:
        """An attempt failed."""
        for uid in trackers:
            self._board.failed(uid, f"{error.reason}: {error.message}")
            if error.failure is Failure.UNDELIVERABLE:
                continue
            self._reporter(uid, False, error.reason, _advised(error))
            if error.failure is Failure.REFUSED:
                self._recheck(uid)

    def tested(self, tracker: str, nonce: str, error: DeliveryError | None) -> None:
        """A test message was accepted, or why it was not."""
        if error is None:
            self._board.condition(
                tracker, REPORTER_VERIFIED, True, "TestDelivered", "the receiver took the test message"
            )
        else:
            self._board.condition(tracker, REPORTER_VERIFIED, False, error.reason, _advised(error))
        self._board.tested(tracker, nonce)

    def _reporter(self, uid: str, status: bool, reason: str, message: str) -> None:
        self._board.condition(uid, REPORTER_READY, status, reason, message)
        if status:
            self._board.condition(uid, READY, True, "Active", "pods are watched and messages are accepted")
        else:
            self._board.condition(uid, READY, status, reason, message)


def _advised(error: DeliveryError) -> str:
    return f"{error.message}; {error.advice}" if error.advice else error.message
