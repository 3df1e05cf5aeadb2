"""`scheme: none`: takes every delivery. Only for senders that prove nothing, and only with `allow_unverified: true`."""

from collections.abc import Mapping

from service.events import Delivery
from service.signatures.scheme import Scheme, Verified, Verifier


class Unverified(Scheme, frozen=True, kw_only=True, tag="none"):
    """Has no fields; the source must say `allow_unverified: true` beside it."""

    def build(self, _environ: Mapping[str, str], _at: str, /) -> Verifier:
        """See Scheme."""
        return _Verifier()

    def sign(self, _body: bytes, _secret: str, _event_id: str, _timestamp: int, /) -> dict[str, str]:
        """See Scheme."""
        return {}

    def warnings(self, _environ: Mapping[str, str], /) -> tuple[str, ...]:
        """See Scheme."""
        return ("scheme: none takes deliveries from anyone who can reach the port",)


class _Verifier:
    def verify(self, delivery: Delivery) -> Verified:
        return Verified(None, delivery.body)
