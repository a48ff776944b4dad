"""Where an endpoint may lead: the address of the connection decides, not its name."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from socket import AF_INET, AF_INET6

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from core.addresses import Reach
from core.errors import UpstreamError
from core.ports import Outgoing
from infra.http import HttpUpstream
from tests.infra.loopback import Connection, provider

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
METADATA = "169.254.169.254"


class Names(AbstractResolver):
    """A name server that an attacker runs."""

    def __init__(self, *answer: str) -> None:
        self._answer = answer

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        del family
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=AF_INET6 if ":" in address else AF_INET,
                proto=0,
                flags=0,
            )
            for address in self._answer
        ]

    async def close(self) -> None:
        return None


@asynccontextmanager
async def opened(reach: Reach, answer: Sequence[str]) -> AsyncIterator[HttpUpstream]:
    upstream = HttpUpstream(reach=reach, resolver=Names(*answer))
    try:
        yield upstream
    finally:
        await upstream.close()
        await asyncio.sleep(0)


def outgoing(url: str) -> Outgoing:
    return Outgoing(
        method="POST",
        url=url,
        headers={},
        body=b"",
        connect_s=2.0,
        first_byte_s=2.0,
        idle_s=2.0,
        total_s=5.0,
    )


async def answers(connection: Connection) -> None:
    while True:
        await connection.request()
        await connection.say(OK)


NAMES = [
    [METADATA],
    ["fd00:ec2::254"],
    ["::ffff:169.254.169.254"],
    ["64:ff9b::a9fe:a9fe"],
    ["fe80::1"],
    ["127.0.0.1"],
    ["::1"],
    ["0.0.0.0"],
    [METADATA, "127.0.0.1"],
    ["127.0.0.1", "::1"],
]


@pytest.mark.parametrize("reach", ["public", "network"])
@pytest.mark.parametrize("answer", NAMES, ids=" ".join)
async def test_a_name_that_resolves_to_this_machine_or_its_metadata_is_not_connected_to(
    reach: Reach, answer: list[str]
):
    async with provider(answers) as server, opened(reach, answer) as upstream:
        port = server.url.rpartition(":")[2]
        with pytest.raises(UpstreamError, match="CUTWATER_PRIVATE_ENDPOINTS"):
            async with upstream.send(outgoing(f"http://endpoint.test:{port}/v1?key=sk-sentinel")):
                pass
        assert server.connections == 0


@pytest.mark.parametrize(
    ("reach", "address"),
    [("public", "10.0.0.1"), ("public", "192.168.0.1"), ("public", "fd12::1")],
)
async def test_a_private_address_is_not_public(reach: Reach, address: str):
    async with opened(reach, [address]) as upstream:
        with pytest.raises(UpstreamError, match="CUTWATER_PRIVATE_ENDPOINTS"):
            async with upstream.send(outgoing("http://endpoint.test:9/")):
                pass


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"]
)
async def test_an_address_as_it_is_passes_the_same_guard(host: str):
    async with provider(answers) as server, opened("network", ["127.0.0.1"]) as upstream:
        port = server.url.rpartition(":")[2]
        with pytest.raises(UpstreamError, match="CUTWATER_PRIVATE_ENDPOINTS"):
            async with upstream.send(outgoing(f"http://{host}:{port}/")):
                pass
        assert server.connections == 0


async def test_on_a_laptop_a_name_may_lead_to_it():
    async with provider(answers) as server, opened("any", ["127.0.0.1"]) as upstream:
        port = server.url.rpartition(":")[2]
        async with upstream.send(outgoing(f"http://endpoint.test:{port}/")) as reply:
            assert await reply.read() == b"ok"


async def test_certificates_may_be_loaded_once_for_two():
    loaded: list[ssl.SSLContext] = []

    def trusted() -> ssl.SSLContext:
        if not loaded:
            loaded.append(ssl.create_default_context())
        return loaded[0]

    async with provider(answers) as server:
        for upstream in (HttpUpstream(trusted=trusted), HttpUpstream(trusted=trusted)):
            async with upstream.send(outgoing(server.url)) as reply:
                assert await reply.read() == b"ok"
            await upstream.close()
    assert len(loaded) == 1
