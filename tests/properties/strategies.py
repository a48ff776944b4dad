"""Requests, replies and JSON as hypothesis draws them."""

from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import Raw

from core.neutral import (
    Choice,
    Media,
    Message,
    Part,
    Reasoning,
    Refusal,
    Reply,
    Request,
    Schema,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Usage,
)

some = st.text(min_size=1, max_size=8)
words = some.filter(lambda text: bool(text.strip()))
names = st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True)
base64 = st.sampled_from(["AAAA", "iVBORw0KGgo=", "JVBERi0="])

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


def encoded(value: Any) -> Raw:
    return Raw(msgspec.json.encode(value))


objects = st.dictionaries(st.text(max_size=5), values, max_size=3)
arguments = objects.map(lambda value: msgspec.json.encode(value).decode())
schemas = st.fixed_dictionaries(
    {"type": st.just("object")}, optional={"properties": st.dictionaries(names, st.just({}))}
).map(encoded)


def _held(fields: list[str]) -> Raw:
    properties = {name: {"type": "string"} for name in fields}
    return encoded(
        {
            "type": "object",
            "properties": properties,
            "required": [*properties],
            "additionalProperties": False,
        }
    )


held = st.lists(names, max_size=2).map(_held)
"""Schemas that every provider can hold its model to."""
breakpoints = st.sampled_from([None, encoded({"type": "ephemeral"})])
images = st.builds(
    Media, kind=st.just("image"), media_type=st.just("image/png"), data=base64
) | st.builds(Media, kind=st.just("image"), url=names.map(lambda n: f"https://x.test/{n}.png"))
calls = st.builds(ToolCall, id=names, name=names, arguments=arguments)


# --- Replies --------------------------------------------------------------------------------------

thoughts = st.builds(Reasoning, text=some, signature=st.none() | some) | st.builds(
    Reasoning, redacted=some
)
usages = st.builds(
    Usage,
    input_tokens=st.integers(2000, 9000),
    output_tokens=st.integers(1000, 9000),
    cache_read_tokens=st.integers(0, 1000),
    cache_write_tokens=st.integers(0, 1000),
    reasoning_tokens=st.integers(0, 1000),
)


@st.composite
def choices(draw: st.DrawFn, parts: st.SearchStrategy[Part]) -> Choice:
    drawn = tuple(draw(st.lists(parts, max_size=5)))
    called = any(isinstance(part, ToolCall) for part in drawn)
    reasons = ["tool_calls", "length"] if called else ["stop", "length", "content_filter"]
    return Choice(parts=drawn, reason=draw(st.sampled_from(reasons)))  # type: ignore[arg-type]


def replies(parts: st.SearchStrategy[Part], most: int = 1) -> st.SearchStrategy[Reply]:
    return st.builds(
        Reply,
        id=names,
        model=names,
        created=st.integers(1, 2**31),
        choices=st.lists(choices(parts), min_size=1, max_size=most).map(tuple),
        usage=usages,
    )


spoken = st.builds(Text, some) | thoughts | calls | st.builds(Refusal, some)


# --- Requests, as far as a dialect says all of them -----------------------------------------------


@st.composite
def openai_messages(draw: st.DrawFn) -> tuple[Message, ...]:
    texts = st.builds(Text, some)
    document = st.builds(
        Media,
        kind=st.just("document"),
        media_type=st.just("application/pdf"),
        data=base64,
        name=names,
    )
    shown = images | document
    voice = st.builds(Media, kind=st.just("audio"), media_type=st.just("audio/wav"), data=base64)
    said = st.lists(texts | shown | voice, min_size=1, max_size=3).map(tuple)
    result = st.builds(ToolResult, call_id=names, parts=st.lists(texts, max_size=1).map(tuple))
    name = st.none() | names
    kinds = [
        st.builds(
            Message, st.sampled_from(["system", "developer"]), texts.map(lambda t: (t,)), name
        ),
        st.builds(Message, st.just("user"), said, name),
        st.builds(Message, st.just("user"), result.map(lambda r: (r,))),
        st.builds(Message, st.just("assistant"), _answers(texts), name),
    ]
    return tuple(draw(st.lists(st.one_of(kinds), min_size=1, max_size=5)))


def _answers(texts: st.SearchStrategy[Text]) -> st.SearchStrategy[tuple[Part, ...]]:
    return st.tuples(st.lists(texts, max_size=1), st.lists(calls, max_size=3)).map(
        lambda pair: (*pair[0], *pair[1])
    )


@st.composite
def openai_requests(draw: st.DrawFn) -> Request:
    tool = st.builds(
        Tool,
        name=names,
        description=st.none() | some,
        schema=st.none() | schemas,
        strict=st.sampled_from([None, False]),
    ) | st.builds(Tool, name=names, schema=held, strict=st.just(True))
    tools = tuple(draw(st.lists(tool, max_size=2)))
    schema = st.just(Schema()) | st.builds(
        Schema,
        name=names,
        description=st.none() | some,
        schema=schemas,
        strict=st.sampled_from([None, False]),
    )
    schema |= st.builds(Schema, name=names, schema=held, strict=st.just(True))
    parameters = st.fixed_dictionaries(
        {},
        optional={
            "temperature": st.sampled_from([0, 0.5, 2]).map(encoded),
            "top_p": st.just(encoded(0.5)),
            "stop": st.lists(some, min_size=1, max_size=2).map(encoded),
            "seed": st.integers(0, 9).map(encoded),
            "n": st.integers(2, 3).map(encoded),
            "user": some.map(encoded),
            "presence_penalty": st.just(encoded(0.5)),
            "frequency_penalty": st.just(encoded(-0.5)),
            "logit_bias": st.just(encoded({"50256": -100})),
            "logprobs": st.just(encoded(True)),
            "top_logprobs": st.just(encoded(2)),
        },
    )
    efforts = st.sampled_from(["minimal", "low", "medium", "high", "xhigh"])
    return Request(
        model=draw(names),
        messages=draw(openai_messages()),
        stream=draw(st.booleans()),
        tools=tools,
        tool_choice=draw(tool_choices(tools)),
        parallel_tool_calls=draw(st.none() | st.booleans()) if tools else None,
        max_tokens=draw(st.none() | st.integers(1, 9000)),
        thinking=draw(st.none() | st.builds(Thinking, effort=efforts)),
        schema=draw(st.none() | schema),
        parameters=draw(parameters),
    )


def tool_choices(tools: Sequence[Tool]) -> st.SearchStrategy[ToolChoice | None]:
    if not tools:
        return st.none()
    named = st.sampled_from(tools).map(lambda tool: ToolChoice("named", tool.name))
    plain = [ToolChoice("auto"), ToolChoice("none"), ToolChoice("required")]
    return st.none() | named | st.sampled_from(plain)


@st.composite
def anthropic_messages(draw: st.DrawFn) -> tuple[Message, ...]:
    texts = st.builds(Text, words, breakpoints)
    documents = st.builds(
        Media, kind=st.just("document"), media_type=st.just("application/pdf"), data=base64
    ) | st.builds(Media, kind=st.just("document"), media_type=st.just("text/plain"), data=some)
    shown = images | documents
    results = st.builds(
        ToolResult,
        call_id=names,
        parts=st.lists(texts | shown, min_size=1, max_size=2).map(tuple),
        is_error=st.booleans(),
        cache_control=breakpoints,
    )
    thinking = st.builds(Reasoning, text=some, signature=some) | st.builds(Reasoning, redacted=some)
    answers = st.lists(texts | thinking | calls, min_size=1, max_size=4).map(tuple)
    said = st.tuples(
        st.lists(results, max_size=2), st.lists(texts | shown, min_size=1, max_size=2)
    ).map(lambda pair: (*pair[0], *pair[1]))
    system = [Message("system", (text,)) for text in draw(st.lists(texts, max_size=2))]
    turns = []
    for _ in range(draw(st.integers(0, 2))):
        turns += [Message("user", draw(said)), Message("assistant", draw(answers))]
    return (*system, *turns, Message("user", draw(said)))


@st.composite
def anthropic_requests(draw: st.DrawFn) -> Request:
    tool = st.builds(
        Tool,
        name=names,
        description=st.none() | some,
        schema=schemas,
        cache_control=breakpoints,
    ) | st.builds(Tool, name=names, schema=held, strict=st.just(True))
    tools = tuple(draw(st.lists(tool, max_size=2)))
    choice = draw(tool_choices(tools))
    free = choice is not None and choice.mode != "none"
    schema = st.none() | st.builds(Schema, schema=held, strict=st.just(True))
    parameters = st.fixed_dictionaries(
        {},
        optional={
            "temperature": st.sampled_from([0, 0.5, 1]).map(encoded),
            "top_p": st.just(encoded(0.5)),
            "top_k": st.integers(1, 9).map(encoded),
            "stop": st.lists(words, min_size=1, max_size=2).map(encoded),
            "cache_control": st.just(encoded({"type": "ephemeral"})),
        },
    )
    return Request(
        model=draw(names),
        messages=draw(anthropic_messages()),
        stream=draw(st.booleans()),
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=draw(st.sampled_from([None, False])) if free else None,
        max_tokens=draw(st.integers(1, 9000)),
        thinking=draw(st.sampled_from([None, Thinking(enabled=False)])),
        schema=draw(schema) if tools else None,
        parameters=draw(parameters),
    )
