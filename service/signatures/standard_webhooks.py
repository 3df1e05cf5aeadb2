"""`scheme: standard_webhooks`: signatures of the Standard Webhooks specification, v1 (HMAC) and v1a (Ed25519).

The signed bytes are `<id>.<timestamp>.<body>`. `webhook-signature` is a list of `v1,<base64>` and `v1a,<base64>`,
separated by spaces; other versions are skipped. A secret is `whsec_` and a key in base64. A public key is `whpk_` and
32 bytes in base64, a private key starts with `whsk_`.
"""

import hmac
from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

from service.errors import ConfigError
from service.secrets import SecretRef
from service.signatures.hmac_signature import short_key_warnings
from service.signatures.keys import PUBLIC_PREFIX, KeyEncoding, decode_secret
from service.signatures.proofs import Proof, PublicKeyProof, SecretKeyProof, encode_signature, hmac_keys
from service.signatures.public_key import PRIVATE_PREFIX, PublicKeys, load_public_keys, make_signature
from service.signatures.scheme import ANY_TIME, Scheme, Tolerance, Verifier, resolve_all
from service.signatures.signature_verifier import SignatureVerifier, TimestampReader
from service.signatures.templates import parse_template

SIGNED = "{id}.{timestamp}.{body}"


class StandardWebhooks(Scheme, frozen=True, kw_only=True, tag="standard_webhooks"):
    """Standard Webhooks. `secrets` verify v1, `public_keys` verify v1a; at least one of the two is required.

    One matching signature is sufficient. `header_prefix` is the prefix of the three headers. `tolerance_seconds` is the
    allowed difference between the timestamp and the clock; 0 disables the check. `key_encoding: text` is for
    senders that use the text of the secret as the key.
    """

    header_prefix: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9-]{1,40}-\Z", description="the prefix of header names, such as webhook-")
    ] = "webhook-"
    tolerance_seconds: Tolerance = 300
    secrets: Annotated[tuple[SecretRef, ...], Meta(max_length=10, description="a list of secret references")] = ()
    key_encoding: KeyEncoding = "base64"
    public_keys: PublicKeys = ()

    def build(self, environ: Mapping[str, str], at: str, /) -> Verifier:
        """Return the verifier.

        Raises:
            ConfigError: A key is missing or malformed.
        """
        if not self.secrets and not self.public_keys:
            raise ConfigError(f"{at}.secrets", "is missing", "add secrets: [{env: NAME}], or public_keys: [whpk_…]")
        id_header, timestamp_header, signature_header = self._headers()
        proofs: list[tuple[str, Proof]] = []
        if self.secrets:
            proofs.append(("v1,", SecretKeyProof(hmac_keys(self._keys(environ, at), "sha256"), "base64")))
        if self.public_keys:
            public = load_public_keys(self.public_keys, "ed25519", environ, at)
            proofs.append(("v1a,", PublicKeyProof(public, "ed25519", "base64")))
        return SignatureVerifier(
            place=signature_header,
            header=signature_header,
            read_signature=lambda delivery: delivery.headers.get(signature_header, ""),
            proofs=tuple(proofs),
            separator=" ",
            template=parse_template(SIGNED, f"{at}.signed"),
            id_header=id_header,
            timestamp=TimestampReader(timestamp_header, None, "", 0, " ", "seconds"),
            tolerance_seconds=self.tolerance_seconds,
        )

    def sign(self, body: bytes, secret: str, event_id: str, timestamp: int, /) -> dict[str, str]:
        """Return the headers with id, timestamp and signature: v1a if the secret starts with whsk_, otherwise v1."""
        signed = b"%b.%d.%b" % (event_id.encode(), timestamp, body)
        if secret.startswith(PRIVATE_PREFIX):
            signature = "v1a," + encode_signature(make_signature(secret, "ed25519", signed), "base64")
        else:
            key = decode_secret(secret, self.key_encoding, "secret")
            signature = "v1," + encode_signature(hmac.digest(key, signed, "sha256"), "base64")
        return dict(zip(self._headers(), (event_id, str(timestamp), signature), strict=True))

    @property
    def refs(self) -> tuple[SecretRef, ...]:
        """References of the secrets."""
        return self.secrets

    @property
    def signed_parts(self) -> frozenset[str]:
        """All parts."""
        return frozenset({"id", "timestamp", "body"})

    def warnings(self, environ: Mapping[str, str], /) -> tuple[str, ...]:
        """Return warnings about a disabled timestamp check and short keys."""
        short = short_key_warnings(self._keys(environ, "verify")) if self.key_encoding != "text" else []
        return (*(() if self.tolerance_seconds else (ANY_TIME,)), *short)

    def _headers(self) -> tuple[str, str, str]:
        prefix = self.header_prefix.lower()
        return f"{prefix}id", f"{prefix}timestamp", f"{prefix}signature"

    def _keys(self, environ: Mapping[str, str], at: str) -> tuple[bytes, ...]:
        secrets, keys = resolve_all(self.secrets, environ, f"{at}.secrets"), list[bytes]()
        for index, secret in enumerate(secrets):
            path = f"{at}.secrets[{index}]"
            if secret.startswith(PUBLIC_PREFIX):
                raise ConfigError(path, "is a public key, not a secret", "move it to public_keys")
            keys.append(decode_secret(secret, self.key_encoding, path))
        return tuple(keys)
