"""Proofs: comparison of the signatures in a delivery with its signed bytes, by secret or by public key."""

import binascii
import hmac
from typing import Literal, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from msgspec import Struct

from service.signatures.keys import PublicKey, key_bytes

HashAlgorithm = Literal["sha1", "sha256", "sha384", "sha512"]
Encoding = Literal["hex", "base64", "base64url"]
PublicKeyAlgorithm = Literal[
    "ed25519", "rsa_sha256", "rsa_sha384", "rsa_sha512", "rsa_pss_sha256", "rsa_pss_sha384", "rsa_pss_sha512",
    "ecdsa_sha1", "ecdsa_sha256", "ecdsa_sha384", "ecdsa_sha512",
]  # fmt: skip
"""Algorithm of a signature with a public key. `rsa_sha256` is RSASSA-PKCS1-v1_5."""

CHECKS_MAX = 8
"""Maximum number of public key operations for one delivery. Each takes as long as hashing a megabyte."""

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),  # noqa: S303 - eBay signs with it
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


class Proof(Protocol):
    """Keys of one source, and the way to check signatures with them."""

    def matches(self, signatures: list[str], signed: bytes) -> bool:
        """Return whether one of the encoded signatures is valid for the signed bytes."""
        ...


class SecretKeyProof(Struct, frozen=True):
    """HMAC with one of several secrets. `keys` are initialized, since copying takes half the time of creating one."""

    keys: tuple[hmac.HMAC, ...]
    encoding: Encoding

    def matches(self, signatures: list[str], signed: bytes) -> bool:
        """Compare in constant time."""
        encoding = self.encoding
        if encoding == "hex":
            signatures = [signature.lower() for signature in signatures]
        matched = False
        for key in self.keys:
            keyed = key.copy()
            keyed.update(signed)
            digest = keyed.digest()
            expected = digest.hex() if encoding == "hex" else encode_signature(digest, encoding)
            for signature in signatures:
                # No early exit: the duration must not depend on the secret or signature that matches.
                matched |= hmac.compare_digest(expected, signature)
        return matched


class PublicKeyProof(Struct, frozen=True):
    """Signature with one of several key pairs."""

    keys: tuple[PublicKey, ...]
    algorithm: PublicKeyAlgorithm
    encoding: Encoding

    def matches(self, signatures: list[str], signed: bytes) -> bool:
        """Check at most `CHECKS_MAX` combinations of a key and a signature."""
        decoded = [data for text in signatures if (data := decode_signature(text, self.encoding))]
        pairs = [(key, signature) for signature in decoded for key in self.keys]
        return any(is_valid(key, self.algorithm, signature, signed) for key, signature in pairs[:CHECKS_MAX])


def hmac_keys(keys: tuple[bytes, ...], algorithm: HashAlgorithm) -> tuple[hmac.HMAC, ...]:
    """Return initialized HMACs."""
    return tuple(hmac.new(key, None, algorithm) for key in keys)


def is_valid(key: PublicKey, algorithm: PublicKeyAlgorithm, signature: bytes, signed: bytes) -> bool:
    """Return whether a signature is valid. A signature of ECDSA is DER, or both numbers in their full length."""
    _, _, name = algorithm.rpartition("_")
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, signed)
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, _padding(algorithm), _HASHES[name])
        else:
            key.verify(_to_der(signature, key_bytes(key)), signed, ec.ECDSA(_HASHES[name]))
    except InvalidSignature:
        return False
    return True


def sign_with(key: PrivateKeyTypes, algorithm: PublicKeyAlgorithm, signed: bytes) -> bytes:
    """Sign with a private key, for test deliveries. A signature of ECDSA is DER.

    Returns:
        The signature.

    Raises:
        TypeError: The key is of another kind than the algorithm.
    """
    _, _, name = algorithm.rpartition("_")
    if isinstance(key, Ed25519PrivateKey) and algorithm == "ed25519":
        return key.sign(signed)
    if isinstance(key, rsa.RSAPrivateKey) and algorithm.startswith("rsa"):
        return key.sign(signed, _padding(algorithm), _HASHES[name])
    if isinstance(key, ec.EllipticCurvePrivateKey) and algorithm.startswith("ecdsa"):
        return key.sign(signed, ec.ECDSA(_HASHES[name]))
    raise TypeError(f"the private key is not one of {algorithm}")


def fits(key: PublicKey, algorithm: PublicKeyAlgorithm) -> bool:
    """Return whether a key is one of the algorithm."""
    kind = "ed25519" if isinstance(key, Ed25519PublicKey) else "rsa" if isinstance(key, rsa.RSAPublicKey) else "ecdsa"
    return algorithm.startswith(kind)


def encode_signature(signature: bytes, encoding: Encoding) -> str:
    """Encode a signature."""
    if encoding == "hex":
        return signature.hex()
    text = binascii.b2a_base64(signature, newline=False).decode()
    if encoding == "base64":
        return text
    return text.replace("+", "-").replace("/", "_").rstrip("=")


def decode_signature(text: str, encoding: Encoding) -> bytes:
    """Return the bytes of a signature; empty if the text is not in the encoding, or not in its canonical form."""
    try:
        if encoding == "hex":
            return binascii.a2b_hex(text)
        padded = text if encoding == "base64" else text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4)
        signature = binascii.a2b_base64(padded, strict_mode=True)
    except ValueError:
        return b""
    return signature if encode_signature(signature, encoding) == text else b""


def _padding(algorithm: str) -> padding.PSS | padding.PKCS1v15:
    if not algorithm.startswith("rsa_pss"):
        return padding.PKCS1v15()
    return padding.PSS(padding.MGF1(_HASHES[algorithm.rpartition("_")[2]]), padding.PSS.DIGEST_LENGTH)


def _to_der(signature: bytes, size: int) -> bytes:
    if len(signature) != 2 * size:
        return signature
    return encode_dss_signature(int.from_bytes(signature[:size]), int.from_bytes(signature[size:]))
