"""Providers that speak OpenAI's two formats: their answers, and how they read a request."""

from collections.abc import Sequence
from typing import Final

import msgspec

from tests.handlers.round_trips.said import TEXT, THOUGHT, Result, frozen
from tests.handlers.round_trips.shape import (
    Fields,
    Provider,
    Request,
    calls_of,
    encoded,
    events,
    halves,
    texts,
)

SEALED: Final = "gAAAAABo" + "Zq-_0aB9" * 60 + "=="

# --- OpenAI chat completions, from a maker of open models --------------------------------------

CHAT_IDS: Final = ("call_00_Zq3vYpX1", "call_01_b9KdLm2R", "call_02_Tt7uWw0Q")


def chat(ids: Sequence[str | None] = CHAT_IDS) -> Provider:
    calls = [
        {"id": i, "type": "function", "function": {"name": name, "arguments": arguments}}
        for i, name, arguments in calls_of(ids)
    ]
    message = {"role": "assistant", "content": TEXT, "reasoning_content": THOUGHT}
    head = {"id": "4a1c", "object": "chat.completion", "created": 1, "model": "deepseek-reasoner"}
    usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
    whole = {"message": {**message, "tool_calls": calls}, "index": 0, "finish_reason": "tool_calls"}
    deltas: list[Fields] = [{"role": "assistant", "content": None, "reasoning_content": ""}]
    deltas += [{"content": None, "reasoning_content": piece} for piece in halves(THOUGHT)]
    deltas += [{"content": piece, "reasoning_content": None} for piece in halves(TEXT)]
    for index, (i, name, arguments) in enumerate(calls_of(ids)):
        begun = {"index": index, "id": i, "type": "function"}
        deltas.append({"tool_calls": [{**begun, "function": {"name": name, "arguments": ""}}]})
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
            for piece in halves(arguments)
        ]
    chunk = {**head, "object": "chat.completion.chunk"}
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {"content": ""}, "finish_reason": "tool_calls"})
    chunks = [{**chunk, "choices": [choice]} for choice in choices]
    return Provider(
        dialect="openai_chat",
        model="deepseek-reasoner",
        endpoint={"type": "deepseek", "metadata": {"dialects": ["openai_chat"]}},
        whole=encoded({**head, "choices": [whole], "usage": usage}),
        stream=events(*chunks, {**chunk, "choices": [], "usage": usage}) + b"data: [DONE]\n\n",
        said={"content": TEXT, "tool_calls": frozen(encoded(calls))},
        ids=ids,
        read=_read_chat,
        flags_errors=False,
        pictures_inside=False,
        plain_thoughts=True,
    )


def _read_chat(body: bytes) -> Request:
    messages = msgspec.json.decode(body)["messages"]
    (said,) = [message for message in messages if message["role"] == "assistant"]
    parts = [
        part
        for message in messages
        if message["role"] == "user" and not isinstance(message["content"], str)
        for part in message["content"]
    ]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    told = {name: value for name, value in said.items() if name != "role" and value is not None}
    # OpenAI's SDK leaves what it knows of a stream in the calls that it writes back.
    told["tool_calls"] = [
        {
            "id": call["id"],
            "type": call["type"],
            "function": {name: call["function"][name] for name in ("name", "arguments")},
        }
        for call in said["tool_calls"]
    ]
    return Request(
        told,
        [
            Result(message["tool_call_id"], texts(message["content"]), False, False)
            for message in messages
            if message["role"] == "tool"
        ],
        [url.removeprefix("data:image/png;base64,") for url in urls],
    )


# --- OpenAI responses ---------------------------------------------------------------------------

CALL_IDS: Final = (
    "call_Xq2vYpX1b9KdLm2RTt7uWw0Q",
    "call_Yb9KdLm2RTt7uWw0QXq2vYpX",
    "call_ZTt7uWw0QXq2vYpX1b9KdLm2",
)


def responses() -> Provider:
    thought = {
        "id": "rs_0b1c2d3e4f50617200690a1b2c3d4e8194a5b6c7d8e9f00112",
        "type": "reasoning",
        "summary": [
            {"type": "summary_text", "text": THOUGHT},
            {"type": "summary_text", "text": "**And** more."},
        ],
        "encrypted_content": SEALED,
    }
    text = {"type": "output_text", "text": TEXT, "annotations": [], "logprobs": []}
    message = {
        "id": "msg_0b1c2d3e4f50617200690a1b2c3d4e8194a5b6c7d8e9f00113",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [text],
    }
    calls = [
        {
            "id": f"fc_0b1c2d3e4f50617200690a1b2c3d4e8194a5b6c7d8e9f0012{index}",
            "type": "function_call",
            "status": "completed",
            "call_id": call_id,
            "name": name,
            "arguments": arguments,
        }
        for index, (call_id, name, arguments) in enumerate(calls_of(CALL_IDS))
    ]
    output = [thought, message, *calls]
    usage = {"input_tokens": 9, "output_tokens": 9, "total_tokens": 18}
    response = {"id": "resp_0b1c", "object": "response", "created_at": 1, "model": "gpt-5"}
    done = {**response, "status": "completed", "output": output, "usage": usage}
    stream: list[Fields] = [{"type": "response.created", "response": {**response, "output": []}}]
    begun: list[Fields] = [
        {**thought, "summary": [], "encrypted_content": SEALED[:40]},
        {**message, "status": "in_progress", "content": []},
        *({**call, "status": "in_progress", "arguments": ""} for call in calls),
    ]
    for index, item in enumerate(output):
        at = {"output_index": index}
        stream.append({"type": "response.output_item.added", **at, "item": begun[index]})
        stream += [{**at, **event} for event in _grown(item)]
        stream.append({"type": "response.output_item.done", **at, "item": item})
    stream.append({"type": "response.completed", "response": done})
    numbered = [{**event, "sequence_number": n} for n, event in enumerate(stream)]
    plain = [{"call_id": i, "name": n, "arguments": a} for i, n, a in calls_of(CALL_IDS)]
    return Provider(
        dialect="openai_responses",
        model="gpt-5",
        endpoint={"type": "openai", "metadata": {"dialects": ["openai_responses"]}},
        whole=encoded(done),
        stream=events(*numbered, named=True),
        said=[thought, TEXT, *plain],
        ids=CALL_IDS,
        read=_read_responses,
        flags_errors=False,
        pictures_inside=True,
    )


def _grown(item: Fields) -> list[Fields]:
    """The events between an item's beginning and its end."""
    match item["type"]:
        case "reasoning":
            return [
                {
                    "type": "response.reasoning_summary_text.delta",
                    "summary_index": index,
                    "delta": piece,
                }
                for index, part in enumerate(item["summary"])
                for piece in halves(part["text"])
            ]
        case "message":
            at = {"type": "response.output_text.delta", "content_index": 0}
            return [
                {
                    "type": "response.content_part.added",
                    "content_index": 0,
                    "part": {"type": "output_text", "text": "", "annotations": []},
                },
                *({**at, "delta": piece} for piece in halves(TEXT)),
            ]
        case _:
            kind = "response.function_call_arguments.delta"
            return [{"type": kind, "delta": piece} for piece in halves(item["arguments"])]


def _read_responses(body: bytes) -> Request:
    items = msgspec.json.decode(body)["input"]
    said, results, pictures = [], [], []
    for item in items:
        match item:
            case {"type": "function_call"}:
                said.append({name: item[name] for name in ("call_id", "name", "arguments")})
            case {"type": "reasoning"}:
                said.append(item)
            case {"type": "function_call_output", "output": output}:
                images = [] if isinstance(output, str) else _input_images(output)
                pictures += images
                told = Result(item["call_id"], texts(output), False, bool(images))
                results.append(told)
            case {"role": "assistant", "content": content}:
                said.append(texts(content))
            case {"content": list(content)}:
                pictures += _input_images(content)
    return Request(said, results, pictures)


def _input_images(content: Sequence[Fields]) -> list[str]:
    urls = [part["image_url"] for part in content if part["type"] == "input_image"]
    return [url.removeprefix("data:image/png;base64,") for url in urls]
