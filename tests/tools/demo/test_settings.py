# SPDX-License-Identifier: Apache-2.0
"""What the user may ask the demo for, and what it answers to nonsense."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from demo.errors import UsageError
from demo.settings import RealSlack, Settings
from devcluster.choose import Kind


def parse(*arguments: str, environment: Mapping[str, str] | None = None, interactive: bool = False) -> Settings:
    return Settings.parse(arguments, environment or {}, interactive=interactive)


def test_nothing_asked_for() -> None:
    settings = parse()
    assert (settings.cluster, settings.slack, settings.interactive) == (Kind.AUTO, None, False)


@pytest.mark.parametrize(
    ("arguments", "environment", "kind"),
    [
        ((), {"CLUSTER": "local"}, Kind.LOCAL),
        ((), {"CLUSTER": ""}, Kind.AUTO),
        (("--kind", "kind"), {"CLUSTER": "local"}, Kind.KIND),
    ],
    ids=["environment", "empty", "flag-wins"],
)
def test_kind_of_cluster(arguments: tuple[str, ...], environment: dict[str, str], kind: Kind) -> None:
    assert parse(*arguments, environment=environment).cluster is kind


def test_unknown_kind_tells_the_known_ones() -> None:
    with pytest.raises(UsageError, match="auto, local, kind, current"):
        parse("--kind", "cloud")


def test_real_slack_needs_both() -> None:
    both = parse(environment={"SLACK_TOKEN": "xoxb-1 ", "SLACK_CHANNEL": " C1"})
    assert both.slack == RealSlack("xoxb-1", "C1")


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"SLACK_TOKEN": "xoxb-secret"}, "SLACK_TOKEN is set but SLACK_CHANNEL is not"),
        ({"SLACK_TOKEN": "xoxb-secret", "SLACK_CHANNEL": " "}, "SLACK_TOKEN is set but SLACK_CHANNEL is not"),
        ({"SLACK_CHANNEL": "C1", "SLACK_TOKEN": ""}, "SLACK_CHANNEL is set but SLACK_TOKEN is not"),
    ],
)
def test_one_of_both_is_refused(environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as caught:
        parse(environment=environment)
    assert "xoxb" not in str(caught.value)


def test_the_token_is_not_shown() -> None:
    assert "secret" not in repr(parse(environment={"SLACK_TOKEN": "xoxb-secret", "SLACK_CHANNEL": "C1"}))


def test_files_lie_in_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert parse().folder == tmp_path / "pod-tracker" / "demo"
