"""Temporary credentials: a JWT for the bearer and a row for the store.

Neither of the two alone says anything of the issuer's key. The row holds that
key sealed under a secret that only the JWT carries; the JWT is signed with a
key derived from the issuer's key and from random bytes that only the row
holds, so that a bearer cannot try out keys against the signature. Nothing a
JWT says is believed before the row has opened and the signature fits.

The row also holds what was granted, sealed under what only the issuer's key
gives: whoever opens it is the issuer, who alone may look at a credential, or
revoke it. Revoked, the row stays until its time, without the key.

JWT: RFC 7519; HS256: RFC 7518, section 3.2; HKDF: RFC 5869.
"""

import re
from base64 import urlsafe_b64decode
from typing import Any, Final, Literal, NoReturn

import msgspec
from msgspec import Struct

from core import credential_rows as rows
from core.cache_keys import tag_of
from core.credential_rows import About, Kept, bytes_of, row_key_of, text_of
from core.errors import (
    AuthenticationError,
    BadRequestError,
    NotFoundError,
    PermissionDeniedError,
)
from core.grants import LONGEST_TTL_S, Asked, Grant
from core.ports import Row, RowKey

ISSUER: Final = "cutwater"
"""Both `iss` and `aud`."""
ID_PREFIX: Final = "bt_tmp:"
LEEWAY_S: Final = 60
"""How far another server's clock may be ahead."""
LONGEST: Final = 8192
"""Characters of a JWT: it has to fit into a header."""

_PARTS: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")
_NOT_BASE64: Final = re.compile(r"[^A-Za-z0-9_-]")
_OURS: Final = re.compile(rb'"(?:iss|aud)"\s*:\s*\[?\s*"(?:cutwater|braintrust_proxy)"')
_NEW_ONE: Final = "ask for a new one where you got it"


class Fresh(Struct, frozen=True, kw_only=True):
    """Time and randomness of one credential. It holds its secret: it has no repr."""

    now: int
    id: str
    """`bt_tmp:` and a random UUID."""
    secret: bytes
    """32 random bytes."""
    nonce: bytes
    """12 random bytes."""

    def __repr__(self) -> str:
        return f"<Fresh {self.id}>"


class Credential(Struct, frozen=True, kw_only=True):
    """A credential that is verified. It carries its issuer's key: it has no repr."""

    id: str
    parent_key: str
    grant: Grant
    org_name: str | None
    issued_at: int
    expires_at: int

    def __repr__(self) -> str:
        return f"<Credential {self.id}>"


class Shown(Struct, frozen=True, kw_only=True):
    """What `GET /credentials/{id}` tells the issuer. Times are Unix seconds."""

    id: str
    org_name: str | None
    grant: Grant
    created_at: int
    expires_at: int
    revoked_at: int | None = None
    requests: int | None = None
    """Used so far; None: they are not counted."""
    cost_usd: float | None = None
    """Likewise."""


class _Granted(Grant, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The claim `bt`. A field that this version does not know may be a restriction."""

    secret: str
    org_name: str | None = None

    def __repr__(self) -> str:
        return "<_Granted>"


class _Claims(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    iss: Literal["cutwater"]
    aud: Literal["cutwater"]
    jti: str
    iat: int
    exp: int
    nbf: int = 0
    bt: _Granted


class _Header(Struct, frozen=True, forbid_unknown_fields=True):
    alg: Literal["HS256"]
    typ: Literal["JWT"]


_decode_header: Final = msgspec.json.Decoder(_Header).decode
_decode_claims: Final = msgspec.json.Decoder(_Claims).decode
_NO_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def looks_like(key: str) -> bool:
    """Whether a key claims to be one of these, however broken: then it must go to no provider.

    Those of the reference proxy are meant too: here they are worth nothing, but there they are.
    """
    if "." not in key:
        return False
    # What it claims opens its row: a part that was lost, or added, makes it no less of a key.
    return any(_is_ours(_NOT_BASE64.sub("A", part)) for part in key.split("."))


def _is_ours(payload: str) -> bool:
    # A character that was put in, or lost, moves all that follow it.
    return any(_OURS.search(_decoded(payload[start:])) is not None for start in range(4))


def _decoded(text: str) -> bytes:
    whole, left = text[: len(text) // 4 * 4], len(text) % 4
    return urlsafe_b64decode(whole + (text[-left:] + "=" * (4 - left) if left > 1 else ""))


def peek(token: str) -> RowKey:
    """The row to read for a JWT of which nothing is verified yet; 401 where it cannot be one."""
    return row_key_of(_read(token).jti)


def refuse_issuing(key: str) -> None:
    """400 for a temporary credential that is to issue another."""
    if looks_like(key):
        raise BadRequestError(
            "A temporary credential cannot be used to issue another: send your Cutwater key, "
            "or your provider's."
        )


def refuse_managing(key: str) -> None:
    """403 for a temporary credential that wants to inspect or revoke one."""
    if looks_like(key):
        raise PermissionDeniedError(
            "A temporary credential can neither inspect nor revoke one: send the key that "
            "issued it."
        )


def mint(key: str, asked: Asked, org_name: str | None, fresh: Fresh) -> tuple[str, Row]:
    """The JWT to hand out, and the row that must be stored before.

    `key` is the issuer's, `org_name` the organisation that the credential is for.
    """
    import jwt

    refuse_issuing(key)
    expires_at = fresh.now + asked.ttl_s
    granted = _Granted(
        **{name: getattr(asked.grant, name) for name in Grant.__struct_fields__},
        secret=text_of(fresh.secret),
        org_name=org_name,
    )
    claims = _Claims(
        iss=ISSUER, aud=ISSUER, jti=fresh.id, iat=fresh.now, exp=expires_at, bt=granted
    )
    signing = rows.signing_key(key, fresh.nonce, fresh.id)
    token = jwt.encode(msgspec.to_builtins(claims), signing, algorithm="HS256")
    if len(token) > LONGEST:
        raise BadRequestError(
            "The credential would not fit into a header: name fewer models, or use patterns.",
            param="models",
        )
    pk, sk = row_key_of(fresh.id)
    tag = "" if org_name is None else tag_of(org_name)
    row = Row(pk=pk, sk=sk, data=b"", expires_at=expires_at, stored_at=fresh.now, org=tag)
    kept = rows.sealed(row, key, fresh.secret, fresh.nonce)
    about = About(grant=asked.grant, org_name=org_name)
    return token, rows.written(row, kept, about, key, fresh.id)


def verify(token: str, row: Row | None, now: float) -> Credential:
    """What the JWT stands for; 401 where it does not, or no longer. `row`: what `peek` named."""
    claims = _read(token)
    _check_time(claims, now)
    if row is None or row.key != row_key_of(claims.jti):
        raise AuthenticationError(
            f"This temporary credential is not known, or was revoked: {_NEW_ONE}."
        )
    kept = rows.taken_apart(row)
    if kept is None or (row.stored_at, row.expires_at) != (claims.iat, claims.exp):
        _refuse()
    if not kept.sealed:
        raise AuthenticationError(f"This temporary credential was revoked: {_NEW_ONE}.")
    key = rows.issuers_key(row, kept, bytes_of(claims.bt.secret) or b"")
    if key is None or rows.about(row, kept, key, claims.jti) is None:
        _refuse()
    _check_signature(token, rows.signing_key(key, kept.nonce, claims.jti))
    given = {name: getattr(claims.bt, name) for name in Grant.__struct_fields__}
    return Credential(
        id=claims.jti,
        parent_key=key,
        grant=Grant(**given),
        org_name=claims.bt.org_name,
        issued_at=claims.iat,
        expires_at=claims.exp,
    )


def choose_org(credential: Credential, asked: str | None) -> str | None:
    """The organisation that it was issued for: 403 where the request names another."""
    if asked is not None and asked != credential.org_name:
        raise PermissionDeniedError(
            "This temporary credential was issued for another organisation, or for none: leave "
            "out x-bt-org-name and /btorg/."
        )
    return credential.org_name


def inspect(
    key: str,
    credential_id: str,
    row: Row | None,
    *,
    requests: int | None = None,
    cost_usd: float | None = None,
) -> Shown:
    """What the issuer may see; 404 for everybody else, as where there is no such credential."""
    about, row = _opened(key, credential_id, row)
    return Shown(
        id=credential_id,
        org_name=about.org_name,
        grant=about.grant,
        created_at=row.stored_at,
        expires_at=row.expires_at,
        revoked_at=about.revoked_at,
        requests=requests,
        cost_usd=cost_usd,
    )


def revoke(key: str, credential_id: str, row: Row | None, now: int, nonce: bytes) -> Row:
    """The row to write instead: it no longer holds the issuer's key. 404 as `inspect`."""
    about, row = _opened(key, credential_id, row)
    if about.revoked_at is not None:
        return row
    over = About(grant=about.grant, org_name=about.org_name, revoked_at=now)
    return rows.written(row, Kept(nonce, b""), over, key, credential_id)


def _opened(key: str, credential_id: str, row: Row | None) -> tuple[About, Row]:
    refuse_managing(key)
    if row is not None and row.key == row_key_of(credential_id):
        kept = rows.taken_apart(row)
        about = None if kept is None else rows.about(row, kept, key, credential_id)
        if about is not None:
            return about, row
    raise NotFoundError(
        "This key has issued no such credential, or it is over: check the id (`jti` in the JWT) "
        "and send the key that issued it."
    )


# The JWT.


def _read(token: str) -> _Claims:
    """What a JWT claims; 401 where it is no credential, or not in the one form that is ours."""
    found = _PARTS.fullmatch(token) if len(token) <= LONGEST else None
    parts = [] if found is None else [bytes_of(part) for part in found.groups()]
    if not parts or any(part is None for part in parts):
        _refuse()
    header, payload = (part or b"" for part in parts[:2])
    try:
        _decode_header(header)
    except _NO_JSON:
        raise AuthenticationError(
            f"This temporary credential is not signed with HS256: {_NEW_ONE}."
        ) from None
    try:
        return _decode_claims(payload)
    except _NO_JSON:
        # Without its cause, which quotes what it read.
        _refuse()


def _refuse() -> NoReturn:
    raise AuthenticationError(
        f"This temporary credential is not valid here, or was changed on its way: {_NEW_ONE}."
    )


def _check_time(claims: _Claims, now: float) -> None:
    if claims.exp <= now:
        raise AuthenticationError(f"This temporary credential has expired: {_NEW_ONE}.")
    if max(claims.iat, claims.nbf) > now + LEEWAY_S:
        raise AuthenticationError(
            "This temporary credential is not valid yet: the clock of a server is wrong, or it "
            "was not issued here."
        )
    if claims.exp - claims.iat > LONGEST_TTL_S:
        _refuse()


def _check_signature(token: str, signing_key: bytes) -> None:
    import jwt

    # Of time it would ask this machine's clock.
    options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
    try:
        jwt.decode(
            token,
            signing_key,
            algorithms=["HS256"],
            audience=ISSUER,
            issuer=ISSUER,
            options=options,
        )
    except (jwt.PyJWTError, *_NO_JSON):
        _refuse()
