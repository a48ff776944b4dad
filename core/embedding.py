"""An embeddings request -> what to send to a candidate: one attempt, or one for every few texts."""

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from core import envelope as envelopes
from core import passthrough, plan
from core.dialects import embeddings
from core.dialects.embedding_shapes import Shape, Vectors, Wanted, shape_of
from core.orgs import Timeouts
from core.passthrough import Forward
from core.plan import Attempt
from core.routing import Candidate


class Translation(Struct, frozen=True):
    shape: Shape
    wanted: Wanted

    def read(self, body: bytes, headers: Mapping[str, str]) -> Vectors:
        return embeddings.read(self.shape, body, headers)

    def render(self, replies: Sequence[Vectors]) -> bytes:
        return embeddings.render_reply(self.wanted, replies)


class Embedding(Struct, frozen=True, kw_only=True):
    """Without a translation the one attempt's answer goes back as it comes."""

    attempts: Sequence[Attempt]
    translation: Translation | None = None


def embedding(
    forward: Forward,
    candidate: Candidate,
    *,
    timeouts: Timeouts,
    strict: bool,
    own_key: bool = False,
) -> Embedding:
    """400 where the provider has no place for what is asked."""
    shape = shape_of(candidate.provider.embeddings, candidate.model)
    if shape is None:
        passed = passthrough.attempt(forward, candidate, timeouts=timeouts, own_key=own_key)
        return Embedding(attempts=[passed])
    wanted, dropped = _wanted(forward, shape, strict=strict)
    outgoing, needed = plan.addressed(
        candidate,
        shape.dialect,
        url=_url(candidate, shape),
        body=b"",
        headers=forward.headers,
        timeouts=timeouts,
        own_key=own_key,
    )
    attempts = [
        Attempt(
            outgoing=replace(outgoing, body=body),
            authorization=needed,
            candidate=candidate,
            dialect=shape.dialect,
            lane="neutral",
            streams=False,
            dropped=dropped,
        )
        for body in embeddings.bodies(wanted, shape, candidate.model)
    ]
    return Embedding(attempts=attempts, translation=Translation(shape, wanted))


def _wanted(forward: Forward, shape: Shape, *, strict: bool) -> tuple[Wanted, tuple[str, ...]]:
    """And what of it the shape has no place for."""
    wanted = embeddings.parse_request(envelopes.split(forward.body))
    dropped = embeddings.dropped(wanted, shape)
    if strict:
        plan.refuse_losses(dropped)
    return wanted, dropped


def _url(candidate: Candidate, shape: Shape) -> str:
    """`beside`: this path lies beside the one that the base URL ends with."""
    url = plan.address(candidate, shape.path, shape.dialect, False)
    for end in shape.beside:
        if url.endswith(end + shape.path):
            return url.removesuffix(end + shape.path) + shape.path
    return url
