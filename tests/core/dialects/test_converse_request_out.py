"""A neutral request, as the body that Bedrock takes."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from core import envelope as envelopes
from core.dialects import converse, openai_chat
from core.dialects.converse.turns import FIRST_TURN, NO_OUTPUT
from core.errors import BadRequestError
from core.neutral import (
    Facts,
    Media,
    Message,
    Part,
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

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "us.amazon.nova-pro-v1:0"
NOVA_2 = "us.amazon.nova-2-lite-v1:0"
LLAMA = "us.meta.llama4-maverick-17b-instruct-v1:0"
MISTRAL = "mistral.mistral-large-3-675b-instruct"
GPT_OSS = "openai.gpt-oss-120b-1:0"
OWN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2"

HI = (Message("user", (Text("hi"),)),)
EPHEMERAL = Raw(b'{"type":"ephemeral"}')
POINT = {"cachePoint": {"type": "default"}}
WEATHER = Tool(name="weather", description="d", schema=Raw(b'{"type":"object"}'))
CLOCK = Tool(name="clock")
CALLED = (
    *HI,
    Message("assistant", (ToolCall(id="t1", name="weather", arguments='{"q":1.50}'),)),
    Message("user", (ToolResult(call_id="t1", parts=(Text("sun"),)),)),
)
SCHEMA = Schema(name="City", schema=Raw(b'{"type": "object"}'))
CLOSED = '{"type":"object","properties":{},"additionalProperties":false}'


def rendered(facts: Facts | None = None, **fields: Any) -> tuple[dict[str, Any], Rendered]:
    request = Request(**{"model": CLAUDE, "messages": HI, **fields})
    out = converse.render_request(request, facts or Facts())
    return msgspec.json.decode(out.body), out


def body(facts: Facts | None = None, **fields: Any) -> dict[str, Any]:
    return rendered(facts, **fields)[0]


def dropped(facts: Facts | None = None, **fields: Any) -> tuple[str, ...]:
    return rendered(facts, **fields)[1].dropped


def turns(*messages: Message, model: str = CLAUDE) -> list[dict[str, Any]]:
    given: list[dict[str, Any]] = body(model=model, messages=messages)["messages"]
    return given


def content(*parts: Part, model: str = CLAUDE) -> list[dict[str, Any]]:
    (turn,) = turns(Message("user", parts), model=model)
    blocks: list[dict[str, Any]] = turn["content"]
    return blocks


def test_the_request_of_the_reference_proxy() -> None:
    chat = {
        "model": "amazon.nova-pro-v1:0",
        "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "hi"}],
        "temperature": 0.2,
        "top_p": 0.5,
        "max_tokens": 9,
        "stop": "X",
        "seed": 1,
    }
    request = openai_chat.parse_request(envelopes.split(msgspec.json.encode(chat)))
    out = converse.render_request(request, Facts())
    assert msgspec.json.decode(out.body) == {
        "messages": [{"role": "user", "content": [{"text": "hi"}]}],
        "system": [{"text": "S"}],
        "inferenceConfig": {
            "maxTokens": 9,
            "temperature": 0.2,
            "topP": 0.5,
            "stopSequences": ["X"],
        },
    }
    assert out.dropped == ("seed",)


def test_neither_the_model_nor_the_stream_is_in_the_body() -> None:
    assert (
        body(stream=True)
        == body()
        == {
            "messages": [{"role": "user", "content": [{"text": "hi"}]}],
            "inferenceConfig": {},
        }
    )


def test_all_system_messages_are_the_system_prompt_in_their_order() -> None:
    given = body(
        messages=(
            Message("system", (Text("one", EPHEMERAL), Text(" "))),
            *HI,
            Message("developer", (Text("two"),)),
        )
    )
    assert given["system"] == [{"text": "one"}, POINT, {"text": "two"}]
    assert len(given["messages"]) == 1


def test_an_image_in_a_system_message_is_refused() -> None:
    picture = Media(kind="image", media_type="image/png", data="AA==")
    with pytest.raises(BadRequestError, match="text"):
        body(messages=(Message("system", (picture,)), *HI))


def test_neighbours_of_one_role_are_one_turn_and_blank_ones_none() -> None:
    assert turns(
        Message("user", (Text("a"),)),
        Message("assistant", (Text(" \n"),)),
        Message("user", (Text("b"), Text(""))),
        Message("assistant", (Text("c"), Refusal("no"))),
    ) == [
        {"role": "user", "content": [{"text": "a"}, {"text": "b"}]},
        {"role": "assistant", "content": [{"text": "c"}, {"text": "no"}]},
    ]


def test_a_conversation_that_an_assistant_began_gets_a_first_turn_and_says_so() -> None:
    began = (Message("assistant", (Text("hello"),)), *HI)
    given, out = rendered(model=NOVA, messages=began)
    assert given["messages"][0] == {"role": "user", "content": [{"text": FIRST_TURN}]}
    assert [turn["role"] for turn in given["messages"]] == ["user", "assistant", "user"]
    assert out.dropped == ("messages.first-turn",)
    given, out = rendered(model=CLAUDE, messages=began)
    assert [turn["role"] for turn in given["messages"]] == ["assistant", "user"]
    assert out.dropped == ()


def test_names_of_speakers_are_dropped_and_named() -> None:
    assert dropped(messages=(Message("user", (Text("a"),), "bob"),)) == ("messages.name",)


def test_calls_and_their_results() -> None:
    assert turns(*CALLED)[1:] == [
        {
            "role": "assistant",
            "content": [{"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"q": 1.5}}}],
        },
        {
            "role": "user",
            "content": [{"toolResult": {"toolUseId": "t1", "content": [{"text": "sun"}]}}],
        },
    ]
    out = rendered(messages=CALLED)[1]
    assert b'{"q":1.50}' in out.body


def test_results_come_first_each_with_its_cache_point() -> None:
    marked = ToolResult(call_id="t1", parts=(), cache_control=EPHEMERAL)
    within = ToolResult(call_id="t2", parts=(Text("a"), Text("b", EPHEMERAL)), is_error=True)
    assert content(Text("and?", EPHEMERAL), marked, within) == [
        {"toolResult": {"toolUseId": "t1", "content": [{"text": NO_OUTPUT}]}},
        POINT,
        {
            "toolResult": {
                "toolUseId": "t2",
                "content": [{"text": "a"}, {"text": "b"}],
                "status": "error",
            }
        },
        POINT,
        {"text": "and?"},
        POINT,
    ]


def test_an_id_is_what_bedrock_takes_and_the_same_for_call_and_result() -> None:
    odd = "call|" + "é" * 80
    given = turns(
        *HI,
        Message("assistant", (ToolCall(id=odd, name="weather", arguments=""),)),
        Message("user", (ToolResult(call_id=odd, parts=()),)),
    )
    call, result = given[1]["content"][0]["toolUse"], given[2]["content"][0]["toolResult"]
    assert call["toolUseId"] == result["toolUseId"] == "_" * 55 + "_9a311775"
    assert call["input"] == {}


def test_arguments_that_are_no_object_are_refused() -> None:
    with pytest.raises(BadRequestError, match="t1"):
        body(messages=(Message("assistant", (ToolCall(id="t1", name="f", arguments="[1]"),)),))


def test_thoughts_go_back_only_to_who_can_read_them() -> None:
    thoughts = (
        Reasoning(text="a", signature="s"),
        Reasoning(redacted="Eu8E/w=="),
        Reasoning(redacted="日本"),
        Reasoning(text="unsigned"),
    )
    given, out = rendered(messages=(*HI, Message("assistant", thoughts)))
    assert given["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "a", "signature": "s"}}},
        {"reasoningContent": {"redactedContent": "RXU4RS93PT0="}},
        {"reasoningContent": {"redactedContent": "5pel5pys"}},
    ]
    assert out.dropped == ("messages.reasoning",)


@pytest.mark.parametrize(
    ("model", "takes"),
    [
        ("anthropic.claude-opus-4-1-20250805-v1:0", True),
        ("arn:aws:bedrock:eu-west-1:1:application-inference-profile/abc", True),
        ("amazon.nova-2-lite-v1:0", True),
        ("amazon.nova-pro-v1:0", False),
        ("us.meta.llama3-3-70b-instruct-v1:0", False),
        ("openai.gpt-oss-120b-1:0", False),
    ],
)
def test_a_model_that_signs_no_thought_is_sent_none(model: str, takes: bool) -> None:
    thoughts = (Reasoning(text="a", signature="s"), Reasoning(redacted="r"), Text("b"))
    given, out = rendered(model=model, messages=(*HI, Message("assistant", thoughts)))
    kinds = [kind for block in given["messages"][1]["content"] for kind in block]
    assert kinds == (["reasoningContent"] * 2 if takes else []) + ["text"]
    assert ("messages.reasoning" in out.dropped) is not takes


@pytest.mark.parametrize(
    ("media", "block"),
    [
        (
            Media(kind="image", media_type="image/jpg", data="AA=="),
            {"image": {"format": "jpeg", "source": {"bytes": "AA=="}}},
        ),
        (
            Media(kind="document", data="AA==", name="Q3_report (v2).final.pdf"),
            {
                "document": {
                    "name": "Q3 report (v2) final",
                    "format": "pdf",
                    "source": {"bytes": "AA=="},
                }
            },
        ),
        (
            Media(kind="document", media_type="text/plain", data="é"),
            {"document": {"name": "document", "format": "txt", "source": {"bytes": "w6k="}}},
        ),
        (
            Media(kind="video", media_type="video/mp4", data="AA=="),
            {"video": {"format": "mp4", "source": {"bytes": "AA=="}}},
        ),
        (
            # A data URL of a video, as an OpenAI client sends it.
            Media(kind="document", media_type="video/mp4", data="AA=="),
            {"video": {"format": "mp4", "source": {"bytes": "AA=="}}},
        ),
        (
            Media(kind="audio", media_type="audio/wav", data="AA=="),
            {"audio": {"format": "wav", "source": {"bytes": "AA=="}}},
        ),
        (
            Media(kind="image", url="s3://bucket/a.JPG"),
            {"image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://bucket/a.JPG"}}}},
        ),
        (
            Media(kind="document", url="s3://bucket/a", media_type="application/pdf", name="a"),
            {
                "document": {
                    "name": "a",
                    "format": "pdf",
                    "source": {"s3Location": {"uri": "s3://bucket/a"}},
                }
            },
        ),
    ],
)
def test_media_are_blocks_of_their_format(media: Media, block: dict[str, Any]) -> None:
    assert content(Text("look"), media) == [{"text": "look"}, block]


def test_names_of_documents_are_unique_in_the_whole_conversation() -> None:
    one = Media(kind="document", data="AA==", name="a.pdf")
    given = turns(
        Message("user", (Text("1"), one, one)),
        Message("assistant", (Text("2"),)),
        Message("user", (Text("3"), one)),
    )
    blocks = [block for turn in given for block in turn["content"] if "document" in block]
    assert [block["document"]["name"] for block in blocks] == ["a", "a 2", "a 3"]


@pytest.mark.parametrize(
    ("media", "why"),
    [
        (Media(kind="image", url="https://x.test/a.png"), "base64"),
        (Media(kind="image", url="s3://bucket/a"), "format"),
        (Media(kind="image"), "base64"),
        (Media(kind="image", media_type="image/tiff", data="AA=="), "image/tiff"),
        (Media(kind="image", data="AA=="), "only"),
    ],
)
def test_media_that_bedrock_cannot_take_are_refused(media: Media, why: str) -> None:
    with pytest.raises(BadRequestError, match=why):
        content(Text("look"), media)


def test_a_document_without_a_text_beside_it_is_refused_except_in_a_result() -> None:
    document = Media(kind="document", data="AA==")
    with pytest.raises(BadRequestError, match="beside a text"):
        content(document)
    assert content(ToolResult(call_id="t", parts=(document,)))


@pytest.mark.parametrize("model", [CLAUDE, OWN])
def test_cache_points_with_their_time(model: str) -> None:
    hour = Raw(b'{"type":"ephemeral","ttl":"1h"}')
    given = body(
        model=model,
        messages=(Message("user", (Text("a", hour),)),),
        tools=(Tool(name="f", cache_control=EPHEMERAL), CLOCK),
    )
    assert given["messages"][0]["content"][1] == {"cachePoint": {"type": "default", "ttl": "1h"}}
    assert given["toolConfig"]["tools"][1] == POINT


@pytest.mark.parametrize(("model", "points"), [(NOVA, 1), (LLAMA, 0)])
def test_where_a_model_takes_no_cache_point_it_is_dropped_and_named(
    model: str, points: int
) -> None:
    given, out = rendered(
        model=model,
        messages=(Message("user", (Text("a", EPHEMERAL),)),),
        tools=(Tool(name="f", cache_control=EPHEMERAL),),
    )
    assert out.body.count(b"cachePoint") == points
    assert len(given["toolConfig"]["tools"]) == 1
    assert out.dropped == ("cache_control",)


def test_a_cache_control_that_is_none_is_refused() -> None:
    with pytest.raises(BadRequestError, match="cache_control"):
        content(Text("a", Raw(b"5")))


def test_tools_are_specs() -> None:
    assert body(tools=(WEATHER, CLOCK))["toolConfig"] == {
        "tools": [
            {
                "toolSpec": {
                    "name": "weather",
                    "description": "d",
                    "inputSchema": {"json": {"type": "object"}},
                }
            },
            {
                "toolSpec": {
                    "name": "clock",
                    "inputSchema": {"json": {"type": "object", "properties": {}}},
                }
            },
        ]
    }


@pytest.mark.parametrize("name", ["a.b", "", "x" * 65, "a\n"])
def test_a_name_that_bedrock_takes_for_no_tool_is_refused(name: str) -> None:
    with pytest.raises(BadRequestError, match="tool named") as caught:
        body(tools=(Tool(name=name),))
    assert caught.value.param == "tools"


def test_strict_tools_only_where_the_model_knows_schemas() -> None:
    strict = Tool(name="f", strict=True)
    native = body(Facts(native_schema=True), tools=(strict,))
    assert native["toolConfig"]["tools"][0]["toolSpec"]["strict"] is True
    given, out = rendered(tools=(strict, strict))
    assert "strict" not in given["toolConfig"]["tools"][0]["toolSpec"]
    assert out.dropped == ("tools.strict",)


AUTO, NONE = ToolChoice("auto"), ToolChoice("none")
REQUIRED, NAMED = ToolChoice("required"), ToolChoice("named", "weather")


@pytest.mark.parametrize(
    ("model", "tools", "choice", "wire"),
    [
        (CLAUDE, 2, None, None),
        (CLAUDE, 2, AUTO, None),
        (CLAUDE, 2, REQUIRED, {"any": {}}),
        (NOVA, 2, NAMED, {"tool": {"name": "weather"}}),
        (OWN, 2, NAMED, {"tool": {"name": "weather"}}),
        (MISTRAL, 2, REQUIRED, {"any": {}}),
        (MISTRAL, 1, NAMED, {"any": {}}),
    ],
)
def test_tool_choice_in_the_words_of_the_model(
    model: str, tools: int, choice: ToolChoice | None, wire: Any
) -> None:
    given, out = rendered(model=model, tools=(WEATHER, CLOCK)[:tools], tool_choice=choice)
    assert given["toolConfig"].get("toolChoice") == wire
    assert out.dropped == ()


@pytest.mark.parametrize(("model", "choice"), [(MISTRAL, NAMED), (LLAMA, REQUIRED), (LLAMA, NAMED)])
def test_a_choice_that_a_model_cannot_be_told_is_dropped_and_named(
    model: str, choice: ToolChoice
) -> None:
    given, out = rendered(model=model, tools=(WEATHER, CLOCK), tool_choice=choice)
    assert "toolChoice" not in given["toolConfig"]
    assert out.dropped == ("tool_choice",)


def test_no_tools_wanted_are_no_tools_sent() -> None:
    given, out = rendered(tools=(WEATHER,), tool_choice=NONE)
    assert "toolConfig" not in given
    assert out.dropped == ()


def test_tools_stay_where_the_conversation_used_some_even_if_none_are_wanted() -> None:
    given, out = rendered(messages=CALLED, tools=(WEATHER, CLOCK), tool_choice=NONE)
    assert len(given["toolConfig"]["tools"]) == 2
    assert "toolChoice" not in given["toolConfig"]
    assert out.dropped == ("tool_choice",)


def test_tools_that_were_used_are_described_though_the_client_no_longer_does() -> None:
    (tool,) = body(messages=CALLED)["toolConfig"]["tools"]
    assert tool["toolSpec"]["name"] == "weather"


def test_one_call_at_a_time_is_nothing_that_converse_can_ask_for() -> None:
    assert dropped(tools=(WEATHER,), parallel_tool_calls=False) == ("parallel_tool_calls",)
    assert dropped(parallel_tool_calls=False) == ()


TEMPERATURE = {"temperature": Raw(b"0.5"), "top_p": Raw(b"0.9"), "top_k": Raw(b"7")}


@pytest.mark.parametrize(
    ("model", "facts", "thinking", "additional", "inference", "lost"),
    [
        (
            CLAUDE,
            Facts(),
            Thinking(effort="medium"),
            {"thinking": {"type": "enabled", "budget_tokens": 2048}},
            {"maxTokens": 4096},
            ("temperature", "top_p", "top_k"),
        ),
        (
            CLAUDE,
            Facts(max_output_tokens=500),
            Thinking(budget=600),
            {"thinking": {"type": "enabled", "budget_tokens": 1024}},
            {"maxTokens": 1536},
            ("temperature", "top_p", "top_k"),
        ),
        (
            CLAUDE,
            Facts(thinking="adaptive"),
            Thinking(effort="minimal"),
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
            {},
            ("temperature", "top_p", "top_k"),
        ),
        (
            CLAUDE,
            Facts(thinking="adaptive"),
            Thinking(),
            {"thinking": {"type": "adaptive"}},
            {},
            ("temperature", "top_p", "top_k"),
        ),
        (
            NOVA_2,
            Facts(),
            Thinking(effort="minimal"),
            {
                "reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"},
                "inferenceConfig": {"topK": 7},
            },
            {"temperature": 0.5, "topP": 0.9},
            (),
        ),
        (
            NOVA_2,
            Facts(),
            Thinking(),
            {
                "reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"},
                "inferenceConfig": {"topK": 7},
            },
            {"temperature": 0.5, "topP": 0.9},
            (),
        ),
        (
            NOVA_2,
            Facts(),
            Thinking(effort="xhigh"),
            {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}},
            {},
            ("temperature", "top_p", "top_k"),
        ),
        (
            GPT_OSS,
            Facts(),
            Thinking(budget=100),
            {"reasoning_effort": "low"},
            {"temperature": 0.5, "topP": 0.9},
            ("top_k",),
        ),
        (
            NOVA,
            Facts(),
            Thinking(effort="low"),
            {"inferenceConfig": {"topK": 7}},
            {"temperature": 0.5, "topP": 0.9},
            ("thinking",),
        ),
        (
            CLAUDE,
            Facts(reasoning=False),
            Thinking(effort="low"),
            {"top_k": 7},
            {"temperature": 0.5, "topP": 0.9},
            ("thinking",),
        ),
        (
            CLAUDE,
            Facts(),
            Thinking(enabled=False),
            {"top_k": 7},
            {"temperature": 0.5, "topP": 0.9},
            (),
        ),
        (
            CLAUDE,
            Facts(thinking="adaptive", sampling=False),
            Thinking(enabled=False),
            {"thinking": {"type": "disabled"}},
            {},
            ("temperature", "top_p", "top_k"),
        ),
    ],
)
def test_thinking_and_what_goes_with_it(
    model: str, facts: Facts, thinking: Thinking, additional: Any, inference: Any, lost: Any
) -> None:
    given, out = rendered(facts, model=model, thinking=thinking, parameters=TEMPERATURE)
    assert given["additionalModelRequestFields"] == additional
    assert given["inferenceConfig"] == inference
    assert out.dropped == lost


def test_thinking_at_temperature_one_loses_nothing() -> None:
    given, out = rendered(thinking=Thinking(), parameters={"temperature": Raw(b"1.0")})
    assert "temperature" not in given["inferenceConfig"]
    assert out.dropped == ()


def test_a_thinking_claude_is_not_forced_to_a_tool() -> None:
    given, out = rendered(thinking=Thinking(), tools=(WEATHER,), tool_choice=REQUIRED)
    assert "toolChoice" not in given["toolConfig"]
    assert out.dropped == ("tool_choice",)


def test_a_nova_that_thinks_hard_has_no_limit() -> None:
    given, out = rendered(model=NOVA_2, thinking=Thinking(effort="high"), max_tokens=9)
    assert given["inferenceConfig"] == {}
    assert out.dropped == ("max_tokens",)


def test_a_temperature_above_one_is_one() -> None:
    given, out = rendered(parameters={"temperature": Raw(b"1.7")})
    assert given["inferenceConfig"] == {"temperature": 1}
    assert out.dropped == ("temperature>1",)


def test_a_temperature_that_is_no_number_is_refused() -> None:
    with pytest.raises(BadRequestError, match="number"):
        body(parameters={"temperature": Raw(b'"hot"')})


def test_claude_is_asked_which_stop_sequence_it_was() -> None:
    stop = {"stop": Raw(b'["X"]')}
    assert body(parameters=stop)["additionalModelResponseFieldPaths"] == ["/stop_sequence"]
    assert "additionalModelResponseFieldPaths" not in body(model=NOVA, parameters=stop)


def test_structured_output_is_a_forced_tool() -> None:
    given, out = rendered(schema=SCHEMA)
    (tool,) = given["toolConfig"]["tools"]
    assert tool["toolSpec"]["name"] == out.tool_as_text == "json"
    assert tool["toolSpec"]["inputSchema"] == {"json": {"type": "object"}}
    assert given["toolConfig"]["toolChoice"] == {"tool": {"name": "json"}}


def test_structured_output_after_tools_were_used_describes_these_too() -> None:
    given = body(schema=Schema(), messages=CALLED)
    names = [tool["toolSpec"]["name"] for tool in given["toolConfig"]["tools"]]
    assert names == ["json", "weather"]


def test_structured_output_while_thinking_does_not_force() -> None:
    given, out = rendered(schema=SCHEMA, thinking=Thinking())
    assert "toolChoice" not in given["toolConfig"]
    assert out.tool_as_text == "json"


@pytest.mark.parametrize("beside", [{"tools": (WEATHER,)}, {"thinking": Thinking()}])
def test_beside_tools_or_thinking_a_schema_is_native_where_the_model_has_that(
    beside: dict[str, Any],
) -> None:
    closed = Schema(name="City", schema=Raw(CLOSED.encode()))
    given, out = rendered(Facts(native_schema=True), schema=closed, **beside)
    assert given["outputConfig"] == {
        "textFormat": {
            "type": "json_schema",
            "structure": {"jsonSchema": {"schema": CLOSED, "name": "City"}},
        }
    }
    assert out.tool_as_text is None


@pytest.mark.parametrize(
    ("facts", "schema"), [(Facts(), SCHEMA), (Facts(native_schema=True), Schema())]
)
def test_structured_output_beside_tools_is_refused_where_there_is_no_way(
    facts: Facts, schema: Schema
) -> None:
    with pytest.raises(BadRequestError, match="structured"):
        body(facts, tools=(WEATHER,), schema=schema)


def test_what_the_client_lost_before_is_named_first() -> None:
    assert dropped(dropped=("mystery",), parameters={"seed": Raw(b"1")}) == ("mystery", "seed")


@pytest.mark.parametrize("ids", [("c|1", "c/1"), ("a" * 70, "b" + "a" * 69)])
def test_ids_that_bedrock_takes_for_one_stay_two(ids: tuple[str, str]) -> None:
    calls = content(*(ToolCall(id=given, name="f", arguments="") for given in ids))
    written = [block["toolUse"]["toolUseId"] for block in calls]
    assert len({*written}) == 2
    assert all(len(given) <= 64 for given in written)


THINKS = Thinking(budget=2000)
LOOP = (*HI, *CALLED)


@pytest.mark.parametrize(
    ("messages", "thinks"),
    [
        (HI, True),
        (LOOP, False),
        ((*HI, Message("assistant", (Text("It is"),))), False),
        ((*LOOP, Message("assistant", (Text("Fine."),)), *HI), True),
    ],
)
def test_claude_thinks_where_what_it_began_began_with_a_thought(
    messages: tuple[Message, ...], thinks: bool
) -> None:
    given, out = rendered(messages=messages, model=CLAUDE, thinking=THINKS, max_tokens=4000)
    assert ("additionalModelRequestFields" in given) is thinks
    assert ("thinking" in out.dropped) is not thinks
    given = body(messages=messages, model=NOVA_2, thinking=THINKS, max_tokens=4000)
    assert "additionalModelRequestFields" in given


def test_a_budget_leaves_room_for_an_answer_within_the_models_limit() -> None:
    facts = Facts(max_output_tokens=32000)
    given, out = rendered(
        facts, model=CLAUDE, messages=HI, thinking=Thinking(budget=32768), max_tokens=32000
    )
    assert given["additionalModelRequestFields"]["thinking"]["budget_tokens"] == 30976
    assert given["inferenceConfig"]["maxTokens"] == 32000
    assert out.dropped == ("thinking>30976",)


def test_the_beginning_of_an_answer_has_no_white_space_at_its_end() -> None:
    last = turns(*HI, Message("assistant", (Text("It is\n", cache_control=EPHEMERAL),)))[-1]
    assert last["content"] == [{"text": "It is"}, POINT]


def test_claude_gets_no_stop_sequence_of_white_space() -> None:
    stops = {"stop": Raw(b'["\\n","END"]')}
    given, out = rendered(model=CLAUDE, messages=HI, parameters=stops)
    assert (given["inferenceConfig"]["stopSequences"], out.dropped) == (["END"], ("stop",))
    given, out = rendered(model=CLAUDE, messages=HI, parameters={"stop": Raw(b'[" "]')})
    assert "stopSequences" not in given["inferenceConfig"]
    given, out = rendered(model=NOVA, messages=HI, parameters=stops)
    assert (given["inferenceConfig"]["stopSequences"], out.dropped) == (["\n", "END"], ())


def test_a_model_that_always_thinks_does_it_as_little_as_it_can_and_says_so() -> None:
    given, out = rendered(model=GPT_OSS, messages=HI, thinking=Thinking(enabled=False))
    assert given["additionalModelRequestFields"] == {"reasoning_effort": "low"}
    assert out.dropped == ("thinking",)


def test_system_messages_alone_are_no_conversation() -> None:
    with pytest.raises(BadRequestError):
        body(messages=(Message("system", (Text("Be brief."),)),))
