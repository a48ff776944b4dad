"""What an attempt still lacks before it can be sent: a token, or a signature.

core/authorization.py says what to do; this awaits. A token is kept until a
minute before it expires and fetched by one request at a time. Whatever goes
wrong tells which endpoint's credential failed, never what the other side said:
it may quote the secret.
"""

import re
from typing import Final

from msgspec.structs import replace

from core import authorization
from core.authorization import (
    AssumedRole,
    Authorization,
    AwsStep,
    Call,
    CredentialError,
    KeySource,
    ProcessKeys,
    SigV4,
    Step,
    Token,
    TokenExchange,
)
from core.errors import CutwaterError
from core.plan import Attempt
from core.ports import AwsProcess, Clock, Outgoing, Upstream
from core.sigv4 import AwsKeys, Scope, Signer, sign
from infra.once import Once

EARLY_S: Final = 60.0
_ROLE_S: Final = 3600
_XML: Final = re.compile(
    rb"<(AccessKeyId|SecretAccessKey|SessionToken)>([^<]+)</(?:AccessKeyId|SecretAccessKey|SessionToken)>"
)


class Authorizer:
    """Keeps tokens: it has no repr."""

    def __init__(self, upstream: Upstream, clock: Clock, aws: AwsProcess) -> None:
        self._upstream = upstream
        self._clock = clock
        self._aws = aws
        self._tokens: Once[str] = Once(clock)
        self._roles: Once[AwsKeys] = Once(clock)

    def __repr__(self) -> str:
        return "<Authorizer>"

    async def __call__(self, attempt: Attempt) -> Outgoing:
        """The request with all that its provider asks for; UpstreamError names the endpoint."""
        try:
            return await self._authorized(attempt.authorization, attempt.outgoing)
        except CredentialError as error:
            # Whose it is is said here: those who wait for the same token are told of their own.
            raise error.told(attempt.candidate.endpoint.label) from error

    def refused(self, attempt: Attempt) -> None:
        """The provider did not take the token (a 401): the next request gets another."""
        if isinstance(attempt.authorization, TokenExchange):
            self._tokens.forget(attempt.authorization.cache_key)

    async def _authorized(self, needed: Authorization | None, request: Outgoing) -> Outgoing:
        match needed:
            case TokenExchange():
                token = await self._tokens.get(needed.cache_key, lambda: self._exchange(needed))
                headers = {**request.headers, needed.header: needed.form.format(token)}
            case SigV4():
                headers = sign(
                    request.method,
                    request.url,
                    request.headers,
                    request.body,
                    signer=Signer(await self._keys(needed.keys), needed.scope),
                    now=self._clock.now(),
                )
            case _:
                return request
        return replace(request, headers=headers)

    async def _exchange(self, exchange: TokenExchange) -> tuple[str, float]:
        token = Token("", 0)
        for step in exchange.steps:
            token = await self._step(step, token.value)
        return token.value, self._clock.now() + token.expires_in - EARLY_S

    async def _step(self, step: Step | AwsStep, before: str) -> Token:
        now = self._clock.now()
        if isinstance(step, AwsStep):
            return Token(step.sign(await self._aws.keys(), self._aws.region, now), 0)
        body = await self._send(step.call(before, now))
        try:
            return step.read(body)
        except (ValueError, KeyError, TypeError, RecursionError):
            # Without its cause, which quotes what was read.
            raise _failed("the answer was no token") from None

    async def _keys(self, source: KeySource) -> AwsKeys:
        match source:
            case AwsKeys():
                return source
            case ProcessKeys():
                return await self._aws.keys()
            case AssumedRole():
                base = source.base
                whose = (base.access_key, base.secret_key) if isinstance(base, AwsKeys) else ()
                key = authorization.digest(source.url, source.role_arn, source.external_id, *whose)
                return await self._roles.get(key, lambda: self._assume(source))

    async def _assume(self, role: AssumedRole) -> tuple[AwsKeys, float]:
        call = authorization.assume_role(role, _ROLE_S)
        headers = sign(
            call.method,
            call.url,
            call.headers,
            call.body,
            signer=Signer(await self._keys(role.base), Scope(role.region, "sts")),
            now=self._clock.now(),
        )
        body = await self._send(replace(call, headers=headers))
        found = {name.decode(): value.decode() for name, value in _XML.findall(body)}
        try:
            keys = AwsKeys(
                access_key=found["AccessKeyId"],
                secret_key=found["SecretAccessKey"],
                session_token=found["SessionToken"],
            )
        except KeyError:
            raise _failed("STS gave no keys for the role") from None
        return keys, self._clock.now() + _ROLE_S - EARLY_S

    async def _send(self, call: Call) -> bytes:
        request = Outgoing(
            method=call.method,
            url=call.url,
            headers=call.headers,
            body=call.body,
            connect_s=5.0,
            first_byte_s=10.0,
            idle_s=10.0,
            total_s=20.0,
        )
        try:
            async with self._upstream.send(request) as reply:
                body, status = await reply.read(), reply.status
        except CutwaterError as error:
            raise _failed("nobody answered") from error
        if status != 200:
            raise _failed(f"the answer was {status}: check its secret")
        return body


def _failed(why: str) -> CredentialError:
    return CredentialError(f"could not be exchanged for a token: {why}.")
