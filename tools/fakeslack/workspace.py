# SPDX-License-Identifier: Apache-2.0
"""What a Slack workspace knows and answers, without HTTP: tokens, channels, messages and the rules between them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fakeslack.outcomes import ApiError

TEXT_LIMIT = 40_000
"""Characters. Slack documents this limit both as a place where it truncates and as `msg_too_long`;
the stricter answer finds more mistakes."""

HISTORY_PAGE = 100
HISTORY_PAGE_MAX = 999

EVENT_TYPE = re.compile(r"[A-Za-z0-9_.\-]{1,255}")

TEAM = {"team": "PodTracker", "team_id": "T0PODTRACK"}
BOT = {"user": "podtracker", "user_id": "U0PODTRACK", "bot_id": "B0PODTRACK"}


class Refused(Exception):  # noqa: N818 - not a fault of the program: Slack's regular "no"
    """Slack refuses the request; `answer` says with which code."""

    def __init__(self, code: str, **details: Any) -> None:
        super().__init__(code)
        self.answer = ApiError(code, details)


@dataclass(frozen=True, slots=True)
class Message:
    """One message that the workspace accepted. Its `repr` hides the token, because tests print what they compare."""

    channel: str
    text: str
    token: str = field(repr=False)
    metadata: dict[str, Any] | None
    ts: str
    """Seconds and microseconds, `1700000000.000001`: unique and growing within a channel."""
    received_at: float
    """Seconds since the epoch."""

    def to_slack(self, *, with_metadata: bool) -> dict[str, Any]:
        """Render it as Slack shows it in a reply or in a channel's history."""
        shown: dict[str, Any] = {"type": "message", "text": self.text, "ts": self.ts}
        shown |= {"user": BOT["user_id"], "bot_id": BOT["bot_id"], "team": TEAM["team_id"]}
        if with_metadata and self.metadata is not None:
            shown["metadata"] = self.metadata
        return shown


@dataclass(slots=True)
class Workspace:
    """The state of a workspace with one bot in it. Tests change the sets at any time; the next request sees it."""

    tokens: set[str]
    channels: set[str]
    """Channels that exist."""
    channel_members: set[str]
    """Channels the bot was invited to."""
    revoked: set[str] = field(default_factory=set)
    scopes: set[str] = field(default_factory=lambda: {"chat:write"})
    any_token: bool = False
    """Accept whatever looks like a bot token."""
    any_channel: bool = False
    messages: list[Message] = field(default_factory=list)
    clock: Callable[[], float] = time.time
    _last_ts: dict[str, int] = field(default_factory=dict)

    def authenticate(self, token: str) -> None:
        """Check the token as every method does first; raises Refused."""
        if not token:
            raise Refused("not_authed")
        if token in self.revoked:
            raise Refused("token_revoked")
        if token not in self.tokens and not (self.any_token and token.startswith("xoxb-")):
            raise Refused("invalid_auth")

    def call(self, method: str, token: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Answer an API method with the fields beside `ok`; raises Refused."""
        handler = METHODS.get(method)
        if handler is None:
            raise Refused("unknown_method", req_method=method)
        self.authenticate(token)
        return handler(self, token, arguments)

    def auth_test(self, _token: str, _arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Say who the token belongs to."""
        return {"url": "https://podtracker.slack.com/", **TEAM, **BOT, "is_enterprise_install": False}

    def post_message(self, token: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Store a message; raises Refused for whatever Slack would not take."""
        self._need_scope("chat:write")
        channel = self._channel(arguments)
        if not self.any_channel and channel not in self.channel_members and "chat:write.public" not in self.scopes:
            raise Refused("not_in_channel")
        text = str(arguments.get("text") or "")
        if not text.strip() and not arguments.get("blocks") and not arguments.get("attachments"):
            raise Refused("no_text")
        if len(text) > TEXT_LIMIT:
            raise Refused("msg_too_long")
        now = self.clock()
        message = Message(channel, text, token, _metadata(arguments.get("metadata")), self._next_ts(channel, now), now)
        self.messages.append(message)
        return {"channel": channel, "ts": message.ts, "message": message.to_slack(with_metadata=True)}

    def history(self, _token: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Show a page of a channel's messages, newest first."""
        self._need_scope("channels:history")
        channel = self._channel(arguments)
        if not self.any_channel and channel not in self.channel_members:
            raise Refused("not_in_channel")
        limit = _number(arguments, "limit", HISTORY_PAGE)
        if not 1 <= limit <= HISTORY_PAGE_MAX:
            raise Refused("invalid_limit")
        found = _between(reversed([m for m in self.messages if m.channel == channel]), arguments)
        page, rest = found[:limit], found[limit:]
        answer: dict[str, Any] = {
            "messages": [m.to_slack(with_metadata=_flag(arguments, "include_all_metadata")) for m in page],
            "has_more": bool(rest),
            "pin_count": 0,
        }
        if rest:
            answer["response_metadata"] = {"next_cursor": f"before:{page[-1].ts}"}
        return answer

    def info(self, _token: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Describe a channel."""
        self._need_scope("channels:read")
        channel = self._channel(arguments)
        member = self.any_channel or channel in self.channel_members
        described = {"id": channel, "name": channel.lower(), "is_channel": True, "is_member": member}
        return {"channel": {**described, "is_private": False, "is_archived": False}}

    def _need_scope(self, scope: str) -> None:
        if scope not in self.scopes:
            raise Refused("missing_scope", needed=scope, provided=",".join(sorted(self.scopes)))

    def _channel(self, arguments: Mapping[str, Any]) -> str:
        channel = arguments.get("channel")
        if not channel or not isinstance(channel, str):
            messages = ["[ERROR] missing required field: channel"]
            raise Refused("invalid_arguments", response_metadata={"messages": messages})
        if channel not in self.channels and not self.any_channel:
            raise Refused("channel_not_found")
        return channel

    def _next_ts(self, channel: str, now: float) -> str:
        micros = max(int(now * 1_000_000), self._last_ts.get(channel, 0) + 1)
        self._last_ts[channel] = micros
        return f"{micros // 1_000_000}.{micros % 1_000_000:06d}"


METHODS: dict[str, Callable[[Workspace, str, Mapping[str, Any]], dict[str, Any]]] = {
    "auth.test": Workspace.auth_test,
    "chat.postMessage": Workspace.post_message,
    "conversations.history": Workspace.history,
    "conversations.info": Workspace.info,
}


def _metadata(given: Any) -> dict[str, Any] | None:
    if given is None or given == "":
        return None
    metadata = _decoded(given) if isinstance(given, str) else given
    if not isinstance(metadata, dict):
        raise Refused("invalid_metadata_format")
    event_type, payload = metadata.get("event_type"), metadata.get("event_payload")
    if not isinstance(event_type, str) or not EVENT_TYPE.fullmatch(event_type) or not isinstance(payload, dict):
        raise Refused("invalid_metadata_format")
    return {"event_type": event_type, "event_payload": payload}


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise Refused("invalid_metadata_format") from None


def _between(newest_first: Iterable[Message], arguments: Mapping[str, Any]) -> list[Message]:
    inclusive = _flag(arguments, "inclusive")
    oldest, latest = _timestamp(arguments, "oldest"), _timestamp(arguments, "latest")
    cursor = str(arguments.get("cursor") or "")
    if cursor and not cursor.startswith("before:"):
        raise Refused("invalid_cursor")
    before = _micros(cursor.removeprefix("before:"), "invalid_cursor") if cursor else None
    return [
        message
        for message in newest_first
        for at in [_micros(message.ts, "fatal_error")]
        if (oldest is None or at > oldest or (inclusive and at == oldest))
        and (latest is None or at < latest or (inclusive and at == latest))
        and (before is None or at < before)
    ]


def _timestamp(arguments: Mapping[str, Any], name: str) -> int | None:
    given = arguments.get(name)
    return None if given in (None, "") else _micros(str(given), f"invalid_ts_{name}")


def _micros(ts: str, code: str) -> int:
    # Integers, because a float cannot tell two neighbouring microseconds of this century apart reliably.
    seconds, _, fraction = ts.partition(".")
    if not seconds.isdigit() or not (fraction.isdigit() or not fraction):
        raise Refused(code)
    return int(seconds) * 1_000_000 + int(fraction[:6].ljust(6, "0"))


def _number(arguments: Mapping[str, Any], name: str, default: int) -> int:
    given = arguments.get(name)
    if given in (None, ""):
        return default
    try:
        return int(str(given))
    except ValueError:
        raise Refused(f"invalid_{name}") from None


def _flag(arguments: Mapping[str, Any], name: str) -> bool:
    return str(arguments.get(name, "")).lower() in {"1", "true"}
