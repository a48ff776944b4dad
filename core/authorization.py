"""What an endpoint must be told before it answers, decided without asking anybody.

Static headers are written at once. A token exchange and a signature need the
clock, the network or the process's own AWS keys: they are described here and
carried out by handlers/authorize.py, just before the request is sent.
"""

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from core.errors import UpstreamError
from core.orgs import Endpoint
from core.routes import shown
from core.sigv4 import AwsKeys, Scope, escape

AuthKind: TypeAlias = Literal[
    "bearer", "key-scheme", "x-api-key", "api-key", "x-goog-api-key", "none"
]
"""How a secret travels as it is."""

_USUAL_S: Final = 300.0
FORM: Final = {"content-type": "application/x-www-form-urlencoded"}
_HEADER: Final[Mapping[str, tuple[str, str]]] = {
    "bearer": ("authorization", "Bearer {}"),
    "key-scheme": ("authorization", "Api-Key {}"),
    "x-api-key": ("x-api-key", "{}"),
    "api-key": ("api-key", "{}"),
    "x-goog-api-key": ("x-goog-api-key", "{}"),
}


class CredentialError(Exception):
    """Why a token cannot be had, without whose it is: endpoints may share one.

    It ends a sentence that begins with the name of the endpoint.
    """

    def told(self, label: str) -> UpstreamError:
        return UpstreamError(f"The credential of the endpoint `{label}` {self}")


class Headers(Struct, frozen=True):
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return "<Headers>"


class Token(Struct, frozen=True):
    value: str
    expires_in: float
    """Seconds."""

    def __repr__(self) -> str:
        return "<Token>"


class Call(Struct, frozen=True, kw_only=True):
    """A request to whoever gives out tokens. It carries a secret: it has no repr."""

    method: str = "POST"
    url: str
    headers: Mapping[str, str] = {}
    body: bytes = b""

    def __repr__(self) -> str:
        return f"<Call {shown(self.url)}>"


class ProcessKeys(Struct, frozen=True):
    """The AWS keys of the role that this process runs as."""


class AssumedRole(Struct, frozen=True, kw_only=True):
    """Keys that STS gives for a role to whoever holds those of `base`."""

    role_arn: str
    external_id: str | None
    region: str
    base: AwsKeys | ProcessKeys
    url: str

    def __repr__(self) -> str:
        return f"<AssumedRole {self.role_arn}>"


KeySource: TypeAlias = AwsKeys | ProcessKeys | AssumedRole


class SigV4(Struct, frozen=True, kw_only=True):
    scope: Scope
    keys: KeySource


class Step(Struct, frozen=True, kw_only=True):
    """One request of an exchange; `call` gets what the step before read, and the time."""

    call: Callable[[str, float], Call]
    read: Callable[[bytes], Token]


class AwsStep(Struct, frozen=True, kw_only=True):
    """No request: the process's AWS keys sign one that somebody else will send."""

    sign: Callable[[AwsKeys, str | None, float], str]
    """From keys, the process's region and the time."""


class TokenExchange(Struct, frozen=True, kw_only=True):
    cache_key: str
    """A digest: equal for equal credentials, and tells nothing of them."""
    steps: tuple[Step | AwsStep, ...]
    header: str = "authorization"
    form: str = "Bearer {}"


Authorization: TypeAlias = Headers | TokenExchange | SigV4
Auth: TypeAlias = AuthKind | Callable[[Endpoint], Authorization]


def of(endpoint: Endpoint, auth: Auth, auth_types: Mapping[str, Auth]) -> Authorization:
    """What `endpoint` needs, by its type's way or the one that its settings choose."""
    metadata = endpoint.metadata
    if metadata.auth_type is not None:
        auth = auth_types.get(metadata.auth_type, auth)
    if metadata.auth_format == "api_key" and auth == "bearer":
        auth = "key-scheme"
    elif metadata.auth_format == "bearer" and auth == "api-key":
        auth = "bearer"
    if callable(auth):
        return auth(endpoint)
    return static(auth, endpoint.secret)


def static(kind: AuthKind, secret: str | None) -> Headers:
    if not secret or kind == "none":
        return Headers({})
    name, form = _HEADER[kind]
    return Headers({name: form.format(secret)})


def digest(*parts: str | None) -> str:
    return sha256(msgspec.json.encode(parts)).hexdigest()


def unusable(endpoint: Endpoint, what: str) -> UpstreamError:
    """Tells which endpoint's credential is wrong, never what it holds."""
    return CredentialError(f"cannot be used: {what}").told(endpoint.label)


def secret_document(endpoint: Endpoint, *fields: str) -> dict[str, Any]:
    """The secret as the JSON object that it has to be, with `fields` that are text."""
    try:
        document = msgspec.json.decode(endpoint.secret or "", type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        document = {}
    missing = [name for name in fields if not isinstance(document.get(name), str)]
    if missing or not document:
        # Without its cause: a decoder's message would quote the secret.
        names = ", ".join(missing or fields) or "its fields"
        raise unusable(endpoint, f"its secret must be a JSON object with {names}.") from None
    return document


def optional_text(endpoint: Endpoint, document: Mapping[str, Any], name: str) -> str | None:
    """A field of a secret that may be left out."""
    value = document.get(name)
    if value is not None and not isinstance(value, str):
        raise unusable(endpoint, f"`{name}` in its secret must be text.")
    return value or None


def read_token(body: bytes) -> Token:
    """OAuth's answer. ValueError where it is none."""
    # Not strict: some write the seconds as text.
    found = msgspec.json.decode(body, type=_OAuth, strict=False)
    return Token(usable(found.access_token), found.expires_in or _USUAL_S)


def usable(token: object) -> str:
    """What can be a header's value. ValueError where it cannot."""
    if not isinstance(token, str) or not token or not token.isprintable():
        raise ValueError("This is no token.")
    return token


class _OAuth(Struct):
    access_token: str
    expires_in: float | None = None

    def __repr__(self) -> str:
        return "<_OAuth>"


def form_encoded(fields: Mapping[str, str]) -> bytes:
    return "&".join(f"{name}={escape(value)}" for name, value in fields.items()).encode()


def assume_role(role: AssumedRole, seconds: int) -> Call:
    """The question to STS, unsigned."""
    fields = {
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "RoleArn": role.role_arn,
        "RoleSessionName": "cutwater",
        "DurationSeconds": str(seconds),
    }
    if role.external_id:
        fields["ExternalId"] = role.external_id
    return Call(url=role.url, headers=FORM, body=form_encoded(fields))
