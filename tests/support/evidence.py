# SPDX-License-Identifier: Apache-2.0
"""What a whole session used and produced, kept for the tests that run last: tokens, logs, Events, status, metrics."""

from __future__ import annotations

import base64
import itertools
import json
import secrets
from pathlib import Path
from typing import Final

from support.kube import ApiError, Kube
from support.manifests import Json

_TAIL: Final = 12
"""Characters of a token's random end that already count as a leak: nothing else can hold them by chance."""


class Evidence:
    """A folder of everything that a user could get to see, and the tokens that must not be in it."""

    def __init__(self, folder: Path) -> None:
        """Keep files in `folder`, which exists."""
        self.folder = folder
        self._tokens: set[str] = set()
        self._numbers = itertools.count()

    def new_token(self, prefix: str = "xoxb-") -> str:
        """Return a token nobody used before; any string may stand in `key`, so the prefix need not be Slack's."""
        token = prefix + secrets.token_hex(16)
        self._tokens.add(token)
        return token

    @property
    def tokens(self) -> frozenset[str]:
        """All tokens handed out."""
        return frozenset(self._tokens)

    def new_file(self, what: str) -> Path:
        """Return the path of a file that is to be searched for tokens."""
        return self.folder / f"{next(self._numbers):03d}-{what}"

    def keep(self, what: str, text: str) -> None:
        """Keep a text that a user could see."""
        self.new_file(what).write_text(text)

    async def keep_namespace(self, kube: Kube, namespace: str) -> None:
        """Keep the Events of a namespace and the status of its trackers (their spec is what the user wrote there)."""
        events = await kube.list("Event", namespace)
        self.keep(f"events-{namespace}.json", json.dumps(events, indent=1))
        try:
            trackers = await kube.list("PodTracker", namespace)
        except ApiError:  # a test without the CRD
            return
        self.keep(f"status-{namespace}.json", json.dumps([_without_spec(tracker) for tracker in trackers], indent=1))

    @staticmethod
    def encoded(token: str) -> str:
        """Return a token as it stands in a Secret's data, without the padding."""
        return base64.b64encode(token.encode()).decode().rstrip("=")

    def leaks(self) -> list[str]:
        """Return `file: token` for each token found in a file: whole, its random end, or in base64."""
        found = []
        for path in sorted(self.folder.iterdir()):
            text = path.read_text(errors="replace")
            found += [f"{path.name}: {token}" for token in sorted(self._tokens) if _shows(text, token)]
        return found


def _without_spec(tracker: Json) -> Json:
    meta = tracker["metadata"]
    return {"metadata": {key: meta[key] for key in ("name", "namespace")}, "status": tracker.get("status")}


def _shows(text: str, token: str) -> bool:
    return token[-_TAIL:] in text or Evidence.encoded(token) in text
