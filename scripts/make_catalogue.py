"""Makes providers/models.json from a catalogue of facts: `make_catalogue.py PATH`.

PATH is a JSON object, model name -> facts, as docs/catalogue.md describes it.
What such a file gets wrong is mended here and nowhere else, so that a newer
one can be taken over by running this again. A model's flavor says where it is
asked: `/auto` goes by it.
"""

import re
import sys
from pathlib import Path
from typing import Any

import msgspec

TARGET = Path(__file__).resolve().parents[1] / "providers" / "models.json"

FLAVORS = (
    # The first pattern that is found in the name, for models that came as `chat`.
    ("moderation", r"moderation"),
    ("rerank", r"rerank"),
    ("embedding", r"embed"),
    ("realtime", r"realtime|-live\b"),
    ("video", r"\bsora-|\bveo-"),
    ("audio", r"\btts\b|whisper|transcribe|gpt-audio|audio-preview|native-audio"),
    ("image", r"dall-e|gpt-image|chatgpt-image|\bimagen-|[-.]\d+-image|-(pro|flash|lite)-image"),
    ("image", r"gpt-[\d.]+-image|flux-|stable-diffusion"),
)

RENAMED = {"in_mission_list": "documented", "retired_upstream": "retired"}
"""Flags: always listed whatever their age; withdrawn by their provider, still routed as asked."""

KEPT_OUT = {"fallback_models", "parent"}

_encode = msgspec.json.encode


def priced(read: float, write: float | None = None) -> dict[str, Any]:
    prices: dict[str, Any] = {"input_cost_per_mil_tokens": read}
    return prices if write is None else {**prices, "output_cost_per_mil_tokens": write}


def model(flavor: str, *providers: str, **facts: Any) -> dict[str, Any]:
    shape = {"google": "google", "vertex": "google", "bedrock": "converse"}
    fits = shape.get(providers[0], "openai")
    return {"format": fits, "flavor": flavor, "providers": list(providers), **facts}


def spoken(text: tuple[float, ...], sound: tuple[float, ...], *image: float) -> dict[str, Any]:
    """A realtime model of OpenAI's. Prices: read, read from its cache, written."""
    prices = dict(zip(("input", "input_cache_read", "output"), text, strict=True))
    prices |= dict(
        zip(("input_audio", "input_cache_read_audio", "output_audio"), sound, strict=True)
    )
    prices |= dict(zip(("input_image", "input_cache_read_image"), image, strict=False))
    named = {f"{name}_cost_per_mil_tokens": price for name, price in prices.items()}
    return model("realtime", "openai", "azure", **named)


_REALTIME = spoken((4, 0.4, 16), (32, 0.4, 64), 5, 0.5)
_REALTIME_MINI = spoken((0.6, 0.06, 2.4), (10, 0.3, 20), 0.8, 0.08)
_PREVIEW = spoken((5, 2.5, 20), (40, 2.5, 80))
_FIRST_PREVIEW = spoken((5, 2.5, 20), (100, 20, 200))
_MINI_PREVIEW = spoken((0.6, 0.3, 2.4), (10, 0.3, 20))

ADDED = {
    # Where each price comes from stands in docs/catalogue.md.
    "gpt-realtime": _REALTIME,
    "gpt-realtime-2025-08-28": _REALTIME,
    "gpt-realtime-1.5": _REALTIME,
    "gpt-realtime-2.1": spoken((4, 0.4, 24), (32, 0.4, 64), 5, 0.5),
    "gpt-realtime-2.1-mini": _REALTIME_MINI,
    "gpt-realtime-mini": _REALTIME_MINI,
    "gpt-realtime-mini-2025-10-06": _REALTIME_MINI,
    "gpt-4o-realtime-preview": _PREVIEW,
    "gpt-4o-realtime-preview-2024-10-01": _FIRST_PREVIEW,
    "gpt-4o-realtime-preview-2024-12-17": _PREVIEW,
    "gpt-4o-realtime-preview-2025-06-03": _PREVIEW,
    "gpt-4o-mini-realtime-preview": _MINI_PREVIEW,
    "gpt-4o-mini-realtime-preview-2024-12-17": _MINI_PREVIEW,
    "gemini-2.0-flash-live-001": model("realtime", "google"),
    "gemini-live-2.5-flash-preview": model("realtime", "google"),
    "imagen-4.0-generate-001": model("image", "google", "vertex"),
    "imagen-4.0-fast-generate-001": model("image", "google", "vertex"),
    "imagen-4.0-ultra-generate-001": model("image", "google", "vertex"),
    "text-embedding-004": model("embedding", "vertex", "google"),
    "text-embedding-005": model("embedding", "vertex"),
    "text-multilingual-embedding-002": model("embedding", "vertex"),
    "mistral-embed": model("embedding", "mistral", **priced(0.1)),
    "codestral-embed": model("embedding", "mistral", **priced(0.15)),
    "mistral-moderation-latest": model("moderation", "mistral", **priced(0.1)),
    "embed-v4.0": model("embedding", "cohere", **priced(0.12)),
    "embed-english-v3.0": model("embedding", "cohere", **priced(0.1)),
    "embed-english-light-v3.0": model("embedding", "cohere", **priced(0.1)),
    "embed-multilingual-v3.0": model("embedding", "cohere", **priced(0.1)),
    "embed-multilingual-light-v3.0": model("embedding", "cohere", **priced(0.1)),
    "voyage-3-large": model("embedding", "voyage", **priced(0.18)),
    "voyage-3.5": model("embedding", "voyage", **priced(0.06)),
    "voyage-3.5-lite": model("embedding", "voyage", **priced(0.02)),
    "voyage-3": model("embedding", "voyage", **priced(0.06)),
    "voyage-3-lite": model("embedding", "voyage", **priced(0.02)),
    "voyage-code-3": model("embedding", "voyage", **priced(0.18)),
    "voyage-4": model("embedding", "voyage", **priced(0.06)),
    "amazon.titan-embed-text-v1": model("embedding", "bedrock", **priced(0.1)),
    "amazon.titan-embed-text-v2:0": model("embedding", "bedrock", **priced(0.02)),
    "amazon.nova-2-multimodal-embeddings-v1:0": model("embedding", "bedrock", multimodal=True),
    "cohere.embed-english-v3": model("embedding", "bedrock", **priced(0.1)),
    "cohere.embed-multilingual-v3": model("embedding", "bedrock", **priced(0.1)),
    "cohere.embed-v4:0": model("embedding", "bedrock", **priced(0.12), multimodal=True),
    "us.cohere.embed-v4:0": model("embedding", "bedrock", **priced(0.12), multimodal=True),
    "nomic-embed-text": model("embedding", "ollama"),
    "mxbai-embed-large": model("embedding", "ollama"),
    "all-minilm": model("embedding", "ollama"),
    "bge-m3": model("embedding", "ollama"),
}


def flavor_of(name: str, said: str) -> str:
    if said != "chat":
        return said
    return next((flavor for flavor, found in FLAVORS if re.search(found, name)), said)


def mend(name: str, facts: dict[str, Any]) -> dict[str, Any]:
    kept = {RENAMED.get(key, key): value for key, value in facts.items() if key not in KEPT_OUT}
    return {**kept, "flavor": flavor_of(name, facts["flavor"])}


def make(document: dict[str, Any]) -> bytes:
    models = {**ADDED, **{name: mend(name, facts) for name, facts in document.items()}}
    lines = [_encode(name) + b": " + _encode(models[name]) for name in sorted(models)]
    return b"{\n" + b",\n".join(lines) + b"\n}\n"


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} PATH_OF_A_CATALOGUE")
    document = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=dict[str, dict[str, Any]])
    TARGET.write_bytes(make(document))
    sys.stdout.write(f"{TARGET.name}: {len(document)} models taken over\n")


if __name__ == "__main__":
    main()
