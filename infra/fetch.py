"""Media of the web over aiohttp, behind the guard of core/fetching.py.

A name is resolved once for each connection, and the connection goes to what
was checked: a second answer of the name server is never asked for. Proxies of
the environment are not used, since they would resolve the name themselves.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import AddrInfoType
from yarl import URL

from core import addresses, fetching
from core.fetching import ForbiddenAddressError, Limits, Room
from core.media import MediaError
from core.ports import Fetched

Allowed = Callable[[str], bool]
"""Whether an address may be connected to."""
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""A name and a port to its addresses."""

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_HEADERS: Final = {
    "accept": "image/*, application/pdf, text/*, */*;q=0.5",
    "accept-encoding": "identity",
    "user-agent": "cutwater",
}


async def resolved(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class _CheckedResolver(AbstractResolver):
    """One address that is not allowed condemns the name: its owner means no good."""

    def __init__(self, resolve: Resolve, allowed: Allowed) -> None:
        self._resolve = resolve
        self._allowed = allowed

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,
    ) -> list[ResolveResult]:
        del family  # Whatever aiohttp wants: all addresses have to be allowed.
        found = dict.fromkeys(await self._resolve(host, port))
        if not found:
            raise OSError("The name has no address.")
        if not all(self._allowed(address) for address in found):
            raise ForbiddenAddressError("leads to an address that is not public")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in found
        ]

    async def close(self) -> None:
        return None


class MediaFetcher:
    """Keeps nothing between requests but the certificates to trust."""

    def __init__(
        self,
        *,
        allowed: Allowed = addresses.is_public,
        resolve: Resolve = resolved,
        limits: Limits | None = None,
    ) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._limits = limits or Limits()
        self._trusted: ssl.SSLContext | None = None

    async def __call__(self, urls: Sequence[str]) -> Mapping[str, Fetched]:
        fetching.check_count(urls, self._limits)
        room = Room(self._limits)
        async with self._session() as session:
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = {
                        url: group.create_task(self._fetch(session, url, room)) for url in urls
                    }
            except* MediaError as several:
                first = several
            else:
                return {url: task.result() for url, task in tasks.items()}
        raise _leaf(first)

    def _session(self) -> aiohttp.ClientSession:
        if self._trusted is None:
            self._trusted = ssl.create_default_context()
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=_CheckedResolver(self._resolve, self._allowed),
                use_dns_cache=False,
                force_close=True,
                socket_factory=self._socket,
                ssl=self._trusted,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=self._limits.seconds),
        )

    def _socket(self, address: AddrInfoType) -> socket.socket:
        """Every connection passes here: what the checks above were led around is caught."""
        family, kind, protocol, _, where = address
        if not self._allowed(str(where[0])):
            raise PermissionError("This address may not be connected to.")
        return socket.socket(family, kind, protocol)

    async def _fetch(self, session: aiohttp.ClientSession, url: str, room: Room) -> Fetched:
        try:
            async with asyncio.timeout(self._limits.seconds):
                return await self._follow(session, url, room)
        except ForbiddenAddressError as error:
            raise MediaError(url, f"{error}: it is not fetched.") from error
        except TimeoutError as error:
            most = f"{self._limits.seconds:g}"
            raise MediaError(url, f"did not arrive within {most} seconds.") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise MediaError(url, "could not be reached.") from error

    async def _follow(self, session: aiohttp.ClientSession, url: str, room: Room) -> Fetched:
        target = self._checked(url, None)
        followed = 0
        while True:
            async with session.get(target, headers=_HEADERS, allow_redirects=False) as response:
                if response.status not in _REDIRECTS:
                    return await _read(response, url, room)
                location = response.headers.get("location", "")
            following = self._checked(location, target)
            fetching.check_redirect(target.scheme, following.scheme, followed, self._limits)
            target = following
            followed += 1

    def _checked(self, url: str, base: URL | None) -> URL:
        """As it is written, where it can be sent so: a signature covers its very letters."""
        fetching.check_url(url)
        target = URL(url, encoded=url.isascii())
        if base is not None:
            target = base.join(target)
        has_user = target.raw_user is not None or target.raw_password is not None
        address = fetching.check_target(
            target.scheme, target.raw_host, target.port, has_user=has_user
        )
        if address is not None and not self._allowed(address):
            raise ForbiddenAddressError("leads to an address that is not public")
        return target


async def _read(response: aiohttp.ClientResponse, url: str, room: Room) -> Fetched:
    if response.status != 200:
        raise MediaError(url, f"was answered with the status {response.status}, not with a file.")
    if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        # Decompressed it may be a thousand times as large.
        raise MediaError(url, "is served compressed, which was not asked for.")
    room.check(url, response.content_length or 0)
    pieces: list[bytes] = []
    size = 0
    while piece := await response.content.readany():
        size += len(piece)
        room.take(url, len(piece), size)
        pieces.append(piece)
    return Fetched(response.headers.get("content-type", ""), b"".join(pieces))


def _leaf(group: BaseExceptionGroup[MediaError]) -> MediaError:
    first = group.exceptions[0]
    return first if isinstance(first, MediaError) else _leaf(first)
