"""`scheme: standard_webhooks`: signatures of the Standard Webhooks specification, v1 (HMAC) and v1a (Ed25519).

The signed bytes are `<id>.<timestamp>.<body>`. `webhook-signature` is a list of `v1,<base64>` and `v1a,<base64>`,
separated by spaces; other versions are skipped. A secret is `whsec_` and a key of 24 to 64 bytes in base64. A public
key is `whpk_` and 32 bytes in base64, a private key starts with `whsk_`.
"""

import binascii
import hmac
from collections.abc import Mapping
from typing import Annotated

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Meta, Struct

from service.errors import ConfigError
from service.events import Delivery
from service.secrets import SecretRef
from service.signatures.scheme import (
    ANY_TIME,
    SIGNATURES_MAX,
    NotVerified,
    Scheme,
    Tolerance,
    Verified,
    Verifier,
    resolve_all,
)
from service.signatures.signed_headers import check_fresh, read_id, read_timestamp

SECRET_PREFIX, PUBLIC_PREFIX, PRIVATE_PREFIX = "whsec_", "whpk_", "whsk_"
KEY_BYTES_MIN, KEY_BYTES_MAX = 24, 64
PUBLIC_KEYS_MAX = 4
ASYMMETRIC_MAX = 4
"""Maximum number of v1a signatures that are verified. Each takes as long as hashing a megabyte."""
ED25519_KEY_BYTES, ED25519_SIGNATURE_BYTES = 32, 64

PublicKey = Annotated[
    str, Meta(pattern=r"^whpk_[A-Za-z0-9+/]{43}=?\Z", description="the sender's public key: whpk_ and base64")
]


class StandardWebhooks(Scheme, frozen=True, kw_only=True, tag="standard_webhooks"):
    """Standard Webhooks. `secrets` verify v1, `public_keys` verify v1a; at least one of the two is required.

    One matching signature is sufficient. `header_prefix` is the prefix of the three headers. `tolerance_seconds` is the
    allowed difference between the timestamp and the clock; 0 disables the check.
    """

    header_prefix: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9-]{1,40}-\Z", description="the prefix of header names, such as webhook-")
    ] = "webhook-"
    tolerance_seconds: Tolerance = 300
    secrets: Annotated[tuple[SecretRef, ...], Meta(max_length=10, description="a list of secret references")] = ()
    public_keys: Annotated[tuple[PublicKey, ...], Meta(max_length=PUBLIC_KEYS_MAX, description="a list of keys")] = ()

    def build(self, environ: Mapping[str, str], at: str, /) -> Verifier:
        """Return the verifier.

        Raises:
            ConfigError: A key is missing or malformed.
        """
        if not self.secrets and not self.public_keys:
            raise ConfigError(f"{at}.secrets", "is missing", "add secrets: [{env: NAME}], or public_keys: [whpk_…]")
        secrets = resolve_all(self.secrets, environ, f"{at}.secrets")
        keys = tuple(read_key(secret, f"{at}.secrets[{index}]") for index, secret in enumerate(secrets))
        public = tuple(_read_public(text, f"{at}.public_keys[{index}]") for index, text in enumerate(self.public_keys))
        id_header, timestamp_header, signature_header = self._headers()
        return _Verifier(
            id_header=id_header,
            timestamp_header=timestamp_header,
            signature_header=signature_header,
            tolerance_seconds=self.tolerance_seconds,
            keys=keys,
            public_keys=public,
        )

    def sign(self, body: bytes, secret: str, event_id: str, timestamp: int, /) -> dict[str, str]:
        """Return the headers with id, timestamp and signature: v1a if the secret starts with whsk_, otherwise v1."""
        signed = _signed(event_id, str(timestamp), body)
        if secret.startswith(PRIVATE_PREFIX):
            signature = "v1a," + _base64(_read_private(secret).sign(signed))
        else:
            signature = "v1," + _digest(read_key(secret, "secret"), signed)
        return dict(zip(self._headers(), (event_id, str(timestamp), signature), strict=True))

    @property
    def refs(self) -> tuple[SecretRef, ...]:
        """References of the secrets."""
        return self.secrets

    @property
    def signed_parts(self) -> frozenset[str]:
        """All parts."""
        return frozenset({"id", "timestamp", "body"})

    def warnings(self, _environ: Mapping[str, str], /) -> tuple[str, ...]:
        """Return a warning if the timestamp check is disabled."""
        return () if self.tolerance_seconds else (ANY_TIME,)

    def _headers(self) -> tuple[str, str, str]:
        prefix = self.header_prefix.lower()
        return f"{prefix}id", f"{prefix}timestamp", f"{prefix}signature"


class _Verifier(Struct, frozen=True, kw_only=True):
    id_header: str
    timestamp_header: str
    signature_header: str
    tolerance_seconds: int
    keys: tuple[bytes, ...]
    public_keys: tuple[Ed25519PublicKey, ...]

    def verify(self, delivery: Delivery) -> Verified:
        headers = delivery.headers
        id_text, timestamp = read_id(headers, self.id_header), read_timestamp(headers, self.timestamp_header)
        signed = _signed(id_text, timestamp, delivery.body)
        if not self._matches(headers.get(self.signature_header, ""), signed):
            raise NotVerified(f"No signature in {self.signature_header} matches the delivery. Check the secret.")
        check_fresh(timestamp, delivery.received_at, self.tolerance_seconds)
        return Verified(id_text, signed, "." in id_text)

    def _matches(self, given: str, signed: bytes) -> bool:
        if not given.isascii():
            return False
        words = given.split(None, SIGNATURES_MAX)[:SIGNATURES_MAX]
        candidates = [word[3:].rstrip(",") for word in words if word.startswith("v1,")]
        matched = False
        for key in self.keys:
            expected = _digest(key, signed)
            for candidate in candidates:
                matched |= hmac.compare_digest(expected, candidate)
        return matched or (bool(self.public_keys) and self._matches_public(words, signed))

    def _matches_public(self, words: list[str], signed: bytes) -> bool:
        texts = [word[4:].rstrip(",") for word in words if word.startswith("v1a,")][:ASYMMETRIC_MAX]
        signatures = [_decode(text) for text in texts]
        return any(
            len(signature) == ED25519_SIGNATURE_BYTES and _verifies(key, signature, signed)
            for key in self.public_keys
            for signature in signatures
        )


def read_key(secret: str, at: str) -> bytes:
    """Return the key of a secret. The base64 padding is optional.

    Raises:
        ConfigError: The secret is not base64, or its key does not have 24 to 64 bytes.
    """
    fix = f"copy the sender's secret: {SECRET_PREFIX} and the key in base64"
    if secret.startswith(PUBLIC_PREFIX):
        raise ConfigError(at, "is a public key, not a secret", "move it to public_keys")
    text = secret.removeprefix(SECRET_PREFIX)
    try:
        key = binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except ValueError:
        raise ConfigError(at, "the secret is not base64", fix) from None
    if not KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
        raise ConfigError(at, f"the secret's key has {len(key)} bytes, not {KEY_BYTES_MIN} to {KEY_BYTES_MAX}", fix)
    return key


def _read_public(text: str, at: str) -> Ed25519PublicKey:
    base64 = text.removeprefix(PUBLIC_PREFIX)
    key = _decode(base64 + "=" * (-len(base64) % 4))
    if len(key) != ED25519_KEY_BYTES:
        raise ConfigError(at, "is not an Ed25519 public key", f"copy all of it: {PUBLIC_PREFIX} and 44 characters")
    return Ed25519PublicKey.from_public_bytes(key)


def _read_private(secret: str) -> Ed25519PrivateKey:
    """Return a private key. The secret may also contain the public key after it.

    Raises:
        ConfigError: The secret is not an Ed25519 private key.
    """
    key = _decode(secret.removeprefix(PRIVATE_PREFIX))
    if len(key) not in {ED25519_KEY_BYTES, 2 * ED25519_KEY_BYTES}:
        fix = f"write {PRIVATE_PREFIX} and 32 or 64 bytes in base64"
        raise ConfigError("secret", "is not an Ed25519 private key", fix)
    return Ed25519PrivateKey.from_private_bytes(key[:ED25519_KEY_BYTES])


def _verifies(key: Ed25519PublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def _signed(id_text: str, timestamp: str, body: bytes) -> bytes:
    return b"%b.%b.%b" % (id_text.encode(), timestamp.encode(), body)


def _digest(key: bytes, signed: bytes) -> str:
    return _base64(hmac.digest(key, signed, "sha256"))


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


def _decode(text: str) -> bytes:
    """Return the bytes of canonical base64; empty if `text` is anything else."""
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return b""
    return data if _base64(data) == text else b""
