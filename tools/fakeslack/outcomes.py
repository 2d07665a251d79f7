# SPDX-License-Identifier: Apache-2.0
"""What can become of a request: scripted by a test beforehand, and recorded with every request afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Ok:
    """The request is handled as Slack would handle it.

    As a script: "this one is normal", which may still end in an error that the request itself earns.
    """


@dataclass(frozen=True, slots=True)
class ApiError:
    """`ok: false` with HTTP 200, Slack's way to refuse.

    Two of them are equal when their code is; `details` are the other fields of the body, such as `needed`.
    """

    code: str
    details: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class RateLimited:
    """HTTP 429 with a `Retry-After` header in whole seconds; None leaves the header out, as some gateways do."""

    retry_after: int | None = 1


@dataclass(frozen=True, slots=True)
class ServerError:
    """An HTTP error with an HTML page, as a proxy in front of Slack sends it."""

    status: int = 503


@dataclass(frozen=True, slots=True)
class Hang:
    """Nothing is stored and no reply comes until the client gives up or the server stops."""


@dataclass(frozen=True, slots=True)
class AcceptThenDrop:
    """The message arrives, the reply does not: the connection closes. The sender cannot know."""


@dataclass(frozen=True, slots=True)
class DropBefore:
    """The connection closes and nothing was stored."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """HTTP 200 with a body that is not JSON, whatever its content type claims."""

    content_type: str = "application/json"
    body: str = "<html>Sign in to the guest network</html>"


Outcome = Ok | ApiError | RateLimited | ServerError | Hang | AcceptThenDrop | DropBefore | Garbage
