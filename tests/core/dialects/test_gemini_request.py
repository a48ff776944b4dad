"""What Google's clients send, read into the neutral form."""

from base64 import b64encode
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from core.dialects import gemini
from core.envelope import split
from core.errors import BadRequestError
from core.neutral import (
    Media,
    Message,
    Reasoning,
    Request,
    Schema,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

HI = [{"role": "user", "parts": [{"text": "hi"}]}]


def parse(**body: Any) -> Request:
    envelope = split(msgspec.json.encode({"contents": HI, **body}))
    envelope["model"], envelope["stream"] = Raw(b'"gemini-x"'), Raw(b"true")
    return gemini.parse_request(envelope)


def parts_of(*parts: Any, role: str = "user") -> tuple[Any, ...]:
    request = parse(contents=[{"role": role, "parts": list(parts)}])
    return request.messages[0].parts


def base64(data: bytes) -> str:
    return b64encode(data).decode()


def test_a_whole_request():
    request = parse(
        systemInstruction={"role": "user", "parts": [{"text": "Be brief."}, {"text": ""}]},
        contents=[
            {"parts": [{"text": "hi"}]},
            {"role": "model", "parts": [{"text": "Hello."}]},
            {"role": "user", "parts": [{"text": "again"}, {"text": ""}]},
        ],
        generationConfig={
            "temperature": 0.50,
            "topP": 0.9,
            "topK": 40,
            "maxOutputTokens": 100,
            "stopSequences": ["END"],
            "candidateCount": 2,
            "seed": 7,
            "presencePenalty": 0.1,
            "frequencyPenalty": 0.2,
            "responseModalities": ["TEXT"],
        },
    )
    assert request == Request(
        model="gemini-x",
        stream=True,
        messages=(
            Message("system", (Text("Be brief."),)),
            Message("user", (Text("hi"),)),
            Message("assistant", (Text("Hello."),)),
            Message("user", (Text("again"),)),
        ),
        max_tokens=100,
        parameters={
            "temperature": Raw(b"0.5"),
            "top_p": Raw(b"0.9"),
            "top_k": Raw(b"40"),
            "stop": Raw(b'["END"]'),
            "n": Raw(b"2"),
            "seed": Raw(b"7"),
            "presence_penalty": Raw(b"0.1"),
            "frequency_penalty": Raw(b"0.2"),
        },
    )


def test_snake_case_says_the_same_as_camel_case():
    snake = parse(
        system_instruction={"parts": {"text": "Be brief."}},
        contents={
            "parts": [
                {"inline_data": {"mime_type": "image/png", "data": "AAAA"}},
                {"function_call": {"name": "f_f", "args": {"a_b": 1}}, "thought_signature": "c2ln"},
            ]
        },
        generation_config={
            "max_output_tokens": 5,
            "stop_sequences": ["a_b"],
            "thinking_config": {"thinking_budget": 9, "include_thoughts": True},
            "response_mime_type": "application/json",
            "response_schema": {"type": "OBJECT", "properties": {"a_b": {"type": "STRING"}}},
        },
        tools=[{"function_declarations": [{"name": "f_f", "parameters_json_schema": {"x": 1}}]}],
        tool_config={"function_calling_config": {"mode": "any", "allowed_function_names": ["f_f"]}},
    )
    camel = parse(
        systemInstruction={"parts": [{"text": "Be brief."}]},
        contents=[
            {
                "parts": [
                    {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                    {
                        "functionCall": {"name": "f_f", "args": {"a_b": 1}},
                        "thoughtSignature": "c2ln",
                    },
                ]
            }
        ],
        generationConfig={
            "maxOutputTokens": 5,
            "stopSequences": ["a_b"],
            "thinkingConfig": {"thinkingBudget": 9, "includeThoughts": True},
            "responseMimeType": "application/json",
            "responseSchema": {"type": "OBJECT", "properties": {"a_b": {"type": "STRING"}}},
        },
        tools=[{"functionDeclarations": [{"name": "f_f", "parametersJsonSchema": {"x": 1}}]}],
        toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f_f"]}},
    )
    assert snake == camel
    assert snake.tool_choice == ToolChoice("named", "f_f")
    assert snake.schema == Schema(
        schema=Raw(b'{"type":"object","properties":{"a_b":{"type":"string"}}}')
    )


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


def test_what_googles_own_tools_did_is_left_out_and_named():
    request = parse(
        contents=[
            {
                "role": "model",
                "parts": [
                    {"executableCode": {"code": "1"}, "thoughtSignature": "c2ln"},
                    {"codeExecutionResult": {"output": "1"}},
                    {"toolCall": {"id": "1"}},
                    {"toolResponse": {"id": "1"}},
                    {"text": "One."},
                ],
            },
            {
                "parts": [
                    {
                        "fileData": {"fileUri": "https://youtu.be/x", "mimeType": "video/mp4"},
                        "videoMetadata": {"fps": 2},
                    }
                ]
            },
        ],
        safetySettings=[{"category": "X"}],
        labels={"a": "b"},
        toolConfig={"includeServerSideToolInvocations": True},
        tools=[{"functionDeclarations": [{"name": "f", "behavior": "BLOCKING", "response": {}}]}],
        generationConfig={"speechConfig": {}, "responseLogprobs": True},
    )
    assert request.messages[0].parts == (Text("One."),)
    assert request.dropped == (
        "safetySettings",
        "labels",
        "speechConfig",
        "responseLogprobs",
        "contents.executableCode",
        "contents.codeExecutionResult",
        "contents.toolCall",
        "contents.toolResponse",
        "contents.videoMetadata",
        "functionDeclarations.response",
        "functionDeclarations.behavior",
        "toolConfig.includeServerSideToolInvocations",
    )


@pytest.mark.parametrize(
    ("config", "thinking"),
    [
        ({}, None),
        ({"thinkingConfig": {}}, None),
        ({"thinkingConfig": {"includeThoughts": False}}, None),
        ({"thinkingConfig": {"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}}, None),
        ({"thinkingConfig": {"includeThoughts": True}}, Thinking(shown=True)),
        ({"thinkingConfig": {"thinkingBudget": 0}}, Thinking(enabled=False)),
        ({"thinkingConfig": {"thinkingBudget": -1}}, Thinking()),
        ({"thinkingConfig": {"thinkingBudget": 2000}}, Thinking(budget=2000)),
        ({"thinkingConfig": {"thinkingLevel": "LOW"}}, Thinking(effort="low")),
    ],
)
def test_thinking(config, thinking):
    assert parse(generationConfig=config).thinking == thinking


@pytest.mark.parametrize(
    ("config", "schema"),
    [
        ({"responseMimeType": "text/plain"}, None),
        ({"responseMimeType": "application/json"}, Schema()),
        (
            {"responseJsonSchema": {"type": "STRING"}},
            Schema(schema=Raw(b'{"type":"STRING"}')),
        ),
        (
            {"responseMimeType": "application/json", "responseSchema": {"type": "STRING"}},
            Schema(schema=Raw(b'{"type":"string"}')),
        ),
    ],
)
def test_structured_output(config, schema):
    assert parse(generationConfig=config).schema == schema


DECLARED = [
    {
        "functionDeclarations": [
            {"name": "f", "description": "d", "parameters": {"type": "OBJECT"}},
            {"name": "g"},
        ]
    },
    {"functionDeclarations": {"name": "h"}},
]
F = Tool(name="f", description="d", schema=Raw(b'{"type":"object"}'))
G, H = Tool(name="g"), Tool(name="h")


@pytest.mark.parametrize(
    ("calling", "tools", "choice"),
    [
        ({}, (F, G, H), None),
        ({"mode": "MODE_UNSPECIFIED"}, (F, G, H), None),
        ({"mode": "AUTO"}, (F, G, H), ToolChoice("auto")),
        ({"mode": "none"}, (F, G, H), ToolChoice("none")),
        ({"mode": "ANY"}, (F, G, H), ToolChoice("required")),
        ({"mode": "ANY", "allowedFunctionNames": ["g"]}, (F, G, H), ToolChoice("named", "g")),
        ({"mode": "ANY", "allowedFunctionNames": ["f", "h"]}, (F, H), ToolChoice("required")),
        ({"mode": "VALIDATED", "allowedFunctionNames": ["f"]}, (F,), ToolChoice("auto")),
    ],
)
def test_tools_and_which_of_them(calling, tools, choice):
    request = parse(tools=DECLARED, toolConfig={"functionCallingConfig": calling})
    assert (request.tools, request.tool_choice) == (tools, choice)


REFUSED: dict[str, tuple[dict[str, Any], str | None]] = {
    "no such role": ({"contents": [{"role": "invalid", "parts": []}]}, "contents[0].role"),
    "contents that are no objects": ({"contents": ["hi"]}, "contents[0]"),
    "parts that are no list": ({"contents": [{"parts": "hi"}]}, "contents[0].parts"),
    "a part of no kind": ({"contents": [{"parts": [{"x": 1}]}]}, "contents[0].parts[0]"),
    "text that is no text": ({"contents": [{"parts": [{"text": 1}]}]}, "text"),
    "a system instruction of images": (
        {"systemInstruction": {"parts": [{"inlineData": {}}]}},
        "systemInstruction.parts[0]",
    ),
    "a call without a name": (
        {"contents": [{"parts": [{"functionCall": {"args": {}}}]}]},
        "contents[0].parts[0].functionCall.name",
    ),
    "arguments that are no object": (
        {"contents": [{"parts": [{"functionCall": {"name": "f", "args": [1]}}]}]},
        "contents[0].parts[0].functionCall.args",
    ),
    "an answer that nobody waits for": (
        {"contents": [{"parts": [{"functionResponse": {"name": "f"}}]}]},
        "contents[0].parts[0].functionResponse.name",
    ),
    "an answer that is no object": (
        {"contents": [{"parts": [{"functionResponse": {"id": "x", "response": "r"}}]}]},
        "contents[0].parts[0].functionResponse",
    ),
    "an answer with a part of no kind": (
        {"contents": [{"parts": [{"functionResponse": {"id": "x", "parts": [{}]}}]}]},
        "contents[0].parts[0].functionResponse",
    ),
    "data without a type": (
        {"contents": [{"parts": [{"inlineData": {"data": "AAAA"}}]}]},
        "contents[0].parts[0].inlineData",
    ),
    "a text that is no base64": (
        {"contents": [{"parts": [{"inlineData": {"mimeType": "text/plain", "data": "?"}}]}]},
        "contents[0].parts[0].inlineData",
    ),
    "a file without an address": (
        {"contents": [{"parts": [{"fileData": {}}]}]},
        "contents[0].parts[0].fileData",
    ),
    "a file that Google holds": (
        {"contents": [{"parts": [{"fileData": {"fileUri": "gs://bucket/a.pdf"}}]}]},
        "contents[0].parts[0].fileData.fileUri",
    ),
    "a cache that Google holds": ({"cachedContent": "cachedContents/1"}, "cachedContent"),
    "a tool that Google runs": ({"tools": [{"google_search": {}}]}, "tools[0].googleSearch"),
    "a function without a name": (
        {"tools": [{"functionDeclarations": [{"description": "d"}]}]},
        "tools[0].functionDeclarations[0].name",
    ),
    "no such mode": (
        {"toolConfig": {"functionCallingConfig": {"mode": "SOME"}}},
        "toolConfig.functionCallingConfig.mode",
    ),
    "images as an answer": (
        {"generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}},
        "generationConfig.responseModalities",
    ),
    "an enum as an answer": (
        {"generationConfig": {"responseMimeType": "text/x.enum"}},
        "generationConfig.responseMimeType",
    ),
    "a config that is no object": ({"generationConfig": []}, "generationConfig"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_other_provider_could_do_is_refused_by_its_name(name):
    body, param = REFUSED[name]
    with pytest.raises(BadRequestError) as caught:
        parse(**body)
    assert caught.value.param == param


@pytest.mark.parametrize("contents", [{}, {"contents": "hi"}, {"contents": 1}])
def test_contents_are_asked_for(contents):
    with pytest.raises(BadRequestError) as caught:
        gemini.check_request(split(msgspec.json.encode(contents)))
    assert caught.value.param == "contents"


@pytest.mark.parametrize("contents", [b"[]", b'{"parts":[]}'])
def test_contents_may_be_one_or_many(contents):
    gemini.check_request({"contents": Raw(contents)})


def test_how_the_client_asked():
    view = gemini.view_of({"model": Raw(b'"gemini-x"'), "stream": Raw(b"true")})
    assert (view.model, view.stream, view.usage_in_stream) == ("gemini-x", True, True)


@pytest.mark.parametrize("asked", [True, False])
def test_arguments_in_pieces_are_googles_alone(asked: bool):
    calling = {"functionCallingConfig": {"streamFunctionCallArguments": asked}}
    body = {"model": "m", "contents": [{"parts": [{"text": "a"}]}], "toolConfig": calling}
    told = gemini.parse_request(split(msgspec.json.encode(body))).dropped
    name = "toolConfig.functionCallingConfig.streamFunctionCallArguments"
    assert told == ((name,) if asked else ())
