"""A request to count tokens -> what to send to a candidate.

The client's bytes pass where the provider counts for that client's API.
Otherwise the request is written in a dialect whose tokens the provider counts:
not always the one in which it would be asked for the answer.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from core import envelope as envelopes
from core import passthrough, plan
from core.dialects import counting_shapes
from core.dialects.counting_shapes import SHAPES, Shape
from core.errors import BadRequestError
from core.orgs import Timeouts
from core.passthrough import Forward
from core.plan import Attempt
from core.routes import DialectName
from core.routing import Candidate

_API_OF: Final[Mapping[DialectName, DialectName]] = {"openai_responses": "openai_chat"}
"""Under which name the rest of an API goes through, where that is another one."""


class Counting(Struct, frozen=True, kw_only=True):
    attempt: Attempt
    shape: Shape | None = None
    """None: the answer goes back as it comes."""


def forwarded(forward: Forward) -> Forward:
    """The same request, for the pass lane."""
    route = forward.route
    return replace(forward, route=replace(route, dialect=_API_OF.get(route.dialect, route.dialect)))


def counting(
    forward: Forward, found: Iterable[Candidate], *, timeouts: Timeouts, own_key: bool = False
) -> Counting:
    """What the first of `found` that can count is sent: as it came, if one takes it so.

    400 where none can count.
    """
    found = list(found)
    for candidate in found:
        if passes(forward, candidate):
            attempt = passthrough.attempt(
                forwarded(forward), candidate, timeouts=timeouts, own_key=own_key
            )
            return Counting(attempt=attempt)
    for candidate in found:
        fit = [d for d in candidate.provider.counts if d in candidate.spoken]
        if fit:
            # The client's own where that is counted, else the provider's first.
            dialect = forward.route.dialect if forward.route.dialect in fit else fit[0]
            return _translated(forward, candidate, dialect, timeouts)
    types = ", ".join(sorted({candidate.endpoint.type for candidate in found}))
    raise BadRequestError(
        f"Tokens of `{(forward.model or '')[:200]}` cannot be counted: its provider ({types}) "
        "has no API for that. An answer's usage tells how many there were.",
        param="model",
    )


def passes(forward: Forward, candidate: Candidate) -> bool:
    dialect, provider = forward.route.dialect, candidate.provider
    known = dialect in provider.counts or provider.any_model or provider.whole_api
    if dialect not in candidate.spoken or not known:
        return False
    if dialect == "converse":
        return True
    if dialect == "gemini" and not _same_way(forward.body, candidate):
        return False
    return passthrough.answers(candidate, _API_OF.get(dialect, dialect))


def _same_way(body: bytes, candidate: Candidate) -> bool:
    """Whether a request of Google's one way to count can be read by the other, or is that one."""
    fields = envelopes.split(body)
    match candidate.provider.counts.get("gemini"):
        case "gemini_on_vertex":
            return "generateContentRequest" not in fields
        case "gemini":
            return "generateContentRequest" in fields or fields.keys() <= {"contents"}
        case _:
            return True


def _translated(
    forward: Forward, candidate: Candidate, dialect: DialectName, timeouts: Timeouts
) -> Counting:
    route, shape = forward.route, SHAPES[candidate.provider.counts[dialect]]
    asked = counting_shapes.opened(envelopes.split(forward.body), route.dialect)
    request = plan.read_chat(envelopes.join(asked), route)
    spoken = replace(candidate, dialect=dialect, spoken=(dialect,))
    made = plan.attempt(request, spoken, headers=forward.headers, timeouts=timeouts)
    fields = envelopes.split(made.outgoing.body)
    outgoing = replace(
        made.outgoing,
        url=plan.address(spoken, shape.path, dialect, False),
        body=msgspec.json.encode(shape.write(fields, candidate.body_model)),
    )
    return Counting(attempt=replace(made, outgoing=outgoing, lane="neutral"), shape=shape)
