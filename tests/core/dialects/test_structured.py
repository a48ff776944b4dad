"""The tool that stands in for structured output, and how much to think."""

import pytest
from msgspec import Raw

from core.dialects import structured, thinking
from core.errors import BadRequestError
from core.held_schemas import ANTHROPIC
from core.neutral import Facts, Request, Schema, Thinking, Tool

ANY = Schema()
CITY = Schema(schema=Raw(b'{"type":"object","properties":{"a":{"type":"string"}}}'))
LIST = Schema(schema=Raw(b'{"type":"array","items":{"type":"string"}}'))
MAP = Schema(schema=Raw(b'{"type":"object","additionalProperties":{"type":"string"}}'))
PLAIN = Request(model="m", messages=())
WITH_TOOLS = Request(model="m", messages=(), tools=(Tool(name="f"),))
NATIVE = Facts(native_schema=True)


@pytest.mark.parametrize(
    ("request_", "schema", "facts", "thinks", "native"),
    [
        (PLAIN, CITY, NATIVE, False, False),
        (PLAIN, CITY, NATIVE, True, True),
        (PLAIN, CITY, Facts(), True, False),
        (PLAIN, ANY, NATIVE, True, False),
        (WITH_TOOLS, CITY, NATIVE, False, True),
        (PLAIN, LIST, NATIVE, False, True),
        (PLAIN, LIST, Facts(), False, False),
        (PLAIN, MAP, NATIVE, True, False),
    ],
)
def test_a_schema_is_native_only_where_a_forced_tool_cannot_stand_in(
    request_: Request, schema: Schema, facts: Facts, thinks: bool, native: bool
) -> None:
    assert (structured.native(request_, schema, facts, thinks=thinks) is not None) is native


@pytest.mark.parametrize(("schema", "facts"), [(CITY, Facts()), (ANY, NATIVE), (MAP, NATIVE)])
def test_beside_tools_there_is_no_other_way(schema: Schema, facts: Facts) -> None:
    with pytest.raises(BadRequestError, match="structured"):
        structured.native(WITH_TOOLS, schema, facts, thinks=False)


def test_the_stand_in_takes_the_schema_or_any_object() -> None:
    assert structured.stand_in(CITY).schema == CITY.schema
    assert structured.stand_in(ANY).schema == Raw(b'{"type":"object"}')
    assert structured.stand_in(ANY).name == structured.STAND_IN


@pytest.mark.parametrize(
    ("schema", "strict", "expected"),
    [
        (CITY, None, (False, [])),
        (CITY, True, (True, [])),
        (MAP, True, (False, ["tools.strict"])),
        (
            Schema(schema=Raw(b'{"type":"object","properties":{},"minProperties":1}')),
            True,
            (True, ["tools.minProperties"]),
        ),
        (ANY, True, (True, [])),
    ],
)
def test_a_model_is_held_to_what_it_can_be_held_to_and_the_rest_is_told(
    schema: Schema, strict: bool | None, expected: object
) -> None:
    _, *found = structured.hold(schema.schema, ANTHROPIC, "tools", strict=strict)
    assert tuple(found) == expected


def test_no_more_tools_are_held_than_the_provider_takes() -> None:
    tools = [Tool(name=f"f{n}", strict=True) for n in range(structured.MOST_HELD + 1)]
    written, lost = structured.held_tools(tools, "tools", able=True)
    assert [tool.strict for tool in written] == [True] * structured.MOST_HELD + [None]
    assert lost == ["tools.strict"]


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ("", Raw(b"{}")),
        (" \n", Raw(b"{}")),
        ('{"a": 1.50}', Raw(b'{"a": 1.50}')),
        ("[]", None),
        ("{", None),
        ("null", None),
    ],
)
def test_arguments_are_an_object_as_they_were_written_or_nothing(
    arguments: str, given: Raw | None
) -> None:
    assert structured.as_object(arguments) == given


@pytest.mark.parametrize(
    ("wanted", "most", "budget", "effort"),
    [
        (Thinking(), 10_000, 1024, None),
        (Thinking(budget=5), 100, 1024, "low"),
        (Thinking(budget=5000), 10_000, 5000, "medium"),
        (Thinking(budget=9000), 10_000, 9000, "high"),
        (Thinking(effort="low"), 10_000, 2000, "low"),
        (Thinking(effort="medium"), 10_000, 5000, "medium"),
        (Thinking(effort="high"), 10_000, 8000, "high"),
        (Thinking(effort="low"), 100, 1024, "low"),
        (Thinking(effort="odd"), 10_000, 5000, "odd"),
    ],
)
def test_an_effort_is_a_share_of_the_tokens_and_back(
    wanted: Thinking, most: int, budget: int, effort: str | None
) -> None:
    assert thinking.budget(wanted, most) == budget
    assert thinking.effort(wanted, most) == effort
