"""A client's generateContent request, read into the neutral form."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from core.dialects import gemini
from core.envelope import split
from core.errors import BadRequestError
from core.neutral import Message, Request, Schema, Text, Thinking, Tool, ToolChoice
from tests.core.dialects.gemini_requests import parse


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
