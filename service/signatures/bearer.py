"""`scheme: bearer`: a secret in `Authorization: Bearer …` (RFC 6750). Nothing is signed: only TLS guards the body."""

from collections.abc import Mapping

from msgspec import Struct

from service.events import Delivery
from service.signatures.scheme import TokenScheme, Verified, Verifier, matches_any_secret, not_verified, resolve_tokens

CHALLENGE = {"www-authenticate": 'Bearer realm="webhooks"'}


class Bearer(TokenScheme, frozen=True, kw_only=True, tag="bearer"):
    """`secrets` are the tokens."""

    def build(self, environ: Mapping[str, str], at: str, /) -> Verifier:
        """See Scheme."""
        return _Verifier(resolve_tokens(self.secrets, environ, f"{at}.secrets"))

    def sign(self, _body: bytes, secret: str, _event_id: str, _timestamp: int, /) -> dict[str, str]:
        """See Scheme."""
        return {"authorization": f"Bearer {secret}"}


class _Verifier(Struct, frozen=True):
    tokens: tuple[bytes, ...]

    def verify(self, delivery: Delivery) -> Verified:
        scheme, _, given = delivery.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not matches_any_secret(self.tokens, given.strip(" ")):
            raise not_verified("Send the source's token as Authorization: Bearer.", CHALLENGE)
        return Verified(None, delivery.body)
