# SPDX-License-Identifier: Apache-2.0
"""Webhooks: one CloudEvent 1.0 per occurrence, in structured JSON mode, signed where the Secret has a key.

The signature is the one that Stripe's and many other webhooks have: `Pod-Tracker-Signature: t=SECONDS,v1=HEX`, where
SECONDS is when the request was made (seconds since 1970) and HEX is the lower-case hexadecimal HMAC-SHA256, under the
bytes of `hmacKey`, of SECONDS, a full stop, and the bytes of the body. docs/user/webhook.md is a promise: it stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import hashlib
import hmac
import ssl
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

import aiohttp
from cloudevents.core.bindings.http import to_structured_event
from cloudevents.core.v1.event import CloudEvent
from yarl import URL

from podtracker.delivery import Destination, Message, Traits
from podtracker.egress import ForbiddenError, Guard, Proxies
from podtracker.errors import DeliveryError, Failure
from podtracker.ledger import TEST, Notification
from podtracker.outlet import Outlet, forbidden, parse_url
from podtracker.redact import Token
from podtracker.reporters.turns import Turns
from podtracker.times import rfc3339

TYPE_PREFIX: Final = "backend.lost.pod-tracker"
"""Of every CloudEvent's `type` (design.md, "Fixed names")."""
CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"
SIGNATURE: Final = "Pod-Tracker-Signature"
"""The header of the signature."""

_EACH_NAMESPACE: Final = 32
"""Requests of one namespace at a time; each waits for a receiver's answer."""
_REMEMBERED_URLS: Final = 1024
"""Destinations whose URL was read already."""
_ANSWER: Final = 4096
"""Bytes of an accepting answer that are read, so that its connection can be used again."""
_ANSWER_PATIENCE: Final = 0.25
"""Seconds for them: the message has arrived, whatever they say."""
_LONGEST_WAIT: Final = 3600.0
"""Seconds that a Retry-After is believed; a longer one is looked at again by then."""
_DEFAULT_RETRY_AFTER: Final = 30.0
"""Seconds, where a receiver throttles and does not say for how long."""

_UNAUTHORIZED: Final = frozenset({401, 403})
_MALFORMED: Final = frozenset({400, 413, 415, 422})
"""Answers that speak of this one message."""
_PASSING: Final = frozenset({408, 425})
_CERTIFICATE: Final = {
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is self-signed",
    19: "an authority in its chain is not trusted",
    20: "its authority is not trusted",
    21: "its authority is not trusted",
    62: "it is for another host name",
    64: "it is for another IP address",
}
"""OpenSSL's X509_V_ERR numbers. Its own words repeat the host, which is part of the URL."""


class WebhookReporter:
    """Delivers to HTTP servers."""

    traits = Traits(
        paced=False,
        digests=False,
        accepted=("Configured", "the URL can be used; the first delivery or a test shows whether it works"),
    )

    def __init__(
        self, guard: Guard, *, timeout: float, proxies: Proxies, wall: Callable[[], float] = time.time
    ) -> None:
        """Args.

        timeout: seconds for one delivery, everything included.
        wall: seconds since 1970, for signatures.
        """
        self._outlet = Outlet(guard, proxies)
        self._timeout = timeout
        self._wall = wall
        self._turns = Turns(_EACH_NAMESPACE)
        self._url = lru_cache(_REMEMBERED_URLS)(_url)

    def escape(self, text: str) -> str:
        """The text as it is: JSON has no markup."""
        return text

    async def close(self) -> None:
        """Close the connections."""
        await self._outlet.close()

    async def arrived(self, destination: Destination, *, since: float) -> None:  # noqa: ARG002 - the port's
        """A receiver cannot be asked; it knows repeats by their id."""
        return

    async def verify(self, destination: Destination) -> None:
        """Look at the URL and the credential; nothing is sent.

        Raises:
            DeliveryError: they cannot be used.
        """
        url = self._url(destination)
        _headers(destination, b"", 0)
        try:
            self._outlet.check(url)
        except ForbiddenError as error:
            raise forbidden(error.sentence) from None

    async def deliver(self, destination: Destination, message: Message) -> None:
        """POST the message.

        Raises:
            DeliveryError: the receiver has not accepted it, or its answer was lost.
        """
        url = self._url(destination)
        deadline = asyncio.get_running_loop().time() + self._timeout
        async with self._turns.turn(message.tracker.namespace, until=deadline - self._timeout / 2):
            for notification in message.notifications:
                body = _body(notification, message)
                headers = _headers(destination, body, int(self._wall()))
                await self._post(url, message.tracker.namespace, body, headers, deadline)

    async def _post(self, url: URL, whose: str, body: bytes, headers: Mapping[str, str], deadline: float) -> None:
        left = max(0.001, deadline - asyncio.get_running_loop().time())
        try:
            async with self._outlet.post(url, whose=whose, body=body, headers=headers, timeout=left) as answer:
                problem = _verdict(answer, self._wall())
                if problem is None:
                    await _finish(answer)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            problem = _translated(error)
        if problem is not None:
            # Outside of the handler: aiohttp's errors hold the request, with its URL and headers.
            raise problem


async def _finish(answer: aiohttp.ClientResponse) -> None:
    """Read a short rest of the answer; what goes wrong with it is of no interest."""
    if answer.content.at_eof():
        return
    with contextlib.suppress(aiohttp.ClientError, OSError):
        async with asyncio.timeout(_ANSWER_PATIENCE):
            size = 0
            while size < _ANSWER and (chunk := await answer.content.read(_ANSWER - size)):
                size += len(chunk)


# what is sent


def _url(destination: Destination) -> URL:
    if not destination.credential.url:
        raise DeliveryError(Failure.REFUSED, "InvalidURL", "there is no URL: put it into the Secret, under the key url")
    try:
        return parse_url(destination.credential.url.reveal())
    except ValueError as error:
        problem = DeliveryError(Failure.REFUSED, "InvalidURL", str(error))
    raise problem


def _headers(destination: Destination, body: bytes, now: int) -> dict[str, str]:
    headers = {"Content-Type": CONTENT_TYPE, "User-Agent": "pod-tracker"}
    credential = destination.credential
    if credential.token:
        if not (credential.token.reveal().isprintable() and credential.token.reveal().isascii()):
            problem = "the token has characters that no HTTP header can carry"
            raise DeliveryError(Failure.REFUSED, "InvalidAuth", problem)
        headers["Authorization"] = f"Bearer {credential.token.reveal()}"
    if credential.hmac_key:
        headers[SIGNATURE] = f"t={now},v1={_signature(credential.hmac_key, body, now)}"
    return headers


def _signature(key: Token, body: bytes, now: int) -> str:
    return hmac.new(key.reveal().encode("utf-8", "surrogateescape"), b"%d.%b" % (now, body), hashlib.sha256).hexdigest()


def _body(notification: Notification, message: Message) -> bytes:
    tracker = message.tracker
    cluster = f"/clusters/{quote(message.cluster, safe='')}" if message.cluster else ""
    test = notification.event == TEST
    attributes: dict[str, Any] = {
        "id": notification.id,
        "source": f"{cluster}/namespaces/{tracker.namespace}/podtrackers/{tracker.name}",
        "type": f"{TYPE_PREFIX}.test.v1" if test else f"{TYPE_PREFIX}.pod.{notification.event.lower()}.v1",
        "subject": f"podtrackers/{tracker.name}" if test else f"pods/{notification.pod}",
        "datacontenttype": "application/json",
    }
    if notification.at:
        attributes["time"] = dt.datetime.fromtimestamp(notification.at, tz=dt.UTC)
    # The official package, though it takes 37 µs of a delivery's 300: what a CloudEvent is stays its business.
    event = CloudEvent(attributes, _data(notification, message))
    if not notification.at:
        # The package fills in the present, which would differ from one attempt to the next under the same id.
        del event.get_attributes()["time"]
    return to_structured_event(event).body


def _data(notification: Notification, message: Message) -> dict[str, Any]:
    tracker, detail = message.tracker, notification.detail
    data: dict[str, Any] = {
        "event": notification.event,
        "text": message.text,
        **_known({"cluster": message.cluster}),
        "tracker": {"namespace": tracker.namespace, "name": tracker.name, "uid": tracker.uid},
    }
    if notification.event == TEST:
        return {**data, "nonce": detail.reason}
    data["pod"] = {
        "namespace": notification.namespace,
        "name": notification.pod,
        "uid": notification.pod_uid,
        **_known({"node": detail.node, "labels": dict(detail.labels)}),
    }
    more = {
        "container": detail.container,
        "reason": detail.reason,
        "exitCode": detail.exit_code,
        "restarts": detail.restarts or None,
        "readyAfterSeconds": detail.seconds,
        "at": _time(notification.at) if notification.at else None,
    }
    return data | _known(more)


_time: Final = lru_cache(64)(rfc3339)
"""Pods that come together are of the same second."""


def _known(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, "", {})}


# what comes back


def _verdict(answer: aiohttp.ClientResponse, now: float) -> DeliveryError | None:
    """What an answer means, from its status alone: a body could hold anything."""
    status = answer.status
    said = f"the receiver answered {status}"
    match status // 100:
        case 2:
            return None
        case 3:
            problem = f"{said}, a redirect, which is not followed: put the final URL into the Secret"
            return DeliveryError(Failure.REFUSED, "Redirected", problem)
        case 4:
            return _refusal(status, said, answer.headers, now)
        case 5 if status == 503 and "Retry-After" in answer.headers:  # noqa: PLR2004 - the HTTP status itself
            return _throttled(answer.headers, now)
        case _:
            return _lost(said)


def _refusal(status: int, said: str, headers: Mapping[str, str], now: float) -> DeliveryError:
    if status == 429:  # noqa: PLR2004 - the HTTP status itself
        return _throttled(headers, now)
    if status == 407:  # noqa: PLR2004 - the HTTP status itself
        return DeliveryError(Failure.RETRY, "Unreachable", "the proxy wants other credentials (HTTP status 407)")
    if status in _PASSING:
        return _lost(said)
    if status in _UNAUTHORIZED:
        problem = f"{said}: look at the keys url, token and hmacKey in the Secret"
        return DeliveryError(Failure.REFUSED, "InvalidAuth", problem)
    if status in _MALFORMED:
        return DeliveryError(Failure.UNDELIVERABLE, "Rejected", f"{said} to this message")
    return DeliveryError(Failure.REFUSED, "Rejected", f"{said}: look at the URL in the Secret, and at the receiver")


def _throttled(headers: Mapping[str, str], now: float) -> DeliveryError:
    wait = _retry_after(headers.get("Retry-After", ""), now)
    return DeliveryError(Failure.THROTTLED, "RateLimited", f"the receiver asks to wait {wait:g} s", retry_after=wait)


def _retry_after(text: str, now: float) -> float:
    """Seconds, from a number of them or from a date."""
    try:
        wait = float(text) if text.strip().isdigit() else parsedate_to_datetime(text).timestamp() - now
    except (ValueError, OverflowError):
        return _DEFAULT_RETRY_AFTER
    return min(_LONGEST_WAIT, max(0.0, round(wait, 1)))


def _lost(message: str) -> DeliveryError:
    """Whether the message was accepted is unknown."""
    return DeliveryError(Failure.RETRY, "Unreachable", message, arrived_perhaps=True)


def _unreachable(message: str) -> DeliveryError:
    """The message was surely not accepted."""
    return DeliveryError(Failure.RETRY, "Unreachable", message)


def _translated(error: Exception) -> DeliveryError:
    """What an error of aiohttp's means, whose own words repeat the URL."""
    match error:
        case ForbiddenError():
            return forbidden(error.sentence)
        case aiohttp.InvalidURL():
            return DeliveryError(Failure.REFUSED, "InvalidURL", "the URL cannot be used")
        case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError() | aiohttp.ClientHttpProxyError():
            return _unreachable(_why_unconnected(error))
        case TimeoutError():
            return _lost("the receiver did not answer in time")
        case _:
            return _lost(f"the connection to the receiver broke: {type(error).__name__}")


def _why_unconnected(error: aiohttp.ClientError) -> str:
    cause = getattr(error, "os_error", error)
    match error:
        case aiohttp.ConnectionTimeoutError():
            why = "the receiver could not be reached in time"
        case aiohttp.ClientHttpProxyError():
            why = f"the proxy refused the connection (HTTP status {error.status})"
        case aiohttp.ClientConnectorCertificateError():
            problem = error.certificate_error
            code = problem.verify_code if isinstance(problem, ssl.SSLCertVerificationError) else 0
            words = _CERTIFICATE.get(code, f"OpenSSL's error number {code}")
            why = f"the receiver's certificate is not accepted: {words}"
        case aiohttp.ClientConnectorSSLError():
            why = f"the TLS handshake failed: {getattr(cause, 'reason', None) or type(cause).__name__}"
        case aiohttp.ClientProxyConnectionError():
            why = f"cannot reach the proxy: {type(cause).__name__}"
        case aiohttp.ClientConnectorDNSError():
            why = "the receiver's name cannot be resolved"
        case _:
            why = f"cannot reach the receiver: {type(cause).__name__}"
    return why
