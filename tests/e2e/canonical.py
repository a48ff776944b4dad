"""An answer reduced to what both dialects can say, so that two SDKs can be compared.

Input is what an SDK shows, dumped to plain values: a whole reply, or the list
of a stream's events. What only one dialect knows (server tools, citations,
log probabilities) is no part of this form; in a pass lane the whole dump is
compared as well.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

Dump = Mapping[str, Any]

ANTHROPIC_FINISH: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",  # OpenAI has no word for a turn that is to be continued.
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
OPENAI_FINISH: Final = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


class ToolCall(Struct, frozen=True):
    id: str | None
    """None where the recording has none: OpenAI's legacy function calls."""
    name: str
    arguments: Any


class Thought(Struct, frozen=True):
    text: str = ""
    signature: str = ""
    redacted: str = ""


class Choice(Struct, frozen=True, kw_only=True):
    text: str = ""
    refusal: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: tuple[Thought, ...] = ()
    finish: str | None = None


class Tokens(Struct, frozen=True, kw_only=True):
    """`input` counts cached tokens too, `output` counts reasoning too."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    reasoning: int = 0


class Answer(Struct, frozen=True, kw_only=True):
    choices: tuple[Choice, ...] = ()
    usage: Tokens | None = None
    error: int | None = None
    """The status of an error; 0 where there was none, such as inside a stream."""


class BrokenStreamError(Exception):
    """Events in an order that the dialect does not have."""


def parsed(arguments: Any) -> Any:
    """Tool arguments as JSON, so that white space does not count; as text where they are none."""
    if not isinstance(arguments, str | None):
        return arguments
    try:
        return msgspec.json.decode(arguments or "{}")
    except msgspec.DecodeError:
        return arguments


# --- OpenAI ---------------------------------------------------------------------------------------


def from_openai(completion: Dump) -> Answer:
    choices = sorted(completion["choices"], key=lambda choice: choice["index"])
    return Answer(
        choices=tuple(_openai_choice(choice) for choice in choices),
        usage=_openai_tokens(completion.get("usage")),
    )


def _openai_choice(choice: Dump) -> Choice:
    message = choice["message"]
    calls = [
        ToolCall(call["id"], call["function"]["name"], parsed(call["function"].get("arguments")))
        for call in message.get("tool_calls") or ()
    ]
    legacy = message.get("function_call") or {}
    if legacy.get("name"):  # Snowflake writes an empty one where none is meant.
        calls.append(ToolCall(None, legacy["name"], parsed(legacy["arguments"])))
    reason = choice.get("finish_reason")
    text, thinking = _content(message.get("content"))
    shown = [Thought(thinking)] if thinking else []
    return Choice(
        text=text,
        refusal=message.get("refusal") or "",
        tool_calls=tuple(calls),
        reasoning=(*_openai_thoughts(message), *shown),
        finish=OPENAI_FINISH.get(reason, "other") if reason else None,
    )


def _content(content: Any) -> tuple[str, str]:
    """Text, and the thinking that Mistral puts between it where the content is a list."""
    if not isinstance(content, list):
        return content or "", ""
    texts = [piece["text"] for piece in content if piece["type"] == "text"]
    thoughts = [piece["thinking"] for piece in content if piece["type"] == "thinking"]
    return "".join(texts), "".join(one["text"] for thought in thoughts for one in thought)


def _openai_thoughts(message: Dump) -> Iterable[Thought]:
    shown = message.get("reasoning") or message.get("reasoning_content") or ()
    if isinstance(shown, str):
        shown = [{"content": shown}]
    if isinstance(shown, dict):  # OpenAI's stream helper joins all that came into one.
        shown = [shown]
    for thought in shown:
        yield Thought(
            thought.get("content") or "", thought.get("id") or "", thought.get("redacted") or ""
        )


def _openai_tokens(usage: Dump | None) -> Tokens | None:
    if usage is None:
        return None
    read = usage.get("prompt_tokens_details") or {}
    wrote = usage.get("completion_tokens_details") or {}
    output, reasoning = usage["completion_tokens"], wrote.get("reasoning_tokens") or 0
    total, given = usage.get("total_tokens"), usage["prompt_tokens"]
    if reasoning and total == given + output + reasoning:
        output += reasoning  # xAI counts it apart.
    elif (sound := read.get("audio_tokens")) and total == given + output + sound:
        given += sound  # Mistral counts that apart.
    return Tokens(
        input=given,
        output=output,
        cache_read=read.get("cached_tokens") or 0,
        reasoning=reasoning,
    )


def from_openai_stream(chunks: Sequence[Dump]) -> Answer:
    """Chunks joined as the documentation of the stream says: by `index`, text appended."""
    choices: dict[int, dict[str, Any]] = {}
    usage = None
    for chunk in chunks:
        usage = chunk.get("usage") or usage
        for part in chunk["choices"]:
            choice = choices.setdefault(
                part["index"], {"index": part["index"], "finish_reason": None, "message": {}}
            )
            again = choice["finish_reason"] and part.get("finish_reason")
            if again and not chunk.get("usage"):  # OpenRouter says it again with the usage.
                raise BrokenStreamError("a choice finished twice")
            choice["finish_reason"] = part.get("finish_reason") or choice["finish_reason"]
            _add_openai_delta(choice["message"], part.get("delta") or {})
    for choice in choices.values():
        for name in ("tool_calls", "reasoning"):
            entries = choice["message"].get(name)
            if isinstance(entries, dict):
                choice["message"][name] = [entries[index] for index in sorted(entries)]
    return from_openai({"choices": list(choices.values()), "usage": usage})


def _add_openai_delta(message: dict[str, Any], delta: Dump) -> None:
    text, thinking = _content(delta.get("content"))
    _add_texts(message, {"content": text, "refusal": delta.get("refusal")})
    _add_texts(message, {"reasoning_content": delta.get("reasoning_content") or thinking})
    if legacy := delta.get("function_call"):
        _add_texts(message.setdefault("function_call", {"name": "", "arguments": ""}), legacy)
    for call in delta.get("tool_calls") or ():
        entry = message.setdefault("tool_calls", {}).setdefault(
            _place(call, message), {"id": "", "function": {"name": "", "arguments": ""}}
        )
        function = call.get("function") or {}
        entry["id"] = call.get("id") or entry["id"]
        # Some providers repeat the name with each piece of the arguments.
        entry["function"]["name"] = function.get("name") or entry["function"]["name"]
        entry["function"]["arguments"] += function.get("arguments") or ""
    match delta.get("reasoning"):
        case str(text):
            message["reasoning"] = message.get("reasoning", "") + text
        case {"entries": _}:
            pass  # Cutwater's list, at the end, of all that was told.
        case dict(thought):
            entry = message.setdefault("reasoning", {}).setdefault(thought["index"], {})
            _add_texts(entry, {name: thought.get(name) for name in ("content", "id", "redacted")})
        case list(thoughts) if thoughts:
            raise BrokenStreamError(f"reasoning as a list inside a stream: {thoughts!r:.200}")


def _place(call: Dump, message: Dump) -> int:
    """Some providers count no calls: one with an id begins, one without goes on."""
    known: dict[int, Any] = message.get("tool_calls") or {}
    counted: int = call.get("index", len(known) - (not call.get("id")))
    return counted


def _add_texts(entry: dict[str, Any], more: Dump) -> None:
    for name, text in more.items():
        if text:
            entry[name] = entry.get(name, "") + text


# --- Anthropic ------------------------------------------------------------------------------------


def from_anthropic(message: Dump) -> Answer:
    text: list[str] = []
    calls: list[ToolCall] = []
    thoughts: list[Thought] = []
    for block in message["content"]:
        match block["type"]:
            case "text":
                text.append(block["text"])
            case "tool_use":
                calls.append(ToolCall(block["id"], block["name"], parsed(block["input"])))
            case "thinking":
                thoughts.append(Thought(block["thinking"], block.get("signature") or ""))
            case "redacted_thinking":
                thoughts.append(Thought(redacted=block["data"]))
    reason = message.get("stop_reason")
    choice = Choice(
        text="".join(text),
        refusal=(message.get("stop_details") or {}).get("explanation") or "",
        tool_calls=tuple(calls),
        reasoning=tuple(thoughts),
        finish=ANTHROPIC_FINISH.get(reason, "other") if reason else None,
    )
    return Answer(choices=(choice,), usage=_anthropic_tokens(message["usage"]))


def _anthropic_tokens(usage: Dump) -> Tokens:
    read = usage.get("cache_read_input_tokens") or 0
    details = usage.get("output_tokens_details") or {}
    return Tokens(
        input=usage["input_tokens"] + read + (usage.get("cache_creation_input_tokens") or 0),
        output=usage["output_tokens"],
        cache_read=read,
        reasoning=details.get("thinking_tokens") or 0,
    )


def from_anthropic_stream(events: Sequence[Dump]) -> Answer:
    """Events joined as Anthropic's own SDK joins them, but with no patience for a wrong order."""
    events = _first_message(events)
    message = dict(events[0]["message"])
    blocks: list[dict[str, Any]] = []
    open_block: int | None = None
    for event in events[1:-1]:
        match event["type"]:
            case "content_block_start" if open_block is None and event["index"] == len(blocks):
                open_block = event["index"]
                blocks.append(dict(event["content_block"]))
            case "content_block_delta" if event["index"] == open_block:
                _add_anthropic_delta(blocks[open_block], event["delta"])
            case "content_block_stop" if event["index"] == open_block:
                open_block = None
            case "message_delta" if open_block is None:
                known = {name: n for name, n in event["usage"].items() if n is not None}
                message["usage"] = {**message["usage"], **known}
                message |= {name: event["delta"].get(name) for name in _STOP}
            case name:
                raise BrokenStreamError(f"{name} of block {event.get('index')} in {open_block}")
    for block in blocks:
        block["input"] = block.pop("partial", None) or block.get("input")
    return from_anthropic({**message, "content": blocks})


_STOP: Final = ("stop_reason", "stop_details")


def _first_message(events: Sequence[Dump]) -> Sequence[Dump]:
    """Two recordings hold a second message after the first: it is no part of this answer."""
    names = [event["type"] for event in events]
    if not names or names[0] != "message_start" or "message_stop" not in names:
        raise BrokenStreamError("no message_start first, or no message_stop")
    end = names.index("message_stop") + 1
    if names[end : end + 1] not in ([], ["message_start"]):
        raise BrokenStreamError(f"{names[end]} after message_stop")
    return events[:end]


def _add_anthropic_delta(block: dict[str, Any], delta: Dump) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = (block.get("signature") or "") + delta["signature"]
        case "input_json_delta":
            block["partial"] = block.get("partial", "") + delta["partial_json"]


# --- Comparing ------------------------------------------------------------------------------------


def comparable(expected: Answer, seen: Answer) -> tuple[Answer, Answer]:
    """Both sides without what the recording does not say.

    A recorded stream may lack usage, and a legacy function call lacks an id;
    an Anthropic client always sees both, so any number and any id will do.
    """
    if expected.usage is None and expected.error is None:
        seen = msgspec.structs.replace(seen, usage=None)
    if len(expected.choices) == len(seen.choices):
        pairs = zip(expected.choices, seen.choices, strict=True)
        choices = tuple(_without_new_ids(old, new) for old, new in pairs)
        seen = msgspec.structs.replace(seen, choices=choices)
    return expected, seen


def _without_new_ids(expected: Choice, seen: Choice) -> Choice:
    if len(expected.tool_calls) != len(seen.tool_calls):
        return seen
    calls = tuple(
        ToolCall(None, new.name, new.arguments) if old.id is None and new.id else new
        for old, new in zip(expected.tool_calls, seen.tool_calls, strict=True)
    )
    return msgspec.structs.replace(seen, tool_calls=calls)


def with_thoughts_joined(answer: Answer) -> Answer:
    """As OpenAI's stream helper shows a field that it does not know: all pieces in one."""
    return msgspec.structs.replace(answer, choices=tuple(map(_one_thought, answer.choices)))


def _one_thought(choice: Choice) -> Choice:
    if len(choice.reasoning) < 2:
        return choice
    joined = Thought(
        "".join(thought.text for thought in choice.reasoning),
        "".join(thought.signature for thought in choice.reasoning),
        "".join(thought.redacted for thought in choice.reasoning),
    )
    return msgspec.structs.replace(choice, reasoning=(joined,))


def agree(expected: Answer, seen: Answer) -> bool:
    left, right = comparable(expected, seen)
    return left == right


Reader = Callable[[Any], Answer]
READERS: Final[Mapping[tuple[str, bool], Reader]] = {
    ("openai", False): from_openai,
    ("openai", True): from_openai_stream,
    ("anthropic", False): from_anthropic,
    ("anthropic", True): from_anthropic_stream,
}
"""By SDK and whether it streamed."""
