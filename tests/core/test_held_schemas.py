"""Schemas that a provider holds its model to: narrowed truly, or not at all."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from core import held_schemas
from core.held_schemas import ANTHROPIC, OPENAI, Rules

CLOSED: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
RULES = pytest.mark.parametrize("rules", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])


def held(schema: Any, rules: Rules = OPENAI) -> Any:
    found = held_schemas.held(Raw(msgspec.json.encode(schema)), rules)
    return None if found is None else msgspec.json.decode(found.schema)


def moved(schema: Any, rules: Rules) -> tuple[str, ...]:
    found = held_schemas.held(Raw(msgspec.json.encode(schema)), rules)
    assert found is not None
    return found.moved


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties]}


@RULES
def test_what_is_in_the_subset_keeps_its_bytes(rules: Rules):
    given_schema = Raw(msgspec.json.encode(CLOSED))
    found = held_schemas.held(given_schema, rules)
    assert found is not None
    assert bytes(found.schema) == bytes(given_schema)
    assert found.moved == ()


@RULES
def test_every_object_is_closed(rules: Rules):
    inner = held(of(list=CLOSED | {"type": "array", "items": of(b={"type": "null"})}), rules)
    assert inner["additionalProperties"] is False
    assert inner["properties"]["list"]["items"]["additionalProperties"] is False


@pytest.mark.parametrize(
    "optional",
    [
        {"type": ["string", "null"]},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"type": ["string", "null"], "enum": ["x", None]},
        {"type": "null", "const": None},
    ],
)
def test_a_property_that_may_be_null_anyway_must_be_there_for_openai(optional: Any):
    schema = {**CLOSED, "properties": {"a": {"type": "string"}, "b": optional}}
    assert held(schema)["required"] == ["a", "b"]
    assert held(schema, ANTHROPIC)["required"] == ["a"]


@pytest.mark.parametrize(
    "optional", [{"type": "string"}, {"type": ["string", "null"], "enum": ["x"]}]
)
def test_a_property_that_may_be_left_out_and_not_be_null_has_no_held_form_for_openai(optional: Any):
    schema = {**CLOSED, "properties": {"a": {"type": "string"}, "b": optional}}
    assert held(schema) is None
    assert held(schema, ANTHROPIC)["required"] == ["a"]


@RULES
@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {**CLOSED, "additionalProperties": True},
        {**CLOSED, "patternProperties": {"^x": {"type": "string"}}},
        of(a={}),
        of(a=True),
        of(a={"type": "array"}),
        of(a={"type": "array", "items": {"type": "string"}, "prefixItems": [{}]}),
        of(a={"allOf": [CLOSED, of(b={"type": "string"})]}),
        of(a={"$ref": "https://example.com/schema"}),
        of(a={"$ref": "#/$defs/gone"}),
        of(a={"anyOf": [{"type": "string"}], "oneOf": [{"type": "string"}]}),
        {**CLOSED, "required": ["a", "b"]},
        {**CLOSED, "anyOf": [{"required": ["a"]}]},
        {"$ref": "#"},
        {"enum": [{}]},
        [],
        {"type": 1},
    ],
)
def test_what_would_change_its_meaning_has_no_held_form(schema: Any, rules: Rules):
    assert held(schema, rules) is None


def test_a_root_that_is_no_object_has_no_held_form_for_openai():
    schema = {"type": "array", "items": {"type": "string"}}
    assert held(schema) is None
    assert held(schema, ANTHROPIC) == schema
    assert held({"anyOf": [CLOSED]}) is None


@pytest.mark.parametrize(
    ("rules", "expected", "names"),
    [
        (
            OPENAI,
            {"type": "string", "pattern": "x", "description": "D\n\n{minLength: 2}"},
            ("minLength",),
        ),
        (
            ANTHROPIC,
            {"type": "string", "description": 'D\n\n{minLength: 2, pattern: "x"}'},
            ("minLength", "pattern"),
        ),
    ],
)
def test_a_bound_that_is_not_taken_is_said_in_the_description(
    rules: Rules, expected: Any, names: tuple[str, ...]
):
    schema = of(a={"type": "string", "minLength": 2, "pattern": "x", "description": "D"})
    assert held(schema, rules)["properties"]["a"] == expected
    assert moved(schema, rules) == names


@pytest.mark.parametrize(("least", "kept"), [(0, True), (1, True), (2, False)])
def test_anthropic_takes_lists_of_at_least_one(least: int, kept: bool):
    schema = {"type": "array", "items": {"type": "string"}, "minItems": least}
    assert ("minItems" in held(schema, ANTHROPIC)) is kept


@pytest.mark.parametrize(("name", "kept"), [("date", True), ("password", False)])
def test_a_format_that_is_not_taken_is_said_in_the_description(name: str, kept: bool):
    for rules in (OPENAI, ANTHROPIC):
        schema = held(of(a={"type": "string", "format": name}), rules)
        assert ("format" in schema["properties"]["a"]) is kept


TREE: dict[str, Any] = {
    "$ref": "#/$defs/node",
    "$defs": {"node": of(next={"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]})},
}


def test_recursion_is_kept_for_openai_and_has_no_held_form_for_anthropic():
    assert held(TREE)["properties"]["next"] == TREE["$defs"]["node"]["properties"]["next"]
    assert held(TREE)["$defs"]["node"]["additionalProperties"] is False
    assert held(TREE, ANTHROPIC) is None
    assert held(of(a={"$ref": "#"}), ANTHROPIC) is None
    assert held(of(a={"anyOf": [{"$ref": "#"}, {"type": "null"}]})) is not None


@RULES
def test_definitions_and_references_stay(rules: Rules):
    for name in ("$defs", "definitions"):
        schema = of(a={"$ref": f"#/{name}/b"}) | {name: {"b": of(c={"type": "string"})}}
        shown = held(schema, rules)
        assert shown["properties"]["a"] == {"$ref": f"#/{name}/b"}
        assert shown[name]["b"]["additionalProperties"] is False


@RULES
@pytest.mark.parametrize("wrap", [lambda r: r, lambda r: {"allOf": [r]}], ids=["plain", "all-of"])
def test_a_reference_with_words_beside_it_is_inlined(rules: Rules, wrap: Any):
    field = {**wrap({"$ref": "#/$defs/b"}), "description": "D"}
    schema = of(a=field) | {"$defs": {"b": {"type": "string", "title": "B"}}}
    expected = {"type": "string", "title": "B", "description": "D"}
    assert held(schema, rules)["properties"]["a"] == expected


@RULES
def test_one_of_is_any_of_and_a_bare_value_gets_its_type(rules: Rules):
    schema = of(a={"oneOf": [{"const": "x"}, {"enum": [1, None]}, {"const": True}]})
    assert held(schema, rules)["properties"]["a"]["anyOf"] == [
        {"const": "x", "type": "string"},
        {"enum": [1, None], "type": ["number", "null"]},
        {"const": True, "type": "boolean"},
    ]


@RULES
def test_numbers_stay_as_they_were_written(rules: Rules):
    text = (
        b'{"type":"object","properties":{"a":{"type":"number","enum":[1.50,1e3]}},"required":["a"]}'
    )
    found = held_schemas.held(Raw(text), rules)
    assert found is not None
    assert b"[1.50,1e3]" in bytes(found.schema)


def test_nullable_is_one_more_type():
    assert held(of(a={"type": "string", "nullable": True}))["properties"]["a"] == {
        "type": ["string", "null"]
    }


def test_what_is_nested_too_deep_has_no_held_form():
    schema: Any = {"type": "string"}
    for _ in range(100):
        schema = of(a=schema)
    assert held(schema) is None


# --- Properties ---------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "$ref", "type", "ü", "a/b", "enum"])
LEAVES = st.sampled_from(
    [
        {"type": "string", "minLength": 1},
        {"type": ["integer", "null"], "maximum": 3},
        {"enum": ["x", 1.5]},
        {"const": None},
        {"type": "number", "format": "float"},
        {"$ref": "#/$defs/d"},
        {"$ref": "#", "description": "again"},
        {},
        True,
    ]
)


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def closed(properties: dict[str, Any], optional: set[str], more: Any) -> Any:
        required = [name for name in properties if name not in optional]
        node = {"type": "object", "properties": properties, "required": required}
        return node if more is None else {**node, "additionalProperties": more}

    return st.builds(
        closed,
        st.dictionaries(NAMES, inner, max_size=3),
        st.sets(NAMES, max_size=1),
        st.sampled_from([None, False, True]),
    )


SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        objects(inner),
        st.builds(lambda items: {"type": "array", "items": items, "minItems": 2}, inner),
        st.builds(lambda choices: {"anyOf": choices}, st.lists(inner, max_size=3)),
        st.builds(lambda part: {"allOf": [part], "title": "T"}, inner),
    ),
    max_leaves=8,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "properties", "$ref", "enum", "anyOf", "items", "required"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@RULES
@settings(max_examples=200, deadline=None)
@given(schema=st.one_of(objects(SCHEMAS), JSON))
def test_rewriting_never_raises_and_twice_is_once(rules: Rules, schema: Any):
    if isinstance(schema, dict):
        schema = {**schema, "$defs": {"d": {"type": "string", "title": "D"}}}
    once = held_schemas.held(Raw(msgspec.json.encode(schema)), rules)
    if once is None:
        return
    again = held_schemas.held(once.schema, rules)
    assert again is not None
    assert bytes(again.schema) == bytes(once.schema)
    assert again.moved == ()
    shown = msgspec.json.decode(once.schema)
    assert [*shown.get("properties", ())] == [*schema.get("properties", ())]
