"""Five clients without an SDK: what they ask, what they keep of an answer, what they send next.

They keep a JSON value as it came, so that a number that changed on its way was
changed by the proxy. How the official SDKs do it is in `sdks.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from botocore.eventstream import EventStreamBuffer
from msgspec import Raw, Struct

from core.routes import DialectName
from tests.core.dialects.wire import events
from tests.handlers.round_trips.said import (
    CHART,
    FAILED,
    NAMES,
    PIXEL,
    QUESTION,
    RESULTS,
    SCHEMA,
    fields_of,
    items_of,
    raw_of,
    str_of,
)

Fields = Mapping[str, Any]
TOOLS: Final = tuple(dict.fromkeys(NAMES))


class Kept(Struct, frozen=True):
    """What a client keeps of an answer: what it sends back, and the ids of the calls in it."""

    turn: Any
    ids: Sequence[str | None]


class Client(Struct, frozen=True, kw_only=True):
    dialect: DialectName
    path: Callable[[str, bool], str]
    first: Callable[[str, bool], Fields]
    whole: Callable[[bytes], Kept]
    streamed: Callable[[bytes], Kept]
    second: Callable[[Fields, Kept], Fields]
    flags_errors: bool
    pictures_in_results: bool


# --- OpenAI chat completions --------------------------------------------------------------------


def _chat_first(model: str, stream: bool) -> Fields:
    url = f"data:image/png;base64,{PIXEL}"
    content = [
        {"type": "text", "text": QUESTION},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    return {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "tools": [
            {"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in TOOLS
        ],
        "stream": stream,
    }


def _chat_whole(body: bytes) -> Kept:
    message = fields_of(items_of(fields_of(body)["choices"])[0])["message"]
    calls = items_of(fields_of(message)["tool_calls"])
    return Kept(message, [str_of(fields_of(call)["id"]) for call in calls])


def _chat_streamed(body: bytes) -> Kept:
    """Each thought under its index, as our documentation says."""
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    thoughts: dict[int, dict[str, Any]] = {}
    calls: dict[int, dict[str, Any]] = {}
    for event in events(body):
        document = {} if event.data == b"[DONE]" else msgspec.json.decode(event.data)
        for choice in document.get("choices", ()):
            delta = choice["delta"]
            message["content"] += delta.get("content") or ""
            if plain := delta.get("reasoning_content"):
                message["reasoning_content"] = message.get("reasoning_content", "") + plain
            for piece in [delta["reasoning"]] if "index" in delta.get("reasoning", ()) else []:
                known = thoughts.setdefault(piece.pop("index"), {})
                known.update({name: known.get(name, "") + text for name, text in piece.items()})
            for piece in delta.get("tool_calls", ()):
                function = piece.pop("function")
                call = calls.setdefault(
                    piece.pop("index"), {**piece, "function": {"arguments": ""}}
                )
                arguments = call["function"]["arguments"] + function.pop("arguments")
                call["function"].update({**function, "arguments": arguments})
    if thoughts:
        message["reasoning"] = [*thoughts.values()]
    message["tool_calls"] = [*calls.values()]
    return Kept(message, [call["id"] for call in calls.values()])


def _chat_second(first: Fields, kept: Kept) -> Fields:
    results = [
        {"role": "tool", "tool_call_id": call_id, "content": text}
        for call_id, text in zip(kept.ids, RESULTS, strict=True)
    ]
    return {**first, "messages": [*first["messages"], kept.turn, *results]}


# --- OpenAI responses ---------------------------------------------------------------------------


def _responses_first(model: str, stream: bool) -> Fields:
    image = {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"}
    content = [{"type": "input_text", "text": QUESTION}, image]
    return {
        "model": model,
        "input": [{"role": "user", "content": content}],
        "tools": [{"type": "function", "name": name, "parameters": SCHEMA} for name in TOOLS],
        "include": ["reasoning.encrypted_content"],
        "store": False,
        "stream": stream,
    }


def _responses_kept(items: Sequence[Raw]) -> Kept:
    opened = [fields_of(item) for item in items]
    calls = [item for item in opened if str_of(item["type"]) == "function_call"]
    return Kept(items, [str_of(call["call_id"]) for call in calls])


def _responses_whole(body: bytes) -> Kept:
    return _responses_kept(items_of(fields_of(body)["output"]))


def _responses_streamed(body: bytes) -> Kept:
    told = [fields_of(event.data) for event in events(body)]
    done = [event for event in told if str_of(event["type"]) == "response.output_item.done"]
    return _responses_kept([event["item"] for event in done])


def _responses_second(first: Fields, kept: Kept) -> Fields:
    outputs: list[Any] = [*RESULTS]
    picture = {"type": "input_image", "image_url": f"data:image/png;base64,{CHART}"}
    outputs[0] = [{"type": "input_text", "text": RESULTS[0]}, picture]
    results = [
        {"type": "function_call_output", "call_id": call_id, "output": output}
        for call_id, output in zip(kept.ids, outputs, strict=True)
    ]
    return {**first, "input": [*first["input"], *kept.turn, *results]}


# --- Anthropic ----------------------------------------------------------------------------------


def _claude_image(data: str) -> Fields:
    source = {"type": "base64", "media_type": "image/png", "data": data}
    return {"type": "image", "source": source}


def _anthropic_first(model: str, stream: bool) -> Fields:
    content = [_claude_image(PIXEL), {"type": "text", "text": QUESTION}]
    return {
        "model": model,
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": content}],
        "tools": [{"name": name, "input_schema": SCHEMA} for name in TOOLS],
        "stream": stream,
    }


def _anthropic_kept(content: Sequence[Any]) -> Kept:
    opened = [fields_of(msgspec.json.encode(block)) for block in content]
    ids = [str_of(block["id"]) for block in opened if str_of(block["type"]) == "tool_use"]
    return Kept({"role": "assistant", "content": content}, ids)


def _anthropic_whole(body: bytes) -> Kept:
    return _anthropic_kept(items_of(fields_of(body)["content"]))


def _anthropic_streamed(body: bytes) -> Kept:
    blocks: dict[int, dict[str, Any]] = {}
    inputs: dict[int, str] = {}
    for event in events(body):
        told = msgspec.json.decode(event.data)
        if told["type"] == "content_block_start":
            blocks[told["index"]] = dict(told["content_block"])
        if told["type"] != "content_block_delta":
            continue
        index, delta = told["index"], told["delta"]
        kind = delta["type"].removesuffix("_delta")
        if kind == "input_json":
            inputs[index] = inputs.get(index, "") + delta["partial_json"]
        else:
            blocks[index][kind] = blocks[index].get(kind, "") + delta[kind]
    for index, block in blocks.items():
        if block["type"] == "tool_use":
            block["input"] = raw_of(inputs.get(index) or "{}")
    return _anthropic_kept([*blocks.values()])


def _anthropic_second(first: Fields, kept: Kept) -> Fields:
    contents: list[Any] = [*RESULTS]
    contents[0] = [{"type": "text", "text": RESULTS[0]}, _claude_image(CHART)]
    results = [
        {"type": "tool_result", "tool_use_id": call_id, "content": content}
        | ({"is_error": True} if place == FAILED else {})
        for place, (call_id, content) in enumerate(zip(kept.ids, contents, strict=True))
    ]
    turns = [kept.turn, {"role": "user", "content": results}]
    return {**first, "messages": [*first["messages"], *turns]}


# --- Bedrock Converse ---------------------------------------------------------------------------


def _bedrock_image(data: str) -> Fields:
    return {"image": {"format": "png", "source": {"bytes": data}}}


def _converse_first(model: str, stream: bool) -> Fields:
    del model, stream  # Both are in the path.
    specs = [{"name": name, "inputSchema": {"json": SCHEMA}} for name in TOOLS]
    content = [{"text": QUESTION}, _bedrock_image(PIXEL)]
    return {
        "messages": [{"role": "user", "content": content}],
        "toolConfig": {"tools": [{"toolSpec": spec} for spec in specs]},
    }


def _converse_kept(content: Sequence[Any]) -> Kept:
    opened = [fields_of(msgspec.json.encode(block)) for block in content]
    calls = [fields_of(block["toolUse"]) for block in opened if "toolUse" in block]
    return Kept({"role": "assistant", "content": content}, [str_of(c["toolUseId"]) for c in calls])


def _converse_whole(body: bytes) -> Kept:
    message = fields_of(fields_of(fields_of(body)["output"])["message"])
    return _converse_kept(items_of(message["content"]))


def _converse_streamed(body: bytes) -> Kept:
    """The pieces added up as boto3's users do."""
    buffer = EventStreamBuffer()
    buffer.add_data(body)
    blocks: dict[int, dict[str, Any]] = {}
    calls: dict[int, dict[str, Any]] = {}
    for event in buffer:
        told = msgspec.json.decode(event.payload)
        index = told.get("contentBlockIndex", -1)
        if call := told.get("start", {}).get("toolUse"):
            calls[index] = {**call, "input": ""}
            blocks[index] = {}
        for kind, piece in told.get("delta", {}).items():
            if kind == "toolUse":
                calls[index]["input"] += piece["input"]
            elif kind == "text":
                block = blocks.setdefault(index, {"text": ""})
                block["text"] += piece
            else:
                _add_thought(blocks.setdefault(index, {"reasoningContent": {}}), piece)
    for index, call in calls.items():
        blocks[index] = {"toolUse": {**call, "input": raw_of(call["input"] or "{}")}}
    return _converse_kept([blocks[index] for index in sorted(blocks)])


def _add_thought(block: dict[str, Any], piece: Mapping[str, str]) -> None:
    thought = block["reasoningContent"]
    for name, text in piece.items():
        place = thought if name == "redactedContent" else thought.setdefault("reasoningText", {})
        place[name] = place.get(name, "") + text


def _converse_second(first: Fields, kept: Kept) -> Fields:
    contents: list[list[Fields]] = [[{"text": text}] for text in RESULTS]
    contents[0].append(_bedrock_image(CHART))
    results = [
        {"toolUseId": call_id, "content": content}
        | ({"status": "error"} if place == FAILED else {})
        for place, (call_id, content) in enumerate(zip(kept.ids, contents, strict=True))
    ]
    turn = {"role": "user", "content": [{"toolResult": result} for result in results]}
    return {**first, "messages": [*first["messages"], kept.turn, turn]}


# --- Gemini -------------------------------------------------------------------------------------


def _google_image(data: str) -> Fields:
    return {"inlineData": {"mimeType": "image/png", "data": data}}


def _gemini_first(model: str, stream: bool) -> Fields:
    del model, stream  # Both are in the path.
    declared = [{"name": name, "parameters": SCHEMA} for name in TOOLS]
    return {
        "contents": [{"role": "user", "parts": [{"text": QUESTION}, _google_image(PIXEL)]}],
        "tools": [{"functionDeclarations": declared}],
    }


def _gemini_kept(parts: Sequence[Raw]) -> Kept:
    calls = [fields_of(part)["functionCall"] for part in parts if "functionCall" in fields_of(part)]
    ids = [str_of(fields_of(call).get("id")) or None for call in calls]
    return Kept({"role": "model", "parts": parts}, ids)


def _parts(body: bytes) -> list[Raw]:
    content = fields_of(fields_of(items_of(fields_of(body)["candidates"])[0])["content"])
    return items_of(content["parts"])


def _gemini_whole(body: bytes) -> Kept:
    return _gemini_kept(_parts(body))


def _gemini_streamed(body: bytes) -> Kept:
    """All parts, one after the other, in one turn."""
    return _gemini_kept([part for event in events(body) for part in _parts(event.data)])


def _gemini_second(first: Fields, kept: Kept) -> Fields:
    words = ["error" if place == FAILED else "result" for place in range(len(RESULTS))]
    answers: list[dict[str, Any]] = [
        {"name": name, "response": {word: text}} | ({} if call_id is None else {"id": call_id})
        for call_id, name, word, text in zip(kept.ids, NAMES, words, RESULTS, strict=True)
    ]
    answers[0]["parts"] = [_google_image(CHART)]
    turn = {"role": "user", "parts": [{"functionResponse": answer} for answer in answers]}
    said = kept.turn if isinstance(kept.turn, list) else [kept.turn]
    return {**first, "contents": [*first["contents"], *said, turn]}


def _gemini_path(model: str, stream: bool) -> str:
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"/v1beta/models/{model}:{method}"


CLIENTS: Final[Mapping[str, Client]] = {
    "openai_chat": Client(
        dialect="openai_chat",
        path=lambda _, __: "/v1/chat/completions",
        first=_chat_first,
        whole=_chat_whole,
        streamed=_chat_streamed,
        second=_chat_second,
        flags_errors=False,
        pictures_in_results=False,
    ),
    "openai_responses": Client(
        dialect="openai_responses",
        path=lambda _, __: "/v1/responses",
        first=_responses_first,
        whole=_responses_whole,
        streamed=_responses_streamed,
        second=_responses_second,
        flags_errors=False,
        pictures_in_results=True,
    ),
    "anthropic": Client(
        dialect="anthropic",
        path=lambda _, __: "/v1/messages",
        first=_anthropic_first,
        whole=_anthropic_whole,
        streamed=_anthropic_streamed,
        second=_anthropic_second,
        flags_errors=True,
        pictures_in_results=True,
    ),
    "converse": Client(
        dialect="converse",
        path=lambda model, stream: f"/model/{model}/converse{'-stream' * stream}",
        first=_converse_first,
        whole=_converse_whole,
        streamed=_converse_streamed,
        second=_converse_second,
        flags_errors=True,
        pictures_in_results=True,
    ),
    "gemini": Client(
        dialect="gemini",
        path=_gemini_path,
        first=_gemini_first,
        whole=_gemini_whole,
        streamed=_gemini_streamed,
        second=_gemini_second,
        flags_errors=True,
        pictures_in_results=True,
    ),
}
