"""A model provider on loopback, quick enough to stay out of the figures.

It speaks just enough HTTP/1.1 for the bench: keep-alive, a `Content-Length` on each request,
one answer at a time. Every streamed delta carries the monotonic clock between two `@`, so
whoever reads it at the other end of a proxy knows how long it was on the way.
"""

import argparse
import asyncio
import json  # noqa: TID251  (standard library only: this is the one part that is not ours)
import re
import time
from dataclasses import asdict, dataclass
from functools import cache

ANSWER = " ".join(f"Sentence {n} says what a provider would have said here." for n in range(21))
SENT, SAID = 231, 214
"""Tokens in, tokens out."""
OPENAI_USAGE = {"prompt_tokens": SENT, "completion_tokens": SAID, "total_tokens": SENT + SAID}
LAST_CHUNK_S = 0.001

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEADERS = (
    b"date: Tue, 02 Dec 2025 10:00:00 GMT\r\n"
    b"server: upstream\r\n"
    b"x-request-id: req_0123456789abcdef0123456789abcdef\r\n"
    b"x-ratelimit-limit-requests: 10000\r\n"
    b"x-ratelimit-remaining-requests: 9999\r\n"
    b"x-ratelimit-remaining-tokens: 199794\r\n"
    b"strict-transport-security: max-age=31536000\r\n"
)
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\n" + _HEADERS + b"content-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
)


@dataclass(frozen=True)
class Script:
    """What is said on a stream: `before` and `after` enclose the text of each delta."""

    opening: bytes
    before: bytes
    after: bytes
    closing: bytes


@dataclass
class Settings:
    chunks: int = 50
    gap_s: float = 0.005
    answered: int = 0
    connections: int = 0


def encode(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def whole(body: bytes, status: bytes = b"200 OK") -> bytes:
    head = b"HTTP/1.1 %s\r\n%scontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % (status, _HEADERS, len(body)) + body


def framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def split_at_text(event: bytes) -> tuple[bytes, bytes]:
    before, _, after = event.partition(b"TEXT")
    return before, after


@cache
def openai_whole(model: str) -> bytes:
    message = {"role": "assistant", "content": ANSWER, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return encode(
        {
            "id": "chatcmpl-0123456789abcdefghijklmnopqrs",
            "object": "chat.completion",
            "created": 1764669600,
            "model": model,
            "choices": [choice],
            "usage": OPENAI_USAGE,
            "service_tier": "default",
            "system_fingerprint": "fp_0123456789",
        }
    )


@cache
def openai_script(model: str, *, with_usage: bool) -> Script:
    def event(delta: dict, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return b"data: %s\n\n" % encode(common | {"choices": [choice]})

    common = {
        "id": "chatcmpl-0123456789abcdefghijklmnopqrs",
        "object": "chat.completion.chunk",
        "created": 1764669600,
        "model": model,
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
    }
    counted = b"data: %s\n\n" % encode(common | {"choices": [], "usage": OPENAI_USAGE})
    return Script(
        event({"role": "assistant", "content": "", "refusal": None}),
        *split_at_text(event({"content": "TEXT"})),
        event({}, "stop") + (counted if with_usage else b"") + b"data: [DONE]\n\n",
    )


def anthropic_message(model: str, content: list, stop: str | None, said: int) -> dict:
    return {
        "id": "msg_0123456789abcdefghijklmn",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": SENT, "output_tokens": said},
    }


@cache
def anthropic_whole(model: str) -> bytes:
    content = [{"type": "text", "text": ANSWER}]
    return encode(anthropic_message(model, content, "end_turn", SAID))


@cache
def anthropic_script(model: str) -> Script:
    def event(kind: str, **fields: object) -> bytes:
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), encode({"type": kind} | fields))

    block = {"type": "text", "text": ""}
    delta = {"type": "text_delta", "text": "TEXT"}
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    return Script(
        event("message_start", message=anthropic_message(model, [], None, 1))
        + event("content_block_start", index=0, content_block=block)
        + event("ping"),
        *split_at_text(event("content_block_delta", index=0, delta=delta)),
        event("content_block_stop", index=0)
        + event("message_delta", delta=stop, usage={"output_tokens": SAID})
        + event("message_stop"),
    )


def reason_to_refuse(path: str, asked: dict) -> str:
    """A proxy that translates must have kept the prompt, and named it as this API does."""
    roles = [message["role"] for message in asked.get("messages", [])]
    if path == "/v1/messages":
        right = roles == ["user"] and asked.get("system") and asked.get("max_tokens")
    else:
        right = roles in (["system", "user"], ["developer", "user"])
    return "" if right else f"{path} was asked in a shape that is not its own."


class Connection(asyncio.Protocol):
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.received = b""
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.settings.connections += 1

    def connection_lost(self, _: Exception | None) -> None:
        if self.timer:
            self.timer.cancel()

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, complete, rest = self.received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if not complete or len(rest) < size:
            return
        self.received = rest[size:]
        path = head.split(b" ", 2)[1].decode()
        self.answer(path.partition("?")[0], json.loads(rest[:size]) if size else {})

    def answer(self, path: str, asked: dict) -> None:
        match path:
            case "/v1/chat/completions" | "/v1/messages":
                self.settings.answered += 1
                self.complete(path, asked)
            case "/settings":
                self.settings.chunks = asked.get("chunks", self.settings.chunks)
                self.settings.gap_s = asked.get("gap_s", self.settings.gap_s)
                self.transport.write(whole(encode(asdict(self.settings))))
            case "/health":
                self.transport.write(whole(b"{}"))
            case _:
                self.transport.write(whole(b"{}", b"404 Not Found"))

    def complete(self, path: str, asked: dict) -> None:
        anthropic = path == "/v1/messages"
        model = asked.get("model", "")
        if refused := reason_to_refuse(path, asked):
            error = encode({"type": "error", "error": {"type": "bench", "message": refused}})
            self.transport.write(whole(error, b"400 Bad Request"))
        elif asked.get("stream"):
            with_usage = (asked.get("stream_options") or {}).get("include_usage", False)
            script = (
                anthropic_script(model)
                if anthropic
                else openai_script(model, with_usage=with_usage)
            )
            self.transport.write(_STREAM_HEAD + framed(script.opening))
            self.say(script, self.settings.chunks, asyncio.get_running_loop().time())
        else:
            self.transport.write(whole((anthropic_whole if anthropic else openai_whole)(model)))

    def say(self, script: Script, left: int, due: float) -> None:
        loop = asyncio.get_running_loop()
        if not left:
            self.transport.write(framed(script.closing))
            # Apart, as many servers send it: who leaves at the last event never reads it, and
            # throws away a connection that could have been used again.
            self.timer = loop.call_later(LAST_CHUNK_S, self.transport.write, b"0\r\n\r\n")
            return
        stamp = b" word@%d@" % time.monotonic_ns()
        self.transport.write(framed(script.before + stamp + script.after))
        due += self.settings.gap_s
        self.timer = loop.call_at(due, self.say, script, left - 1, due)


async def serve(port: int) -> None:
    settings = Settings()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(settings), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(serve(parser.parse_args().port))
