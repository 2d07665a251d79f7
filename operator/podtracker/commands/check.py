# SPDX-License-Identifier: Apache-2.0
"""`podtracker check`: what the API server and the operator would say of manifests, without either.

Nothing of a credential is ever printed: neither the inline key nor a value that looks like a token.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from podtracker import api, trackers
from podtracker.commands.examples import example
from podtracker.commands.schema import Problem, problems
from podtracker.errors import InvalidTrackerError
from podtracker.ledger import Notification
from podtracker.messages import Composer
from podtracker.redact import Redactor, Token
from podtracker.templates import TemplateError, compile_message

VALID, INVALID, UNREADABLE = 0, 1, 2
"""Exit codes."""
INLINE_KEY: Final = (
    "warning: whoever may read the tracker may read this token; prefer keySecretRef, a Secret of the same namespace"
)
_QUOTED: Final = re.compile(r"'.*'", re.DOTALL)


def run(files: Sequence[str]) -> int:
    """Check manifests and print what is found; returns the exit code."""
    return _Report().run(files)


class _Report:
    def __init__(self) -> None:
        self._redact = Redactor()
        self._checked = 0
        self._code = VALID

    def run(self, files: Sequence[str]) -> int:
        for file in files:
            try:
                text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
            except (OSError, UnicodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "this is not UTF-8"
                sys.stderr.write(f"podtracker: {file}: {reason}\n")
                self._code = UNREADABLE
                continue
            self._file(file, text)
        if not self._checked and self._code == VALID:
            sys.stderr.write("podtracker: no PodTracker in there\n")
            return INVALID
        return self._code

    def _file(self, file: str, text: str) -> None:
        try:
            documents = list(yaml.load_all(text, Loader=_Loader))
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            # What YAML quotes could be a credential.
            self._wrong(file, f"line {line}", _QUOTED.sub("…", error.problem or "") or "this is no YAML")
        except (yaml.YAMLError, ValueError, RecursionError):
            self._wrong(file, "line 1", "this is no YAML")
        else:
            for number, document in enumerate(documents, start=1):
                for where, body in _trackers(document, str(number)):
                    self._tracker(f"{file}: {where}", body)

    def _tracker(self, where: str, body: Mapping[str, Any]) -> None:
        self._checked += 1
        key = _inline_key(body)
        if isinstance(key, str):
            self._redact.learn(Token(key))
        found = list(_all_problems(body))
        for problem in found:
            self._wrong(where, problem.field or "object", problem.message)
        if key is not None:
            self._say(where, "spec.reporter.key", INLINE_KEY)
        if not found:
            self._show(where, body)

    def _wrong(self, where: str, field: str, message: str) -> None:
        self._say(where, field, message)
        self._code = max(self._code, INVALID)

    def _say(self, *parts: str) -> None:
        # One line each, and nothing for the terminal to obey, whatever stands in a field's name.
        line = "".join(sign if sign.isprintable() else " " for sign in self._redact(": ".join(parts)))
        sys.stdout.write(f"{line}\n")

    def _show(self, where: str, body: Mapping[str, Any]) -> None:
        """What a valid tracker would tell of an example pod."""
        tracker = _parsed(body)
        self._say(where, f"{tracker.namespace}/{tracker.name}", "valid; it would tell, for example:")
        composer = Composer(cluster="", tracker=lambda _: tracker)
        identity = trackers.identify(_completed(body))
        for event in tracker.spec.events:
            batch = (_occurrence(tracker.spec, event, tracker.namespace),)
            text = composer.compose(batch, dropped=0, escape=str, tracker=identity).text
            indented = "\n".join(f"    {line}" for line in text.splitlines())
            sys.stdout.write(self._redact(f"  {event}:\n{indented}\n"))


def _all_problems(body: Mapping[str, Any]) -> Iterator[Problem]:
    if body.get("apiVersion") != api.API_VERSION:
        yield Problem("apiVersion", f"write {api.API_VERSION}")
    if body.get("kind") != api.KIND:
        yield Problem("kind", f"write {api.KIND}")
    found = problems(body)
    yield from found
    spec = body.get("spec")
    message = spec.get("message") if isinstance(spec, dict) else None
    if isinstance(message, str) and not any(problem.field == "spec.message" for problem in found):
        try:
            compile_message(message)
        except TemplateError as error:
            yield Problem("spec.message", str(error))
    if not found:
        try:
            _parsed(body)
        except InvalidTrackerError as error:
            yield Problem("spec", str(error))


def _trackers(document: Any, where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The PodTrackers of a document, which may be a List; with where each stands."""
    if not isinstance(document, dict):
        return
    items = document.get("items")
    if document.get("kind") == "List" and isinstance(items, list):
        for place, item in enumerate(items):
            if isinstance(item, dict) and _is_ours(item):
                yield f"{where}[{place}]", item
    elif _is_ours(document):
        yield where, document


def _is_ours(body: Mapping[str, Any]) -> bool:
    version = body.get("apiVersion")
    return body.get("kind") == api.KIND or (isinstance(version, str) and version.startswith(f"{api.GROUP}/"))


def _inline_key(body: Mapping[str, Any]) -> Any:
    spec = body.get("spec")
    reporter = spec.get("reporter") if isinstance(spec, dict) else None
    return reporter.get("key") if isinstance(reporter, dict) else None


def _completed(body: Mapping[str, Any]) -> dict[str, Any]:
    """The object with what the API server adds."""
    metadata = body["metadata"]
    name = metadata.get("name") or f"{metadata['generateName']}x7k2p"
    added = {"uid": "example", "creationTimestamp": "2027-01-01T00:00:00Z", "generation": 1}
    namespace = metadata.get("namespace") or "default"
    spec = {name: value for name, value in body["spec"].items() if value is not None}
    return {**body, "metadata": {**added, "name": name, "namespace": namespace}, "spec": spec}


def _parsed(body: Mapping[str, Any]) -> trackers.Tracker:
    return trackers.parse(_completed(body))


def _occurrence(spec: api.PodTrackerSpec, event: api.Event, namespace: str) -> Notification:
    """Of a pod that the tracker means, as far as that is easily said."""
    wanted = compile_message(spec.message).label_keys if spec.message else frozenset[str]()
    known = spec.selector.match_labels if spec.selector is not None else {}
    labels = {key: known.get(key, "example") for key in sorted(wanted)}
    pod = spec.name or (f"{spec.workload_ref.name}-x7k2p" if spec.workload_ref is not None else "web-1")
    return example(event, namespace=namespace, pod=pod, labels=labels)


class _Loader(yaml.SafeLoader):
    """YAML as kubectl takes it: a key stands once, a time is a text, and 1:30 is no number of base 60."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    problem = "the same key stands here twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


_BASE_60: Final = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$")
_Loader.yaml_implicit_resolvers = {
    first: [
        ("tag:yaml.org,2002:str", _BASE_60),
        *((tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"),
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
