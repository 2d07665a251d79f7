# SPDX-License-Identifier: Apache-2.0
"""What the operator reads of a pod, and nothing else: decoding only these fields is what keeps it small.

Measured (design.md): 8.8 µs for a 6 KB pod, where a full `json.loads` takes 117 µs and keeps 38 KB.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

import msgspec


class PodMetadata(msgspec.Struct, frozen=True):
    """The identity of a pod."""

    name: str
    namespace: str
    uid: str
    creation_timestamp: dt.datetime = msgspec.field(name="creationTimestamp")
    resource_version: str = msgspec.field(name="resourceVersion")


class Pod(msgspec.Struct, frozen=True):
    """A pod as far as anybody here looks."""

    metadata: PodMetadata

    @property
    def uid(self) -> str:
        """The identity that outlives the name: a pod deleted and made again has another."""
        return self.metadata.uid

    @property
    def name(self) -> str:
        """metadata.name."""
        return self.metadata.name

    @property
    def namespace(self) -> str:
        """metadata.namespace."""
        return self.metadata.namespace

    @property
    def created(self) -> int:
        """Whole seconds since 1970 by the API server's clock; Kubernetes keeps no finer time."""
        return int(self.metadata.creation_timestamp.timestamp())


class ListMetadata(msgspec.Struct, frozen=True):
    """Where a list stands: the version it shows, and the token for its next page."""

    resource_version: str = msgspec.field(name="resourceVersion")
    continue_token: str = msgspec.field(default="", name="continue")


class PodList(msgspec.Struct, frozen=True):
    """One page of a list of pods."""

    metadata: ListMetadata
    items: list[Pod]


class Bookmark(msgspec.Struct, frozen=True):
    """The object of a BOOKMARK event: only a resourceVersion up to which the watch has shown everything."""

    metadata: ListMetadata


class WatchError(msgspec.Struct, frozen=True):
    """The object of an ERROR event: a metav1.Status."""

    code: int = 0
    reason: str = ""
    message: str = ""


class WatchEvent(msgspec.Struct, frozen=True):
    """One line of a watch; the object is decoded once its type is known."""

    type: str
    object: msgspec.Raw


decode_page: Final = msgspec.json.Decoder(PodList).decode
decode_event: Final = msgspec.json.Decoder(WatchEvent).decode
decode_pod: Final = msgspec.json.Decoder(Pod).decode
decode_bookmark: Final = msgspec.json.Decoder(Bookmark).decode
decode_error: Final = msgspec.json.Decoder(WatchError).decode
