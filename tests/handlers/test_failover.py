"""One request, several endpoints: who is asked, what is told, and what others learn of it."""

from typing import Any

import pytest
from msgspec.structs import replace

from core import health
from core.errors import UpstreamError, UpstreamTimeoutError
from core.ports import StoreError
from tests.fakes import KEY, Reply, anthropic_endpoint, openai_endpoint, org, stream
from tests.handlers.caches import COMPLETION, FRAMES, MESSAGE, Caches, question
from tests.handlers.lending import Office

CHAT = "/v1/chat/completions"
BUSY = b'{"error":{"message":"Slow down","type":"rate_limit","code":"rate_limit_exceeded"}}'
UNSURE = question(temperature=1)
TWO = [openai_endpoint(name="a"), openai_endpoint(name="b", secret="sk-b", weight=0.5)]


def failing(status: int, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(BUSY, status=status, headers={"content-type": "application/json", **named})


class Napping:
    """Time goes on only while somebody sleeps."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.clock: Any = None

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.time += seconds


def caches(*replies: Any, endpoints: Any = TWO, **settings: Any) -> Caches:
    nap = Napping()
    made = Caches(
        *replies,
        settings=[org(endpoints=endpoints, **{"retry": {}, **settings})],
        sleep=nap,
    )
    nap.clock = made.clock
    made.nap = nap
    return made


def asked(made: Caches) -> list[str]:
    names = {"sk-of-the-org": "a", "sk-b": "b", "sk-ant-of-the-org": "claude"}
    keys = (
        one.headers.get("authorization") or one.headers["x-api-key"] for one in made.upstream.sent
    )
    return [names[key.removeprefix("Bearer ")] for key in keys]


@pytest.mark.parametrize(
    ("first", "whom"),
    [
        (failing(429), ["a", "b"]),
        (failing(429, retry_after="30"), ["a", "b"]),
        (failing(500), ["a", "a", "b"]),
        (failing(529), ["a", "a", "b"]),
        (failing(401), ["a", "b"]),
        (failing(403), ["a", "b"]),
        (failing(404), ["a", "b"]),
        (UpstreamError("It was reset."), ["a", "a", "b"]),
        (UpstreamTimeoutError("It is silent."), ["a", "b"]),
    ],
)
async def test_another_endpoint_answers(first: Any, whom: list[str]):
    made = caches(*[first for _ in whom[:-1]], Reply(COMPLETION))
    answer = await made.ask(asked=UNSURE)
    assert (answer.status, asked(made)) == (200, whom)
    assert answer.headers["x-bt-used-endpoint"] == "b"
    assert answer.headers["x-bt-attempts"] == str(len(whom))
    (line,) = made.logged("attempts")
    assert [one["endpoint"] for one in line["attempts"]] == whom


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_what_is_the_callers_fault_is_told_and_tried_nowhere_else(status: int):
    made = caches(failing(status))
    answer = await made.ask(asked=UNSURE)
    assert (answer.status, asked(made)) == (status, ["a"])
    assert answer.headers["x-bt-attempts"] == "1"


async def test_a_lone_endpoint_is_waited_for_as_long_as_it_says():
    made = caches(failing(429, retry_after="7"), Reply(COMPLETION), endpoints=TWO[:1])
    assert (await made.ask(asked=UNSURE)).status == 200
    assert sum(made.nap.slept) == pytest.approx(7, abs=1)


async def test_longer_than_the_budget_nobody_waits_and_the_caller_hears_how_long():
    made = caches(failing(429, retry_after="300"), endpoints=TWO[:1])
    answer = await made.ask(asked=UNSURE)
    assert (answer.status, made.nap.slept) == (429, [])
    assert 299 <= int(answer.headers["retry-after"]) <= 302
    again = await made.ask(asked=UNSURE)
    assert (again.status, made.calls) == (429, 1)


async def test_who_is_cooling_down_is_asked_last():
    made = caches(*[UpstreamTimeoutError("It is silent.")], *[Reply(COMPLETION) for _ in range(3)])
    for _ in range(3):
        assert (await made.ask(asked=UNSURE)).status == 200
    assert asked(made) == ["a", "b", "b", "b"]


async def test_another_process_hears_of_it_with_what_it_reads_anyway():
    made = caches(UpstreamTimeoutError("It is silent."), Reply(COMPLETION))
    assert (await made.ask()).status == 200
    assert health.row_key("acme") in made.store.rows
    other = caches(Reply(COMPLETION))
    other.store.rows = {health.row_key("acme"): made.store.rows[health.row_key("acme")]}
    assert (await other.ask()).status == 200
    assert asked(other) == ["b"]
    assert other.store.calls.count("get") == 1


async def test_news_that_cannot_be_told_fail_nothing():
    made = caches(UpstreamTimeoutError("It is silent."), Reply(COMPLETION))
    made.store.trouble["put"] = StoreError("It is full.")
    assert (await made.ask(asked=UNSURE)).status == 200
    assert made.logged("health_not_shared")


FALLING = {"fallbacks": {"gpt-4o": ["claude-sonnet-4-5"]}}
BOTH = [openai_endpoint(name="a"), anthropic_endpoint()]


async def test_another_model_answers_in_the_clients_own_format():
    made = caches(failing(500), failing(500), Reply(MESSAGE), endpoints=BOTH, **FALLING)
    answer = await made.ask(asked=UNSURE)
    assert (answer.status, asked(made)) == (200, ["a", "a", "claude"])
    assert answer.json["object"] == "chat.completion"
    assert answer.json["model"] == "claude"


async def test_a_prompt_that_is_too_long_for_one_model_is_taken_to_another():
    long = Reply(b'{"error":{"message":"too long","code":"context_length_exceeded"}}', status=400)
    made = caches(long, Reply(MESSAGE), endpoints=BOTH, **FALLING)
    assert (await made.ask(asked=UNSURE)).status == 200
    alone = caches(long, endpoints=BOTH)
    answer = await alone.ask(asked=UNSURE)
    assert (answer.status, asked(alone)) == (400, ["a"])


async def test_the_caller_names_the_models_to_fall_back_to_or_none():
    headers = {"x-bt-fallback-models": "claude-sonnet-4-5"}
    made = caches(failing(500), failing(500), Reply(MESSAGE), endpoints=BOTH)
    assert (await made.ask(asked=UNSURE, headers=headers)).status == 200
    none = caches(failing(500), failing(500), endpoints=BOTH, **FALLING)
    answer = await none.ask(asked=UNSURE, headers={"x-bt-fallback-models": ","})
    assert (answer.status, asked(none)) == (500, ["a", "a"])


async def test_another_models_answer_is_not_kept():
    made = caches(
        failing(500), failing(500), Reply(MESSAGE), Reply(MESSAGE), endpoints=BOTH, **FALLING
    )
    for _ in range(2):
        answer = await made.ask()
        assert answer.headers["x-bt-cached"] == "MISS"
        assert answer.headers["x-bt-cache-reason"] == "fallback"
    assert made.kept == 0


async def test_a_credential_falls_back_to_no_model_that_it_may_not_use():
    office = Office(failing(500), failing(500), Reply(MESSAGE))
    office.secrets.put("acme", endpoints=BOTH, retry={"max_attempts": 3}, **FALLING)
    nap = Napping()
    nap.clock = office.clock
    office.app.services = replace(office.app.services, sleep=nap)
    token = await office.lend(await office.key(), model="gpt-4o")
    answer = await office.ask(token, asked=UNSURE)
    assert (answer.status, office.sent) == (500, 2)


async def test_a_callers_own_key_is_refused_as_it_is_and_tried_once():
    made = caches(failing(401))
    answer = await made.ask(asked=UNSURE, headers={"authorization": "Bearer sk-own"})
    assert (answer.status, made.calls) == (401, 1)


async def test_a_stream_that_fails_before_its_first_token_is_another_ones():
    cut = stream(FRAMES[0], UpstreamError("It was cut."))
    made = caches(cut, cut, stream(*FRAMES))
    answer = await made.ask(asked=question(temperature=1, stream=True))
    assert asked(made) == ["a", "a", "b"]
    assert answer.body == b"".join(FRAMES)
    assert answer.headers["x-bt-used-endpoint"] == "b"


async def test_a_stream_that_fails_after_it_is_an_error_and_nobody_elses():
    made = caches(stream(*FRAMES[:2], UpstreamError("It was cut.")), stream(*FRAMES))
    answer = await made.ask(asked=question(temperature=1, stream=True))
    assert asked(made) == ["a"]
    assert b"[DONE]" not in answer.body
    assert b'"error"' in answer.body


async def test_a_job_is_never_begun_twice():
    made = caches(UpstreamError("It was reset."), Reply(b"{}"))
    body = {"input_file_id": "f", "endpoint": "/v1/chat/completions"}
    answer = await made.ask("/v1/batches", body, {"content-type": "application/json"})
    assert (answer.status, made.calls) == (502, 1)


async def test_what_belongs_to_an_account_is_asked_of_that_one():
    made = caches(failing(404), Reply(b"{}"))
    answer = await made.ask("/v1/files/file-1", b"", method="GET")
    assert (answer.status, asked(made)) == (404, ["a"])


async def test_embeddings_go_elsewhere_too():
    made = caches(failing(500), failing(500), Reply(b'{"data":[{"embedding":[1]}]}'))
    body = {"model": "text-embedding-3-small", "input": "x"}
    answer = await made.ask("/v1/embeddings", body)
    assert (answer.status, asked(made)) == (200, ["a", "a", "b"])


async def test_the_key_of_the_organisation_is_never_said():
    made = caches(failing(401), failing(403))
    answer = await made.ask(asked=UNSURE)
    assert answer.status == 502
    assert b"sk-" not in answer.body
    assert KEY.encode() not in answer.body
