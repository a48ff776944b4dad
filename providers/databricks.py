"""Databricks: a serving endpoint is a path, and a service principal's secret buys a token.

https://docs.databricks.com/aws/en/dev-tools/auth/oauth-m2m
"""

from base64 import b64encode
from collections.abc import Mapping
from typing import Final

from core import authorization
from core.authorization import Auth, Authorization, Call, Step, TokenExchange
from core.orgs import Endpoint
from core.routes import DialectName, segment
from core.routing import Candidate, base_url


def url(candidate: Candidate, _path: str, _dialect: DialectName, _streams: bool) -> str:
    return f"{base_url(candidate)}/serving-endpoints/{segment(candidate.model)}/invocations"


def service_principal(endpoint: Endpoint) -> Authorization:
    secret = authorization.secret_document(endpoint, "client_id", "client_secret")
    metadata = endpoint.metadata
    base = (metadata.token_base or metadata.api_base or "").rstrip("/")
    basic = b64encode(f"{secret['client_id']}:{secret['client_secret']}".encode()).decode()
    call = Call(
        url=f"{base}/oidc/v1/token",
        headers={**authorization.FORM, "authorization": f"Basic {basic}"},
        body=b"grant_type=client_credentials&scope=all-apis",
    )
    return TokenExchange(
        cache_key=authorization.digest(call.url, basic),
        steps=(Step(call=lambda _before, _now: call, read=authorization.read_token),),
    )


AUTH_TYPES: Final[Mapping[str, Auth]] = {
    "pat": "bearer",
    "service_principal_oauth": service_principal,
}
