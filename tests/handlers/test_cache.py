"""The cache around a request: what is kept, who gets it, and that it never stands in the way."""

import asyncio
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from core.errors import UpstreamError
from core.ports import Row, StoreError
from tests.asgi_driver import Exchange, start
from tests.fakes import KEY, NOW, FakeUpstream, Reply, openai_endpoint, org
from tests.handlers.caches import (
    AUTH,
    COMPLETION,
    FRAMES,
    MESSAGE,
    Caches,
    question,
    streamed,
    whole,
)

WEEK = 604_800


def told(answered: Exchange) -> tuple[str | None, str | None]:
    return answered.headers.get("x-bt-cached"), answered.headers.get("x-bt-cache-reason")


async def test_a_first_call_is_a_miss_and_the_second_a_hit_of_the_same_bytes() -> None:
    caches = Caches(whole())
    first = await caches.ask()
    caches.clock.time += 5
    second = await caches.ask()
    assert told(first) == ("MISS", None)
    assert first.headers["cache-control"] == second.headers["cache-control"] == f"max-age={WEEK}"
    assert (first.headers["age"], second.headers["age"]) == ("0", "5")
    assert told(second) == ("HIT", None)
    assert first.body == second.body == COMPLETION
    assert second.headers["content-type"] == "application/json"
    assert second.headers["x-bt-used-endpoint"] == "main"
    assert caches.calls == 1


async def test_a_hit_asks_the_table_once_and_a_kept_miss_twice() -> None:
    caches = Caches(whole())
    await caches.ask()
    assert caches.store.calls == ["get", "put"]
    caches.store.calls.clear()
    await caches.ask()
    assert caches.store.calls == ["get"]


async def test_a_stream_comes_back_as_a_stream_byte_for_byte() -> None:
    caches = Caches(streamed(), whole())
    first = await caches.ask(asked=question(stream=True))
    second = await caches.ask(asked=question(stream=True))
    assert (told(first)[0], told(second)[0]) == ("MISS", "HIT")
    assert first.body == second.body == b"".join(FRAMES)
    for answered in (first, second):
        assert answered.headers["cache-control"] == f"max-age={WEEK}, no-transform"
        assert answered.headers["content-type"].startswith("text/event-stream")
        assert answered.headers["x-accel-buffering"] == "no"
        assert "content-length" not in answered.headers
    # And is no answer to whoever wants it whole.
    third = await caches.ask()
    assert told(third)[0] == "MISS"


AUTO = [
    ({"temperature": ...}, "not-deterministic"),
    ({"temperature": None}, "not-deterministic"),
    ({"temperature": 0.7}, "not-deterministic"),
    ({"temperature": "0"}, "not-deterministic"),
    ({"temperature": ..., "seed": None}, "not-deterministic"),
    ({"temperature": 0}, None),
    ({"temperature": 0.0}, None),
    ({"temperature": ..., "seed": 0}, None),
    ({"temperature": 1, "seed": 5}, None),
]


@pytest.mark.parametrize(("fields", "reason"), AUTO)
async def test_by_default_only_what_asks_for_the_same_answer_is_kept(
    fields: dict[str, Any], reason: str | None
) -> None:
    caches = Caches(whole(), whole())
    answered = await caches.ask(asked=question(**fields))
    assert told(answered) == ("MISS", reason)
    assert caches.kept == (reason is None)
    if reason:
        assert caches.store.calls == []
        assert "age" not in answered.headers
    always = await caches.ask(asked=question(**fields), headers={"x-bt-use-cache": "always"})
    assert told(always)[0] == ("MISS" if reason else "HIT")
    assert caches.kept == 1


GEMINI = {
    "candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
}
CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": "gpt-4o",
    "output": [
        {
            "type": "message",
            "id": "m",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Hi", "annotations": []}],
        }
    ],
}
SAID = [{"role": "user", "content": "hi"}]
TURN = [{"role": "user", "parts": [{"text": "hi"}]}]
ROUTES = [
    ("/v1/chat/completions", question(), COMPLETION),
    ("/v1/auto", question(), COMPLETION),
    ("/v1/proxy/chat/completions", question(), COMPLETION),
    (
        "/v1/messages",
        {"model": "claude-sonnet-4-5", "max_tokens": 9, "temperature": 0, "messages": SAID},
        MESSAGE,
    ),
    ("/v1/responses", {"model": "gpt-4o", "input": "hi", "temperature": 0}, RESPONSE),
    (
        "/v1beta/models/gemini-2.5-flash:generateContent",
        {"contents": TURN, "generationConfig": {"temperature": 0}},
        GEMINI,
    ),
    (
        "/v1beta/models/gemini-2.5-flash:generateContent",
        {"contents": TURN, "generation_config": {"seed": 7}},
        GEMINI,
    ),
    (
        "/model/amazon.nova-lite-v1:0/converse",
        {
            "messages": [{"role": "user", "content": [{"text": "hi"}]}],
            "inferenceConfig": {"temperature": 0},
        },
        CONVERSE,
    ),
    (
        "/v1/completions",
        {"model": "gpt-3.5-turbo-instruct", "prompt": "hi", "temperature": 0},
        {"choices": [{"text": "x", "index": 0, "finish_reason": "stop"}]},
    ),
    (
        "/v1/embeddings",
        {"model": "text-embedding-3-small", "input": "hi"},
        {"object": "list", "data": [{"index": 0, "embedding": [0.5]}]},
    ),
    (
        "/v1/moderations",
        {"model": "omni-moderation-latest", "input": "hi"},
        {"id": "m", "results": [{"flagged": False}]},
    ),
]
EVERYWHERE = org(
    endpoints=[
        openai_endpoint(),
        {"type": "anthropic", "secret": "k"},
        {"type": "google", "secret": "k"},
        {"type": "bedrock", "metadata": {"region": "us-east-1"}},
    ]
)


@pytest.mark.parametrize(("path", "asked", "answer"), ROUTES)
async def test_every_route_that_can_be_cached_is(path: str, asked: Any, answer: Any) -> None:
    said = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
    caches = Caches(whole(said), settings=[EVERYWHERE])
    headers = {"content-type": "application/json"}
    first = await caches.ask(path, asked, headers)
    second = await caches.ask(path, asked, headers)
    assert (first.status, *told(first)) == (200, "MISS", None)
    assert told(second) == ("HIT", None)
    assert first.body == second.body
    assert second.headers["content-type"] == first.headers["content-type"]
    assert caches.calls == 1


async def test_images_are_never_cached() -> None:
    caches = Caches(whole(b'{"data":[]}'), whole(b'{"data":[]}'))
    for _ in range(2):
        answered = await caches.ask(
            "/v1/images/generations",
            {"model": "gpt-image-1", "prompt": "hi"},
            {"x-bt-use-cache": "always", "content-type": "application/json"},
        )
        assert "x-bt-cached" not in answered.headers
    assert caches.store.calls == []


CONTROL = [
    ({"cache-control": "no-cache"}, "MISS", "no-cache", True),
    ({"cache-control": "max-age=0"}, "MISS", "no-cache", True),
    ({"cache-control": "no-store"}, "HIT", None, False),
    ({"cache-control": "max-age=1"}, "MISS", None, True),
    ({"cache-control": "max-age=60"}, "HIT", None, False),
    ({"cache-control": "Max-Age=60, private"}, "HIT", None, False),
    ({"cache-control": "no-cache, no-store"}, "MISS", "no-store", False),
    ({"x-bt-use-cache": "never"}, "MISS", "never", False),
    ({"x-bt-use-cache": "ALWAYS"}, "HIT", None, False),
]


@pytest.mark.parametrize(("headers", "cached", "reason", "written"), CONTROL)
async def test_a_caller_says_what_is_read_and_what_is_kept(
    headers: dict[str, str], cached: str, reason: str | None, written: bool
) -> None:
    caches = Caches(whole(), whole(COMPLETION.replace(b"Hi", b"Ho")))
    await caches.ask()
    caches.clock.time += 2
    answered = await caches.ask(headers=headers)
    assert told(answered) == (cached, reason)
    assert caches.store.calls.count("put") == 1 + written
    now = await caches.ask()
    assert (b"Ho" in now.body) == written


async def test_what_is_not_kept_is_read_all_the_same() -> None:
    caches = Caches(whole(), whole())
    for _ in range(2):
        answered = await caches.ask(headers={"cache-control": "no-store"})
        assert told(answered) == ("MISS", "no-store")
        assert "age" not in answered.headers
    assert caches.kept == 0


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("60", 60), ("1", 1), ("604800", WEEK), ("999999999", WEEK), ("0", 1), ("-5", 1)],
)
async def test_an_answer_lives_as_long_as_it_was_asked_to(said: str, seconds: int) -> None:
    caches = Caches(whole(), whole())
    first = await caches.ask(headers={"x-bt-cache-ttl": said})
    assert first.headers["cache-control"] == f"max-age={seconds}"
    [row] = caches.store.rows.values()
    assert row.expires_at == NOW + seconds
    caches.clock.time = NOW + seconds - 1
    assert told(await caches.ask())[0] == "HIT"
    caches.clock.time = NOW + seconds
    assert told(await caches.ask())[0] == "MISS"


WRONG = [
    ("x-bt-use-cache", "sometimes", "auto, always, never"),
    ("x-bt-use-cache", "", "auto, always, never"),
    ("x-bt-cache-ttl", "abc", "whole number of seconds"),
    ("x-bt-cache-ttl", "12abc", "whole number of seconds"),
    ("x-bt-cache-ttl", "1.5", "whole number of seconds"),
    ("cache-control", "max-age=soon", "whole number of seconds"),
]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
@pytest.mark.parametrize(("name", "said", "message"), WRONG)
async def test_a_wrong_word_is_a_400_that_lists_the_right_ones(
    path: str, name: str, said: str, message: str
) -> None:
    caches = Caches()
    answered = await caches.ask(path, headers={name: said})
    assert answered.status == 400
    assert message in answered.json["error"]["message"]
    assert name in answered.json["error"]["message"]
    assert caches.calls == 0


OTHER_KEY = "cw_test_ffffffffffffffffffffffffffffffff"
DATA_KEY = "A" * 43


def two(**settings: Any) -> list[Any]:
    keys = [{"name": "a", "key": KEY}, {"name": "b", "key": OTHER_KEY}]
    return [org(key=None, keys=keys, endpoints=[openai_endpoint()], **settings)]


async def of_another(caches: Caches, key: str = OTHER_KEY, **more: Any) -> Exchange:
    return await caches.ask(headers={"authorization": f"Bearer {key}", **more})


async def test_a_caller_never_gets_the_answer_of_another() -> None:
    caches = Caches(whole(), whole(COMPLETION.replace(b"Hi", b"Ho")), settings=two())
    await caches.ask()
    other = await of_another(caches)
    assert told(other)[0] == "MISS"
    assert b"Ho" in other.body
    assert caches.kept == 2


async def test_members_share_where_their_organisation_says_so() -> None:
    shared = {"shared_cache": True, "data_keys": [{"generation": 1, "key": DATA_KEY}]}
    caches = Caches(whole(), settings=two(**shared))
    await caches.ask()
    assert told(await of_another(caches))[0] == "HIT"


async def test_two_organisations_never_share_even_with_one_key() -> None:
    shared = {"shared_cache": True, "data_keys": [{"generation": 1, "key": DATA_KEY}]}
    orgs = [org(name, endpoints=[openai_endpoint()], **shared) for name in ("acme", "other")]
    caches = Caches(whole(), whole(), settings=orgs)
    for name in ("acme", "other"):
        answered = await caches.ask(headers={"x-bt-org-name": name})
        assert told(answered) == ("MISS", None)
    assert told(await caches.ask("/btorg/other/v1/chat/completions"))[0] == "HIT"


async def test_a_new_generation_of_the_data_key_reads_the_old_ones_answers() -> None:
    def settings(*generations: tuple[int, str]) -> list[Any]:
        keys = [{"generation": number, "key": key} for number, key in generations]
        return two(shared_cache=True, data_keys=keys)

    caches = Caches(whole(), settings=settings((1, DATA_KEY)))
    await caches.ask()
    rotated = Caches(settings=settings((1, DATA_KEY), (2, "B" * 43)))
    rotated.store.rows = caches.store.rows
    assert told(await rotated.ask())[0] == "HIT"
    assert rotated.store.calls == ["get"]
    retired = Caches(whole(), settings=settings((2, "B" * 43)))
    retired.store.rows = caches.store.rows
    assert told(await retired.ask())[0] == "MISS"


@pytest.mark.parametrize(
    "key", ["cw_test_unknown_0123456789abcdef", "", "cw_test_0123456789abcdef0123456789abcdeF"]
)
async def test_nobody_reads_before_he_is_known(key: str) -> None:
    caches = Caches(whole())
    await caches.ask()
    caches.store.asked.clear()
    answered = await of_another(caches, key)
    assert answered.status == 401
    assert all(pk.startswith("key#") for pk, _ in caches.store.asked)


async def test_a_revoked_key_gets_no_hit() -> None:
    caches = Caches(whole())
    await caches.ask()
    revoked = Caches(settings=[org(key=OTHER_KEY, endpoints=[openai_endpoint()])])
    revoked.store.rows = caches.store.rows
    assert (await revoked.ask()).status == 401


async def test_a_provider_s_own_key_is_a_scope_of_its_own() -> None:
    caches = Caches(whole(), whole())
    first, second = "sk-proj-0123456789abcdef", "sk-proj-fedcba9876543210"
    for key, cached in ((first, "MISS"), (first, "HIT"), (second, "MISS")):
        assert told(await of_another(caches, key))[0] == cached


async def test_a_hit_needs_no_provider() -> None:
    caches = Caches(whole(), UpstreamError("down"))
    await caches.ask()
    assert told(await caches.ask())[0] == "HIT"
    without = Caches(settings=[org(endpoints=[])])
    without.store.rows = caches.store.rows
    answered = await without.ask()
    assert told(answered)[0] == "HIT"
    assert answered.body == COMPLETION


def completion(reason: str | None, **more: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "H"}, "finish_reason": reason}
    return msgspec.json.encode({"id": "c", "choices": [choice], **more})


NOT_WHOLE = [
    (completion(None), "incomplete"),
    (completion("content_filter"), "filtered"),
    (completion("stop", choices=[]), "incomplete"),
]


@pytest.mark.parametrize(("said", "reason"), NOT_WHOLE)
async def test_what_is_not_whole_is_not_kept_and_the_head_says_why(
    said: bytes, reason: str
) -> None:
    caches = Caches(whole(said))
    answered = await caches.ask()
    assert answered.status == 200
    assert told(answered) == ("MISS", reason)
    assert caches.kept == 0
    assert "age" not in answered.headers


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls"])
async def test_what_ended_as_it_was_asked_to_is_kept(reason: str) -> None:
    caches = Caches(whole(completion(reason)))
    await caches.ask()
    assert caches.kept == 1


ERROR_FRAME = b'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n'
BROKEN = [
    (FRAMES[:2], "incomplete"),
    ([*FRAMES[:2], UpstreamError("cut")], "incomplete"),
    ([*FRAMES[:2], ERROR_FRAME], "error"),
    ([*FRAMES[:2], FRAMES[2].replace(b"stop", b"content_filter"), FRAMES[3]], "filtered"),
    ([b"".join(FRAMES[:2])[:-30]], "incomplete"),
]


@pytest.mark.parametrize(("frames", "reason"), BROKEN)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
async def test_a_stream_that_broke_is_not_kept(frames: list[Any], reason: str, path: str) -> None:
    caches = Caches(streamed(*frames))
    asked = question(stream=True, max_tokens=9, input=[{"role": "user", "content": "hi"}])
    if path == "/v1/responses":
        asked.pop("messages")
    answered = await caches.ask(path, asked)
    assert caches.kept == 0
    if answered.status == 200:
        [line] = caches.logged("cache_not_kept")
        assert line["reason"] in (reason, "error")


@pytest.mark.parametrize("status", [400, 429, 500])
async def test_an_error_is_not_kept_and_says_nothing_of_a_cache(status: int) -> None:
    caches = Caches(whole(b'{"error":{"message":"no"}}', status=status))
    answered = await caches.ask()
    assert answered.status == status
    assert caches.kept == 0
    assert not {"age", "cache-control", "x-bt-cached"} & answered.headers.keys()


async def test_headers_of_one_exchange_are_not_kept() -> None:
    headers = {
        "content-type": "application/json",
        "set-cookie": "a=b",
        "x-request-id": "r1",
        "x-ratelimit-remaining-requests": "5",
        "openai-organization": "o",
        "openai-processing-ms": "12",
    }
    caches = Caches(whole(headers=headers))
    first, second = await caches.ask(), await caches.ask()
    assert "set-cookie" not in first.headers
    assert headers.keys() & second.headers.keys() == {"content-type"}


async def test_a_client_that_leaves_leaves_nothing_behind() -> None:
    hold = asyncio.Event()
    caches = Caches(streamed(*FRAMES[:2], hold, *FRAMES[2:]))
    exchange = start(caches.app, body=question(stream=True), headers=AUTH)
    await exchange.next_bytes()
    exchange.hang_up()
    await exchange.done()
    assert caches.kept == 0
    assert caches.upstream.replies == []


async def test_an_abandoned_answer_is_completed_where_the_organisation_asks_for_it() -> None:
    hold = asyncio.Event()
    settings = [org(endpoints=[openai_endpoint()], cache={"finish_abandoned": True})]
    caches = Caches(streamed(*FRAMES[:2], hold, *FRAMES[2:]), settings=settings)
    exchange = start(caches.app, body=question(stream=True), headers=AUTH)
    said = await exchange.next_bytes()
    exchange.hang_up()
    await asyncio.sleep(0.01)
    hold.set()
    await exchange.done()
    assert exchange.body == said
    again = await caches.ask(asked=question(stream=True))
    assert told(again)[0] == "HIT"
    assert again.body == b"".join(FRAMES)


TROUBLES = [StoreError("BatchGetItem: ThrottlingException"), StoreError("disk full")]


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("call", ["get", "put"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_store_in_trouble_fails_no_request(
    trouble: Exception, call: str, stream: bool
) -> None:
    caches = Caches(streamed() if stream else whole())
    caches.store.trouble[call] = trouble
    answered = await caches.ask(asked=question(stream=stream))
    assert (answered.status, told(answered)[0]) == (200, "MISS")
    assert answered.body == (b"".join(FRAMES) if stream else COMPLETION)
    event = "cache_read_failed" if call == "get" else "cache_write_failed"
    assert len(caches.logged(event)) == 1


async def test_a_read_is_given_up_in_time() -> None:
    settings = [org(endpoints=[openai_endpoint()], cache={"read_s": 0.05})]
    caches = Caches(whole(), settings=settings)
    caches.store.pause["get"] = asyncio.Event()
    began = asyncio.get_running_loop().time()
    answered = await caches.ask()
    assert answered.status == 200
    assert asyncio.get_running_loop().time() - began < 1.0
    assert len(caches.logged("cache_read_failed")) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_the_last_byte_never_waits_for_a_write(stream: bool) -> None:
    caches = Caches(streamed() if stream else whole())
    caches.store.pause["put"] = asyncio.Event()
    exchange = start(caches.app, body=question(stream=stream), headers=AUTH)
    await asyncio.sleep(0.1)
    assert exchange.finished
    assert not exchange.task.done()
    caches.store.pause["put"].set()
    await exchange.done()
    assert caches.kept == 1


def damaged(row: Row) -> Row:
    return replace(row, data=row.data[:-1] + bytes([row.data[-1] ^ 1]))


DAMAGES = [
    damaged,
    lambda row: replace(row, data=row.data[:20]),
    lambda row: replace(row, data=b""),
    lambda row: replace(row, expires_at=row.expires_at + 10**6),
    lambda row: replace(row, data=b"CW\x02" + row.data[3:]),
    lambda row: replace(row, data=b"CW\x01\x02" + row.data[4:]),
]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_changed_row_is_a_miss_is_logged_once_and_is_overwritten(damage: Any) -> None:
    caches = Caches(whole(), whole(COMPLETION.replace(b"Hi", b"Ho")))
    await caches.ask()
    caches.store.rows = {key: damage(row) for key, row in caches.store.rows.items()}
    second = await caches.ask()
    assert told(second) == ("MISS", None)
    assert b"Ho" in second.body
    assert len(caches.logged("cache_entry_refused")) == 1
    assert told(await caches.ask())[0] == "HIT"


async def test_rows_put_in_each_other_s_place_are_misses() -> None:
    caches = Caches(whole(), whole(), whole(), whole())
    questions = [question(), question(seed=1)]
    for asked in questions:
        await caches.ask(asked=asked)
    (one, first), (other, second) = caches.store.rows.items()
    caches.store.rows = {
        one: replace(second, pk=one[0]),
        other: replace(first, pk=other[0]),
    }
    for asked in questions:
        assert told(await caches.ask(asked=asked))[0] == "MISS"
    assert len(caches.logged("cache_entry_refused")) == 2


async def test_an_expired_row_that_the_table_still_has_is_a_miss_without_a_word() -> None:
    caches = Caches(whole(), whole())
    await caches.ask(headers={"x-bt-cache-ttl": "10"})
    caches.clock.time += 11
    assert told(await caches.ask())[0] == "MISS"
    assert caches.logged("cache_entry_refused") == []


async def test_a_dump_of_the_table_shows_no_word_of_anybody() -> None:
    caches = Caches(whole())
    asked = question(messages=[{"role": "user", "content": "a private question"}])
    await caches.ask(asked=asked)
    dump = repr(caches.store.rows).encode() + b"".join(r.data for r in caches.store.rows.values())
    for word in (b"private", b"gpt-4o", b"acme", KEY.encode(), b"main", b"Hi", b"chat"):
        assert word not in dump


async def test_a_guess_at_a_known_prompt_finds_nothing_without_the_key() -> None:
    caches = Caches(whole(), whole())
    await caches.ask()
    guess = await of_another(caches, "sk-anybody-0123456789")
    assert told(guess)[0] == "MISS"


async def test_a_body_with_two_meanings_is_not_cached() -> None:
    said = msgspec.json.encode(question())
    twice = said[:-1] + b',"temperature":0}'
    caches = Caches(whole(), whole())
    for _ in range(2):
        answered = await caches.ask(asked=twice)
        assert told(answered) == ("MISS", "unreadable")
    assert caches.store.calls == []


async def test_without_a_table_nothing_is_cached_and_the_head_says_so() -> None:
    caches = Caches(whole(), store=None)
    assert told(await caches.ask()) == ("MISS", "off")


async def test_a_large_answer_is_kept_in_pieces_and_one_missing_is_a_miss() -> None:
    noise = "".join(f"{(i * 2654435761) % 2**32:08x}" for i in range(150_000))
    large = COMPLETION.replace(b'"Hi"', b'"%s"' % noise.encode())
    caches = Caches(whole(large), whole(large))
    await caches.ask()
    assert len(caches.store.rows) > 1
    assert (await caches.ask()).body == large
    piece = next(key for key in caches.store.rows if key[1] != "0")
    del caches.store.rows[piece]
    assert told(await caches.ask())[0] == "MISS"
    assert told(await caches.ask())[0] == "HIT"


SINGLE = {"cache": {"single_flight": True, "single_flight_wait_s": 5.0}}


async def all_at_once(caches: Caches, number: int = 8) -> list[Exchange]:
    return await asyncio.gather(*(caches.ask() for _ in range(number)))


async def test_equal_requests_at_once_make_one_call() -> None:
    hold = asyncio.Event()
    settings = [org(endpoints=[openai_endpoint()], **SINGLE)]
    caches = Caches(Reply(hold, COMPLETION), settings=settings)
    asking = asyncio.ensure_future(all_at_once(caches))
    await asyncio.sleep(0.05)
    hold.set()
    answers = await asking
    assert caches.calls == 1
    assert {answered.body for answered in answers} == {COMPLETION}
    assert sorted(str(told(answered)[0]) for answered in answers) == ["HIT"] * 7 + ["MISS"]
    assert caches.app.services.flights == {}
    assert not [key for key in caches.store.rows if key[0].startswith("flight")]


async def test_without_the_setting_each_one_calls() -> None:
    caches = Caches(*(whole() for _ in range(8)))
    await all_at_once(caches)
    assert caches.calls == 8


async def test_who_follows_one_that_fails_goes_alone() -> None:
    settings = [org(endpoints=[openai_endpoint()], **SINGLE)]
    caches = Caches(UpstreamError("no"), whole(), whole(), settings=settings)
    answers = await all_at_once(caches, 3)
    assert sorted(answered.status for answered in answers) == [200, 200, 502]
    assert caches.app.services.flights == {}


async def test_who_waits_too_long_goes_alone() -> None:
    hold = asyncio.Event()
    limited = {"cache": {"single_flight": True, "single_flight_wait_s": 0.05}}
    settings = [org(endpoints=[openai_endpoint()], **limited)]
    caches = Caches(Reply(hold, COMPLETION), whole(), settings=settings)
    slow = asyncio.ensure_future(caches.ask())
    await asyncio.sleep(0.01)
    fast = await caches.ask()
    assert fast.status == 200
    hold.set()
    assert (await slow).status == 200
    assert caches.calls == 2


async def test_another_process_s_flight_is_waited_for() -> None:
    settings = [org(endpoints=[openai_endpoint()], **SINGLE)]
    hold = asyncio.Event()
    here, there = Caches(Reply(hold, COMPLETION), settings=settings), Caches(settings=settings)
    there.store.rows = here.store.rows
    leading = asyncio.ensure_future(here.ask())
    await asyncio.sleep(0.02)
    following = asyncio.ensure_future(there.ask())
    await asyncio.sleep(0.05)
    hold.set()
    assert told(await leading)[0] == "MISS"
    followed = await following
    assert told(followed)[0] == "HIT"
    assert there.calls == 0


RECORD = {"x-bt-use-cache": "record", "x-bt-cassette": "checkout.v1"}
REPLAY = {"x-bt-use-cache": "replay", "x-bt-cassette": "checkout.v1"}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cassette_answers_without_a_provider(stream: bool) -> None:
    caches = Caches(streamed() if stream else whole())
    asked = question(stream=stream, temperature=0.9)
    first = await caches.ask(asked=asked, headers=RECORD)
    caches.clock.time += 10**9
    second = await caches.ask(asked=asked, headers=REPLAY)
    assert first.body == second.body
    assert told(second)[0] == "HIT"
    assert caches.calls == 1
    assert told(await caches.ask(asked=asked, headers=REPLAY))[0] == "HIT"


async def test_a_recording_again_takes_the_place_of_the_first() -> None:
    caches = Caches(whole(), whole(COMPLETION.replace(b"Hi", b"Ho")))
    for _ in range(2):
        await caches.ask(headers=RECORD)
    assert b"Ho" in (await caches.ask(headers=REPLAY)).body
    assert caches.calls == 2


async def test_what_a_cassette_does_not_hold_is_a_clear_error_and_no_call() -> None:
    caches = Caches(whole())
    await caches.ask(headers=RECORD)
    for asked, headers in (
        (question(seed=3), REPLAY),
        (question(), {**REPLAY, "x-bt-cassette": "other"}),
        (question(), {**REPLAY, "authorization": "Bearer sk-other-0123456789abcdef"}),
    ):
        answered = await caches.ask(asked=asked, headers=headers)
        assert answered.status == 404
        assert "holds no answer" in answered.json["error"]["message"]
    assert caches.calls == 1


async def test_a_cassette_that_cannot_be_read_is_an_error_and_no_call() -> None:
    caches = Caches()
    caches.store.trouble["get"] = StoreError("down")
    answered = await caches.ask(headers=REPLAY)
    assert answered.status == 503
    assert caches.calls == 0


@pytest.mark.parametrize("mode", ["record", "replay"])
@pytest.mark.parametrize("name", [None, "", "a/b", "x" * 101])
async def test_a_cassette_needs_a_name(mode: str, name: str | None) -> None:
    headers = {"x-bt-use-cache": mode} | ({} if name is None else {"x-bt-cassette": name})
    answered = await Caches().ask(headers=headers)
    assert answered.status == 400
    assert "x-bt-cassette" in answered.json["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/images/generations"), ("GET", "/v1/files"), ("POST", "/v1/audio/speech")],
)
async def test_a_replay_asks_no_provider_at_any_route(method: str, path: str) -> None:
    caches = Caches()
    answered = await caches.ask(path, b"{}", REPLAY, method=method)
    assert answered.status == 400
    assert caches.calls == 0


async def test_a_replay_without_a_table_is_an_error() -> None:
    caches = Caches(store=None)
    for headers in (RECORD, REPLAY):
        assert (await caches.ask(headers=headers)).status == 400
    assert isinstance(caches.upstream, FakeUpstream)
    assert caches.calls == 0
