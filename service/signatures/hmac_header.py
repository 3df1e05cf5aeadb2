"""`scheme: hmac`: HMAC of the delivery in a header.

Header, algorithm, encoding, prefix and signed bytes are configurable, so a new platform needs a few lines of YAML.
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
    NotVerified,
    Scheme,
    Secrets,
    Tolerance,
    Verified,
    Verifier,
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
    """HMAC in a header: `prefix` and the encoded hash, once per secret of the sender, separated by commas or spaces.

    `signed` is a template of the signed bytes. It must include the id and the timestamp if their headers are set.
    With `timestamp_prefix`, the timestamp is the part of its header, split by commas, that starts with the prefix.
    `tolerance_seconds` is the allowed difference between the timestamp and the clock; 0 disables the check.
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
        """Return the verifier.

        Raises:
            ConfigError: A secret is missing, the template is not valid, or a header and the template contradict.
        """
        template = parse_template(self.signed, f"{at}.signed")
        for name, header in (("id", self.id_header), ("timestamp", self.timestamp_header)):
            if header and name not in template.names:
                fix = f"add {{{name}}} to {at}.signed, or remove {name}_header"
                raise ConfigError(f"{at}.{name}_header", "is not signed", fix)
            if not header and name in template.names:
                fix = f"name the header with the {name}, or remove {{{name}}} from {at}.signed"
                raise ConfigError(f"{at}.{name}_header", "is missing", fix)
        if self.timestamp_prefix and not self.timestamp_header:
            fix = "add timestamp_header, or remove timestamp_prefix"
            raise ConfigError(f"{at}.timestamp_prefix", "requires timestamp_header", fix)
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
        """Return the headers with signature, id and timestamp."""
        signed = parse_template(self.signed, "signed").fill(event_id, str(timestamp), body)
        signature = _encode(hmac.digest(secret.encode(), signed, self.algorithm), self.encoding)
        headers = {self.header.lower(): self.prefix + signature}
        if self.id_header:
            headers[self.id_header.lower()] = event_id
        if self.timestamp_header:
            name, text = self.timestamp_header.lower(), f"{self.timestamp_prefix}{timestamp}"
            headers[name] = f"{text},{headers[name]}" if name in headers else text
        return headers

    @property
    def refs(self) -> tuple[SecretRef, ...]:
        """References of the secrets."""
        return self.secrets

    @property
    def signed_parts(self) -> frozenset[str]:
        """Placeholders of the template."""
        return parse_template(self.signed, "signed").names

    def warnings(self, _environ: Mapping[str, str], /) -> tuple[str, ...]:
        """Return warnings about a disabled timestamp check or a weak algorithm."""
        if self.timestamp_header and not self.tolerance_seconds:
            return (ANY_TIME,)
        return ("sha1 is weak; use it only if the sender has no alternative",) if self.algorithm == "sha1" else ()


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
    """One initialized HMAC per secret. Copying it takes half the time of creating it."""

    def verify(self, delivery: Delivery) -> Verified:
        headers = delivery.headers
        given = headers.get(self.header)
        if not given:
            raise NotVerified(f"Missing header {self.header}. Sign the delivery in it.")
        id_text = read_id(headers, self.id_header) if self.id_header else ""
        name = self.timestamp_header
        timestamp = read_timestamp(headers, name, self.timestamp_prefix) if name else ""
        signed = self.template.fill(id_text, timestamp, delivery.body)
        if not self._matches(given, signed):
            raise NotVerified(f"The signature in {self.header} does not match the delivery. Check the secret.")
        # Check the timestamp after the signature: an unsigned timestamp proves nothing.
        if timestamp:
            check_fresh(timestamp, delivery.received_at, self.tolerance_seconds)
        if not id_text:
            return Verified(None, signed)
        return Verified(id_text, signed, any(separator in id_text for separator in self.template.separators))

    def _matches(self, given: str, signed: bytes) -> bool:
        candidates = _candidates(given, self.prefix, fold=self.encoding == "hex")
        matched = False
        for key in self.keys:
            keyed = key.copy()
            keyed.update(signed)
            expected = _encode(keyed.digest(), self.encoding)
            for candidate in candidates:
                # No early exit: the duration must not depend on the secret or signature that matches.
                matched |= hmac.compare_digest(expected, candidate)
        return matched


def _candidates(given: str, prefix: str, *, fold: bool) -> list[str]:
    """Return the signatures of a header, without prefix; none if the header is not ASCII."""
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
