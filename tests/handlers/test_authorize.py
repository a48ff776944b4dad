"""Tokens are fetched once, kept while they last, and their secrets stay here."""

import asyncio

import msgspec
import pytest
from msgspec.structs import replace

from core import plan, routing
from core.errors import UpstreamError
from core.orgs import Endpoint, Metadata, Timeouts
from core.routes import Route
from handlers.authorize import Authorizer
from providers import models
from providers.catalog import PROVIDERS
from tests.stand_ins import Clock, FakeAws, FakeUpstream, Reply

SECRET = "sk-do-not-tell"
ENTRA = '{"client_id": "c", "client_secret": "sk-do-not-tell", "tenant_id": "t"}'
BODY = msgspec.json.encode({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]})
ROLE = {"region": "eu-west-1", "auth_type": "assume_role", "role_arn": "arn:aws:iam::1:role/x"}
ASSUMED = (
    b"<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA1</AccessKeyId>"
    b"<SecretAccessKey>assumed</SecretAccessKey><SessionToken>session==</SessionToken>"
    b"</Credentials></AssumeRoleResult></AssumeRoleResponse>"
)


def token(value="tok", expires_in=3600):
    answer = {"access_token": value, "expires_in": expires_in, "token_type": "Bearer"}
    return Reply(body=msgspec.json.encode(answer))


def attempt(kind="azure", secret=ENTRA, model="gpt-4o", **metadata):
    metadata = metadata or {"api_base": "https://az.test", "auth_type": "entra_api"}
    endpoint = Endpoint(type=kind, name="main", secret=secret, metadata=Metadata(**metadata))
    found = routing.candidate(endpoint, models.lookup(model), PROVIDERS)
    chat = plan.read_chat(BODY, Route(kind="chat", method="POST"))
    return plan.attempt(chat, found, headers={}, timeouts=Timeouts())


async def test_a_token_is_exchanged_once_and_replaced_a_minute_before_it_expires():
    clock, upstream = Clock(), FakeUpstream(token("one"), token("two"))
    authorize = Authorizer(upstream, clock, FakeAws())
    said = []
    for later in (0, 3539, 1):
        clock.time += later
        said.append((await authorize(attempt())).headers["authorization"])
    assert said == ["Bearer one", "Bearer one", "Bearer two"]
    assert len(upstream.sent) == 2


class Slow(FakeUpstream):
    """Holds every reply back until it is let go."""

    def __init__(self, *replies):
        super().__init__(*replies)
        self.go = asyncio.Event()

    def send(self, request):
        sending = super().send(request)
        enter, go = sending.__aenter__, self.go

        class Held:
            async def __aenter__(self):
                await go.wait()
                return await enter()

            async def __aexit__(self, *error):
                return None

        return Held()


async def test_requests_that_come_at_once_share_one_exchange_even_if_the_first_goes_away():
    upstream = Slow(token("shared"))
    authorize = Authorizer(upstream, Clock(), FakeAws())
    first, *others = [asyncio.create_task(authorize(attempt())) for _ in range(5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    upstream.go.set()
    said = {sent.headers["authorization"] for sent in await asyncio.gather(*others)}
    assert said == {"Bearer shared"}
    assert first.cancelled()
    assert len(upstream.sent) == 1


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=401, body=b'{"error": "sk-do-not-tell is wrong"}'),
        Reply(body=b"sk-do-not-tell"),
        Reply(body=b'{"token": "sk-do-not-tell"}'),
        Reply(fails=True),
    ],
)
async def test_a_failed_exchange_is_a_502_that_names_the_endpoint_and_quotes_nothing(reply):
    authorize = Authorizer(FakeUpstream(reply), Clock(), FakeAws())
    with pytest.raises(UpstreamError, match="`main`") as raised:
        await authorize(attempt())
    assert raised.value.status == 502
    assert SECRET not in raised.value.message


async def test_a_failure_is_not_kept():
    upstream = FakeUpstream(Reply(status=500), token("later"))
    authorize = Authorizer(upstream, Clock(), FakeAws())
    with pytest.raises(UpstreamError):
        await authorize(attempt())
    assert (await authorize(attempt())).headers["authorization"] == "Bearer later"


async def test_a_request_is_signed_with_the_keys_of_the_process():
    sent = await Authorizer(FakeUpstream(Reply()), Clock(), FakeAws())(
        attempt("bedrock", None, "amazon.nova-pro-v1:0", region="us-east-1")
    )
    assert "Credential=AKIAROLE/20231114/us-east-1/bedrock/" in sent.headers["authorization"]
    assert sent.headers["x-amz-security-token"] == "role-token"


async def test_a_role_is_assumed_once_and_its_keys_sign():
    upstream = FakeUpstream(Reply(body=ASSUMED))
    authorize = Authorizer(upstream, Clock(), FakeAws())
    for _ in range(2):
        sent = await authorize(
            attempt("bedrock", None, "amazon.nova-pro-v1:0", **ROLE, external_id="x&y")
        )
    (asked,) = upstream.sent
    assert asked.url == "https://sts.eu-west-1.amazonaws.com/"
    assert b"RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fx" in asked.body
    assert b"ExternalId=x%26y" in asked.body
    assert "Credential=AKIAROLE/20231114/eu-west-1/sts/" in asked.headers["authorization"]
    assert "Credential=ASIA1/20231114/eu-west-1/bedrock/" in sent.headers["authorization"]
    assert sent.headers["x-amz-security-token"] == "session=="


async def test_keys_of_the_settings_assume_a_role_too_and_nobody_elses_do():
    upstream = FakeUpstream(Reply(body=ASSUMED))
    authorize = Authorizer(upstream, Clock(), FakeAws())
    for secret in ("right", "wrong"):
        await authorize(
            attempt("bedrock", secret, "amazon.nova-pro-v1:0", **ROLE, access_key="AKIAX")
        )
    assert len(upstream.sent) == 2
    assert "Credential=AKIAX/" in upstream.sent[0].headers["authorization"]


async def test_a_role_that_sts_refuses_is_a_502():
    for reply in (Reply(status=403), Reply(body=b"<x/>")):
        authorize = Authorizer(FakeUpstream(reply), Clock(), FakeAws())
        with pytest.raises(UpstreamError, match="`main`"):
            await authorize(attempt("bedrock", None, "amazon.nova-pro-v1:0", **ROLE))


def external(source, **more):
    document = {
        "type": "external_account",
        "audience": "//iam.test/pool",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.test/v1/token",
        "credential_source": source,
        **more,
    }
    return attempt(
        "vertex",
        msgspec.json.encode(document).decode(),
        "gemini-2.5-flash",
        project="p",
        auth_type="workload_identity_federation",
    )


async def test_another_clouds_token_buys_one_of_google():
    source = {
        "url": "http://metadata.test/token",
        "headers": {"Metadata": "true"},
        "format": {"type": "json", "subject_token_field_name": "jwt"},
    }
    upstream = FakeUpstream(Reply(body=b'{"jwt": "subject"}'), token("google"))
    sent = await Authorizer(upstream, Clock(), FakeAws())(external(source))
    fetched, exchanged = upstream.sent
    assert (fetched.method, fetched.headers) == ("GET", {"metadata": "true"})
    assert exchanged.url == "https://sts.test/v1/token"
    assert b"subject_token=subject&" in exchanged.body
    assert b"audience=%2F%2Fiam.test%2Fpool" in exchanged.body
    assert sent.headers["authorization"] == "Bearer google"


async def test_a_plain_token_is_taken_as_it_is_and_a_service_account_impersonated():
    impersonate = "https://iam.test/v1/sa:generateAccessToken"
    upstream = FakeUpstream(
        Reply(body=b"subject\n"), token("federated"), Reply(body=b'{"accessToken": "as-sa"}')
    )
    made = external({"url": "http://t.test"}, service_account_impersonation_url=impersonate)
    sent = await Authorizer(upstream, Clock(), FakeAws())(made)
    assert b"subject_token=subject&" in upstream.sent[1].body
    assert upstream.sent[2].url == impersonate
    assert upstream.sent[2].headers["authorization"] == "Bearer federated"
    assert sent.headers["authorization"] == "Bearer as-sa"


async def test_an_aws_role_proves_itself_to_google_by_a_signed_request():
    upstream = FakeUpstream(token("google"))
    sent = await Authorizer(upstream, Clock(), FakeAws())(external({"environment_id": "aws1"}))
    (exchanged,) = upstream.sent
    from urllib.parse import parse_qs

    subject = parse_qs(exchanged.body.decode())["subject_token"][0]
    from urllib.parse import unquote

    request = msgspec.json.decode(unquote(subject))
    headers = {header["key"]: header["value"] for header in request["headers"]}
    assert request["url"].startswith("https://sts.eu-west-1.amazonaws.com?Action=GetCallerIdentity")
    assert headers["x-goog-cloud-target-resource"] == "//iam.test/pool"
    assert headers["host"] == "sts.eu-west-1.amazonaws.com"
    assert "x-goog-cloud-target-resource" in headers["authorization"]
    assert headers["x-amz-security-token"] == "role-token"
    assert sent.headers["authorization"] == "Bearer google"


async def test_what_needs_nothing_is_sent_as_it_is():
    plain = attempt("openai", SECRET, api_base="https://a.test/v1")
    assert plain.authorization is None
    authorize = Authorizer(FakeUpstream(Reply()), Clock(), FakeAws())
    assert await authorize(plain) is plain.outgoing
    assert await authorize(replace(plain, dropped=("x",))) is plain.outgoing
    assert repr(authorize) == "<Authorizer>"


async def test_those_who_share_a_failure_are_told_of_their_own_endpoint():
    upstream = Slow(Reply(status=401))
    authorize = Authorizer(upstream, Clock(), FakeAws())
    mine = attempt()
    other = replace(mine.candidate.endpoint, name="of-another")
    theirs = replace(mine, candidate=replace(mine.candidate, endpoint=other))
    tasks = [asyncio.create_task(authorize(one)) for one in (mine, theirs)]
    await asyncio.sleep(0)
    upstream.go.set()
    first, second = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(first, UpstreamError)
    assert isinstance(second, UpstreamError)
    assert "`main`" in first.message
    assert "`of-another`" in second.message
    assert len(upstream.sent) == 1


async def test_a_broken_key_of_a_shared_account_is_told_to_each_by_name():
    document = {"type": "service_account", "client_email": "a@b.test", "private_key": SECRET}
    made = attempt(
        "vertex",
        msgspec.json.encode(document).decode(),
        "gemini-2.5-flash",
        project="p",
        auth_type="service_account_key",
    )
    authorize = Authorizer(FakeUpstream(Reply()), Clock(), FakeAws())
    with pytest.raises(UpstreamError, match="`main` cannot be used") as raised:
        await authorize(made)
    assert SECRET not in raised.value.message


async def test_a_token_that_was_refused_is_not_sent_again():
    upstream = FakeUpstream(token("revoked"), token("new"))
    authorize = Authorizer(upstream, Clock(), FakeAws())
    made = attempt()
    await authorize(made)
    authorize.refused(made)
    authorize.refused(attempt("bedrock", None, "amazon.nova-pro-v1:0", region="us-east-1"))
    assert (await authorize(made)).headers["authorization"] == "Bearer new"


async def test_an_answer_nested_too_deeply_is_no_token():
    deep = b'{"access_token": "t", "x": ' + b"[" * 5000 + b"]" * 5000 + b"}"
    authorize = Authorizer(FakeUpstream(Reply(body=deep)), Clock(), FakeAws())
    with pytest.raises(UpstreamError, match="no token"):
        await authorize(attempt())
