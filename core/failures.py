"""What went wrong with one attempt, in the words of the failure table, and what to tell of it.

A status alone does not say it: a 400 may be a prompt that is too long for this
model, or a key that Google does not know; a 429 may be an unpaid bill. The
markers are what providers write today; what none of them fits goes by its
status. A reply's body must have lost the endpoint's keys before it comes here.
"""

import re
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from core import provider_errors, retry_after
from core.errors import CutwaterError, ProviderError, UpstreamError, UpstreamTimeoutError, untraced

Kind: TypeAlias = Literal[
    "rate_limited",
    "server_error",
    "unreachable",
    "broken",
    "silent",
    "no_token",
    "cut",
    "key_refused",
    "quota",
    "model_missing",
    "misdirected",
    "too_long",
    "refused",
    "unfit",
]


class Rule(Struct, frozen=True, kw_only=True):
    """What a kind of failure means for the rest of the request. Cooling: core/health.py."""

    again: int = 0
    """How often the same endpoint is tried again."""
    spends: Literal["way", "endpoint", "model"] = "way"
    """What is not tried any more in this request, after that."""
    tells: int = 0
    """Of several failures the one with the highest number is told."""


RULES: Final[Mapping[Kind, Rule]] = {
    # Comes back after a wait, as often as the limits of core/failover.py allow.
    "rate_limited": Rule(again=6, tells=5),
    "server_error": Rule(again=1, tells=5),
    "unreachable": Rule(again=1, tells=1),
    "broken": Rule(again=1, tells=2),
    "silent": Rule(spends="endpoint", tells=3),
    "no_token": Rule(tells=3),
    "cut": Rule(tells=2),
    "key_refused": Rule(tells=4),
    "quota": Rule(tells=4),
    "model_missing": Rule(tells=4),
    "misdirected": Rule(tells=1),
    "too_long": Rule(spends="model", tells=6),
    "refused": Rule(tells=7),
    "unfit": Rule(tells=0),
}


class Said(Struct, frozen=True, kw_only=True):
    """A provider's refusal as it came, for a client that speaks its dialect."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"<Said {self.status}>"


class Failure(Struct, frozen=True, kw_only=True):
    kind: Kind
    error: CutwaterError
    """What the caller is told if nothing else comes of the request."""
    status: int | None = None
    retry_after_s: float | None = None
    said: Said | None = None
    """None where `error` is to be told instead of the provider's own words."""


def of_reply(
    status: int, headers: Mapping[str, str], body: bytes, *, now: float, own_key: bool = False
) -> Failure:
    """A reply whose status is not 2xx. `own_key`: the key is the caller's."""
    if not 400 <= status < 600:
        return Failure(kind="misdirected", status=status, error=_no_answer(status))
    error = provider_errors.parse(status, body)
    return Failure(
        kind=_kind(error, own_key=own_key),
        error=error,
        status=status,
        retry_after_s=retry_after.seconds(headers, body, now) if status != 400 else None,
        said=Said(status=status, headers=headers, body=body),
    )


def of_error(error: CutwaterError, *, head: bool, own_key: bool = False) -> Failure:
    """What was raised instead of an answer. `head`: a reply with status 200 had begun."""
    untraced(error)
    if isinstance(error, ProviderError):
        return Failure(
            kind=_kind(error, own_key=own_key),
            error=error,
            status=error.status,
            retry_after_s=retry_after.in_words(error.message),
        )
    return Failure(kind=_kind_of_ours(error, head=head), error=error)


def _kind_of_ours(error: CutwaterError, *, head: bool) -> Kind:
    if isinstance(error, UpstreamTimeoutError):
        return "no_token" if head else "silent"
    if error.status < 500:
        return "unfit"
    return "broken" if head else "unreachable"


def _no_answer(status: int) -> UpstreamError:
    return UpstreamError(f"The provider answered with the status {status}, which is no answer.")


_KIND_OF_STATUS: Final[Mapping[int, Kind]] = {
    401: "key_refused",
    402: "quota",
    403: "key_refused",
    404: "model_missing",
    408: "server_error",
    409: "server_error",
    424: "server_error",  # Bedrock: the model itself failed.
    425: "server_error",
    429: "rate_limited",
    498: "server_error",  # Groq: no capacity for this tier.
    499: "server_error",
}
_ENDPOINTS_OWN: Final = frozenset({"key_refused", "quota", "model_missing"})
"""With the caller's own key these are the caller's."""

_TOO_LONG: Final = re.compile(
    r"context[ _]length|context[ _]window|context limit|maximum context|prompt is too long"
    r"|input is too long|too many (?:input )?tokens|maximum prompt length|reduce the length"
    r"|exceeds? the (?:maximum|model's) (?:number of|input|context|token)|string_above_max_length"
    r"|tokens.{1,40}too large for model",
    re.IGNORECASE,
)
_KEY_REFUSED: Final = re.compile(
    r"API[ _]key (?:not valid|expired)|incorrect API key", re.IGNORECASE
)
_QUOTA: Final = re.compile(
    r"credit balance is too low|insufficient_quota|billing_hard_limit|billing_not_active",
    re.IGNORECASE,
)
_MODEL_MISSING: Final = re.compile(
    r"model_not_found|model identifier is invalid|on-demand throughput isn.t supported"
    r"|DeploymentNotFound|invalid model name",
    re.IGNORECASE,
)
_MARKERS: Final[tuple[tuple[frozenset[int], re.Pattern[str], Kind], ...]] = (
    (frozenset({400, 413, 422}), _TOO_LONG, "too_long"),
    (frozenset({400}), _KEY_REFUSED, "key_refused"),
    (frozenset({400, 403, 429}), _QUOTA, "quota"),
    (frozenset({400, 403, 404}), _MODEL_MISSING, "model_missing"),
)
_READ: Final = 2000
"""Characters of a message that are looked at."""


def _kind(error: ProviderError, *, own_key: bool) -> Kind:
    said = f"{error.code or ''} {error.type} {error.message[:_READ]}"
    marked = (k for statuses, p, k in _MARKERS if error.status in statuses and p.search(said))
    by_status: Kind = "server_error" if error.status >= 500 else "refused"
    kind = next(marked, None) or _KIND_OF_STATUS.get(error.status, by_status)
    return "refused" if own_key and kind in _ENDPOINTS_OWN else kind


def of_endpoint(failure: Failure, label: str, model: str, *, known: bool = True) -> Failure:
    """With the endpoint named, where the failure is its own and no fault of the caller's.

    `known`: we hold that the endpoint serves the model; else its provider's word for it counts.
    """
    status, error = failure.status, failure.error
    match failure.kind:
        case "key_refused":
            said = (
                f"The provider refused the key of the endpoint `{label}` ({status}): "
                "check its secret."
            )
        case "quota":
            said = f"The account of the endpoint `{label}` is used up ({status}): {error.message}"
        case "model_missing" if known and status == 404:
            said = (
                f"The endpoint `{label}` does not serve the model `{model[:200]}` ({status}): "
                f"{error.message}"
            )
        case "misdirected" if status is not None and 300 <= status < 400:
            # Handed on, it would lead the client and its key somewhere else.
            said = (
                f"The provider of the endpoint `{label}` answered with a redirect: "
                "check its `api_base`."
            )
        case "misdirected":
            said = (
                f"The provider of the endpoint `{label}` answered with the status {status}, "
                "which is no answer."
            )
        case _:
            return failure
    return Failure(
        kind=failure.kind,
        error=UpstreamError(said),
        status=status,
        retry_after_s=failure.retry_after_s,
    )
