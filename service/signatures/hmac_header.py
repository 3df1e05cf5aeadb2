"""`scheme: hmac`: a keyed hash of the delivery in a header, as most platforms do it, each in its own dress.

Header, hash, encoding, prefix and the signed bytes are data, so a platform's way of signing is a few lines of YAML.
"""

import binascii
import hmac
from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from service.errors import ConfigError
from service.events import Delivery
from service.secrets import SecretRef
from service.signatures.scheme import (
    ANY_TIME,
    SIGNATURES_MAX,
    HeaderName,
    Scheme,
    Secrets,
    Tolerance,
    Verified,
    Verifier,
    not_verified,
    resolve_all,
)
from service.signatures.signed_headers import check_fresh, read_id, read_timestamp
from service.signatures.templates import SignedTemplate, parse_template

Algorithm = Literal["sha1", "sha256", "sha512"]
Encoding = Literal["hex", "base64"]
Prefix = Annotated[
    str, Meta(pattern=r"^([!-+.-~-][ -+.-~-]*)?\Z", max_length=64, description="ASCII text without a comma")
]


class Hmac(Scheme, frozen=True, kw_only=True, tag="hmac"):
    """The header holds `prefix` and the encoded hash, once per secret the sender uses, split by commas or spaces.

    `signed` is what is hashed. An id or a timestamp header must be part of it, or it would prove nothing.
    With a `timestamp_prefix` the timestamp is the one part of its header, split by commas, that begins with it.
    `tolerance_seconds` bounds how far the timestamp may lie in the past or the future; 0 does not look.
    """

    header: HeaderName
    algorithm: Algorithm = "sha256"
    encoding: Encoding = "hex"
    prefix: Prefix = ""
    signed: str = "{body}"
    id_header: HeaderName | None = None
    timestamp_header: HeaderName | None = None
    timestamp_prefix: Prefix = ""
    tolerance_seconds: Tolerance = 300
    secrets: Secrets

    def build(self, environ: Mapping[str, str], at: str, /) -> Verifier:
        """See Scheme."""
        template = parse_template(self.signed, f"{at}.signed")
        for name, header in (("id", self.id_header), ("timestamp", self.timestamp_header)):
            if header and name not in template.names:
                raise ConfigError(f"{at}.{name}_header", "is not signed", f"put {{{name}}} into signed, or remove it")
            if not header and name in template.names:
                raise ConfigError(f"{at}.{name}_header", "is missing", f"name the header that holds the {name}")
        if self.timestamp_prefix and not self.timestamp_header:
            raise ConfigError(f"{at}.timestamp_prefix", "has no header", "add timestamp_header, or remove it")
        secrets = resolve_all(self.secrets, environ, f"{at}.secrets")
        return _Verifier(
            header=self.header.lower(),
            algorithm=self.algorithm,
            encoding=self.encoding,
            prefix=self.prefix,
            template=template,
            id_header=(self.id_header or "").lower(),
            timestamp_header=(self.timestamp_header or "").lower(),
            timestamp_prefix=self.timestamp_prefix,
            tolerance_seconds=self.tolerance_seconds,
            keys=tuple(hmac.new(secret.encode(), None, self.algorithm) for secret in secrets),
        )

    def sign(self, body: bytes, secret: str, event_id: str, timestamp: int, /) -> dict[str, str]:
        """See Scheme."""
        signed = parse_template(self.signed, "signed").fill(event_id, str(timestamp), body)
        signature = _encode(hmac.digest(secret.encode(), signed, self.algorithm), self.encoding)
        headers = {self.header.lower(): self.prefix + signature}
        if self.id_header:
            headers[self.id_header.lower()] = event_id
        if self.timestamp_header:
            name, moment = self.timestamp_header.lower(), f"{self.timestamp_prefix}{timestamp}"
            headers[name] = f"{moment},{headers[name]}" if name in headers else moment
        return headers

    @property
    def refs(self) -> tuple[SecretRef, ...]:
        """See Scheme."""
        return self.secrets

    @property
    def signed_parts(self) -> frozenset[str]:
        """See Scheme."""
        return parse_template(self.signed, "signed").names

    def warnings(self, _environ: Mapping[str, str], /) -> tuple[str, ...]:
        """See Scheme."""
        if self.timestamp_header and not self.tolerance_seconds:
            return (ANY_TIME,)
        return ("sha1 is weak; use it only where the sender offers nothing better",) if self.algorithm == "sha1" else ()


class _Verifier(Struct, frozen=True, kw_only=True):
    header: str
    algorithm: Algorithm
    encoding: Encoding
    prefix: str
    template: SignedTemplate
    id_header: str
    timestamp_header: str
    timestamp_prefix: str
    tolerance_seconds: int
    keys: tuple[hmac.HMAC, ...]
    """One keyed hash for each secret, begun and never fed: a copy of it is half the work of beginning anew."""

    def verify(self, delivery: Delivery) -> Verified:
        headers = delivery.headers
        given = headers.get(self.header)
        if not given:
            raise not_verified(f"Sign the delivery in {self.header}.")
        id_text = read_id(headers, self.id_header) if self.id_header else ""
        name = self.timestamp_header
        timestamp = read_timestamp(headers, name, self.timestamp_prefix) if name else ""
        signed = self.template.fill(id_text, timestamp, delivery.body)
        if not self._matches(given, signed):
            raise not_verified(f"The signature in {self.header} does not match the delivery.")
        # Behind the signature, since before it the time is nobody's word.
        if timestamp:
            check_fresh(timestamp, delivery.received_at, self.tolerance_seconds)
        if not id_text:
            return Verified(None, signed)
        return Verified(id_text, signed, any(seam in id_text for seam in self.template.seams))

    def _matches(self, given: str, signed: bytes) -> bool:
        candidates = _candidates(given, self.prefix, fold=self.encoding == "hex")
        matched = False
        for key in self.keys:
            keyed = key.copy()
            keyed.update(signed)
            expected = _encode(keyed.digest(), self.encoding)
            for candidate in candidates:
                # No early end: the time must not tell which secret, or how many signatures, were compared.
                matched |= hmac.compare_digest(expected, candidate)
        return matched


def _candidates(given: str, prefix: str, *, fold: bool) -> list[str]:
    """Split a header into signatures without their prefix; what is not ASCII cannot match and is left out."""
    if not given.isascii():
        return []
    pieces = given.split(",", SIGNATURES_MAX) if "," in given else [given]
    if " " in given and " " not in prefix:
        pieces = [word for piece in pieces for word in piece.split()]
    cut = len(prefix)
    found = [piece.strip()[cut:] for piece in pieces[:SIGNATURES_MAX] if piece.strip().startswith(prefix)]
    return [signature.lower() for signature in found] if fold else found


def _encode(digest: bytes, encoding: Encoding) -> str:
    return digest.hex() if encoding == "hex" else binascii.b2a_base64(digest, newline=False).decode()
