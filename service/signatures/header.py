"""`scheme: header`: a secret in a header of the operator's choice. Nothing is signed: only TLS guards the body."""

from collections.abc import Mapping

from msgspec import Struct

from service.events import Delivery
from service.signatures.scheme import (
    HeaderName,
    TokenScheme,
    Verified,
    Verifier,
    matches_any_secret,
    not_verified,
    resolve_tokens,
)


class Header(TokenScheme, frozen=True, kw_only=True, tag="header"):
    """`secrets` are what `header` may hold, such as the token of X-Gitlab-Token."""

    header: HeaderName

    def build(self, environ: Mapping[str, str], at: str, /) -> Verifier:
        """See Scheme."""
        return _Verifier(self.header.lower(), resolve_tokens(self.secrets, environ, f"{at}.secrets"))

    def sign(self, _body: bytes, secret: str, _event_id: str, _timestamp: int, /) -> dict[str, str]:
        """See Scheme."""
        return {self.header.lower(): secret}


class _Verifier(Struct, frozen=True):
    header: str
    tokens: tuple[bytes, ...]

    def verify(self, delivery: Delivery) -> Verified:
        if not matches_any_secret(self.tokens, delivery.headers.get(self.header, "")):
            raise not_verified(f"Send the source's secret in {self.header}.")
        return Verified(None, delivery.body)
