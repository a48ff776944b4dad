"""The caller of the bench: four ways to ask, one keep-alive connection per worker.

Reading is kept as coarse as it can be (a stream is searched, not parsed), because the caller
shares its core with the upstream; the strict reading is in `check`, before the clock starts.
"""

import asyncio
import re
import time
from dataclasses import dataclass, field
from statistics import median

import msgspec
import upstream

KEY = "cw_bench_0123456789abcdef0123456789abcdef"
SYSTEM = "You are the assistant of a shipping company. Answer briefly and name your sources. " * 11
QUESTION = "What does a cutwater do for the pier of a bridge?"
OPENAI_MODEL, CLAUDE_MODEL = "gpt-4o-mini", "claude-bench"
PATIENCE_S = 20

_STAMP = re.compile(rb"@(\d+)@")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_LAST_CHUNK = b"\r\n0\r\n\r\n"


class WrongAnswerError(Exception):
    """A figure for a wrong answer is worth nothing, so the bench ends here."""


@dataclass
class Sample:
    """Seconds, one entry per request or per chunk."""

    whole: list[float] = field(default_factory=list)
    first_text: list[float] = field(default_factory=list)
    on_the_way: list[float] = field(default_factory=list)

    def p50_ms(self, name: str) -> float | None:
        values = getattr(self, name)
        return median(values) * 1000 if values else None


class Counts(msgspec.Struct):
    """Of the upstream, since it started."""

    answered: int
    connections: int


def request(dialect: str, model: str, *, stream: bool) -> bytes:
    body: dict = {"model": model, "max_tokens": 300, "temperature": 0.7, "stream": stream}
    user = {"role": "user", "content": QUESTION}
    if dialect == "anthropic":
        path, own_header = "/v1/messages", "anthropic-version: 2023-06-01\r\n"
        body |= {"system": SYSTEM, "messages": [user]}
    else:
        path, own_header = "/v1/chat/completions", ""
        body["messages"] = [{"role": "system", "content": SYSTEM}, user]
        if stream:
            body["stream_options"] = {"include_usage": True}
    raw = msgspec.json.encode(body)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {KEY}\r\n{own_header}"
        "accept: application/json\r\nuser-agent: bench\r\ncontent-type: application/json\r\n"
        f"content-length: {len(raw)}\r\n\r\n"
    )
    return head.encode() + raw


class Caller:
    """One connection; one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, port: int) -> "Caller":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, asked: bytes, sample: Sample) -> bytes:
        """The body of the answer; how long it took goes to `sample`."""
        started = time.monotonic()
        self.writer.write(asked)
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if length:
            body = await self.reader.readexactly(int(length[1]))
        else:
            body = await self.read_chunked(sample, started)
        sample.whole.append(time.monotonic() - started)
        if not head.startswith(b"HTTP/1.1 200 "):
            raise WrongAnswerError((head + body).decode(errors="replace"))
        return body

    async def read_chunked(self, sample: Sample, started: float) -> bytes:
        received, seen, first = b"\r\n", 0, len(sample.on_the_way)
        while not received.endswith(_LAST_CHUNK):
            data = await self.reader.read(65536)
            now = time.monotonic_ns()
            if not data:
                raise WrongAnswerError("The connection was closed before the stream ended.")
            received += data
            for stamp in _STAMP.finditer(received, seen):
                seen = stamp.end()
                sample.on_the_way.append((now - int(stamp[1])) / 1e9)
                if len(sample.on_the_way) == first + 1:
                    sample.first_text.append(now / 1e9 - started)
        return received[2:]


def unframed(chunked: bytes) -> bytes:
    body = b""
    while chunked:
        size, _, rest = chunked.partition(b"\r\n")
        length = int(size, 16)
        body, chunked = body + rest[:length], rest[length + 2 :] if length else b""
    return body


async def settings(upstream_port: int, **changes: float) -> Counts:
    """Change how the upstream streams; answer what it has counted so far."""
    raw = msgspec.json.encode(changes)
    caller = await Caller.connect(upstream_port)
    head = f"POST /settings HTTP/1.1\r\ncontent-length: {len(raw)}\r\n\r\n".encode()
    answer = await caller.ask(head + raw, Sample())
    caller.writer.close()
    return msgspec.json.decode(answer, type=Counts)


async def press(
    port: int, asked: bytes, *, concurrency: int, requests: int, stagger_s: float = 0
) -> Sample:
    """Ask until `requests` are answered, starting the workers `stagger_s` apart."""
    sample, left = Sample(), iter(range(requests))

    async def work(number: int) -> None:
        caller = await Caller.connect(port)
        await asyncio.sleep(number * stagger_s)
        for _ in left:
            async with asyncio.timeout(PATIENCE_S):
                await caller.ask(asked, sample)
        caller.writer.close()

    async with asyncio.TaskGroup() as workers:
        for number in range(min(concurrency, requests)):
            workers.create_task(work(number))
    return sample


async def check(port: int, dialect: str, model: str, chunks: int) -> None:
    """Read one whole and one streamed answer closely."""
    caller = await Caller.connect(port)
    async with asyncio.timeout(PATIENCE_S):
        body = await caller.ask(request(dialect, model, stream=False), Sample())
        stream = await caller.ask(request(dialect, model, stream=True), Sample())
    caller.writer.close()
    right = check_anthropic if dialect == "anthropic" else check_openai
    lines = unframed(stream).decode().splitlines()
    data = [line.removeprefix("data:").strip() for line in lines if line.startswith("data:")]
    text = right(msgspec.json.decode(body), data)
    expect("text deltas", len(_STAMP.findall(text.encode())), chunks)


def expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise WrongAnswerError(f"{what}: {found!r} instead of {wanted!r}.")


def check_openai(whole: dict, data: list[str]) -> str:
    choice = whole["choices"][0]
    expect("text", choice["message"]["content"], upstream.ANSWER)
    expect("finish", choice["finish_reason"], "stop")
    expect("usage", whole["usage"]["total_tokens"], upstream.SENT + upstream.SAID)
    expect("last event", data[-1], "[DONE]")
    events = [msgspec.json.decode(event) for event in data[:-1]]
    choices = [choice for event in events for choice in event["choices"]]
    expect("streamed finish", choices[-1]["finish_reason"], "stop")
    expect("streamed usage", events[-1]["usage"]["completion_tokens"], upstream.SAID)
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def check_anthropic(whole: dict, data: list[str]) -> str:
    expect("text", whole["content"][0]["text"], upstream.ANSWER)
    expect("finish", whole["stop_reason"], "end_turn")
    expect("usage", whole["usage"]["output_tokens"], upstream.SAID)
    events = [msgspec.json.decode(event) for event in data]
    expect("first event", events[0]["type"], "message_start")
    expect("last event", events[-1]["type"], "message_stop")
    end = next(event for event in events if event["type"] == "message_delta")
    expect("streamed finish", end["delta"]["stop_reason"], "end_turn")
    expect("streamed usage", end["usage"]["output_tokens"], upstream.SAID)
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    return "".join(delta.get("text", "") for delta in deltas)
