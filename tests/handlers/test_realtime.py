"""/realtime over ASGI: who may, what answers, what is relayed, how it ends."""

import asyncio

import msgspec
import pytest

from core.errors import UpstreamError, UpstreamTimeoutError
from core.grants import Grant, Logging
from core.options import Options
from core.ports import HandshakeError, SocketClosed
from core.relay.session import Limits
from core.scopes import Scopes
from handlers import realtime, realtime_opening
from handlers.access import Access
from handlers.realtime_opening import Permit
from tests.asgi_driver import Exchange
from tests.fakes import KEY, application, openai_endpoint, org
from tests.handlers.realtime_sides import CREATED, DONE, Browser, FakeSocket, FakeSockets

AUTHORIZED = {"authorization": f"Bearer {KEY}"}
AZURE = {
    "type": "azure",
    "name": "azure",
    "secret": "azure-secret-key",
    "weight": 0.5,
    "metadata": {"api_base": "https://azure.test/openai/v1"},
}


def stage(*sockets, organisations=(), **changes):
    """(application, log, the provider's sockets)."""
    provider = FakeSockets(*sockets)
    app, log = application(None, *organisations, sockets=provider, **changes)
    return app, log, provider


def serving(app, **more):
    """The application with what only the handler's own parameters can change."""

    async def run(scope, receive, send):
        await realtime.serve(app.services, scope, receive, send, **more)

    return run


def lent(**grant):
    """A temporary credential as it will be told once it is verified."""

    async def identify(exchange):
        permit = await realtime_opening.identify(exchange)
        given = Grant(**grant)
        return Permit(
            access=permit.access, scopes=(given.scopes,), grant=given, left_usd=given.max_cost_usd
        )

    return identify


def done_event(text=0, spoken=0):
    details = {"text_tokens": 0, "audio_tokens": spoken}
    usage = {"input_tokens": text, "output_tokens": spoken, "output_token_details": details}
    response = {"id": "resp_1", "status": "completed", "usage": usage}
    return msgspec.json.encode({"type": "response.done", "response": response}).decode()


# Relaying.


async def test_frames_pass_both_ways_as_they_came_and_in_order():
    socket = FakeSocket(CREATED)
    app, _, provider = stage(socket)
    browser = Browser(app, headers=AUTHORIZED)
    said = [
        '{"type": "session.update",  "session": {}}',
        '{"type":"input_audio_buffer.append","audio":"AAAA"}',
        "no JSON é",
        b"\x00sound",
        '{"type":"response.create"}',
    ]
    for frame in said:
        browser.say(frame)
    assert await socket.got(5) == said
    answers = ['{"type":"response.audio.delta","delta":"A"}', b"\x01sound", done_event(1, 1)]
    for frame in answers:
        socket.say(frame)
    assert await browser.heard(4) == [CREATED, *answers]
    browser.leave(1000, "bye")
    await browser.done()
    assert socket.closed == SocketClosed(1000, "bye")
    assert [str(one.url) for one in provider.asked] == [
        "wss://openai.test/v1/realtime?model=gpt-realtime"
    ]
    assert provider.asked[0].headers["authorization"] == "Bearer sk-of-the-org"


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, ""), (1001, "hour over"), (1011, "test reconnect"), (4001, "x")]
)
async def test_the_providers_close_reaches_the_client(code, reason):
    app, _, _ = stage(FakeSocket(CREATED, SocketClosed(code, reason)))
    browser = Browser(app, headers=AUTHORIZED)
    assert await browser.ended() == (code, reason)
    assert browser.frames == [CREATED]


async def test_a_provider_that_breaks_off_is_told_as_an_error_and_a_code_to_reconnect_at():
    app, _, provider = stage(FakeSocket(CREATED, SocketClosed(None)), FakeSocket(CREATED))
    browser = Browser(app, headers=AUTHORIZED)
    assert await browser.ended() == (1011, "upstream_error.upstream_error")
    assert "connect again" in browser.error["message"]
    assert len(provider.asked) == 1  # A session that has begun stays where it is.


async def test_a_client_that_vanishes_closes_the_providers_connection():
    socket = FakeSocket(CREATED)
    app, _, _ = stage(socket)
    browser = Browser(app, headers=AUTHORIZED)
    await browser.heard(1)
    browser.leave(1006)
    await browser.done()
    assert socket.closed == SocketClosed(1001)


async def test_a_client_that_leaves_while_the_provider_speaks_ends_it():
    socket = FakeSocket(CREATED)
    app, _, _ = stage(socket)
    browser = Browser(app, headers=AUTHORIZED)
    await browser.heard(1)
    browser.left = True
    socket.say("{}")
    browser.leave(1001)
    await browser.done()
    assert socket.closed == SocketClosed(1001)


async def test_a_provider_that_says_nothing_first_still_gets_the_clients_frames():
    socket = FakeSocket()
    app, _, _ = stage(socket)
    browser = Browser(app, "/v1/realtime?intent=transcription", headers=AUTHORIZED)
    browser.say('{"type":"session.update"}')
    assert await socket.got(1) == ['{"type":"session.update"}']
    socket.say(CREATED)
    assert await browser.heard(1) == [CREATED]
    socket.say(DONE)
    assert await browser.ended() == (1000, "")


async def test_a_client_waits_no_longer_than_its_handshake_may_take():
    slow = asyncio.Event()
    socket = FakeSocket(CREATED, DONE)
    app, _, _ = stage(slow, socket)
    browser = Browser(app, headers=AUTHORIZED)
    await browser.answered(realtime.ACCEPT_S + 2)
    assert b"x-bt-used-endpoint" not in dict(browser.accepted["headers"])
    slow.set()
    assert await browser.heard(1) == [CREATED]
    await browser.ended()


# Who calls.


@pytest.mark.parametrize(
    ("path", "headers", "protocols"),
    [
        ("?model=gpt-realtime", AUTHORIZED, ()),
        ("?model=gpt-realtime", {"api-key": KEY}, ()),
        ("?model=gpt-realtime", {"x-api-key": KEY}, ()),
        (f"?model=gpt-realtime&key={KEY}", {}, ()),
        (f"?model=gpt-realtime&api-key={KEY}", {}, ()),
        ("?model=gpt-realtime", {}, ("realtime", f"openai-insecure-api-key.{KEY}")),
        ("?deployment=gpt-realtime&api-version=1", {"api-key": KEY}, ()),
        ("", AUTHORIZED, ()),
    ],
)
async def test_a_key_is_taken_wherever_clients_put_it_and_goes_no_further(path, headers, protocols):
    app, log, provider = stage(FakeSocket(CREATED, DONE))
    browser = Browser(app, f"/v1/realtime{path}", headers=headers, protocols=protocols)
    await browser.ended()
    assert browser.frames == [CREATED]
    chosen = "realtime" if protocols else None
    assert browser.accepted["subprotocol"] == chosen
    accept = dict(browser.accepted["headers"])
    assert accept[b"x-bt-used-endpoint"] == b"main"
    (sent,) = provider.asked
    assert KEY not in sent.url + repr(dict(sent.headers))
    assert KEY not in repr(browser.told) + repr(log.lines)


async def test_a_subprotocols_key_comes_before_a_headers():
    app, _, _ = stage(FakeSocket(CREATED, DONE))
    protocols = ("realtime", f"openai-insecure-api-key.{KEY}")
    browser = Browser(app, headers={"authorization": "Bearer cw_wrong"}, protocols=protocols)
    assert (await browser.ended())[0] == 1000


async def test_a_providers_own_key_goes_to_its_provider():
    app, _, provider = stage(FakeSocket(CREATED, DONE), FakeSocket(CREATED, DONE))
    for path, key in (("gpt-realtime", "sk-own"), ("grok-voice-latest", "xai-own")):
        browser = Browser(
            app, f"/v1/realtime?model={path}", headers={"authorization": f"Bearer {key}"}
        )
        await browser.ended()
    assert [one.url.partition("?")[0] for one in provider.asked] == [
        "wss://api.openai.com/v1/realtime",
        "wss://api.x.ai/v1/realtime",
    ]
    assert [one.headers["authorization"] for one in provider.asked] == [
        "Bearer sk-own",
        "Bearer xai-own",
    ]


@pytest.mark.parametrize(
    ("headers", "code", "close"),
    [
        ({}, "invalid_api_key", 3000),
        ({"authorization": "Bearer cw_unknown_key_0123456789"}, "invalid_api_key", 3000),
        ({"authorization": "Basic x"}, "invalid_api_key", 3000),
        ({**AUTHORIZED, "x-bt-org-name": "other"}, "permission_denied", 3003),
        ({**AUTHORIZED, "x-bt-endpoint-name": "none"}, None, 4000),
        ({**AUTHORIZED, "x-bt-parent": "x" * 2000}, None, 4000),
    ],
)
async def test_a_refusal_is_readable_on_an_open_connection(headers, code, close):
    app, _, provider = stage()
    browser = Browser(app, headers=headers, protocols=("realtime",))
    assert (await browser.ended())[0] == close
    assert browser.accepted["subprotocol"] == "realtime"  # Else a browser hangs up unheard.
    assert browser.error["code"] == code
    assert provider.asked == []


@pytest.mark.parametrize(
    "path",
    [
        "/realtime",
        "/v1/realtime",
        "/v1/proxy/realtime",
        "/v1/realtime/",
        "/btorg/acme/v1/realtime",
        "/v1/proxy/btorg/acme/realtime",
        "/v1/btorg/acme/realtime",
        "/btorg/acme/realtime",
    ],
)
async def test_it_is_found_under_each_form_of_its_path(path):
    app, _, _ = stage(FakeSocket(CREATED, DONE))
    browser = Browser(app, f"{path}?model=gpt-realtime", headers=AUTHORIZED)
    assert (await browser.ended())[0] == 1000


async def test_an_organisation_in_the_path_that_the_key_is_not_of_is_refused():
    app, _, _ = stage()
    browser = Browser(app, "/btorg/other/v1/realtime", headers=AUTHORIZED)
    assert (await browser.ended())[0] == 3003


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/models", "/", "/v1/chat/completions"])
async def test_another_path_is_refused_before_the_connection_is_one(path):
    app, _, _ = stage()
    browser = await Browser(app, path, headers=AUTHORIZED).done()
    start, body = browser.told
    assert (start["type"], body["type"]) == (
        "websocket.http.response.start",
        "websocket.http.response.body",
    )
    assert start["status"] in (404, 405)
    assert "error" in msgspec.json.decode(body["body"])


async def test_a_server_that_cannot_answer_in_http_closes():
    app, _, _ = stage()
    browser = await Browser(app, "/v1/nothing", denials=False).done()
    assert browser.told == [{"type": "websocket.close", "code": 1008}]


async def test_a_plain_request_is_told_that_this_is_a_websocket():
    app, _ = application()
    exchange = await Exchange(app, "GET", "/v1/realtime?model=m", AUTHORIZED, b"").done()
    assert (exchange.status, exchange.headers["upgrade"]) == (426, "websocket")


async def test_a_deployment_that_opens_no_sockets_says_so():
    app, _ = application()
    browser = Browser(app, headers=AUTHORIZED)
    assert (await browser.ended())[0] == 1011


# What a temporary credential may do.


async def test_a_credential_for_another_model_is_refused():
    app, _, provider = stage()
    browser = Browser(serving(app, identify=lent(model="gpt-realtime-mini")), headers=AUTHORIZED)
    assert (await browser.ended())[0] == 3003
    assert "gpt-realtime-mini" in browser.error["message"]
    assert provider.asked == []


async def test_a_credentials_one_model_is_used_where_the_client_names_none():
    app, _, provider = stage(FakeSocket(CREATED, DONE))
    identify = lent(model="gpt-realtime-mini")
    browser = Browser(serving(app, identify=identify), "/v1/realtime", headers=AUTHORIZED)
    await browser.ended()
    assert provider.asked[0].url.endswith("?model=gpt-realtime-mini")


async def test_a_credential_is_for_the_pages_it_was_given_to():
    identify = lent(origins=("https://app.test",))
    for origin, code in (("https://app.test", 1000), ("https://evil.test", 3003), (None, 3003)):
        app, _, _ = stage(FakeSocket(CREATED, DONE))
        headers = AUTHORIZED if origin is None else {**AUTHORIZED, "origin": origin}
        browser = Browser(serving(app, identify=identify), headers=headers)
        assert (await browser.ended())[0] == code


async def test_a_credential_without_the_route_is_refused():
    app, _, _ = stage()
    browser = Browser(serving(app, identify=lent(routes=("chat",))), headers=AUTHORIZED)
    assert (await browser.ended())[0] == 3003


async def test_a_credential_uses_only_the_endpoints_that_it_may():
    acme = org(endpoints=[openai_endpoint(weight=9), AZURE])
    app, _, provider = stage(FakeSocket(CREATED, DONE), organisations=(acme,))
    await Browser(serving(app, identify=lent(endpoints=("azure",))), headers=AUTHORIZED).ended()
    assert provider.asked[0].url.startswith("wss://azure.test/")
    app, _, _ = stage(organisations=(acme,))
    browser = Browser(serving(app, identify=lent(endpoints=("none",))), headers=AUTHORIZED)
    assert (await browser.ended())[0] == 3003


async def test_a_session_cannot_be_led_to_a_model_that_its_credential_excludes():
    socket = FakeSocket(CREATED)
    app, _, _ = stage(socket)
    browser = Browser(serving(app, identify=lent(model="gpt-realtime")), headers=AUTHORIZED)
    await browser.heard(1)
    browser.say('{"type":"session.update","session":{"model":"gpt-dear"}}')
    browser.say('{"type":"response.create"}')
    assert await socket.got(1) == ['{"type":"response.create"}']
    await browser.heard(2)
    assert browser.error["param"] == "session.model"
    browser.leave()
    await browser.done()


async def test_a_credentials_budget_ends_the_session_after_the_answer_that_used_it_up():
    spent = []

    async def identify(exchange):
        permit = await realtime_opening.identify(exchange)

        async def spend(dollars):
            spent.append(dollars)

        return Permit(access=permit.access, left_usd=0.001, spend=spend)

    done = done_event(100, 50)
    app, _, _ = stage(FakeSocket(CREATED, done, "never heard"))
    browser = Browser(serving(app, identify=identify), headers=AUTHORIZED)
    assert (await browser.ended())[0] == 3003
    assert browser.frames[:2] == [CREATED, done]
    assert "spend" in browser.error["message"]
    assert spent == [pytest.approx(100 * 4e-6 + 50 * 64e-6)]


async def test_a_budget_is_not_kept_by_guessing():
    app, _, provider = stage()
    path = "/v1/realtime?model=grok-voice-latest"
    acme = org(endpoints=[{"type": "xAI", "name": "x", "secret": "xai-secret"}])
    app, _, provider = stage(organisations=(acme,))
    browser = Browser(serving(app, identify=lent(max_cost_usd=1.0)), path, headers=AUTHORIZED)
    assert (await browser.ended())[0] == 3003
    assert "not known" in browser.error["message"]
    assert provider.asked == []


# What answers.


TWO = org(endpoints=[openai_endpoint(), AZURE])
FIRST_ERROR = '{"type":"error","error":{"type":"invalid_request_error","code":"model_not_found"}}'


@pytest.mark.parametrize(
    "first",
    [
        UpstreamError("The provider could not be reached."),
        UpstreamTimeoutError("Too late."),
        HandshakeError(401, b""),
        HandshakeError(404, b'{"error":{"message":"DeploymentNotFound"}}'),
        HandshakeError(429, b""),
        HandshakeError(503, b""),
        HandshakeError(302, b""),
        FakeSocket(FIRST_ERROR),
        FakeSocket(SocketClosed(None)),
        FakeSocket(SocketClosed(1013, "busy")),
    ],
)
async def test_an_endpoint_with_which_no_session_begins_hands_over_to_the_next(first):
    app, log, provider = stage(first, FakeSocket(CREATED, DONE), organisations=(TWO,))
    browser = Browser(app, headers=AUTHORIZED)
    assert (await browser.ended())[0] == 1000
    assert browser.frames == [CREATED]
    assert [one.url.partition("/realtime")[0] for one in provider.asked] == [
        "wss://openai.test/v1",
        "wss://azure.test/openai/v1",
    ]
    assert dict(browser.accepted["headers"])[b"x-bt-used-endpoint"] == b"azure"
    failed = [fields for _, event, fields in log.lines if event == "realtime_attempt_failed"]
    assert [fields["endpoint"] for fields in failed] == ["main"]
    session = next(fields for _, event, fields in log.lines if event == "realtime_session")
    assert session["attempts"] == 2


async def test_a_request_that_no_endpoint_would_take_is_not_tried_again():
    body = b'{"error":{"message":"Bad query.","type":"invalid_request_error","param":"intent"}}'
    app, _, provider = stage(HandshakeError(400, body), organisations=(TWO,))
    browser = Browser(app, headers=AUTHORIZED)
    assert (await browser.ended())[0] == 4000
    assert (browser.error["message"], browser.error["param"]) == ("Bad query.", "intent")
    assert len(provider.asked) == 1


async def test_the_last_refusal_is_told_without_the_endpoints_key():
    body = b'{"error":{"message":"No model for sk-of-the-org.","code":"model_not_found"}}'
    app, _, _ = stage(HandshakeError(404, body))
    browser = Browser(app, headers=AUTHORIZED)
    assert await browser.ended() == (4000, "not_found_error.model_not_found")
    assert browser.error["message"] == "No model for ***."


async def test_an_endpoints_key_that_is_refused_is_not_blamed_on_the_caller():
    app, _, _ = stage(HandshakeError(401, b'{"error":{"message":"sk-of-the-org is wrong"}}'))
    browser = Browser(app, headers=AUTHORIZED)
    assert (await browser.ended())[0] == 1011
    assert "endpoint `main`" in browser.error["message"]


async def test_a_callers_own_wrong_key_is_told_as_openai_tells_it():
    error = '{"type":"error","error":{"message":"Incorrect API key provided",'
    error += '"type":"invalid_request_error","code":"invalid_api_key"}}'
    app, _, _ = stage(FakeSocket(error, SocketClosed(3000, "invalid_request_error")))
    browser = Browser(app, headers={"authorization": "Bearer sk-wrong"})
    assert await browser.ended() == (3000, "invalid_request_error.invalid_api_key")
    assert browser.error["message"] == "Incorrect API key provided"


async def test_an_endpoint_is_chosen_by_its_name():
    app, _, provider = stage(FakeSocket(CREATED, DONE), organisations=(TWO,))
    await Browser(app, headers={**AUTHORIZED, "x-bt-endpoint-name": "azure"}).ended()
    assert provider.asked[0].headers["api-key"] == "azure-secret-key"


async def test_a_model_without_a_realtime_provider_is_refused():
    acme = org(endpoints=[{"type": "mistral", "name": "m", "secret": "mistral-key"}])
    app, _, _ = stage(organisations=(acme,))
    path = "/v1/realtime?model=mistral-large-latest"
    browser = Browser(app, path, headers=AUTHORIZED)
    assert (await browser.ended())[0] == 4000
    assert "no Realtime API" in browser.error["message"]


# Limits.


async def test_a_client_that_stops_reading_is_closed_once_it_reads_again():
    socket = FakeSocket(CREATED)
    app, _, _ = stage(socket)
    limits = Limits(stalled_s=0.2)
    browser = Browser(serving(app, limits=limits), headers=AUTHORIZED)
    await browser.heard(1)
    browser.takes.clear()
    for _ in range(50):
        socket.say('{"type":"response.audio.delta"}')
    async with asyncio.timeout(5):
        await socket.hung_up.wait()
    assert socket._frames.qsize() == 49  # Held back at its source, not here.
    browser.takes.set()
    assert (await browser.ended())[0] == 3008
    assert "read nothing" in browser.error["message"]


async def test_a_provider_that_takes_nothing_ends_the_session():
    socket = FakeSocket(CREATED)
    socket.takes.clear()
    app, _, _ = stage(socket)
    browser = Browser(serving(app, limits=Limits(stalled_s=0.2)), headers=AUTHORIZED)
    browser.say("{}")
    assert (await browser.ended())[0] == 1011
    assert socket.closed is not None


async def test_an_idle_session_ends():
    socket = FakeSocket(CREATED)
    app, _, _ = stage(socket)
    browser = Browser(serving(app, limits=Limits(idle_s=0.2)), headers=AUTHORIZED)
    assert (await browser.ended())[0] == 3008
    assert browser.error["code"] == "session_idle"
    assert socket.closed == SocketClosed(1000)


async def test_the_end_of_a_session_is_announced():
    app, _, _ = stage(FakeSocket(CREATED))
    limits = Limits(session_s=0.6, warn_s=0.3)
    browser = Browser(serving(app, limits=limits), headers=AUTHORIZED)
    assert await browser.ended() == (1001, "session_expired")
    kinds = [msgspec.json.decode(frame)["type"] for frame in browser.frames]
    assert kinds == ["session.created", "cutwater.session.ending", "error"]


@pytest.mark.parametrize("size", [1001, 5000])
async def test_a_frame_that_is_too_large_ends_the_session(size):
    socket = FakeSocket(CREATED)
    app, _, _ = stage(socket)
    limits = Limits(frame_bytes=1000)
    browser = Browser(serving(app, limits=limits), headers=AUTHORIZED)
    browser.say("x" * size)
    assert (await browser.ended())[0] == 1009
    assert socket.sent == []


# The log.


async def test_a_session_is_logged_by_response_and_at_its_end_without_its_words():
    heard = []
    text = '{"type":"response.output_text.done","text":"a secret answer","item_id":"i"}'
    socket = FakeSocket(CREATED, text, done_event(100, 50), DONE)
    app, log, _ = stage(socket, heard=heard.append)
    await Browser(app, headers=AUTHORIZED).ended()
    events = [event for _, event, _ in log.lines]
    assert events == ["realtime_response", "realtime_session"]
    response, session = (fields for _, _, fields in log.lines)
    assert response["gen_ai.usage.output_tokens"] == 50
    assert response["cost_usd"] == session["cost_usd"] == pytest.approx(0.0036)
    assert (session["org"], session["endpoint"], session["close_code"]) == ("acme", "main", 1000)
    assert (session["server_frames"], session["client_frames"]) == (3, 0)
    assert "a secret answer" not in repr(log.lines)
    assert heard == []


@pytest.mark.parametrize(
    ("headers", "grant", "parent", "compress"),
    [
        ({"x-bt-parent": "project_name:calls"}, {}, "project_name:calls", False),
        (
            {"x-bt-parent": "project_name:calls", "x-bt-compress-audio": "1"},
            {},
            "project_name:calls",
            True,
        ),
        ({}, {"logging": Logging(project_name="calls")}, "project_name:calls", True),
        ({}, {"logging": Logging(parent="experiment_id:1")}, "experiment_id:1", True),
    ],
)
async def test_what_was_said_goes_to_whoever_asked_to_log_it(headers, grant, parent, compress):
    heard = []
    text = '{"type":"response.output_text.done","text":"Hello.","item_id":"i"}'
    app, log, _ = stage(FakeSocket(CREATED, text, DONE), heard=heard.append)
    run = serving(app, identify=lent(**grant)) if grant else app
    await Browser(run, headers={**AUTHORIZED, **headers}).ended()
    (report,) = heard
    assert [(turn.role, turn.text) for turn in report.turns] == [("assistant", "Hello.")]
    assert (report.about.parent, report.about.compress_audio) == (parent, compress)
    assert "Hello." not in repr(log.lines)


async def test_an_error_inside_ends_one_session_and_says_nothing_of_it():
    class BrokenSocket(FakeSocket):
        async def receive(self):
            raise ValueError("quotes a secret")

    app, log, _ = stage(BrokenSocket())
    browser = Browser(app, headers=AUTHORIZED)
    assert (await browser.done()).told[-1]["code"] == 1011
    assert [event for _, event, _ in log.lines] == ["failed_inside"]
    assert "quotes a secret" not in repr(log.lines)


async def test_the_application_closes_its_sockets():
    app, _, provider = stage()
    await app.shutdown()
    assert provider.closed == 1


async def test_scopes_of_a_key_are_kept():
    async def identify(exchange):
        permit = await realtime_opening.identify(exchange)
        return Permit(access=permit.access, scopes=(Scopes(models=("gpt-4o*",)),))

    app, _, _ = stage()
    browser = Browser(serving(app, identify=identify), headers=AUTHORIZED)
    assert (await browser.ended())[0] == 3003


def test_nothing_here_shows_a_key():
    permit = Permit(access=Access(asked=Options(key=KEY), key=KEY))
    assert KEY not in repr(permit) + str(permit)
