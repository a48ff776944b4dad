from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from core.errors import BadRequestError
from core.schemas import for_gemini, from_gemini, is_empty_object

WRITTEN = {
    "goo-02 of the reference: nullable, $ref, const, additionalProperties": (
        {
            "type": "object",
            "properties": {
                "k": {"type": ["string", "null"]},
                "r": {"$ref": "#/$defs/R"},
                "c": {"const": "x"},
            },
            "additionalProperties": False,
            "$defs": {"R": {"type": "object", "properties": {"z": {"type": "number"}}}},
        },
        {
            "type": "object",
            "properties": {
                "k": {"type": "string", "nullable": True},
                "r": {"type": "object", "properties": {"z": {"type": "number"}}},
                "c": {"enum": ["x"]},
            },
        },
    ),
    "a property may have the name of a keyword": (
        {"type": "object", "properties": {"$ref": {"type": "string"}, "const": {"const": "c"}}},
        {"type": "object", "properties": {"$ref": {"type": "string"}, "const": {"enum": ["c"]}}},
    ),
    "what stands beside a $ref describes it": (
        {
            "type": "object",
            "properties": {"r": {"$ref": "#/definitions/R~1S", "description": "mine"}},
            "definitions": {"R/S": {"type": "string", "description": "its own"}},
        },
        {"type": "object", "properties": {"r": {"type": "string", "description": "mine"}}},
    ),
    "a $ref that leads nowhere is any object": (
        {"anyOf": [{"$ref": "#/no/where"}, {"$ref": "https://else.where"}, {"type": "string"}]},
        {"anyOf": [{"type": "object"}, {"type": "object"}, {"type": "string"}]},
    ),
    "a recursive $ref is an object that says what it is": (
        {
            "$ref": "#/$defs/Node",
            "$defs": {"Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}},
        },
        {
            "type": "object",
            "properties": {
                "next": {
                    "type": "object",
                    "description": "Recursive: of the same shape as Node.",
                }
            },
        },
    ),
    "the whole may refer to itself": (
        {"type": "object", "properties": {"again": {"$ref": "#"}}},
        {
            "type": "object",
            "properties": {
                "again": {
                    "type": "object",
                    "properties": {
                        "again": {
                            "type": "object",
                            "description": "Recursive: of the same shape as #.",
                        }
                    },
                }
            },
        },
    ),
    "null among the choices is nullable": (
        {"description": "d", "anyOf": [{"type": "string"}, {"type": "null"}]},
        {"description": "d", "type": "string", "nullable": True},
    ),
    "oneOf is anyOf": (
        {"oneOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]},
        {"nullable": True, "anyOf": [{"type": "string"}, {"type": "integer"}]},
    ),
    "only null": ({"anyOf": [{"type": "null"}]}, {"nullable": True}),
    "several types are choices": (
        {"type": ["array", "object", "string"], "properties": {"a": {"type": "string"}}},
        {
            "anyOf": [
                {"type": "array", "items": {"type": "string"}},
                {"type": "object", "properties": {"a": {"type": "string"}}},
                {"type": "string"},
            ]
        },
    ),
    "a list of one type": ({"type": ["string"]}, {"type": "string"}),
    "a list of no type": ({"type": ["null"]}, {"nullable": True}),
    "texts of an enum stay, null makes it nullable": (
        {"type": "string", "enum": ["a", "b", None]},
        {"type": "string", "enum": ["a", "b"], "nullable": True},
    ),
    "values that are no texts go into the description": (
        {"type": "integer", "enum": [1, 2], "description": "How many."},
        {"type": "integer", "description": "How many. One of: 1, 2."},
    ),
    "a const that is no text too": (
        {"type": "boolean", "const": True},
        {"type": "boolean", "description": "Always true."},
    ),
    "a format that Gemini does not know is told": (
        {"type": "string", "format": "uri"},
        {"type": "string", "description": "Format: uri."},
    ),
    "a format that it knows stays": (
        {"type": "string", "format": "date-time"},
        {"type": "string", "format": "date-time"},
    ),
    "allOf is one object": (
        {
            "allOf": [
                {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]},
                {"properties": {"b": {"type": "string"}}, "required": ["a", "b"]},
            ],
            "description": "both",
        },
        {
            "type": "object",
            "properties": {"a": {"description": "Always 1."}, "b": {"type": "string"}},
            "required": ["a", "b"],
            "description": "both",
        },
    ),
    "allOf without properties": (
        {"allOf": [{"type": "string"}, {"minLength": 2}]},
        {"type": "string", "minLength": 2},
    ),
    "a tuple is a list of what may be in it": (
        {"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}]},
        {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "number"}]}},
    ),
    "an old tuple of one kind": (
        {"type": "array", "items": [{"type": "string"}, {"type": "string"}]},
        {"type": "array", "items": {"type": "string"}},
    ),
    "an empty tuple": (
        {"type": "array", "prefixItems": []},
        {"type": "array", "items": {"type": "string"}},
    ),
    "a list of anything": (
        {"type": "array", "items": True},
        {"type": "array", "items": {"type": "string"}},
    ),
    "a list": (
        {"type": "array", "items": {"type": "number", "exclusiveMinimum": 0}, "uniqueItems": True},
        {"type": "array", "items": {"type": "number"}},
    ),
    "anything goes": (
        {"type": "object", "properties": {"x": True}},
        {
            "type": "object",
            "properties": {"x": {}},
        },
    ),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_json_schema_becomes_what_gemini_takes(name):
    given, expected = WRITTEN[name]
    assert msgspec.json.decode(for_gemini(Raw(msgspec.json.encode(given)))) == expected


def test_numbers_keep_their_bytes():
    assert bytes(for_gemini(Raw(b'{"type":"number","minimum":1.50}'))) == (
        b'{"type":"number","minimum":1.50}'
    )


def _bomb() -> dict[str, object]:
    level = {f"L{n}": {"anyOf": [{"$ref": f"#/$defs/L{n + 1}"}] * 9} for n in range(20)}
    return {"$ref": "#/$defs/L0", "$defs": level | {"L20": {"type": "string"}}}


def _deep() -> dict[str, object]:
    schema: dict[str, object] = {"type": "string"}
    for _ in range(300):
        schema = {"type": "array", "items": schema}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        _bomb(),
        _deep(),
        [],
        {"enum": 1},
        {"$ref": 1},
        {"properties": []},
        {"format": 1},
    ],
)
@pytest.mark.timeout(5)
def test_what_is_no_schema_or_has_no_end_is_refused(schema):
    with pytest.raises(BadRequestError):
        for_gemini(Raw(msgspec.json.encode(schema)))


@pytest.mark.parametrize(
    ("schema", "empty"),
    [
        ({}, True),
        ({"type": "object", "properties": {}}, True),
        ({"type": "OBJECT"}, True),
        ({"type": "object", "properties": {"a": {}}}, False),
        ({"type": "object", "anyOf": [{}]}, False),
        ({"type": "string"}, False),
    ],
)
def test_an_object_without_properties_is_known(schema, empty):
    assert is_empty_object(Raw(msgspec.json.encode(schema))) is empty


READ = {
    "types in lower case, counts as numbers, no words of OpenAPI's": (
        {
            "type": "OBJECT",
            "title": "T",
            "properties": {
                "a": {"type": "STRING", "nullable": True, "enum": ["x"], "max_length": "5"},
                "b": {"type": "INTEGER", "format": "int64", "example": 3},
                "type": {"type": "ARRAY", "items": {"type": "NUMBER"}, "minItems": 1},
            },
            "required": ["a"],
            "propertyOrdering": ["a", "b"],
        },
        {
            "type": "object",
            "title": "T",
            "properties": {
                "a": {"type": ["string", "null"], "enum": ["x", None], "maxLength": 5},
                "b": {"type": "integer", "examples": [3]},
                "type": {"type": "array", "items": {"type": "number"}, "minItems": 1},
            },
            "required": ["a"],
        },
    ),
    "choices": (
        {"any_of": [{"type": "STRING"}, {"type": "NUMBER"}], "nullable": True},
        {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "null"}]},
    ),
    "nullable without a type says nothing": ({"nullable": True}, {}),
    "a plain JSON schema stays": (
        {"type": ["string", "null"], "format": "date-time", "nullable": False},
        {"type": ["string", "null"], "format": "date-time"},
    ),
    "a list of types that may be null": (
        {"type": ["string"], "nullable": True},
        {"type": ["string", "null"]},
    ),
    "definitions": (
        {"$defs": {"A": {"type": "STRING"}}},
        {"$defs": {"A": {"type": "string"}}},
    ),
}


@pytest.mark.parametrize("name", READ)
def test_a_schema_of_geminis_becomes_json_schema(name):
    given, expected = READ[name]
    assert msgspec.json.decode(from_gemini(Raw(msgspec.json.encode(given)))) == expected


def test_a_schema_of_geminis_without_end_is_refused():
    with pytest.raises(BadRequestError):
        from_gemini(Raw(msgspec.json.encode(_deep())))


# --- Properties ---------------------------------------------------------------------------------

_LEAVES = st.sampled_from(
    [
        {"type": "string", "minLength": 1, "format": "uri"},
        {"type": ["integer", "null"], "maximum": 1.50},
        {"enum": ["x", 1.5, None]},
        {"const": "y"},
        {"$ref": "#/$defs/d"},
        {"$ref": "#", "description": "again"},
        {"type": "array"},
        {},
        True,
    ]
)
_ANY_SCHEMA = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.builds(
            lambda properties: {"type": "object", "properties": properties},
            st.dictionaries(st.sampled_from(["a", "b", "type", "$ref", "ü"]), inner, max_size=3),
        ),
        st.builds(lambda items: {"type": "array", "items": items, "uniqueItems": True}, inner),
        st.builds(lambda choices: {"anyOf": choices}, st.lists(inner, max_size=3)),
        st.builds(lambda choices: {"oneOf": choices}, st.lists(inner, max_size=3)),
        st.builds(lambda parts: {"allOf": parts}, st.lists(inner, max_size=2)),
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(properties=st.dictionaries(st.sampled_from(["z", "a", "m"]), _ANY_SCHEMA, max_size=3))
def test_rewriting_never_raises_keeps_names_in_their_order_and_twice_is_once(
    properties: dict[str, Any],
) -> None:
    schema = {"type": "object", "properties": properties, "$defs": {"d": {"type": "string"}}}
    once = for_gemini(Raw(msgspec.json.encode(schema)))
    assert [*msgspec.json.decode(once)["properties"]] == [*properties]
    assert bytes(for_gemini(once)) == bytes(once)
    back = from_gemini(once)
    assert [*msgspec.json.decode(back)["properties"]] == [*properties]


@pytest.mark.parametrize(
    ("schema", "names"),
    [
        (
            b'{"type":"number","exclusiveMinimum":0,"multipleOf":2}',
            ["exclusiveMinimum", "multipleOf"],
        ),
        (b'{"type":"object","additionalProperties":{"type":"string"}}', ["additionalProperties"]),
        (b'{"type":"object","additionalProperties":false,"$schema":"x"}', []),
    ],
)
def test_keywords_that_gemini_has_no_word_for_are_told(schema: bytes, names: list[str]) -> None:
    lost: list[str] = []
    for_gemini(Raw(schema), lost)
    assert lost == names


@pytest.mark.parametrize(
    ("schema", "written"),
    [
        ({"const": None}, {"nullable": True, "type": "null"}),
        ({"type": "string", "enum": []}, {"type": "string"}),
        ({"type": ["string", "null"], "enum": [None]}, {"type": "string", "nullable": True}),
        (
            {"anyOf": [{"type": "string"}, {"const": None}]},
            {"type": "string", "nullable": True},
        ),
        ({"type": "object", "required": ["a"]}, {"type": "object"}),
        (
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a", "b"]},
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        ),
        (
            {
                "type": "object",
                "allOf": [{"properties": {"a": {"type": "string"}}}, {"required": ["a"]}],
            },
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        ),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
            },
            {"type": "object", "properties": {"a": {"type": "string"}}},
        ),
    ],
)
def test_nothing_is_asked_that_gemini_takes_for_a_mistake(schema, written):
    made = for_gemini(Raw(msgspec.json.encode(schema)))
    assert msgspec.json.decode(made) == written
