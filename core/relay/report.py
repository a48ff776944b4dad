"""What the log says of a session, with the names of OpenTelemetry's GenAI conventions.

https://opentelemetry.io/docs/specs/semconv/gen-ai/
"""

from typing import Any

from msgspec import Struct

from core.realtime_usage import Usage
from core.relay.closing import Close
from core.relay.session import Responded, Totals
from core.relay.transcript import Turn


class About(Struct, frozen=True, kw_only=True):
    """Of one session, known when it begins."""

    request_id: str
    org: str
    model: str
    provider: str
    endpoint: str
    attempts: int = 1
    parent: str | None = None
    """`x-bt-parent`, or what a temporary credential says."""
    compress_audio: bool = False


class Report(Struct, frozen=True, kw_only=True):
    """A session that is over, with what was said in it: it goes to nobody but who asked."""

    about: About
    totals: Totals
    turns: tuple[Turn, ...]

    def __repr__(self) -> str:
        return f"<Report {self.about.request_id}>"


def of_response(about: About, record: Responded) -> dict[str, Any]:
    """Fields of the line `realtime_response`."""
    return {
        **_about(about),
        "gen_ai.response.id": record.response_id,
        "status": record.status,
        "code": record.code,
        "seconds": None if record.seconds is None else round(record.seconds, 3),
        "cost_usd": record.cost_usd,
        **_tokens(record.usage),
    }


def of_session(about: About, totals: Totals, close: Close | None) -> dict[str, Any]:
    """Fields of the line `realtime_session`. What was said is not among them."""
    return {
        **_about(about),
        "attempts": about.attempts,
        "seconds": round(totals.seconds, 3),
        "close_code": None if close is None else close.code,
        "responses": totals.responses,
        "responses_unpriced": totals.unpriced,
        "cost_usd": totals.cost_usd,
        "transcribed_s": totals.transcribed_s,
        "client_frames": totals.client_frames,
        "server_frames": totals.server_frames,
        "client_bytes": totals.client_bytes,
        "server_bytes": totals.server_bytes,
        "errors": totals.errors,
        **_tokens(totals.usage),
    }


def _about(about: About) -> dict[str, Any]:
    return {
        "request_id": about.request_id,
        "org": about.org,
        "gen_ai.operation.name": "realtime",
        "gen_ai.request.model": about.model,
        "gen_ai.provider.name": about.provider,
        "endpoint": about.endpoint,
        "parent": about.parent,
    }


def _tokens(usage: Usage | None) -> dict[str, int]:
    if usage is None:
        return {}
    return {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "input_audio_tokens": usage.input_audio,
        "output_audio_tokens": usage.output_audio,
        "cache_read_audio_tokens": usage.cached_audio,
        "reasoning_tokens": usage.reasoning,
    }
