"""Providers over HTTPS: one pool of connections per process.

A pooled socket may have died while a Lambda was frozen, which shows only when
it is used: a reset before the first byte of the reply is tried once more.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from core.errors import UpstreamError, UpstreamTimeoutError
from core.ports import Incoming, Outgoing

_CUT = (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError, ConnectionError)


class HttpReply:
    """A reply whose head has arrived."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = {
            name.lower(): value for name, value in response.headers.items()
        }

    async def read(self) -> bytes:
        try:
            return await self._response.read()
        except TimeoutError as error:
            raise UpstreamTimeoutError(
                "The provider stopped in the middle of its answer."
            ) from error
        except _CUT as error:
            raise UpstreamError("The provider's answer was cut off.") from error

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except TimeoutError as error:
            raise UpstreamTimeoutError(
                "The provider stopped in the middle of its answer."
            ) from error
        except _CUT as error:
            raise UpstreamError("The provider's answer was cut off.") from error


class HttpUpstream:
    """Opened on first use, on the event loop that uses it."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300, ssl=_tls()),
                cookie_jar=aiohttp.DummyCookieJar(),
                # A provider's header may be long; its body is watched as it comes.
                max_field_size=65536,
                max_line_size=65536,
                read_bufsize=2**16,
                auto_decompress=True,
            )
        return self._session

    @asynccontextmanager
    async def send(self, request: Outgoing) -> AsyncIterator[Incoming]:
        response = await self._head(request)
        try:
            yield HttpReply(response)
        finally:
            # Closes the connection where the reply was not read to its end: that cancels it.
            response.close()

    async def _head(self, request: Outgoing) -> aiohttp.ClientResponse:
        session = self._open()
        try:
            async with asyncio.timeout(request.connect_s + request.first_byte_s):
                try:
                    return await self._once(session, request)
                except (aiohttp.ServerDisconnectedError, ConnectionResetError, BrokenPipeError):
                    return await self._once(session, request)
        except TimeoutError as error:
            raise UpstreamTimeoutError("The provider did not answer in time.") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UpstreamError("The provider could not be reached.") from error

    async def _once(
        self, session: aiohttp.ClientSession, request: Outgoing
    ) -> aiohttp.ClientResponse:
        return await session.request(
            request.method,
            URL(request.url, encoded=True),
            headers=request.headers,
            data=request.body,
            timeout=aiohttp.ClientTimeout(
                total=request.total_s, sock_connect=request.connect_s, sock_read=request.idle_s
            ),
            allow_redirects=False,
        )

    async def close(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()


def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
