"""The table of request parameters."""

from typing import Any

import pytest

from core.dialects import parameters
from core.errors import BadRequestError
from core.plan import dropped_header
from tests.core.dialects.wire import body, plain, raw

DIALECTS = ("openai_chat", "anthropic")


def parse(dialect: str, **fields: Any) -> tuple[Any, tuple[str, ...]]:
    envelope = body(**fields)
    del envelope["messages"]
    values, dropped = parameters.parse(envelope, dialect, frozenset({"model"}))
    return plain(values), dropped


@pytest.mark.parametrize(
    ("dialect", "fields", "values", "dropped"),
    [
        pytest.param(
            "openai_chat",
            {"temperature": 0.5, "n": 2, "seed": 1},
            {"temperature": 0.5, "n": 2, "seed": 1},
            (),
            id="a known scalar is read under its neutral name",
        ),
        pytest.param(
            "anthropic",
            {"stop_sequences": ["a"]},
            {"stop": ["a"]},
            (),
            id="a name of its own is read as the neutral one",
        ),
        pytest.param(
            "anthropic",
            {"n": 2, "seed": 1},
            {},
            ("n", "seed"),
            id="a name that only another dialect knows is dropped and told",
        ),
        pytest.param(
            "openai_chat",
            {"store": True, "brand_new": {"a": 1}},
            {},
            ("store", "brand_new"),
            id="an unknown field is dropped and told",
        ),
        pytest.param(
            "openai_chat",
            {
                "temperature": None,
                "n": 1,
                "logprobs": False,
                "store": False,
                "presence_penalty": 0,
                "frequency_penalty": 0.0,
                "logit_bias": {},
                "modalities": ["text"],
            },
            {},
            (),
            id="what asks for nothing is not told",
        ),
    ],
)
def test_reading(dialect: str, fields: Any, values: Any, dropped: tuple[str, ...]):
    assert parse(dialect, **fields) == (values, dropped)


@pytest.mark.parametrize(
    ("dialect", "name"),
    [(dialect, name) for dialect in DIALECTS for name in parameters.REFUSED[dialect]],
)
def test_what_would_change_the_answer_is_refused_by_name(dialect: str, name: str):
    with pytest.raises(BadRequestError, match=f"`{name}` cannot be translated") as caught:
        parse(dialect, **{name: {"a": 1}})
    assert caught.value.param == name


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", parameters.PARAMETERS)
def test_every_parameter_is_written_by_its_name_or_told(name: str, dialect: str):
    fields, dropped = parameters.render({name: raw("1")}, dialect)
    wire = parameters.PARAMETERS[name].get(dialect)
    if wire is None or wire in parameters.NOT_UPSTREAM[dialect]:
        assert (fields, dropped) == ({}, [name])
    else:
        assert (list(fields), dropped) == ([wire], [])


@pytest.mark.parametrize(
    ("neutral", "dialect", "expected"),
    [
        pytest.param("stop", "anthropic", "stop_sequences", id="by the client's own name"),
        pytest.param("stop", "openai_chat", "stop", id="the same name"),
        pytest.param("n", "anthropic", "n", id="a name that the client does not have"),
        pytest.param("messages.reasoning", "anthropic", "messages.reasoning", id="a note"),
    ],
)
def test_names_as_the_client_knows_them(neutral: str, dialect: str, expected: str):
    assert parameters.client_names([neutral], dialect) == [expected]


@pytest.mark.parametrize(
    ("dropped", "header"),
    [
        pytest.param(("n", "seed"), "n, seed", id="names are listed"),
        pytest.param(("a\r\nx-evil: 1", "ä,b"), "a??x-evil:?1, ??b", id="nothing else gets in"),
        pytest.param(("n" * 65,), "n" * 64, id="a long name is cut"),
        pytest.param(tuple("ab" * 20), ", ".join("ab" * 16), id="a long list is cut"),
    ],
)
def test_the_header_that_names_what_was_dropped(dropped: tuple[str, ...], header: str):
    assert dropped_header(dropped) == header
