"""Who calls: the bearer token's digest against those of waybill.yaml, in constant time; then the role and the route.

Every known digest is compared, so that neither which token nor how much of one was right shows in the time taken.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from msgspec import Struct, structs

from service.config import AdminConfig, Role, read_digest
from service.errors import Rejection
from service.management.audit_log import Actor

ROLES: Sequence[Role] = get_args(Role)
TOKEN_CHARACTERS_MAX = 1_024

_CHALLENGE = {"www-authenticate": 'Bearer realm="waybill"'}


class TokenAuth(Struct, frozen=True):
    """The tokens of waybill.yaml, by digest."""

    known: tuple[tuple[bytes, Actor], ...]

    @classmethod
    def of(cls, admin: AdminConfig, environ: Mapping[str, str]) -> "TokenAuth":
        """Read the digests.

        Raises:
            ConfigError: one cannot be read.
        """
        return cls(
            tuple(
                (read_digest(token, environ, f"admin.tokens[{index}]"), Actor(token.name, token.role))
                for index, token in enumerate(admin.tokens)
            )
        )

    def authenticate(self, authorization: str) -> Actor | None:
        """Who presents this Authorization header; None for nobody known."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not 0 < len(token) <= TOKEN_CHARACTERS_MAX:
            return None
        presented = hashlib.sha256(token.strip().encode()).digest()
        found: Actor | None = None
        for digest, operator in self.known:
            if hmac.compare_digest(digest, presented):
                found = operator
        return found

    def authorize(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        """Let a call through to its route, or refuse it.

        Raises:
            Rejection: 401 `unauthenticated`, 403 `permission_denied`.
        """
        given = connection.headers.getall("authorization", [])
        operator = (
            self.authenticate(given[0]) if len(given) == 1 else None
        )  # of two, a proxy may have looked at the other one
        if operator is None:
            raise Rejection(401, "unauthenticated", "A bearer token of waybill.yaml is due.", _CHALLENGE)
        host = connection.client.host if connection.client else ""
        connection.scope["user"] = structs.replace(operator, client_host=host)
        # what may be done here, which Litestar answers by itself
        asks = isinstance(handler, HTTPRouteHandler) and handler.http_methods == {"OPTIONS"}
        least: Role = handler.opt.get("role", ROLES[0] if asks else ROLES[-1])
        if ROLES.index(operator.role) < ROLES.index(least):
            raise Rejection(
                403, "permission_denied", f"This takes the role {least}; {operator.name} is {operator.role}."
            )
