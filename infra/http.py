"""Providers over HTTPS: one pool of connections per process.

A pooled socket may have died while a Lambda was frozen, which shows only when
it is used: a reset before the first byte of the reply is tried once more. On a
new connection the same is the provider's doing, which may have read the request.
An organisation chooses names that lead to endpoints; what counts is the address
of each connection that is opened, after the name has been resolved.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from functools import lru_cache
from io import BytesIO
from types import TracebackType
from typing import Final, NamedTuple
from weakref import WeakSet

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import AddrInfoType, Connection
from aiohttp.tracing import Trace
from yarl import URL

from core import addresses
from core.addresses import Reach
from core.errors import CutwaterError, UpstreamError, UpstreamTimeoutError, untraced
from core.ports import Incoming, Outgoing

MOST_REPLY: Final = 128 * 1024 * 1024
LARGE: Final = 1024 * 1024
SETTLE_S: Final = 0.25
"""How long to wait for the end of a reply whose content has been said, to keep its connection."""

_TYPE: Final = "content-type"

_pooled: ContextVar[bool] = ContextVar("pooled", default=False)
"""Whether the last connection of this task was in use before."""

_CUT: Final = (aiohttp.ClientError, ConnectionError)
_WORN: Final = (
    aiohttp.ServerDisconnectedError,
    aiohttp.ClientOSError,
    # What is no head of a reply: the rest of the answer before, longer than its length.
    aiohttp.ClientResponseError,
    ConnectionError,
)
"""How a pooled connection shows that it can be used no more."""
_FORBIDDEN: Final = (
    "The endpoint's address leads to where this deployment does not connect "
    "(CUTWATER_PRIVATE_ENDPOINTS)."
)


def _broken(error: Exception) -> CutwaterError:
    if isinstance(error, TimeoutError):
        return UpstreamTimeoutError("The provider stopped in the middle of its answer.")
    return UpstreamError("The provider's answer was cut off.")


def unreachable(error: Exception) -> UpstreamError:
    """Why no connection, or no head of an answer, could be had."""
    # Of several addresses the errors come joined in one.
    forbidden = _FORBIDDEN in str(error)
    return UpstreamError(_FORBIDDEN if forbidden else "The provider could not be reached.")


class HttpReply:
    """A reply whose head has arrived. It is its own iterator of chunks."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.status = response.status
        self.headers: Mapping[str, str] = {
            name.lower(): value for name, value in response.headers.items()
        }

    async def read(self) -> bytes:
        pieces: list[bytes] = []
        size = 0
        try:
            while chunk := await self.response.content.readany():
                pieces.append(chunk)
                size += len(chunk)
                if size > MOST_REPLY:
                    break
        except (TimeoutError, *_CUT) as error:
            raise _broken(error) from error
        if size > MOST_REPLY:
            raise UpstreamError(f"The provider's answer is larger than {MOST_REPLY} bytes.")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def chunks(self) -> AsyncIterator[bytes]:
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await self.response.content.readany()
        except (TimeoutError, *_CUT) as error:
            raise _broken(error) from error
        if not chunk:
            raise StopAsyncIteration
        return chunk


class _Sending:
    """One request on its way; leaving it before the reply's end hangs up."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        loop: asyncio.AbstractEventLoop,
        request: Outgoing,
    ) -> None:
        self._session = session
        self._loop = loop
        self._request = request
        self._response: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> HttpReply:
        request = self._request
        try:
            if request.first_byte_s >= request.total_s:
                response = await self._sent()  # The session's own timer ends it before.
            else:
                limit = self._loop.time() + request.connect_s + request.first_byte_s
                async with asyncio.timeout_at(limit):
                    response = await self._sent()
        except TimeoutError as error:
            raise UpstreamTimeoutError("The provider did not answer in time.") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise unreachable(error) from error
        self._response = response
        _let_idle(response, request.idle_s)
        return HttpReply(response)

    async def _sent(self) -> aiohttp.ClientResponse:
        request, began = self._request, self._loop.time()
        try:
            return await self._send()
        except aiohttp.ClientConnectorError:
            raise  # It never stood: it cannot have died in the pool.
        except _WORN:
            if request.upload is not None or request.once or not _pooled.get():
                raise
            # Not all of its time once more.
            async with asyncio.timeout_at(began + request.connect_s + request.first_byte_s):
                return await self._send()

    def _send(self) -> Awaitable[aiohttp.ClientResponse]:
        request = self._request
        return self._session.request(
            request.method,
            URL(request.url, encoded=True),
            headers=request.headers,
            data=_payload(request),
            timeout=_timeout(request.total_s, request.connect_s),
            allow_redirects=False,
            skip_auto_headers=None if _TYPE in request.headers else (_TYPE,),
        )

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        response = self._response
        if response is None:
            return
        try:
            if kind is None and not response.content.at_eof():
                await self._settle(response)
        finally:
            response.close()

    async def _settle(self, response: aiohttp.ClientResponse) -> None:
        """After `[DONE]` only the end of the body is missing: with it the connection lives on."""
        try:
            async with asyncio.timeout(SETTLE_S):
                await response.content.readany()
        except (TimeoutError, *_CUT) as error:
            untraced(error)  # The body keeps it.


@lru_cache(maxsize=64)
def _timeout(total_s: float, connect_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total_s, sock_connect=connect_s)


def _payload(request: Outgoing) -> bytes | BytesIO | AsyncIterator[bytes] | None:
    if request.upload is not None:
        return request.upload
    if not request.body:
        return None  # Of empty bytes aiohttp would say a length and a type, to a GET too.
    # aiohttp writes what is large in pieces, and lets others have their turn, only from a file.
    return request.body if len(request.body) <= LARGE else BytesIO(request.body)


def _let_idle(response: aiohttp.ClientResponse, seconds: float) -> None:
    """From the head on. Given with the request it would cut a patient `first_byte_s` short."""
    connection = response.connection
    if connection is not None and connection.protocol is not None:
        connection.protocol.read_timeout = seconds
        connection.protocol.start_timeout()


class _Connector(aiohttp.TCPConnector):
    """Notes whether a connection came out of the pool: aiohttp's own tracing costs far more."""

    known: WeakSet[ResponseHandler]

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  aiohttp's signature
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        while (protocol := connection.protocol) is not None and protocol.should_close:
            # It spoke although nobody asked: its words would be taken for the next answer.
            connection.close()
            connection = await super().connect(req, traces, timeout)
        pooled = protocol in self.known
        _pooled.set(pooled)
        if protocol is not None and not pooled:
            self.known.add(protocol)
        return connection


class _Opened(NamedTuple):
    session: aiohttp.ClientSession
    connector: _Connector
    loop: asyncio.AbstractEventLoop


class HttpUpstream:
    """Opened on first use, on the event loop that uses it.

    `reach`: what it connects to. `trusted`: the certificates, which are slow to load and may be
    shared. Names are resolved by the system where there is no `resolver`.
    """

    def __init__(
        self,
        *,
        reach: Reach = "any",
        trusted: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._reach = reach
        self._trusted = trusted
        self._resolver = resolver
        self._opened: _Opened | None = None

    def connector(self) -> aiohttp.BaseConnector:
        """For sessions of another kind: the same reach, the same trust. `close` closes it."""
        return self._open().connector

    def _open(self) -> _Opened:
        if self._opened is None:
            connector = _Connector(
                limit=0,
                resolver=self._resolver,
                socket_factory=None if self._reach == "any" else self._socket,
                ttl_dns_cache=300,
                keepalive_timeout=60,
                ssl=self._trusted(),
            )
            connector.known = WeakSet()
            session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                # A provider's header may be long; its body is watched as it comes.
                max_field_size=65536,
                max_line_size=65536,
            )
            self._opened = _Opened(session, connector, asyncio.get_running_loop())
        return self._opened

    def _socket(self, address: AddrInfoType) -> socket.socket:
        """Every connection passes here, with the address that it goes to."""
        family, kind, protocol, _, where = address
        if not addresses.allows(self._reach, str(where[0])):
            raise PermissionError(errno.EACCES, _FORBIDDEN)
        return socket.socket(family, kind, protocol)

    def send(self, request: Outgoing) -> AbstractAsyncContextManager[Incoming]:
        opened = self._opened or self._open()
        return _Sending(opened.session, opened.loop, request)

    async def close(self) -> None:
        if self._opened is not None:
            opened, self._opened = self._opened, None
            await opened.session.close()
