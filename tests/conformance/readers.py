"""What the SDKs of responses, Gemini and Converse show, reduced to the canonical answer.

Readings of the documented formats, and none of Cutwater's code: where they and
Cutwater agree, two independent readings do.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tests.e2e.canonical import (
    Answer,
    BrokenStreamError,
    Choice,
    Dump,
    Thought,
    Tokens,
    ToolCall,
    parsed,
)

FAILED: Final = Answer(error=0)

# --- OpenAI responses -----------------------------------------------------------------------------

_INCOMPLETE: Final = {"max_output_tokens": "length", "content_filter": "content_filter"}


def from_responses(response: Dump) -> Answer:
    if response["status"] not in ("completed", "incomplete"):
        return FAILED
    pieces = _contents(response, "message")
    choice = Choice(
        text="".join(p["text"] for p in pieces if p["type"] == "output_text"),
        refusal="".join(p["refusal"] for p in pieces if p["type"] == "refusal"),
        tool_calls=tuple(
            ToolCall(item["call_id"], item["name"], parsed(item["arguments"]))
            for item in response["output"]
            if item["type"] == "function_call"
        ),
        reasoning=tuple(_thought(i) for i in response["output"] if i["type"] == "reasoning"),
        finish="stop",
    )
    if response["status"] == "incomplete":
        why = (response.get("incomplete_details") or {}).get("reason")
        choice = _finished(choice, _INCOMPLETE.get(why or "", "other"))
    return Answer(choices=(choice,), usage=_responses_tokens(response.get("usage")))


def _finished(choice: Choice, finish: str) -> Choice:
    return Choice(
        text=choice.text,
        refusal=choice.refusal,
        tool_calls=choice.tool_calls,
        reasoning=choice.reasoning,
        finish=finish,
    )


def _contents(response: Dump, kind: str) -> list[Dump]:
    return [p for item in response["output"] if item["type"] == kind for p in item["content"]]


def _thought(item: Dump) -> Thought:
    pieces = [*(item.get("summary") or ()), *(item.get("content") or ())]
    return Thought("\n\n".join(piece["text"] for piece in pieces))


def _responses_tokens(usage: Dump | None) -> Tokens | None:
    if not usage:
        return None
    return Tokens(
        input=usage["input_tokens"],
        output=usage["output_tokens"],
        cache_read=(usage.get("input_tokens_details") or {}).get("cached_tokens") or 0,
        reasoning=(usage.get("output_tokens_details") or {}).get("reasoning_tokens") or 0,
    )


_ENDS: Final = ("response.completed", "response.incomplete", "response.failed")


def from_responses_end(events: Sequence[Dump]) -> Answer:
    """The response that ends the stream. What follows it is another answer."""
    last = next((event for event in events if event["type"] in _ENDS), None)
    if last is None:
        raise BrokenStreamError("no event ends the response")
    return from_responses(last["response"])


def from_responses_stream(events: Sequence[Dump]) -> Answer:
    """As above; and its text must be what the deltas said."""
    answer = from_responses_end(events)
    deltas = [e["delta"] for e in events if e["type"] == "response.output_text.delta"]
    if deltas and answer.choices and "".join(deltas) != answer.choices[0].text:
        raise BrokenStreamError("the deltas say another text than the response at the end")
    return answer


def in_words(value: Any) -> Any:
    """A recorded response as the SDK would show it, had Google written words and not numbers."""
    if isinstance(value, list):
        return [in_words(item) for item in value]
    if not isinstance(value, dict):
        return value
    shown = {re.sub(r"([A-Z])", r"_\1", name).lower(): in_words(v) for name, v in value.items()}
    if isinstance(number := shown.get("finish_reason"), int):
        shown["finish_reason"] = ("", "STOP", "MAX_TOKENS", "SAFETY")[number]
    return shown


# --- Gemini ---------------------------------------------------------------------------------------


def from_gemini(responses: Sequence[Dump]) -> Answer:
    """One response, or those of a stream: their parts follow each other."""
    parts: dict[int, list[Dump]] = {}
    ends: dict[int, Dump] = {}
    usage: Dump | None = None
    for response in responses:
        usage = response.get("usage_metadata") or usage
        feedback = response.get("prompt_feedback") or {}
        if feedback.get("block_reason") and not response.get("candidates"):
            told = feedback.get("block_reason_message") or ""
            ends[0] = {"finish_reason": "SAFETY", "finish_message": told}
        for candidate in response.get("candidates") or ():
            index = candidate.get("index") or 0
            content = candidate.get("content") or {}
            parts.setdefault(index, []).extend(content.get("parts") or ())
            if candidate.get("finish_reason"):
                ends[index] = candidate
    choices = [_gemini_choice(parts.get(i, []), ends.get(i, {})) for i in sorted({*parts, *ends})]
    return Answer(choices=tuple(choices), usage=_gemini_tokens(usage))


def _gemini_choice(parts: Sequence[Dump], end: Dump) -> Choice:
    calls = tuple(_gemini_calls(part["function_call"] for part in parts if "function_call" in part))
    word = end.get("finish_reason")
    finish = {"STOP": "stop", "MAX_TOKENS": "length", "OTHER": "other"}.get(word, "content_filter")
    refused = finish in ("content_filter", "other")
    return Choice(
        text="".join(p.get("text", "") for p in parts if not p.get("thought")),
        refusal=(end.get("finish_message") or "") if refused else "",
        tool_calls=calls,
        reasoning=tuple(Thought(p["text"]) for p in parts if p.get("thought") and p.get("text")),
        finish=finish if word else None,
    )


def _gemini_calls(pieces: Iterable[Dump]) -> Iterable[ToolCall]:
    """Whole calls; those whose arguments come in pieces begin with a name and go on without."""
    calls: list[tuple[str | None, str, Any]] = []
    for piece in pieces:
        if piece.get("name"):
            calls.append((piece.get("id"), piece["name"], piece.get("args") or {}))
        for partial in piece.get("partial_args") or ():
            _place(calls[-1][2], partial)
    return [ToolCall(*call) for call in calls]


def _place(arguments: dict[str, Any], partial: Mapping[str, Any]) -> None:
    """`$.a.b[0]`: pieces of a text are appended, other values are set."""
    steps = re.findall(r"\.([^.\[]+)|\[(\d+)\]|\['([^']*)'\]", partial["json_path"])
    keys: list[Any] = [int(number) if number else name or quoted for name, number, quoted in steps]
    where: Any = arguments
    for key, following in zip(keys, [*keys[1:], None], strict=True):
        if isinstance(where, list) and key == len(where):
            where.append(None)
        if following is None:
            where[key] = _value(partial, _at(where, key))
        elif _at(where, key) is None:
            where[key] = [] if isinstance(following, int) else {}
        where = where[key]


def _at(where: Any, key: Any) -> Any:
    return where[key] if isinstance(where, list) else where.get(key)


def _value(partial: Mapping[str, Any], before: Any) -> Any:
    if "string_value" in partial:
        return (before or "") + partial["string_value"]
    return next((partial[n] for n in ("number_value", "bool_value") if n in partial), None)


def _gemini_tokens(usage: Dump | None) -> Tokens | None:
    if not usage or not {"prompt_token_count", "candidates_token_count"} & usage.keys():
        return None
    thoughts = usage.get("thoughts_token_count") or 0
    return Tokens(
        input=(usage.get("prompt_token_count") or 0)
        + (usage.get("tool_use_prompt_token_count") or 0),
        output=(usage.get("candidates_token_count") or 0) + thoughts,
        cache_read=usage.get("cached_content_token_count") or 0,
        reasoning=thoughts,
    )


# --- Converse -------------------------------------------------------------------------------------

_STOP_REASONS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
}


def from_converse(reply: Dump) -> Answer:
    content = reply["output"]["message"].get("content") or []
    texts: list[str] = []
    for block in content:
        cited = (block.get("citationsContent") or {}).get("content") or ()
        texts += [block.get("text") or "", *(piece.get("text") or "" for piece in cited)]
    calls = [block["toolUse"] for block in content if "toolUse" in block]
    choice = Choice(
        text="".join(texts),
        tool_calls=tuple(
            ToolCall(call["toolUseId"], call["name"], parsed(call["input"]))
            for call in calls
            if call.get("type") in (None, "tool_use")  # Else Bedrock runs it itself.
        ),
        reasoning=tuple(
            Thought((block["reasoningContent"].get("reasoningText") or {}).get("text") or "")
            for block in content
            if "reasoningContent" in block
        ),
        finish=_STOP_REASONS.get(reply["stopReason"], "error"),
    )
    return Answer(choices=(choice,), usage=_converse_tokens(reply.get("usage")))


def _converse_tokens(usage: Dump | None) -> Tokens | None:
    if not usage:
        return None
    read = usage.get("cacheReadInputTokens") or 0
    return Tokens(
        input=usage["inputTokens"] + read + (usage.get("cacheWriteInputTokens") or 0),
        output=usage["outputTokens"],
        cache_read=read,
    )


def from_converse_stream(events: Sequence[Dump]) -> Answer:
    """The blocks of a stream joined, with no patience for a wrong order."""
    blocks: dict[int, dict[str, Any]] = {}
    closed: set[int] = set()
    end: dict[str, Any] = {}
    for event in events:
        ((name, value),) = event.items()
        match name:
            case "contentBlockStart" | "contentBlockDelta":
                index = value["contentBlockIndex"]
                if index in closed or "stopReason" in end:
                    raise BrokenStreamError(f"{name} of block {index}, which is over")
                block = blocks.setdefault(index, {})
                _add_converse(block, value.get("start") or value.get("delta") or {})
            case "contentBlockStop":
                closed.add(value["contentBlockIndex"])
            case "messageStop":
                end["stopReason"] = value["stopReason"]
            case "metadata":
                end["usage"] = value.get("usage")
    if "stopReason" not in end:
        raise BrokenStreamError("no messageStop")
    content = [blocks[index] for index in sorted(blocks)]
    return from_converse({"output": {"message": {"content": content}}, **end})


def _add_converse(block: dict[str, Any], delta: Dump) -> None:
    if "text" in delta:
        block["text"] = block.get("text", "") + delta["text"]
    if isinstance(tool := delta.get("toolUse"), dict):
        call = block.setdefault("toolUse", {"input": ""})
        call |= {name: value for name, value in tool.items() if name != "input"}
        call["input"] += tool.get("input") or ""
    if thought := delta.get("reasoningContent"):
        text = block.setdefault("reasoningContent", {"reasoningText": {"text": ""}})
        text["reasoningText"]["text"] += thought.get("text") or ""
