"""`scheme: standard_webhooks`: the signature of the Standard Webhooks specification, version v1 (HMAC-SHA256).

Signed is `<webhook-id>.<webhook-timestamp>.<body>`; `webhook-signature` is a list split by spaces of `v1,<base64>`.
Other versions in the list are skipped. Secrets are `whsec_` and the key in base64, by the specification 24 to 64 bytes.
"""

import binascii
import hmac
from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

from service.errors import ConfigError
from service.events import Delivery
from service.secrets import SecretRef
from service.signatures.scheme import SIGNATURES_MAX, Scheme, Verified, Verifier, not_verified, resolve_all
from service.signatures.signed_headers import check_fresh, read_id, read_timestamp

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
SECRET_PREFIX = "whsec_"  # noqa: S105 - what every secret begins with, no secret
KEY_BYTES_MIN, KEY_BYTES_MAX = 24, 64


class StandardWebhooks(Scheme, frozen=True, kw_only=True, tag="standard_webhooks"):
    """`tolerance_seconds` bounds how far the timestamp may lie in the past or the future; 0 does not look."""

    tolerance_seconds: Annotated[int, Meta(ge=0, le=86_400)] = 300
    secrets: Annotated[tuple[SecretRef, ...], Meta(min_length=1, max_length=10, description="a list of references")]

    def build(self, environ: Mapping[str, str], at: str) -> Verifier:
        """See Scheme."""
        secrets = resolve_all(self.secrets, environ, f"{at}.secrets")
        keys = tuple(read_key(secret, f"{at}.secrets[{index}]") for index, secret in enumerate(secrets))
        return _Verifier(self.tolerance_seconds, keys)

    def sign(self, body: bytes, secret: str, id: str, timestamp: int) -> dict[str, str]:  # noqa: A002 - as in Scheme
        """See Scheme."""
        signature = _signature(read_key(secret, "secret"), _signed(id, str(timestamp), body))
        return {ID: id, TIMESTAMP: str(timestamp), SIGNATURE: f"v1,{signature}"}

    def warnings(self) -> tuple[str, ...]:
        """See Scheme."""
        if self.tolerance_seconds:
            return ()
        return ("tolerance_seconds: 0 accepts a captured delivery at any later time",)


class _Verifier(Struct, frozen=True):
    tolerance_seconds: int
    keys: tuple[bytes, ...]

    def verify(self, delivery: Delivery) -> Verified:
        headers = delivery.headers
        id_text, timestamp = read_id(headers, ID), read_timestamp(headers, TIMESTAMP)
        signed = _signed(id_text, timestamp, delivery.body)
        if not self._matches(headers.get(SIGNATURE, ""), signed):
            raise not_verified(f"No v1 signature in {SIGNATURE} matches the delivery.")
        check_fresh(timestamp, delivery.received_at, self.tolerance_seconds)
        return Verified(id_text, signed)

    def _matches(self, given: str, signed: bytes) -> bool:
        candidates = _candidates(given)
        matched = False
        for key in self.keys:
            expected = _signature(key, signed)
            for candidate in candidates:
                matched |= hmac.compare_digest(expected, candidate)
        return matched


def read_key(secret: str, at: str) -> bytes:
    """Give the key that a secret stands for.

    Raises:
        ConfigError: not base64, or not 24 to 64 bytes long.
    """
    fix = f"give the sender's secret as it was shown: {SECRET_PREFIX} and the base64 of the key"
    try:
        key = binascii.a2b_base64(secret.removeprefix(SECRET_PREFIX), strict_mode=True)
    except ValueError:
        raise ConfigError(at, "the secret is not base64", fix) from None
    if not KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
        raise ConfigError(at, f"the secret's key has {len(key)} bytes, not {KEY_BYTES_MIN} to {KEY_BYTES_MAX}", fix)
    return key


def _signed(id_text: str, timestamp: str, body: bytes) -> bytes:
    return b"%b.%b.%b" % (id_text.encode(), timestamp.encode(), body)


def _signature(key: bytes, signed: bytes) -> str:
    return binascii.b2a_base64(hmac.digest(key, signed, "sha256"), newline=False).decode()


def _candidates(given: str) -> list[str]:
    """Give the v1 signatures of a header; what is not ASCII cannot match and is left out."""
    if not given.isascii():
        return []
    return [
        word[3:].rstrip(",") for word in given.split(None, SIGNATURES_MAX)[:SIGNATURES_MAX] if word.startswith("v1,")
    ]
