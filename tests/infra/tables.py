"""A DynamoDB table as the deployment makes it, and a store over it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import msgspec

from infra.aws import Process
from infra.aws_json import AwsJson
from infra.clock import SystemClock
from infra.dynamodb import DYNAMODB, DynamoStore
from infra.http import HttpUpstream

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "us-east-1",
}
_numbers = count()


async def create_table(service: AwsJson, name: str) -> None:
    keys = {"pk": "HASH", "sk": "RANGE"}
    table = {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": k, "AttributeType": "S"} for k in keys],
        "KeySchema": [{"AttributeName": k, "KeyType": kind} for k, kind in keys.items()],
    }
    await service.call("CreateTable", msgspec.json.encode(table))
    expiry = {"AttributeName": "expires_at", "Enabled": True}
    body = msgspec.json.encode({"TableName": name, "TimeToLiveSpecification": expiry})
    await service.call("UpdateTimeToLive", body)


def named() -> str:
    return f"cutwater-{next(_numbers)}"


def service_at(url: str, upstream: HttpUpstream) -> AwsJson:
    clock = SystemClock()
    return AwsJson(DYNAMODB, upstream, Process(ENVIRONMENT, upstream, clock), clock, url)


@asynccontextmanager
async def table_at(url: str) -> AsyncIterator[DynamoStore]:
    """A store over a table of its own."""
    upstream, clock = HttpUpstream(), SystemClock()
    process = Process(ENVIRONMENT, upstream, clock)
    name = named()
    try:
        await create_table(service_at(url, upstream), name)
        yield DynamoStore(name, upstream, process, clock, url)
    finally:
        await upstream.close()
