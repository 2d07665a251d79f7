# SPDX-License-Identifier: Apache-2.0
"""What can go wrong while manifests are made; each message names the file or field, and the remedy."""

from __future__ import annotations


class ManifestsError(Exception):
    """The root of everything that this package raises on purpose."""


class SchemaError(ManifestsError):
    """An API type cannot become a Kubernetes structural schema; the message names the field."""


class SourceError(ManifestsError):
    """A values or rules file is missing, is not YAML, or does not hold what the templates need."""


class TemplateError(ManifestsError):
    """A template cannot be rendered; the message names the template, the line and the variable."""


class ReleaseError(ManifestsError):
    """A version cannot be released now; the message says why, and what to do."""
