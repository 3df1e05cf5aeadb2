"""Keys: secrets in their encodings, and public keys in the forms that senders publish."""

import binascii
import json
import re
from typing import Any, Literal, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from service.errors import ConfigError

KeyEncoding = Literal["text", "hex", "base64"]
"""Encoding of a secret. `base64` also accepts the prefixes `whsec_` and `v1,whsec_` of Standard Webhooks."""
PublicKey = Ed25519PublicKey | rsa.RSAPublicKey | ec.EllipticCurvePublicKey

SECRET_PREFIX, PUBLIC_PREFIX = "whsec_", "whpk_"
KEY_BYTES_RECOMMENDED = 16
PUBLIC_KEY_CHARACTERS_MAX = 16_384
RSA_BITS_MIN, RSA_BITS_MAX = 1_024, 8_192
"""A larger modulus takes too long for a request that is not verified yet."""
ED25519_KEY_BYTES = 32

_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----(.*)-----END PUBLIC KEY-----", re.DOTALL)
_CURVES: dict[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}


def decode_secret(secret: str, encoding: KeyEncoding, at: str) -> bytes:
    """Return the key of a secret. The base64 padding is optional.

    Raises:
        ConfigError: The secret does not have the encoding, or its key is empty. The error never contains the secret.
    """
    if encoding == "text":
        return secret.encode()
    try:
        key = bytes.fromhex(secret) if encoding == "hex" else _from_base64(_without_prefix(secret))
    except ValueError:
        key = b""
    if not key:
        raise ConfigError(at, f"the secret is not {encoding}", "copy all of the secret as the sender shows it")
    return key


def load_public_key(text: str, at: str) -> PublicKey:
    """Return a public key: PEM, JWK, `whpk_` with base64, DER in base64, or a raw Ed25519 key in hex or base64.

    Raises:
        ConfigError: The text is not a supported public key, or its size is not accepted.
    """
    reason = "is not a public key"
    if len(text) <= PUBLIC_KEY_CHARACTERS_MAX:
        try:
            return _check_size(_load(text.strip()))
        except (ValueError, TypeError, KeyError, UnsupportedAlgorithm) as error:
            reason = f"is not a public key ({type(error).__name__})" if not str(error) else f"is not accepted: {error}"
    fix = "write the sender's public key as PEM, JWK, or base64; Ed25519, RSA of 1024 to 8192 bits, or P-256 to P-521"
    raise ConfigError(at, reason, fix)


def key_bytes(key: PublicKey) -> int:
    """Return the size of a coordinate of an elliptic curve key, or of an RSA modulus, in bytes."""
    return ED25519_KEY_BYTES if isinstance(key, Ed25519PublicKey) else (key.key_size + 7) // 8


def _load(text: str) -> PublicKey:
    if text.startswith("{"):
        return _from_jwk(json.loads(text))
    pem = _PEM.search(text)  # some senders publish PEM without line breaks
    if pem or text.startswith("-----"):
        return _from_der(_from_base64("".join(pem[1].split()) if pem else ""))
    if len(text) == 2 * ED25519_KEY_BYTES:
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
    key, encoded = _from_base64(text.removeprefix(PUBLIC_PREFIX)), text.removeprefix(PUBLIC_PREFIX).rstrip("=")
    # A last character with unused bits set is a typing mistake.
    if binascii.b2a_base64(key, newline=False).decode().rstrip("=") != encoded:
        raise ValueError("base64 with unused bits set")
    return Ed25519PublicKey.from_public_bytes(key) if len(key) == ED25519_KEY_BYTES else _from_der(key)


def _from_der(der: bytes) -> PublicKey:
    key = load_der_public_key(der)
    if isinstance(key, Ed25519PublicKey | rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return key
    raise ValueError("another kind of key")


def _from_jwk(data: object) -> PublicKey:
    jwk = cast("dict[str, Any]", data)
    match jwk["kty"]:
        case "OKP" if jwk["crv"] == "Ed25519":
            return Ed25519PublicKey.from_public_bytes(_from_base64(jwk["x"]))
        case "EC":
            x, y = (int.from_bytes(_from_base64(jwk[name])) for name in "xy")
            return ec.EllipticCurvePublicNumbers(x, y, _CURVES[jwk["crv"]]).public_key()
        case "RSA":
            n, e = (int.from_bytes(_from_base64(jwk[name])) for name in "ne")
            return rsa.RSAPublicNumbers(e, n).public_key()
        case _:
            raise ValueError("another kind of key")


def _check_size(key: PublicKey) -> PublicKey:
    if isinstance(key, rsa.RSAPublicKey) and not RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX:
        raise ValueError(f"{key.key_size} bits")
    if isinstance(key, ec.EllipticCurvePublicKey) and type(key.curve) not in {type(each) for each in _CURVES.values()}:
        raise ValueError(f"curve {key.curve.name}")
    return key


def _without_prefix(secret: str) -> str:
    return secret.removeprefix("v1,").removeprefix(SECRET_PREFIX)


def _from_base64(text: str) -> bytes:
    """Decode base64 or base64url; the padding is optional.

    Returns:
        The bytes.

    Raises:
        ValueError: The text is not base64.
    """
    text = text.rstrip("=").replace("-", "+").replace("_", "/")
    return binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
