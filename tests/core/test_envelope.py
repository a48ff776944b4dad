"""The body split at its top level."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from core import envelope
from core.errors import BadRequestError


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[1]",
        b'"text"',
        b"12",
        b'{"a":1',
        b'{"a":1}x',
        b'{"a":01}',
        b"{'a':1}",
        b'{"a":"\\x"}',
        b'{"a":"\x01"}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a\xff":1}',
        b'{"a":"\xff"}',
        b'{"a":["\xed\xa0\x80"]}',
        b'{"a":"caf\xe9"}',
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_json_object_in_utf8_is_a_400(body: bytes):
    with pytest.raises(BadRequestError, match="not a JSON object"):
        envelope.split(body)


def test_values_stay_the_bytes_that_came():
    body = b'{"b": 1.50, "a" : {"x":1e2,  "x":2}, "\\u0061b":"\\u00e9\\/" }'
    assert {name: bytes(raw) for name, raw in envelope.split(body).items()} == {
        "b": b"1.50",
        "a": b'{"x":1e2,  "x":2}',
        "ab": b'"\\u00e9\\/"',
    }


@given(st.binary(max_size=200))
def test_no_bytes_at_all_break_the_split(body: bytes):
    with contextlib.suppress(BadRequestError):
        assert isinstance(envelope.split(body), dict)


@pytest.mark.parametrize(
    ("body", "kind", "default", "value"),
    [
        (b"{}", int, 7, 7),
        (b'{"f":null}', int, 7, 7),
        (b'{"f":3}', int, 7, 3),
        (b'{"f":"t"}', str, "", "t"),
    ],
)
def test_absent_and_null_fields_read_as_the_default(
    body: bytes, kind: type, default: object, value: object
):
    assert envelope.read(envelope.split(body), "f", kind, default) == value


@pytest.mark.parametrize(("raw", "kind"), [(b'"3"', int), (b"{}", str), (b'"\xff"', str)])
def test_a_field_of_another_type_is_a_400_that_names_it(raw: bytes, kind: type):
    with pytest.raises(BadRequestError, match="`f` is not usable") as caught:
        envelope.read({"f": Raw(raw)}, "f", kind, None)
    assert caught.value.param == "f"


def test_a_field_nested_too_deeply_is_a_400():
    deep = Raw(b"[" * 50_000 + b"]" * 50_000)
    with pytest.raises(BadRequestError):
        envelope.read({"f": deep}, "f", list, None)


@pytest.mark.parametrize(
    ("raw", "there"), [(b"", False), (b"null", False), (b"{}", True), (b"0", True)]
)
def test_absent_and_null_are_not_present(raw: bytes, there: bool):
    assert (envelope.present(Raw(raw)) is not None) is there


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, b'{"a":1.50,"b":2,"c":3}'),
        ({"rename": {"a": "x"}}, b'{"x":1.50,"b":2,"c":3}'),
        ({"rename": {"a": "b"}}, b'{"b":2,"c":3}'),
        ({"drop": frozenset({"a", "q"})}, b'{"b":2,"c":3}'),
        ({"drop": frozenset({"a"}), "rename": {"a": "x"}}, b'{"b":2,"c":3}'),
    ],
)
def test_what_is_renamed_and_dropped_leaves_order_and_values_as_they_are(
    more: dict, expected: bytes
):
    fields = envelope.split(b'{"a":1.50,"b":2,"c":3}')
    given = {"rename": {}, "drop": frozenset(), **more}
    assert envelope.join(envelope.renamed(fields, **given)) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a":1,"b":null}', b'{"b":1}'),
        (b'{"b":null,"a":1}', b'{"b":1}'),
        (b'{"b":null,"a":null}', b'{"b":null}'),
        (b'{"b":2,"a":1}', b'{"b":2}'),
    ],
)
def test_a_null_under_the_new_name_does_not_stand_in_the_way(body: bytes, expected: bytes):
    fields = envelope.renamed(envelope.split(body), {"a": "b"}, frozenset())
    assert envelope.join(fields) == expected


def test_a_field_that_is_put_in_anew_keeps_its_place():
    fields = envelope.split(b'{"a":1.50,"b":2,"c":3}')
    changed = {**fields, "b": Raw(b"9"), "z": Raw(b"0")}
    assert envelope.join(changed) == b'{"a":1.50,"b":9,"c":3,"z":0}'
