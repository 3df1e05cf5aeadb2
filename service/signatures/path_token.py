"""`scheme: path_token`: secret at the end of the URL, for senders that support nothing else.

Nothing is signed, and proxies log URLs. Prefer every other scheme that the sender supports.
"""

import re
from collections.abc import Mapping

from msgspec import Struct

from service.errors import ConfigError
from service.events import Delivery
from service.signatures.scheme import NotVerified, TokenScheme, Verified, Verifier, matches_any_secret, resolve_tokens

_TOKEN = re.compile(rb"[A-Za-z0-9._~-]+")
"""Unreserved characters of a URL (RFC 3986)."""


class PathToken(TokenScheme, frozen=True, kw_only=True, tag="path_token"):
    """Token in the URL: /webhooks/{source}/{token}. `secrets` are references to the accepted tokens."""

    def build(self, environ: Mapping[str, str], at: str, /) -> Verifier:
        """Return the verifier.

        Raises:
            ConfigError: A token is missing or cannot be part of a URL.
        """
        tokens = resolve_tokens(self.secrets, environ, f"{at}.secrets")
        for index, token in enumerate(tokens):
            if not _TOKEN.fullmatch(token) or not token.strip(b"."):
                fix = "use letters, digits, hyphens and underscores only"
                raise ConfigError(f"{at}.secrets[{index}]", "the token cannot be part of a URL", fix)
        return _Verifier(tokens)

    def sign(self, _body: bytes, _secret: str, _event_id: str, _timestamp: int, /) -> dict[str, str]:
        """Return no headers."""
        return {}

    def path(self, secret: str, /) -> str:
        """Return the token as the last segment of the path."""
        return f"/{secret}"


class _Verifier(Struct, frozen=True):
    tokens: tuple[bytes, ...]

    def verify(self, delivery: Delivery) -> Verified:
        if not matches_any_secret(self.tokens, delivery.path_token or ""):
            raise NotVerified("Missing or unknown token in the path. Send to /webhooks/{source}/{token}.")
        return Verified(None, delivery.body)
