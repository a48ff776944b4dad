"""Neutral messages, as the system prompt and the turns that Anthropic takes."""

from typing import Any

import msgspec
import pytest

from core.dialects import anthropic
from core.errors import BadRequestError
from core.neutral import (
    Facts,
    Media,
    Message,
    Part,
    Reasoning,
    Refusal,
    Request,
    Text,
    ToolCall,
    ToolResult,
)
from tests.core.dialects.anthropic_bodies import CACHED, fields, render
from tests.core.dialects.wire import USER, rendered, request, turn


def messages(*given: Message) -> Any:
    return rendered(anthropic.render_request, request(*given))["messages"]


def text(value: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **more}


@pytest.mark.parametrize(
    ("part", "block"),
    [
        pytest.param(
            Text("a", CACHED), text("a", cache_control={"type": "ephemeral"}), id="text, cached"
        ),
        pytest.param(Refusal("no"), text("no"), id="a refusal is text"),
        pytest.param(
            Media(kind="image", media_type="image/png", data="AAAA", cache_control=CACHED),
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"},
                "cache_control": {"type": "ephemeral"},
            },
            id="an image",
        ),
        pytest.param(
            Media(kind="image", url="https://x.test/i.png", detail="low"),
            {"type": "image", "source": {"type": "url", "url": "https://x.test/i.png"}},
            id="an image at a URL",
        ),
        pytest.param(
            Media(kind="document", media_type="application/pdf", data="JVBE", name="a.pdf"),
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
                "title": "a.pdf",
            },
            id="a PDF",
        ),
        pytest.param(
            Media(kind="document", media_type="text/plain", data="a,b"),
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "a,b"},
            },
            id="a text document",
        ),
        pytest.param(
            Reasoning(text="why", signature="sig"),
            {"type": "thinking", "thinking": "why", "signature": "sig"},
            id="thinking with its signature",
        ),
        pytest.param(
            Reasoning(redacted="sealed"),
            {"type": "redacted_thinking", "data": "sealed"},
            id="sealed thinking",
        ),
        pytest.param(
            ToolCall(id="t1", name="f", arguments='{"a": 1}', cache_control=CACHED),
            {
                "type": "tool_use",
                "id": "t1",
                "name": "f",
                "input": {"a": 1},
                "cache_control": {"type": "ephemeral"},
            },
            id="a tool call",
        ),
        *(
            pytest.param(
                ToolCall(id="t1", name="f", arguments=arguments),
                {"type": "tool_use", "id": "t1", "name": "f", "input": {}},
                id=f"a tool call with the arguments {arguments!r} has none",
            )
            for arguments in ("", " \n", "null", "{}")
        ),
        pytest.param(
            ToolResult(call_id="t1", parts=(Text("42"),), is_error=True, cache_control=CACHED),
            {
                "type": "tool_result",
                "tool_use_id": "t1",
                "content": "42",
                "is_error": True,
                "cache_control": {"type": "ephemeral"},
            },
            id="a tool's error",
        ),
        pytest.param(
            ToolResult(call_id="t1", parts=()),
            {"type": "tool_result", "tool_use_id": "t1", "content": ""},
            id="an empty tool result",
        ),
        pytest.param(
            ToolResult(
                call_id="t1",
                parts=(Text("a"), Text(""), Media(kind="image", url="https://x.test/i.png")),
            ),
            {
                "type": "tool_result",
                "tool_use_id": "t1",
                "content": [
                    text("a"),
                    {"type": "image", "source": {"type": "url", "url": "https://x.test/i.png"}},
                ],
            },
            id="a tool result with an image",
        ),
        pytest.param(
            ToolResult(call_id="functions.f:0", parts=(Text("1"),)),
            {"type": "tool_result", "tool_use_id": "functions_f_0_b9a7d792", "content": "1"},
            id="a call's id holds only what Anthropic takes",
        ),
        pytest.param(
            ToolCall(id="functions.f:0", name="f", arguments=""),
            {"type": "tool_use", "id": "functions_f_0_b9a7d792", "name": "f", "input": {}},
            id="a call's id is the same in the call and its result",
        ),
    ],
)
def test_parts(part: Part, block: dict[str, Any]):
    assert messages(turn("user", part)) == [{"role": "user", "content": [block]}]


def test_arguments_are_the_bytes_that_the_model_wrote():
    call = ToolCall(id="t", name="f", arguments='{"b": 1.50, "a":"\\u00e9"}')
    assert b'"input":{"b": 1.50, "a":"\\u00e9"}' in render(request(turn("assistant", call))).body


def test_reasoning_without_a_signature_is_left_out_and_told():
    given = request(USER, turn("assistant", Reasoning(text="a"), Text("b")), USER)
    assert render(given).dropped == ("messages.reasoning",)
    assert messages(*given.messages)[1]["content"] == [text("b")]


@pytest.mark.parametrize("blank", ["", " ", "\n\t"])
def test_a_text_without_a_word_is_left_out(blank: str):
    given = (
        turn("system", Text(blank)),
        turn("user", Text(blank), Text("a")),
        turn("assistant", Text(blank)),
    )
    body = rendered(anthropic.render_request, request(*given))
    assert "system" not in body
    assert body["messages"] == [{"role": "user", "content": [text("a")]}]


def test_system_and_developer_messages_go_to_the_system_prompt_in_order():
    body = rendered(
        anthropic.render_request,
        request(
            turn("system", Text("a", CACHED)),
            turn("user", Text("b")),
            turn("developer", Text("c")),
            turn("user", Text("d")),
        ),
    )
    assert body["system"] == [text("a", cache_control={"type": "ephemeral"}), text("c")]
    assert body["messages"] == [{"role": "user", "content": [text("b"), text("d")]}]


def test_results_come_first_in_the_turn_after_their_calls():
    calls = [ToolCall(id=f"t{n}", name="f", arguments="") for n in (1, 2)]
    given = messages(
        USER,
        turn("assistant", Text("a"), *calls),
        turn("user", ToolResult(call_id="t1", parts=())),
        turn("user", Text("and")),
        turn("user", ToolResult(call_id="t2", parts=())),
    )
    kinds = [[block["type"] for block in message["content"]] for message in given]
    assert kinds == [
        ["text"],
        ["text", "tool_use", "tool_use"],
        ["tool_result", "tool_result", "text"],
    ]


def test_the_order_of_an_interleaved_turn_is_kept():
    (assistant,) = messages(
        turn(
            "assistant",
            Reasoning(text="1", signature="s1"),
            Text("a"),
            Reasoning(redacted="x"),
            ToolCall(id="t1", name="f", arguments=""),
        )
    )
    kinds = [block["type"] for block in assistant["content"]]
    assert kinds == ["thinking", "text", "redacted_thinking", "tool_use"]


def test_a_name_is_told_as_dropped():
    given = request(Message("user", (Text("a"),), "ada"), dropped=("store",))
    assert render(given).dropped == ("store", "messages.name")


def test_the_beginning_of_an_answer_has_no_white_space_at_its_end():
    given = messages(USER, turn("assistant", Text("The answer is: \n")))
    assert given[-1]["content"] == [text("The answer is:")]


def test_white_space_at_the_end_of_an_earlier_answer_stays():
    given = messages(USER, turn("assistant", Text("a ")), USER)
    assert given[1]["content"] == [text("a ")]


@pytest.mark.parametrize(
    ("given", "facts", "expected"),
    [
        pytest.param({}, Facts(), 4096, id="a default"),
        pytest.param({}, Facts(max_output_tokens=64000), 64000, id="the most that the model takes"),
        pytest.param({"max_tokens": 5}, Facts(max_output_tokens=64000), 5, id="what was asked"),
    ],
)
def test_max_tokens_is_always_said(given: dict[str, Any], facts: Facts, expected: int):
    assert fields(facts, **given) == {"max_tokens": expected}


def test_audio_is_a_400():
    audio = Media(kind="audio", media_type="audio/wav", data="UklG")
    with pytest.raises(BadRequestError, match="audio"):
        render(request(turn("user", audio)))


def test_ids_that_differ_in_refused_characters_only_stay_apart():
    calls = tuple(ToolCall(id=name, name="f", arguments="{}") for name in ("a.b", "a_b", "a:b"))
    turns = (Message("user", (Text("x"),)), Message("assistant", calls))
    sent = anthropic.render_request(Request(model="m", messages=turns), Facts())
    body = msgspec.json.decode(sent.body)
    assert len({block["id"] for block in body["messages"][1]["content"]}) == 3


def test_an_image_in_a_system_message_is_refused():
    image = Media(kind="image", media_type="image/png", data="AA")
    with pytest.raises(BadRequestError):
        render(request(turn("system", image), turn("user", Text("hi"))))
