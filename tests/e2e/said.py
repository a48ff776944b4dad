"""What a request says, in words of no dialect: to see that a translation lost nothing.

Instructions may move to the front and turns may merge, so this is a bag of
things said. Thinking and the results of server tools belong to one provider
and are not in it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from tests.e2e.canonical import parsed

Thing = tuple[str, ...]


def by_openai(body: Mapping[str, Any]) -> Counter[Thing]:
    return Counter(thing for message in body["messages"] for thing in _openai(message))


def _openai(message: Mapping[str, Any]) -> Iterator[Thing]:
    content = message.get("content")
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    if message["role"] in ("tool", "function"):
        texts = (part["text"] for part in parts if part["type"] == "text")
        yield ("result", message.get("tool_call_id", ""), "".join(texts))
        return
    yield from _parts(message["role"], parts)
    if refusal := message.get("refusal"):
        yield ("text", refusal)
    for call in message.get("tool_calls") or ():
        yield _call(call["id"], call["function"]["name"], call["function"]["arguments"])


def _parts(role: str, parts: Iterable[Mapping[str, Any]]) -> Iterator[Thing]:
    """An assistant's texts are one text, however it was cut."""
    things = [thing for part in parts for thing in _part(part)]
    if role == "assistant":
        text = "".join(thing[1] for thing in things if thing[0] == "text")
        things = [("text", text), *(thing for thing in things if thing[0] != "text")]
    yield from (thing for thing in things if thing[1])


def _part(part: Mapping[str, Any]) -> Iterator[Thing]:
    match part["type"]:
        case "text" | "refusal" as kind:
            yield ("text", part[kind])
        case "image_url" | "image":
            yield ("media", "image")
        case "document" if part["source"]["type"] == "text":
            yield ("text", part["source"]["data"])
        case "file" | "document":
            yield ("media", "document")


def by_anthropic(body: Mapping[str, Any]) -> Counter[Thing]:
    system = {"role": "system", "content": body.get("system") or []}
    return Counter(
        thing for message in [system, *body["messages"]] for thing in _anthropic(message)
    )


def _anthropic(message: Mapping[str, Any]) -> Iterator[Thing]:
    blocks = list(_blocks(message["content"]))
    yield from _parts(message["role"], blocks)
    for block in blocks:
        if block["type"] == "tool_use":
            yield _call(block["id"], block["name"], block["input"])
        elif block["type"] == "tool_result":
            inner = list(_blocks(block.get("content") or []))
            texts = (part["text"] for part in inner if part["type"] == "text")
            yield ("result", block["tool_use_id"], "".join(texts))
            yield from _parts("user", (part for part in inner if part["type"] != "text"))


def _blocks(content: str | Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _call(identifier: str, name: str, arguments: Any) -> Thing:
    ordered = msgspec.json.encode(parsed(arguments), order="sorted")
    return ("call", identifier, name, ordered.decode())


SAID: Final[Mapping[str, Callable[[Mapping[str, Any]], Counter[Thing]]]] = {
    "openai.chat": by_openai,
    "anthropic.messages": by_anthropic,
}
