"""The rows in one DynamoDB table: the store of a deployment in AWS.

Reads are eventually consistent, and TTL deletes expired rows days late: who
reads compares. DynamoDB may do a part of a batch and hand back the rest
(UnprocessedKeys, UnprocessedItems), which is asked for again. Rows are at most
400 KB each; a larger one is refused by the service.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/Welcome.html
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from core.envelope import present
from core.ports import AwsProcess, Clock, Row, RowKey, StoreError, Upstream
from infra.aws_json import AwsError, AwsJson, Service

T = TypeVar("T")

DYNAMODB: Final = Service("dynamodb", "DynamoDB_20120810")
MOST_KEYS: Final = 100
MOST_WRITES: Final = 25
"""A batch's limits. That of 16 MB is never met: 25 rows in base64 have at most 14."""

READ_PAUSES: Final = (0.02, 0.05)
WRITE_PAUSES: Final = (0.05, 0.1, 0.2, 0.4)
"""Seconds, each times 0.5 to 1, before asking again; then it is a StoreError. Nobody waits
250 ms for a read, while a write goes on after the answer has been sent."""

CLAIMED: Final = "ConditionalCheckFailedException"
_FREE: Final = "attribute_not_exists(pk) OR expires_at <= :now"
_ALL_BUT_DATA: Final = "pk, sk, expires_at, stored_at, org"


class _Text(Struct, frozen=True):
    value: str = field(name="S")


class _Number(Struct, frozen=True):
    value: str = field(name="N")


class _Bytes(Struct, frozen=True):
    value: bytes = field(name="B")


class _Key(Struct, frozen=True):
    pk: _Text
    sk: _Text


class _Item(Struct, frozen=True, omit_defaults=True):
    pk: _Text
    sk: _Text
    data: _Bytes | UnsetType = UNSET
    expires_at: _Number | UnsetType = UNSET
    """The table's TTL attribute: absent in rows that stay."""
    stored_at: _Number | UnsetType = UNSET
    org: _Text | UnsetType = UNSET
    counted: _Number | UnsetType = UNSET
    """Of a counter, which has no data."""


class _Keys(Struct, frozen=True):
    keys: list[Raw] = field(name="Keys")


class _Got(Struct, frozen=True):
    responses: dict[str, list[_Item]] = field(name="Responses", default_factory=dict)
    unprocessed: dict[str, _Keys] = field(name="UnprocessedKeys", default_factory=dict)


class _Written(Struct, frozen=True):
    unprocessed: dict[str, list[Raw]] = field(name="UnprocessedItems", default_factory=dict)


class _Counter(Struct, frozen=True):
    counted: _Number


class _Added(Struct, frozen=True):
    attributes: _Counter = field(name="Attributes")


class _Page(Struct, frozen=True):
    items: list[_Item] = field(name="Items")
    last: Raw = field(name="LastEvaluatedKey", default=Raw())


_encode: Final = msgspec.json.Encoder().encode
_decode_got: Final = msgspec.json.Decoder(_Got).decode
_decode_written: Final = msgspec.json.Decoder(_Written).decode
_decode_added: Final = msgspec.json.Decoder(_Added).decode
_decode_page: Final = msgspec.json.Decoder(_Page).decode
_read_nothing: Final = msgspec.json.Decoder(Raw).decode


class Pace(Struct, frozen=True):
    """How it waits before it asks again."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    draw: Callable[[], float] = random.random


class DynamoStore:
    """core.ports.Store. It has nothing of its own to close: the connections are `upstream`'s."""

    def __init__(
        self,
        table: str,
        upstream: Upstream,
        process: AwsProcess,
        clock: Clock,
        endpoint: str | None = None,
        *,
        pace: Pace | None = None,
    ) -> None:
        self._table = table
        self._service = AwsJson(DYNAMODB, upstream, process, clock, endpoint)
        self._pace = pace or Pace()

    async def get(self, keys: Sequence[RowKey]) -> dict[RowKey, Row]:
        found: dict[RowKey, Row] = {}
        for group in _groups(list(dict.fromkeys(keys)), MOST_KEYS):
            for row in await self._get([_raw(_key(key)) for key in group]):
                found[row.key] = row
        return found

    async def put(self, rows: Sequence[Row]) -> None:
        unique: dict[RowKey, Row] = {}
        for row in rows:
            unique.pop(row.key, None)  # A batch that names a row twice is refused.
            unique[row.key] = row
        if not unique:
            return
        *before, last = unique.values()
        await self._write({"PutRequest": {"Item": _item(row)}} for row in before)
        body = {"TableName": self._table, "Item": _item(last)}
        await self._call("PutItem", body, _read_nothing, WRITE_PAUSES)

    async def claim(self, row: Row, now: int) -> bool:
        """False also where it was ours, but the answer that said so was lost on its way."""
        body = {
            "TableName": self._table,
            "Item": _item(row),
            "ConditionExpression": _FREE,
            "ExpressionAttributeValues": {":now": _Number(str(now))},
        }
        try:
            # It is not asked again after a 500: the first one may have been ours.
            await self._call("PutItem", body, _read_nothing, READ_PAUSES, again=("throttled",))
        except _CallError as failed:
            if failed.code == CLAIMED:
                return False
            raise
        return True

    async def add(self, key: RowKey, amount: int, expires_at: int) -> int:
        """StoreError also where it was added, but the answer that said so was lost on its way."""
        body = {
            "TableName": self._table,
            "Key": _key(key),
            "UpdateExpression": "SET expires_at = :expires_at ADD counted :amount",
            "ExpressionAttributeValues": {
                ":expires_at": _Number(str(expires_at)),
                ":amount": _Number(str(amount)),
            },
            "ReturnValues": "ALL_NEW",
        }
        # Asked again after a 500, it might be added twice.
        return await self._call("UpdateItem", body, _read_added, READ_PAUSES, again=("throttled",))

    async def delete(self, keys: Sequence[RowKey]) -> None:
        unique = dict.fromkeys(keys)
        await self._write({"DeleteRequest": {"Key": _key(key)}} for key in unique)

    async def rows_of(self, pk: str) -> list[Row]:
        query = {
            "TableName": self._table,
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": _Text(pk)},
        }
        return [row async for row in self._pages("Query", query)]

    async def scan(self, prefix: str, *, data: bool = False) -> AsyncIterator[Row]:
        query: dict[str, Any] = {"TableName": self._table}
        if prefix:
            query["FilterExpression"] = "begins_with(pk, :prefix)"
            query["ExpressionAttributeValues"] = {":prefix": _Text(prefix)}
        if not data:
            query["ProjectionExpression"] = _ALL_BUT_DATA
        async for row in self._pages("Scan", query):
            yield row

    async def close(self) -> None:
        return

    async def call(self, operation: str, body: dict[str, Any]) -> None:
        """For tables that can do more. It is not asked again where it may have been done."""
        await self._call(operation, body, _read_nothing, READ_PAUSES, again=("throttled",))

    async def _get(self, keys: list[Raw]) -> list[Row]:
        rows: list[Row] = []
        pauses = iter(READ_PAUSES)
        while keys:
            body = {"RequestItems": {self._table: {"Keys": keys}}}
            some, keys = await self._call("BatchGetItem", body, _read_got, READ_PAUSES)
            rows += some
            # A part is all that fits into one answer (16 MB): the rest need not wait.
            if keys and not some:
                await self._wait("BatchGetItem", "UnprocessedKeys", pauses)
        return rows

    async def _write(self, requests: Iterable[dict[str, Any]]) -> None:
        """Group by group: DynamoDB does not promise an order within one."""
        for group in _groups([_raw(request) for request in requests], MOST_WRITES):
            left: list[Raw] = group
            pauses = iter(WRITE_PAUSES)
            while left:
                body = {"RequestItems": {self._table: left}}
                left = await self._call("BatchWriteItem", body, _read_left, WRITE_PAUSES)
                if left:
                    await self._wait("BatchWriteItem", "UnprocessedItems", pauses)

    async def _pages(self, operation: str, query: dict[str, Any]) -> AsyncIterator[Row]:
        while True:
            rows, last = await self._call(operation, query, _read_page, WRITE_PAUSES)
            for row in rows:
                yield row
            if last is None:
                return
            query = {**query, "ExclusiveStartKey": last}

    async def _call(
        self,
        operation: str,
        body: dict[str, Any],
        read: Callable[[bytes], T],
        waits: Sequence[float],
        *,
        again: tuple[str, ...] = ("throttled", "broken"),
    ) -> T:
        sent = _bytes(operation, body)
        pauses = iter(waits)
        while True:
            try:
                answer = await self._service.call(operation, sent)
            except AwsError as error:
                if error.trouble not in again:
                    raise _CallError(operation, error.code) from error
                await self._wait(operation, error.code, pauses)
                continue
            try:
                return read(answer)
            except ValueError:
                # Without its cause: a decoder's message would quote what it read.
                raise _CallError(operation, "the answer cannot be read") from None

    async def _wait(self, operation: str, why: str, pauses: Iterator[float]) -> None:
        pause = next(pauses, None)
        if pause is None:
            raise _CallError(operation, why)
        await self._pace.sleep(pause * (0.5 + self._pace.draw() / 2))


class _CallError(StoreError):
    def __init__(self, operation: str, code: str) -> None:
        super().__init__(f"DynamoDB failed at {operation}: {code}.")
        self.code = code


def _groups(values: Sequence[T], most: int) -> Iterator[list[T]]:
    for start in range(0, len(values), most):
        yield list(values[start : start + most])


def _key(key: RowKey) -> _Key:
    return _Key(_Text(key[0]), _Text(key[1]))


def _item(row: Row) -> _Item:
    return _Item(
        pk=_Text(row.pk),
        sk=_Text(row.sk),
        data=_Bytes(row.data),
        expires_at=_number(row.expires_at),
        stored_at=_number(row.stored_at),
        org=_Text(row.org) if row.org else UNSET,
    )


def _number(value: int) -> _Number | UnsetType:
    return _Number(str(value)) if value else UNSET


def _row(item: _Item) -> Row:
    return Row(
        pk=item.pk.value,
        sk=item.sk.value,
        data=item.data.value if item.data else _counted(item),
        expires_at=int(item.expires_at.value) if item.expires_at else 0,
        stored_at=int(item.stored_at.value) if item.stored_at else 0,
        org=item.org.value if item.org else "",
    )


def _counted(item: _Item) -> bytes:
    return item.counted.value.encode() if item.counted else b""


def _read_added(answer: bytes) -> int:
    return int(_decode_added(answer).attributes.counted.value)


def _read_got(answer: bytes) -> tuple[list[Row], list[Raw]]:
    got = _decode_got(answer)
    rows = [_row(item) for items in got.responses.values() for item in items]
    return rows, [key for left in got.unprocessed.values() for key in left.keys]


def _read_left(answer: bytes) -> list[Raw]:
    return [one for some in _decode_written(answer).unprocessed.values() for one in some]


def _read_page(answer: bytes) -> tuple[list[Row], Raw | None]:
    page = _decode_page(answer)
    return [_row(item) for item in page.items], page.last if present(page.last) else None


def _raw(value: object) -> Raw:
    return Raw(_bytes("a batch", value))


def _bytes(operation: str, value: object) -> bytes:
    try:
        return _encode(value)
    except UnicodeError:
        # Without its cause, which quotes the text.
        raise StoreError(f"{operation} was given text that is not Unicode.") from None
