"""What a Converse client says, in the neutral form."""

from base64 import b64encode
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from core import envelope as envelopes
from core.dialects import converse
from core.errors import BadRequestError
from core.neutral import (
    Media,
    Message,
    Part,
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

EPHEMERAL = Raw(b'{"type":"ephemeral"}')


def parse(**fields: Any) -> Request:
    body = {"model": "m", "messages": [], **fields}
    return converse.parse_request(envelopes.split(msgspec.json.encode(body)))


def parts(*blocks: dict[str, Any]) -> tuple[Part, ...]:
    return parse(messages=[{"role": "user", "content": list(blocks)}]).messages[0].parts


def test_the_plain_request() -> None:
    request = parse(
        stream=True,
        system=[{"text": "one"}, {"text": "two"}, {"cachePoint": {"type": "default"}}],
        messages=[
            {"role": "user", "content": [{"text": "hi"}]},
            {"role": "assistant", "content": [{"text": "hello"}]},
            {"role": "system", "content": [{"text": "late"}]},
        ],
        inferenceConfig={"maxTokens": 9, "temperature": 0.5, "topP": 1, "stopSequences": ["X"]},
    )
    assert request == Request(
        model="m",
        stream=True,
        messages=(
            Message("system", (Text("one"),)),
            Message("system", (Text("two", EPHEMERAL),)),
            Message("user", (Text("hi"),)),
            Message("assistant", (Text("hello"),)),
            Message("system", (Text("late"),)),
        ),
        max_tokens=9,
        parameters={"temperature": Raw(b"0.5"), "top_p": Raw(b"1"), "stop": Raw(b'["X"]')},
    )


PDF = b64encode(b"%PDF").decode()


@pytest.mark.parametrize(
    ("block", "part"),
    [
        (
            {"image": {"format": "png", "source": {"bytes": "AA=="}}},
            Media(kind="image", media_type="image/png", data="AA=="),
        ),
        (
            {"document": {"format": "pdf", "name": "a b", "source": {"bytes": PDF}}},
            Media(kind="document", media_type="application/pdf", data=PDF, name="a b"),
        ),
        (
            {"document": {"name": "unsaid", "source": {"bytes": PDF}}},
            Media(kind="document", media_type="application/pdf", data=PDF, name="unsaid"),
        ),
        (
            {"document": {"format": "md", "name": "n", "source": {"bytes": "w6k="}}},
            Media(kind="document", media_type="text/plain", data="é", name="n"),
        ),
        (
            {"document": {"format": "txt", "name": "n", "source": {"text": "said"}}},
            Media(kind="document", media_type="text/plain", data="said", name="n"),
        ),
        (
            {"document": {"name": "n", "source": {"content": [{"text": "a"}, {"text": "b"}]}}},
            Media(kind="document", media_type="text/plain", data="a\nb", name="n"),
        ),
        (
            {"video": {"format": "three_gp", "source": {"bytes": "AA=="}}},
            Media(kind="video", media_type="video/3gpp", data="AA=="),
        ),
        (
            {"audio": {"format": "mp3", "source": {"bytes": "AA=="}}},
            Media(kind="audio", media_type="audio/mp3", data="AA=="),
        ),
        (
            {"audio": {"format": "new", "source": {"bytes": "AA=="}}},
            Media(kind="audio", media_type="audio/new", data="AA=="),
        ),
        (
            {"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": 1.50}}},
            ToolCall(id="t", name="f", arguments='{"a":1.5}'),
        ),
        (
            {"toolUse": {"toolUseId": "t", "name": "f"}},
            ToolCall(id="t", name="f", arguments="{}"),
        ),
        (
            {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
            Reasoning(text="hm", signature="s"),
        ),
        ({"reasoningContent": {"reasoningText": {"text": "hm"}}}, Reasoning(text="hm")),
        ({"reasoningContent": {}}, Reasoning()),
        (
            {"reasoningContent": {"redactedContent": b64encode(b"Eu8E/w==").decode()}},
            Reasoning(redacted="Eu8E/w=="),
        ),
        (
            {"citationsContent": {"content": [{"text": "a"}, {"text": "b"}], "citations": [{}]}},
            Text("ab"),
        ),
        ({"guardContent": {"text": {"text": "g", "qualifiers": ["query"]}}}, Text("g")),
        (
            {"guardContent": {"image": {"format": "jpeg", "source": {"bytes": "AA=="}}}},
            Media(kind="image", media_type="image/jpeg", data="AA=="),
        ),
        (
            {"searchResult": {"source": "u", "title": "t", "content": [{"text": "a"}]}},
            Text("t\nu\na"),
        ),
    ],
)
def test_a_block_is_a_part(block: dict[str, Any], part: Part) -> None:
    assert parts(block) == (part,)


def test_a_guarded_nothing_is_nothing() -> None:
    assert parts({"guardContent": {}}) == ()


def test_a_tools_result_in_all_its_forms() -> None:
    (result,) = parts(
        {
            "toolResult": {
                "toolUseId": "t",
                "status": "error",
                "content": [
                    {"text": "a"},
                    {"json": {"b": 1.0}},
                    {"image": {"format": "gif", "source": {"bytes": "AA=="}}},
                    {"document": {"format": "pdf", "name": "d", "source": {"bytes": PDF}}},
                    {"video": {"format": "mp4", "source": {"bytes": "AA=="}}},
                    {"searchResult": {"source": "u", "title": "t", "content": []}},
                ],
            }
        }
    )
    assert isinstance(result, ToolResult)
    assert result.is_error
    assert [part.text if isinstance(part, Text) else part.media_type for part in result.parts] == [
        "a",
        '{"b":1.0}',
        "image/gif",
        "application/pdf",
        "video/mp4",
        "t\nu",
    ]


@pytest.mark.parametrize(
    "block",
    [
        {"text": "a"},
        {"image": {"format": "gif", "source": {"bytes": "AA=="}}},
        {"toolUse": {"toolUseId": "t", "name": "f", "input": {}}},
        {"toolResult": {"toolUseId": "t", "content": []}},
    ],
)
def test_a_cache_point_marks_the_part_before_it(block: dict[str, Any]) -> None:
    plain, marked = parts(block, block, {"cachePoint": {"type": "default", "ttl": "1h"}})
    assert plain.cache_control is None
    assert marked.cache_control == Raw(b'{"type":"ephemeral","ttl":"1h"}')


def test_a_cache_point_with_nothing_to_close_is_named() -> None:
    point = {"cachePoint": {"type": "default"}}
    thought = {"reasoningContent": {"reasoningText": {"text": "hm"}}}
    request = parse(messages=[{"role": "assistant", "content": [point, thought, point]}])
    assert request.messages[0].parts == (Reasoning(text="hm"),)
    assert request.dropped == ("cachePoint",)


def test_tools_and_what_marks_them() -> None:
    request = parse(
        toolConfig={
            "tools": [
                {"cachePoint": {"type": "default"}},
                {
                    "toolSpec": {
                        "name": "f",
                        "description": "d",
                        "inputSchema": {"json": {"type": "object"}},
                        "strict": True,
                    }
                },
                {"cachePoint": {"type": "default"}},
                {"toolSpec": {"name": "g"}},
                {"newKind": {}},
            ]
        }
    )
    assert request.tools == (
        Tool(
            name="f",
            description="d",
            schema=Raw(b'{"type":"object"}'),
            strict=True,
            cache_control=EPHEMERAL,
        ),
        Tool(name="g"),
    )
    assert request.tool_choice is None


@pytest.mark.parametrize(
    ("choice", "neutral"),
    [
        ({"auto": {}}, ToolChoice("auto")),
        ({"any": {}}, ToolChoice("required")),
        ({"tool": {"name": "f"}}, ToolChoice("named", "f")),
        ({}, None),
    ],
)
def test_tool_choice(choice: dict[str, Any], neutral: ToolChoice | None) -> None:
    assert parse(toolConfig={"tools": [], "toolChoice": choice}).tool_choice == neutral


@pytest.mark.parametrize(
    ("fields", "output", "thinking"),
    [
        ({}, {}, None),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 1024}},
            {},
            Thinking(budget=1024, shown=True),
        ),
        (
            {"reasoning_config": {"type": "enabled", "budget_tokens": 9}},
            {},
            Thinking(budget=9, shown=True),
        ),
        ({"thinking": {"type": "disabled"}}, {}, Thinking(enabled=False)),
        (
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
            {},
            Thinking(effort="high", shown=True),
        ),
        ({}, {"effort": "low"}, Thinking(effort="low")),
        (
            {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}},
            {},
            Thinking(effort="low", shown=True),
        ),
        ({"reasoning_effort": "medium"}, {}, Thinking(effort="medium")),
    ],
)
def test_thinking_as_each_family_asks_for_it(
    fields: dict[str, Any], output: dict[str, Any], thinking: Thinking | None
) -> None:
    request = parse(additionalModelRequestFields=fields, outputConfig=output)
    assert request.thinking == thinking
    assert request.dropped == ()


@pytest.mark.parametrize("fields", [{"top_k": 5}, {"inferenceConfig": {"topK": 5}}])
def test_top_k_as_each_family_asks_for_it(fields: dict[str, Any]) -> None:
    assert parse(additionalModelRequestFields=fields).parameters == {"top_k": Raw(b"5")}


def test_a_schema() -> None:
    wanted = {"name": "City", "description": "d", "schema": '{"type": "object"}'}
    output = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": wanted}}}
    assert parse(outputConfig=output).schema == Schema(
        name="City", description="d", schema=Raw(b'{"type": "object"}'), strict=True
    )


def test_what_has_no_place_elsewhere_is_named() -> None:
    request = parse(
        requestMetadata={"a": "b"},
        serviceTier={"type": "default"},
        performanceConfig={"latency": "standard"},
        additionalModelResponseFieldPaths=["/x"],
        additionalModelRequestFields={"anthropic_beta": ["x"]},
        messages=[
            {
                "role": "user",
                "content": [
                    {
                        "document": {
                            "name": "d",
                            "source": {"text": "t"},
                            "citations": {"enabled": True},
                        }
                    },
                    {"document": {"name": "e", "source": {"text": "t"}, "context": "c"}},
                    {"toolUse": {"toolUseId": "t", "name": "f", "type": "server_tool_use"}},
                    {"toolResult": {"toolUseId": "t", "type": "nova_result", "content": []}},
                ],
            }
        ],
    )
    assert request.dropped == (
        "requestMetadata",
        "serviceTier",
        "performanceConfig",
        "additionalModelResponseFieldPaths",
        "additionalModelRequestFields.anthropic_beta",
        "messages.document.citations",
        "messages.server_tool_use",
        "messages.nova_result",
    )
    assert len(request.messages[0].parts) == 2


def said(block: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [block]}]}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"guardrailConfig": {}}, "guardrailConfig"),
        ({"promptVariables": {}}, "promptVariables"),
        (
            {"toolConfig": {"tools": [{"systemTool": {"name": "nova_grounding"}}]}},
            "toolConfig.tools[0].systemTool",
        ),
        (said({"toolAddition": {}}), "messages[0].content[0].toolAddition"),
        (said({"text": 5}), "messages[0].content[0].text"),
        (said({"cachePoint": 5}), "messages[0].content[0].cachePoint"),
        (
            said({"image": {"format": "png", "source": {"s3Location": {"uri": "s3://a/b"}}}}),
            "messages[0].content[0].image.source",
        ),
        (said({"image": {"source": {}}}), "messages[0].content[0].image.source"),
        (
            said({"document": {"format": "txt", "name": "n", "source": {"bytes": "%"}}}),
            "messages[0].content[0].document.source.bytes",
        ),
        (
            said({"document": {"format": "txt", "name": "n", "source": {"bytes": "/w=="}}}),
            "messages[0].content[0].document.source.bytes",
        ),
        ({"messages": [{"role": "tool", "content": []}]}, "messages"),
        (
            {"outputConfig": {"textFormat": {"structure": {"jsonSchema": {"schema": "{"}}}}},
            "outputConfig.textFormat.structure.jsonSchema.schema",
        ),
        ({"inferenceConfig": {"maxTokens": "many"}}, "maxTokens"),
    ],
)
def test_what_cannot_be_said_elsewhere_is_refused_by_name(
    fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(BadRequestError) as caught:
        parse(**fields)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("body", "good"),
    [
        (b'{"model":"m","messages":[]}', True),
        (b'{"model":"arn:aws:bedrock:us-east-1:1:prompt/ABC:1","promptVariables":{}}', True),
        (b'{"model":"m"}', False),
        (b'{"model":"m","messages":"hi"}', False),
    ],
)
def test_only_a_stored_prompt_needs_no_messages(body: bytes, good: bool) -> None:
    fields = envelopes.split(body)
    if good:
        converse.check_request(fields)
        return
    with pytest.raises(BadRequestError, match="messages"):
        converse.check_request(fields)


def test_the_view() -> None:
    view = converse.view_of(envelopes.split(b'{"model":"m","stream":true}'))
    assert (view.model, view.stream, view.usage_in_stream) == ("m", True, True)
