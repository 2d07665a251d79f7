# SPDX-License-Identifier: Apache-2.0
"""What a ServiceAccount did, from the API server's audit log, held against what its role allows."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from support.manifests import Json

_CREATED: Final = 201
"""The HTTP status of a request that made an object."""


@dataclass(frozen=True, order=True)
class Right:
    """One verb on one resource; `name` is empty where every name is meant."""

    verb: str
    group: str
    resource: str
    """With its subresource, as in `podtrackers/status`."""
    name: str = ""


@dataclass(frozen=True)
class Call:
    """One request, or several that differ in namespace only."""

    user: str
    verb: str
    group: str
    resource: str
    name: str
    path: str
    """The path of a request that is about no resource, such as discovery; else empty."""
    allowed: bool
    reason: str
    """Which binding allowed it, in the API server's words."""
    created: bool
    """Whether it made the object: a server-side apply that does needs the right to create it, beside that to patch."""

    @classmethod
    def from_event(cls, event: Json) -> Self:
        """Read an event of the audit log."""
        about = event.get("objectRef", {})
        notes = event.get("annotations", {})
        resource = "/".join(filter(None, (about.get("resource", ""), about.get("subresource", ""))))
        return cls(
            user=event["user"]["username"],
            verb=event["verb"],
            group=about.get("apiGroup", ""),
            resource=resource,
            name=about.get("name", ""),
            path="" if resource else event["requestURI"].partition("?")[0],
            allowed=notes.get("authorization.k8s.io/decision") == "allow",
            reason=notes.get("authorization.k8s.io/reason", ""),
            created=event.get("responseStatus", {}).get("code") == _CREATED,
        )

    def needs(self, rights: Collection[Right]) -> set[Right]:
        """Return the rights that this call made use of: those for its very name where there are such."""
        found = set()
        for verb in {self.verb} | ({"create"} if self.created else set()):
            named = Right(verb, self.group, self.resource, self.name)
            found.add(named if named in rights else Right(verb, self.group, self.resource))
        return found


def calls_of(prefix: str, audit_log: Path) -> list[Call]:
    """Return the different calls of the users whose names start with `prefix`."""
    found = dict.fromkeys(
        Call.from_event(event) for event in _events(audit_log) if event["user"]["username"].startswith(prefix)
    )
    return list(found)


def rights_of(role: Json) -> frozenset[Right]:
    """Return each single right that a Role or ClusterRole gives."""
    return frozenset(
        Right(verb, group, resource, name)
        for rule in role["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    )


def uris_of(prefix: str, audit_log: Path) -> list[str]:
    """What users whose names begin so asked for, as paths with their queries."""
    return [event["requestURI"] for event in _events(audit_log) if event["user"]["username"].startswith(prefix)]


def _events(audit_log: Path) -> Iterator[Json]:
    # The API server starts a new file after 100 MB and keeps the old ones beside it.
    for path in sorted(audit_log.parent.glob(f"{audit_log.stem}*{audit_log.suffix}")):
        with path.open() as lines:
            yield from map(json.loads, lines)
