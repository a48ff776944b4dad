"""Vertex AI: one path for each publisher's models, at a location's own host.

Google's models speak Gemini, Anthropic's speak messages without `model`, and
the others speak OpenAI chat, most of them at one address that they share.
https://cloud.google.com/vertex-ai/generative-ai/docs/partner-models/use-partner-models
"""

import re
from collections.abc import Mapping
from typing import Final

from core.routes import DialectName, quote, segment
from core.routing import Candidate, base_url

_PUBLISHED: Final = re.compile(r"(?:publishers/)?(?P<publisher>[^/]+)/(?:models/)?(?P<model>[^/]+)")
_PUBLISHER_OF: Final[Mapping[DialectName, str]] = {"gemini": "google", "anthropic": "anthropic"}
_OWN_PATH: Final = frozenset({"mistralai", "ai21"})
"""Publishers whose models have a path each, though they speak OpenAI chat."""

_DEFAULT_LOCATION: Final[Mapping[DialectName, str]] = {"anthropic": "us-east5"}
_HOST: Final[Mapping[str, str]] = {
    "global": "aiplatform.googleapis.com",
    "eu": "aiplatform.eu.rep.googleapis.com",
    "us": "aiplatform.us.rep.googleapis.com",
}
_DATED: Final = re.compile(r"(claude-.+)-(\d{8})")
"""Anthropic writes claude-x-20250929, Vertex claude-x@20250929."""


def _published(candidate: Candidate, dialect: DialectName) -> tuple[str, str]:
    """The publisher and the name it gave the model."""
    name = candidate.model.removeprefix("models/")
    if found := _PUBLISHED.fullmatch(name):
        return found["publisher"], found["model"]
    return _PUBLISHER_OF.get(dialect, "meta"), name


def location(candidate: Candidate, dialect: DialectName) -> str:
    """What the settings say, else a usual one, else where the model is at all."""
    if candidate.endpoint.metadata.location:
        return candidate.endpoint.metadata.location
    usual, regions = _DEFAULT_LOCATION.get(dialect, "us-central1"), candidate.facts.regions
    return usual if usual in regions or not regions else regions[0]


def _versioned(model: str) -> str:
    found = _DATED.fullmatch(model)
    return f"{found[1]}@{found[2]}" if found else model


def url(candidate: Candidate, path: str, dialect: DialectName, streams: bool) -> str:
    where = location(candidate, dialect)
    base = base_url(candidate) or "https://" + _HOST.get(
        where, f"{where}-aiplatform.googleapis.com"
    )
    project = quote(candidate.endpoint.metadata.project or "")
    base = f"{base}/v1/projects/{project}/locations/{quote(where)}"
    publisher, model = _published(candidate, dialect)
    if dialect == "gemini":
        # The dialect's own path says the method: `/models/{model}:generateContent`.
        return f"{base}/publishers/{segment(publisher)}{path.replace('{model}', segment(model))}"
    if path.endswith("/count_tokens"):
        # One address for every model: the body names it.
        return f"{base}/publishers/{segment(publisher)}/models/count-tokens:rawPredict"
    if dialect == "anthropic" or publisher in _OWN_PATH:
        model = _versioned(model)
        verb = "streamRawPredict" if streams else "rawPredict"
        return f"{base}/publishers/{segment(publisher)}/models/{segment(model)}:{verb}"
    return f"{base}/endpoints/openapi{path}"


def model_name(candidate: Candidate) -> str:
    """What a body calls the model, where one does."""
    if candidate.dialect == "anthropic":
        return _versioned(_published(candidate, "anthropic")[1])
    if candidate.dialect != "openai_chat":
        return candidate.model
    publisher, model = _published(candidate, "openai_chat")
    return model if publisher in _OWN_PATH else f"{publisher}/{model}"
