"""The contents of a generateContent request, read into the neutral form."""

from base64 import b64encode
from typing import Any

import pytest

from core.neutral import Media, Message, Reasoning, Text, ToolCall, ToolResult
from tests.core.dialects.gemini_requests import parse


def parts_of(*parts: Any, role: str = "user") -> tuple[Any, ...]:
    request = parse(contents=[{"role": role, "parts": list(parts)}])
    return request.messages[0].parts


def base64(data: bytes) -> str:
    return b64encode(data).decode()


def test_a_system_instruction_may_be_a_mere_text():
    request = parse(systemInstruction="Be brief.")
    assert request.messages[0] == Message("system", (Text("Be brief."),))


def test_an_empty_system_instruction_is_none():
    assert parse(systemInstruction={"parts": []}).messages == (Message("user", (Text("hi"),)),)


MEDIA = {
    "an image, in the alphabet that everybody takes": (
        {"inlineData": {"mimeType": "image/png", "data": "-_-A", "displayName": "p.png"}},
        Media(kind="image", media_type="image/png", data="+/+A", name="p.png"),
    ),
    "padding that was left out": (
        {"inlineData": {"mimeType": "audio/wav", "data": "AA"}},
        Media(kind="audio", media_type="audio/wav", data="AA=="),
    ),
    "a film": (
        {"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}},
        Media(kind="video", media_type="video/mp4", data="AAAA"),
    ),
    "a document": (
        {"inlineData": {"mimeType": "application/pdf", "data": "AAAA"}},
        Media(kind="document", media_type="application/pdf", data="AAAA"),
    ),
    "a text": (
        {"inlineData": {"mimeType": "text/csv", "data": base64("é,1".encode())}},
        Media(kind="document", media_type="text/plain", data="é,1"),
    ),
    "an address": (
        {"fileData": {"fileUri": "https://a.test/p.jpg", "mimeType": "image/jpeg"}},
        Media(kind="image", media_type="image/jpeg", url="https://a.test/p.jpg"),
    ),
    "an address without a type": (
        {"fileData": {"fileUri": "https://a.test/p"}},
        Media(kind="document", url="https://a.test/p"),
    ),
}


@pytest.mark.parametrize("name", MEDIA)
def test_media(name):
    given, expected = MEDIA[name]
    assert parts_of(given) == (expected,)


def test_calls_without_ids_are_answered_by_name_in_their_order():
    def call(name: str, place: str) -> dict[str, Any]:
        return {"functionCall": {"name": name, "args": {"q": place}}}

    def response(name: str, output: str) -> dict[str, Any]:
        return {"functionResponse": {"name": name, "response": {"output": output}}}

    request = parse(
        contents=[
            {"role": "model", "parts": [call("f", "A"), call("g", "B"), call("f", "C")]},
            {"role": "function", "parts": [response("f", "a"), response("g", "b")]},
            {"role": "tool", "parts": [response("f", "c")]},
        ]
    )
    assert request.messages[0].parts == (
        ToolCall(id="call_0", name="f", arguments='{"q":"A"}'),
        ToolCall(id="call_1", name="g", arguments='{"q":"B"}'),
        ToolCall(id="call_2", name="f", arguments='{"q":"C"}'),
    )
    assert request.messages[1].parts == (
        ToolResult(call_id="call_0", parts=(Text("a"),), name="f"),
        ToolResult(call_id="call_1", parts=(Text("b"),), name="g"),
    )
    assert request.messages[2].parts == (
        ToolResult(call_id="call_2", parts=(Text("c"),), name="f"),
    )


def test_ids_that_were_given_stay_and_the_signature_too():
    call = {"functionCall": {"id": "x1", "name": "f"}, "thoughtSignature": "c2ln"}
    answer = {"functionResponse": {"id": "x1", "name": "f", "response": {"output": "r"}}}
    parts = parts_of(call, answer, role="model")
    assert parts == (
        ToolCall(id="x1", name="f", arguments="{}", signature="c2ln"),
        ToolResult(call_id="x1", parts=(Text("r"),), name="f"),
    )


RESPONSES = {
    "output": ({"output": "r"}, "r", False),
    "result": ({"result": "r"}, "r", False),
    "error": ({"error": "no"}, "no", True),
    "an error that is an object": ({"error": {"a": 1}}, '{"error":{"a":1}}', True),
    "a result that is no text": ({"result": [1]}, '{"result":[1]}', False),
    "anything else": ({"output": "r", "b": 1.0}, '{"output":"r","b":1.0}', False),
    "nothing": ({}, "{}", False),
}


@pytest.mark.parametrize("name", RESPONSES)
def test_a_function_response_is_a_text(name):
    response, text, is_error = RESPONSES[name]
    (result,) = parts_of({"functionResponse": {"id": "x", "name": "f", "response": response}})
    assert result == ToolResult(call_id="x", parts=(Text(text),), is_error=is_error, name="f")


def test_a_function_response_may_hold_media():
    (result,) = parts_of(
        {
            "functionResponse": {
                "id": "x",
                "name": "f",
                "response": {"output": ""},
                "parts": [
                    {"inline_data": {"mime_type": "image/png", "data": "AAAA"}},
                    {"fileData": {"fileUri": "https://a.test/d.pdf"}},
                ],
            }
        }
    )
    assert result.parts == (
        Text(""),
        Media(kind="image", media_type="image/png", data="AAAA"),
        Media(kind="document", url="https://a.test/d.pdf"),
    )


def test_thoughts_say_whose_they_are():
    foreign = base64(b"cutwater:signature:ErUB/+=")
    redacted = base64(b"cutwater:redacted:EmwK")
    assert parts_of(
        {"text": "a", "thought": True, "thoughtSignature": "c2ln"},
        {"text": "b", "thought": True, "thoughtSignature": foreign.replace("+", "-")},
        {"text": "", "thought": True, "thoughtSignature": redacted},
        {"text": "c", "thought": True},
        {"text": "said", "thoughtSignature": "dGV4dA=="},
        {"thoughtSignature": "bG9vc2U="},
        role="model",
    ) == (
        Reasoning(text="a", signature="gemini:c2ln"),
        Reasoning(text="b", signature="ErUB/+="),
        Reasoning(redacted="EmwK"),
        Reasoning(text="c"),
        Text("said"),
        Reasoning(signature="gemini:dGV4dA=="),
        Reasoning(signature="gemini:bG9vc2U="),
    )


def test_a_signature_that_is_no_base64_is_googles_all_the_same():
    (thought,) = parts_of({"text": "a", "thought": True, "thoughtSignature": "?"})
    assert thought == Reasoning(text="a", signature="gemini:?")


def test_a_thought_that_was_streamed_is_put_together():
    foreign = base64(b"cutwater:signature:ErUB")
    assert parts_of(
        {"text": "th", "thought": True},
        {"text": "ink", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": foreign},
        {"text": "next", "thought": True},
        role="model",
    ) == (Reasoning(text="think", signature="ErUB"), Reasoning(text="next"))


def test_what_was_streamed_comes_back_as_one_turn():
    """Google's SDK keeps a turn of the model for each chunk."""
    chunks = [{"text": "Let", "thought": True}, {"text": "Hel"}, {"text": "lo."}, {"text": ""}]
    request = parse(contents=[{"role": "model", "parts": [chunk]} for chunk in chunks])
    assert request.messages == (Message("assistant", (Reasoning(text="Let"), Text("Hello."))),)


def test_what_a_user_said_stays_in_its_parts():
    assert parts_of({"text": "a"}, {"text": "b"}) == (Text("a"), Text("b"))
