"""`scheme: public_key`: signature of the delivery with a key pair of the sender. Waybill knows the public key only."""

import binascii
import functools
from collections.abc import Mapping
from typing import Annotated

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec import Meta

from service.errors import ConfigError
from service.secrets import SecretRef
from service.signatures.keys import ED25519_KEY_BYTES, PublicKey, load_public_key
from service.signatures.proofs import Proof, PublicKeyAlgorithm, PublicKeyProof, fits, sign_with
from service.signatures.signed_request import SignedRequest

PUBLIC_KEYS_MAX = 4
PRIVATE_PREFIX = "whsk_"

PublicKeys = Annotated[
    tuple[Annotated[str, Meta(min_length=1, description="a public key")] | SecretRef, ...],
    Meta(max_length=PUBLIC_KEYS_MAX, description="a list of public keys, each as text, {env: NAME} or {file: PATH}"),
]


class PublicKeySignature(SignedRequest, frozen=True, kw_only=True, tag="public_key"):
    """Signature with a key pair. `public_keys` are PEM, JWK or base64, as text or as a reference.

    The other fields are those of `hmac`.
    `algorithm` is configuration, never taken from the delivery: another algorithm cannot be forced on a key.
    """

    algorithm: PublicKeyAlgorithm
    public_keys: PublicKeys

    def build_proof(self, environ: Mapping[str, str], at: str, /) -> Proof:
        """Return the proof with the public keys."""
        keys = load_public_keys(self.public_keys, self.algorithm, environ, at)
        return PublicKeyProof(keys, self.algorithm, self.encoding)

    def make_signature(self, secret: str, signed: bytes, /) -> bytes:
        """Return the signature. The secret is a private key as PEM, or `whsk_` and base64."""
        return make_signature(secret, self.algorithm, signed)

    def warnings(self, environ: Mapping[str, str], /) -> tuple[str, ...]:
        """Return warnings about a disabled timestamp check, an unsigned body or a weak algorithm."""
        weak = ("sha1 is weak; use it only if the sender has no alternative",)
        return SignedRequest.warnings(self, environ) + (weak if self.algorithm.endswith("sha1") else ())


def load_public_keys(
    written: PublicKeys, algorithm: PublicKeyAlgorithm, environ: Mapping[str, str], at: str
) -> tuple[PublicKey, ...]:
    """Return the public keys of a source.

    Raises:
        ConfigError: A key is missing, malformed, or not one of the algorithm.
    """
    if not written:
        raise ConfigError(f"{at}.public_keys", "is empty", "add the sender's public key")
    found: list[PublicKey] = []
    for index, each in enumerate(written):
        path = f"{at}.public_keys[{index}]"
        text = each.resolve(environ, path) if isinstance(each, SecretRef) else each
        key = load_public_key(text, path)
        if not fits(key, algorithm):
            raise ConfigError(path, f"is not a key of {algorithm}", "correct the algorithm, or the key")
        found.append(key)
    return tuple(found)


def make_signature(secret: str, algorithm: PublicKeyAlgorithm, signed: bytes) -> bytes:
    """Sign with a private key, for test deliveries.

    Returns:
        The signature.

    Raises:
        ConfigError: The secret is not a private key of the algorithm.
    """
    try:
        return sign_with(_load_private(secret), algorithm, signed)
    except (ValueError, TypeError):
        fix = f"write a private key as PEM, or {PRIVATE_PREFIX} and 32 or 64 bytes in base64"
        raise ConfigError("secret", f"is not a private key of {algorithm}", fix) from None


@functools.lru_cache(maxsize=PUBLIC_KEYS_MAX)  # the check of an RSA key takes 25 ms
def _load_private(secret: str) -> PrivateKeyTypes:
    """Return a private key. After `whsk_` the secret may also contain the public key."""
    if not secret.startswith(PRIVATE_PREFIX):
        return load_pem_private_key(secret.encode(), None)
    key = binascii.a2b_base64(secret.removeprefix(PRIVATE_PREFIX), strict_mode=True)
    if len(key) not in {ED25519_KEY_BYTES, 2 * ED25519_KEY_BYTES}:
        raise ValueError("another length")
    return Ed25519PrivateKey.from_private_bytes(key[:ED25519_KEY_BYTES])
