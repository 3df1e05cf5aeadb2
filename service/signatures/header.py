"""`scheme: header`: token in a configured header. Nothing is signed; only TLS protects the body."""

from collections.abc import Mapping

from msgspec import Struct

from service.events import Delivery
from service.signatures.scheme import (
    HeaderName,
    NotVerified,
    TokenScheme,
    Verified,
    Verifier,
    matches_any_secret,
    resolve_tokens,
)


class Header(TokenScheme, frozen=True, kw_only=True, tag="header"):
    """Token in a header, such as X-Gitlab-Token. `secrets` are references to the accepted tokens."""

    header: HeaderName

    def build(self, environ: Mapping[str, str], at: str, /) -> Verifier:
        """Return the verifier.

        Raises:
            ConfigError: A token is missing or cannot be sent in a header.
        """
        return _Verifier(self.header.lower(), resolve_tokens(self.secrets, environ, f"{at}.secrets"))

    def sign(self, _body: bytes, secret: str, _event_id: str, _timestamp: int, /) -> dict[str, str]:
        """Return the header with the token."""
        return {self.header.lower(): secret}


class _Verifier(Struct, frozen=True):
    header: str
    tokens: tuple[bytes, ...]

    def verify(self, delivery: Delivery) -> Verified:
        if not matches_any_secret(self.tokens, delivery.headers.get(self.header, "")):
            raise NotVerified(f"Missing or unknown token. Send the source's secret in the header {self.header}.")
        return Verified(None, delivery.body)
