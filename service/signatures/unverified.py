"""`scheme: none`: accepts every delivery. For senders without any scheme; requires `allow_unverified: true`."""

from collections.abc import Mapping

from service.events import Delivery
from service.signatures.scheme import Scheme, Verified, Verifier


class Unverified(Scheme, frozen=True, kw_only=True, tag="none"):
    """No verification. Requires `allow_unverified: true` in the source."""

    def build(self, _environ: Mapping[str, str], _at: str, /) -> Verifier:
        """Return a verifier that accepts every delivery."""
        return _Verifier()

    def sign(self, _body: bytes, _secret: str, _event_id: str, _timestamp: int, /) -> dict[str, str]:
        """Return no headers."""
        return {}

    def warnings(self, _environ: Mapping[str, str], /) -> tuple[str, ...]:
        """Return a warning."""
        return ("scheme: none accepts deliveries from every client that can reach the port",)


class _Verifier:
    def verify(self, delivery: Delivery) -> Verified:
        return Verified(None, delivery.body)
