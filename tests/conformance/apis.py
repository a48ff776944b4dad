"""The recorded APIs of the matrix, each with the endpoint that reaches it, and those left out.

An endpoint is said to speak the recording's own dialect and no other, so that
one of the five clients goes through the pass lane and four are translated.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from core.routes import DialectName
from tests import corpus
from tests.corpus import Recording


class Api(Struct, frozen=True, kw_only=True):
    name: str
    """As the recordings call it."""
    dialect: DialectName
    type: str = "custom"
    """Of the endpoint, as in providers/catalog.py."""
    base: str = "/v1"
    """What follows the replay server's address in `api_base`."""
    metadata: Mapping[str, Any] = {}
    claude_only: bool = False
    restated: bool = False
    """The provider's answers are written anew for its own dialect's clients too."""

    def recordings(self) -> Iterator[Recording]:
        for recording in corpus.recordings(self.name):
            if not self.claude_only or _in_messages(recording):
                yield recording

    def model(self, recording: Recording) -> str:
        """A name that the settings list, whose end asks for the recording."""
        return f"recorded-{recording.tail}"

    def endpoint(self, url: str, **metadata: Any) -> dict[str, Any]:
        listed = {
            self.model(recording): {"format": _FORMATS[self.dialect], "flavor": "chat"}
            for recording in self.recordings()
        }
        known = {
            "api_base": url + self.base,
            "customModels": listed,
            "dialects": [self.dialect],
            **self.metadata,
            **metadata,
        }
        return {"name": "recorded", "type": self.type, "secret": "k", "metadata": known}


def _in_messages(recording: Recording) -> bool:
    """Bedrock takes each maker's own body there: only Claude's newer one is asked in messages."""
    return "anthropic_version" in (recording.request.body or {})


_FORMATS: Final[Mapping[DialectName, str]] = {
    "openai_chat": "openai",
    "openai_responses": "openai",
    "anthropic": "anthropic",
    "gemini": "google",
    "converse": "converse",
}
_AWS: Final = {"region": "us-east-1", "access_key": "AKIATEST"}
_GOOGLE_CLOUD: Final = {
    "project": "test-project",
    "location": "us-central1",
    "auth_type": "access_token",
}


def _chat(name: str, type: str = "custom", **more: Any) -> Api:
    return Api(name=f"{name}.chat", dialect="openai_chat", type=type, **more)


def _responses(name: str, type: str = "custom", **more: Any) -> Api:
    return Api(name=f"{name}.responses", dialect="openai_responses", type=type, **more)


APIS: Final = (
    _chat("openai", "openai"),
    _responses("openai", "openai"),
    _chat("azure", "azure", base=""),
    _responses("azure", "azure", base="/openai/v1"),
    Api(name="anthropic.messages", dialect="anthropic", type="anthropic"),
    Api(name="bedrock.converse", dialect="converse", type="bedrock", base="", metadata=_AWS),
    Api(name="bedrock.converse-stream", dialect="converse", type="bedrock", base="", metadata=_AWS),
    Api(
        name="bedrock.invoke",
        dialect="anthropic",
        type="bedrock",
        base="",
        metadata=_AWS,
        claude_only=True,
    ),
    Api(
        name="bedrock.invoke-with-response-stream",
        dialect="anthropic",
        type="bedrock",
        base="",
        metadata=_AWS,
        claude_only=True,
    ),
    _chat("bedrock-mantle"),
    _responses("bedrock-mantle"),
    Api(name="google.generateContent", dialect="gemini", type="google", base="/v1beta"),
    Api(name="google.streamGenerateContent", dialect="gemini", type="google", base="/v1beta"),
    Api(name="google.openai-chat", dialect="openai_chat", base="/v1beta/openai"),
    Api(
        name="vertex.generateContent",
        dialect="gemini",
        type="vertex",
        base="",
        metadata=_GOOGLE_CLOUD,
    ),
    Api(
        name="vertex.streamGenerateContent",
        dialect="gemini",
        type="vertex",
        base="",
        metadata=_GOOGLE_CLOUD,
    ),
    _chat("mistral", "mistral", restated=True),
    _chat("together", "together"),
    _chat("groq", "groq", base="/openai/v1"),
    _chat("perplexity", "perplexity", base=""),
    _chat("cerebras", "cerebras"),
    _chat("xai", "xAI"),
    _responses("xai", "xAI"),
    _chat("deepseek", "deepseek"),
    _responses("deepseek", "deepseek"),
    _chat("openrouter", "openrouter", base="/api/v1"),
    _responses("openrouter", "openrouter", base="/api/v1"),
    _chat("ollama", "ollama"),
    _chat("alibaba"),
    _chat("crusoe"),
    _chat("gpustack"),
    _chat("heroku"),
    _chat("huggingface"),
    _chat("openai-compatible"),
    _chat("snowflake"),
    _chat("vllm"),
    _chat("writer", metadata={"endpoint_path": "/chat"}),
    _chat("zai"),
)

_NO_CHAT: Final = "No answer of a model to a conversation: its bytes go through, or it is refused."
_SMALL: Final = "No conversation; `tests/e2e/test_shapes_over_recordings.py` compares it."
_REALTIME: Final = "A WebSocket, which none of these five clients opens."
_NATIVE: Final = "A format of this provider alone, which Cutwater does not speak: {}"

LEFT_OUT: Final[Mapping[str, str]] = {
    "anthropic.complete": _NATIVE.format("Anthropic's API before messages, since retired."),
    "anthropic.count_tokens": _SMALL,
    "anthropic.models": _NO_CHAT,
    "azure-voice-live.realtime": _REALTIME,
    "azure.embeddings": _SMALL,
    "azure.realtime": _REALTIME,
    "azure.realtime-client-secrets": _NO_CHAT,
    "bedrock-mantle.models": _NO_CHAT,
    "bedrock.count-tokens": _NO_CHAT,
    "cerebras.models": _NO_CHAT,
    "cohere.v1-chat": _NATIVE.format("Cohere is asked at its OpenAI-compatible address."),
    "cohere.v1-generate": _NATIVE.format("Cohere is asked at its OpenAI-compatible address."),
    "cohere.v1-rerank": _NO_CHAT,
    "cohere.v2-chat": _NATIVE.format("Cohere is asked at its OpenAI-compatible address."),
    "cohere.v2-embed": _SMALL,
    "cohere.v2-rerank": _NO_CHAT,
    "google.countTokens": _NO_CHAT,
    "google.embedContents": _SMALL,
    "google.interactions": _NATIVE.format("Google is asked for generateContent."),
    "google.live": _REALTIME,
    "google.models": _NO_CHAT,
    "mistral.embeddings": _SMALL,
    "mistral.ocr": _NO_CHAT,
    "mistral.speech": _NO_CHAT,
    "ollama.native-chat": _NATIVE.format("Ollama is asked at its OpenAI-compatible address."),
    "ollama.native-embeddings": _NO_CHAT,
    "ollama.native-generate": _NATIVE.format("Ollama is asked at its OpenAI-compatible address."),
    "openai-compatible.completions": _SMALL,
    "openai.completions": _SMALL,
    "openai.embeddings": _SMALL,
    "openai.images": _SMALL,
    "openai.moderations": _SMALL,
    "openai.realtime": _REALTIME,
    "openai.realtime-client-secrets": _NO_CHAT,
    "openai.speech": _SMALL,
    "openai.transcriptions": _SMALL,
    "openrouter.embeddings": _NO_CHAT,
    "openrouter.images": _NO_CHAT,
    "openrouter.rerank": _NO_CHAT,
    "openrouter.speech": _NO_CHAT,
    "perplexity.embeddings": _NO_CHAT,
    "perplexity.models": _NO_CHAT,
    "replicate.predictions": _NATIVE.format("Replicate is asked at its OpenAI-compatible address."),
    "replicate.stream": _NATIVE.format("Replicate is asked at its OpenAI-compatible address."),
    "together.completions": _NO_CHAT,
    "vertex.countTokens": _NO_CHAT,
    "vertex.embedContent": _SMALL,
    "vertex.predict": _SMALL,
    "vllm.completions": _SMALL,
    "vllm.embeddings": _NO_CHAT,
    "voyage.embeddings": _SMALL,
    "voyage.rerank": _NO_CHAT,
    "writer.completions": _NO_CHAT,
    "xai.images": _NO_CHAT,
    "xai.realtime": _REALTIME,
}
"""By API, why no client of the matrix asks for it."""

NOT_CLAUDE: Final = (
    "What other makers' models take and give at InvokeModel, and Claude's oldest body: Cutwater "
    "asks those models in Converse."
)
"""Why recordings of `bedrock.invoke*` are left out one by one."""
