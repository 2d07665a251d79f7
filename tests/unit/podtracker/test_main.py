# SPDX-License-Identifier: Apache-2.0
"""The command line: exit codes, and sentences where something is wrong."""

from __future__ import annotations

import pytest

from podtracker import __version__, app
from podtracker.__main__ import main
from podtracker.census import CrdMissingError
from podtracker.election import NotLeadingError
from podtracker.errors import KubeError, PodTrackerError, SettingsError
from podtracker.journal import DeposedError
from podtracker.records import NewerFormatError
from podtracker.redact import Redactor
from podtracker.settings import Settings
from unit.podtracker.builders import SECRET
from unit.podtracker.test_settings import BAD, GOOD

pytestmark = pytest.mark.usefixtures("_logging_restored", "_no_settings")


@pytest.fixture
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment in which nothing is set, and no operator that would really run."""
    for entry in GOOD:
        monkeypatch.delenv(entry[0], raising=False)
    ends_with(AssertionError("it ran"), monkeypatch)


def ends_with(error: Exception | None, monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Replace the operator by one that ends at once; gives the settings that it gets."""
    chosen: list[Settings] = []

    async def run(settings: Settings, redactor: Redactor) -> None:
        assert isinstance(redactor, Redactor)
        chosen.append(settings)
        if error is not None:
            raise error

    monkeypatch.setattr(app, "run", run)
    return chosen


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["run", "--fly"], ["run", "--log-level"], ["version", "x"]], ids=str
)
def test_a_wrong_command_line_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: podtracker" in capsys.readouterr().err


@pytest.mark.parametrize(("variable", "value"), [(name, values[0]) for name, values in BAD.items()], ids=list(BAD))
def test_a_wrong_setting_is_2_and_a_sentence(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)
    assert main(["run"]) == 2
    said = capsys.readouterr().err
    assert variable in said
    assert said.startswith("podtracker: ")
    assert said.count("\n") == 1
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError("a sentence"), 2),
        (CrdMissingError("a sentence"), 3),
        (NotLeadingError("a sentence"), 4),
        (DeposedError("a sentence"), 4),
        (NewerFormatError("a sentence"), 5),
        (KubeError(0, "Unreachable", "a sentence"), 1),
        (PodTrackerError("a sentence"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_how_it_ends_is_the_exit_code_and_a_sentence(
    error: PodTrackerError, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ends_with(error, monkeypatch)
    assert main(["run"]) == code
    said = capsys.readouterr().err
    assert "a sentence" in said
    assert "Traceback" not in said


def test_an_orderly_end_is_0(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = ends_with(None, monkeypatch)
    monkeypatch.setenv("WATCH_NAMESPACE", "a,b")
    assert main(["run", "--watch-namespace", "c"]) == 0
    assert chosen[0].watch_namespaces == ("c",)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_bug_is_1_with_its_traceback_and_without_tokens(
    form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ends_with(RuntimeError(f"a bug with {SECRET} in it"), monkeypatch)
    assert main(["run", "--log-format", form]) == 1
    said = capsys.readouterr().err
    assert "ended by a bug" in said
    assert "RuntimeError" in said
    assert SECRET not in said
