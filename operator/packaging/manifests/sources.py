# SPDX-License-Identifier: Apache-2.0
"""The data that the templates read, checked before anything is rendered: values, rights, descriptors, examples."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
import yaml
from msgspec import Meta

from manifests.errors import SourceError

VALUES_FILE: Final = "values.yaml"
RULES_FILE: Final = "rbac_rules.yaml"
DESCRIPTORS_FILE: Final = "bundle/descriptors.yaml"
ICON_FILE: Final = "icon.svg"

LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The quick one, where PyYAML was built with it: most of a run would be spent in the other."""

_NUMBER: Final = r"(0|[1-9][0-9]*)"
_PRE_RELEASE_PART: Final = r"(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
SEMVER: Final = rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PRE_RELEASE_PART}(\.{_PRE_RELEASE_PART})*)?"
_PATH_PART: Final = r"[a-z0-9]+([._-]+[a-z0-9]+)*"
_HOST: Final = r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?(:[0-9]+)?"
REPOSITORY_NAME: Final = rf"{_HOST}(/{_PATH_PART})+"
_TAG_OR_DIGEST: Final = r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})"

Text = Annotated[str, Meta(min_length=1)]

Name = Annotated[str, Meta(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
"""A name that every kind of object takes: a DNS-1035 label."""

Version = Annotated[str, Meta(pattern=rf"^{SEMVER}$", max_length=48)]
"""Semantic version without build metadata, which neither image tags nor labels can hold; short enough for a label."""

Date = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]

Image = Annotated[str, Meta(pattern=rf"^{REPOSITORY_NAME}{_TAG_OR_DIGEST}$")]
"""An image with its tag or digest: without one it would mean another image every day."""

ImageName = Annotated[str, Meta(pattern=rf"^{REPOSITORY_NAME}$")]
"""An image without tag."""

Channel = Annotated[str, Meta(pattern=r"^(candidate|fast|stable)(-[a-z0-9.-]+)?$")]
"""A channel's name; OLM warns of others."""

Link = Annotated[str, Meta(pattern=r"^https://[^\s/]+(/\S*)?$")]
EMail = Annotated[str, Meta(pattern=r"^[^@\s<>]+@[^@\s<>]+$")]
KubeVersion = Annotated[str, Meta(pattern=rf"^{_NUMBER}\.{_NUMBER}\.{_NUMBER}$")]
OpenShiftVersions = Annotated[str, Meta(pattern=r"^=?v4\.[0-9]+(-v4\.[0-9]+)?$")]

Words = Annotated[tuple[Annotated[str, Meta(pattern=r"^[^*]*$")], ...], Meta(min_length=1)]
"""A part of a rule. No wildcards: what they grant grows with the cluster."""


class _Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What all files have in common: a key that nothing reads is a mistake."""


class RoleNames(_Source, frozen=True):
    """Names of the cluster roles that are shipped."""

    manager: Name
    manager_binding: Name
    leader: Name
    leader_binding: Name
    secret_reader: Name
    metrics_reader: Name
    tracker_admin: Name
    tracker_editor: Name
    tracker_viewer: Name


class Images(_Source, frozen=True):
    """What is built, and on what."""

    operator: ImageName
    """Its tag is `v` and the version; the bundle's and the catalog's image have its name and a suffix."""
    base: Image
    opm: Image
    scorecard: Image


class Provider(_Source, frozen=True):
    """Who offers the operator."""

    name: Annotated[str, Meta(min_length=3)]
    url: Link


class Maintainer(_Source, frozen=True):
    """Whom to write to."""

    name: Text
    email: EMail


class NamedLink(_Source, frozen=True):
    """A link with its text."""

    name: Text
    url: Link


Flag = Literal["true", "false"]
"""Annotations are strings; an unquoted word would be a boolean."""


class Features(_Source, frozen=True, rename="kebab"):
    """OpenShift's features.operators.openshift.io/*: "true" only for what a test shows."""

    disconnected: Flag
    fips_compliant: Flag
    proxy_aware: Flag
    tls_profiles: Flag
    token_auth_aws: Flag
    token_auth_azure: Flag
    token_auth_gcp: Flag


class Example(_Source, frozen=True):
    """A sample, config/samples/FILE.yaml, in the order in which consoles offer it."""

    file: Text
    description: Text


class Values(_Source, frozen=True):
    """What differs between releases and installations."""

    version: Version
    release_date: Date
    app: Name
    namespace: Name
    service_account: Name
    deployment: Name
    metrics_service: Name
    replicas: Annotated[int, Meta(ge=1, le=5)]
    roles: RoleNames
    images: Images
    architectures: Annotated[tuple[Literal["amd64", "arm64", "ppc64le", "s390x"], ...], Meta(min_length=1)]
    channels: Annotated[tuple[Channel, ...], Meta(min_length=1)]
    default_channel: Channel
    min_kube_version: KubeVersion
    openshift_versions: OpenShiftVersions
    display_name: Annotated[str, Meta(min_length=3, max_length=50)]
    summary: Annotated[str, Meta(min_length=20, max_length=135)]
    capabilities: Literal["Basic Install", "Seamless Upgrades"]
    categories: Annotated[tuple[Literal["Monitoring", "Logging & Tracing"], ...], Meta(min_length=1)]
    """Of those that both the validators and the community's pipeline know."""
    maturity: Literal["alpha", "beta", "stable"]
    keywords: Annotated[tuple[Text, ...], Meta(min_length=1)]
    provider: Provider
    maintainers: Annotated[tuple[Maintainer, ...], Meta(min_length=1)]
    links: Annotated[tuple[NamedLink, ...], Meta(min_length=1)]
    repository: Link
    support: Annotated[str, Meta(min_length=3)]
    features: Features
    examples: Annotated[tuple[Example, ...], Meta(min_length=1)]


class Rule(_Source, frozen=True):
    """One rule of a role, and the reason why it is needed."""

    feature: Text
    """What would not work without it; Markdown."""
    why: Text
    verbs: Words
    api_groups: tuple[Annotated[str, Meta(pattern=r"^[^*]*$")], ...] = ()
    resources: tuple[Annotated[str, Meta(pattern=r"^[^*]*$")], ...] = ()
    resource_names: tuple[str, ...] = ()
    urls: tuple[Annotated[str, Meta(pattern=r"^/[^*]*$")], ...] = msgspec.field(default=(), name="nonResourceURLs")

    def __post_init__(self) -> None:
        """Refuse a rule that is about nothing, or about two things."""
        if bool(self.urls) == bool(self.resources) or bool(self.api_groups) != bool(self.resources):
            raise ValueError("a rule has apiGroups and resources, or nonResourceURLs")


Rules = Annotated[tuple[Rule, ...], Meta(min_length=1)]


class RbacRules(_Source, frozen=True):
    """The rules of every role that is shipped."""

    manager: Rules
    leader: Rules
    secret_reader: Rules
    metrics_reader: Rules
    tracker_admin: Rules
    tracker_editor: Rules
    tracker_viewer: Rules


class Descriptor(_Source, frozen=True):
    """How consoles show a field. What it means comes from the API's types."""

    path: Text
    display_name: Text
    x: tuple[Text, ...]
    """Ends of `urn:alm:descriptor:`; none where consoles do right by themselves."""


class Uses(_Source, frozen=True):
    """A kind of object that belongs to a tracker, or that the operator reads for it."""

    kind: Text
    version: Text
    name: str


class Descriptors(_Source, frozen=True):
    """What consoles know of trackers."""

    resources: Annotated[tuple[Uses, ...], Meta(min_length=1)]
    spec: Annotated[tuple[Descriptor, ...], Meta(min_length=1)]
    status: Annotated[tuple[Descriptor, ...], Meta(min_length=1)]


def load_values(templates: Path) -> Values:
    """Read `values.yaml`.

    Raises:
        SourceError: it is missing, is not YAML, or a value is missing, unknown or of the wrong form.
    """
    values = _load(templates / VALUES_FILE, Values)
    try:
        dt.date.fromisoformat(values.release_date)
    except ValueError:
        raise SourceError(f"{templates / VALUES_FILE}: releaseDate: {values.release_date} is no date") from None
    return values


def load_rules(templates: Path) -> RbacRules:
    """Read `rbac_rules.yaml`.

    Raises:
        SourceError: it is missing, is not YAML, or a rule is incomplete or has a wildcard.
    """
    return _load(templates / RULES_FILE, RbacRules)


def load_descriptors(templates: Path) -> Descriptors:
    """Read `bundle/descriptors.yaml`.

    Raises:
        SourceError: it is missing, is not YAML, or a descriptor is incomplete.
    """
    return _load(templates / DESCRIPTORS_FILE, Descriptors)


def load_icon(templates: Path) -> bytes:
    """Read the icon, an SVG.

    Raises:
        SourceError: it is missing.
    """
    try:
        return (templates / ICON_FILE).read_bytes()
    except OSError as error:
        raise SourceError(f"{templates / ICON_FILE} cannot be read: {error}") from None


_Kind = TypeVar("_Kind", bound=_Source)


def _load(path: Path, kind: type[_Kind]) -> _Kind:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)  # noqa: S506 - a safe one
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise SourceError(f"{path} is not YAML: {error}") from None
    return _convert(content, kind, path)


def _convert(content: Any, kind: type[_Kind], path: Path) -> _Kind:
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise SourceError(f"{path}: {error}") from None
