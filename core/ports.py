"""What the core expects of the outside world."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias

from msgspec import Struct

from core.routes import shown
from core.sigv4 import AwsKeys


class Outgoing(Struct, frozen=True, kw_only=True):
    """A request to a provider. It carries a key: it has no repr."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    upload: AsyncIterator[bytes] | None = None
    """Sent instead of `body`, piece by piece as it arrives; it cannot be sent twice."""
    once: bool = False
    """What it asks for would be done twice if it were sent twice."""
    connect_s: float
    first_byte_s: float
    idle_s: float
    total_s: float

    def __repr__(self) -> str:
        return f"<Outgoing {self.method} {shown(self.url)}>"


class Incoming(Protocol):
    """A provider's reply whose head has arrived. Header names are in lower case.

    `read` and `chunks` raise core.errors.UpstreamError where the reply is cut,
    UpstreamTimeoutError where it stalls.
    """

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    async def read(self) -> bytes: ...

    def chunks(self) -> AsyncIterator[bytes]: ...


class Upstream(Protocol):
    """Sends to providers. Leaving the context cancels what is still under way.

    `send` raises UpstreamError where no connection or no head could be had,
    UpstreamTimeoutError where none came in time.
    """

    def send(self, request: Outgoing) -> AbstractAsyncContextManager[Incoming]: ...

    async def close(self) -> None: ...


class SocketClosed(Struct, frozen=True):
    """The end of a WebSocket. `code` None, or 1006: it broke off without a close frame."""

    code: int | None
    reason: str = ""


class HandshakeError(Exception):
    """A provider answered the handshake with a status instead of a connection."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"The handshake was answered with {status}.")
        self.status = status
        self.body = body
        """What it said, cut to 64 KB; it may quote a key."""


class Socket(Protocol):
    """An open WebSocket. One task reads, one writes. Pings are answered by themselves."""

    async def receive(self) -> str | bytes | SocketClosed:
        """The next message, whole. After `SocketClosed` nothing follows."""
        ...

    async def send(self, frame: str | bytes) -> None:
        """Waits while the other side takes nothing. Silent where it is gone: `receive` tells."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """`code` is one that may be said. Waits a little for the other side's word."""
        ...


class Sockets(Protocol):
    """Opens WebSockets to providers."""

    async def connect(self, request: Outgoing, *, most_bytes: int) -> Socket:
        """UpstreamError, UpstreamTimeoutError, HandshakeError. `most_bytes`: of one message."""
        ...

    async def close(self) -> None: ...


class Fetched(Struct, frozen=True):
    """A file of the web: what its server says of its type, and its bytes."""

    media_type: str
    data: bytes


class Fetch(Protocol):
    """Gets what callers name by URL: each once, none but those that the guard lets through."""

    async def __call__(self, urls: Sequence[str]) -> Mapping[str, Fetched]:
        """All of them; core.media.MediaError, which names the URL, where one cannot be had."""
        ...


class AwsProcess(Protocol):
    """The AWS identity of this process, where it has one."""

    @property
    def region(self) -> str | None: ...

    async def keys(self, *, refused: AwsKeys | None = None) -> AwsKeys:
        """UnavailableError where there are none. `refused`: those AWS takes no longer."""
        ...


class Clock(Protocol):
    def now(self) -> float:
        """Unix seconds."""
        ...


class Log(Protocol):
    """Fields are plain values; none of them may hold a key, a prompt or an answer."""

    def info(self, event: str, **fields: object) -> None: ...

    def warning(self, event: str, **fields: object) -> None: ...

    def error(self, event: str, **fields: object) -> None: ...


RowKey: TypeAlias = tuple[str, str]
"""Partition key and sort key."""


class Row(Struct, frozen=True, kw_only=True):
    """One row of the table. `data` is sealed, or says nothing that is secret."""

    pk: str
    sk: str
    data: bytes
    expires_at: int = 0
    """Unix seconds, 0: never. A store may return an expired row: compare on read."""
    stored_at: int = 0
    org: str = ""
    """A tag of the organisation, for housekeeping."""

    @property
    def key(self) -> RowKey:
        return (self.pk, self.sk)


class StoreError(Exception):
    """The store could not be asked, or did not take what it was given. It quotes no data."""


class Store(Protocol):
    """One table of rows: SQLite on a laptop, DynamoDB in AWS. All methods raise StoreError."""

    async def get(self, keys: Sequence[RowKey]) -> dict[RowKey, Row]:
        """Those that are there, in one round trip (at most 100)."""
        ...

    async def put(self, rows: Sequence[Row]) -> None:
        """Writes each, over what was there; the last one becomes visible last."""
        ...

    async def claim(self, row: Row, now: int) -> bool:
        """Writes the row if there is none, or one that has expired; False: somebody was first."""
        ...

    async def add(self, key: RowKey, amount: int, expires_at: int) -> int:
        """Adds to a counter, which begins at 0, and says what it is then.

        Its row's `data` is the number in decimal. Expired, it goes on counting until it is
        deleted: what is counted by the minute has the minute in its key.
        """
        ...

    async def delete(self, keys: Sequence[RowKey]) -> None: ...

    async def rows_of(self, pk: str) -> list[Row]:
        """All rows of a partition, by their sort key."""
        ...

    def scan(self, prefix: str, *, data: bool = False) -> AsyncIterator[Row]:
        """All rows whose partition key begins so; their `data` is empty unless asked for."""
        ...

    async def close(self) -> None: ...


class Mailbox(Protocol):
    """Frames of realtime sessions on their way, and who serves a session. All raise StoreError.

    A session is held by one process at a time: `generation` counts them, `holder` names the one
    that has begun. Who is told False has been replaced, and may not say anything any more.
    """

    async def rows(self, pk: str, first: str, last: str) -> list[Row]:
        """Those with sort keys from `first` to `last`, as they are at this moment."""
        ...

    async def put(self, rows: Sequence[Row]) -> None: ...

    async def begin(self, connection: str, expires_at: int) -> bool:
        """Generation 1 of a session that nobody holds yet."""
        ...

    async def hold(self, connection: str, generation: int, holder: str, until_ms: int) -> bool:
        """Takes what nobody has begun, or keeps it."""
        ...

    async def succeed(self, connection: str, generation: int) -> bool:
        """The next generation, which nobody holds yet."""
        ...

    async def end(self, connection: str, generation: int) -> bool:
        """The session is over; nobody can hold it any more."""
        ...


class ConnectionGoneError(Exception):
    """The client of a WebSocket that API Gateway holds is not there (410)."""


class Connections(Protocol):
    """Clients' WebSockets that API Gateway holds. All raise ConnectionGoneError, StoreError."""

    async def post(self, connection: str, text: str) -> None: ...

    async def close(self, connection: str) -> None: ...


class Invoke(Protocol):
    """Starts the function that serves sessions; it is not waited for."""

    async def __call__(self, event: bytes) -> None:
        """StoreError where nobody knows whether it was started."""
        ...


class Document(Struct, frozen=True):
    """An organisation's settings as they are kept. They hold keys: it has no repr."""

    body: bytes
    version: str

    def __repr__(self) -> str:
        return f"<Document {self.version}>"


class Secrets(Protocol):
    """The settings of organisations: files on a laptop, Secrets Manager in AWS.

    All methods raise StoreError, which quotes nothing of a document.
    """

    async def read(self, org: str) -> Document | None:
        """None: there is no such organisation."""
        ...

    async def write(self, org: str, body: bytes) -> None:
        """Makes the organisation, or gives it a new version."""
        ...

    async def delete(self, org: str) -> None: ...

    async def names(self) -> list[str]: ...

    async def close(self) -> None: ...
