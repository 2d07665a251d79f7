# SPDX-License-Identifier: Apache-2.0
"""Slack as a pod of the cluster: its manifests, and what it received."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import devcluster
import fakeslack
from devcluster import ports
from e2e import programs, slack_pod
from e2e.api import Api, Kubectl
from e2e.programs import NAMESPACE, Program
from support.manifests import Json

URL: Final = f"http://slack.{NAMESPACE}.svc/api/"
TOKEN: Final = "xoxb-e2e"

_NAME: Final = "slack"
_PORT: Final = 80
_PAGE: Final = 999


@dataclass(frozen=True, slots=True)
class Post:
    """A message in a channel."""

    text: str
    ids: tuple[str, ...]
    """The ids of the occurrences that it tells."""


class Slack:
    """What was posted, read through Slack's own API."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def posts(self, channel: str) -> list[Post]:
        """Return all messages of a channel, oldest first."""
        query = {"token": TOKEN, "channel": channel, "limit": str(_PAGE), "include_all_metadata": "true"}
        found: list[Post] = []
        while True:
            page = await self._api.through_service(NAMESPACE, f"{_NAME}:{_PORT}", "api/conversations.history", query)
            assert page["ok"], page
            found += [Post(one["text"], _ids(one)) for one in page["messages"]]
            cursor = page.get("response_metadata", {}).get("next_cursor")
            if not cursor:
                return found[::-1]
            query["cursor"] = cursor

    async def lines(self, channel: str) -> list[str]:
        """Return the lines of all messages of a channel."""
        return [line for post in await self.posts(channel) for line in post.text.splitlines()]

    async def ids(self, channel: str) -> Counter[str]:
        """Return how often each occurrence was told in a channel."""
        return Counter(one for post in await self.posts(channel) for one in post.ids)


def start(kubectl: Kubectl, image: str) -> None:
    """Run the Slack pod."""
    files = {f"fakeslack/{path.name}": path for path in Path(fakeslack.__file__).parent.glob("*.py")}
    files |= {f"devcluster/{path.name}": path for path in (Path(devcluster.__file__), Path(ports.__file__))}
    main = Path(slack_pod.__file__)
    program = Program(_NAME, main.name, {**files, main.name: main}, {_PORT: slack_pod.PORT})
    programs.start(kubectl, image, program)


def _ids(message: Json) -> tuple[str, ...]:
    metadata = message.get("metadata")
    return tuple(metadata["event_payload"]["ids"]) if metadata else ()
