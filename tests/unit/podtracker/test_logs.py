# SPDX-License-Identifier: Apache-2.0
"""Log lines for people and machines, with what was given beside the message and without credentials."""

from __future__ import annotations

import json
import logging
import os
import re
import sys

import pytest

from podtracker import logs
from podtracker.redact import MASK, Redactor, Token
from unit.podtracker.builders import SECRET

pytestmark = pytest.mark.usefixtures("_logging_restored")


@pytest.fixture
def redact() -> Redactor:
    return Redactor()


def set_up(form: str, redact: Redactor, level: str = "debug") -> None:
    logs.set_up(level=level, form=form, redact=redact)


def test_text(redact: Redactor, capsys: pytest.CaptureFixture[str]) -> None:
    set_up("text", redact)
    logging.getLogger("podtracker.x").warning("it %s", "happened", extra={"tracker": "my one", "failures": 3})
    line = capsys.readouterr().err
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING podtracker\.x: it happened tracker='my one' failures=3\n", line
    )


def test_json(redact: Redactor, capsys: pytest.CaptureFixture[str]) -> None:
    set_up("json", redact)
    logging.getLogger("podtracker.x").info("it %s", "happened", extra={"tracker": "my\none", "failures": 3, "odd": {1}})
    raw = capsys.readouterr().err
    assert raw.count("\n") == 1
    line = json.loads(raw)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "info",
        "logger": "podtracker.x",
        "message": "it happened",
        "tracker": "my\none",
        "failures": 3,
        "odd": "{1}",
    }


def test_times_are_utc(redact: Redactor) -> None:
    record = logging.makeLogRecord({"created": 1_798_761_600.25, "msecs": 250.0, "name": "n", "msg": "m"})
    assert logs.TextFormatter(redact).format(record).startswith("2027-01-01T00:00:00.250Z")
    assert json.loads(logs.JsonFormatter(redact).format(record))["time"] == "2027-01-01T00:00:00.250Z"


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_exception_comes_with_its_traceback(form: str, redact: Redactor, capsys: pytest.CaptureFixture[str]) -> None:
    set_up(form, redact)
    try:
        int("boom")
    except ValueError:
        logging.getLogger("podtracker.x").exception("it failed")
    said = capsys.readouterr().err
    text = json.loads(said)["exception"] if form == "json" else said
    assert "Traceback (most recent call last)" in text
    assert "ValueError: invalid literal" in text
    assert (said.count("\n") == 1) is (form == "json")


HARD = 'quo"te\\slash\x01änd-more'
"""A token that JSON and repr write in another way than it is."""


WHERE = ("message", "argument", "extra", "extra inside", "exception", "cause")


def fail(value: str, where: str) -> None:
    """Fail as a careless library does, with a token in the error or behind it."""
    try:
        os.environ[value]
    except KeyError as error:
        if where == "exception":
            raise ValueError(f"with {value} in it") from None
        raise ValueError("outer") from error


def careless(log: logging.Logger, value: str, where: str) -> None:
    """Log a token as it must not be done."""
    match where:
        case "message":
            log.info(f"a token: {value}")  # noqa: G004 - the careless way is what is tested
        case "argument":
            log.info("a token: %s and %r", value, {"token": value})
        case "extra":
            log.info("a token", extra={"detail": value})
        case "extra inside":
            log.info("a token", extra={"detail": {"deep": [value]}})
        case _:
            try:
                fail(value, where)
            except ValueError:
                log.exception("it failed")


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("where", WHERE)
def test_a_known_token_shows_nowhere(
    form: str, where: str, redact: Redactor, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(form, redact)
    for value in (SECRET, "hunter2hunter2", HARD, "two\nlines-of-it"):
        redact.learn(Token(value))
        careless(logging.getLogger("podtracker.x"), value, where)
        said = capsys.readouterr().err
        assert MASK in said
        for escaped in (value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]):
            assert escaped not in said
        if form == "json":
            assert value not in json.dumps(json.loads(said), ensure_ascii=False)


def test_a_token_object_is_hidden_in_extras(redact: Redactor, capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("text", "json"):
        set_up(form, redact)
        logging.getLogger("podtracker.x").info("m", extra={"token": Token("never-learned-this")})
    assert "never-learned-this" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("level", "seen"),
    [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)],
)
def test_the_level_is_a_threshold(level: str, seen: int, redact: Redactor, capsys: pytest.CaptureFixture[str]) -> None:
    set_up("text", redact, level)
    log = logging.getLogger("podtracker.x")
    for say in (log.debug, log.info, log.warning, log.error):
        say("m")
    assert capsys.readouterr().err.count("\n") == seen


@pytest.mark.parametrize(
    "name",
    [
        "kopf",
        "kopf.objects",
        "kubernetes",
        "kubernetes.aio.client.rest",
        "slack_sdk.web",
        "podtracker.reporters.slack",
        "aiohttp.access",
        "asyncio",
    ],
)
def test_libraries_that_write_whole_objects_are_quiet_at_any_level(
    name: str, redact: Redactor, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up("text", redact, "debug")
    log = logging.getLogger(name)
    log.debug("an object")
    log.info("an object")
    assert capsys.readouterr().err == ""
    log.warning("a problem")
    assert "a problem" in capsys.readouterr().err


def test_at_error_libraries_are_no_louder_than_the_rest(redact: Redactor, capsys: pytest.CaptureFixture[str]) -> None:
    set_up("text", redact, "error")
    logging.getLogger("kopf").warning("a problem")
    assert capsys.readouterr().err == ""


def test_setting_up_again_does_not_double_the_lines(redact: Redactor, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        set_up("text", redact)
    logging.getLogger("podtracker.x").info("m")
    assert capsys.readouterr().err.count("\n") == 1
    assert [type(handler) for handler in logging.getLogger().handlers] == [logging.StreamHandler]
    assert sys.stderr is logging.getLogger().handlers[0].stream  # type: ignore[attr-defined]
