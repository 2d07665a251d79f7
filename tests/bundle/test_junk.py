# SPDX-License-Identifier: Apache-2.0
"""Whatever stands in the place of a value, every check copes."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from bundle.builder import good_tree
from bundlecheck.node import Node
from bundlecheck.running import run_checks
from bundlecheck.subject import Subject, load

_JUNK: Final[tuple[Any, ...]] = (None, [], {}, "text", 7, True, [[None]], [{}], {"a": [{"b": None}]})
_DEPTH: Final = 6


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of everything in a document, but the first item of a list stands for all."""
    if path:
        yield path
    if len(path) < _DEPTH:
        below: Any = (
            value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
        )
        for key, each in below:
            yield from _places(each, (*path, key))


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    bundle = good_tree().write(tmp_path)
    return load(bundle, tmp_path / "catalog")


def _with(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    made = copy.deepcopy(document)
    place = made
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return made


def test_junk_in_a_csv(subject: Subject) -> None:
    document = subject.csv.value
    for path, junk in zip(_places(document), itertools.cycle(_JUNK), strict=False):
        run_checks(dataclasses.replace(subject, csv=Node(_with(document, path, junk), subject.csv.file)))


@pytest.mark.parametrize("part", ["pod-tracker.lost.backend_podtrackers.yaml"])
def test_junk_in_a_crd(subject: Subject, part: str) -> None:
    name = f"manifests/{part}"
    file = subject.files[name]
    for path, junk in zip(_places(file.documents[0]), itertools.cycle(_JUNK), strict=False):
        changed = dataclasses.replace(file, documents=(_with(file.documents[0], path, junk),))
        run_checks(dataclasses.replace(subject, files={**subject.files, name: changed}))


def test_junk_in_a_catalog(subject: Subject) -> None:
    [file] = subject.catalog
    for number, document in enumerate(file.documents):
        for path, junk in zip(_places(document), itertools.cycle(_JUNK), strict=False):
            documents = (*file.documents[:number], _with(document, path, junk), *file.documents[number + 1 :])
            run_checks(dataclasses.replace(subject, catalog=(dataclasses.replace(file, documents=documents),)))
