"""Bodies that name one model, and bodies that only seem to."""

import pytest

from core import one_model
from core.errors import BadRequestError


@pytest.mark.parametrize(
    ("body", "models"),
    [
        (b"", ()),
        (b"{}", ()),
        (b'{"model":"a"}', ("a",)),
        (b'{"model":"a","models":["b","c"]}', ("a", "b", "c")),
        (b'{"models":["b"]}', ("b",)),
        (b'{"messages":[{"model":"b"},{"Model":"c"}],"model":"a"}', ("a",)),
        (b'{"input":"\\"model\\":\\"b\\"","model":"a"}', ("a",)),
    ],
)
def test_every_model_is_told(body: bytes, models: tuple[str, ...]):
    assert one_model.in_json(body) == models


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","model":"b"}',
        b'{"model":"a","\\u006dodel":"b"}',
        b'{"Model":"b","model":"a"}',
        b'{"MODEL":"b"}',
        b'{"model":"a","models":"b"}',
        b'{"model":["a"]}',
        b"[]",
        b"{",
        b"\xff",
    ],
)
def test_what_another_reader_might_read_otherwise_is_refused(body: bytes):
    with pytest.raises(BadRequestError):
        one_model.in_json(body)


def part(name: bytes) -> bytes:
    return b"--x\r\nContent-Disposition: form-data; " + name + b"\r\n\r\nvalue\r\n"


@pytest.mark.parametrize(
    "second",
    [
        b'name="model"',
        b"name=model",
        b'NAME = "Model"',
        b"name*=utf-8''model",
        b'name="MODEL"; a=b',
    ],
)
def test_a_form_with_two_models_is_refused(second: bytes):
    one_model.check_form(part(b'name="model"') + part(b'name="file"; filename="model.bin"'))
    with pytest.raises(BadRequestError):
        one_model.check_form(part(b'name="model"') + part(second))
