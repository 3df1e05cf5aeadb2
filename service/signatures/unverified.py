"""`scheme: none`: takes every delivery. Only for senders that prove nothing, and only with `allow_unverified: true`."""

from collections.abc import Mapping

from service.events import Delivery
from service.signatures.scheme import Scheme, Verified, Verifier


class Unverified(Scheme, frozen=True, kw_only=True, tag="none"):
    """Has no fields; the source must say `allow_unverified: true` beside it."""

    def build(self, environ: Mapping[str, str], at: str) -> Verifier:  # noqa: ARG002 - nothing to resolve
        """See Scheme."""
        return _Verifier()

    def sign(self, body: bytes, secret: str, id: str, timestamp: int) -> dict[str, str]:  # noqa: A002, ARG002 - as in Scheme
        """See Scheme."""
        return {}

    def warnings(self, environ: Mapping[str, str]) -> tuple[str, ...]:  # noqa: ARG002 - no secret to look at
        """See Scheme."""
        return ("scheme: none takes deliveries from anyone who can reach the port",)


class _Verifier:
    def verify(self, delivery: Delivery) -> Verified:
        return Verified(None, delivery.body)
