# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from podtracker.errors import (
    CredentialsError,
    DeliveryError,
    Failure,
    InvalidTrackerError,
    KubeError,
    PodTrackerError,
    SettingsError,
)


@pytest.mark.parametrize(
    ("status", "gone", "not_found", "forbidden"),
    [(410, True, False, False), (404, False, True, False), (403, False, False, True), (500, False, False, False)],
    ids=str,
)
def test_kube_error_tells_what_matters(status: int, gone: bool, not_found: bool, forbidden: bool) -> None:
    error = KubeError(status, "Reason", "a sentence", retry_after=3.0)
    assert (error.gone, error.not_found, error.forbidden) == (gone, not_found, forbidden)
    assert str(error) == f"{status} Reason: a sentence"
    assert error.retry_after == 3.0


def test_kube_error_without_an_answer_shows_no_status() -> None:
    error = KubeError(0, "Unreachable", "connection refused")
    assert str(error) == "Unreachable: connection refused"
    assert error.retry_after is None


def test_delivery_error_carries_what_the_dispatcher_and_the_condition_need() -> None:
    error = DeliveryError(Failure.THROTTLED, "RateLimited", "wait", retry_after=2.0)
    assert (error.failure, error.reason, error.message, error.retry_after) == (
        Failure.THROTTLED,
        "RateLimited",
        "wait",
        2.0,
    )
    assert str(error) == "RateLimited: wait"


def test_credentials_error_carries_the_condition() -> None:
    error = CredentialsError("SecretNotFound", "make it")
    assert (error.reason, error.message, str(error)) == ("SecretNotFound", "make it", "SecretNotFound: make it")


@pytest.mark.parametrize("kind", [SettingsError, InvalidTrackerError, KubeError, DeliveryError, CredentialsError])
def test_all_that_is_raised_on_purpose_has_one_root(kind: type[Exception]) -> None:
    assert issubclass(kind, PodTrackerError)
