"""What `cutwater doctor` asks a running Cutwater: health, a slow stream, a token an endpoint.

Of an answer it keeps the status, an error's code and when its pieces came, and
nothing of what it says.
"""

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from core import listing
from core.checks import Answer, Trouble
from core.errors import CutwaterError
from core.orgs import Endpoint, Org
from core.ports import Outgoing, Upstream
from core.routing import IN_CLIENT, Model
from providers import catalog, models

WORDS: Final = "one two three four five six"
SLOW: Final = "demo-slow"
_CODE: Final = re.compile(r"[a-z_]{1,60}")
_MOST: Final = 1 << 20


class Caller(Struct, frozen=True):
    """Whose key is sent, and for which organisation. It has no repr."""

    key: str
    org: str | None = None

    def __repr__(self) -> str:
        return f"<Caller {self.org}>"


class _Error(Struct):
    code: str | None = None
    type: str | None = None


class _Body(Struct):
    error: _Error | None = None
    version: str = ""


async def health(upstream: Upstream, url: str) -> Answer | Trouble:
    return await _ask(upstream, "GET", url + "/health", {}, b"", seconds=10.0)


async def stream(upstream: Upstream, url: str, caller: Caller) -> Answer | Trouble:
    """The demo's slow words, as they arrive."""
    asked = {"model": SLOW, "stream": True, "messages": [{"role": "user", "content": WORDS}]}
    return await _post(upstream, url + "/chat/completions", caller, {}, asked)


async def one_token(
    upstream: Upstream, url: str, caller: Caller, endpoint: Endpoint, model: Model
) -> Answer | Trouble:
    asked: dict[str, Any]
    if model.flavor == "embedding":
        path, asked = "/embeddings", {"model": model.name, "input": "1"}
    else:
        message = {"role": "user", "content": "1"}
        path = "/chat/completions"
        asked = {"model": model.name, "messages": [message], "max_tokens": 1}
    headers = {"x-bt-endpoint-name": endpoint.name or "", "x-bt-use-cache": "never"}
    return await _post(upstream, url + path, caller, headers, asked)


def model_for(org: Org, endpoint: Endpoint, wanted: Sequence[str]) -> Model | None:
    """The first one of `wanted` that the endpoint serves, or else the cheapest it is known for."""
    alone = Org(name=org.name, endpoints=(endpoint,))
    listed = listing.usable(alone, models.entries(), models.lookup, catalog.PROVIDERS)
    served = {
        one.model.name: one.model
        for one in listed
        if endpoint.type in one.providers and one.model.format not in IN_CLIENT
    }
    if found := next((served[name] for name in wanted if name in served), None):
        return found
    fit = [model for model in served.values() if model.flavor in ("chat", "embedding")]
    return min(fit, key=_dearness, default=None)


def _dearness(model: Model) -> tuple[bool, bool, bool, float, str]:
    """Chat before embeddings; what thinks first may say nothing in one token."""
    price = model.costs.output if model.costs.output is not None else model.costs.input
    return (
        model.flavor != "chat",
        bool(model.facts.reasoning),
        price is None,
        price or 0.0,
        model.name,
    )


async def _post(
    upstream: Upstream, url: str, caller: Caller, headers: Mapping[str, str], asked: Any
) -> Answer | Trouble:
    whose = {} if caller.org is None else {"x-bt-org-name": caller.org}
    sent = {
        "authorization": f"Bearer {caller.key}",
        "content-type": "application/json",
        **whose,
        **headers,
    }
    return await _ask(upstream, "POST", url, sent, msgspec.json.encode(asked), seconds=60.0)


async def _ask(
    upstream: Upstream,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    seconds: float,
) -> Answer | Trouble:
    request = Outgoing(
        method=method,
        url=url,
        headers={"accept-encoding": "identity", **headers},
        body=body,
        once=True,
        connect_s=5.0,
        first_byte_s=seconds,
        idle_s=seconds,
        total_s=seconds,
    )
    began = time.monotonic()
    arrivals: list[float] = []
    kept = bytearray()
    try:
        async with upstream.send(request) as reply:
            async for chunk in reply.chunks():
                arrivals.append(time.monotonic() - began)
                if len(kept) < _MOST:
                    kept += chunk
            return _answer(reply.status, bytes(kept), tuple(arrivals))
    except CutwaterError as error:
        # Its message speaks of a provider, and here that is Cutwater.
        timed_out = error.status == 504
        return Trouble("no answer in time" if timed_out else "no connection, or it was cut off")


def _answer(status: int, body: bytes, arrivals: tuple[float, ...]) -> Answer:
    try:
        said = msgspec.json.decode(body, type=_Body)
    except (ValueError, RecursionError):
        said = _Body()
    error = said.error or _Error()
    code = next((one for one in (error.code, error.type) if one and _CODE.fullmatch(one)), "")
    return Answer(status=status, code=code, version=said.version[:40], arrivals=arrivals)
