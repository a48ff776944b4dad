"""One chat request, start to finish, over a scripted upstream."""

import asyncio
from typing import Any

import msgspec
import pytest

from core.dialects import load
from core.errors import UpstreamError, UpstreamTimeoutError
from core.streams import token_mark
from tests.asgi_driver import Exchange, ask, start
from tests.fakes import (
    KEY,
    FakeUpstream,
    Reply,
    anthropic_endpoint,
    application,
    openai_endpoint,
    org,
    stream,
)

OPENAI, ANTHROPIC = "/v1/chat/completions", "/v1/messages"
AUTH = {"authorization": f"Bearer {KEY}"}
SECRET = "sk-sentinel-0123456789"

COMPLETION = (
    b'{"id":"c1", "object":"chat.completion","model":"gpt-4o","new":1.50,"choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":2}}'
)
MESSAGE = (
    b'{"id":"m1","type":"message","role":"assistant","model":"claude","content":'
    b'[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","usage":{"input_tokens":3,'
    b'"output_tokens":2}}'
)
OPENAI_FRAMES = [
    b'data: {"id":"c1","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n',
    b'data: {"id":"c1","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n',
    b'data: {"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    b'data: {"id":"c1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n',
    b"data: [DONE]\n\n",
]
ANTHROPIC_FRAMES = [
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m1","model":"claude",'
    b'"usage":{"input_tokens":3}}}\n\n',
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":'
    b'{"type":"text_delta","text":"Hi"}}\n\n',
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
    b'"usage":{"output_tokens":2}}\n\n',
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
]
BOTH = org(endpoints=[openai_endpoint(), anthropic_endpoint()])
MODELS = {"openai": "gpt-4o", "anthropic": "claude-sonnet-4-5"}
FRAMES = {"openai": OPENAI_FRAMES, "anthropic": ANTHROPIC_FRAMES}
WHOLE = {"openai": COMPLETION, "anthropic": MESSAGE}
LANES = [(path, provider) for path in (OPENAI, ANTHROPIC) for provider in MODELS]
in_every_lane = pytest.mark.parametrize(("path", "provider"), LANES)


def body(model: str = "gpt-4o", **fields: Any) -> dict[str, Any]:
    return {
        "model": model,
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}],
        **fields,
    }


def text_of(answered: Exchange, path: str) -> str:
    if path == OPENAI:
        text: str = answered.json["choices"][0]["message"]["content"]
    else:
        text = answered.json["content"][0]["text"]
    return text


async def exchange(
    upstream: FakeUpstream, path: str, asked: Any, headers: Any = AUTH, **changes: Any
) -> Exchange:
    app, _ = application(upstream, changes.pop("settings", BOTH), **changes)
    return await ask(app, path, asked, headers=headers)


# --- Who may call, and with which key -------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"x-api-key": KEY},
        {"api-key": KEY},
        {"x-goog-api-key": KEY},
    ],
)
async def test_a_cutwater_key_is_exchanged_for_the_endpoints_secret(headers: dict[str, str]):
    upstream = FakeUpstream(Reply(COMPLETION))
    answered = await exchange(upstream, OPENAI, body(), headers)
    assert answered.status == 200
    assert upstream.sent[0].headers["authorization"] == "Bearer sk-of-the-org"
    assert answered.headers["x-bt-used-endpoint"] == "main"


@pytest.mark.parametrize(
    ("path", "model", "key", "url", "header"),
    [
        (OPENAI, "gpt-4o", "sk-own", "https://api.openai.com/v1/chat/completions", "authorization"),
        (OPENAI, "never-heard", "sk-own", "https://api.openai.com/v1/chat/completions", ""),
        (
            ANTHROPIC,
            "claude-sonnet-4-5",
            "sk-ant-own",
            "https://api.anthropic.com/v1/messages",
            "x-api-key",
        ),
        (OPENAI, "claude-sonnet-4-5", "sk-ant-own", "https://api.anthropic.com/v1/messages", ""),
    ],
)
async def test_a_providers_own_key_goes_to_that_provider(
    path: str, model: str, key: str, url: str, header: str
):
    upstream = FakeUpstream(Reply(MESSAGE if "anthropic" in url else COMPLETION))
    answered = await exchange(upstream, path, body(model), {"x-api-key": key})
    assert answered.status == 200
    assert upstream.sent[0].url == url
    if header:
        assert upstream.sent[0].headers[header].endswith(key)
    assert "x-bt-used-endpoint" not in answered.headers


@pytest.mark.parametrize(
    ("headers", "model", "status", "changes"),
    [
        ({"x-api-key": "cw_wrong_0123456789abcdef"}, "gpt-4o", 401, {}),
        ({"x-api-key": "cw_"}, "gpt-4o", 401, {}),
        ({"x-api-key": "sk-own"}, "gpt-4o", 401, {"provider_keys": False}),
        ({"x-api-key": "sk-own"}, "demo-nope", 404, {}),
        ({"x-api-key": "sk-ant-own"}, "gpt-4o", 404, {}),
        ({**AUTH, "x-bt-org-name": "other"}, "gpt-4o", 403, {}),
        ({**AUTH, "x-bt-endpoint-name": "nowhere"}, "gpt-4o", 400, {}),
        ({"x-api-key": "sk-own", "x-bt-endpoint-name": "main"}, "gpt-4o", 400, {}),
    ],
)
@pytest.mark.parametrize("path", [OPENAI, ANTHROPIC])
async def test_a_caller_that_may_not_is_refused_and_no_provider_hears_of_it(
    path: str, headers: dict[str, str], model: str, status: int, changes: dict[str, Any]
):
    upstream = FakeUpstream()
    answered = await exchange(upstream, path, body(model), headers, **changes)
    assert answered.status == status
    assert not upstream.sent
    assert not any(key.encode() in answered.body for key in (KEY, "sk-own", "sk-ant-own"))


async def test_a_key_of_several_organisations_needs_a_name():
    app, _ = application(
        FakeUpstream(Reply(COMPLETION), Reply(COMPLETION), Reply(COMPLETION)),
        org("a", endpoints=[openai_endpoint(name="of-a")]),
        org("b c", endpoints=[openai_endpoint(name="of-b")]),
    )
    unnamed = await ask(app, OPENAI, body(), headers=AUTH)
    assert unnamed.status == 400
    assert "x-bt-org-name (a, b c)" in unnamed.json["error"]["message"]
    named = [
        await ask(app, OPENAI, body(), headers={**AUTH, "x-bt-org-name": "a"}),
        await ask(app, "/btorg/b%20c/chat/completions", body(), headers=AUTH),
        await ask(app, "/v1/btorg/a" + "/chat/completions", body(), headers=AUTH),
    ]
    assert [one.headers["x-bt-used-endpoint"] for one in named] == ["of-a", "of-b", "of-a"]
    conflict = await ask(
        app, "/btorg/a/chat/completions", body(), headers={**AUTH, "x-bt-org-name": "b c"}
    )
    assert conflict.status == 400


async def test_a_name_in_two_headers_of_which_one_is_empty_is_no_conflict():
    upstream = FakeUpstream(Reply(COMPLETION))
    answered = await exchange(
        upstream, "/btorg/acme/chat/completions", body(), {**AUTH, "x-bt-org-name": ""}
    )
    assert answered.status == 200


# --- What goes up ---------------------------------------------------------------------------------

CALLERS_OWN = [
    "cookie", "cookie2", "proxy-authorization", "forwarded", "via", "x-forwarded-for",
    "x-forwarded-host", "x-forwarded", "x-original-forwarded-for", "x-real-ip", "x-client-ip",
    "x-cluster-client-ip", "true-client-ip", "fastly-client-ip", "fly-client-ip",
    "cf-connecting-ip", "cloudfront-viewer-address", "x-envoy-external-address", "x-amzn-trace-id",
    "x-amz-security-token", "x-apigateway-event", "x-bt-parent", "x-bt-anything",
    "origin", "referer", "host", "sec-fetch-site", "x-request-id", "user-agent",
    "x-stainless-helper",
]  # fmt: skip


@in_every_lane
@pytest.mark.parametrize("key", ["authorization", "x-api-key", "api-key", "x-goog-api-key"])
async def test_nothing_of_the_caller_reaches_a_provider(path: str, provider: str, key: str):
    upstream = FakeUpstream(Reply(WHOLE[provider]))
    headers = dict.fromkeys(CALLERS_OWN, SECRET)
    headers[key] = AUTH["authorization"] if key == "authorization" else KEY
    # Beside the key that counts, keys in the other headers.
    others = {"x-api-key", "api-key", "x-goog-api-key"} - headers.keys()
    headers |= dict.fromkeys(others, SECRET) if key == "authorization" else {}
    answered = await exchange(
        upstream, path, body(MODELS[provider]), {**headers, "x-ours": "passes"}
    )
    assert answered.status == 200
    [sent] = upstream.sent
    everything = f"{sent.url} {dict(sent.headers)} {sent.body!r}"
    assert SECRET not in everything
    assert KEY not in everything
    assert not any(name.startswith("x-bt-") for name in sent.headers)
    assert sent.headers["x-ours"] == "passes"


async def test_an_unchanged_body_is_forwarded_byte_for_byte():
    exact = (
        b'{ "z":1.50, "model":"gpt-4o",\n"messages":[{"role":"user",'
        b'"content":"\\u00e9\\/\xc3\xa9"}]'
        b',"new_field":{"a":1e2,"a":12345678901234567890.10} }'
    )
    upstream = FakeUpstream(Reply(COMPLETION))
    await exchange(upstream, OPENAI, exact)
    assert upstream.sent[0].body == exact


async def test_the_named_endpoint_is_asked():
    settings = org(endpoints=[openai_endpoint(name="a"), openai_endpoint(name="b", secret="sk-b")])
    upstream = FakeUpstream(Reply(COMPLETION))
    headers = {**AUTH, "x-bt-endpoint-name": "b"}
    answered = await exchange(upstream, OPENAI, body(), headers, settings=settings)
    assert answered.headers["x-bt-used-endpoint"] == "b"
    assert upstream.sent[0].headers["authorization"] == "Bearer sk-b"


@pytest.mark.parametrize(("draw", "first"), [(0.0, "a"), (0.74, "a"), (0.76, "b"), (0.999, "b")])
async def test_the_draw_chooses_by_weight(draw: float, first: str):
    settings = org(
        endpoints=[openai_endpoint(name="a", weight=3), openai_endpoint(name="b", weight=1)]
    )
    upstream = FakeUpstream(Reply(COMPLETION))
    answered = await exchange(upstream, OPENAI, body(), settings=settings, draw=lambda: draw)
    assert answered.headers["x-bt-used-endpoint"] == first


async def test_a_custom_model_of_a_server_without_a_key_works():
    metadata = {
        "api_base": "http://gpu.test/v1/",
        "customModels": {"ours": {"format": "openai", "flavor": "chat", "upstream_name": "llama"}},
        "additionalHeaders": {"X-Team": "ml"},
    }
    settings = org(endpoints=[openai_endpoint(secret=None, metadata=metadata)])
    upstream = FakeUpstream(Reply(COMPLETION))
    assert (await exchange(upstream, OPENAI, body("ours"), settings=settings)).status == 200
    [sent] = upstream.sent
    assert sent.url == "http://gpu.test/v1/chat/completions"
    assert sent.headers["x-team"] == "ml"
    assert "authorization" not in sent.headers
    assert msgspec.json.decode(sent.body)["model"] == "llama"


@pytest.mark.parametrize("strict", [False, True])
async def test_what_a_translation_lost_is_named_or_refused(strict: bool):
    upstream = FakeUpstream(Reply(MESSAGE))
    headers = {**AUTH, "x-bt-strict": "true"} if strict else AUTH
    asked = body("claude-sonnet-4-5", logit_bias={"1": 2}, **{"odd\r\nname": 1})
    answered = await exchange(upstream, OPENAI, asked, headers)
    if strict:
        assert answered.status == 400
        assert not upstream.sent
    else:
        assert answered.status == 200
        assert set(answered.headers["x-bt-dropped-params"].split(", ")) == {
            "logit_bias",
            "odd??name",
        }


# --- Whole answers --------------------------------------------------------------------------------


@in_every_lane
async def test_a_whole_answer_comes_back(path: str, provider: str):
    upstream = FakeUpstream(Reply(WHOLE[provider]))
    answered = await exchange(upstream, path, body(MODELS[provider]))
    assert answered.status == 200
    assert answered.headers["content-type"] == "application/json"
    assert answered.headers["content-length"] == str(len(answered.body))
    assert text_of(answered, path) == "Hi"
    if (path == OPENAI) == (provider == "openai"):
        assert answered.body == WHOLE[provider]
    assert upstream.sent[0].url.startswith(f"https://{provider}.test/v1/")


async def test_headers_of_the_provider_come_back_but_not_its_transport():
    headers = {
        "content-type": "application/json; charset=utf-8",
        "set-cookie": "a=b",
        "content-encoding": "gzip",
        "content-length": "7",
        "transfer-encoding": "chunked",
        "server": "nginx",
        "access-control-allow-origin": "*",
        "x-bt-cached": "HIT",
        "x-ratelimit-remaining": "9",
        "x-request-id": "theirs",
    }
    answered = await exchange(FakeUpstream(Reply(COMPLETION, headers=headers)), OPENAI, body())
    assert answered.headers == {
        "content-type": "application/json; charset=utf-8",
        "x-ratelimit-remaining": "9",
        "x-request-id": "theirs",
        "x-bt-used-endpoint": "main",
        "x-bt-attempts": "1",
        "x-bt-cached": "MISS",
        "x-bt-cache-reason": "off",
        "content-length": str(len(COMPLETION)),
    }


async def test_an_endpoints_name_of_any_script_is_a_safe_header():
    settings = org(endpoints=[openai_endpoint(name="d\u00e9p\u014dt")])
    answered = await exchange(FakeUpstream(Reply(COMPLETION)), OPENAI, body(), settings=settings)
    assert answered.headers["x-bt-used-endpoint"] == "d\\xe9p\\u014dt"


@in_every_lane
async def test_structured_output_by_a_stand_in_tool_is_text_again(path: str, provider: str):
    if (path, provider) != (OPENAI, "anthropic"):
        return
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    whole = MESSAGE.replace(
        b'{"type":"text","text":"Hi"}',
        b'{"type":"tool_use","id":"t","name":"json","input":{"a":1}}',
    ).replace(b"end_turn", b"tool_use")
    model = "claude-3-5-haiku-20241022"
    for streams in (False, True):
        # The second provider does not stream although it was asked to.
        asked = body(model, response_format=schema, stream=streams)
        answered = await exchange(FakeUpstream(Reply(whole)), path, asked)
        assert b'\\"a\\":1' in answered.body
        assert b"tool_calls" not in answered.body
    frames = [
        ANTHROPIC_FRAMES[0],
        b'data: {"type":"content_block_start","index":0,"content_block":{"type":"tool_use",'
        b'"id":"t","name":"json","input":{}}}\n\n',
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta",'
        b'"partial_json":"{\\"a\\":1}"}}\n\n',
        ANTHROPIC_FRAMES[2].replace(b"end_turn", b"tool_use"),
        ANTHROPIC_FRAMES[3],
    ]
    asked = body(model, response_format=schema, stream=True)
    answered = await exchange(FakeUpstream(stream(*frames)), path, asked)
    assert b'\\"a\\":1' in answered.body
    assert b"tool_calls" not in answered.body


@in_every_lane
@pytest.mark.parametrize("streams", [False, True])
async def test_an_answer_that_makes_no_sense_is_a_502(path: str, provider: str, streams: bool):
    if (path == OPENAI) == (provider == "openai") and not streams:
        return  # In the pass lane the client reads what the provider wrote.
    for nonsense in (b"<html>", b"", b"[]", b"\xff", b"[" * 100_000):
        asked = body(MODELS[provider], stream=streams)
        answered = await exchange(FakeUpstream(Reply(nonsense)), path, asked)
        assert answered.status == 502
        assert answered.json["error"]["message"].startswith("The provider's answer is no")


@pytest.mark.parametrize("status", [301, 302, 304, 307, 308])
@pytest.mark.parametrize("streams", [False, True])
async def test_a_redirect_is_neither_followed_nor_handed_on(status: int, streams: bool):
    reply = Reply(b"", status=status, headers={"location": "https://evil.test/"})
    answered = await exchange(FakeUpstream(reply), OPENAI, body(stream=streams))
    assert answered.status == 502
    assert "location" not in answered.headers
    assert b"evil" not in answered.body


# --- Errors of the provider -----------------------------------------------------------------------

REFUSAL = b'{"error":{"message":"Slow down","type":"tokens","code":"rate_limit_exceeded"}}'


@in_every_lane
@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("status", [400, 413, 422, 429, 500, 503, 529])
async def test_a_providers_refusal_keeps_status_and_words_in_the_clients_shape(
    path: str, provider: str, streams: bool, status: int
):
    headers = {"content-type": "application/json", "retry-after": "7", "set-cookie": "a=b"}
    reply = Reply(REFUSAL, status=status, headers=headers)
    answered = await exchange(FakeUpstream(reply), path, body(MODELS[provider], stream=streams))
    assert answered.status == status
    assert answered.json["error"]["message"] == "Slow down"
    assert answered.headers["retry-after"] == "7"
    assert answered.headers["content-type"] == "application/json"
    assert "set-cookie" not in answered.headers
    if (path == OPENAI) == (provider == "openai"):
        assert answered.body == REFUSAL
    else:
        assert ("type" in answered.json) is (path == ANTHROPIC)
        assert answered.json["request_id"].startswith("req_")


@in_every_lane
@pytest.mark.parametrize("page", [b"<html>Bad gateway</html>", b"", b"[]", b'{"detail":"x"}'])
async def test_a_refusal_that_is_no_error_document_becomes_one(
    path: str, provider: str, page: bytes
):
    headers = {"content-type": "text/html"}
    reply = Reply(page, status=502, headers=headers)
    answered = await exchange(FakeUpstream(reply), path, body(MODELS[provider]))
    assert answered.status == 502
    assert answered.headers["content-type"] == "application/json"
    assert answered.json["error"]["message"]
    assert b"<html>" not in answered.body


@in_every_lane
@pytest.mark.parametrize("status", [401, 403])
async def test_an_endpoints_refused_key_is_a_502_without_the_providers_words(
    path: str, provider: str, status: int
):
    quoting = b'{"error":{"message":"Incorrect API key provided: sk-of-the-org"}}'
    upstream = FakeUpstream(Reply(quoting, status=status, headers={"x-echo": "sk-of-the-org"}))
    answered = await exchange(upstream, path, body(MODELS[provider]))
    assert answered.status == 502
    assert b"Incorrect" not in answered.body
    assert b"sk-of" not in answered.body
    assert "x-echo" not in answered.headers
    name = "main" if provider == "openai" else "claude"
    assert f"`{name}`" in answered.json["error"]["message"]


@pytest.mark.parametrize("status", [401, 403])
async def test_a_callers_own_refused_key_is_the_providers_answer_with_the_key_struck_out(
    status: int,
):
    quoting = b'{"error":{"message":"Incorrect API key provided: %s"}}' % SECRET.encode()
    upstream = FakeUpstream(Reply(quoting, status=status))
    answered = await exchange(upstream, OPENAI, body(), {"x-api-key": SECRET})
    assert answered.status == status
    assert answered.json["error"]["message"] == "Incorrect API key provided: ***"


HIDDEN = [
    {"secret": SECRET},
    {"secret": None, "metadata": {"additionalHeaders": {"Authorization": f"Bearer {SECRET}"}}},
    {"secret": None, "metadata": {"additionalHeaders": {"Api-Key": SECRET}}},
]


@pytest.mark.parametrize("settings", HIDDEN)
@pytest.mark.parametrize("path", [OPENAI, ANTHROPIC])
@pytest.mark.parametrize("streams", [False, True])
async def test_no_key_comes_back_in_a_providers_error(
    path: str, settings: dict[str, Any], streams: bool
):
    metadata = {"api_base": "https://x.test/v1", **settings.get("metadata", {})}
    endpoint = openai_endpoint(**{**settings, "metadata": metadata})
    quoting = b'{"error":{"message":"What is Bearer %s?","type":"%s"}}' % ((SECRET.encode(),) * 2)
    headers = {"content-type": "application/json", "x-echo": f"Bearer {SECRET}", "x-fine": "1"}
    replies = [
        Reply(quoting, status=400, headers=headers),
        Reply(quoting, status=401, headers=headers),
        Reply(quoting, status=500, headers=headers),
        Reply(b"data: " + quoting, headers={**headers, "content-type": "text/event-stream"}),
        Reply(
            OPENAI_FRAMES[1],
            b"data: " + quoting + b"\n\n",
            headers={**headers, "content-type": "text/event-stream"},
        ),
        UpstreamError("Cut."),
    ]
    app, log = application(FakeUpstream(*replies), org(endpoints=[endpoint]))
    for _ in replies:
        answered = await ask(app, path, body(stream=streams), headers=AUTH)
        if not streams and path == OPENAI and answered.status == 200:
            continue  # Nothing in the pass lane looks into an answer that is no error.
        assert SECRET.encode() not in answered.body
        assert SECRET not in str(answered.headers)
        assert KEY not in str(answered.headers) + str(answered.body)
    assert SECRET not in str(log.lines)
    assert KEY not in str(log.lines)


async def test_a_short_secret_takes_no_words_out_of_an_error():
    settings = org(endpoints=[openai_endpoint(secret="Slow")])
    answered = await exchange(
        FakeUpstream(Reply(REFUSAL, status=429)), OPENAI, body(), settings=settings
    )
    assert answered.body == REFUSAL


@in_every_lane
@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    ("error", "status"),
    [(UpstreamError("No connection."), 502), (UpstreamTimeoutError("No head."), 504)],
)
async def test_a_provider_that_cannot_be_had_is_an_error_with_a_status(
    path: str, provider: str, streams: bool, error: Exception, status: int
):
    asked = body(MODELS[provider], stream=streams)
    answered = await exchange(FakeUpstream(error), path, asked)
    assert (answered.status, answered.json["error"]["message"]) == (status, str(error))


@in_every_lane
async def test_a_whole_answer_that_is_cut_is_a_502(path: str, provider: str):
    reply = Reply(b'{"id":', UpstreamError("Cut."))
    answered = await exchange(FakeUpstream(reply), path, body(MODELS[provider]))
    assert (answered.status, answered.json["error"]["message"]) == (502, "Cut.")


# --- Streams --------------------------------------------------------------------------------------


@in_every_lane
async def test_a_stream_is_sent_on_event_by_event_as_it_comes(path: str, provider: str):
    gates = [asyncio.Event() for _ in FRAMES[provider]]
    steps = [step for pair in zip(gates, FRAMES[provider], strict=True) for step in pair]
    app, log = application(FakeUpstream(stream(*steps)), BOTH)
    under_way = start(app, path, body(MODELS[provider], stream=True), headers=AUTH)
    await asyncio.sleep(0.01)
    assert not under_way.started
    said = []
    mark, speaks = token_mark(load(provider if provider == "anthropic" else "openai_chat")), False
    for frame, gate in zip(FRAMES[provider], gates, strict=True):
        gate.set()
        # What comes before the first token waits for it: another endpoint may still take over.
        speaks = speaks or mark.search(frame) is not None
        # Only the finish and the usage may wait for what comes after them.
        if speaks and b"stop" not in frame and b"usage" not in frame.replace(b"message_start", b""):
            said.append(await under_way.next_bytes(2))
    await under_way.done()
    assert under_way.finished
    assert under_way.status == 200
    assert b"".join(said) in under_way.body
    assert not log.lines


async def test_the_head_of_a_stream():
    headers = {"x-request-id": "theirs", "x-accel-buffering": "no", "cache-control": "no-store"}
    answered = await exchange(
        FakeUpstream(stream(*OPENAI_FRAMES, headers=headers)), OPENAI, body(stream=True)
    )
    assert answered.headers == {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-transform",
        "x-accel-buffering": "no",
        "x-request-id": "theirs",
        "x-bt-used-endpoint": "main",
        "x-bt-attempts": "1",
        "x-bt-cached": "MISS",
        "x-bt-cache-reason": "off",
    }


@pytest.mark.parametrize("asks", [False, True])
async def test_usage_is_always_asked_for_and_shown_only_to_who_wants_it(asks: bool):
    upstream = FakeUpstream(stream(*OPENAI_FRAMES))
    options = {"stream_options": {"include_usage": True}} if asks else {}
    answered = await exchange(upstream, OPENAI, body(stream=True, **options))
    sent = msgspec.json.decode(upstream.sent[0].body)
    assert sent["stream_options"] == {"include_usage": True}
    shown = [f for f in OPENAI_FRAMES if asks or b"usage" not in f]
    assert answered.body == b"".join(shown)


@in_every_lane
@pytest.mark.parametrize("kind", ["application/json", "", "application/octet-stream"])
async def test_a_provider_that_does_not_stream_is_streamed_all_the_same(
    path: str, provider: str, kind: str
):
    reply = Reply(WHOLE[provider], headers={"content-type": kind} if kind else {})
    answered = await exchange(FakeUpstream(reply), path, body(MODELS[provider], stream=True))
    assert answered.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert b"Hi" in answered.body
    last = b"data: [DONE]\n\n" if path == OPENAI else b'data: {"type":"message_stop"}\n\n'
    assert answered.body.endswith(last)
    assert answered.finished


@in_every_lane
async def test_an_endpoint_without_streaming_is_asked_for_a_whole_answer(path: str, provider: str):
    make = openai_endpoint if provider == "openai" else anthropic_endpoint
    settings = org(endpoints=[make(metadata={"supportsStreaming": False})])
    upstream = FakeUpstream(Reply(WHOLE[provider]))
    answered = await exchange(
        upstream, path, body(MODELS[provider], stream=True), settings=settings
    )
    sent = msgspec.json.decode(upstream.sent[0].body)
    assert not sent.get("stream")
    assert "stream_options" not in sent
    assert b"Hi" in answered.body
    assert answered.body.endswith(b"\n\n")


async def test_the_content_type_of_a_stream_may_be_written_in_any_case():
    reply = Reply(*OPENAI_FRAMES, headers={"content-type": "Text/Event-Stream;charset=UTF-8"})
    answered = await exchange(FakeUpstream(reply), OPENAI, body(stream=True))
    assert answered.body.endswith(OPENAI_FRAMES[-1])


@in_every_lane
@pytest.mark.parametrize(
    "fault", [None, UpstreamError("Cut."), UpstreamTimeoutError("Stalled.")], ids=str
)
async def test_a_stream_that_breaks_ends_with_an_error_event_and_nothing_else(
    path: str, provider: str, fault: Any
):
    steps = [*FRAMES[provider][:2], *([fault] if fault else [])]
    answered = await exchange(
        FakeUpstream(stream(*steps)), path, body(MODELS[provider], stream=True)
    )
    assert answered.status == 200
    assert answered.finished
    last = answered.body.split(b"\n\n")[-2]
    assert b"error" in last
    assert (fault.message.encode() if fault else b"before the answer was complete") in last
    assert last.startswith(b"event: error\n") is (path == ANTHROPIC)
    assert b"[DONE]" not in answered.body
    assert b"message_stop" not in answered.body


@in_every_lane
async def test_an_error_event_before_anything_else_has_its_real_status(path: str, provider: str):
    error = (
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"x"}}'
    )
    answered = await exchange(
        FakeUpstream(stream(error + b"\n\n")), path, body(MODELS[provider], stream=True)
    )
    assert answered.status == 529
    assert answered.headers["content-type"] == "application/json"
    assert answered.json["error"]["message"] == "x"


@in_every_lane
async def test_an_empty_stream_is_a_502(path: str, provider: str):
    answered = await exchange(FakeUpstream(stream()), path, body(MODELS[provider], stream=True))
    assert answered.status == 502


@in_every_lane
async def test_a_broken_event_is_left_out_and_logged_without_its_words(path: str, provider: str):
    frames = FRAMES[provider]
    app, log = application(
        FakeUpstream(stream(frames[0], b'data: {"sk-sentinel\n\n', *frames[1:])), BOTH
    )
    answered = await ask(app, path, body(MODELS[provider], stream=True), headers=AUTH)
    assert b"sentinel" not in answered.body
    assert b"Hi" in answered.body
    assert log.lines == [("warning", "broken_events", {"count": 1})]


@in_every_lane
@pytest.mark.parametrize("when", ["before the head", "before a byte", "in the middle"])
async def test_a_client_that_goes_away_cancels_the_upstream_call_and_is_no_failure(
    path: str, provider: str, when: str
):
    never = asyncio.Event()
    said = FRAMES[provider][:2] if when == "in the middle" else []
    reply = stream(*said, never)
    upstream = FakeUpstream(never if when == "before the head" else reply)
    app, log = application(upstream, BOTH)
    under_way = start(app, path, body(MODELS[provider], stream=True), headers=AUTH)
    if said:
        await under_way.next_bytes()
    else:
        await asyncio.sleep(0.01)
    under_way.hang_up()
    await under_way.done(1)
    if when != "before the head":
        assert reply.left.is_set()
        assert reply.cancelled
    assert not under_way.finished
    assert not log.lines


async def test_a_client_that_goes_away_from_a_whole_answer_cancels_it_too():
    reply = Reply(asyncio.Event())
    app, log = application(FakeUpstream(reply))
    under_way = start(app, OPENAI, body(), headers=AUTH)
    await asyncio.sleep(0.01)
    under_way.hang_up()
    await under_way.done(1)
    assert reply.cancelled
    assert not under_way.sent
    assert not log.lines


async def test_after_the_end_marker_nobody_waits_for_the_connection_to_close():
    app, _ = application(FakeUpstream(stream(*OPENAI_FRAMES, asyncio.Event())))
    answered = await ask(app, OPENAI, body(stream=True), headers=AUTH)
    assert answered.finished


async def test_no_task_is_left_behind():
    app, _ = application(FakeUpstream(stream(*OPENAI_FRAMES), Reply(COMPLETION)))
    before = len(asyncio.all_tasks())
    await ask(app, OPENAI, body(stream=True), headers=AUTH)
    await ask(app, OPENAI, body(), headers=AUTH)
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == before


async def test_what_holds_keys_does_not_show_them():
    from core.routes import Route
    from handlers.asgi import Outlet
    from handlers.proxy import Exchange as Handled

    app, _ = application()

    async def send(message: Any) -> None:
        raise AssertionError(message)

    handled = Handled(
        services=app.services,
        route=Route(kind="chat", method="POST"),
        headers={"authorization": f"Bearer {SECRET}"},
        outlet=Outlet(send),
        request_id="req_1",
    )
    assert SECRET not in repr(handled)
    assert KEY not in repr(app.services)


# --- The demo, through the whole application ------------------------------------------------------


@pytest.mark.parametrize("path", [OPENAI, ANTHROPIC])
@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    ("model", "status"),
    [
        ("demo-echo", 200),
        ("demo-tools", 200),
        ("demo-fault-400", 400),
        ("demo-fault-401", 502),
        ("demo-fault-429", 429),
        ("demo-fault-500", 500),
        ("demo-fault-503", 503),
        ("demo-fault-garbage", 200),
        ("demo-fault-no-done", 200),
        ("demo-fault-cut", 0),
        ("demo-fault-error", 0),
    ],
)
async def test_the_demo_shows_every_fault_as_a_client_of_either_dialect_would_see_it(
    path: str, streams: bool, model: str, status: int
):
    answered = await exchange(FakeUpstream(), path, body(model, stream=streams))
    assert answered.finished
    if status:
        assert answered.status == status
    else:  # In the middle: a status where nothing was said yet, an error event afterwards.
        assert answered.status == (200 if streams else 502)
    if streams and answered.status == 200:
        marker = b"[DONE]" if path == OPENAI else b"message_stop"
        assert (marker in answered.body) is (status == 200)
        assert (b'"error"' in answered.body) is (status != 200)
    if status == 429:
        assert answered.headers["retry-after"] == "2"
