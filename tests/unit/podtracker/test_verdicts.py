# SPDX-License-Identifier: Apache-2.0
"""How what was found becomes conditions."""

from __future__ import annotations

import pytest

from podtracker.api import Condition
from podtracker.errors import CredentialsError, DeliveryError, Failure
from podtracker.metrics import Metrics
from podtracker.status import Counts, StatusBoard
from podtracker.verdicts import Verdicts
from unit.podtracker.builders import NOW, identity, note, refused, retry, throttled, undeliverable
from unit.podtracker.fakes import FakeEvents, FakeGate, FakeStatusSink


class Bench:
    """Verdicts on a real board, whose conditions are looked at through what it would write."""

    def __init__(self) -> None:
        self.rechecked: list[str] = []
        self.sink = FakeStatusSink()
        self.board = StatusBoard(
            sink=self.sink,
            record=FakeEvents().record,
            may_write=FakeGate().wait_leading,
            counts=lambda _: Counts(0, 0, 0, 0),
            gone=lambda _: None,
            metrics=Metrics(),
            clock=lambda: 0.0,
            wall=lambda: float(NOW),
        )
        self.verdicts = Verdicts(self.board, recheck=self.rechecked.append)

    def known(self, uid: str = "t1") -> dict[str, Condition]:
        return dict(self.board._entries[uid].conditions)

    def said(self, uid: str = "t1") -> dict[str, tuple[str, str]]:
        """Condition -> status and reason."""
        return {kind: (condition.status, condition.reason) for kind, condition in self.known(uid).items()}

    def last_error(self, uid: str = "t1") -> str | None:
        return self.board._entries[uid].last_error


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    for uid in ("t1", "t2"):
        made.board.adopt(identity(uid), {})
    return made


ACCEPTED = ("TokenAccepted", "the receiver accepts the token")
GOOD = {"ReporterReady": ("True", "TokenAccepted"), "Ready": ("True", "Active")}


def test_an_accepted_token_makes_a_tracker_ready(bench: Bench) -> None:
    bench.verdicts.verified("t1", None, accepted=ACCEPTED)
    assert bench.said() == GOOD


@pytest.mark.parametrize("error", [refused("InvalidAuth"), retry(), throttled()], ids=lambda error: error.reason)
def test_a_failed_check_makes_it_not_ready_for_that_reason(bench: Bench, error: DeliveryError) -> None:
    bench.verdicts.verified("t1", error, accepted=ACCEPTED)
    assert bench.said() == {"ReporterReady": ("False", error.reason), "Ready": ("False", error.reason)}
    assert error.message in (bench.last_error() or "")


def test_an_accepted_token_after_a_refused_one_makes_it_ready_again(bench: Bench) -> None:
    bench.verdicts.verified("t1", refused("InvalidAuth"), accepted=ACCEPTED)
    bench.verdicts.verified("t1", None, accepted=ACCEPTED)
    assert bench.said() == GOOD


def test_a_check_says_no_less_than_a_delivery_did(bench: Bench) -> None:
    bench.verdicts.delivered(["t1"], [note()])
    bench.verdicts.verified("t1", None, accepted=ACCEPTED)
    assert bench.said()["ReporterReady"] == ("True", "Delivered")


@pytest.mark.parametrize("before", ["verified", "delivered"])
def test_a_mended_spec_ends_invalid_spec(bench: Bench, before: str) -> None:
    bench.verdicts.verified("t1", None, accepted=ACCEPTED)
    if before == "delivered":
        bench.verdicts.delivered(["t1"], [note()])
    bench.verdicts.invalid("t1", "spec.name is missing")
    assert bench.said()["Ready"] == ("False", "InvalidSpec")
    bench.verdicts.verified("t1", None, accepted=ACCEPTED)
    assert bench.said()["Ready"] == ("True", "Active")


def test_conditions_speak_of_the_newest_generation_once_it_was_looked_at(bench: Bench) -> None:
    # kubectl wait --for=condition=Ready believes no condition of an older generation.
    bench.verdicts.credential("t1", inline=False)
    bench.verdicts.verified("t1", None, accepted=ACCEPTED)
    bench.verdicts.delivered(["t1"], [note()])
    bench.board.adopt(identity("t1", generation=2), {})
    bench.verdicts.credential("t1", inline=False)
    bench.verdicts.verified("t1", None, accepted=ACCEPTED)
    assert {kind: condition.observed_generation for kind, condition in bench.known().items()} == {
        "Ready": 2,
        "ReporterReady": 2,
        "CredentialsSecure": 2,
    }


def test_where_the_token_comes_from(bench: Bench) -> None:
    bench.verdicts.credential("t1", inline=True)
    bench.verdicts.credential("t2", inline=False)
    assert bench.said("t1") == {"CredentialsSecure": ("False", "InlineKey")}
    assert bench.said("t2") == {"CredentialsSecure": ("True", "SecretRef")}
    assert "keySecretRef" in bench.known("t1")["CredentialsSecure"].message


def test_without_a_token_a_tracker_is_not_ready(bench: Bench) -> None:
    bench.verdicts.unavailable("t1", CredentialsError("SecretNotFound", "make it"))
    assert bench.said() == {"ReporterReady": ("False", "SecretNotFound"), "Ready": ("False", "SecretNotFound")}
    assert bench.known()["ReporterReady"].message == "make it"


def test_an_invalid_spec_says_what_is_wrong(bench: Bench) -> None:
    bench.verdicts.invalid("t1", "spec.name is missing")
    assert bench.said() == {"Ready": ("False", "InvalidSpec")}
    assert bench.known()["Ready"].message == "spec.name is missing"


def test_what_people_can_end_comes_with_how(bench: Bench) -> None:
    error = DeliveryError(Failure.REFUSED, "NotInChannel", "Slack answered not_in_channel", advice="invite the bot")
    bench.verdicts.failed(["t1"], error)
    message = bench.known()["ReporterReady"].message
    assert message == bench.known()["Ready"].message == "Slack answered not_in_channel; invite the bot"


def test_a_delivery_makes_it_ready(bench: Bench) -> None:
    bench.verdicts.failed(["t1", "t2"], retry())
    bench.verdicts.delivered(["t1", "t2"], [note()])
    for uid in ("t1", "t2"):
        assert bench.said(uid) == {"ReporterReady": ("True", "Delivered"), "Ready": ("True", "Active")}
    assert bench.last_error("t1") is None


def test_only_who_was_delivered_has_a_time_for_it(bench: Bench) -> None:
    bench.verdicts.delivered(["t1", "t2"], [note(tracker="t2")])
    assert bench.board._entries["t1"].last_delivered is None
    assert bench.board._entries["t2"].last_delivered is not None


@pytest.mark.parametrize("error", [retry(), throttled()], ids=lambda error: error.reason)
def test_what_passes_by_itself_is_shown_and_not_rechecked(bench: Bench, error: DeliveryError) -> None:
    bench.verdicts.failed(["t1"], error)
    assert bench.said()["ReporterReady"] == ("False", error.reason)
    assert bench.rechecked == []


def test_a_refusal_has_the_credential_read_again(bench: Bench) -> None:
    bench.verdicts.failed(["t1", "t2"], refused())
    assert bench.rechecked == ["t1", "t2"]


def test_one_message_that_cannot_be_delivered_does_not_make_the_receiver_bad(bench: Bench) -> None:
    bench.verdicts.verified("t1", None, accepted=ACCEPTED)
    bench.verdicts.failed(["t1"], undeliverable())
    assert bench.said() == GOOD
    assert bench.last_error() == "Rejected: Slack answered msg_too_long"
    assert bench.rechecked == []


def test_a_tracker_that_is_gone_is_passed_over(bench: Bench) -> None:
    bench.board.forget("t1")
    bench.verdicts.verified("t1", None, accepted=ACCEPTED)
    bench.verdicts.invalid("t1", "x")
    bench.verdicts.credential("t1", inline=True)
    bench.verdicts.unavailable("t1", CredentialsError("SecretNotFound", "x"))
    bench.verdicts.failed(["t1"], DeliveryError(Failure.RETRY, "Unreachable", "x"))
    bench.verdicts.delivered(["t1"], [note()])
    assert set(bench.board._entries) == {"t2"}
