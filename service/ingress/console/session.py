"""Sessions of the console: a signed cookie instead of a token, and a form token against forged requests (CSRF).

The signature covers the digest of the token, so that a token that leaves waybill.yaml ends its sessions. The key is in
the store, so that every pod accepts the session.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie
from msgspec import Struct, structs

from service.errors import Rejection
from service.ingress.admin.auth import TokenAuth
from service.ingress.admin.auth_log import AuthFailureLog
from service.management.audit_log import Actor

COOKIE = "waybill_session"
SESSION_SECONDS_MAX = 12 * 3_600
COOKIE_CHARACTERS_MAX = 512
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

Connection = ASGIConnection[Any, Any, Any, Any]


class LoginRequired(Exception):
    """The request has no valid session."""


class Session(Struct, frozen=True):
    """Session of an actor. `form_token` is part of every form."""

    actor: Actor
    form_token: str


class Sessions:
    """Creates and checks sessions. `load_key` loads the key from the store, `denials` logs rejected requests."""

    def __init__(self, tokens: TokenAuth, load_key: Callable[[], Awaitable[bytes]], denials: AuthFailureLog) -> None:
        self.denials = denials
        self._tokens = tokens
        self._load_key = load_key

    @property
    def is_possible(self) -> bool:
        """Whether any token is configured."""
        return bool(self._tokens.known)

    async def log_in(self, token: str, *, secure: bool) -> Cookie | None:
        """Return the cookie of a new session, or None for an unknown token.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        actor = self._tokens.authenticate_token(token.strip())
        if actor is None:
            return None
        key, nonce = await self._load_key(), secrets.token_urlsafe(12)
        head = f"{int(time.time()) + SESSION_SECONDS_MAX}:{actor.name}:{nonce}"
        return session_cookie(f"{head}:{self._sign(key, actor, head)}", SESSION_SECONDS_MAX, secure=secure)

    async def load(self, connection: Connection) -> Session:
        """Return the session of a request.

        Raises:
            LoginRequired: There is no valid cookie.
            StoreUnavailable: The store does not answer.
        """
        head, _, signature = connection.cookies.get(COOKIE, "")[:COOKIE_CHARACTERS_MAX].rpartition(":")
        expires, name, nonce = [*head.split(":"), "", "", ""][:3]
        actor = next((actor for _, actor in self._tokens.known if actor.name == name), None)
        if actor is None or not expires.isdecimal() or int(expires) < time.time():
            raise LoginRequired
        key = await self._load_key()
        if not hmac.compare_digest(self._sign(key, actor, head), signature):
            raise LoginRequired
        host = connection.client.host if connection.client else ""
        form_token = hmac.digest(key, f"form:{nonce}".encode(), "sha256").hex()[:32]
        return Session(structs.replace(actor, via="console", client_host=host), form_token)

    def _sign(self, key: bytes, actor: Actor, head: str) -> str:
        digest = next(digest for digest, known in self._tokens.known if known == actor)
        return hmac.new(key, digest + head.encode(), hashlib.sha256).hexdigest()


def session_cookie(value: str, seconds: int, *, secure: bool) -> Cookie:
    """Return the cookie of a session; with 0 seconds, the cookie that ends it."""
    return Cookie(COOKIE, value=value, path="/", max_age=seconds, httponly=True, samesite="strict", secure=secure)


def is_https(connection: Connection) -> bool:
    """Return whether the browser uses HTTPS, which a proxy may end."""
    return connection.headers.get("origin", "").startswith("https://")


def check_origin(connection: Connection) -> None:
    """Check that a form was sent by a page of the console.

    Raises:
        Rejection: 403 `forged_request`.
    """
    site, origin = connection.headers.get("sec-fetch-site"), connection.headers.get("origin")
    foreign = site not in {None, "same-origin", "none"}
    if foreign or (origin is not None and urlsplit(origin).netloc != connection.headers.get("host")):
        raise Rejection(403, "forged_request", "The request comes from another site. Open the console and repeat it.")


def check_form_token(session: Session, given: str) -> None:
    """Check the token of a form.

    Raises:
        Rejection: 403 `forged_request`.
    """
    if not hmac.compare_digest(given.encode(), session.form_token.encode()):
        detail = "The form has expired or was not made by this session. Reload the page and send it again."
        raise Rejection(403, "forged_request", detail)
