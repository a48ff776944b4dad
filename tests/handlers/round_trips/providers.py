"""Five providers: a first answer in each one's own bytes, and how to read the second request.

Ids, signatures and sealed content are as long and of such characters as the
providers' own; a request is read in the provider's own shape.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from core.eventstream import render as framed
from tests.handlers.round_trips import openai
from tests.handlers.round_trips.said import ARGUMENTS, TEXT, THOUGHT, Result, items_of
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

SIGNATURE: Final = "Er" + b64encode(bytes(range(251, 256)) * 60).decode() + "A="
REDACTED: Final = "EmwKAhgBEgy3va3pzix/LafPsn4aDFIT2Xlxh0L5L8rLVyIwxtE3rAFBa8cr3qpP+w=="
REDACTED_64: Final = b64encode(REDACTED.encode()).decode()
"""The same in base64, as Bedrock sends bytes."""
OF_TEXT: Final = b64encode(bytes(range(240, 256)) * 5).decode()
OF_CALL: Final = b64encode(bytes(range(256)) * 3 + b"?").decode()

# --- Anthropic ----------------------------------------------------------------------------------

CLAUDE_IDS: Final = (
    "toolu_01A09q90qw90lq917835lq9",
    "toolu_01B19r81rx81mr826946mr8",
    "toolu_01C28s72sy72ns735057ns7",
)


def _anthropic() -> Provider:
    blocks: list[Fields] = [
        {"type": "thinking", "thinking": THOUGHT, "signature": SIGNATURE},
        {"type": "redacted_thinking", "data": REDACTED},
        {"type": "text", "text": TEXT},
        *(
            {"type": "tool_use", "id": i, "name": name, "input": Raw(arguments.encode())}
            for i, name, arguments in calls_of(CLAUDE_IDS)
        ),
    ]
    usage = {"input_tokens": 9, "output_tokens": 9}
    head = {"id": "msg_01Qx", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5"}
    end = {"stop_reason": "tool_use", "stop_sequence": None}
    start = {**head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    stream: list[Fields] = [{"type": "message_start", "message": start}, {"type": "ping"}]
    for index, block in enumerate(blocks):
        stream += [{"index": index, **event} for event in _block_events(block)]
    stream.append({"type": "message_delta", "delta": end, "usage": {"output_tokens": 9}})
    stream.append({"type": "message_stop"})
    return Provider(
        dialect="anthropic",
        model="claude-sonnet-4-5",
        endpoint={"type": "anthropic"},
        whole=encoded({**head, "content": blocks, **end, "usage": usage}),
        stream=events(*stream, named=True),
        said=blocks,
        ids=CLAUDE_IDS,
        read=_read_anthropic,
        flags_errors=True,
        pictures_inside=True,
    )


def _block_events(block: Fields) -> list[Fields]:
    kind = block["type"]
    empty: Fields = {
        "thinking": {"thinking": "", "signature": ""},
        "text": {"text": ""},
        "tool_use": {"input": {}},
    }.get(kind, {})
    deltas: list[Fields] = []
    match kind:
        case "thinking":
            pieces = halves(block["thinking"])
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        case "text":
            deltas = [{"type": "text_delta", "text": piece} for piece in halves(block["text"])]
        case "tool_use":
            written = bytes(block["input"]).decode()
            # Claude says nothing more of arguments that are empty.
            pieces = ("", *halves(written)) if written != "{}" else ("",)
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return [
        {"type": "content_block_start", "content_block": {**block, **empty}},
        *({"type": "content_block_delta", "delta": delta} for delta in deltas),
        {"type": "content_block_stop"},
    ]


def _read_anthropic(body: bytes) -> Request:
    messages = msgspec.json.decode(body, type=dict[str, Raw])["messages"]
    said: Any = None
    results, pictures = [], []
    for message in msgspec.json.decode(messages, type=list[dict[str, Raw]]):
        if bytes(message["role"]) == b'"assistant"':
            said = message["content"]
            continue
        for block in msgspec.json.decode(message["content"]):
            content = block.get("content", "") if block["type"] == "tool_result" else [block]
            images = [] if isinstance(content, str) else _claude_images(content)
            pictures += images
            if block["type"] == "tool_result":
                failed = block.get("is_error") is True
                results.append(Result(block["tool_use_id"], texts(content), failed, bool(images)))
    return Request(said, results, pictures)


def _claude_images(content: Sequence[Fields]) -> list[str]:
    return [block["source"]["data"] for block in content if block["type"] == "image"]


# --- Bedrock Converse ---------------------------------------------------------------------------

BEDROCK_IDS: Final = ("tooluse_Kq2-vYpX1b9.a:1", "tooluse_Kq2-vYpX1b9.a:2", "tooluse_Zz_3")


def _converse() -> Provider:
    thought = {"reasoningText": {"text": THOUGHT, "signature": SIGNATURE}}
    blocks: list[Fields] = [
        {"reasoningContent": thought},
        {"reasoningContent": {"redactedContent": REDACTED_64}},
        {"text": TEXT},
        *(
            {"toolUse": {"toolUseId": i, "name": name, "input": Raw(arguments.encode())}}
            for i, name, arguments in calls_of(BEDROCK_IDS)
        ),
    ]
    pieces: list[Sequence[Fields]] = [
        [
            *({"reasoningContent": {"text": piece}} for piece in halves(THOUGHT)),
            {"reasoningContent": {"signature": SIGNATURE}},
        ],
        [{"reasoningContent": {"redactedContent": REDACTED_64}}],
        [{"text": piece} for piece in halves(TEXT)],
        *(
            [{"toolUse": {"input": piece}} for piece in halves(arguments) if arguments != "{}"]
            for arguments in ARGUMENTS
        ),
    ]
    stream = [framed(encoded({"role": "assistant"}), "messageStart")]
    for index, (block, deltas) in enumerate(zip(blocks, pieces, strict=True)):
        at = {"contentBlockIndex": index}
        if "toolUse" in block:
            start = {name: block["toolUse"][name] for name in ("toolUseId", "name")}
            stream.append(framed(encoded({**at, "start": {"toolUse": start}}), "contentBlockStart"))
        stream += [framed(encoded({**at, "delta": d}), "contentBlockDelta") for d in deltas]
        stream.append(framed(encoded(at), "contentBlockStop"))
    usage = {"inputTokens": 9, "outputTokens": 9, "totalTokens": 18}
    end = {"usage": usage, "metrics": {"latencyMs": 1}}
    stream.append(framed(encoded({"stopReason": "tool_use"}), "messageStop"))
    stream.append(framed(encoded(end), "metadata"))
    message = {"role": "assistant", "content": blocks}
    return Provider(
        dialect="converse",
        model="anthropic.claude-sonnet-4-5-20250929-v1:0",
        endpoint={
            "type": "bedrock",
            "metadata": {"region": "eu-west-1", "access_key": "AKIA", "dialects": ["converse"]},
        },
        whole=encoded({"output": {"message": message}, "stopReason": "tool_use", **end}),
        stream=b"".join(stream),
        content_type="application/vnd.amazon.eventstream",
        said=blocks,
        ids=BEDROCK_IDS,
        read=_read_converse,
        flags_errors=True,
        pictures_inside=True,
    )


def _read_converse(body: bytes) -> Request:
    messages = msgspec.json.decode(body, type=dict[str, Raw])["messages"]
    said: Any = None
    results, pictures = [], []
    for message in msgspec.json.decode(messages, type=list[dict[str, Raw]]):
        if bytes(message["role"]) == b'"assistant"':
            said = message["content"]
            continue
        for block in msgspec.json.decode(message["content"]):
            result = block.get("toolResult")
            content = [block] if result is None else result["content"]
            images = [b["image"]["source"]["bytes"] for b in content if "image" in b]
            pictures += images
            if result is not None:
                failed = result.get("status") == "error"
                results.append(Result(result["toolUseId"], texts(content), failed, bool(images)))
    return Request(said, results, pictures)


# --- Gemini -------------------------------------------------------------------------------------

GOOGLE_IDS: Final = ("fc-7031-a", "fc-7031-b", "fc-7031-c")


def gemini(model: str, ids: Sequence[str | None]) -> Provider:
    """Without ids: as Gemini 2.5 answers."""
    calls = [
        {"functionCall": {"name": name, "args": Raw(arguments.encode())} | ({"id": i} if i else {})}
        for i, name, arguments in calls_of(ids)
    ]
    calls[0] = {**calls[0], "thoughtSignature": OF_CALL}
    parts: list[Fields] = [
        {"text": THOUGHT, "thought": True},
        {"text": TEXT, "thoughtSignature": OF_TEXT},
        *calls,
    ]
    pieces: list[Fields] = [{"text": piece, "thought": True} for piece in halves(THOUGHT)]
    pieces += [{"text": piece} for piece in halves(TEXT)]
    pieces[-1] = {**pieces[-1], "thoughtSignature": OF_TEXT}
    head = {"modelVersion": model, "responseId": "m4kQadX5"}
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 9, "totalTokenCount": 18}
    stream = [
        {"candidates": [{"content": {"parts": [piece], "role": "model"}, "index": 0}], **head}
        for piece in (*pieces, *calls)
    ]
    last = {"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": "STOP"}
    stream.append({"candidates": [{**last, "index": 0}], "usageMetadata": usage, **head})
    content = {"parts": parts, "role": "model"}
    candidate = {"content": content, "finishReason": "STOP", "index": 0}
    return Provider(
        dialect="gemini",
        model=model,
        endpoint={"type": "google"},
        whole=encoded({"candidates": [candidate], "usageMetadata": usage, **head}),
        stream=events(*stream),
        said=parts,
        ids=ids,
        read=_read_gemini,
        flags_errors=True,
        pictures_inside=False,
    )


def _read_gemini(body: bytes) -> Request:
    contents = msgspec.json.decode(body, type=dict[str, Raw])["contents"]
    said: list[Raw] = []
    results, pictures = [], []
    for content in msgspec.json.decode(contents, type=list[dict[str, Raw]]):
        if bytes(content["role"]) == b'"model"':
            said += items_of(content["parts"])
            continue
        for part in msgspec.json.decode(content["parts"]):
            answer = part.get("functionResponse")
            beside = [part] if answer is None else answer.get("parts", [])
            images = [p["inlineData"]["data"] for p in beside if "inlineData" in p]
            pictures += images
            if answer is not None:
                ((word, text),) = answer["response"].items()
                results.append(Result(answer.get("id"), text, word == "error", bool(images)))
    return Request(_joined(said), results, pictures)


def _joined(parts: Sequence[Raw]) -> list[Any]:
    """A text or a thought that was streamed may come back in pieces, the signature last."""
    joined: list[dict[str, Any]] = []
    for part in parts:
        fields: dict[str, Any] = msgspec.json.decode(part, type=dict[str, Raw])
        if "text" in fields:
            fields["text"] = msgspec.json.decode(fields["text"])
        before = joined[-1] if joined else {}
        if fields == {"text": ""}:
            continue
        if "text" in fields and before.keys() == fields.keys() - {"thoughtSignature"}:
            joined[-1] = {**fields, "text": before["text"] + fields["text"]}
        else:
            joined.append(fields)
    return joined


PROVIDERS: Final[Mapping[str, Provider]] = {
    "openai_chat": openai.chat(),
    "openai_responses": openai.responses(),
    "anthropic": _anthropic(),
    "converse": _converse(),
    "gemini": gemini("gemini-3-pro-preview", GOOGLE_IDS),
    "gemini without ids": gemini("gemini-2.5-pro", (None, None, None)),
}
