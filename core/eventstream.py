"""AWS's binary event stream (application/vnd.amazon.eventstream), for any split of the bytes.

A frame is a prelude (length of the frame, length of its headers, CRC of these
two), headers, a payload and the CRC of all that. Where a length is damaged
nothing that follows can be found, so the framer then hands out what it has,
and `parse` says what is wrong with it. An error is an event here whose name
ends in `Exception`. https://smithy.io/2.0/aws/amazon-eventstream.html
"""

import struct
from collections.abc import Iterator
from typing import Final
from zlib import crc32

import msgspec

from core.errors import UpstreamError
from core.sse import Event
from core.wire import Wire

_PRELUDE: Final = struct.Struct(">III")
_NUMBER: Final = struct.Struct(">I")
_SHORT: Final = struct.Struct(">H")
_LEAST: Final = _PRELUDE.size + _NUMBER.size
_MOST: Final = 25 * 1024 * 1024
"""AWS allows 24 MB of payload and 128 KB of headers."""

_SIZES: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Types of header values (booleans, integers, timestamp, UUID) and how long each is."""
_BYTES: Final = 6
_STRING: Final = 7

_Headers = dict[bytes, bytes]


class Framer:
    """Chunks in, frames out."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._size = 0
        self._needed = 0
        """How much there must be before there is a frame: until then nothing is joined."""

    def feed(self, chunk: bytes) -> list[bytes]:
        data = chunk
        if self._rest:
            self._rest.append(chunk)
            self._size += len(chunk)
            if self._size < self._needed:
                return []
            data = b"".join(self._rest)
        frames = []
        start = 0
        while len(data) - start >= _PRELUDE.size:
            length = _length(data[start : start + _PRELUDE.size])
            end = len(data) if length is None else start + length
            if end > len(data):
                break
            frames.append(data[start:end])
            start = end
        self._rest = []
        if start < len(data):
            self._keep(data[start:])
        return frames

    def _keep(self, rest: bytes) -> None:
        whole = len(rest) >= _PRELUDE.size
        self._rest, self._size = [rest], len(rest)
        self._needed = (_length(rest[: _PRELUDE.size]) or 0) if whole else _PRELUDE.size

    def flush(self) -> bytes:
        """Nothing: a frame says how long it is, so what is left was cut off."""
        self._rest = []
        return b""


def _length(prelude: bytes) -> int | None:
    """How long a frame is; None where its prelude is damaged."""
    length, headers, checksum = _PRELUDE.unpack(prelude)
    if checksum != crc32(prelude[:8]) or not headers + _LEAST <= length <= _MOST:
        return None
    return int(length)


def parse(frame: bytes) -> Event:
    """The event of one frame; a frame that is not what its checksums say is an `UpstreamError`."""
    length = _length(frame[: _PRELUDE.size]) if len(frame) >= _LEAST else None
    if length != len(frame):
        raise UpstreamError("The provider's event stream is damaged: a frame's length is wrong.")
    if crc32(frame[:-4]) != _NUMBER.unpack(frame[-4:])[0]:
        raise UpstreamError("The provider's event stream is damaged: a frame's checksum is wrong.")
    end = _PRELUDE.size + _NUMBER.unpack(frame[4:8])[0]
    try:
        headers = dict(_headers(frame[_PRELUDE.size : end]))
    except (IndexError, KeyError, struct.error) as error:
        raise UpstreamError(
            "The provider's event stream is damaged: a frame's headers cannot be read."
        ) from error
    return _event(headers, frame[end:-4])


def _headers(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position < len(data):
        after = position + 1 + data[position]
        name, kind = data[position + 1 : after], data[after]
        position = after + 1
        if kind in (_BYTES, _STRING):
            size = _SHORT.unpack_from(data, position)[0]
            position += _SHORT.size
        else:
            size = _SIZES[kind]
        value = data[position : position + size]
        if len(value) < size:
            raise IndexError(size)
        position += size
        yield name, value


def _event(headers: _Headers, payload: bytes) -> Event:
    match headers.get(b":message-type"):
        case b"exception":
            return Event(payload, _exception(headers.get(b":exception-type", b"")))
        case b"error":
            # An error that the service did not foresee: it is in the headers, without a payload.
            message = headers.get(b":error-message", b"").decode("utf-8", "replace")
            name = _exception(headers.get(b":error-code", b""))
            return Event(msgspec.json.encode({"message": message}), name)
        case _:
            return Event(payload, headers.get(b":event-type", b""))


def _exception(name: bytes) -> bytes:
    return name if name.endswith(b"Exception") else name + b"Exception"


def render(payload: bytes, event_type: str) -> bytes:
    return _frame({":event-type": event_type, ":message-type": "event"}, payload)


def render_exception(payload: bytes, exception_type: str) -> bytes:
    return _frame({":exception-type": exception_type, ":message-type": "exception"}, payload)


def _frame(fields: dict[str, str], payload: bytes) -> bytes:
    headers = b"".join(
        bytes((len(name),)) + name.encode() + b"\x07" + _SHORT.pack(len(value)) + value.encode()
        for name, value in {**fields, ":content-type": "application/json"}.items()
    )
    lengths = struct.pack(">II", _LEAST + len(headers) + len(payload), len(headers))
    checked = lengths + _NUMBER.pack(crc32(lengths)) + headers + payload
    return checked + _NUMBER.pack(crc32(checked))


EVENT_STREAM: Final = Wire(
    content_type="application/vnd.amazon.eventstream",
    framer=Framer,
    parse=parse,
)
