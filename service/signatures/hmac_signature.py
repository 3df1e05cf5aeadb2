"""`scheme: hmac`: HMAC of the delivery."""

import hmac
from collections.abc import Mapping

from service.secrets import SecretRef
from service.signatures.keys import KEY_BYTES_RECOMMENDED, KeyEncoding, decode_secret
from service.signatures.proofs import HashAlgorithm, Proof, SecretKeyProof, hmac_keys
from service.signatures.scheme import Secrets, resolve_all
from service.signatures.signed_request import SignedRequest


class Hmac(SignedRequest, frozen=True, kw_only=True, tag="hmac"):
    """HMAC: `prefix` and the encoded hash, once per secret of the sender, separated by `separator` or spaces.

    The signature is in a `header`, a `query` parameter, a `form` field or the body at a `pointer`. With `member`, the
    header holds a JSON object in base64, with the signature in this member. `signed` is a template of the signed
    bytes. It must include the id and the timestamp if their places are set. `{url}` is the `url` of the source, as it
    is registered at the sender. With `timestamp_prefix` or `timestamp_position`, the timestamp is one part of its
    header. `tolerance_seconds` is the allowed difference between the timestamp and the clock; 0 disables the check.
    """

    algorithm: HashAlgorithm = "sha256"
    secrets: Secrets
    key_encoding: KeyEncoding = "text"

    def build_proof(self, environ: Mapping[str, str], at: str, /) -> Proof:
        """Return the proof with the secrets."""
        return SecretKeyProof(hmac_keys(self._keys(environ, at), self.algorithm), self.encoding)

    def make_signature(self, secret: str, signed: bytes, /) -> bytes:
        """Return the HMAC."""
        return hmac.digest(decode_secret(secret, self.key_encoding, "secret"), signed, self.algorithm)

    @property
    def refs(self) -> tuple[SecretRef, ...]:
        """References of the secrets."""
        return self.secrets

    def warnings(self, environ: Mapping[str, str], /) -> tuple[str, ...]:
        """Return warnings about a disabled timestamp check, an unsigned body, a weak algorithm or short keys."""
        found = list(SignedRequest.warnings(self, environ))
        if self.algorithm == "sha1":
            found.append("sha1 is weak; use it only if the sender has no alternative")
        if self.key_encoding != "text":
            found += short_key_warnings(self._keys(environ, "verify"))
        return tuple(found)

    def _keys(self, environ: Mapping[str, str], at: str) -> tuple[bytes, ...]:
        secrets = resolve_all(self.secrets, environ, f"{at}.secrets")
        return tuple(
            decode_secret(secret, self.key_encoding, f"{at}.secrets[{index}]") for index, secret in enumerate(secrets)
        )


def short_key_warnings(keys: tuple[bytes, ...]) -> list[str]:
    """Return a warning if a decoded key is short."""
    short = [key for key in keys if len(key) < KEY_BYTES_RECOMMENDED]
    text = f"the key of a secret has {len(short[0])} bytes; compare it with the sender's" if short else ""
    return [text] if short else []
