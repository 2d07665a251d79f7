# SPDX-License-Identifier: Apache-2.0
"""From API types to the CRD's schema: each kind of type, each refusal, and what holds for our own API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from manifests.crd import structural_schema
from manifests.errors import SchemaError
from podtracker import api
from podtracker.redact import Token

Text = Annotated[str, Meta(max_length=9, description="A word.")]
Choice = Annotated[bool, Meta(description="A choice.")]


def rules(*rules: str) -> dict[str, Any]:
    """CEL rules, as an API type carries them."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": "write something"} for rule in rules]}


class Inner(msgspec.Struct):
    """An inner thing."""

    word: Text


def schema_of(kind: Any, **field: Any) -> dict[str, Any]:
    """The schema of a field of that type, in a struct of its own."""
    root = msgspec.defstruct("Root", [("it", kind, msgspec.field(**field))], namespace={"__doc__": "A root."})
    properties: dict[str, Any] = structural_schema(root)["properties"]
    result: dict[str, Any] = properties["it"]
    return result


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        pytest.param(Text, {"description": "A word.", "type": "string", "maxLength": 9}, id="string"),
        pytest.param(
            Annotated[int, Meta(ge=0, le=5, description="A number.")],
            {"description": "A number.", "type": "integer", "format": "int64", "minimum": 0, "maximum": 5},
            id="integer",
        ),
        pytest.param(Choice, {"description": "A choice.", "type": "boolean"}, id="boolean"),
        pytest.param(
            Annotated[Literal["b", "a"], Meta(description="One of two.")],
            {"description": "One of two.", "type": "string", "enum": ["a", "b"]},
            id="enum",
        ),
        pytest.param(
            Annotated[tuple[Text, ...], Meta(max_length=3, description="Words.")],
            {
                "description": "Words.",
                "type": "array",
                "maxItems": 3,
                "items": {"description": "A word.", "type": "string", "maxLength": 9},
            },
            id="tuple",
        ),
        pytest.param(
            Annotated[list[Annotated[str, Meta(max_length=9)]], Meta(max_length=3, description="Words.")],
            {
                "description": "Words.",
                "type": "array",
                "maxItems": 3,
                "items": {"type": "string", "maxLength": 9},
            },
            id="list-says-what-its-items-are",
        ),
        pytest.param(
            Inner,
            {
                "description": "An inner thing.",
                "type": "object",
                "required": ["word"],
                "properties": {"word": {"description": "A word.", "type": "string", "maxLength": 9}},
            },
            id="struct",
        ),
        pytest.param(
            Annotated[Token, Meta(description="A token.", extra_json_schema={"maxLength": 7})],
            {"description": "A token.", "type": "string", "maxLength": 7},
            id="token",
        ),
    ],
)
def test_types(kind: Any, expected: dict[str, Any]) -> None:
    assert schema_of(kind) == expected


@pytest.mark.parametrize("kind", [Text, Inner, Choice])
def test_optional_is_the_plain_type_without_null_or_default(kind: Any) -> None:
    assert schema_of(kind | None, default=None) == schema_of(kind)


def test_no_default_is_written() -> None:
    assert "default" not in schema_of(Text, default="word")


def test_a_description_around_an_optional_struct_wins_over_the_structs_own() -> None:
    assert schema_of(Annotated[Inner | None, Meta(description="This use.")], default=None)["description"] == "This use."


def test_rules_are_kept_where_they_stand() -> None:
    on_the_list = rules("self.size() > 2")
    schema = schema_of(
        Annotated[tuple[Inner, ...], Meta(max_length=2, description="All.", extra_json_schema=on_the_list)]
    )
    assert schema.items() >= on_the_list.items()
    assert "x-kubernetes-validations" not in schema["items"]


@pytest.mark.parametrize(
    ("rule", "required"),
    [
        pytest.param("has(self.word)", None, id="the-rule-has-a-better-sentence"),
        pytest.param("has(self.other)", ["word"], id="another-field"),
        pytest.param("!has(self.word)", ["word"], id="the-opposite"),
        pytest.param("has(self.word) || true", ["word"], id="not-always"),
    ],
)
def test_a_rule_that_asks_for_a_field_replaces_required(rule: str, required: list[str] | None) -> None:
    assert schema_of(Annotated[Inner, Meta(extra_json_schema=rules(rule))]).get("required") == required


class Endless(msgspec.Struct):
    """A thing in itself."""

    inner: Endless | None = None


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        pytest.param(Annotated[str, Meta(description="d")], "it: bound the string", id="unbounded-string"),
        pytest.param(Annotated[str, Meta(max_length=3)], "it: say what it means", id="no-description"),
        pytest.param(Annotated[tuple[Inner, ...], Meta(description="d")], "it: bound the list", id="unbounded-list"),
        pytest.param(Annotated[list[Any], Meta(description="d")], "it: write a list of one type", id="list-of-any"),
        pytest.param(Annotated[tuple[bool, int], Meta(description="d")], "it: write a list of one type", id="pair"),
        pytest.param(Annotated[int | str, Meta(description="d")], "it: a field has one type, or one", id="union"),
        pytest.param(Annotated[dict[str, str], Meta(description="d")], r"it\[\]: bound the string", id="map"),
        pytest.param(
            Annotated[dict[str, Annotated[str, Meta(max_length=9)]], Meta(description="d")],
            "it: bound the map",
            id="endless map",
        ),
        pytest.param(Annotated[dict[str, Any], Meta(description="d")], "it: an object lists its fields", id="anything"),
        pytest.param(Annotated[Any, Meta(description="d")], "it: the field needs one definite type", id="any"),
        pytest.param(Annotated[Literal[1], Meta(description="d")], "it: the values of a Literal", id="numbers"),
        pytest.param(Annotated[int, Meta(gt=0, description="d")], "it: exclusiveMinimum has no", id="keyword"),
        pytest.param(Endless, r"it\.inner: Endless contains itself", id="recursion"),
        pytest.param(
            Annotated[Token, Meta(description="d", extra_json_schema={"maxLength": 9, "pattern": "^xoxb-"})],
            "it: pattern on a credential",
            id="pattern-on-a-token",
        ),
        pytest.param(
            Annotated[Token, Meta(description="d", extra_json_schema={"maxLength": 9, **rules("self != ''")})],
            "it: x-kubernetes-validations on a credential",
            id="rule-on-a-token",
        ),
    ],
)
def test_refused_with_the_field_and_a_remedy(kind: Any, sentence: str) -> None:
    with pytest.raises(SchemaError, match=sentence):
        schema_of(kind)


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field's schema under this one, with its path."""
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}", field
        yield from nodes(field, f"{path}.{name}")
    if "items" in schema:
        yield f"{path}[]", schema["items"]
        yield from nodes(schema["items"], f"{path}[]")


OURS = structural_schema(api.Resource)
FIELDS = {path: field for path, field in nodes(OURS) if path.startswith((".spec", ".status"))}


def test_every_string_and_list_of_ours_has_a_bound() -> None:
    unbounded = [
        path
        for path, field in FIELDS.items()
        if (field["type"] == "string" and not {"maxLength", "enum"} & field.keys())
        or (field["type"] == "array" and "maxItems" not in field)
    ]
    assert unbounded == []


def test_of_ours_only_two_have_a_default_for_ever_and_nothing_may_be_null() -> None:
    defaults = {path: field["default"] for path, field in FIELDS.items() if "default" in field}
    assert defaults == {".spec.events": ["Created"], ".spec.startPolicy": "New"}
    assert [path for path, field in FIELDS.items() if "nullable" in field] == []


def test_status_of_ours_has_no_enum() -> None:
    assert [path for path, field in FIELDS.items() if path.startswith(".status") and "enum" in field] == []


def test_our_inline_token_is_judged_by_nothing_but_its_length() -> None:
    assert FIELDS[".spec.reporter.key"].keys() == {"description", "type", "maxLength"}


def test_our_conditions_are_a_map_by_type() -> None:
    conditions = FIELDS[".status.conditions"]
    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]


def test_every_rule_of_ours_says_what_to_write() -> None:
    ours = [rule for field in [OURS, *FIELDS.values()] for rule in field.get("x-kubernetes-validations", ())]
    assert ours
    assert [rule["rule"] for rule in ours if "write" not in rule["message"]] == []
