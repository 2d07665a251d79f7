# SPDX-License-Identifier: Apache-2.0
"""Decoding pods, lists and watch lines: only what is needed, and an error where that is missing."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from podtracker.pods import decode_bookmark, decode_error, decode_event, decode_page, decode_pod
from unit.podtracker.builders import NOW, bookmark_line, error_line, page, pod_body, watch_line


def test_a_pod_is_read_and_the_rest_of_it_passed_over() -> None:
    pod = decode_pod(json.dumps(pod_body("nginx", namespace="team", uid="u1", created=NOW, version=42)).encode())
    assert (pod.name, pod.namespace, pod.uid, pod.created) == ("nginx", "team", "u1", NOW)
    assert pod.metadata.resource_version == "42"
    assert not hasattr(pod, "spec")


def test_a_fraction_of_a_second_does_not_make_a_pod_younger() -> None:
    body = pod_body()
    body["metadata"]["creationTimestamp"] = "2027-01-01T00:00:00.999Z"
    assert decode_pod(json.dumps(body).encode()).created == NOW


@pytest.mark.parametrize("field", ["name", "namespace", "uid", "creationTimestamp", "resourceVersion"])
@pytest.mark.parametrize("value", ["missing", None, 7])
def test_a_pod_that_lacks_what_is_needed_is_an_error(field: str, value: Any) -> None:
    body = pod_body()
    if value == "missing":
        del body["metadata"][field]
    else:
        body["metadata"][field] = value
    with pytest.raises(msgspec.DecodeError):
        decode_pod(json.dumps(body).encode())


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"null", b"[]", b'"pod"', b"{}", b'{"metadata":null}', b"<html>", b'{"metadata":{}}', b"\xff\xfe"],
    ids=repr,
)
def test_what_is_no_pod_is_an_error(raw: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_pod(raw)


def test_a_page_tells_its_pods_where_it_stands_and_what_comes_next() -> None:
    listed = decode_page(page([pod_body("a"), pod_body("b")], version=7, token="next"))
    assert [pod.name for pod in listed.items] == ["a", "b"]
    assert (listed.metadata.resource_version, listed.metadata.continue_token) == ("7", "next")


def test_the_last_page_has_no_token() -> None:
    assert decode_page(page(version=7)).metadata.continue_token == ""


@pytest.mark.parametrize(
    "raw", [b'{"items":[]}', b'{"metadata":{"resourceVersion":"1"}}', b'{"metadata":{},"items":[]}'], ids=repr
)
def test_what_is_no_list_is_an_error(raw: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_page(raw)


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED", "DELETED"])
def test_a_watch_line_is_read_in_two_steps(kind: str) -> None:
    event = decode_event(watch_line(kind, pod_body("nginx")).strip())
    assert event.type == kind
    assert decode_pod(event.object).name == "nginx"


def test_a_bookmark_needs_no_more_than_its_version() -> None:
    event = decode_event(bookmark_line(99).strip())
    assert event.type == "BOOKMARK"
    assert decode_bookmark(event.object).metadata.resource_version == "99"


def test_an_error_line_is_a_status() -> None:
    event = decode_event(error_line(410, "Expired").strip())
    problem = decode_error(event.object)
    assert (event.type, problem.code, problem.reason, problem.message) == ("ERROR", 410, "Expired", "it is over")


def test_an_error_line_may_be_empty() -> None:
    assert decode_error(b"{}").code == 0


def test_two_lines_that_were_merged_are_an_error_and_not_one_of_them() -> None:
    merged = watch_line("ADDED", pod_body("a")).strip() + watch_line("ADDED", pod_body("b")).strip()
    with pytest.raises(msgspec.DecodeError):
        decode_event(merged)
