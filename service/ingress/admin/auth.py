"""Authentication by bearer token and authorization by role.

The digest of a token is compared with every digest of waybill.yaml in constant time, against timing attacks.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from msgspec import structs

from service.config import AdminConfig, Role, read_digest
from service.errors import Rejection
from service.management.audit_log import Actor

ROLES: Sequence[Role] = get_args(Role)
TOKEN_CHARACTERS_MAX = 1_024

Tokens = tuple[tuple[bytes, Actor], ...]

_CHALLENGE = {"www-authenticate": 'Bearer realm="waybill"'}


class TokenAuth:
    """Tokens of waybill.yaml, by digest. `admin` returns the section of the active configuration.

    Raises:
        ConfigError: A digest is missing or not valid.
    """

    def __init__(self, admin: Callable[[], AdminConfig], environ: Mapping[str, str]) -> None:
        self._admin = admin
        self._environ = environ
        self._loaded = admin()
        self._known = load_tokens(self._loaded, environ)

    @property
    def known(self) -> Tokens:
        """Digests of the tokens and their actors."""
        admin = self._admin()
        if admin is not self._loaded:  # waybill.yaml was reloaded
            self._known, self._loaded = load_tokens(admin, self._environ), admin
        return self._known

    def authenticate(self, authorization: str) -> Actor | None:
        """Return the actor of an Authorization header, or None for an unknown token."""
        scheme, _, token = authorization.partition(" ")
        return self.authenticate_token(token) if scheme.lower() == "bearer" else None

    def authenticate_token(self, token: str) -> Actor | None:
        """Return the actor of a token, or None for an unknown token."""
        if not 0 < len(token) <= TOKEN_CHARACTERS_MAX:
            return None
        presented = hashlib.sha256(token.strip().encode()).digest()
        found: Actor | None = None
        for digest, actor in self.known:
            if hmac.compare_digest(digest, presented):
                found = actor
        return found

    def authorize(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        """Check the token and the role of a request, and store the actor as the user of the request.

        Raises:
            Rejection: 401 `unauthenticated`, 403 `permission_denied`.
        """
        headers = connection.headers.getall("authorization", [])
        # Of two headers, a proxy may have checked the other one.
        actor = self.authenticate(headers[0]) if len(headers) == 1 else None
        if actor is None:
            detail = (
                "Missing or unknown bearer token. Send `Authorization: Bearer <token>`; "
                "tokens are listed in admin.tokens of waybill.yaml."
            )
            raise Rejection(401, "unauthenticated", detail, _CHALLENGE)
        host = connection.client.host if connection.client else ""
        connection.scope["user"] = structs.replace(actor, client_host=host)
        check_route_role(actor, handler)


def load_tokens(admin: AdminConfig, environ: Mapping[str, str]) -> Tokens:
    """Read the digests of all tokens.

    Raises:
        ConfigError: A digest is missing or not valid.
    """
    return tuple(
        (read_digest(token, environ, f"admin.tokens[{index}]"), Actor(token.name, token.role))
        for index, token in enumerate(admin.tokens)
    )


def check_route_role(actor: Actor, handler: BaseRouteHandler) -> None:
    """Check that a role permits a route.

    Raises:
        Rejection: 403 `permission_denied`.
    """
    # Litestar adds the OPTIONS routes, so that they have no role.
    is_options = isinstance(handler, HTTPRouteHandler) and handler.http_methods == {"OPTIONS"}
    required: Role = handler.opt.get("role", ROLES[0] if is_options else ROLES[-1])
    if ROLES.index(actor.role) < ROLES.index(required):
        detail = f"The role {required} is required; {actor.name} has the role {actor.role}."
        raise Rejection(403, "permission_denied", detail)
