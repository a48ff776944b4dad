"""Neutral messages, as the system prompt and the turns that Bedrock takes."""

from typing import Any

import pytest
from msgspec import Raw

from core.dialects.converse.turns import FIRST_TURN, NO_OUTPUT
from core.errors import BadRequestError
from core.neutral import Media, Message, Reasoning, Refusal, Text, Tool, ToolCall, ToolResult
from tests.core.dialects.converse_bodies import (
    CALLED,
    CLAUDE,
    CLOCK,
    HI,
    LLAMA,
    NOVA,
    OWN,
    body,
    content,
    dropped,
    rendered,
    turns,
)

EPHEMERAL = Raw(b'{"type":"ephemeral"}')
POINT = {"cachePoint": {"type": "default"}}


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


def test_the_beginning_of_an_answer_has_no_white_space_at_its_end() -> None:
    last = turns(*HI, Message("assistant", (Text("It is\n", cache_control=EPHEMERAL),)))[-1]
    assert last["content"] == [{"text": "It is"}, POINT]


def test_system_messages_alone_are_no_conversation() -> None:
    with pytest.raises(BadRequestError):
        body(messages=(Message("system", (Text("Be brief."),)),))
