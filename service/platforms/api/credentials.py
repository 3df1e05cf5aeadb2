"""Credentials of an account: headers, or an OAuth2 token that is fetched, cached and renewed.

Secrets are read again after a response that rejects them, since a file can have a new one.
"""

import asyncio
import contextlib
import hashlib
import math
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Protocol, assert_never
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from service.config.auth import Auth, BasicAuth, BearerAuth, ClientCredentialsAuth, HeaderAuth, NoAuth
from service.errors import ConfigError, PermanentError
from service.events import JsonValue
from service.http_client import DEFAULT_TRANSPORT, HttpClient, HttpResponse, TransportOptions
from service.platforms.api.decoding import NoRecordError
from service.platforms.api.errors_in_bodies import classify_body
from service.platforms.api.responses import RETRYABLE_STATUSES, classify_response
from service.platforms.api.sealed_tokens import SealedTokenCache
from service.platforms.api.token_cache import NO_TOKEN_CACHE, TokenCache
from service.secrets import SecretRef

EXPIRY_MARGIN_SECONDS = 30.0
LIFETIME_SECONDS = 60.0
"""Lifetime of a token without `expires_in`, which is optional (RFC 6749, section 5.1)."""
LIFETIME_SECONDS_MAX = 86_400.0
UNAUTHORIZED = 401
REJECTED_STATUSES = frozenset({400, 401, 403})
"""Responses of a token server that rejects the client id, the secret or the scope (RFC 6749, section 5.2)."""


class Credentials(Protocol):
    """Headers that authorize a call."""

    async def headers(self) -> Mapping[str, str]:
        """Return the headers to send; all of them are secret."""
        ...

    async def refreshable(self, sent: Mapping[str, str], status: int, /) -> bool:
        """Return True if `headers` changes after `sent` was answered `status`: 401 or 403."""
        ...


class StaticHeaders:
    """Headers that change with their secret only. `build` reads the secret, and may raise ConfigError."""

    def __init__(self, build: Callable[[], Mapping[str, str]]) -> None:
        self._build = build
        self._headers = build()

    async def headers(self) -> Mapping[str, str]:
        """Return the headers."""
        return self._headers

    async def refreshable(self, sent: Mapping[str, str], _status: int, /) -> bool:
        """Read the secret again. Return True if it differs from the sent one."""
        with contextlib.suppress(ConfigError):  # the file is being replaced
            self._headers = self._build()
        return self._headers != sent


class TokenRoute(Struct, frozen=True):
    """Connection of token requests. A guarded request reaches public addresses only.

    `options` raises ConfigError if a secret of the connection cannot be read.
    """

    options: Callable[[], TransportOptions] = lambda: DEFAULT_TRANSPORT
    guarded: bool = False


DIRECT_ROUTE = TokenRoute()
"""Connection by the settings."""


class _Token(Struct):
    access_token: str
    expires_in: float | None = None


class ClientCredentials:
    """Bearer token by the client credentials grant (RFC 6749, section 4.4), fetched by one call at a time.

    Waiting calls share the token of the first one, and all pods share it by the `token_cache`. `read_secrets` returns
    client id and secret. `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        account: str,
        outbound: HttpClient,
        *,
        token_url: str,
        read_secrets: Callable[[], tuple[str, str]],
        scope: str | None = None,
        token_cache: TokenCache = NO_TOKEN_CACHE,
        route: TokenRoute = DIRECT_ROUTE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._account = account
        self._outbound = outbound
        self._token_url = token_url
        self._read_secrets = read_secrets
        self._scope = scope
        self._shared_cache = token_cache
        self._route = route
        self._use_secrets(read_secrets())
        self._clock = clock
        self._lock = asyncio.Lock()
        self._headers: Mapping[str, str] = {}
        self._stale_at = 0.0

    async def headers(self) -> Mapping[str, str]:
        """Return the token's header; fetch a token if the cached one expires too soon.

        Raises:
            TransientError: The token server is unavailable, or its answer has no token.
            PermanentError: As `classify_response` and `classify_body`; `platform_wrong_envelope` for a malformed token.
        """
        if self._headers and self._clock() < self._stale_at:
            return self._headers
        async with self._lock:
            # Checked again: the previous holder of the lock may have fetched a token.
            if not self._headers or self._clock() >= self._stale_at:
                await self._renew()
            return self._headers

    async def refreshable(self, sent: Mapping[str, str], status: int, /) -> bool:
        """Return True after a 401; drop the rejected token, here and in the cache, if it is still the current one.

        A new token has the same rights, so that it would be answered 403 again, unless the secrets changed.
        """
        if status != UNAUTHORIZED and not self._secrets_changed():
            return False
        token = sent.get("Authorization", "").removeprefix("Bearer ")
        await self._token_cache.invalidate(self._name, token)
        # Another call may have replaced it already.
        if sent is self._headers:
            self._headers = {}
        return True

    def _use_secrets(self, secrets: tuple[str, str]) -> None:
        self._secrets = secrets
        form = {"grant_type": "client_credentials", "client_id": secrets[0], "client_secret": secrets[1]}
        self._token_cache = SealedTokenCache(self._shared_cache, secrets[1])
        self._form = urlencode(form | ({"scope": self._scope} if self._scope else {})).encode()
        self._name = _cache_name(self._account, self._token_url, self._form)

    def _secrets_changed(self) -> bool:
        """Read the secrets again, and return True if they differ from those in use."""
        try:
            secrets = self._read_secrets()
        except ConfigError:  # the file is being replaced
            return False
        changed = secrets != self._secrets
        self._use_secrets(secrets)
        return changed

    async def _renew(self) -> None:
        """Read the token from the cache, or fetch one for all pods, after a limited wait for another pod."""
        deadline = self._clock() + self._outbound.settings.fetch_timeout_seconds
        while True:
            cached = await self._token_cache.get(self._name)
            if isinstance(cached, tuple):
                self._use(*cached, self._clock())
                return
            if cached is None or self._clock() >= deadline:
                break
            await asyncio.sleep(cached)
        asked_at = self._clock()
        try:
            token = _read_token(await self._request_token(), f"{self._account}: the answer of {self._token_url}")
        except BaseException:
            # Other pods wait for this fetch: end their wait.
            await self._token_cache.invalidate(self._name, "")
            raise
        lifetime = _lifetime(token)
        # By the margin alone, a short-lived token would be stale before its first use.
        seconds = max(lifetime - EXPIRY_MARGIN_SECONDS, lifetime / 2)
        # The lifetime began at the server, before the response arrived.
        self._use(token.access_token, seconds, asked_at)
        await self._token_cache.put(self._name, token.access_token, seconds)

    def _use(self, token: str, seconds: float, since: float) -> None:
        self._headers = {"Authorization": f"Bearer {token}"}
        self._stale_at = since + seconds

    async def _request_token(self) -> JsonValue:
        answer = await self._post_form()
        if answer.status in REJECTED_STATUSES and self._secrets_changed():
            answer = await self._post_form()
        if answer.status in REJECTED_STATUSES:
            reason = f"{self._account}: {self._token_url} refuses the client id and secret, or their scope"
            raise PermanentError("config_unauthorized", reason, http_status=answer.status)
        name = f"{self._account}: token"
        reply = classify_response(name, answer, transient=RETRYABLE_STATUSES, secrets=self._secrets, now=time.time())
        if reply.gone:
            reason = f"{self._account}: token_url {self._token_url} answers {reply.status}"
            raise PermanentError("config_wrong_address", reason, http_status=reply.status)
        return reply.data

    async def _post_form(self) -> HttpResponse:
        settings = self._outbound.settings
        return await self._outbound.request(
            "POST",
            self._token_url,
            headers={"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"},
            body=self._form,
            seconds_max=settings.fetch_timeout_seconds,
            bytes_max=settings.fetch_bytes_max,
            guarded=self._route.guarded,
            transport=self._route.options(),
        )


def build_credentials(
    auth: Auth,
    owner: str,
    outbound: HttpClient,
    read_secret: Callable[[SecretRef, str], str],
    *,
    token_cache: TokenCache = NO_TOKEN_CACHE,
    route: TokenRoute = DIRECT_ROUTE,
    static: Callable[[Callable[[], Mapping[str, str]]], Credentials] = StaticHeaders,
) -> Credentials:
    """Build the credentials that `auth` of waybill.yaml declares.

    Args:
        auth: The declaration.
        owner: The name of the account or destination, for errors and for the token cache.
        outbound: The HTTP client for the token server.
        read_secret: Reads a secret; the second argument is the name of its field in `auth`.
        token_cache: The tokens of all pods.
        route: The connection to the token server.
        static: Builds the credentials whose headers change with their secret only.

    Returns:
        The credentials.

    Raises:
        ConfigError: A secret cannot be read.
    """
    match auth:
        case BearerAuth():
            return static(lambda: {"Authorization": f"Bearer {read_secret(auth.token, 'token')}"})
        case HeaderAuth():
            return static(lambda: {auth.name: read_secret(auth.value, "value")})
        case BasicAuth():
            return static(lambda: basic_auth(auth.username, read_secret(auth.password, "password")))
        case ClientCredentialsAuth():
            return ClientCredentials(
                owner,
                outbound,
                token_url=auth.token_url,
                read_secrets=lambda: (
                    read_secret(auth.client_id, "client_id"),
                    read_secret(auth.client_secret, "client_secret"),
                ),
                scope=auth.scope,
                token_cache=token_cache,
                route=route,
            )
        case NoAuth():
            return static(dict)
        case _:
            assert_never(auth)


def basic_auth(username: str, password: str) -> Mapping[str, str]:
    """Return the headers of HTTP Basic (RFC 7617)."""
    return {"Authorization": "Basic " + b64encode(f"{username}:{password}".encode()).decode()}


def _cache_name(account: str, token_url: str, form: bytes) -> str:
    """Build the name of a token in the cache; changed credentials change the name."""
    return f"{account}:{hashlib.sha256(token_url.encode() + bytes(1) + form).hexdigest()[:24]}"


def _lifetime(token: _Token) -> float:
    seconds = token.expires_in
    return min(seconds, LIFETIME_SECONDS_MAX) if seconds is not None and math.isfinite(seconds) else LIFETIME_SECONDS


def _read_token(data: object, answer: str) -> _Token:
    try:
        token = msgspec.convert(data, _Token, strict=False)
    except msgspec.ValidationError as error:
        raise classify_body(NoRecordError(f"{answer} has no access_token: check token_url"), data) from error
    if not token.access_token.isascii() or not token.access_token.isprintable() or not token.access_token.strip():
        raise PermanentError("platform_wrong_envelope", f"{answer} has no token that can be sent in a header")
    return token
