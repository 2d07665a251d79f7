# SPDX-License-Identifier: Apache-2.0
"""No way of printing a token prints it, and the redactor takes out what slips through."""

from __future__ import annotations

import copy
import json
import logging
import traceback
from collections.abc import Callable

import msgspec
import pytest

from podtracker.delivery import Credential, Destination
from podtracker.redact import MASK, MOST_KEPT, Redactor, Token
from unit.podtracker.builders import SECRET, destination

RENDERINGS: dict[str, Callable[[Token], object]] = {
    "repr": repr,
    "str": str,
    "format": format,
    "f-string": lambda token: f"{token}",
    "f-string with !r": lambda token: f"{token!r}",
    "f-string with =": lambda token: f"{token=}",
    "str.format": "{}".format,
    "percent": lambda token: "%s %r" % (token, token),  # noqa: UP031 - the old way is what is tested
    "in a list": lambda token: repr([token]),
    "in a dict": lambda token: str({"token": token}),
    "in a struct": lambda token: repr(Destination(kind="slack", channel="C", credential=Credential(token=token))),
    "in an exception": lambda token: repr(ValueError(token)) + str(ValueError("bad", token)),
    "json with default=str": lambda token: json.dumps({"token": token}, default=str),
    "a copy": lambda token: repr(copy.copy(token)) + repr(copy.deepcopy(token)),
}


@pytest.mark.parametrize("render", RENDERINGS.values(), ids=RENDERINGS.keys())
def test_a_token_is_hidden(render: Callable[[Token], object]) -> None:
    text = str(render(Token(SECRET)))
    assert SECRET not in text
    assert MASK in text


REFUSALS: dict[str, Callable[[Token], object]] = {
    "format with a width": lambda token: f"{token:>40}",
    "json": json.dumps,
    "msgspec json": msgspec.json.encode,
    "msgspec json of a struct": lambda token: msgspec.json.encode(
        Destination(kind="slack", channel="C", credential=Credential(token=token))
    ),
}


@pytest.mark.parametrize("render", REFUSALS.values(), ids=REFUSALS.keys())
def test_what_cannot_hide_a_token_fails_without_showing_it(render: Callable[[Token], object]) -> None:
    try:
        shown = repr(render(Token(SECRET)))
    except TypeError as error:
        shown = "".join(traceback.format_exception(error))
    assert SECRET not in shown


def test_a_token_is_hidden_in_a_traceback() -> None:
    def fails(token: Token) -> None:
        raise ValueError(f"cannot use {token}", token)

    with pytest.raises(ValueError, match="cannot use") as caught:
        fails(Token(SECRET))
    text = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    # The test's own locals hold no token by value: what is shown of `token` is its repr.
    assert SECRET not in text


def test_a_token_is_hidden_in_a_log_record(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("test").warning(
        "sent with %s and %r", Token(SECRET), destination(), extra={"token": Token(SECRET)}
    )
    (record,) = caplog.records
    assert SECRET not in record.getMessage()
    assert SECRET not in str(vars(record)["token"])


def test_a_token_is_a_value() -> None:
    assert Token("a") == Token("a")
    assert Token("a") != Token("b")
    assert Token("a") != "a"
    assert hash(Token("a")) == hash(Token("a"))
    assert {Token("a"): 1}[Token("a")] == 1
    assert Token("a")
    assert not Token("")
    assert Token(SECRET).reveal() == SECRET


@pytest.mark.parametrize(
    "text",
    [
        "xoxb-1-2-abc",
        "xoxp-1-2-abc",
        "xoxe-1-abc",
        "xoxe.xoxp-1-abc",
        "xapp-1-A0-9-f00",
        '"xoxb-1-2-abc"',
        "token=xoxb-1-2-abc;",
        "Authorization: Bearer xoxb-1-2-abc, Accept: */*",
        "(xoxb-1-2-abc)",
        "https://host/?token=xoxb-1-2-abc",
    ],
)
def test_the_redactor_knows_slacks_tokens_without_being_told(text: str) -> None:
    redacted = Redactor()(text)
    assert MASK in redacted
    for part in ("1-2-abc", "1-abc", "f00"):
        assert part not in redacted


@pytest.mark.parametrize("text", ["", "Pod nginx was created", "a box-office", "xox- is no prefix", "pod xoxbar"])
def test_the_redactor_leaves_other_text_alone(text: str) -> None:
    assert Redactor()(text) == text


def test_the_redactor_masks_what_it_learned_everywhere() -> None:
    redact = Redactor()
    redact.learn(Token("hunter2hunter2"))
    redact.learn(Token("pass/word+1"))
    assert redact("hunter2hunter2, again hunter2hunter2, and pass/word+1.") == f"{MASK}, again {MASK}, and {MASK}."


def test_the_redactor_learns_a_token_once() -> None:
    redact = Redactor()
    for _ in range(1000):
        redact.learn(Token("hunter2"))
    assert redact("hunter2") == MASK


@pytest.mark.parametrize("short", ["", "a", "abc"])
def test_the_redactor_does_not_mask_what_is_too_short_to_be_a_secret(short: str) -> None:
    redact = Redactor()
    redact.learn(Token(short))
    assert redact("abc and a") == "abc and a"


@pytest.mark.parametrize("order", [("hunter2", "hunter2-and-more"), ("hunter2-and-more", "hunter2")])
def test_a_token_that_begins_with_another_is_masked_whole(order: tuple[str, str]) -> None:
    redact = Redactor()
    for value in order:
        redact.learn(Token(value))
    assert "more" not in redact("it was hunter2-and-more")


def test_the_redactor_keeps_what_was_learned_last() -> None:
    redact = Redactor()
    redact.learn(Token("in-use-all-the-time"))
    for number in range(2 * MOST_KEPT // 1000):
        redact.learn(Token(f"{number:04}" + "x" * 996))
        redact.learn(Token("in-use-all-the-time"))
    newest = f"{number:04}" + "x" * 996
    assert redact(f"in-use-all-the-time {newest}") == f"{MASK} {MASK}"
    assert redact._size <= MOST_KEPT
    assert redact._size == sum(map(len, redact._shapes))


def test_the_redactor_masks_one_value_however_long() -> None:
    redact = Redactor()
    long = "x" * (MOST_KEPT + 1)
    redact.learn(Token(long))
    assert redact(long) == MASK
