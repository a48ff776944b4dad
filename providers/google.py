"""Google Cloud's access tokens: from a service account's key, or from another cloud's identity.

https://google.aip.dev/auth/4117 (external accounts), https://google.aip.dev/auth/4112
(service accounts). A subject token that lies in a file is not read: this
process runs where no such file is.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from core import authorization
from core.authorization import (
    Authorization,
    AwsStep,
    Call,
    CredentialError,
    Headers,
    Step,
    Token,
    TokenExchange,
)
from core.orgs import Endpoint
from core.sigv4 import AwsKeys, Scope, Signer, escape, sign

_CLOUD: Final = "https://www.googleapis.com/auth/cloud-platform"
_ISSUER: Final = "https://oauth2.googleapis.com/token"
_STS: Final = "https://sts.googleapis.com/v1/token"
_JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_ISSUED_TYPE: Final = "urn:ietf:params:oauth:token-type:access_token"
_ASSERTION_S: Final = 300
_IMPERSONATED_S: Final = 3600
_AWS_IDENTITY: Final = (
    "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"
)


def bearer(endpoint: Endpoint) -> Authorization:
    """A token as it is, or the JSON document of a credential that buys one."""
    if endpoint.secret is None or not endpoint.secret.lstrip().startswith("{"):
        return authorization.static("bearer", endpoint.secret)
    return document(endpoint)


def document(endpoint: Endpoint) -> Authorization:
    """The credential file that Google hands out, by its own `type`."""
    if endpoint.secret is None:
        return Headers({})
    found = authorization.secret_document(endpoint)
    if found.get("type") == "external_account":
        return _external_account(endpoint, found)
    return _service_account(endpoint)


def _service_account(endpoint: Endpoint) -> TokenExchange:
    secret = authorization.secret_document(endpoint, "client_email", "private_key")
    where = authorization.optional_text(endpoint, secret, "token_uri") or _ISSUER
    kid = authorization.optional_text(endpoint, secret, "private_key_id")
    if endpoint.metadata.token_base:
        where = endpoint.metadata.token_base.rstrip("/") + "/token"

    def call(_before: str, now: float) -> Call:
        fields = {"grant_type": _JWT_BEARER, "assertion": _assertion(secret, kid, where, now)}
        body = authorization.form_encoded(fields)
        return Call(url=where, headers=authorization.FORM, body=body)

    return TokenExchange(
        cache_key=authorization.digest(where, secret["client_email"], secret["private_key"]),
        steps=(Step(call=call, read=authorization.read_token),),
    )


def _assertion(secret: dict[str, Any], kid: str | None, audience: str, now: float) -> str:
    import jwt

    claims = {
        "iss": secret["client_email"],
        "scope": _CLOUD,
        "aud": audience,
        "iat": int(now),
        "exp": int(now) + _ASSERTION_S,
    }
    headers = None if kid is None else {"kid": kid}
    try:
        return jwt.encode(claims, secret["private_key"], algorithm="RS256", headers=headers)
    except (ValueError, TypeError, jwt.PyJWTError):
        # Without its cause, which might quote the key, and without the endpoint's name.
        raise CredentialError("cannot be used: its private_key is no RSA key.") from None


def _external_account(endpoint: Endpoint, found: dict[str, Any]) -> TokenExchange:
    secret = authorization.secret_document(endpoint, "audience", "subject_token_type")
    base = endpoint.metadata.token_base
    where = authorization.optional_text(endpoint, secret, "token_url") or _STS
    if base:
        where = base.rstrip("/") + "/v1/token"

    def exchange(subject: str, _now: float) -> Call:
        fields = {
            "grant_type": _EXCHANGE,
            "audience": secret["audience"],
            "scope": _CLOUD,
            "requested_token_type": _ISSUED_TYPE,
            "subject_token": subject,
            "subject_token_type": secret["subject_token_type"],
        }
        body = authorization.form_encoded(fields)
        return Call(url=where, headers=authorization.FORM, body=body)

    steps: list[Step | AwsStep] = [
        _subject(endpoint, found),
        Step(call=exchange, read=authorization.read_token),
    ]
    name = "service_account_impersonation_url"
    if impersonate := authorization.optional_text(endpoint, secret, name):
        steps.append(_impersonation(impersonate))
    return TokenExchange(cache_key=authorization.digest(where, endpoint.secret), steps=tuple(steps))


def _subject(endpoint: Endpoint, secret: dict[str, Any]) -> Step | AwsStep:
    source: Any = secret.get("credential_source")
    match source:
        case {"environment_id": str(kind)} if kind.startswith("aws"):
            name = "regional_cred_verification_url"
            template = authorization.optional_text(endpoint, source, name)
            return _aws_subject(secret["audience"], template or _AWS_IDENTITY)
        case {"url": str(where)}:
            return _url_subject(endpoint, where, source)
        case _:
            raise authorization.unusable(
                endpoint, "its credential_source must have `url`, or an `environment_id` of AWS."
            )


def _url_subject(endpoint: Endpoint, where: str, source: Mapping[str, Any]) -> Step:
    headers = source.get("headers") or {}
    form = source.get("format") or {}
    if not isinstance(headers, dict) or not isinstance(form, dict):
        raise authorization.unusable(
            endpoint, "`headers` and `format` of its credential_source must be objects."
        )
    field = form.get("subject_token_field_name") if form.get("type") == "json" else None
    call = Call(method="GET", url=where, headers={k.lower(): str(v) for k, v in headers.items()})

    def read(body: bytes) -> Token:
        if field is None:
            return Token(_subject_token(body.decode().strip()), 0)
        return Token(_subject_token(msgspec.json.decode(body, type=dict[str, Any])[field]), 0)

    return Step(call=lambda _before, _now: call, read=read)


def _subject_token(found: object) -> str:
    if not isinstance(found, str) or not found:
        raise ValueError("This is no token.")
    return found


def _aws_subject(audience: str, template: str) -> AwsStep:
    """A signed request that tells AWS who sends it: Google sends it, and learns who we are."""

    def subject(keys: AwsKeys, region: str | None, now: float) -> str:
        where = template.replace("{region}", region or "us-east-1")
        given = {"x-goog-cloud-target-resource": audience}
        signer = Signer(keys, Scope(region or "us-east-1", "sts"))
        signed = sign("POST", where, given, b"", signer=signer, now=now)
        signed["host"] = where.partition("://")[2].partition("/")[0].partition("?")[0].lower()
        headers = [{"key": name, "value": value} for name, value in sorted(signed.items())]
        request = {"url": where, "method": "POST", "headers": headers}
        return escape(msgspec.json.encode(request).decode())

    return AwsStep(sign=subject)


class _Impersonated(Struct):
    access_token: str = msgspec.field(name="accessToken")

    def __repr__(self) -> str:
        return "<_Impersonated>"


def _impersonation(where: str) -> Step:
    body = msgspec.json.encode({"scope": [_CLOUD], "lifetime": f"{_IMPERSONATED_S}s"})

    def call(federated: str, _now: float) -> Call:
        headers = {"content-type": "application/json", "authorization": f"Bearer {federated}"}
        return Call(url=where, headers=headers, body=body)

    def read(answer: bytes) -> Token:
        token = msgspec.json.decode(answer, type=_Impersonated).access_token
        return Token(authorization.usable(token), _IMPERSONATED_S)

    return Step(call=call, read=read)


AUTH_TYPES: Final[Mapping[str, authorization.Auth]] = {
    "access_token": "bearer",
    "oauth_bearer": bearer,
    "service_account_key": document,
    "workload_identity_federation": document,
}
