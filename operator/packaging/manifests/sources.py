# SPDX-License-Identifier: Apache-2.0
"""The data that the templates read, `values.yaml` and `rbac_rules.yaml`, checked before anything is rendered."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, TypeVar

import msgspec
import yaml
from msgspec import Meta

from manifests.errors import SourceError

VALUES_FILE: Final = "values.yaml"
RULES_FILE: Final = "rbac_rules.yaml"

_NUMBER: Final = r"(0|[1-9][0-9]*)"
_PRE_RELEASE: Final = r"[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*"

Name = Annotated[str, Meta(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
"""A name that every kind of object takes: a DNS-1035 label."""

Version = Annotated[str, Meta(pattern=rf"^{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PRE_RELEASE})?$")]
"""Semantic version without build metadata, which neither image tags nor labels can hold."""

Words = Annotated[tuple[Annotated[str, Meta(pattern=r"^[^*]*$")], ...], Meta(min_length=1)]
"""A part of a rule. No wildcards: what they grant grows with the cluster."""


class _Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What both files have in common: a key that nothing reads is a mistake."""


class RoleNames(_Source, frozen=True):
    """Names of the cluster roles that are shipped."""

    manager: Name
    manager_binding: Name
    leader: Name
    leader_binding: Name
    secret_reader: Name
    tracker_admin: Name
    tracker_editor: Name
    tracker_viewer: Name


class Values(_Source, frozen=True):
    """What differs between releases and installations."""

    version: Version
    app: Name
    namespace: Name
    service_account: Name
    roles: RoleNames


class Rule(_Source, frozen=True):
    """One rule of a role, and the reason why it is needed."""

    why: Annotated[str, Meta(min_length=1)]
    api_groups: Words
    resources: Words
    verbs: Words
    resource_names: tuple[str, ...] = ()


Rules = Annotated[tuple[Rule, ...], Meta(min_length=1)]


class RbacRules(_Source, frozen=True):
    """The rules of every role that is shipped."""

    manager: Rules
    leader: Rules
    secret_reader: Rules
    tracker_admin: Rules
    tracker_editor: Rules
    tracker_viewer: Rules


def load_values(templates: Path) -> Values:
    """Read `values.yaml`.

    Raises:
        SourceError: it is missing, is not YAML, or a value is missing, unknown or of the wrong form.
    """
    return _load(templates / VALUES_FILE, Values)


def load_rules(templates: Path) -> RbacRules:
    """Read `rbac_rules.yaml`.

    Raises:
        SourceError: it is missing, is not YAML, or a rule is incomplete or has a wildcard.
    """
    return _load(templates / RULES_FILE, RbacRules)


_Kind = TypeVar("_Kind", Values, RbacRules)


def _load(path: Path, kind: type[_Kind]) -> _Kind:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise SourceError(f"{path} is not YAML: {error}") from None
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise SourceError(f"{path}: {error}") from None
