"""What every keeper of settings promises: the same tests over files, moto and ministack."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import pytest

from core.org_documents import MOST_BYTES
from core.ports import Document, Secrets, StoreError
from infra.aws import Process
from infra.clock import SystemClock
from infra.http import HttpUpstream
from infra.org_files import OrgFiles
from infra.secrets import SecretsManager
from tests.infra.tables import ENVIRONMENT

BODY = b'{"name":"acme","endpoints":[{"type":"openai","secret":"sk-sentinel"}]}'
NAMES = [
    "acme",
    "Acme",
    "ACME Ltd. & Söhne / Research",
    "..",
    ".hidden",
    "a/../b",
    "a\\b",
    "=41",
    "a=b",
    "100%",
    "組織",
    "🦆",
    "con",
    "a b ",
    "x" * 60,
    "acme-abc123",
]
UNFIT = ["", "x" * 600, "組" * 200]
_prefixes = count()


@asynccontextmanager
async def secrets_at(url: str, prefix: str) -> AsyncIterator[SecretsManager]:
    upstream, clock = HttpUpstream(), SystemClock()
    try:
        process = Process(ENVIRONMENT, upstream, clock)
        yield SecretsManager(prefix, upstream, process, clock, url)
    finally:
        await upstream.close()


@pytest.fixture(params=["files", "moto", "ministack"])
def where(request, tmp_path):
    if request.param == "files":
        return tmp_path / "data" / "orgs"
    return request.getfixturevalue(request.param).url


@pytest.fixture
async def secrets(where) -> AsyncIterator[Secrets]:
    if isinstance(where, str):
        async with secrets_at(where, f"stack-{next(_prefixes)}") as opened:
            yield opened
    else:
        yield OrgFiles(where)


async def read(secrets: Secrets, org: str) -> Document:
    found = await secrets.read(org)
    assert found is not None
    return found


async def test_where_nothing_was_written_there_is_nothing(secrets: Secrets):
    assert await secrets.names() == []
    assert await secrets.read("acme") is None
    await secrets.delete("acme")


@pytest.mark.parametrize("size", [2, 10_000, MOST_BYTES])
async def test_what_was_written_comes_back_to_the_byte(secrets: Secrets, size: int):
    body = ('{"ä":"\n\\"' + "x" * size).encode()[: size - 2] + b'"}'
    await secrets.write("acme", body)
    assert (await read(secrets, "acme")).body == body


async def test_a_new_document_has_a_new_version_and_a_read_changes_none(secrets: Secrets):
    await secrets.write("acme", b"{}")
    first = await read(secrets, "acme")
    assert await read(secrets, "acme") == first
    await secrets.write("acme", BODY)
    second = await read(secrets, "acme")
    assert second.body == BODY
    assert second.version != first.version
    await secrets.write("acme", b"{}")
    assert (await read(secrets, "acme")).body == b"{}"


async def test_any_name_keeps_its_own_document_and_is_listed_as_it_is(secrets: Secrets):
    for name in NAMES:
        await secrets.write(name, name.encode())
    assert await secrets.names() == sorted(NAMES)
    for name in NAMES:
        assert (await read(secrets, name)).body == name.encode()


async def test_a_hundred_and_more_are_all_listed(secrets: Secrets):
    names = [f"org-{number:03}" for number in range(120)]
    for start in range(0, 120, 20):
        await asyncio.gather(*(secrets.write(name, b"{}") for name in names[start : start + 20]))
    assert await secrets.names() == names


async def test_what_was_deleted_is_gone(secrets: Secrets):
    await secrets.write("acme", b"{}")
    await secrets.write("other", b"{}")
    await secrets.delete("acme")
    await secrets.delete("acme")
    assert await secrets.read("acme") is None
    assert await secrets.names() == ["other"]


# moto takes a new version of a deleted secret and leaves it deleted, where AWS refuses it.
@pytest.mark.parametrize("where", ["files", "ministack"], indirect=True)
async def test_what_was_deleted_can_be_written_anew(secrets: Secrets):
    await secrets.write("acme", b"{}")
    await secrets.delete("acme")
    await secrets.write("acme", BODY)
    assert (await read(secrets, "acme")).body == BODY
    assert await secrets.names() == ["acme"]


async def test_of_many_who_write_at_once_one_is_last_and_whole(secrets: Secrets):
    bodies = [b'{"n":"%s"}' % (b"%d" % number * 2000) for number in range(8)]
    await asyncio.gather(*(secrets.write("acme", body) for body in bodies))
    assert (await read(secrets, "acme")).body in bodies


async def test_what_is_too_large_is_refused_before_it_is_sent_and_the_old_stays(secrets: Secrets):
    await secrets.write("acme", b"{}")
    with pytest.raises(StoreError, match=r"65537 bytes.*two organisations") as caught:
        await secrets.write("acme", BODY.ljust(MOST_BYTES + 1))
    assert "sentinel" not in str(caught.value)
    assert (await read(secrets, "acme")).body == b"{}"


async def test_what_is_no_text_is_refused_and_not_quoted(secrets: Secrets):
    with pytest.raises(StoreError, match="UTF-8") as caught:
        await secrets.write("acme", b"sk-sentinel\xff")
    assert "sentinel" not in f"{caught.value!r}{caught.value.__cause__!r}"
    assert await secrets.read("acme") is None


@pytest.mark.parametrize("name", UNFIT, ids=["empty", "long", "long in bytes"])
async def test_a_name_that_cannot_be_kept_is_refused_and_names_nobody(secrets: Secrets, name: str):
    with pytest.raises(StoreError, match="name of the organisation"):
        await secrets.write(name, b"{}")
    assert await secrets.read(name) is None
    await secrets.delete(name)


async def test_a_document_shows_nothing_of_itself(secrets: Secrets):
    await secrets.write("acme", BODY)
    assert "sentinel" not in repr(await secrets.read("acme"))
    await secrets.close()


async def test_a_secret_of_somebody_else_is_not_listed(moto):
    async with secrets_at(moto.url, "other/stack") as one, secrets_at(moto.url, "other") as two:
        await one.write("acme", b"1")
        await two.write("stack", b"2")
        assert await one.names() == ["acme"]
        assert await two.names() == ["stack"]


async def test_replicas_come_with_a_secret_and_go_with_it(moto):
    upstream, clock = HttpUpstream(), SystemClock()
    prefix, home = f"replicated-{next(_prefixes)}", Process(ENVIRONMENT, upstream, clock)
    there = Process({**ENVIRONMENT, "AWS_REGION": "eu-west-1"}, upstream, clock)
    first = SecretsManager(prefix, upstream, home, clock, moto.url, replicas=["eu-west-1"])
    second = SecretsManager(prefix, upstream, there, clock, moto.url)
    try:
        for body in (BODY, BODY + b" "):
            await first.write("acme", body)
            found = await second.read("acme")
            assert found is not None
            assert found.body == body
        await first.delete("acme")
        assert await first.read("acme") is None
        assert await second.read("acme") is None
    finally:
        await upstream.close()
