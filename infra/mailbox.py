"""The table of realtime sessions: frames that API Gateway wrote, and who serves which session.

Reads are consistent: a frame that is read late is sent late, one that is not read is lost.
"""

from typing import Any, Final

from core.ports import Row, StoreError
from core.relay import mailbox
from infra.dynamodb import CLAIMED, DynamoStore

_OPEN: Final = "generation = :generation AND attribute_not_exists(ended)"


class DynamoMailbox(DynamoStore):
    """core.ports.Mailbox."""

    async def rows(self, pk: str, first: str, last: str) -> list[Row]:
        query = {
            "TableName": self._table,
            "ConsistentRead": True,
            "KeyConditionExpression": "pk = :pk AND sk BETWEEN :first AND :last",
            "ExpressionAttributeValues": {
                ":pk": {"S": pk},
                ":first": {"S": first},
                ":last": {"S": last},
            },
        }
        return [row async for row in self._pages("Query", query)]

    async def begin(self, connection: str, expires_at: int) -> bool:
        body = {
            "TableName": self._table,
            "Item": {
                **_session(connection),
                "generation": {"N": "1"},
                "expires_at": {"N": str(expires_at)},
            },
            "ConditionExpression": "attribute_not_exists(pk)",
        }
        return await self._done("PutItem", body)

    async def hold(self, connection: str, generation: int, holder: str, until_ms: int) -> bool:
        return await self._change(
            connection,
            generation,
            "SET holder = :holder, held_until = :until",
            only=" AND (attribute_not_exists(holder) OR holder = :holder)",
            values={":holder": {"S": holder}, ":until": {"N": str(until_ms)}},
        )

    async def succeed(self, connection: str, generation: int) -> bool:
        return await self._change(
            connection,
            generation,
            "SET generation = :next REMOVE holder, held_until",
            values={":next": {"N": str(generation + 1)}},
        )

    async def end(self, connection: str, generation: int) -> bool:
        return await self._change(
            connection, generation, "SET ended = :ended", values={":ended": {"BOOL": True}}
        )

    async def _change(
        self,
        connection: str,
        generation: int,
        update: str,
        *,
        values: dict[str, Any],
        only: str = "",
    ) -> bool:
        body = {
            "TableName": self._table,
            "Key": _session(connection),
            "UpdateExpression": update,
            "ConditionExpression": _OPEN + only,
            "ExpressionAttributeValues": {":generation": {"N": str(generation)}, **values},
        }
        return await self._done("UpdateItem", body)

    async def _done(self, operation: str, body: dict[str, Any]) -> bool:
        try:
            await self.call(operation, body)
        except StoreError as failed:
            if getattr(failed, "code", None) == CLAIMED:
                return False
            raise
        return True


def _session(connection: str) -> dict[str, Any]:
    return {"pk": {"S": mailbox.partition(connection)}, "sk": {"S": mailbox.SESSION}}
