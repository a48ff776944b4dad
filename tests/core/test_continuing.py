"""An answer that broke off and another run of a model: joined where they agree, or not at all."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import continuing, plan, routes
from core.continuing import (
    Continuation,
    Disagree,
    EchoMatcher,
    Emit,
    Matcher,
    Said,
    Shadow,
    Swallow,
    TailMatcher,
)
from core.dialects import load
from core.health import Board
from core.neutral import (
    CitationDelta,
    Ended,
    Failed,
    Finished,
    Media,
    MediaDelta,
    Message,
    ReasoningDelta,
    RefusalDelta,
    Request,
    Schema,
    Started,
    Text,
    TextDelta,
    Thinking,
    ToolCallDelta,
    ToolCallStarted,
    ToolChoice,
    Usage,
    UsageDelta,
    View,
    fold,
)
from core.neutral.parts import Citation
from core.sse import Framer, parse
from tests.driving import found, organisation

QUESTION = Request(model="m", messages=(Message("user", (Text("Say it."),)),), stream=True)


def said(*deltas):
    told = Said()
    for delta in deltas:
        told.feed(delta)
    return told


def target(model, kind, dialect=None):
    org = organisation({"type": kind, "name": "e", "secret": "s", **EXTRA.get(kind, {})})
    candidate = found(org, Board(), model)[0].candidate
    return candidate, dialect or candidate.dialect


EXTRA = {"bedrock": {"metadata": {"region": "us-east-1", "access_key": "AK"}}}
HELLO = TextDelta(0, "Hello, this is what was said. ")

TARGETS = [
    ("claude-sonnet-4-5", "anthropic", "prefill"),
    ("claude-3-5-haiku-20241022", "anthropic", "prefill"),
    ("claude-opus-4-20250514", "anthropic", "prefill"),
    ("claude-opus-4-1-20250805", "anthropic", "prefill"),
    ("claude-opus-4-6", "anthropic", "match"),
    ("claude-sonnet-4-6", "anthropic", "match"),
    ("claude-opus-4-7", "anthropic", "match"),
    ("claude-sonnet-5", "anthropic", "match"),
    ("us.anthropic.claude-sonnet-4-20250514-v1:0", "bedrock", "prefill"),
    ("us.anthropic.claude-opus-4-6-v1", "bedrock", "match"),
    ("amazon.nova-pro-v1:0", "bedrock", "match"),
    ("mistral-large-latest", "mistral", "prefix"),
    ("gpt-4o", "openai", "match"),
    ("gemini-2.5-flash", "google", "match"),
    ("deepseek-chat", "deepseek", "match"),
]


@pytest.mark.parametrize(("model", "kind", "how"), TARGETS)
def test_a_target_is_given_what_was_said_where_it_goes_on_from_there(model, kind, how):
    assert continuing.method(said(HELLO), QUESTION, *target(model, kind)) == how


PLAIN = [
    {"thinking": Thinking(budget=1024)},
    {"schema": Schema()},
    {"tool_choice": ToolChoice("required")},
    {"messages": ()},
    {"messages": (*QUESTION.messages, Message("assistant", (Text("{"),)))},
]


@pytest.mark.parametrize("change", PLAIN)
def test_where_prefill_would_be_refused_the_answer_is_compared(change):
    request = msgspec.structs.replace(QUESTION, **change)
    at = target("claude-sonnet-4-5", "anthropic")
    assert continuing.method(said(HELLO), request, *at) == "match"


def test_white_space_alone_is_nothing_to_go_on_from():
    at = target("claude-sonnet-4-5", "anthropic")
    assert continuing.method(said(TextDelta(0, " \n")), QUESTION, *at) == "match"
    mistral = target("mistral-large-latest", "mistral")
    assert continuing.method(said(TextDelta(0, "Short")), QUESTION, *mistral) == "match"


UNJOINED = [
    (HELLO, ToolCallStarted(1, "id", "f")),
    (HELLO, ToolCallStarted(1, "id", "f"), ToolCallDelta(1, '{"a"')),
    (ReasoningDelta(0, "Hm", signature="s"), TextDelta(1, "So")),
    (ReasoningDelta(0, redacted="x"), TextDelta(1, "So")),
    (ReasoningDelta(0, "Hm"),),
    (HELLO, ReasoningDelta(1, "Hm")),
    (HELLO, RefusalDelta(1, "No")),
    (HELLO, MediaDelta(1, Media(kind="image", data="AA=="))),
    (HELLO, TextDelta(0, "Another", choice=1)),
    (HELLO, Finished("stop")),
]


@pytest.mark.parametrize("deltas", UNJOINED)
def test_calls_and_thoughts_and_second_choices_are_never_joined(deltas):
    for model, kind in (("claude-sonnet-4-5", "anthropic"), ("gpt-4o", "openai")):
        assert continuing.method(said(*deltas), QUESTION, *target(model, kind)) is None


def test_an_answer_of_several_choices_is_never_joined():
    request = msgspec.structs.replace(QUESTION, parameters={"n": msgspec.Raw(b"2")})
    assert continuing.method(said(HELLO), request, *target("gpt-4o", "openai")) is None


def test_unsigned_thoughts_before_the_text_are_no_hindrance():
    told = said(ReasoningDelta(0, "Hm"), TextDelta(1, "So"))
    assert continuing.method(told, QUESTION, *target("gpt-4o", "openai")) == "match"


def test_the_request_to_go_on_ends_with_what_was_said_and_asks_for_the_rest():
    request = msgspec.structs.replace(QUESTION, max_tokens=100)
    told = said(TextDelta(0, "Hello, "), TextDelta(0, "you. \n"))
    asked = continuing.request_for("prefill", told, request)
    assert asked.messages == (*request.messages, Message("assistant", (Text("Hello, you."),)))
    assert 90 <= asked.max_tokens < 100
    told.feed(UsageDelta(Usage(output_tokens=98)))
    assert continuing.request_for("prefill", told, request).max_tokens == 2
    told.feed(UsageDelta(Usage(output_tokens=198)))
    assert continuing.request_for("prefix", told, request).max_tokens == 1
    assert continuing.request_for("prefix", told, request).messages[-1].parts == (
        Text("Hello, you. \n"),
    )
    assert continuing.request_for("match", told, request) is request


def test_mistral_is_told_which_message_to_go_on_from():
    asked = continuing.request_for("prefix", said(HELLO), QUESTION)
    candidate, dialect = target("mistral-large-latest", "mistral")
    rendered = load(dialect).render_request(asked, candidate.facts)
    messages = msgspec.json.decode(continuing.marked(rendered.body))["messages"]
    assert [message.get("prefix") for message in messages] == [None, True]
    assert messages[1]["content"] == HELLO.text


# Matchers ------------------------------------------------------------------------------------


def cut(text, marks):
    places = sorted({0, len(text), *(mark % (len(text) + 1) for mark in marks)})
    return [text[start:end] for start, end in pairwise(places)] or [""]


def heard(matcher, pieces):
    """What is emitted; None: it disagrees."""
    told = ""
    for piece in pieces:
        match matcher.feed(piece):
            case Disagree():
                return None
            case Emit(text):
                return told + text + "".join(pieces[pieces.index(piece) + 1 :])
            case Swallow():
                continue
    return told


marks = st.lists(st.integers(0, 1000), max_size=10)
texts = st.text(alphabet="ab \n\U0001f600", max_size=30)


@settings(deadline=None)
@given(texts, texts, marks)
def test_a_run_that_begins_with_all_that_was_sent_goes_on_after_it(sent, rest, places):
    matcher = Matcher(sent)
    emitted = ""
    for piece in cut(sent + rest, places):
        if matcher.is_joined:
            emitted += piece
            continue
        verdict = matcher.feed(piece)
        assert not isinstance(verdict, Disagree)
        emitted += verdict.text if isinstance(verdict, Emit) else ""
    assert (emitted, matcher.finish()) == (rest, True)


@settings(deadline=None)
@given(texts, texts, marks)
def test_a_run_that_begins_otherwise_disagrees_whatever_way_it_is_cut(sent, run, places):
    if run.startswith(sent):
        return
    matcher = Matcher(sent)
    verdicts = [matcher.feed(piece) for piece in cut(run, places)]
    assert not any(isinstance(verdict, Emit) for verdict in verdicts)
    disagrees = any(isinstance(verdict, Disagree) for verdict in verdicts)
    assert disagrees or not matcher.finish()  # It ended before it said all that was sent.


@settings(deadline=None)
@given(st.text(alphabet="abc", min_size=1), texts, marks, st.booleans())
def test_an_echo_is_swallowed_and_what_is_none_is_not(sent, rest, places, echoes):
    run = sent + rest if echoes else "z" + rest
    matcher, emitted = EchoMatcher(sent), ""
    for piece in cut(run, places):
        if matcher.is_joined:
            emitted += piece
            continue
        verdict = matcher.feed(piece)
        emitted += verdict.text if isinstance(verdict, Emit) else ""
    assert emitted == (rest if echoes else run)
    assert matcher.finish()


def test_what_only_looked_like_an_echo_is_told():
    matcher = EchoMatcher("abcdef")
    assert [matcher.feed("ab"), matcher.feed("cx")] == [Swallow(), Emit("abcx")]
    half = EchoMatcher("abcdef")
    half.feed("abc")
    assert not half.finish()


@pytest.mark.parametrize(
    ("sent", "pieces", "emitted"),
    [
        ("Hello", [" world"], " world"),
        ("Hello ", [" world"], "world"),
        ("Hello ", ["world"], "world"),
        ("Hello\n\n", ["\n", "\n", "world"], "world"),
        ("Hello\n\n", ["\n", "world"], "world"),
        ("Hello ", ["\n", "world"], "\nworld"),
        ("Hello ", [" ", " world"], " world"),
    ],
)
def test_white_space_at_the_join_is_said_once(sent, pieces, emitted):
    assert heard(TailMatcher(sent), pieces) == emitted


# The whole -----------------------------------------------------------------------------------


def goes_on(told, how, *run, restates=False):
    """What the client has in the end, and whether the runs agreed."""
    joined = Continuation(told, how, restates=restates)
    added = [one for delta in run for one in joined.feed(delta)]
    return joined, added


def answer(first, added):
    return fold([*first, *added])


FIRST = (
    Started(id="one", model="m-1", created=1, usage=Usage(input_tokens=10)),
    TextDelta(0, "To be, or"),
)
SECOND = (
    Started(id="two", model="m-2", created=2),
    TextDelta(0, "To be"),
    TextDelta(0, ", or not"),
    TextDelta(0, " to be"),
    Finished("stop"),
    UsageDelta(Usage(input_tokens=10, output_tokens=6)),
    Ended(),
)


def test_two_runs_that_agree_are_one_answer():
    joined, added = goes_on(said(*FIRST), "match", *SECOND)
    whole = answer(FIRST, added)
    assert [part.text for part in whole.choices[0].parts] == ["To be, or not to be"]
    assert (whole.choices[0].reason, whole.id) == ("stop", "one")
    assert (joined.model, joined.disagrees) == ("m-2", False)


def test_all_that_was_paid_is_summed():
    _, added = goes_on(said(*FIRST), "match", *SECOND)
    assert answer(FIRST, added).usage == Usage(input_tokens=20, output_tokens=6)
    told = said(*FIRST, UsageDelta(Usage(input_tokens=10, output_tokens=3)))
    _, added = goes_on(told, "match", *SECOND)
    assert answer(FIRST, added).usage == Usage(input_tokens=20, output_tokens=9)
    assert told.usage == Usage(input_tokens=20, output_tokens=9)


def test_where_each_event_names_the_model_the_rest_names_the_one_that_went_on():
    told = said(*FIRST)
    joined = Continuation(told, "match", restates=True)
    [quiet, also, first, *rest] = [joined.feed(delta) for delta in SECOND]
    assert (quiet, also) == ((), ())
    assert first[0].model == "m-2"
    assert (first[0].id, first[0].created) == ("one", 1)
    assert first[1] == TextDelta(0, " not")
    assert not any(isinstance(one, Started) for told in rest for one in told)


def test_another_answer_is_not_used():
    joined, added = goes_on(said(*FIRST), "match", SECOND[0], TextDelta(0, "Not that"), *SECOND[4:])
    assert (joined.disagrees, added) == (True, [])


@pytest.mark.parametrize(
    "run",
    [
        (TextDelta(0, "To be"), Finished("stop")),  # It has less to say.
        (ToolCallStarted(0, "id", "f"), ToolCallDelta(0, "{}"), Finished("tool_calls")),
        (RefusalDelta(0, "No"), Finished("stop")),
        (TextDelta(0, "To be, or", choice=1),),
        (Finished("stop", choice=1),),
    ],
)
def test_what_does_not_agree_is_not_used(run):
    joined, added = goes_on(said(*FIRST), "match", *run)
    assert (joined.disagrees, added) == (True, [])


def test_an_answer_that_ends_just_there_is_whole():
    joined, added = goes_on(
        said(*FIRST), "match", TextDelta(0, "To be, or"), Finished("length"), Ended()
    )
    assert (joined.disagrees, added) == (False, [Finished("length"), Ended()])


def test_thoughts_of_the_second_run_are_not_told_before_the_join():
    first = (Started(), ReasoningDelta(0, "Hm"), TextDelta(1, "So"))
    _, added = goes_on(
        said(*first), "match", ReasoningDelta(0, "Well"), TextDelta(1, "So be it"), Finished("stop")
    )
    parts = answer(first, added).choices[0].parts
    assert [part.text for part in parts] == ["Hm", "So be it"]


def test_calls_that_need_signed_thoughts_that_nobody_saw_are_not_told():
    run = (
        ReasoningDelta(0, "Well", signature="s"),
        TextDelta(1, "To be, or not"),
        ToolCallStarted(2, "id", "f"),
    )
    joined, added = goes_on(said(*FIRST), "match", *run)
    assert joined.disagrees
    assert not any(isinstance(one, ToolCallStarted) for one in added)


def test_calls_after_the_join_are_of_one_run_and_whole():
    run = (
        TextDelta(0, "To be, or not."),
        ToolCallStarted(1, "id", "f"),
        ToolCallDelta(1, "{}"),
        TextDelta(2, "More"),
        Finished("tool_calls"),
    )
    joined, added = goes_on(said(*FIRST), "match", *run)
    parts = answer(FIRST, added).choices[0].parts
    assert [type(part).__name__ for part in parts] == ["Text", "ToolCall", "Text"]
    assert (parts[0].text, parts[1].arguments, parts[2].text) == ("To be, or not.", "{}", "More")
    assert not joined.disagrees


def test_prefilled_it_goes_on_in_the_same_part():
    first = (*FIRST, TextDelta(0, " "))
    _, added = goes_on(
        said(*first), "prefill", Started(model="m"), TextDelta(3, " not"), TextDelta(5, "End")
    )
    assert added == [TextDelta(0, "not"), TextDelta(1, "End")]


def test_where_nothing_was_said_all_of_the_second_run_is_told():
    run = (ReasoningDelta(0, "Hm", signature="s"), TextDelta(1, "So"), ToolCallStarted(2, "i", "f"))
    joined, added = goes_on(said(Started()), "match", *run)
    assert (joined.disagrees, added) == (False, [*run])


def test_a_second_break_can_be_gone_on_from_too():
    told = said(*FIRST)
    goes_on(told, "match", Started(model="m-2"), TextDelta(0, "To be, or not"))
    assert told.text == "To be, or not"
    assert told.is_joinable
    _, added = goes_on(told, "match", TextDelta(0, "To be, or not to be"), Finished("stop"))
    assert added[0] == TextDelta(0, " to be")


def test_citations_of_what_is_swallowed_are_swallowed():
    cited = CitationDelta(0, Citation(url="https://x.test"))
    _, added = goes_on(
        said(*FIRST), "match", TextDelta(0, "To be"), cited, TextDelta(0, ", or so"), cited
    )
    assert added == [TextDelta(0, " so"), cited]


def test_an_error_of_the_second_run_is_told_as_it_is():
    failed = Failed(500, "x")
    joined, added = goes_on(said(*FIRST), "match", failed)
    assert (added, joined.disagrees) == ([failed], False)


@settings(deadline=None)
@given(st.text(min_size=1, max_size=40), st.integers(0, 40), marks, marks)
def test_however_it_was_cut_the_client_has_one_whole_answer(text, place, before, after):
    """Two runs of a model that says the same: nothing is lost, nothing is said twice."""
    first = [TextDelta(0, piece) for piece in cut(text[:place], before) if piece]
    run = [TextDelta(0, piece) for piece in cut(text, after)]
    joined, added = goes_on(said(*first), "match", *run, Finished("stop"))
    assert not joined.disagrees
    assert "".join(d.text for d in [*first, *added] if isinstance(d, TextDelta)) == text


# The pass lane ---------------------------------------------------------------------------------

VIEW = View(stream=True, usage_in_stream=True, model="m", created=1, fresh_id="fresh")


def shadow_of(dialect, deltas):
    """A provider's stream in `dialect`, passed as it is with a shadow beside it."""
    module = load(dialect)
    shadow = Shadow(module.StreamParser(), module.StreamRenderer(VIEW))
    provider = module.StreamRenderer(VIEW)
    sent = b"".join(provider.feed(delta) for delta in deltas)
    for frame in Framer().feed(sent):
        event = parse(frame)
        if event is not None:
            shadow.see(event)
    return shadow, sent


@pytest.mark.parametrize("dialect", sorted(continuing.PASSES))
def test_a_stream_that_passed_is_gone_on_from_in_its_own_numbering(dialect):
    shadow, sent = shadow_of(dialect, FIRST)
    assert shadow.is_true
    assert shadow.said.is_joinable
    assert shadow.said.text == "To be, or"
    joined = Continuation(shadow.said, "match", restates=dialect in continuing.RESTATES)
    rest = b"".join(shadow.renderer.feed(one) for delta in SECOND for one in joined.feed(delta))
    module = load(dialect)
    parser = module.StreamParser()
    deltas = []
    for frame in Framer().feed(sent + rest):
        if (event := parse(frame)) is not None:
            deltas += parser.feed(event)
    whole = fold(deltas)
    assert parser.complete
    assert [part.text for part in whole.choices[0].parts] == ["To be, or not to be"]
    assert whole.choices[0].reason == "stop"
    assert whole.usage.output_tokens == 6


def test_a_block_that_the_provider_closed_is_not_gone_on_from():
    shadow, _ = shadow_of("anthropic", FIRST)
    closed = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    shadow.see(parse(closed))
    assert not shadow.is_true


def test_blocks_that_the_parser_does_not_know_are_not_gone_on_from():
    shadow, _ = shadow_of("anthropic", FIRST[:1])
    for kind in (b'{"type":"server_tool_use","id":"x","name":"y","input":{}}', b'{"type":"new"}'):
        data = b'{"type":"content_block_start","index":0,"content_block":' + kind + b"}"
        shadow.see(parse(b"event: content_block_start\ndata: " + data + b"\n\n"))
    assert not shadow.is_true


def test_an_event_that_cannot_be_read_ends_the_shadow():
    shadow, _ = shadow_of("openai_chat", FIRST)
    shadow.see(parse(b'data: {"choices":[{"index"\n\n'))
    shadow.see(parse(b"data: [DONE]\n\n"))
    assert not shadow.is_true


def test_what_is_asked_to_go_on_can_be_said_to_every_provider():
    route = routes.resolve("POST", "/v1/chat/completions", {})
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "max_tokens": 50}
    chat = plan.read_chat(msgspec.json.encode(body), route)
    request = plan.neutral_of(chat)
    for model, kind, expected in TARGETS:
        candidate, dialect = target(model, kind)
        how = continuing.method(said(HELLO), request, candidate, dialect)
        assert how == expected
        asked = continuing.request_for(how, said(HELLO), request)
        asked = msgspec.structs.replace(asked, model=candidate.body_model)
        rendered = load(dialect).render_request(asked, candidate.facts).body
        sent = HELLO.text.encode() if how == "prefix" else HELLO.text.strip().encode()
        assert (sent in rendered) == (how != "match")
