# SPDX-License-Identifier: Apache-2.0
"""What the user asked for, from flags and environment, parsed once."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from demo.errors import UsageError
from devcluster.cache import cache_root
from devcluster.choose import VARIABLE, Kind, requested
from devcluster.errors import ClusterError


@dataclass(frozen=True, slots=True)
class RealSlack:
    """A workspace outside this process. Its `repr` hides the token."""

    token: str = field(repr=False)
    channel: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The parsed request."""

    cluster: Kind
    slack: RealSlack | None
    """None: the server that the demo brings along."""
    interactive: bool
    """Somebody sits at the terminal: go on until Ctrl-C."""
    folder: Path
    """Where the operator's log, its kubeconfig and the lock lie."""

    @classmethod
    def parse(cls, arguments: Sequence[str], environment: Mapping[str, str], *, interactive: bool) -> Settings:
        """Read flags and environment; raises UsageError, or SystemExit as argparse does."""
        parser = argparse.ArgumentParser(prog="demo", description="Show PodTracker at work on a real API server.")
        parser.add_argument(
            "--kind",
            metavar="|".join(Kind),
            help=f"which cluster to use (default: environment variable {VARIABLE}, else auto)",
        )
        try:
            kind = requested(parser.parse_args(arguments).kind, environment)
        except ClusterError as error:
            raise UsageError(str(error)) from None
        return cls(cluster=kind, slack=_real_slack(environment), interactive=interactive, folder=cache_root() / "demo")


def _real_slack(environment: Mapping[str, str]) -> RealSlack | None:
    token, channel = environment.get("SLACK_TOKEN", "").strip(), environment.get("SLACK_CHANNEL", "").strip()
    if token and channel:
        return RealSlack(token=token, channel=channel)
    if token:
        raise UsageError("SLACK_TOKEN is set but SLACK_CHANNEL is not: set both to post to Slack, or neither.")
    if channel:
        raise UsageError("SLACK_CHANNEL is set but SLACK_TOKEN is not: set both to post to Slack, or neither.")
    return None
