"""Secrets Manager, answer by answer: what is asked again, what is absent, what is told."""

from typing import Any

import msgspec
import pytest

from core.ports import StoreError
from infra.secrets import Pace, SecretsManager
from tests.stand_ins import Clock, FakeAws, FakeUpstream, Reply

BODY = b'{"secret":"sk-sentinel"}'
NAME = "stack/org/Acme=20Ltd"
ABSENT, EXISTS = "ResourceNotFoundException", "ResourceExistsException"
DELETED = "InvalidRequestException"


def said(status: int = 200, **fields: Any) -> Reply:
    return Reply(status=status, body=msgspec.json.encode(fields))


def refused(code: str, status: int = 400) -> Reply:
    return said(status, __type=code, Message="quotes sk-sentinel")


def manager(*replies: Reply) -> tuple[SecretsManager, FakeUpstream, list[float]]:
    upstream, slept = FakeUpstream(*replies), []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    numbers = iter(range(100))
    pace = Pace(sleep=sleep, draw=lambda: 1.0, fresh_id=lambda: f"id-{next(numbers)}")
    return SecretsManager("stack", upstream, FakeAws(), Clock(), pace=pace), upstream, slept


def asked(upstream: FakeUpstream) -> list[tuple[str, dict[str, Any]]]:
    return [
        (sent.headers["x-amz-target"], msgspec.json.decode(sent.body)) for sent in upstream.sent
    ]


async def test_a_secret_is_read_by_its_name_and_its_current_version():
    secrets, upstream, _ = manager(said(SecretString="{}", VersionId="v1", Name=NAME))
    found = await secrets.read("Acme Ltd")
    assert found is not None
    assert (found.body, found.version) == (b"{}", "v1")
    assert asked(upstream) == [("secretsmanager.GetSecretValue", {"SecretId": NAME})]
    assert upstream.sent[0].url == "https://secretsmanager.eu-west-1.amazonaws.com/"
    assert "/secretsmanager/aws4_request" in upstream.sent[0].headers["authorization"]


async def test_a_secret_put_as_bytes_is_read_too():
    secrets, _, _ = manager(said(SecretBinary="e30=", VersionId="v1"))
    found = await secrets.read("acme")
    assert found is not None
    assert found.body == b"{}"


@pytest.mark.parametrize("code", [ABSENT, DELETED])
async def test_a_secret_that_is_absent_or_to_be_deleted_is_none(code: str):
    secrets, _, slept = manager(refused(code))
    assert await secrets.read("acme") is None
    assert slept == []


BROKEN = [
    (refused("AccessDeniedException"), "AccessDeniedException", 1),
    (refused("DecryptionFailure"), "DecryptionFailure", 1),
    (refused("ThrottlingException"), "ThrottlingException", 3),
    (refused("InternalServiceError", 500), "InternalServiceError", 3),
    (Reply(status=503, body=b"<html>sk-sentinel"), "status 503", 3),
    (Reply(fails=True), "no connection", 1),
    (Reply(body=b'{"SecretString":"sk-sentinel'), "cannot be read", 1),
    (said(SecretString=["sk-sentinel"], VersionId="v"), "cannot be read", 1),
    (said(SecretBinary="sk-sentinel", VersionId="v"), "cannot be read", 1),
]


@pytest.mark.parametrize(("reply", "words", "times"), BROKEN)
async def test_trouble_is_told_by_aws_code_and_quotes_nothing(reply: Reply, words: str, times: int):
    secrets, upstream, slept = manager(reply)
    with pytest.raises(StoreError, match=words) as caught:
        await secrets.read("acme")
    assert "sentinel" not in f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"
    assert len(upstream.sent) == times
    assert slept == [0.05, 0.1][: times - 1]


async def test_a_write_is_one_call_where_the_secret_is_there():
    secrets, upstream, _ = manager(said())
    await secrets.write("Acme Ltd", BODY)
    value = {"SecretString": BODY.decode(), "ClientRequestToken": "id-0"}
    assert asked(upstream) == [("secretsmanager.PutSecretValue", {"SecretId": NAME, **value})]


async def test_a_write_asked_again_has_the_same_token_so_that_it_is_done_once():
    secrets, upstream, slept = manager(refused("InternalServiceError", 500), said())
    await secrets.write("acme", BODY)
    first, second = asked(upstream)
    assert first == second
    assert slept == [0.1]


WRITES = [
    ([refused(ABSENT), said()], ["PutSecretValue", "CreateSecret"]),
    (
        [refused(ABSENT), refused(EXISTS), said()],
        ["PutSecretValue", "CreateSecret", "PutSecretValue"],
    ),
    ([refused(DELETED), said(), said()], ["PutSecretValue", "RestoreSecret", "PutSecretValue"]),
]


@pytest.mark.parametrize(("replies", "operations"), WRITES)
async def test_a_write_makes_what_is_not_there_and_restores_what_was_deleted(
    replies: list[Reply], operations: list[str]
):
    secrets, upstream, _ = manager(*replies)
    await secrets.write("acme", BODY)
    assert [target.partition(".")[2] for target, _ in asked(upstream)] == operations


FAILING = [
    [refused("AccessDeniedException")],
    [refused(ABSENT), refused("LimitExceededException")],
    [refused(DELETED)],
    [refused("ThrottlingException")],
]


@pytest.mark.parametrize("replies", FAILING)
async def test_a_write_that_fails_quotes_nothing(replies: list[Reply]):
    secrets, _, _ = manager(*replies)
    with pytest.raises(StoreError, match="Secrets Manager failed at") as caught:
        await secrets.write("acme", BODY)
    assert "sentinel" not in f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"


async def test_a_secret_is_deleted_with_a_way_back():
    secrets, upstream, _ = manager(said())
    await secrets.delete("Acme Ltd")
    body = {"SecretId": NAME, "RecoveryWindowInDays": 7}
    assert asked(upstream) == [("secretsmanager.DeleteSecret", body)]
    secrets, _, _ = manager(refused("AccessDeniedException"))
    with pytest.raises(StoreError, match="AccessDenied"):
        await secrets.delete("acme")


async def test_names_are_read_page_by_page_and_what_is_not_ours_is_left_out():
    pages = [
        said(
            SecretList=[
                {"Name": "stack/org/b"},
                {"Name": "stack/org/gone", "DeletedDate": 1.7e9},
                {"Name": "stack/org/not=20ours=zz"},
                {"Name": "stack/org/a/b"},
                {"Name": "stack/other"},
            ],
            NextToken="more",
        ),
        said(SecretList=[{"Name": "stack/org/=C3=A4"}, {"Name": "stack/org/b"}]),
    ]
    secrets, upstream, _ = manager(*pages)
    assert await secrets.names() == ["b", "ä"]
    (_, first), (_, second) = asked(upstream)
    assert first == {"Filters": [{"Key": "name", "Values": ["stack/org/"]}], "MaxResults": 100}
    assert second == {**first, "NextToken": "more"}


@pytest.mark.parametrize("prefix", ["", "a b", "!a", "ä", "x" * 300])
def test_a_prefix_that_aws_does_not_take_is_refused(prefix: str):
    with pytest.raises(ValueError, match="prefix"):
        SecretsManager(prefix, FakeUpstream(Reply()), FakeAws(), Clock())


# --- Replicas in other regions --------------------------------------------------------------------


def replicated(*replies: Reply) -> tuple[SecretsManager, FakeUpstream]:
    upstream = FakeUpstream(*replies)
    regions = ("us-east-1", "us-west-2")
    return SecretsManager("stack", upstream, FakeAws(), Clock(), replicas=regions), upstream


def status(*regions: str) -> Reply:
    return said(Name=NAME, ReplicationStatus=[{"Region": r, "Status": "InSync"} for r in regions])


async def test_what_is_written_is_replicated_to_the_regions_that_lack_it():
    secrets, upstream = replicated(said(), status("us-west-2"), said())
    await secrets.write("Acme Ltd", BODY)
    assert [name.partition(".")[2] for name, _ in asked(upstream)] == [
        "PutSecretValue",
        "DescribeSecret",
        "ReplicateSecretToRegions",
    ]
    assert asked(upstream)[-1][1] == {
        "SecretId": NAME,
        "AddReplicaRegions": [{"Region": "us-east-1"}],
    }


async def test_a_secret_that_is_new_is_replicated_to_all_and_one_that_has_them_to_none():
    secrets, upstream = replicated(refused(ABSENT), said(), said(Name=NAME), said())
    await secrets.write("Acme Ltd", BODY)
    regions = asked(upstream)[-1][1]["AddReplicaRegions"]
    assert regions == [{"Region": "us-east-1"}, {"Region": "us-west-2"}]
    secrets, upstream = replicated(said(), status("us-east-1", "us-west-2"))
    await secrets.write("Acme Ltd", BODY)
    assert len(upstream.sent) == 2


async def test_a_secret_s_replicas_are_deleted_before_it():
    secrets, upstream = replicated(status("us-west-2"), said(), said())
    await secrets.delete("Acme Ltd")
    (_, described), (_, removed), (last, _) = asked(upstream)
    assert described == {"SecretId": NAME}
    assert removed == {"SecretId": NAME, "RemoveReplicaRegions": ["us-west-2"]}
    assert last == "secretsmanager.DeleteSecret"
    secrets, _ = replicated(refused(ABSENT))
    await secrets.delete("Acme Ltd")


async def test_a_replica_that_could_not_be_made_is_told():
    secrets, _ = replicated(said(), status(), refused("AccessDeniedException"))
    with pytest.raises(StoreError, match="ReplicateSecretToRegions: AccessDeniedException"):
        await secrets.write("Acme Ltd", BODY)
