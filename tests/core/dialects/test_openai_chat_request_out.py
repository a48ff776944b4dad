"""A neutral request, written as a chat completion request."""

from typing import Any

import pytest

from core.dialects import openai_chat
from core.errors import BadRequestError
from core.neutral import (
    Facts,
    Media,
    Message,
    Part,
    Quirks,
    Reasoning,
    Refusal,
    Rendered,
    Request,
    Schema,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from tests.core.dialects.wire import USER, plain, raw, rendered, request, turn

IMAGE = Media(kind="image", media_type="image/png", data="AAAA")
WIRE_IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
F = Tool(name="f", schema=raw('{"type":"object"}'))
REASONS = Facts(reasoning=True)
OPENAI_REASONS = Facts(reasoning=True, quirks=Quirks(refuses=frozenset({"temperature", "stop"})))
CLOSED = raw('{"type":"object","properties":{},"additionalProperties":false,"required":[]}')


def render(given: Request, facts: Facts | None = None) -> Rendered:
    return openai_chat.render_request(given, facts or Facts())


def messages(*given: Message) -> Any:
    return rendered(openai_chat.render_request, request(*given))["messages"]


def fields(facts: Facts | None = None, **given: Any) -> dict[str, Any]:
    """What the request holds beside its model and messages."""
    body = rendered(openai_chat.render_request, request(**given), facts)
    return {name: value for name, value in body.items() if name not in ("model", "messages")}


def test_the_smallest_request_byte_for_byte():
    expected = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
    assert render(request()).body == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(
            [
                turn("system", Text("a")),
                turn("developer", Text("b")),
                Message("user", (Text("c"),), "ada"),
                turn("system", Text("d")),
            ],
            [
                {"role": "system", "content": "a"},
                {"role": "developer", "content": "b"},
                {"role": "user", "content": "c", "name": "ada"},
                {"role": "system", "content": "d"},
            ],
            id="every message keeps its role and its place",
        ),
        pytest.param(
            [turn("user", Text("a"), IMAGE)],
            [{"role": "user", "content": [{"type": "text", "text": "a"}, WIRE_IMAGE]}],
            id="several parts are a list",
        ),
        pytest.param([turn("user")], [{"role": "user", "content": ""}], id="an empty message"),
        pytest.param(
            [
                Message(
                    "assistant",
                    (
                        Text("a"),
                        Text("b"),
                        ToolCall(id="c1", name="f", arguments='{"a": 1.50}'),
                        ToolCall(id="c2", name="g", arguments=""),
                    ),
                    "bot",
                )
            ],
            [
                {
                    "role": "assistant",
                    "content": "ab",
                    "name": "bot",
                    "tool_calls": [
                        {
                            "id": "c1",
                            "type": "function",
                            "function": {"name": "f", "arguments": '{"a": 1.50}'},
                        },
                        {
                            "id": "c2",
                            "type": "function",
                            "function": {"name": "g", "arguments": "{}"},
                        },
                    ],
                }
            ],
            id="parallel calls keep their order, ids and arguments as written",
        ),
        pytest.param(
            [turn("assistant", ToolCall(id="c", name="f", arguments="{}"))],
            [
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "c",
                            "type": "function",
                            "function": {"name": "f", "arguments": "{}"},
                        }
                    ],
                }
            ],
            id="a call without a word has no content",
        ),
        pytest.param(
            [turn("assistant", Refusal("no"))],
            [{"role": "assistant", "content": "", "refusal": "no"}],
            id="a refusal",
        ),
        pytest.param(
            [turn("assistant", Reasoning(text="why", signature="s"))],
            [{"role": "assistant", "content": ""}],
            id="reasoning of another provider stays behind",
        ),
        pytest.param(
            [
                turn(
                    "user",
                    ToolResult(call_id="c1", parts=(Text("a"), Text("b"))),
                    ToolResult(call_id="c2", parts=(IMAGE,)),
                    Text("and?"),
                )
            ],
            [
                {"role": "tool", "tool_call_id": "c1", "content": "a\nb"},
                {"role": "tool", "tool_call_id": "c2", "content": ""},
                {"role": "user", "content": [WIRE_IMAGE, {"type": "text", "text": "and?"}]},
            ],
            id="results are messages of their own, all before what the user says and shows",
        ),
        pytest.param(
            [turn("user", ToolResult(call_id="c1", parts=()))],
            [{"role": "tool", "tool_call_id": "c1", "content": ""}],
            id="a result without content",
        ),
        pytest.param(
            [
                turn("user", ToolResult(call_id="c1", parts=(Text("A"), IMAGE)), Text("a")),
                turn("user", ToolResult(call_id="c2", parts=(Text("B"), IMAGE)), Text("b")),
                turn("assistant", Text("c")),
            ],
            [
                {"role": "tool", "tool_call_id": "c1", "content": "A"},
                {"role": "tool", "tool_call_id": "c2", "content": "B"},
                {
                    "role": "user",
                    "content": [
                        WIRE_IMAGE,
                        {"type": "text", "text": "a"},
                        WIRE_IMAGE,
                        {"type": "text", "text": "b"},
                    ],
                },
                {"role": "assistant", "content": "c"},
            ],
            id="nothing stands between results of several messages",
        ),
    ],
)
def test_messages(given: list[Message], expected: list[Any]):
    assert messages(*given) == expected


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        pytest.param(IMAGE, WIRE_IMAGE, id="an image"),
        pytest.param(
            Media(kind="image", url="https://x.test/i.png", detail="low"),
            {"type": "image_url", "image_url": {"url": "https://x.test/i.png", "detail": "low"}},
            id="an image at a URL, with its detail",
        ),
        pytest.param(
            Media(kind="audio", media_type="audio/wav", data="UklG"),
            {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
            id="audio",
        ),
        *(
            pytest.param(
                Media(kind="audio", media_type=media_type, data="AA"),
                {"type": "input_audio", "input_audio": {"data": "AA", "format": word}},
                id=media_type,
            )
            for media_type, word in (
                ("audio/mpeg", "mp3"),
                ("audio/x-wav", "wav"),
                ("audio/ogg; codecs=opus", "ogg"),
            )
        ),
        pytest.param(
            Media(kind="document", media_type="text/plain", data="a,b"),
            {"type": "text", "text": "a,b"},
            id="a text document is text",
        ),
        pytest.param(
            Media(kind="document", media_type="application/pdf", data="JVBE"),
            {
                "type": "file",
                "file": {
                    "filename": "document.pdf",
                    "file_data": "data:application/pdf;base64,JVBE",
                },
            },
            id="a PDF without a name gets one",
        ),
        pytest.param(
            Media(kind="document", media_type="application/pdf", data="JVBE", name="a.pdf"),
            {
                "type": "file",
                "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"},
            },
            id="a PDF keeps its name",
        ),
        pytest.param(Refusal("no"), {"type": "text", "text": "no"}, id="a refusal is text"),
    ],
)
def test_parts(part: Part, expected: dict[str, Any]):
    (message,) = messages(turn("user", Text("a"), part))
    assert message["content"][1] == expected


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(Media(kind="document", url="https://x.test/a.pdf"), id="a document at a URL"),
        pytest.param(Media(kind="audio", media_type="audio/midi", data="AA"), id="no voice"),
        pytest.param(Media(kind="audio", url="https://x.test/a.wav"), id="sound at a URL"),
        pytest.param(Reasoning(text="why"), id="thinking of a user"),
        pytest.param(ToolCall(id="c", name="f", arguments=""), id="a call of a user"),
    ],
)
def test_what_a_user_cannot_say_is_a_400(part: Part):
    with pytest.raises(BadRequestError):
        render(request(turn("user", Text("a"), part)))


@pytest.mark.parametrize(
    ("given", "dropped"),
    [
        pytest.param(
            [turn("assistant", Reasoning(text="a"), Reasoning(text="b")), USER],
            ("messages.reasoning",),
            id="reasoning, once",
        ),
        pytest.param(
            [turn("user", ToolResult(call_id="c", parts=(), is_error=True))],
            ("tool_result.is_error",),
            id="that a tool failed",
        ),
    ],
)
def test_what_has_no_place_in_a_message_is_told(given: list[Message], dropped: tuple[str, ...]):
    assert render(request(*given)).dropped == dropped


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param(
            {"stream": True},
            {"stream": True, "stream_options": {"include_usage": True}},
            id="a stream tells its usage",
        ),
        pytest.param({"max_tokens": 5}, {"max_completion_tokens": 5}, id="max_tokens"),
        pytest.param(
            {"tools": (Tool(name="f", description="d", schema=CLOSED, strict=True),)},
            {
                "tools": [
                    {
                        "type": "function",
                        "function": {
                            "name": "f",
                            "description": "d",
                            "parameters": plain(CLOSED),
                            "strict": True,
                        },
                    }
                ]
            },
            id="a tool with all that it has",
        ),
        pytest.param(
            {"tool_choice": ToolChoice("none"), "parallel_tool_calls": False},
            {},
            id="a choice without tools is not said",
        ),
        pytest.param({"schema": Schema()}, {"response_format": {"type": "json_object"}}, id="JSON"),
        pytest.param(
            {"schema": Schema(name="p", description="d", schema=CLOSED, strict=True)},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {
                        "name": "p",
                        "description": "d",
                        "schema": plain(CLOSED),
                        "strict": True,
                    },
                }
            },
            id="a schema with all that it has",
        ),
    ],
)
def test_fields(given: dict[str, Any], expected: dict[str, Any]):
    assert fields(**given) == expected


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (ToolChoice("auto"), "auto"),
        (ToolChoice("none"), "none"),
        (ToolChoice("required"), "required"),
        (ToolChoice("named", "f"), {"type": "function", "function": {"name": "f"}}),
    ],
)
@pytest.mark.parametrize("parallel", [None, True, False])
def test_tool_choice(choice: ToolChoice, parallel: bool | None, expected: Any):
    given = fields(tools=(Tool(name="f"),), tool_choice=choice, parallel_tool_calls=parallel)
    assert (given["tool_choice"], given.get("parallel_tool_calls")) == (expected, parallel)


@pytest.mark.parametrize(
    ("thinking", "facts", "effort", "dropped"),
    [
        *(
            pytest.param(thinking, facts, effort, (), id=f"{thinking} {facts.reasoning}")
            for facts in (Facts(), REASONS)
            for thinking, effort in (
                (Thinking(effort="high"), "high"),
                (Thinking(effort="max"), "xhigh"),
                (Thinking(), "medium"),
                (Thinking(budget=2048), "low"),
                (Thinking(budget=8192), "medium"),
                (Thinking(budget=8193), "high"),
                (Thinking(enabled=False, effort="none"), "none"),
            )
        ),
        pytest.param(Thinking(enabled=False), Facts(), None, (), id="not known to think"),
        pytest.param(Thinking(enabled=False), REASONS, None, ("thinking",), id="thinks anyhow"),
        *(
            pytest.param(
                Thinking(enabled=False, effort=said),
                Facts(reasoning=True, quirks=Quirks(least=least)),
                least or None,
                dropped,
                id=f"{said} is {least}",
            )
            for least, dropped in (
                ("none", ()),
                ("minimal", ()),
                ("low", ("thinking",)),
                ("", ("thinking",)),
            )
            for said in (None, "none")
        ),
        pytest.param(
            Thinking(budget=2048),
            Facts(reasoning=False),
            None,
            ("thinking",),
            id="a model that does not think is not asked to",
        ),
        pytest.param(
            Thinking(enabled=False),
            Facts(reasoning=False),
            None,
            (),
            id="and switching it off is no loss",
        ),
    ],
)
def test_thinking(thinking: Thinking, facts: Facts, effort: str | None, dropped: tuple[str, ...]):
    given = request(thinking=thinking)
    body = rendered(openai_chat.render_request, given, facts)
    assert (body.get("reasoning_effort"), render(given, facts).dropped) == (effort, dropped)


PARAMETERS = {
    "temperature": "0.70",
    "top_p": "0.9",
    "top_k": "5",
    "stop": '["a"]',
    "seed": "1",
    "n": "2",
    "user": '"u"',
    "cache_control": "{}",
}


@pytest.mark.parametrize(
    ("facts", "kept", "dropped"),
    [
        pytest.param(
            Facts(),
            ["temperature", "top_p", "stop", "seed", "n", "user"],
            ("store", "top_k", "cache_control"),
            id="a model that does not reason takes all of OpenAI's",
        ),
        pytest.param(
            OPENAI_REASONS,
            ["top_p", "seed", "n", "user"],
            ("store", "top_k", "cache_control", "temperature", "stop"),
            id="a model that reasons takes not all of them",
        ),
        pytest.param(
            REASONS,
            ["temperature", "top_p", "stop", "seed", "n", "user"],
            ("store", "top_k", "cache_control"),
            id="models of others take all of them while they reason",
        ),
    ],
)
def test_sampling(facts: Facts, kept: list[str], dropped: tuple[str, ...]):
    parameters = {name: raw(value) for name, value in PARAMETERS.items()}
    assert [*fields(facts, parameters=parameters)] == kept
    assert render(request(parameters=parameters, dropped=("store",)), facts).dropped == dropped


@pytest.mark.parametrize(("length", "dropped"), [(64, ()), (65, ("user",))])
def test_a_user_whose_name_is_too_long_for_openai_is_told(length: int, dropped: tuple[str, ...]):
    given = request(parameters={"user": raw('"' + "u" * length + '"')})
    out = render(given)
    assert (b'"user":' in out.body, out.dropped) == (not dropped, dropped)


def test_a_number_stays_as_it_was_written():
    given = request(parameters={"temperature": raw("0.70")})
    assert b'"temperature":0.70' in render(given).body
