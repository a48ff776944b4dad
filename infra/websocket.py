"""WebSockets to providers, over the connector that all other requests use.

aiohttp follows redirects in a handshake, which would carry a key to wherever a provider says:
here the first one ends it. It also tells a connection that broke off as one that was closed
with 1000; what counts is whether a close frame came.
"""

import asyncio
from types import SimpleNamespace
from typing import Final

import aiohttp
from aiohttp import WSMsgType
from yarl import URL

from core.errors import UpstreamError, UpstreamTimeoutError
from core.ports import HandshakeError, Outgoing, Socket, SocketClosed
from infra.http import HttpUpstream, unreachable

HEARTBEAT_S: Final = 90.0
"""Longer than a slow client may keep us from reading: its pong could not be seen meanwhile."""
CLOSE_S: Final = 2.0
MOST_ERROR: Final = 64 * 1024
ERROR_S: Final = 2.0
_PROVIDER_GONE: Final = (aiohttp.ClientError, ConnectionError)


class ProviderSocket:
    """core.ports.Socket over aiohttp."""

    def __init__(self, socket: "aiohttp.ClientWebSocketResponse[bool]") -> None:
        self._socket = socket

    async def receive(self) -> str | bytes | SocketClosed:
        message = await self._socket.receive()
        match message.type:
            case WSMsgType.TEXT:
                text: str = message.data
                return text
            case WSMsgType.BINARY:
                data: bytes = message.data
                return data
            case WSMsgType.CLOSE:
                # aiohttp reads 0 from a close frame that is empty.
                return SocketClosed(message.data or 1005, message.extra or "")
            case WSMsgType.ERROR if isinstance(message.data, aiohttp.WebSocketError):
                return SocketClosed(message.data.code, "The provider's frames cannot be read.")
        return SocketClosed(None)

    async def send(self, frame: str | bytes) -> None:
        try:
            if isinstance(frame, str):
                await self._socket.send_str(frame)
            else:
                await self._socket.send_bytes(frame)
        except _PROVIDER_GONE:
            return  # Who reads hears of it, and why.

    async def close(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_S + 1):
                await self._socket.close(code=code, message=reason.encode())
        except (TimeoutError, *_PROVIDER_GONE):
            return


class WebSockets:
    """core.ports.Sockets. `http` says what may be connected to, and closes the connections."""

    def __init__(self, http: HttpUpstream) -> None:
        self._http = http
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            watch = aiohttp.TraceConfig()
            watch.on_request_redirect.append(_refuse_redirect)
            watch.on_request_end.append(_read_refusal)
            self._session = aiohttp.ClientSession(
                connector=self._http.connector(),
                connector_owner=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                trace_configs=[watch],
                max_field_size=65536,
                max_line_size=65536,
            )
        return self._session

    async def connect(self, request: Outgoing, *, most_bytes: int) -> Socket:
        try:
            async with asyncio.timeout(request.connect_s + request.first_byte_s):
                socket = await self._open().ws_connect(
                    URL(request.url, encoded=True),
                    headers=request.headers,
                    max_msg_size=most_bytes,
                    heartbeat=HEARTBEAT_S,
                    timeout=aiohttp.ClientWSTimeout(ws_receive=None, ws_close=CLOSE_S),
                )
        except TimeoutError as error:
            raise UpstreamTimeoutError("The provider did not answer in time.") from error
        except aiohttp.WSServerHandshakeError as error:
            # Refusals were told before: this is a 101 that is none.
            raise UpstreamError("The provider's answer is no WebSocket.") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise unreachable(error) from error
        return ProviderSocket(socket)

    async def close(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()


async def _refuse_redirect(
    _session: aiohttp.ClientSession,
    _context: SimpleNamespace,
    params: aiohttp.TraceRequestRedirectParams,
) -> None:
    params.response.close()
    raise HandshakeError(params.response.status, b"")


async def _read_refusal(
    _session: aiohttp.ClientSession,
    _context: SimpleNamespace,
    params: aiohttp.TraceRequestEndParams,
) -> None:
    """The error of aiohttp keeps the status and loses what the provider said."""
    response = params.response
    if response.status == 101:
        return
    body = bytearray()
    try:
        async with asyncio.timeout(ERROR_S):
            while len(body) < MOST_ERROR and (chunk := await response.content.readany()):
                body += chunk
    except (TimeoutError, *_PROVIDER_GONE):
        body.clear()
    response.close()
    raise HandshakeError(response.status, bytes(body[:MOST_ERROR]))
