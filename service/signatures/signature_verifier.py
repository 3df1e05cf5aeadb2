"""Verification of signed requests: reads the signature, the id and the timestamp, and checks them."""

from collections.abc import Callable, Mapping

from msgspec import Struct

from service.bodies.values import text_at
from service.errors import Rejection
from service.events import Delivery
from service.signatures.proofs import Proof
from service.signatures.scheme import SIGNATURES_MAX, NotVerified, Verified
from service.signatures.templates import SignedTemplate
from service.signatures.timestamps import TimestampFormat, check_fresh, parse_timestamp

ID_CHARACTERS_MAX = 256
PARTS_MAX = 20
"""Maximum number of parts of a header that are read: one timestamp and the signatures."""
BODY_DEPTH_MAX = 64
"""Maximum nesting of a JSON body whose values are signed. The body is not verified yet."""


class TimestampReader(Struct, frozen=True):
    """Place and format of the timestamp of one source."""

    header: str
    steps: tuple[str, ...] | None
    prefix: str
    position: int
    separator: str
    written: TimestampFormat

    def read(self, delivery: Delivery) -> tuple[str, float]:
        """Return the timestamp as it is signed, and as seconds since the epoch.

        With a prefix or a position, the timestamp is one part of the header.

        Raises:
            NotVerified: The timestamp is missing or malformed.
        """
        if self.steps is not None:
            text = text_at(delivery.body, self.steps, BODY_DEPTH_MAX)
        else:
            text = delivery.headers.get(self.header, "")
            if self.prefix or self.position:
                text = self._part(text)
        return text, parse_timestamp(text, self.written, self.header or "the body")

    def _part(self, text: str) -> str:
        parts = [part.strip() for part in text.split(self.separator, PARTS_MAX)]
        if self.position:
            return parts[self.position - 1] if self.position <= len(parts) else ""
        # Empty if two parts have the prefix, because parsers would select different ones.
        found = [part[len(self.prefix) :] for part in parts if part.startswith(self.prefix)]
        return found[0] if len(found) == 1 else ""


class SignatureVerifier(Struct, frozen=True, kw_only=True):
    """Verifier of one source. `header` is empty if the signature is in another place."""

    place: str
    header: str
    read_signature: Callable[[Delivery], str]
    proofs: tuple[tuple[str, Proof], ...]
    separator: str
    template: SignedTemplate
    id_header: str
    timestamp: TimestampReader | None
    tolerance_seconds: int

    def verify(self, delivery: Delivery) -> Verified:
        """Verify the signature, then the timestamp.

        Returns:
            The signed parts.

        Raises:
            NotVerified: 401 `not_verified`.
            Rejection: 401 `stale_timestamp`.
        """
        try:
            given = delivery.headers.get(self.header) if self.header else self.read_signature(delivery)
            if not given:
                raise NotVerified(f"Missing signature in {self.place}. Sign the delivery there.")
            id_text, timestamp, seconds = self._read_signed_headers(delivery)
            signed = self.template.fill(id_text, timestamp, delivery)
        except Rejection as rejection:
            if rejection.code == "malformed_payload":
                raise NotVerified(f"The signed parts cannot be read. {rejection.detail}") from None
            raise
        matched = False
        for prefix, proof in self.proofs:
            matched = matched or proof.matches(split(given, prefix, self.separator), signed)
        if not matched:
            raise NotVerified(f"No signature in {self.place} matches the delivery. Check the secret.")
        # Check the timestamp after the signature: an unsigned timestamp proves nothing.
        if timestamp:
            check_fresh(seconds, delivery.received_at, self.tolerance_seconds)
        if not id_text:
            return Verified(None, signed)
        return Verified(id_text, signed, any(separator in id_text for separator in self.template.separators))

    def _read_signed_headers(self, delivery: Delivery) -> tuple[str, str, float]:
        """Return the id, and the timestamp as text and in seconds; empty if the scheme has none."""
        id_text = read_id(delivery.headers, self.id_header) if self.id_header else ""
        timestamp, seconds = self.timestamp.read(delivery) if self.timestamp is not None else ("", 0.0)
        return id_text, timestamp, seconds


def read_id(headers: Mapping[str, str], header: str) -> str:
    """Return the event id in `header`.

    Raises:
        NotVerified: The id is missing, too long, or has characters other than visible ASCII.
    """
    text = headers.get(header, "")
    if text and len(text) <= ID_CHARACTERS_MAX and text.isascii() and text.isprintable():
        return text
    raise NotVerified(
        f"Missing or malformed event id in {header}. Send 1 to {ID_CHARACTERS_MAX} visible ASCII characters."
    )


def split(given: str, prefix: str, separator: str) -> list[str]:
    """Return the signatures of a value, without prefix and quotes; none if the value is not ASCII."""
    if not given.isascii():
        return []
    if separator not in given and " " not in given and given[-1] not in '",':
        return [given[len(prefix) :]] if given.startswith(prefix) else []
    pieces = given.split(separator, SIGNATURES_MAX) if separator in given else [given]
    if " " in given and " " not in prefix:
        pieces = [word for piece in pieces for word in piece.split()]
    cut = len(prefix)
    return [piece.strip()[cut:].strip('",') for piece in pieces[:SIGNATURES_MAX] if piece.strip().startswith(prefix)]
