"""What API Gateway asks of a function about a WebSocket: may it connect, and what came by it.

`$connect` is the only event with headers, query and subprotocols. Who is not known is refused
with a status, which costs one short invocation; all other refusals are told by the process that
serves the session, as an `error` event on an open connection, which browsers can read.

Frames and ends go into the mailbox without a function, by API Gateway's own integration, or by
this one where the template says so. A process that ended without a word is told here as well.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from core import options, realtime_address, routes
from core.errors import CutwaterError, NotFoundError
from core.ports import StoreError
from core.relay import handed, mailbox
from core.relay.handed import Handed
from handlers import realtime_opening, realtime_session
from handlers.realtime_opening import Permit
from handlers.realtime_session import Gateway

Event = Mapping[str, Any]
Answer = dict[str, Any]

PATH: Final = "/v1/realtime"
"""API Gateway knows one address; what other paths say is said in the query and in headers."""
_DONE: Final[Answer] = {"statusCode": 200}
_LATER: Final[Answer] = {"statusCode": 503}


async def answer(gateway: Gateway, event: Event) -> Answer:
    """For whatever the function is invoked with."""
    if "requestPayload" in event:
        await realtime_session.crashed(gateway, handed.read_start(event["requestPayload"]))
        return _DONE
    context = event["requestContext"]
    try:
        match context["eventType"]:
            case "CONNECT":
                return await _connect(gateway, event)
            case "DISCONNECT":
                return await _left(gateway, context)
            case _:
                return await _said(gateway, event)
    except StoreError as error:
        gateway.log.warning("realtime_table", error=str(error))
        return _LATER


async def _said(gateway: Gateway, event: Event) -> Answer:
    context = event["requestContext"]
    row = mailbox.frame_row(
        context["connectionId"],
        int(context["requestTimeEpoch"]),
        context["messageId"],
        event.get("body") or "",
    )
    await gateway.mailbox.put([row])
    return _DONE


async def _left(gateway: Gateway, context: Mapping[str, Any]) -> Answer:
    row = mailbox.left_row(
        context["connectionId"],
        int(context["requestTimeEpoch"]),
        context["requestId"],
        str(context.get("disconnectStatusCode") or ""),
        str(context.get("disconnectReason") or ""),
    )
    await gateway.mailbox.put([row])
    return _DONE


async def _connect(gateway: Gateway, event: Event) -> Answer:
    context = event["requestContext"]
    connection, connected_ms = context["connectionId"], int(context["connectedAt"])
    headers, query = _headers(event), _query(event)
    offered = _offered(headers)
    request_id = gateway.services.fresh_id()
    try:
        route = routes.resolve("GET", PATH, options.collect(_raw(headers)))
        if route.kind != "realtime":
            raise NotFoundError("There is no WebSocket here.")
        exchange = realtime_opening.exchange_of(
            gateway.services, route, _raw(headers), query, offered, request_id
        )
        permit = await realtime_opening.identify(exchange)
    except CutwaterError as error:
        gateway.log.info(
            "realtime_refused", request_id=request_id, status=error.status, code=error.code
        )
        return {"statusCode": error.status}
    given = Handed(
        request_id=request_id,
        path=PATH,
        headers=headers,
        query=query,
        offered=offered,
        connected_ms=connected_ms,
        since_ms=connected_ms - mailbox.OVERLAP_MS,
        **_permitted(permit),
    )
    start = await realtime_session.prepare_start(gateway, connection, 1, given)
    if not await gateway.mailbox.begin(connection, connected_ms // 1000 + mailbox.KEPT_S):
        return {"statusCode": 409}
    await gateway.invoke(handed.start_event(start))
    chosen = realtime_address.answered_subprotocol(offered)
    # API Gateway takes a connection only where one of what was offered is answered.
    return _DONE if chosen is None else {**_DONE, "headers": {"Sec-WebSocket-Protocol": chosen}}


def _permitted(permit: Permit) -> dict[str, Any]:
    access = permit.access
    return {
        "org_name": access.org_name,
        "own_key": access.org is None,
        "key": access.key,
        "scopes": permit.scopes,
        "credential": access.credential,
        "left_usd": permit.left_usd,
    }


def _headers(event: Event) -> list[tuple[str, str]]:
    """With all values of those that came more than once."""
    several: Mapping[str, list[str]] = event.get("multiValueHeaders") or {}
    single: Mapping[str, str] = event.get("headers") or {}
    found = [(name, value) for name, values in several.items() for value in values]
    found += [(name, value) for name, value in single.items() if name not in several]
    return [(name.lower(), _latin(value)) for name, value in found]


def _latin(value: str) -> str:
    return value.encode("latin-1", "replace").decode("latin-1")


def _query(event: Event) -> str:
    """As it stood in the URL; API Gateway tells it decoded."""
    several: Mapping[str, list[str]] = event.get("multiValueQueryStringParameters") or {}
    single: Mapping[str, str] = event.get("queryStringParameters") or {}
    pairs = [(name, value) for name, values in several.items() for value in values]
    pairs += [(name, value) for name, value in single.items() if name not in several]
    return "&".join(f"{routes.quote(name)}={routes.quote(value)}" for name, value in pairs)


def _offered(headers: Iterable[tuple[str, str]]) -> list[str]:
    said = ",".join(value for name, value in headers if name == "sec-websocket-protocol")
    return [one for one in (part.strip() for part in said.split(",")) if one]


def _raw(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
