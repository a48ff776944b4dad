"""Which endpoint answers a forwarded request, and what it is sent."""

from typing import Any

import msgspec
import pytest

from core import auto, passthrough, routing
from core.errors import BadRequestError, ModelNotFoundError
from core.orgs import CustomModel, Endpoint, Metadata, Org, Timeouts
from core.passthrough import Forward
from core.routes import Route, resolve
from providers import catalog, models

PROVIDERS = dict(catalog.PROVIDERS)
FILES = resolve("GET", "/v1/files", {})


def org(*endpoints: Endpoint) -> Org:
    return Org(name="acme", endpoints=endpoints)


def names(*endpoints: Endpoint, dialect: Any = "openai_chat", name: str | None = None) -> list[str]:
    found = passthrough.without_model(org(*endpoints), PROVIDERS, dialect, endpoint_name=name)
    return [candidate.endpoint.name or "" for candidate in found]


OPENAI = Endpoint(type="openai", name="light", secret="sk-1")
HEAVY = Endpoint(type="openai", name="heavy", secret="sk-2", weight=5)
GROQ = Endpoint(type="groq", name="groq", secret="gsk", weight=9)
CLAUDE = Endpoint(type="anthropic", name="claude", secret="sk-ant")
VERTEX = Endpoint(type="vertex", name="vertex", metadata=Metadata(project="p"))
AZURE = Endpoint(type="azure", name="azure", metadata=Metadata(api_base="https://az.test"))


def test_a_route_without_a_model_goes_to_the_heaviest_that_answers_the_whole_api():
    assert names(GROQ, OPENAI, CLAUDE, HEAVY) == ["heavy", "light", "groq"]
    assert names(CLAUDE, VERTEX, GROQ) == ["groq"]
    assert names(CLAUDE, VERTEX, GROQ, dialect="anthropic") == ["claude"]


def test_the_endpoint_that_is_named_comes_before_all():
    assert names(GROQ, OPENAI, HEAVY, name="groq") == ["groq"]
    with pytest.raises(BadRequestError):
        names(OPENAI, name="nobody")
    with pytest.raises(ModelNotFoundError):
        names(OPENAI, CLAUDE, name="claude")


def test_where_nobody_answers_the_api_it_is_a_404():
    with pytest.raises(ModelNotFoundError):
        names(CLAUDE)
    whole_url = Endpoint(
        type="openai", metadata=Metadata(api_base="https://a.test", endpoint_path="")
    )
    with pytest.raises(ModelNotFoundError):
        names(whole_url)


def fitting(model: str, *endpoints: Endpoint, dialect: Any = "openai_chat") -> list[str]:
    found = routing.candidates(
        models.lookup(model), org(*endpoints), PROVIDERS, endpoint_name=None, draw=0.0
    )
    return [c.endpoint.name or "" for c in passthrough.fitting(found, dialect)]


def test_a_models_provider_must_answer_the_api():
    assert fitting("gpt-4o", OPENAI) == ["light"]
    assert fitting("claude-sonnet-4-5", VERTEX, CLAUDE, dialect="anthropic") == ["claude"]
    with pytest.raises(BadRequestError):
        fitting("claude-sonnet-4-5", CLAUDE)
    with pytest.raises(BadRequestError):
        fitting("demo-echo")


def attempt(
    route: Route,
    endpoint: Endpoint,
    *,
    query: str = "",
    body: bytes = b"",
    model: str | None = None,
) -> Any:
    form = "application/json" if body[:1] == b"{" else "multipart/form-data; boundary=x"
    headers = {"content-type": form, "cookie": "c", "x-bt-strict": "1", "openai-beta": "b"}
    request = Forward(route=route, query=query, headers=headers, body=body, model=model)
    known = models.lookup(model) if model else passthrough.anybody(route.dialect)
    candidate = routing.candidate(endpoint, known, PROVIDERS)
    return passthrough.attempt(request, candidate, timeouts=Timeouts())


def test_method_path_query_and_bytes_stay_and_the_key_changes():
    route = resolve("POST", "/v1/images/edits", {})
    sent = attempt(route, OPENAI, query="a=1&key=secret&b=%20", body=b"--x\r\n").outgoing
    assert (sent.method, sent.url) == ("POST", "https://api.openai.com/v1/images/edits?a=1&b=%20")
    assert sent.body == b"--x\r\n"
    assert sent.headers["authorization"] == "Bearer sk-1"
    assert sent.headers["content-type"] == "multipart/form-data; boundary=x"
    assert sent.headers["openai-beta"] == "b"
    assert not sent.headers.keys() & {"cookie", "x-bt-strict"}


def test_only_the_whole_is_bounded_in_time_for_what_is_made_in_silence():
    sent = attempt(FILES, OPENAI).outgoing
    assert (sent.first_byte_s, sent.idle_s, sent.total_s) == (840.0, 300.0, 840.0)


def test_azure_has_deployments_for_models_and_none_for_accounts():
    assert attempt(FILES, AZURE, query="purpose=x").outgoing.url == (
        "https://az.test/openai/files?api-version=2023-07-01-preview&purpose=x"
    )
    route = resolve("POST", "/v1/images/generations", {})
    body = b'{"model":"dall-e-3","prompt":"x"}'
    url = attempt(route, AZURE, body=body, model="dall-e-3", query="api-version=z").outgoing.url
    assert url == (
        "https://az.test/openai/deployments/dall-e-3/images/generations"
        "?api-version=2023-07-01-preview"
    )


def renamed() -> Endpoint:
    model = CustomModel(format="openai", flavor="completion", upstream_name="theirs")
    return Endpoint(type="openai", secret="s", metadata=Metadata(custom_models={"ours": model}))


def test_only_the_models_name_changes_and_only_where_it_is_another():
    route = resolve("POST", "/v1/completions", {})
    body = b'{ "model" : "ours", "temperature": 1.50}'
    sent = attempt(route, renamed(), body=body, model="ours")
    assert sent.outgoing.body == b'{"model":"theirs","temperature":1.50}'
    same = b'{ "model" : "gpt-3.5-turbo-instruct", "temperature": 1.50}'
    sent = attempt(route, OPENAI, body=same, model="gpt-3.5-turbo-instruct")
    assert sent.outgoing.body is same
    with pytest.raises(BadRequestError):
        attempt(route, renamed(), body=b"--x", model="ours")


def test_fields_of_the_reference_proxy_do_not_reach_the_provider():
    route = resolve("POST", "/v1/completions", {})
    body = b'{"model":"gpt-3.5-turbo-instruct","use_cache":true}'
    sent = attempt(route, OPENAI, body=body, model="gpt-3.5-turbo-instruct")
    assert sent.outgoing.body == b'{"model":"gpt-3.5-turbo-instruct"}'
    assert sent.dropped == ("use_cache",)


FORM = (
    b'--x\r\nContent-Disposition: form-data; name="language"\r\n\r\nmodel\r\n'
    b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n\x00'
)


def test_the_model_of_a_form_is_found_as_soon_as_it_is_there():
    assert passthrough.ModelField().look(FORM) == "whisper-1"
    until = FORM.index(b"whisper-1\r\n") + len(b"whisper-1\r\n")
    assert passthrough.ModelField().look(FORM[:until]) == "whisper-1"
    assert passthrough.ModelField().look(FORM[: until - 2]) is None
    typed = b"--x\r\ncontent-disposition: form-data; name=model\r\ncontent-type: a/b\r\n\r\nm\r\n"
    assert passthrough.ModelField().look(typed) == "m"
    assert (
        passthrough.ModelField().look(
            b'--x\r\nContent-Disposition: form-data; name="models"\r\n\r\nm\r\n'
        )
        is None
    )
    assert passthrough.ModelField().look(b"") is None


def test_other_places_of_a_model():
    assert passthrough.model_of_query("a=1&model=gpt%2D4o+x&model=z") == "gpt-4o x"
    assert passthrough.model_of_query("models=1") is None
    assert passthrough.model_of_json(b'{"model":"m"}') == "m"
    assert passthrough.model_of_json(b'{"input":"x"}') is None
    assert passthrough.model_of_json(b" ") is None
    for wrong in (b"[", b'{"model":1}'):
        with pytest.raises(BadRequestError):
            passthrough.model_of_json(wrong)


@pytest.mark.parametrize(
    ("model", "fields", "path"),
    [
        ("gpt-4o-mini", {}, "/chat/completions"),
        ("gpt-3.5-turbo-instruct", {}, "/completions"),
        ("text-embedding-3-small", {}, "/embeddings"),
        ("omni-moderation-latest", {}, "/moderations"),
        ("gpt-audio", {"messages": []}, "/chat/completions"),
        ("brand-new", {}, "/chat/completions"),
        ("gpt-image-1", {}, None),
        ("gpt-realtime", {"messages": []}, None),
    ],
)
def test_auto_goes_by_flavor(model: str, fields: dict[str, Any], path: str | None):
    envelope = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}
    if path is None:
        with pytest.raises(BadRequestError) as caught:
            auto.path_of(models.lookup(model), None, envelope)
        assert caught.value.param == "model"
    else:
        assert auto.path_of(models.lookup(model), org(OPENAI), envelope) == path


def test_auto_goes_by_the_settings_first():
    assert auto.path_of(models.lookup("ours"), org(renamed()), {}) == "/completions"


def test_a_form_that_grows_is_read_as_one_that_is_whole():
    form = (
        b"--x\r\n\r\nname=model\r\n"
        b'--x \r\nContent-Type: a/b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n'
        b'\r\ncontent-disposition: form-data; name="model"\r\n\r\nnot this\r\n' + FORM
    )
    for size in (1, 2, 7, 64, len(form)):
        field, end = passthrough.ModelField(), 0
        while field.look(form[:end]) is None and end < len(form):
            end += size
        assert (field.model, field.over) == ("whisper-1", True)


@pytest.mark.parametrize(
    "form",
    [
        b"no boundary\r\n\r\nmodel\r\n",
        b"-" * 200,
        b"--x\r\n" + b"a: b\r\n" * 4000,
        b"--x\r\ncontent-disposition: a; name=model\r\n\r\n" + b"m" * 20_000,
    ],
)
def test_a_form_that_cannot_be_one_is_not_read_on(form: bytes):
    field = passthrough.ModelField()
    assert (field.look(form), field.over) == (None, True)


@pytest.mark.timeout(5)
@pytest.mark.parametrize(
    "line",
    [
        b"content-disposition:;name=model\r\n",
        b"\r\ncontent-disposition:;name=model\r\n",
        b"content-disposition:" + b"; \t" * 300 + b"\r\n",
        b"--x\r\n\r\n\r\n",
        b"a",
    ],
)
def test_a_form_cannot_be_made_to_cost_time(line: bytes):
    form = b"--x\r\n" + line * (passthrough.HEAD // len(line))
    field = passthrough.ModelField()
    for end in range(0, len(form), 140):
        field.look(form[:end])
    passthrough.ModelField().look(form * 16)


@pytest.mark.parametrize(
    ("method", "path", "once"),
    [
        ("POST", "/v1/batches", True),
        ("POST", "/v1/files", True),
        ("GET", "/v1/files", False),
        ("DELETE", "/v1/files/f", False),
        ("POST", "/v1/completions", False),
        ("POST", "/v1/moderations", False),
        ("POST", "/v1/embeddings", False),
    ],
)
def test_what_makes_something_is_sent_once(method: str, path: str, once: bool):
    assert attempt(resolve(method, path, {}), OPENAI).outgoing.once is once


def test_whom_to_bill_goes_along_with_the_callers_own_key_only():
    headers = {"openai-organization": "org-1"}
    request = Forward(route=FILES, headers=headers)
    found = routing.candidate(OPENAI, passthrough.anybody("openai_chat"), PROVIDERS)
    for own_key in (True, False):
        sent = passthrough.attempt(request, found, timeouts=Timeouts(), own_key=own_key).outgoing
        assert ("openai-organization" in sent.headers) is own_key


def test_an_address_that_needs_a_model_is_not_asked_without_one():
    endpoint = Endpoint(type="databricks", metadata=Metadata(api_base="https://dbx.test"))
    with pytest.raises(BadRequestError, match="model"):
        attempt(FILES, endpoint)
