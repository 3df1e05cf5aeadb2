"""`scheme: header`: a secret in a header of the operator's choice. Nothing is signed: only TLS guards the body."""

from collections.abc import Mapping

from msgspec import Struct

from service.events import Delivery
from service.secrets import SecretRef
from service.signatures.scheme import (
    HeaderName,
    Scheme,
    Secrets,
    Verified,
    Verifier,
    matches_any,
    not_verified,
    resolve_tokens,
    short_tokens,
)


class Header(Scheme, frozen=True, kw_only=True, tag="header"):
    """`secrets` are what `header` may hold, such as the token of X-Gitlab-Token."""

    header: HeaderName
    secrets: Secrets

    def build(self, environ: Mapping[str, str], at: str) -> Verifier:
        """See Scheme."""
        return _Verifier(self.header.lower(), resolve_tokens(self.secrets, environ, f"{at}.secrets"))

    def sign(self, body: bytes, secret: str, id: str, timestamp: int) -> dict[str, str]:  # noqa: A002, ARG002 - as in Scheme
        """See Scheme."""
        return {self.header.lower(): secret}

    @property
    def refs(self) -> tuple[SecretRef, ...]:
        """See Scheme."""
        return self.secrets

    def warnings(self, environ: Mapping[str, str]) -> tuple[str, ...]:
        """See Scheme."""
        return short_tokens(self.secrets, environ)


class _Verifier(Struct, frozen=True):
    header: str
    tokens: tuple[bytes, ...]

    def verify(self, delivery: Delivery) -> Verified:
        if not matches_any(self.tokens, delivery.headers.get(self.header, "")):
            raise not_verified(f"Send the source's secret in {self.header}.")
        return Verified(None, delivery.body)
