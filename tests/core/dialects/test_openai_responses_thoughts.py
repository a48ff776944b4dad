"""What a provider sealed comes back byte for byte, through clients of any format."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dialects import Dialect, load, openai_responses
from core.dialects.openai_responses import thoughts
from core.dialects.openai_responses.thoughts import Piece, ReasoningItem
from core.envelope import split
from core.neutral import Facts, Message, Reasoning, Reply, Request, Text, View, fold, unfold
from core.signatures import OPENAI

ENCRYPTED = "gAAAAABp+/xyz_-=="
ITEM = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [
        {"type": "summary_text", "text": "**First**\n\nthis ☃"},
        {"type": "summary_text", "text": "then that"},
    ],
    "encrypted_content": ENCRYPTED,
}
REASONS = Facts(reasoning=True)


def answer(*items: dict) -> Reply:
    body = {"id": "resp_1", "status": "completed", "output": list(items)}
    return openai_responses.parse_reply(msgspec.json.encode(body))


def second_turn(client: Dialect, body: dict) -> list[dict]:
    """The input that goes upstream when the client sends `body`."""
    request = client.parse_request(split(msgspec.json.encode({"model": "m", **body})))
    rendered = openai_responses.render_request(request, REASONS)
    return msgspec.json.decode(rendered.body)["input"]


def shown(client: Dialect, reply: Reply) -> dict:
    return msgspec.json.decode(client.render_reply(reply, View(model="m")))


def test_a_thought_survives_a_chat_client():
    chat = load("openai_chat")
    message = shown(chat, answer(ITEM))["choices"][0]["message"]
    assert message["reasoning"][0]["content"] == "**First**\n\nthis ☃\n\nthen that"
    assert second_turn(chat, {"messages": [message]})[0] == ITEM


def test_a_thought_survives_an_anthropic_client():
    anthropic = load("anthropic")
    content = shown(anthropic, answer(ITEM))["content"]
    assert content[0]["type"] == "thinking"
    body = {"max_tokens": 9, "messages": [{"role": "assistant", "content": content}]}
    assert second_turn(anthropic, body) == [ITEM]


def test_a_thought_survives_a_client_that_holds_signatures_as_bytes_in_either_alphabet():
    (thought,) = answer(ITEM).choices[0].parts
    assert isinstance(thought, Reasoning)
    assert thought.signature is not None
    other = thought.signature.replace("-", "+").replace("_", "/")
    assert thoughts.provider_item(msgspec.structs.replace(thought, signature=other)) == ITEM


def test_a_thought_without_a_text_or_an_id_comes_back_as_it_was():
    item = {"type": "reasoning", "summary": [], "encrypted_content": ENCRYPTED}
    (thought,) = answer(item).choices[0].parts
    assert isinstance(thought, Reasoning)
    assert thoughts.provider_item(thought) == item


def test_open_thoughts_come_back_as_content():
    item = {
        "type": "reasoning",
        "id": "rs_2",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "hm"}],
    }
    (thought,) = answer(item).choices[0].parts
    assert isinstance(thought, Reasoning)
    assert (thought.text, thoughts.provider_item(thought)) == ("hm", item)


@pytest.mark.parametrize("text", ["changed", "", "**First**\n\nthis ☃--then that"])
def test_a_seal_counts_though_the_client_changed_the_text(text):
    (thought,) = answer(ITEM).choices[0].parts
    assert isinstance(thought, Reasoning)
    item = thoughts.provider_item(msgspec.structs.replace(thought, text=text))
    summary = [{"type": "summary_text", "text": text}] if text else []
    assert item == {**ITEM, "summary": summary}


@pytest.mark.parametrize(
    "thought",
    [
        Reasoning(text="t"),
        Reasoning(text="t", signature="EqQBCgIYAhIM"),
        Reasoning(redacted="r"),
        Reasoning(text="t", signature=OPENAI + "!"),
        Reasoning(text="t", signature=OPENAI + "bm9uZQ=="),
        Reasoning(text="t", signature=OPENAI + "é"),
    ],
)
def test_a_thought_that_another_provider_signed_is_left_out_and_named(thought):
    request = Request(model="m", messages=(Message("assistant", (thought,)),))
    rendered = openai_responses.render_request(request, REASONS)
    assert msgspec.json.decode(rendered.body)["input"] == []
    assert rendered.dropped == ("messages.reasoning",)


def test_a_sealed_thought_is_left_out_where_claude_is_asked_and_named():
    (thought,) = answer(ITEM).choices[0].parts
    request = Request(
        model="m", messages=(Message("user", (Text("x"),)), Message("assistant", (thought,)))
    )
    for name in ("anthropic", "converse"):
        rendered = load(name).render_request(request, Facts())
        assert OPENAI.encode() not in rendered.body
        assert "messages.reasoning" in rendered.dropped


def test_an_item_that_says_nothing_is_no_thought():
    assert answer({"type": "reasoning", "id": "rs_1", "summary": []}).choices[0].parts == ()


@pytest.mark.parametrize(
    "thought",
    [
        Reasoning(text="hm", signature="EqQB+/=="),
        Reasoning(text="", signature="gemini:abc"),
        Reasoning(redacted="data"),
        Reasoning(text="hm", signature=OPENAI + "x"),
    ],
)
def test_a_client_of_responses_gives_back_what_any_provider_signed(thought):
    reply = fold(unfold(Reply(choices=(answer().choices[0],))))
    reply = msgspec.structs.replace(
        reply, choices=(msgspec.structs.replace(reply.choices[0], parts=(thought,)),)
    )
    output = shown(openai_responses, reply)["output"]
    request = openai_responses.parse_request(
        split(msgspec.json.encode({"model": "m", "input": output}))
    )
    assert request.messages == (Message("assistant", (thought,)),)


def test_openais_own_thoughts_are_sealed_when_a_client_moves_to_another_model():
    request = openai_responses.parse_request(
        split(msgspec.json.encode({"model": "m", "input": [ITEM]}))
    )
    assert request.messages == (Message("assistant", answer(ITEM).choices[0].parts),)


def test_a_thought_without_seal_or_text_is_named_when_a_client_sends_it():
    body = {"model": "m", "input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}
    request = openai_responses.parse_request(split(msgspec.json.encode(body)))
    assert request.dropped == ("input.reasoning",)


texts = st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=9), max_size=4)


@given(st.none() | st.text("abc_", min_size=1), texts, texts, st.none() | st.text(min_size=1))
def test_whatever_is_sealed_is_unsealed(identity, summary, content, encrypted):
    item = ReasoningItem(
        id=identity,
        summary=[Piece(text) for text in summary],
        content=[Piece(text) for text in content],
        encrypted_content=encrypted,
    )
    thought = thoughts.neutral_of(item)
    if thought is None or thought.signature is None:
        assert not encrypted
        assert not content
        return
    back = thoughts.provider_item(thought)
    assert back is not None
    assert (back.get("id"), back.get("encrypted_content")) == (identity, encrypted)
    assert [piece["text"] for piece in back["summary"]] == summary
    assert [piece["text"] for piece in back.get("content", [])] == content
