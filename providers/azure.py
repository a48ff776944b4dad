"""Azure OpenAI: where a deployment is, and tokens of Entra ID.

The classic API names the deployment in the path and wants an api-version; the
v1 API (a base that ends with /openai/v1) wants neither.
https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle
"""

from collections.abc import Mapping
from typing import Any, Final

from core import authorization, realtime_address
from core.authorization import Auth, Authorization, Call, Step, TokenExchange
from core.orgs import Endpoint
from core.routes import DialectName, quote, segment
from core.routing import Candidate, base_url

DEFAULT_VERSION: Final = "2023-07-01-preview"
REALTIME_VERSION: Final = "2025-04-01-preview"
_V1: Final = "/openai/v1"
_V1_VERSIONS: Final = frozenset({"preview", "latest", "v1"})
_SCOPE: Final = "https://cognitiveservices.azure.com/.default"

OLDER: Final[Mapping[str, tuple[str, str | None]]] = {
    "seed": ("2023-12-01-preview", None),
    "parallel_tool_calls": ("2024-08-01-preview", None),
    "stream_options": ("2024-09-01-preview", None),
    "max_completion_tokens": ("2024-09-01-preview", "max_tokens"),
}
"""Fields, the api-version that brought them, and what they were called before."""
SINCE: Final[Mapping[DialectName, str]] = {"openai_responses": "2025-03-01-preview"}
"""Dialects likewise."""


def _is_v1(candidate: Candidate) -> bool:
    return base_url(candidate).endswith(_V1)


def version(candidate: Candidate) -> str | None:
    """The api-version to say; None: whatever is newest."""
    said = candidate.endpoint.metadata.api_version
    if _is_v1(candidate):
        return said if said in _V1_VERSIONS else None
    return said or DEFAULT_VERSION


def url(candidate: Candidate, path: str, dialect: DialectName, _streams: bool) -> str:
    metadata = candidate.endpoint.metadata
    base, said = base_url(candidate), version(candidate)
    query = f"?api-version={quote(said)}" if said else ""
    if _is_v1(candidate) or metadata.no_named_deployment:
        return base + path + query
    base = base.removesuffix("/openai") + "/openai"
    if dialect == "openai_responses":
        return base + path + query
    return f"{base}/deployments/{segment(_deployment(candidate))}{path}{query}"


def _deployment(candidate: Candidate) -> str:
    # Names of deployments could not hold a dot when these models came out.
    return candidate.endpoint.metadata.deployment or candidate.model.replace("gpt-3.5", "gpt-35")


def model_name(candidate: Candidate) -> str:
    """Only the v1 API reads the body's `model`: it is the deployment's name there."""
    deployment = candidate.endpoint.metadata.deployment
    return deployment if deployment and _is_v1(candidate) else candidate.model


def realtime(candidate: Candidate) -> tuple[str, str]:
    """The v1 API is the general one; the classic one speaks the beta and wants an api-version.

    https://learn.microsoft.com/azure/ai-foundry/openai/how-to/realtime-audio-websockets
    """
    name = quote(candidate.endpoint.metadata.deployment or candidate.model)
    path = realtime_address.path_of(candidate)
    if _is_v1(candidate):
        said = version(candidate)
        return path + (f"?api-version={quote(said)}" if said else ""), f"model={name}"
    query = f"?api-version={quote(candidate.endpoint.metadata.api_version or REALTIME_VERSION)}"
    if path != base_url(candidate) + "/realtime":  # By `endpoint_path`: Voice Live, for example.
        return path + query, f"model={name}"
    base = base_url(candidate).removesuffix("/openai") + "/openai"
    return f"{base}/realtime{query}", f"deployment={name}"


def _exchange(endpoint: Endpoint, secret: dict[str, Any], proof: dict[str, str]) -> TokenExchange:
    base = (endpoint.metadata.token_base or "https://login.microsoftonline.com").rstrip("/")
    where = f"{base}/{quote(secret['tenant_id'])}/oauth2/v2.0/token"
    fields = {
        "client_id": secret["client_id"],
        "tenant": secret["tenant_id"],
        "scope": authorization.optional_text(endpoint, secret, "scope") or _SCOPE,
        "grant_type": "client_credentials",
        **proof,
    }
    call = Call(url=where, headers=authorization.FORM, body=authorization.form_encoded(fields))
    return TokenExchange(
        cache_key=authorization.digest(where, *fields.values()),
        steps=(Step(call=lambda _before, _now: call, read=authorization.read_token),),
    )


def entra_api(endpoint: Endpoint) -> Authorization:
    """A client secret for a token."""
    secret = authorization.secret_document(endpoint, "client_id", "client_secret", "tenant_id")
    return _exchange(endpoint, secret, {"client_secret": secret["client_secret"]})


def entra_oidc(endpoint: Endpoint) -> Authorization:
    """A signed assertion of another identity provider for a token."""
    secret = authorization.secret_document(endpoint, "client_id", "client_assertion", "tenant_id")
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    proof = {"client_assertion_type": kind, "client_assertion": secret["client_assertion"]}
    return _exchange(endpoint, secret, proof)


AUTH_TYPES: Final[Mapping[str, Auth]] = {
    "api_key": "api-key",
    "entra_api": entra_api,
    "entra_oidc": entra_oidc,
    "entra_bearer": "bearer",
}
