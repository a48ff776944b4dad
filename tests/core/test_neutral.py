"""Folding a stream to a reply, and a reply to a stream."""

import pytest

from core.neutral import (
    Choice,
    Delta,
    Ended,
    Failed,
    Finished,
    FinishReason,
    Media,
    MediaDelta,
    Part,
    Reasoning,
    ReasoningDelta,
    Refusal,
    RefusalDelta,
    Reply,
    Started,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageDelta,
    fold,
    tool_as_text,
    unfold,
)

EARLY, LATE = Usage(input_tokens=4), Usage(input_tokens=4, output_tokens=9)


@pytest.mark.parametrize(
    ("deltas", "parts"),
    [
        pytest.param([TextDelta(0, "a"), TextDelta(0, "b")], [Text("ab")], id="text"),
        pytest.param([RefusalDelta(0, "n"), RefusalDelta(0, "o")], [Refusal("no")], id="a refusal"),
        pytest.param(
            [
                ReasoningDelta(0, "a"),
                ReasoningDelta(0, "b", "s"),
                ReasoningDelta(0, signature="ig"),
                ReasoningDelta(1, redacted="x"),
                ReasoningDelta(1, redacted="y"),
                ReasoningDelta(1),
            ],
            [Reasoning(text="ab", signature="sig"), Reasoning(redacted="xy")],
            id="reasoning, its signature and seal whole or in pieces",
        ),
        pytest.param(
            [
                ToolCallStarted(1, "c1", "f"),
                ToolCallStarted(2, "c2", "g"),
                ToolCallDelta(2, "{}"),
                ToolCallDelta(1, "{"),
                ToolCallDelta(1, "}"),
            ],
            [
                ToolCall(id="c1", name="f", arguments="{}"),
                ToolCall(id="c2", name="g", arguments="{}"),
            ],
            id="parallel calls that take turns",
        ),
        pytest.param(
            [TextDelta(0, "a"), ReasoningDelta(1, "b"), TextDelta(2, "c")],
            [Text("a"), Reasoning(text="b"), Text("c")],
            id="parts stay apart and in order",
        ),
    ],
)
def test_deltas_add_up_to_parts(deltas: list[Delta], parts: list[Part]):
    assert fold([*deltas, Finished("stop")]).choices == (Choice(parts=tuple(parts), reason="stop"),)


def test_a_whole_stream_adds_up_to_a_reply():
    deltas = [
        Started(id="i", model="m", created=5, usage=EARLY),
        TextDelta(0, "b", 1),
        TextDelta(0, "a"),
        Finished("stop", "stop_sequence", "X", 1),
        UsageDelta(LATE),
        Ended(),
    ]
    assert fold(deltas) == Reply(
        id="i",
        model="m",
        created=5,
        choices=(
            Choice(parts=(Text("a"),)),
            Choice(
                parts=(Text("b"),), reason="stop", raw_reason="stop_sequence", stop_sequence="X"
            ),
        ),
        usage=LATE,
    )


@pytest.mark.parametrize(
    ("deltas", "usage"),
    [
        ([Started()], None),
        ([Started(usage=EARLY)], EARLY),
        ([UsageDelta(LATE), Started()], LATE),
        ([Started(usage=EARLY), Failed(500, "x")], EARLY),
    ],
)
def test_usage_is_what_was_told_last(deltas: list[Delta], usage: Usage | None):
    assert fold(deltas).usage == usage


def test_a_choice_without_a_word_is_a_choice():
    assert fold([Finished("stop")]).choices == (Choice(reason="stop"),)


@pytest.mark.parametrize(
    "deltas",
    [[ToolCallDelta(0, "{}")], [TextDelta(0, "a"), ToolCallDelta(0, "{}")]],
)
def test_arguments_of_no_call_are_an_error_of_the_parser(deltas: list[Delta]):
    with pytest.raises(ValueError, match="ToolCallDelta does not continue"):
        fold(deltas)


def test_a_reply_as_the_stream_it_might_have_been():
    reply = Reply(
        id="i",
        model="m",
        created=5,
        choices=(
            Choice(
                parts=(
                    Reasoning(text="why", signature="s"),
                    Text("a"),
                    Refusal("no"),
                    ToolCall(id="c", name="f", arguments="{}"),
                    Media(kind="image", url="https://x.test/i.png"),
                ),
                reason="tool_calls",
                raw_reason="tool_use",
            ),
            Choice(parts=(Text("b"),)),
        ),
        usage=LATE,
    )
    assert list(unfold(reply)) == [
        Started(id="i", model="m", created=5, usage=LATE),
        ReasoningDelta(0, "why", "s"),
        TextDelta(1, "a"),
        RefusalDelta(2, "no"),
        ToolCallStarted(3, "c", "f"),
        ToolCallDelta(3, "{}"),
        MediaDelta(4, Media(kind="image", url="https://x.test/i.png")),
        Finished("tool_calls", "tool_use"),
        TextDelta(0, "b", 1),
        UsageDelta(LATE),
        Ended(),
    ]


def test_a_reply_without_usage_tells_none():
    assert list(unfold(Reply())) == [Started(), Ended()]


def test_the_arguments_of_the_stand_in_are_the_text():
    step = tool_as_text("json")
    deltas = [
        Started(),
        TextDelta(0, "a"),
        ToolCallStarted(1, "t1", "json"),
        ToolCallStarted(2, "t2", "other"),
        ToolCallDelta(1, '{"a"'),
        ToolCallDelta(2, "{}"),
        ToolCallDelta(1, ":1}"),
        Finished("tool_calls", "tool_use"),
        Finished("tool_calls", "tool_use", None, 1),
        Ended(),
    ]
    assert [said for delta in deltas for said in step(delta)] == [
        Started(),
        ToolCallStarted(2, "t2", "other"),
        TextDelta(1, '{"a"'),
        ToolCallDelta(2, "{}"),
        TextDelta(1, ":1}"),
        Finished("stop", "tool_use"),
        Finished("tool_calls", "tool_use", None, 1),
        Ended(),
    ]


@pytest.mark.parametrize("reason", ["length", "content_filter", "stop"])
def test_other_reasons_than_the_call_of_the_stand_in_stay(reason: FinishReason):
    step = tool_as_text("json")
    step(ToolCallStarted(0, "t", "json"))
    assert step(Finished(reason)) == (Finished(reason),)


def test_words_beside_the_stand_in_do_not_spoil_its_json():
    step = tool_as_text("json")
    deltas = [
        TextDelta(0, "Here is the JSON:"),
        ToolCallStarted(1, "t1", "json"),
        ToolCallDelta(1, "{}"),
        TextDelta(2, "Anything else?"),
        ToolCallStarted(3, "t2", "json"),
        ToolCallDelta(3, "{}"),
        Finished("tool_calls"),
    ]
    (choice,) = fold(said for delta in deltas for said in step(delta)).choices
    assert choice.parts == (Text("{}"),)


def test_words_without_the_stand_in_are_the_answer():
    step = tool_as_text("json")
    assert list(step(TextDelta(0, "I can"))) == list(step(TextDelta(0, "not."))) == []
    assert step(Finished("stop")) == (TextDelta(0, "I can"), TextDelta(0, "not."), Finished("stop"))
