"""The faults, as bytes on a line. Each row of the failure table is one function here.

A play says whether the connection may be used again: where a fault lies in the
framing, it may not.
"""

import asyncio
import zlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Final, Literal

from msgspec import Struct

from tests.faults import speech
from tests.faults.server import Asked, Play
from tests.faults.speech import JSON, Wrong
from tests.infra.loopback import Connection

STALL_S: Final = 30.0
"""Longer than anything waits for."""


def head(
    content_type: str = JSON,
    *headers: str,
    status: int = 200,
    length: int | None = None,
    version: str = "1.1",
) -> bytes:
    """Without a length the body is chunked, in HTTP/1.0 it goes on to the end."""
    lines = [f"HTTP/{version} {status} Said", f"content-type: {content_type}", *headers]
    if length is not None:
        lines.append(f"content-length: {length}")
    elif version == "1.1":
        lines.append("transfer-encoding: chunked")
    return "\r\n".join([*lines, "", ""]).encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST_CHUNK: Final = b"0\r\n\r\n"


def content_type(asked: Asked) -> str:
    return asked.speech.content_type if asked.stream else JSON


def pieces(asked: Asked) -> tuple[bytes, ...]:
    return tuple(filter(None, asked.speech.events)) if asked.stream else (asked.speech.whole,)


def before_the_cut(asked: Asked) -> tuple[bytes, ...]:
    """Up to the middle of the answer, and whole events only."""
    said = asked.speech
    if asked.stream:
        return (*said.preamble, *said.words[: len(said.words) // 2])
    return (said.whole[: len(said.whole) // 2],)


def half_a_piece(asked: Asked) -> bytes:
    said = asked.speech
    following = said.words[len(said.words) // 2] if asked.stream else said.whole
    return following[: len(following) // 2]


async def say_chunks(line: Connection, said: Iterable[bytes]) -> None:
    for piece in said:
        await line.say(chunk(piece))


async def stall(line: Connection) -> bool:
    """Until the caller has had enough."""
    async with asyncio.timeout(STALL_S):
        await line.gone()
    raise ConnectionResetError


# --- No fault -------------------------------------------------------------------------------------


async def fine(line: Connection, asked: Asked) -> bool:
    if asked.stream:
        await line.say(head(content_type(asked)))
        await say_chunks(line, pieces(asked))
        await line.say(LAST_CHUNK)
    else:
        whole = asked.speech.whole
        await line.say(head(length=len(whole)) + whole)
    return True


# --- The line breaks ------------------------------------------------------------------------------


async def reset_before_head(line: Connection, _asked: Asked) -> bool:
    line.reset()
    return False


async def close_before_head(_line: Connection, _asked: Asked) -> bool:
    return False


async def half_a_head(line: Connection, _asked: Asked) -> bool:
    await line.say(b"HTTP/1.1 200 Sa")
    return False


async def reset_after_head(line: Connection, asked: Asked) -> bool:
    await line.say(head(content_type(asked)))
    await asyncio.sleep(0.02)  # What a reset overtakes was never said.
    line.reset()
    return False


async def close_after_head(line: Connection, asked: Asked) -> bool:
    await line.say(head(content_type(asked)))
    return False


async def cut_mid_chunk(line: Connection, asked: Asked) -> bool:
    await line.say(head(content_type(asked)))
    await say_chunks(line, before_the_cut(asked))
    await line.say(b"1000\r\n" + half_a_piece(asked))
    await asyncio.sleep(0.02)
    line.reset()
    return False


async def cut_mid_event(line: Connection, asked: Asked) -> bool:
    await line.say(head(content_type(asked)))
    await say_chunks(line, [*before_the_cut(asked), half_a_piece(asked)])
    return False


async def end_mid_event(line: Connection, asked: Asked) -> bool:
    """For HTTP the body is whole: nothing but its content tells that it is not."""
    await line.say(head(content_type(asked)))
    await say_chunks(line, [*before_the_cut(asked), half_a_piece(asked)])
    await line.say(LAST_CHUNK)
    return True


async def end_between_events(line: Connection, asked: Asked) -> bool:
    await line.say(head(content_type(asked)))
    await say_chunks(line, before_the_cut(asked))
    await line.say(LAST_CHUNK)
    return True


async def end_in_preamble(line: Connection, asked: Asked) -> bool:
    await line.say(head(content_type(asked)))
    said = asked.speech.preamble if asked.stream else (b"  ",)
    await say_chunks(line, said)
    await line.say(LAST_CHUNK)
    return True


# --- Silence --------------------------------------------------------------------------------------


async def stall_before_head(line: Connection, _asked: Asked) -> bool:
    return await stall(line)


async def stall_after_head(line: Connection, asked: Asked) -> bool:
    await line.say(head(content_type(asked)))
    return await stall(line)


async def stall_in_preamble(line: Connection, asked: Asked) -> bool:
    await line.say(head(content_type(asked)))
    await say_chunks(line, asked.speech.preamble if asked.stream else (b"\n",))
    return await stall(line)


async def stall_mid_answer(line: Connection, asked: Asked) -> bool:
    await line.say(head(content_type(asked)))
    await say_chunks(line, before_the_cut(asked))
    return await stall(line)


async def comments_forever(line: Connection, asked: Asked) -> bool:
    """It is never idle, and says nothing."""
    await line.say(head(content_type(asked)))
    comment = asked.speech.comment if asked.stream else b" "
    if not comment:
        return await stall(line)
    async with asyncio.timeout(STALL_S):
        while True:
            await line.say(chunk(comment))
            await asyncio.sleep(0.02)


async def trickle(line: Connection, asked: Asked) -> bool:
    """Byte by byte."""
    await line.say(head(content_type(asked)))
    for number, byte in enumerate(b"".join(pieces(asked))):
        await line.say(chunk(bytes((byte,))))
        await asyncio.sleep(0.02 if number % 256 == 0 else 0)
    await line.say(LAST_CHUNK)
    return True


# --- What is said makes no sense ------------------------------------------------------------------

HUGE: Final = "x" * 1_000_000


async def huge_event(line: Connection, asked: Asked) -> bool:
    said = speech.speech(asked.dialect, (HUGE, *speech.WORDS))
    await line.say(head(content_type(asked)))
    await say_chunks(line, filter(None, said.events) if asked.stream else (said.whole,))
    await line.say(LAST_CHUNK)
    return True


async def garbage_event(line: Connection, asked: Asked) -> bool:
    said = asked.speech
    events = (*said.preamble, said.words[0], said.garbage, *said.words[1:], *said.ending, said.mark)
    await line.say(head(content_type(asked)))
    await say_chunks(line, filter(None, events))
    await line.say(LAST_CHUNK)
    return True


def page(body: bytes, kind: str = JSON, *, status: int = 200) -> Play:
    async def play(line: Connection, _asked: Asked) -> bool:
        await line.say(head(kind, status=status, length=len(body)) + body)
        return True

    return play


no_json: Final = page(b'{"id":"1","choices":[{"index":0,"message":{"role":"assistant","content":')
html: Final = page(b"<!doctype html><html>Welcome to nginx!</html>", "text/html")
nothing: Final = page(b"")


async def no_content(line: Connection, _asked: Asked) -> bool:
    await line.say(b"HTTP/1.1 204 No Content\r\n\r\n")
    return True


async def redirect(line: Connection, _asked: Asked) -> bool:
    await line.say(head(JSON, "location: http://elsewhere.test/", status=302, length=0))
    return True


async def no_end_mark(line: Connection, asked: Asked) -> bool:
    said = asked.speech
    await line.say(head(content_type(asked)))
    await say_chunks(line, (*said.preamble, *said.words, *said.ending))
    await line.say(LAST_CHUNK)
    return True


async def no_end_mark_and_open(line: Connection, asked: Asked) -> bool:
    said = asked.speech
    await line.say(head(content_type(asked)))
    await say_chunks(line, (*said.preamble, *said.words, *said.ending))
    return await stall(line)


def error_event(after: Literal["head", "preamble", "words"]) -> Play:
    async def play(line: Connection, asked: Asked) -> bool:
        said = asked.speech
        before = {"head": (), "preamble": said.preamble, "words": before_the_cut(asked)}[after]
        await line.say(head(content_type(asked)))
        await say_chunks(line, [*before, speech.error_event(asked.dialect)])
        await line.say(LAST_CHUNK)
        return True

    return play


async def error_with_status_200(line: Connection, asked: Asked) -> bool:
    body, _ = speech.error_reply(asked.dialect, speech.OVERLOADED)
    await line.say(head(length=len(body)) + body)
    return True


# --- The framing is odd ---------------------------------------------------------------------------


def typed(kind: str) -> Play:
    """The right answer under a wrong content type."""

    async def play(line: Connection, asked: Asked) -> bool:
        await line.say(head(kind))
        await say_chunks(line, pieces(asked))
        await line.say(LAST_CHUNK)
        return True

    return play


async def hundred_continue(line: Connection, asked: Asked) -> bool:
    await line.say(b"HTTP/1.1 100 Continue\r\n\r\n")
    await line.say(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
    return await fine(line, asked)


async def http_1_0(line: Connection, asked: Asked) -> bool:
    await line.say(head(content_type(asked), version="1.0"))
    await line.say(*pieces(asked))
    return False


async def http_1_0_cut(line: Connection, asked: Asked) -> bool:
    await line.say(head(content_type(asked), version="1.0"))
    await line.say(*before_the_cut(asked))
    return False


async def length_too_long(line: Connection, asked: Asked) -> bool:
    body = b"".join(pieces(asked))
    await line.say(head(content_type(asked), length=len(body) + 100))
    await line.say(body)
    return False


async def length_too_short(line: Connection, asked: Asked) -> bool:
    body = b"".join(pieces(asked))
    half = len(body) // 2
    await line.say(head(content_type(asked), length=half) + body[:half])
    await asyncio.sleep(0.03)  # In one piece with the head it would be no answer at all.
    await line.say(body[half:])
    return True


async def one_answer_too_many(line: Connection, asked: Asked) -> bool:
    """The second one is for nobody, and in good form."""
    await fine(line, asked)
    await asyncio.sleep(0.03)
    other = speech.speech(asked.dialect, ("Somebody ", "else's."))
    said = [event for event in other.events if event] if asked.stream else [other.whole]
    await line.say(head(content_type(asked), length=len(b"".join(said))), *said)
    return True


async def headers_without_end(line: Connection, _asked: Asked) -> bool:
    """One header after the other, and no body."""
    await line.say(b"HTTP/1.1 200 OK\r\n")
    for number in range(3000):
        await line.say(b"x-%d: %s\r\n" % (number, b"y" * 1000))
    return False


# --- Compressed, although nobody asked for it -----------------------------------------------------


class Coder(Struct, frozen=True):
    feed: Callable[[bytes], bytes]
    """Such that it can be read at once."""
    finish: Callable[[], bytes]


def _zlib(bits: int) -> Coder:
    packer = zlib.compressobj(wbits=bits)
    return Coder(
        lambda data: packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH),
        packer.flush,
    )


def _zstd() -> Coder:
    """A frame of raw blocks (RFC 8878): to write it takes no library."""
    begun: list[bool] = []

    def feed(data: bytes) -> bytes:
        # No checksum, no content size, a window of 1 MB.
        magic = b"" if begun else b"\x28\xb5\x2f\xfd\x00\x50"
        begun.append(True)
        return magic + (len(data) << 3).to_bytes(3, "little") + data

    return Coder(feed, lambda: b"\x01\x00\x00")


def _brotli() -> Coder:
    """Meta-blocks without compression (RFC 7932)."""
    begun: list[bool] = []

    def feed(data: bytes) -> bytes:
        # Not the last, four nibbles of length, uncompressed; in front the window of 64 KB.
        bits = (len(data) - 1) << 3 | 1 << 19
        if not begun:
            bits <<= 1
        begun.append(True)
        return bits.to_bytes(3, "little") + data

    return Coder(feed, lambda: b"\x03")


_CODERS: Final[dict[str, Callable[[], Coder]]] = {
    "gzip": lambda: _zlib(31),
    "deflate": lambda: _zlib(15),
    "zstd": _zstd,
    "br": _brotli,
}


def encoded(coding: str) -> Play:
    async def play(line: Connection, asked: Asked) -> bool:
        coder = _CODERS[coding]()
        await line.say(head(content_type(asked), f"content-encoding: {coding}"))
        await say_chunks(line, [coder.feed(piece) for piece in pieces(asked)])
        await line.say(chunk(coder.finish()), LAST_CHUNK)
        return True

    return play


async def gzip_cut(line: Connection, asked: Asked) -> bool:
    """The chunks are whole, what is packed in them is not."""
    coder = _CODERS["gzip"]()
    await line.say(head(content_type(asked), "content-encoding: gzip"))
    await say_chunks(line, [coder.feed(piece) for piece in before_the_cut(asked)])
    await line.say(LAST_CHUNK)
    return True


async def gzip_lie(line: Connection, asked: Asked) -> bool:
    """It is said to be packed and is not."""
    await line.say(head(content_type(asked), "content-encoding: gzip"))
    await say_chunks(line, pieces(asked))
    await line.say(LAST_CHUNK)
    return True


# --- Refusals -------------------------------------------------------------------------------------


def refused(wrong: Wrong | dict[speech.DialectName, Wrong], *headers: str) -> Play:
    async def play(line: Connection, asked: Asked) -> bool:
        found = wrong if isinstance(wrong, Wrong) else wrong[asked.dialect]
        body, more = speech.error_reply(asked.dialect, found)
        told = [*headers, *(f"{name}: {value}" for name, value in more.items())]
        await line.say(head(JSON, *told, status=found.status, length=len(body)) + body)
        return True

    return play


def status(number: int, *headers: str) -> Play:
    return refused(Wrong(number, f"The provider has a trouble of the kind {number}."), *headers)


async def html_503(line: Connection, _asked: Asked) -> bool:
    """What a load balancer says in the provider's place."""
    body = b"<html><h1>503 Service Temporarily Unavailable</h1></html>"
    await line.say(head("text/html", status=503, length=len(body)) + body)
    return True


def told_to_wait(form: str, seconds: float, *, now: Callable[[], float]) -> Play:
    """A 429 that says in one of the known forms when to come back."""

    async def play(line: Connection, asked: Asked) -> bool:
        at = now() + seconds
        if form == "RetryInfo":
            detail = '"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo",'
            body = (
                f'{{"error":{{"code":429,"status":"RESOURCE_EXHAUSTED","message":"Quota.",{detail}'
            )
            said = (body + f'"retryDelay":"{seconds}s"}}]}}}}').encode()
            await line.say(head(status=429, length=len(said)) + said)
            return True
        headers = {
            "seconds": [f"retry-after: {seconds:g}"],
            "date": [f"retry-after: {formatdate(at, usegmt=True)}"],
            "milliseconds": [f"retry-after-ms: {seconds * 1000:g}"],
            "openai": [
                "x-ratelimit-limit-requests: 60",
                "x-ratelimit-remaining-requests: 0",
                f"x-ratelimit-reset-requests: {seconds:g}s",
            ],
            "anthropic": [
                "anthropic-ratelimit-requests-remaining: 0",
                f"anthropic-ratelimit-requests-reset: {_rfc_3339(at)}",
            ],
        }[form]
        return await status(429, *headers)(line, asked)

    return play


def _rfc_3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


FORMS: Final = ("seconds", "date", "milliseconds", "openai", "anthropic", "RetryInfo")
