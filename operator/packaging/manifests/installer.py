# SPDX-License-Identifier: Apache-2.0
"""One file that installs everything without OLM: what `kubectl kustomize config/default` gives, without kubectl."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from manifests.errors import TemplateError

_HEADER: Final = """\
# SPDX-License-Identifier: Apache-2.0
# Everything that a cluster without OLM needs: kubectl apply --server-side -f FILE
"""
_ROOT: Final = "config/default"
_USED: Final = {"apiVersion", "kind", "namespace", "resources"}
"""All that our kustomizations may use here; anything else would have to be done, not only gathered."""


def installer(rendered: Mapping[str, str]) -> str:
    """The manifests of config/default and all that it includes, in an order in which they can be applied.

    Raises:
        TemplateError: a kustomization there does more than to list resources.
    """
    return _HEADER + "".join(f"---\n{_body(rendered[path])}" for path in _files(rendered, _ROOT))


def _files(rendered: Mapping[str, str], folder: str) -> Iterator[str]:
    kustomization: dict[str, Any] = yaml.safe_load(rendered[f"{folder}/kustomization.yaml"])
    if more := kustomization.keys() - _USED:
        raise TemplateError(f"{folder}/kustomization.yaml has {', '.join(sorted(more))}, which installer.py cannot do")
    for entry in kustomization["resources"]:
        path = posixpath.normpath(posixpath.join(folder, entry))
        if path in rendered:
            yield path
        else:
            yield from _files(rendered, path)


def _body(text: str) -> str:
    """A file without its header: the file that is made here has one of its own."""
    return "".join(text.splitlines(keepends=True)[2:])
