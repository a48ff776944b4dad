"""What is sent to Google."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from core.dialects import gemini
from core.envelope import split
from core.errors import BadRequestError
from core.neutral import (
    Facts,
    Media,
    Message,
    Part,
    Reasoning,
    Refusal,
    Request,
    Schema,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from core.signatures import into_id, of_google

PLAIN = Facts()
HI = (Message("user", (Text("hi"),)),)


def render(request: Request, facts: Facts = PLAIN) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(gemini.render_request(request, facts).body)
    return body


def dropped(request: Request, facts: Facts = PLAIN) -> tuple[str, ...]:
    return gemini.render_request(request, facts).dropped


def contents(*messages: Message, facts: Facts = PLAIN) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = render(Request(model="m", messages=messages), facts)["contents"]
    return found


def model_parts(*parts: Part, facts: Facts = PLAIN) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = contents(Message("assistant", parts), facts=facts)[0]["parts"]
    return found


def test_the_least_request_is_the_references():
    assert render(Request(model="m", messages=HI, stream=True)) == {
        "contents": [{"parts": [{"text": "hi"}], "role": "user"}],
        "generationConfig": {},
    }


def test_a_whole_request():
    request = Request(
        model="m",
        messages=(
            Message("system", (Text("One."), Text(""))),
            Message("developer", (Text("Two."),)),
            Message("user", (Text("a"),)),
            Message("user", (Text("b"),), name="Ann"),
            Message("assistant", (Text("c"), Refusal("d"))),
            Message("system", (Text("Three."), Media(kind="image", url="https://a.test/p.png"))),
            Message("user", ()),
        ),
        parallel_tool_calls=False,
        max_tokens=10,
        parameters={
            "temperature": Raw(b"0.50"),
            "stop": Raw(b'["END"]'),
            "n": Raw(b"2"),
            "user": Raw(b'"u"'),
            "logprobs": Raw(b"true"),
        },
        dropped=("store",),
    )
    rendered = gemini.render_request(request, Facts())
    assert b'"temperature":0.50' in rendered.body
    assert msgspec.json.decode(rendered.body) == {
        "systemInstruction": {"parts": [{"text": "One."}, {"text": "Two."}, {"text": "Three."}]},
        "contents": [
            {"parts": [{"text": "a"}, {"text": "b"}], "role": "user"},
            {"parts": [{"text": "c"}, {"text": "d"}], "role": "model"},
        ],
        "generationConfig": {
            "temperature": 0.5,
            "stopSequences": ["END"],
            "candidateCount": 2,
            "maxOutputTokens": 10,
        },
    }
    assert rendered.dropped == (
        "store",
        "user",
        "logprobs",
        "parallel_tool_calls",
        "messages.name",
        "messages.system.media",
    )


def test_an_answer_names_the_function_that_was_called():
    assert contents(
        Message(
            "assistant",
            (
                ToolCall(id="call_1", name="lookup", arguments='{"q":"A"}'),
                ToolCall(id="call_2", name="other", arguments=""),
            ),
        ),
        Message("user", (ToolResult(call_id="call_1", parts=(Text("r1"),)),)),
        Message("user", (ToolResult(call_id="call_2", parts=(), is_error=True),)),
        Message("user", (ToolResult(call_id="call_9", parts=(Text("[1]"),), name="third"),)),
        Message("user", (ToolResult(call_id="call_8", parts=(Text('{"a":1}'),)),)),
    ) == [
        {
            "role": "model",
            "parts": [
                {"functionCall": {"id": "call_1", "name": "lookup", "args": {"q": "A"}}},
                {"functionCall": {"id": "call_2", "name": "other", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": i, "name": name, "response": response}}
                for i, name, response in (
                    ("call_1", "lookup", {"output": "r1"}),
                    ("call_2", "other", {"error": ""}),
                    ("call_9", "third", {"output": "[1]"}),
                    ("call_8", "call_8", {"a": 1}),
                )
            ],
        },
    ]


def test_a_call_without_an_id_gets_none():
    (part,) = model_parts(ToolCall(id="", name="f", arguments="{}"))
    assert part == {"functionCall": {"name": "f", "args": {}}}


def test_arguments_that_are_no_object_are_refused():
    with pytest.raises(BadRequestError):
        model_parts(ToolCall(id="c", name="f", arguments="[1]"))


def test_a_picture_that_a_tool_found_stands_beside_the_answer():
    picture = Media(kind="image", media_type="image/png", data="AAAA")
    (content,) = contents(
        Message(
            "user",
            (
                ToolResult(call_id="c", parts=(Text("see"), picture), name="f"),
                Text("What is it?"),
            ),
        )
    )
    assert content["parts"] == [
        {"functionResponse": {"id": "c", "name": "f", "response": {"output": "see"}}},
        {"text": "What is it?"},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
    ]


@pytest.mark.parametrize(
    ("media", "part"),
    [
        (
            Media(kind="document", media_type="text/plain", data="é"),
            {"inlineData": {"mimeType": "text/plain", "data": "w6k="}},
        ),
        (
            Media(kind="video", media_type="video/mp4", url="https://youtu.be/x"),
            {"fileData": {"fileUri": "https://youtu.be/x", "mimeType": "video/mp4"}},
        ),
        (
            Media(kind="image", url="https://a.test/p.JPG?x=.y#z"),
            {"fileData": {"fileUri": "https://a.test/p.JPG?x=.y#z", "mimeType": "image/jpeg"}},
        ),
        (
            Media(kind="image", url="https://a.test/p"),
            {"fileData": {"fileUri": "https://a.test/p"}},
        ),
    ],
)
def test_media(media, part):
    assert contents(Message("user", (media,)))[0]["parts"] == [part]


def test_the_order_of_the_conversation_is_kept():
    image = Media(kind="image", media_type="image/png", data="AAAA")
    said = contents(
        Message("user", (Text("first"),)),
        Message("assistant", (Text("second"),)),
        Message("user", (image, Text("third"))),
    )
    assert [content["role"] for content in said] == ["user", "model", "user"]
    assert [*said[2]["parts"][0]] == ["inlineData"]


# --- Signatures ---------------------------------------------------------------------------------


def test_signatures_come_back_where_they_were():
    assert model_parts(
        Reasoning(text="th", signature=of_google("A+/=")),
        Text("Let me see."),
        Reasoning(signature=of_google("B")),
        ToolCall(id=into_id("x1", "C+/="), name="f", arguments="{}"),
        ToolCall(id="x2", name="f", arguments="{}", signature="D"),
    ) == [
        {"text": "th", "thought": True, "thoughtSignature": "A+/="},
        {"text": "Let me see.", "thoughtSignature": "B"},
        {"functionCall": {"id": "x1", "name": "f", "args": {}}, "thoughtSignature": "C+/="},
        {"functionCall": {"id": "x2", "name": "f", "args": {}}, "thoughtSignature": "D"},
    ]


def test_an_answer_finds_its_call_without_the_signature():
    call_id = into_id("x1", "C")
    said = contents(
        Message("assistant", (ToolCall(id=call_id, name="f", arguments="{}"),)),
        Message("user", (ToolResult(call_id=call_id, parts=(Text("r"),)),)),
    )
    response = {"id": "x1", "name": "f", "response": {"output": "r"}}
    assert said[1]["parts"] == [{"functionResponse": response}]


def test_a_signature_that_a_client_moved_to_the_front_finds_its_text():
    assert model_parts(
        Reasoning(signature=of_google("A")), Reasoning(signature=of_google("B")), Text("said")
    ) == [
        {"text": "said", "thoughtSignature": "B"},
        {"text": "", "thoughtSignature": "A"},
    ]


def test_a_signature_whose_text_is_gone_is_sent_all_the_same():
    assert model_parts(Reasoning(signature=of_google("A"))) == [
        {"text": "", "thoughtSignature": "A"}
    ]


def test_the_signature_of_another_provider_stays_here():
    assert model_parts(
        Reasoning(text="th", signature="ErUB"), Reasoning(signature="EmwK"), Text("said")
    ) == [{"text": "th", "thought": True}, {"text": "said"}]


def test_a_call_of_another_model_is_passed_by_the_validator():
    facts = Facts(thinking="level")
    first, second = model_parts(
        ToolCall(id="1", name="f", arguments="{}"),
        ToolCall(id="2", name="f", arguments="{}"),
        facts=facts,
    )
    assert first["thoughtSignature"] == "skip_thought_signature_validator"
    assert "thoughtSignature" not in second
    (signed,) = model_parts(ToolCall(id="1", name="f", arguments="{}", signature="S"), facts=facts)
    assert signed["thoughtSignature"] == "S"
    assert model_parts(Text("said"), facts=facts) == [{"text": "said"}]


# --- Tools, schemas, thinking -------------------------------------------------------------------


def test_tools():
    request = Request(
        model="m",
        messages=HI,
        tools=(
            Tool(name="f", description="d", schema=Raw(b'{"type":"object","properties":{}}')),
            Tool(name="g", schema=Raw(b'{"properties":{"a":{"const":"x"}}}')),
            Tool(name="h"),
        ),
    )
    body = render(request)
    assert body["tools"] == [
        {
            "function_declarations": [
                {"name": "f", "description": "d"},
                {"name": "g", "parameters": {"properties": {"a": {"enum": ["x"]}}}},
                {"name": "h"},
            ]
        }
    ]
    assert "tool_config" not in body


@pytest.mark.parametrize(
    ("choice", "calling"),
    [
        (ToolChoice("auto"), {"mode": "AUTO"}),
        (ToolChoice("none"), {"mode": "NONE"}),
        (ToolChoice("required"), {"mode": "ANY"}),
        (ToolChoice("named", "f"), {"mode": "ANY", "allowed_function_names": ["f"]}),
    ],
)
def test_which_tool(choice, calling):
    request = Request(model="m", messages=HI, tools=(Tool(name="f"),), tool_choice=choice)
    assert render(request)["tool_config"] == {"function_calling_config": calling}


@pytest.mark.parametrize(
    ("schema", "config"),
    [
        (Schema(), {"response_mime_type": "application/json"}),
        (
            Schema(schema=Raw(b'{"type":"object","additionalProperties":false}')),
            {"response_mime_type": "application/json", "response_schema": {"type": "object"}},
        ),
    ],
)
def test_structured_output(schema, config):
    assert render(Request(model="m", messages=HI, schema=schema))["generationConfig"] == config


FLASH = Facts(reasoning=True, budgets=(1, 24576))
PRO = Facts(reasoning=True, budgets=(128, 32768), always_thinks=True)
LEVELS = Facts(reasoning=True, thinking="level", levels=("low", "high"))
FINE = Facts(reasoning=True, thinking="level", levels=("minimal", "low", "medium", "high"))
SHOWN = {"includeThoughts": True}
THINKING: list[tuple[Thinking, Facts, int | None, dict[str, Any] | None, tuple[str, ...]]] = [
    (Thinking(effort="medium"), FLASH, 1000, {**SHOWN, "thinkingBudget": 500}, ()),
    (Thinking(effort="low"), Facts(), None, {**SHOWN, "thinkingBudget": 204}, ()),
    (Thinking(effort="unheard-of"), Facts(), 100, {**SHOWN, "thinkingBudget": 50}, ()),
    (Thinking(effort="high"), FLASH, 60000, {**SHOWN, "thinkingBudget": 24576}, ()),
    (Thinking(budget=10), PRO, None, {**SHOWN, "thinkingBudget": 128}, ()),
    (Thinking(budget=2000), FLASH, None, {**SHOWN, "thinkingBudget": 2000}, ()),
    (Thinking(), FLASH, 10, {**SHOWN, "thinkingBudget": 1024}, ()),
    (Thinking(enabled=False), FLASH, None, {"thinkingBudget": 0}, ()),
    (Thinking(enabled=False), PRO, None, {"thinkingBudget": 128}, ("thinking",)),
    (Thinking(enabled=False), LEVELS, None, {"thinkingLevel": "low"}, ("thinking",)),
    (Thinking(enabled=False), FINE, None, {"thinkingLevel": "minimal"}, ()),
    (Thinking(effort="minimal"), LEVELS, None, {**SHOWN, "thinkingLevel": "low"}, ()),
    (Thinking(effort="medium"), LEVELS, None, {**SHOWN, "thinkingLevel": "high"}, ()),
    (Thinking(effort="medium"), FINE, None, {**SHOWN, "thinkingLevel": "medium"}, ()),
    (Thinking(effort="max"), FINE, None, {**SHOWN, "thinkingLevel": "high"}, ()),
    (Thinking(budget=1500), FINE, None, {**SHOWN, "thinkingLevel": "low"}, ()),
    (Thinking(budget=90000), FINE, None, {**SHOWN, "thinkingLevel": "high"}, ()),
    (Thinking(), FINE, None, SHOWN, ()),
    (Thinking(), Facts(reasoning=False), None, None, ("thinking",)),
    (Thinking(enabled=False), Facts(reasoning=False), None, None, ()),
]


@pytest.mark.parametrize(("thinking", "facts", "most", "config", "lost"), THINKING)
def test_thinking(thinking, facts, most, config, lost):
    request = Request(model="m", messages=HI, thinking=thinking, max_tokens=most)
    assert render(request, facts)["generationConfig"].get("thinkingConfig") == config
    assert dropped(request, facts) == lost


def test_what_is_rendered_reads_as_what_it_was():
    request = Request(
        model="m",
        messages=(
            Message("system", (Text("Be brief."),)),
            Message("user", (Text("hi"), Media(kind="image", media_type="image/png", data="AAAA"))),
            Message(
                "assistant",
                (
                    Reasoning(text="th", signature=of_google("A")),
                    Text("so"),
                    ToolCall(id="c1", name="f", arguments='{"a":1.50}', signature="B"),
                ),
            ),
            Message("user", (ToolResult(call_id="c1", parts=(Text("r"),), name="f"),)),
        ),
        tools=(
            Tool(name="f", schema=Raw(b'{"type":"object","properties":{"a":{"type":"number"}}}')),
        ),
        tool_choice=ToolChoice("required"),
        max_tokens=100,
        thinking=Thinking(budget=2000, shown=True),
        schema=Schema(schema=Raw(b'{"type":"string"}')),
        parameters={"temperature": Raw(b"0.50"), "seed": Raw(b"1")},
    )
    envelope = split(gemini.render_request(request, Facts()).body)
    envelope["model"], envelope["stream"] = Raw(b'"m"'), Raw(b"false")
    assert gemini.parse_request(envelope) == request


def test_system_messages_alone_are_no_conversation():
    with pytest.raises(BadRequestError):
        gemini.render_request(
            Request(model="m", messages=(Message("system", (Text("Be brief."),)),)), Facts()
        )


def test_what_another_provider_sealed_is_told():
    parts = (Reasoning(redacted="x"), Reasoning(signature="s"), Text("a"))
    given = (Message("user", (Text("q"),)), Message("assistant", parts))
    out = gemini.render_request(Request(model="m", messages=given), Facts())
    assert out.dropped == ("messages.reasoning",)


def test_a_wish_to_think_and_a_schema_are_both_told_as_lost():
    given = Request(
        model="m",
        messages=(Message("user", (Text("q"),)),),
        thinking=Thinking(),
        schema=Schema(schema=Raw(b'{"type":"object","not":{"required":["a"]}}')),
    )
    out = gemini.render_request(given, Facts(reasoning=False))
    assert sorted(out.dropped) == ["schema.not", "thinking"]
