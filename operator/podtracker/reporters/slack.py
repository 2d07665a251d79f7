# SPDX-License-Identifier: Apache-2.0
"""Slack's `chat.postMessage`, on slack_sdk's async client with its own retries off.

The SDK repeats a POST after a connection error, which makes duplicates: retrying is the dispatcher's business. Slack
answers 200 to failures; what counts is `ok` and `error` in the body (docs.slack.dev, "Web API errors").
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse
from yarl import URL

from podtracker.delivery import Destination, Message, Traits
from podtracker.egress import Proxies
from podtracker.errors import DeliveryError, Failure
from podtracker.outlet import abrupt_socket

logger = logging.getLogger(__name__)

EVENT_TYPE: Final = "pod_tracker"
"""The `event_type` of the metadata that carries the ids (design.md, "Fixed names")."""

_REFUSED: Final[Mapping[str, str]] = {
    "invalid_auth": "InvalidAuth",
    "not_authed": "InvalidAuth",
    "account_inactive": "InvalidAuth",
    "token_revoked": "InvalidAuth",
    "token_expired": "InvalidAuth",
    "no_permission": "InvalidAuth",
    "org_login_required": "InvalidAuth",
    "ekm_access_denied": "InvalidAuth",
    "team_access_not_granted": "InvalidAuth",
    "access_denied": "InvalidAuth",
    "enterprise_is_restricted": "InvalidAuth",
    "missing_scope": "MissingScope",
    "not_allowed_token_type": "InvalidAuth",
    "channel_not_found": "ChannelNotFound",
    "is_archived": "ChannelNotFound",
    "not_in_channel": "NotInChannel",
    "restricted_action": "NotInChannel",
    "restricted_action_read_only_channel": "NotInChannel",
}
"""Slack's errors that only a person can end, with the condition reason of each."""

_ADVICE: Final[Mapping[str, str]] = {
    "InvalidAuth": "put a working bot token into the Secret (or the tracker); it is read again by itself",
    "ChannelNotFound": "set spec.reporter.channel to the channel's ID; in a private channel, invite the bot first",
    "NotInChannel": "invite the bot: /invite @BOT in the channel",
    "MissingScope": "give the Slack app the scope chat:write and install it again",
}
"""What to do about a refusal."""

_UNDELIVERABLE: Final = frozenset(
    {"msg_too_long", "no_text", "invalid_metadata_format", "invalid_metadata_schema", "metadata_too_large"}
)
"""Slack's errors that speak of this one message."""

_TRANSIENT: Final = frozenset(
    {"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org", "accesslimited"}
)
"""Slack's errors that pass by themselves."""

_TOO_MANY: Final = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})
_LONGEST_WORD = 64
"""Characters of an error that is repeated to people; Slack's are code words."""
_NOT_SLACKS: Final = "the answer is not one of Slack's"
HISTORY_PAGE, HISTORY_PAGES = 200, 10
"""Messages per page, and pages at most, of a read-back: the newest 2,000 of the channel."""
CLOCK_MARGIN = 120.0
"""Seconds by which this machine's clock and Slack's may differ."""
_LONGEST_WAIT = 3600.0
"""Seconds that a Retry-After is believed; a longer one is looked at again by then."""
_DEFAULT_RETRY_AFTER = 30.0
"""Seconds, where Slack throttles and does not say for how long; its own headers say 30 as a rule."""
_REDIRECTS = range(300, 400)
LONGEST_ANSWER: Final = 4 * 1024 * 1024
"""Bytes; a page of a channel's history with long messages stays far below."""


class _Bounded(aiohttp.ClientResponse):
    """An answer that is not read without end."""

    async def read(self) -> bytes:
        """Read it all, unless it is far too long.

        Raises:
            aiohttp.ClientPayloadError: it is.
        """
        if self._body is None:
            content = bytearray()
            async for piece in self.content.iter_any():
                content += piece
                if len(content) > LONGEST_ANSWER:
                    self.close()
                    raise aiohttp.ClientPayloadError("the answer is too long")
            self._body = bytes(content)
        return self._body


async def _no_redirects(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Follow none: Slack sends none, and whoever else does could send the operator anywhere."""
    answer = await handler(request)
    if answer.status in _REDIRECTS:
        answer.close()
        raise aiohttp.TooManyRedirects(answer.request_info, ())
    return answer


class SlackReporter:
    """Delivers to one Slack, or to a gateway that speaks like it."""

    traits = Traits(paced=True, digests=True, accepted=("TokenAccepted", "the receiver accepts the token"))

    def __init__(self, base_url: str, *, timeout: float, proxies: Proxies | None = None) -> None:
        """Args.

        base_url: ends in `/api/`. It is the operator's own configuration, so nothing guards where it leads.
        timeout: seconds for one request, connecting included.
        proxies: where absent, the environment's.

        Raises:
            ValueError: the environment names a proxy that cannot be used.
        """
        self._base_url = base_url
        url = URL(base_url)
        self._proxy = (Proxies.from_environment(os.environ) if proxies is None else proxies).of(
            url.scheme, url.raw_host or "", url.port or 0
        )
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    def escape(self, text: str) -> str:
        """Replace Slack's three control characters, so that no name can become a link or a mention.

        Source: docs.slack.dev, "Formatting message text", "Escaping text".
        """
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def deliver(self, destination: Destination, message: Message) -> None:
        """Post one message.

        Raises:
            DeliveryError: Slack has not accepted it, or its answer was lost.
        """
        await self._call(
            destination,
            lambda client: client.chat_postMessage(
                channel=destination.channel,
                text=message.text,
                metadata={"event_type": EVENT_TYPE, "event_payload": {"ids": list(message.ids)}},
                unfurl_links=False,
                unfurl_media=False,
            ),
        )

    async def verify(self, destination: Destination) -> None:
        """Ask `auth.test`, which needs no scope.

        Raises:
            DeliveryError: Slack does not take the token, or could not be asked.
        """
        await self._call(destination, lambda client: client.auth_test())

    async def arrived(self, destination: Destination, *, since: float) -> frozenset[str] | None:
        """Read the channel back, which needs `channels:history` (or the like for private channels).

        Raises:
            DeliveryError: Slack could not be asked now.
        """
        found: set[str] = set()
        cursor = ""
        for _ in range(HISTORY_PAGES):
            try:
                page = await self._history(destination, since - CLOCK_MARGIN, cursor)
            except DeliveryError as error:
                if error.failure is Failure.REFUSED:
                    return None
                raise
            for message in _list_of(page.get("messages")):
                found.update(_ids_of(message))
            following = page.get("response_metadata") or {}
            if not isinstance(following, dict):
                raise _lost(_NOT_SLACKS)
            cursor = str(following.get("next_cursor") or "")
            if not cursor:
                break
        return frozenset(found)

    async def _history(self, destination: Destination, oldest: float, cursor: str) -> Mapping[str, Any]:
        return await self._call(
            destination,
            lambda client: client.conversations_history(
                channel=destination.channel,
                oldest=f"{max(0.0, oldest):.6f}",
                limit=HISTORY_PAGE,
                include_all_metadata=True,
                cursor=cursor or None,
            ),
        )

    async def _call(
        self, destination: Destination, request: Callable[[AsyncWebClient], Awaitable[AsyncSlackResponse]]
    ) -> Mapping[str, Any]:
        token = destination.credential.token
        value = token.reveal() if token is not None else ""
        if not value or not value.isprintable():
            unusable = "the token is empty, or has characters that no HTTP header can carry"
            raise _refused("InvalidAuth", unusable)
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(socket_factory=abrupt_socket),
                timeout=self._timeout,
                response_class=_Bounded,
                middlewares=[_no_redirects],
            )
        # A proxy that is given keeps the SDK from looking for one itself: it knows no NO_PROXY, and logs what it finds.
        client = AsyncWebClient(
            token=value, base_url=self._base_url, session=self._session, proxy="-", retry_handlers=[], logger=logger
        )
        client.proxy = self._proxy
        try:
            data = (await request(client)).data
        except (SlackApiError, aiohttp.ClientError, OSError, SlackClientError) as error:
            problem = _translated(error)
        except (AttributeError, UnicodeDecodeError, RecursionError):
            # slack_sdk takes whatever comes for a JSON object of moderate depth.
            problem = _lost(_NOT_SLACKS)
        else:
            if isinstance(data, dict):
                return data
            problem = _lost(_NOT_SLACKS)
        # Outside of the handlers: errors of aiohttp and of the SDK hold the request's headers, with the token.
        raise problem


def _translated(error: Exception) -> DeliveryError:
    """What an error of the libraries means."""
    match error:
        case SlackApiError():
            return _verdict(error.response)
        case aiohttp.ClientConnectorError():
            return DeliveryError(Failure.RETRY, "Unreachable", f"cannot reach Slack: {type(error).__name__}")
        case TimeoutError():
            return _lost("Slack did not answer in time")
        case _:
            return _lost(f"the connection to Slack broke: {type(error).__name__}")


def _verdict(response: Any) -> DeliveryError:
    """What an answer of Slack's means; its text is Slack's own code word, never a body."""
    status: int = getattr(response, "status_code", None) or getattr(response, "status", None) or 0
    data = getattr(response, "data", None)
    code = data.get("error") if isinstance(data, dict) else None
    known = isinstance(code, str) and len(code) <= _LONGEST_WORD and code.isascii() and code.replace("_", "").isalnum()
    word = str(code) if known else ""
    if status == 429 or word in _TOO_MANY:  # noqa: PLR2004 - the HTTP status itself
        wait = _retry_after(response)
        return DeliveryError(Failure.THROTTLED, "RateLimited", f"Slack asks to wait {wait:g} s", retry_after=wait)
    if not word:
        return _lost(f"{_NOT_SLACKS} (HTTP status {status})")
    if status >= 500 or word in _TRANSIENT:  # noqa: PLR2004 - the HTTP status itself
        return _lost(f"Slack answered {status} {word}")
    if word in _UNDELIVERABLE:
        return DeliveryError(Failure.UNDELIVERABLE, "Rejected", f"Slack answered {word}")
    return _refused(_REFUSED.get(word, "Rejected"), f"Slack answered {word}")


def _refused(reason: str, message: str) -> DeliveryError:
    return DeliveryError(Failure.REFUSED, reason, message, advice=_ADVICE.get(reason, ""))


def _lost(message: str) -> DeliveryError:
    """Whether the message was accepted is unknown."""
    return DeliveryError(Failure.RETRY, "Unreachable", message, arrived_perhaps=True)


def _list_of(value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _lost(_NOT_SLACKS)
    return value


def _ids_of(message: Any) -> list[str]:
    """The ids that a message of ours carries; none of any other."""
    metadata = message.get("metadata") if isinstance(message, dict) else None
    if not isinstance(metadata, dict) or metadata.get("event_type") != EVENT_TYPE:
        return []
    payload = metadata.get("event_payload")
    ids = payload.get("ids") if isinstance(payload, dict) else None
    return [key for key in ids if isinstance(key, str)] if isinstance(ids, list) else []


def _retry_after(response: Any) -> float:
    headers = getattr(response, "headers", None) or {}
    try:
        return min(_LONGEST_WAIT, max(0.0, float(headers.get("Retry-After", ""))))
    except ValueError:
        return _DEFAULT_RETRY_AFTER
