"""Media over HTTP, against loopback servers and name servers that mean no good.

Loopback is allowed here by the guard that a test passes in; everything else is
the guard that callers meet.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from core import addresses
from core.fetching import Limits
from core.media import MediaError
from core.ports import Fetched
from infra.fetch import MediaFetcher, resolved
from tests.infra.loopback import Connection, Script, provider

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 8
FEW = Limits(each=1000, total=1500, seconds=2.0, redirects=3, urls=4)


def loopback_too(address: str) -> bool:
    return address == "127.0.0.1" or addresses.is_public(address)


def names(*answers: Sequence[str] | Exception) -> "Names":
    return Names([*answers])


class Names:
    """A name server that gives the next answer each time; the last one stays."""

    def __init__(self, answers: list[Sequence[str] | Exception]) -> None:
        self._answers = answers
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        assert port
        self.asked.append(host)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def fetcher(
    resolve: Callable[[str, int], Awaitable[Sequence[str]]] = resolved,
    allowed: Callable[[str], bool] = loopback_too,
    limits: Limits = FEW,
) -> MediaFetcher:
    return MediaFetcher(allowed=allowed, resolve=resolve, limits=limits)


def says(*pieces: bytes, headers: bytes = b"content-type: image/png\r\n") -> Script:
    """A file, cut into pieces, whose length is not told beforehand."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.say(b"HTTP/1.1 200 OK\r\n" + headers + b"connection: close\r\n\r\n")
        await connection.say(*pieces)

    return script


def answers(status: bytes, headers: bytes = b"", body: bytes = b"") -> Script:
    async def script(connection: Connection) -> None:
        await connection.request()
        length = b"content-length: %d\r\n" % len(body)
        await connection.say(b"HTTP/1.1 " + status + b"\r\n" + headers + length + b"\r\n" + body)

    return script


def to(location: str, status: bytes = b"302 Found") -> Script:
    return answers(status, f"location: {location}\r\n".encode())


async def refusal(fetch: MediaFetcher, *urls: str) -> str:
    async with asyncio.timeout(10):
        with pytest.raises(MediaError) as refused:
            await fetch(urls)
    assert refused.value.url in urls
    return refused.value.message


async def test_a_file_comes_with_its_type_and_its_signature_is_kept_letter_by_letter():
    heads: list[bytes] = []

    async def script(connection: Connection) -> None:
        head, _ = await connection.request()
        heads.append(head)
        await connection.say(b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\n")
        await connection.say(b"set-cookie: a=b\r\ncontent-length: 16\r\n\r\n" + PNG)

    async with provider(script) as server:
        url = server.url + "/a%2Fb.png?sig=%2B+x&e=%7E#part"
        fetch = fetcher()
        assert await fetch([url]) == {url: Fetched("image/png", PNG)}
        await fetch([url])
    assert heads[0].startswith(b"GET /a%2Fb.png?sig=%2B+x&e=%7E HTTP/1.1\r\n")
    lines = {line.partition(b":")[0].lower() for line in heads[1].split(b"\r\n")[1:] if line}
    assert lines == {b"host", b"accept", b"accept-encoding", b"user-agent", b"connection"}
    assert b"accept-encoding: identity" in heads[0].lower()


async def test_several_files_come_at_once():
    both = asyncio.Barrier(2)

    async def script(connection: Connection) -> None:
        await connection.request()
        await both.wait()
        await connection.say(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx")

    async with provider(script) as server:
        urls = [server.url + "/a", server.url + "/b"]
        async with asyncio.timeout(5):
            found = await fetcher()(urls)
    assert found == dict.fromkeys(urls, Fetched("", b"x"))


async def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch):
    async with provider(says(PNG)) as server, provider(answers(b"500 No")) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        await fetcher()([server.url])
        assert proxy.connections == 0


# --- Where it must not go -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "127.1",
        "0177.0.0.1",
        "0x7f000001",
        "0x7f.1",
        "2130706433",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "127.0.0.1.",
        "①②⑦.⓪.⓪.①",
        "0",
        "0.0.0.0",
        "[::]",
    ],
)
async def test_no_spelling_of_this_machine_is_asked(host: str):
    async with provider(says(PNG)) as server:
        port = server.url.rpartition(":")[2]
        guarded = fetcher(allowed=addresses.is_public)
        assert "it is not fetched" in await refusal(guarded, f"http://{host}:{port}/")
        assert server.connections == 0


@pytest.mark.parametrize(
    "answer",
    [["10.0.0.1"], ["169.254.169.254"], ["8.8.8.8", "127.0.0.1"], ["::1"], ["fe80::1%lo"]],
)
async def test_a_name_that_leads_to_a_private_address_is_not_asked(answer: list[str]):
    guarded = fetcher(names(answer), addresses.is_public)
    message = await refusal(guarded, "http://files.test:8080/a?sig=secret")
    assert message == (
        "http://files.test:8080/a leads to an address that is not public: it is not fetched."
    )


async def test_a_name_is_resolved_once_and_the_connection_goes_to_what_was_checked():
    """DNS rebinding: harmless at the first question, this machine at the second."""
    asked: list[str] = []

    def allowed(address: str) -> bool:
        asked.append(address)
        return address == "127.0.0.1"

    async with provider(says(PNG)) as server:
        port = server.url.rpartition(":")[2]
        rebinding = names(["127.0.0.1"], ["127.0.0.2"])
        url = f"http://files.test:{port}/"
        assert (await fetcher(rebinding, allowed)([url]))[url].data == PNG
    assert rebinding.asked == ["files.test"]
    assert set(asked) == {"127.0.0.1"}


async def test_each_redirect_is_resolved_and_checked_anew():
    async with provider(to("/b"), says(PNG)) as server:
        port = server.url.rpartition(":")[2]
        rebinding = names(["127.0.0.1"], ["10.0.0.1"])
        message = await refusal(fetcher(rebinding), f"http://files.test:{port}/a")
        assert "is not public" in message
        assert server.connections == 1


async def test_a_connection_past_the_checks_is_caught_at_its_socket():
    """As if a later version of the HTTP client resolved names by itself."""
    fooled = iter([True])
    async with provider(says(PNG)) as server:
        message = await refusal(fetcher(allowed=lambda _: next(fooled, False)), server.url)
        assert message.endswith("could not be reached.")
        assert server.connections == 0


@pytest.mark.parametrize(
    "location",
    [
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "//192.168.1.1/",
        "http://2130706433/",
        "http://user@files.test/",
        "http://files.test:22/",
        "file:///etc/passwd",
        "ftp://files.test/",
        "http://files.test/a b",
        "http://files.test\\@10.0.0.1/",
    ],
)
async def test_a_redirect_to_where_it_must_not_go_is_not_followed(location: str):
    async with provider(to(location), says(PNG)) as server:
        assert "it is not fetched" in await refusal(fetcher(), server.url + "/a")
        assert server.connections == 1


@pytest.mark.parametrize("status", [b"301 Moved", b"302 Found", b"303 See", b"307 T", b"308 P"])
async def test_a_redirect_within_the_web_is_followed(status: bytes):
    async with provider(to("b?x=%2B", status), says(PNG)) as server:
        url = server.url + "/files/a"
        assert (await fetcher()([url]))[url].data == PNG


async def test_a_redirect_loop_ends():
    async with provider(to("/a")) as server:
        message = await refusal(fetcher(), server.url + "/a")
        assert "redirects more than 3 times" in message
        assert server.connections == 4


async def test_a_redirect_without_a_place_is_a_loop():
    async with provider(answers(b"302 Found")) as server:
        assert "redirects more than 3 times" in await refusal(fetcher(), server.url + "/a")


# --- What it must not take ----------------------------------------------------------------------


async def test_a_file_that_says_that_it_is_too_large_is_not_read():
    headers = b"content-type: image/png\r\ncontent-length: 1001\r\n"
    async with provider(says(headers=headers)) as server:
        assert "is larger than" in await refusal(fetcher(), server.url)


async def test_a_file_that_does_not_say_its_size_is_read_up_to_the_limit():
    async with provider(says(*[b"x" * 100] * 11)) as server:
        assert "is larger than" in await refusal(fetcher(), server.url)
    async with provider(says(*[b"x" * 100] * 10)) as server:
        found = await fetcher()([server.url])
        assert len(found[server.url].data) == 1000


async def test_files_that_are_too_large_together_are_refused():
    async with provider(says(b"x" * 800)) as server:
        message = await refusal(fetcher(), server.url + "/a", server.url + "/b")
        assert "together larger than" in message


async def test_more_urls_than_the_limit_are_refused_before_any_is_asked():
    async with provider(says(PNG)) as server:
        urls = [f"{server.url}/{number}" for number in range(5)]
        assert "is one too many" in await refusal(fetcher(), *urls)
        assert server.connections == 0


async def test_a_compressed_file_is_not_taken():
    headers = b"content-type: image/png\r\ncontent-encoding: gzip\r\n"
    async with provider(says(b"\x1f\x8b", headers=headers)) as server:
        assert "is served compressed" in await refusal(fetcher(), server.url)


@pytest.mark.parametrize("status", [b"403 Forbidden", b"404 Gone", b"500 Oh", b"206 Partial"])
async def test_an_error_page_is_no_file_and_what_it_says_is_not_told(status: bytes):
    async with provider(answers(status, body=b"internal secret")) as server:
        message = await refusal(fetcher(), server.url + "/a?sig=secret")
        assert message.endswith(f"the status {status[:3].decode()}, not with a file.")
        assert "secret" not in message


async def silent(connection: Connection) -> None:
    await connection.request()
    await connection.gone()


async def dripping(connection: Connection) -> None:
    await connection.request()
    await connection.say(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
    while True:
        await connection.say(b"x")
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("script", [silent, dripping])
async def test_a_server_that_takes_its_time_is_left(script: Script):
    limits = Limits(seconds=0.2)
    async with provider(script) as server:
        message = await refusal(fetcher(limits=limits), server.url)
        assert message.endswith("did not arrive within 0.2 seconds.")


async def test_a_name_server_that_takes_its_time_is_left():
    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return [host, str(port)]

    limits = Limits(seconds=0.2)
    assert "within 0.2 seconds" in await refusal(fetcher(never, limits=limits), "http://x.test/")


async def reset(connection: Connection) -> None:
    await connection.request()
    connection.reset()


async def cut(connection: Connection) -> None:
    await connection.request()
    await connection.say(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx")


async def no_http(connection: Connection) -> None:
    await connection.say(b"SSH-2.0-OpenSSH\r\n\r\n")


@pytest.mark.parametrize("script", [reset, cut, no_http])
async def test_a_server_that_breaks_off_is_told_of(script: Script):
    async with provider(script) as server:
        assert (await refusal(fetcher(), server.url + "/a")).endswith("/a could not be reached.")


async def test_a_name_that_does_not_exist_is_told_of():
    nowhere = fetcher(names(OSError("no such name")))
    assert "could not be reached" in await refusal(nowhere, "http://files.test/")
    assert "could not be reached" in await refusal(fetcher(names([])), "http://files.test/")


async def test_a_server_that_speaks_no_tls_is_told_of():
    async with provider(no_http) as server:
        assert "could not be reached" in await refusal(
            fetcher(), server.url.replace("http:", "https:")
        )


async def test_one_file_that_cannot_be_had_ends_the_others():
    left = asyncio.Event()

    async def slow(connection: Connection) -> None:
        await connection.request()
        await connection.gone()
        left.set()

    async def script(connection: Connection) -> None:
        head, _ = await connection.request()
        if b"/slow" in head:
            await connection.gone()
            left.set()
        else:
            await connection.say(b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n")

    async with provider(script) as server:
        message = await refusal(
            fetcher(limits=Limits(seconds=5)), server.url + "/slow", server.url + "/gone"
        )
        assert "/gone was answered with the status 404" in message
        async with asyncio.timeout(2):
            await left.wait()


async def test_a_caller_who_leaves_ends_the_fetch():
    left = asyncio.Event()
    asked = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        asked.set()
        await connection.gone()
        left.set()

    async with provider(script) as server:
        task = asyncio.ensure_future(fetcher()([server.url]))
        async with asyncio.timeout(2):
            await asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await left.wait()
