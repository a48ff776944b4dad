"""DynamoDB's calls one by one: how many, what is asked again, and what is given up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from core.errors import UnavailableError, UpstreamError, UpstreamTimeoutError
from core.ports import Outgoing, Row, StoreError
from core.sigv4 import AwsKeys
from infra.dynamodb import DynamoStore, Pace
from tests.fakes import FakeUpstream, Reply
from tests.stand_ins import NOW, Clock, FakeAws

THROTTLED = "ProvisionedThroughputExceededException"
CONDITION = "ConditionalCheckFailedException"
SECRET = "sentinel"


def said(body: Any = None, **fields: Any) -> Reply:
    return Reply(msgspec.json.encode(fields if body is None else body))


def refused(code: str, status: int = 400) -> Reply:
    kind = f"com.amazonaws.dynamodb.v20120810#{code}"
    body = msgspec.json.encode({"__type": kind, "message": f"{SECRET} words"})
    return Reply(body, status=status)


def row(number: int = 0, **changes: Any) -> Row:
    return Row(**{"pk": f"{SECRET}#{number}", "sk": "0", "data": b"%d" % number} | changes)


def item(number: int = 0) -> dict[str, Any]:
    return {"pk": {"S": f"{SECRET}#{number}"}, "sk": {"S": "0"}, "data": {"B": "MA=="}}


def key(number: int = 0) -> dict[str, Any]:
    return {name: item(number)[name] for name in ("pk", "sk")}


class Table:
    """A store over a scripted DynamoDB, and what it was asked."""

    def __init__(self, *replies: Any, aws: FakeAws | None = None, endpoint: str | None = None):
        self.upstream = FakeUpstream(*replies)
        self.aws = aws or FakeAws()
        self.slept: list[float] = []
        self.store = DynamoStore(
            "t", self.upstream, self.aws, Clock(), endpoint, pace=Pace(self._sleep, lambda: 1.0)
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    @property
    def operations(self) -> list[str]:
        return [one.headers["x-amz-target"].partition(".")[2] for one in self.upstream.sent]

    def body(self, number: int) -> Any:
        return msgspec.json.decode(self.upstream.sent[number].body)


GOT = said(Responses={"t": [item()]}, UnprocessedKeys={})
EMPTY = said({})
WORK = {
    "BatchGetItem": lambda store: store.get([row().key]),
    "PutItem": lambda store: store.put([row()]),
    "claim": lambda store: store.claim(row(), 1),
    "UpdateItem": lambda store: store.add(row().key, 2, 1700),
    "BatchWriteItem": lambda store: store.delete([row().key]),
    "Query": lambda store: store.rows_of(row().pk),
    "Scan": lambda store: anext(store.scan(SECRET)),
}
ADDED = said(Attributes={"counted": {"N": "9"}, "expires_at": {"N": "1700"}})
ANSWER = {
    "BatchGetItem": GOT,
    "UpdateItem": ADDED,
    "Query": said(Items=[item()]),
    "Scan": said(Items=[item()]),
}
PATIENCE = {"BatchGetItem": 2, "claim": 2, "UpdateItem": 2}
"""Retries; the others have 4."""


async def test_a_request_is_signed_and_goes_to_the_regions_public_address():
    table = Table(GOT)
    assert await table.store.get([row().key]) == {row().key: row()}
    sent = table.upstream.sent[0]
    assert (sent.method, sent.url) == ("POST", "https://dynamodb.eu-west-1.amazonaws.com/")
    assert sent.headers["x-amz-target"] == "DynamoDB_20120810.BatchGetItem"
    assert sent.headers["content-type"] == "application/x-amz-json-1.0"
    assert sent.headers["x-amz-security-token"] == "role-token"
    scope = "Credential=AKIAROLE/20231114/eu-west-1/dynamodb/aws4_request"
    assert scope in sent.headers["authorization"]
    assert "x-amz-target" in sent.headers["authorization"]
    assert table.body(0) == {"RequestItems": {"t": {"Keys": [key()]}}}


@pytest.mark.parametrize(
    ("region", "endpoint", "url"),
    [
        ("cn-north-1", None, "https://dynamodb.cn-north-1.amazonaws.com.cn/"),
        ("us-east-1", "http://127.0.0.1:1", "http://127.0.0.1:1/"),
        ("us-east-1", "http://127.0.0.1:1/", "http://127.0.0.1:1/"),
    ],
)
async def test_it_goes_where_the_region_or_the_setting_says(region, endpoint, url):
    aws = FakeAws()
    aws.region = region
    table = Table(GOT, aws=aws, endpoint=endpoint)
    await table.store.get([row().key])
    assert table.upstream.sent[0].url == url


@pytest.mark.parametrize(
    ("keys", "calls"), [(0, []), (1, [1]), (100, [100]), (101, [100, 1]), (250, [100, 100, 50])]
)
async def test_a_read_is_one_call_for_each_hundred_keys(keys, calls):
    table = Table(*[EMPTY for _ in calls])
    await table.store.get([row(number).key for number in range(keys)] * 2)
    assert table.operations == ["BatchGetItem"] * len(calls)
    assert [len(table.body(n)["RequestItems"]["t"]["Keys"]) for n in range(len(calls))] == calls


@pytest.mark.parametrize(
    ("rows", "batches"), [(0, []), (1, []), (2, [1]), (26, [25]), (27, [25, 1]), (60, [25, 25, 9])]
)
async def test_a_write_is_a_call_for_each_25_rows_and_one_for_the_last(rows, batches):
    table = Table(*[EMPTY for _ in range(len(batches) + 1)])
    await table.store.put([row(number) for number in range(rows)])
    assert table.operations == ["BatchWriteItem"] * len(batches) + ["PutItem"] * bool(rows)
    sizes = [len(table.body(n)["RequestItems"]["t"]) for n in range(len(batches))]
    assert sizes == batches
    if rows:
        assert table.body(-1)["Item"]["pk"] == {"S": row(rows - 1).pk}


async def test_a_row_has_these_attributes_and_no_expiry_where_it_stays():
    table = Table(EMPTY, EMPTY)
    await table.store.put([row(data=b"\0\xff", expires_at=7, stored_at=5, org="acme")])
    full = {"data": {"B": "AP8="}, "expires_at": {"N": "7"}, "stored_at": {"N": "5"}}
    assert table.body(0) == {"TableName": "t", "Item": {**key(), **full, "org": {"S": "acme"}}}
    await table.store.put([row()])
    assert table.body(1)["Item"] == item()


async def test_a_claim_is_one_conditional_write():
    table = Table(EMPTY, refused(CONDITION))
    assert await table.store.claim(row(), 1700)
    body = table.body(0)
    assert body["ConditionExpression"] == "attribute_not_exists(pk) OR expires_at <= :now"
    assert body["ExpressionAttributeValues"] == {":now": {"N": "1700"}}
    assert not await table.store.claim(row(), 1700)
    assert table.operations == ["PutItem", "PutItem"]


async def test_counting_is_one_update_that_tells_the_sum():
    table = Table(ADDED)
    assert await table.store.add(row().key, 2, 1700) == 9
    assert table.body(0) == {
        "TableName": "t",
        "Key": key(),
        "UpdateExpression": "SET expires_at = :expires_at ADD counted :amount",
        "ExpressionAttributeValues": {":expires_at": {"N": "1700"}, ":amount": {"N": "2"}},
        "ReturnValues": "ALL_NEW",
    }


async def test_rows_are_deleted_25_at_a_time():
    table = Table(EMPTY, EMPTY)
    await table.store.delete([row(number).key for number in range(30)] * 2)
    assert [len(table.body(n)["RequestItems"]["t"]) for n in (0, 1)] == [25, 5]
    assert table.body(1)["RequestItems"]["t"][0] == {"DeleteRequest": {"Key": key(25)}}


async def test_a_query_goes_on_where_the_page_ended():
    table = Table(said(Items=[item(0)], LastEvaluatedKey=key(0)), said(Items=[item(1)]))
    assert [one.pk for one in await table.store.rows_of("p")] == [row(0).pk, row(1).pk]
    assert "ExclusiveStartKey" not in table.body(0)
    assert table.body(1)["ExclusiveStartKey"] == key(0)
    assert table.body(1)["ExpressionAttributeValues"] == {":pk": {"S": "p"}}


async def test_a_scan_asks_for_data_only_if_told_and_passes_over_empty_pages():
    pages = [
        said(Items=[], LastEvaluatedKey=key(0)),
        said(Items=[item(1)], LastEvaluatedKey=None),
    ]
    table = Table(*pages, *pages)
    assert [one.pk async for one in table.store.scan("p")] == [row(1).pk]
    assert table.body(0)["FilterExpression"] == "begins_with(pk, :prefix)"
    assert table.body(0)["ProjectionExpression"] == "pk, sk, expires_at, stored_at, org"
    assert [one.pk async for one in table.store.scan("", data=True)] == [row(1).pk]
    assert table.body(2) == {"TableName": "t"}


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize(
    "trouble",
    [
        refused(THROTTLED),
        refused("ThrottlingException"),
        refused("RequestLimitExceeded"),
        Reply(b"", status=429),
        refused("InternalServerError", 500),
        Reply(b"<html>", status=503),
    ],
    ids=["throughput", "throttling", "limit", "429", "500", "503"],
)
async def test_throttling_and_server_errors_are_asked_again(work, trouble):
    table = Table(trouble, trouble, ANSWER.get(work, EMPTY))
    if work in ("claim", "UpdateItem") and trouble.status >= 500:
        # It may have been done: asked again, it would seem to be somebody else's.
        with pytest.raises(StoreError):
            await WORK[work](table.store)
        assert (len(table.upstream.sent), table.slept) == (1, [])
    else:
        await WORK[work](table.store)
        assert len(table.upstream.sent) == 3
        assert table.slept == ([0.02, 0.05] if work in PATIENCE else [0.05, 0.1])


@pytest.mark.parametrize("work", WORK)
async def test_throttling_that_does_not_end_is_an_error_after_a_few_tries(work):
    table = Table(*[refused(THROTTLED) for _ in range(10)])
    with pytest.raises(StoreError, match=THROTTLED):
        await WORK[work](table.store)
    assert len(table.upstream.sent) == PATIENCE.get(work, 4) + 1
    assert sum(table.slept) < 0.8


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (UpstreamError("The provider could not be reached."), "no connection"),
        (UpstreamTimeoutError("The provider did not answer in time."), "no answer in time"),
        (Reply(b"{", UpstreamError("The answer was cut off.")), "it was cut"),
        (Reply(b'{"%s' % SECRET.encode()), "cannot be read"),
        (Reply(b""), "cannot be read"),
        (Reply(b"\xff\xfe"), "cannot be read"),
        (refused("ValidationException"), "ValidationException"),
        (refused("AccessDeniedException"), "AccessDeniedException"),
        (refused(f"no code but {SECRET}"), "status 400"),
        (Reply(b"[1]", status=400), "status 400"),
        (Reply(b"", status=302), "status 302"),
    ],
)
async def test_any_other_trouble_is_an_error_at_once(work, trouble, words):
    table = Table(trouble)
    with pytest.raises(StoreError, match=words) as raised:
        await WORK[work](table.store)
    assert (len(table.upstream.sent), table.slept) == (1, [])
    assert SECRET not in str(raised.value)
    assert ("PutItem" if work == "claim" else work) in str(raised.value)


@pytest.mark.parametrize(
    ("work", "body"),
    [
        ("BatchGetItem", {"Responses": {"t": [{**item(), "expires_at": {"N": SECRET}}]}}),
        ("BatchGetItem", {"Responses": {"t": [{**item(), "data": {"B": SECRET + "!"}}]}}),
        ("BatchGetItem", {"Responses": {"t": [{"pk": {"S": SECRET}}]}}),
        ("BatchGetItem", {"Responses": [SECRET]}),
        ("BatchWriteItem", {"UnprocessedItems": [SECRET]}),
        ("UpdateItem", {"Attributes": {"counted": {"N": SECRET}}}),
        ("UpdateItem", {}),
        ("Query", {"Count": 0}),
        ("Scan", {"Items": SECRET}),
    ],
)
async def test_an_answer_of_another_shape_is_an_error_that_quotes_nothing(work, body):
    with pytest.raises(StoreError, match="cannot be read") as raised:
        await WORK[work](Table(said(body)).store)
    assert SECRET not in repr(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


async def test_keys_that_were_left_are_asked_for_again_at_once_if_others_came():
    table = Table(
        said(
            Responses={"t": [item(0)]},
            UnprocessedKeys={"t": {"Keys": [key(1), key(2)], "ConsistentRead": False}},
        ),
        said(Responses={"t": [item(1)]}, UnprocessedKeys={"t": {"Keys": [key(2)]}}),
        said(Responses={"t": []}, UnprocessedKeys={"t": {"Keys": [key(2)]}}),
        said(Responses={"t": [item(2)]}),
    )
    found = await table.store.get([row(number).key for number in range(3)])
    assert sorted(found) == [row(number).key for number in range(3)]
    asked = [table.body(n)["RequestItems"]["t"]["Keys"] for n in range(4)]
    assert asked == [[key(0), key(1), key(2)], [key(1), key(2)], [key(2)], [key(2)]]
    assert table.slept == [0.02]


async def test_keys_that_are_never_read_are_an_error():
    left = {"t": {"Keys": [key()]}}
    table = Table(*[said(Responses={}, UnprocessedKeys=left) for _ in range(9)])
    with pytest.raises(StoreError, match="BatchGetItem: UnprocessedKeys"):
        await table.store.get([row().key])
    assert (len(table.upstream.sent), table.slept) == (3, [0.02, 0.05])


async def test_rows_that_were_left_are_written_before_the_last():
    left = [{"PutRequest": {"Item": item(1)}}]
    table = Table(said(UnprocessedItems={"t": left}), EMPTY, EMPTY)
    await table.store.put([row(0), row(1), row(2)])
    assert table.operations == ["BatchWriteItem", "BatchWriteItem", "PutItem"]
    assert table.body(1) == {"RequestItems": {"t": left}}
    assert table.slept == [0.05]


async def test_the_last_row_is_not_written_where_another_could_not_be():
    left = [{"PutRequest": {"Item": item(0)}}]
    table = Table(*[said(UnprocessedItems={"t": left}) for _ in range(9)])
    with pytest.raises(StoreError, match="BatchWriteItem: UnprocessedItems"):
        await table.store.put([row(0), row(1)])
    assert table.operations == ["BatchWriteItem"] * 5
    assert table.slept == [0.05, 0.1, 0.2, 0.4]


@pytest.mark.parametrize(
    "code", ["ExpiredTokenException", "UnrecognizedClientException", "ExpiredToken"]
)
@pytest.mark.parametrize("work", WORK)
async def test_keys_that_have_expired_are_asked_for_again_once(work, code):
    table = Table(refused(code), ANSWER.get(work, EMPTY))
    await WORK[work](table.store)
    assert (table.aws.asked, len(table.upstream.sent), table.slept) == (2, 2, [])
    assert table.aws.refused is not None
    table = Table(refused(code), refused(code))
    with pytest.raises(StoreError, match=code):
        await WORK[work](table.store)
    assert (table.aws.asked, len(table.upstream.sent)) == (2, 2)


async def test_a_process_without_keys_or_region_has_no_table():
    class Keyless(FakeAws):
        async def keys(self, *, refused: AwsKeys | None = None) -> AwsKeys:
            raise UnavailableError(f"There are none: {refused}.")

    class Nowhere(FakeAws):
        region = None

    for aws, words in ((Keyless(), "no keys"), (Nowhere(), "AWS_REGION")):
        table = Table(aws=aws)
        with pytest.raises(StoreError, match=words):
            await table.store.get([row().key])
        assert table.upstream.sent == []


async def test_a_read_that_is_given_up_is_cancelled_upstream():
    reply = Reply(asyncio.Event())
    table = Table(reply)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await table.store.get([row().key])
    assert reply.cancelled
    assert reply.left.is_set()


async def test_a_caller_may_leave_while_it_waits_to_ask_again():
    class Slow:
        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(seconds * 1000)

    upstream = FakeUpstream(refused(THROTTLED))
    store = DynamoStore("t", upstream, FakeAws(), Clock(), pace=Pace(Slow().sleep))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await store.get([row().key])
    assert len(upstream.sent) == 1


async def test_fifty_reads_at_once_are_fifty_calls_side_by_side():
    class Together:
        """Answers only when all have asked."""

        def __init__(self) -> None:
            self.sent: list[Outgoing] = []
            self.all = asyncio.Event()

        @asynccontextmanager
        async def send(self, request: Outgoing) -> AsyncIterator[Reply]:
            self.sent.append(request)
            if len(self.sent) == 50:
                self.all.set()
            await self.all.wait()
            keys = msgspec.json.decode(request.body)["RequestItems"]["t"]["Keys"]
            yield said(Responses={"t": [{**one, "data": {"B": ""}} for one in keys]})

        async def close(self) -> None:
            return

    store = DynamoStore("t", Together(), FakeAws(), Clock(NOW))
    keys = [row(number).key for number in range(50)]
    found = await asyncio.gather(*[store.get([one]) for one in keys])
    assert [list(one) for one in found] == [[one] for one in keys]
