# SPDX-License-Identifier: Apache-2.0
"""The forms of names, image references and addresses that Kubernetes and OLM accept."""

from __future__ import annotations

import re
from email.utils import parseaddr
from typing import Final
from urllib.parse import urlsplit

LABEL_LENGTH: Final = 63
SUBDOMAIN_LENGTH: Final = 253

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_1035: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN: Final = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")
_QUALIFIED: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_PART: Final = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_HOST: Final = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*(?::\d+)?/)?"
_IMAGE: Final = re.compile(
    rf"(?P<name>{_HOST}{_PART}(?:/{_PART})*)(?::(?P<tag>\w[\w.-]{{0,127}}))?(?:@(?P<digest>sha256:[0-9a-f]{{64}}))?",
    re.ASCII,
)


def is_label(text: str) -> bool:
    """Whether it is a DNS-1123 label."""
    return len(text) <= LABEL_LENGTH and _LABEL.fullmatch(text) is not None


def is_label_1035(text: str) -> bool:
    """Whether it is a DNS-1035 label: one that begins with a letter."""
    return len(text) <= LABEL_LENGTH and _LABEL_1035.fullmatch(text) is not None


def is_subdomain(text: str) -> bool:
    """Whether it is a DNS-1123 subdomain."""
    return len(text) <= SUBDOMAIN_LENGTH and _SUBDOMAIN.fullmatch(text) is not None


def is_key(text: str) -> bool:
    """Whether it is the key of a label or an annotation: a name, perhaps with a subdomain and a slash before it."""
    prefix, slash, name = text.rpartition("/")
    return (not slash or is_subdomain(prefix)) and _QUALIFIED.fullmatch(name) is not None


def is_label_value(text: str) -> bool:
    """Whether it is the value of a label."""
    return not text or _QUALIFIED.fullmatch(text) is not None


def is_path_segment(text: str) -> bool:
    """Whether it is a name for a role or a binding, which may be nearly anything."""
    return text not in {".", ".."} and "/" not in text and "%" not in text


def is_image(text: str) -> bool:
    """Whether it is a reference of a container image."""
    return _IMAGE.fullmatch(text) is not None


def image_tag(text: str) -> str | None:
    """The tag of an image; None when it has a digest or is no reference; `latest` when it has neither."""
    match = _IMAGE.fullmatch(text)
    if match is None or match["digest"]:
        return None
    return match["tag"] or "latest"


def has_digest(text: str) -> bool:
    """Whether an image is named by its digest."""
    match = _IMAGE.fullmatch(text)
    return bool(match and match["digest"])


def is_email(text: str) -> bool:
    """Whether it is the address of a mailbox."""
    address = parseaddr(text)[1]
    local, at, domain = address.rpartition("@")
    return bool(local and at and domain) and not any(letter.isspace() for letter in address)


def is_url(text: str) -> bool:
    """Whether it is an absolute URL with a host."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme and parts.netloc) and not any(letter.isspace() for letter in text)
