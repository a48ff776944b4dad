"""The process's AWS keys come from where AWS puts them, and are fetched again in time."""

import msgspec
import pytest

from core.errors import UnavailableError
from infra.aws import Process
from tests.stand_ins import NOW, Clock, FakeUpstream, Reply

FULL = {
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9001/2023-01-01/credentials",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN": "snap",
}
EXPIRES = "2023-11-14T23:13:20Z"  # An hour after NOW.


def given(access="ASIA", expiration=EXPIRES):
    answer = {"AccessKeyId": access, "SecretAccessKey": "s", "Token": "t", "Expiration": expiration}
    return Reply(body=msgspec.json.encode(answer))


async def test_keys_of_the_environment_come_first_and_cost_no_request():
    upstream = FakeUpstream(Reply())
    environment = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s", **FULL}
    keys = await Process(environment, upstream, Clock()).keys()
    assert (keys.access_key, keys.secret_key, keys.session_token) == ("AKIA", "s", None)
    assert upstream.sent == []


async def test_a_process_restored_from_a_snapshot_asks_with_its_token_and_keeps_the_keys():
    clock, upstream = Clock(NOW), FakeUpstream(given("one"), given("two", "2023-11-15T00:13:20Z"))
    process = Process(FULL, upstream, clock)
    said = []
    for later in (0, 3299, 1):
        clock.time += later
        said.append((await process.keys()).access_key)
    assert said == ["one", "one", "two"]
    first = upstream.sent[0]
    assert first.url == FULL["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    assert first.headers == {"authorization": "snap"}


async def test_keys_that_aws_refuses_are_fetched_again_unless_others_have_come_since():
    upstream = FakeUpstream(given("one"), given("two"), given("three"))
    process = Process(FULL, upstream, Clock())
    one = await process.keys()
    two = await process.keys(refused=one)
    assert (one.access_key, two.access_key) == ("one", "two")
    assert await process.keys(refused=one) == two
    assert await process.keys() == two
    assert len(upstream.sent) == 2


async def test_the_token_may_be_in_a_file_that_is_read_anew(tmp_path):
    file = tmp_path / "token"
    file.write_text("from-file\n")
    environment = {
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(file),
    }
    upstream = FakeUpstream(given(expiration=None))
    await Process(environment, upstream, Clock()).keys()
    assert upstream.sent[0].url == "http://169.254.170.2/v2/credentials"
    assert upstream.sent[0].headers == {"authorization": "from-file"}


@pytest.mark.parametrize(
    ("environment", "reply"),
    [
        ({}, Reply()),
        (FULL, Reply(status=403, body=b"secret words")),
        (FULL, Reply(body=b"secret words")),
        (FULL, given(expiration="secret words")),
        (FULL, Reply(fails=True)),
    ],
)
async def test_without_keys_the_caller_hears_503_and_no_detail(environment, reply):
    with pytest.raises(UnavailableError) as raised:
        await Process(environment, FakeUpstream(reply), Clock()).keys()
    assert "secret words" not in raised.value.message


@pytest.mark.parametrize(
    ("environment", "region"),
    [
        ({"AWS_REGION": "a", "AWS_DEFAULT_REGION": "b"}, "a"),
        ({"AWS_DEFAULT_REGION": "b"}, "b"),
        ({}, None),
    ],
)
def test_the_region_is_that_of_the_environment(environment, region):
    process = Process(environment, FakeUpstream(Reply()), Clock())
    assert process.region == region
    assert repr(process) == "<Process>"
