"""`scheme: bearer`: token in `Authorization: Bearer …` (RFC 6750). Nothing is signed; only TLS protects the body."""

from collections.abc import Mapping

from msgspec import Struct

from service.events import Delivery
from service.signatures.scheme import NotVerified, TokenScheme, Verified, Verifier, matches_any_secret, resolve_tokens

CHALLENGE = {"www-authenticate": 'Bearer realm="webhooks"'}


class Bearer(TokenScheme, frozen=True, kw_only=True, tag="bearer"):
    """Bearer tokens. `secrets` are references to the accepted tokens."""

    def build(self, environ: Mapping[str, str], at: str, /) -> Verifier:
        """Return the verifier.

        Raises:
            ConfigError: A token is missing or cannot be sent in a header.
        """
        return _Verifier(resolve_tokens(self.secrets, environ, f"{at}.secrets"))

    def sign(self, _body: bytes, secret: str, _event_id: str, _timestamp: int, /) -> dict[str, str]:
        """Return the authorization header."""
        return {"authorization": f"Bearer {secret}"}


class _Verifier(Struct, frozen=True):
    tokens: tuple[bytes, ...]

    def verify(self, delivery: Delivery) -> Verified:
        scheme, _, given = delivery.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not matches_any_secret(self.tokens, given.strip(" ")):
            raise NotVerified("Missing or unknown bearer token. Send Authorization: Bearer <token>.", CHALLENGE)
        return Verified(None, delivery.body)
