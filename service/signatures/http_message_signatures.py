"""`scheme: http_message_signatures`: HTTP Message Signatures (RFC 9421), with the body by Content-Digest (RFC 9530).

The algorithm is configuration, never taken from the delivery, and the configured components must be signed. So a
signature over less, or by another algorithm, is rejected.
"""

import hmac
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from service.bodies.forms import parse_query
from service.errors import ConfigError, Rejection
from service.events import Delivery
from service.secrets import SecretRef
from service.signatures.content_digest import content_digest, matches_digest
from service.signatures.keys import KeyEncoding, decode_secret
from service.signatures.proofs import (
    Proof,
    PublicKeyAlgorithm,
    PublicKeyProof,
    SecretKeyProof,
    encode_signature,
    hmac_keys,
)
from service.signatures.public_key import PublicKeys, load_public_keys, make_signature
from service.signatures.scheme import (
    ANY_TIME,
    HeaderName,
    NotVerified,
    Scheme,
    Tolerance,
    Verified,
    Verifier,
    resolve_all,
)
from service.signatures.signature_verifier import read_id
from service.signatures.signed_request import Address
from service.signatures.structured_fields import Parameters, parse_bytes, parse_dictionary, parse_inner_list, unquote
from service.signatures.timestamps import check_fresh

Algorithm = Literal[
    "hmac-sha256", "ed25519", "rsa-v1_5-sha256", "rsa-pss-sha512", "ecdsa-p256-sha256", "ecdsa-p384-sha384"
]
"""Registered names of RFC 9421, section 6.2."""
Component = Annotated[
    str,
    Meta(pattern=r"^@?[a-z0-9!#$%&'*+.^_`|~-]{1,64}\Z", description="a component such as @method"),
]

Label = Annotated[str, Meta(pattern=r"^[a-z*][a-z0-9_.*-]{0,63}\Z", description="a label such as sig1")]
KeyId = Annotated[
    str, Meta(pattern=r"^[!#-\[\]-~][ !#-\[\]-~]{0,199}\Z", description="a key id of up to 200 ASCII characters")
]

CHECKED_MAX = 4
"""Maximum number of signatures of one delivery that are checked."""
DIGEST = "content-digest"
PUBLIC_ALGORITHMS: dict[Algorithm, PublicKeyAlgorithm] = {
    "ed25519": "ed25519",
    "rsa-v1_5-sha256": "rsa_sha256",
    "rsa-pss-sha512": "rsa_pss_sha512",
    "ecdsa-p256-sha256": "ecdsa_sha256",
    "ecdsa-p384-sha384": "ecdsa_sha384",
}
"""Algorithm of the key by the registered name."""
_SIZES = {"ecdsa-p256-sha256": 256, "ecdsa-p384-sha384": 384}


class HttpMessageSignatures(Scheme, frozen=True, kw_only=True, tag="http_message_signatures"):
    """HTTP Message Signatures. `secrets` are for `hmac-sha256`, `public_keys` for the other algorithms.

    `components` must be signed; others may be. With `label`, `tag` or `key_id` only that signature counts. `url` is the
    address as it is registered at the sender; it is required if the sender signs address or path. The event id is in
    the `id_header`, which must be a component. `tolerance_seconds` applies to `created`; 0 disables the check.
    """

    algorithm: Algorithm
    components: Annotated[tuple[Component, ...], Meta(min_length=1, max_length=20, description="a list")] = (DIGEST,)
    label: Label | None = None
    tag: Annotated[str, Meta(min_length=1, max_length=64, description="a tag")] | None = None
    key_id: KeyId | None = None
    url: Address | None = None
    id_header: HeaderName | None = None
    tolerance_seconds: Tolerance = 300
    secrets: Annotated[tuple[SecretRef, ...], Meta(max_length=10, description="a list of secret references")] = ()
    key_encoding: KeyEncoding = "text"
    public_keys: PublicKeys = ()

    def build(self, environ: Mapping[str, str], at: str, /) -> Verifier:
        """Return the verifier.

        Raises:
            ConfigError: A key is missing or malformed, or the id is not signed.
        """
        if self.id_header and self.id_header.lower() not in self.components:
            raise ConfigError(f"{at}.id_header", "is not signed", f"add {self.id_header.lower()} to {at}.components")
        return _Verifier(self, self._proof(environ, at))

    def _proof(self, environ: Mapping[str, str], at: str) -> Proof:
        required, other = ("secrets", "public_keys") if self.algorithm == "hmac-sha256" else ("public_keys", "secrets")
        if not getattr(self, required):
            raise ConfigError(f"{at}.{required}", "is missing", f"add {required}: the keys of {self.algorithm}")
        if getattr(self, other):
            raise ConfigError(
                f"{at}.{other}", f"are not keys of {self.algorithm}", f"remove {other}, or correct algorithm"
            )
        if required == "secrets":
            return SecretKeyProof(hmac_keys(self._keys(environ, at), "sha256"), "base64")
        algorithm = PUBLIC_ALGORITHMS[self.algorithm]
        keys = load_public_keys(self.public_keys, algorithm, environ, at)
        bits = _SIZES.get(self.algorithm)
        if any(bits not in {None, getattr(key, "key_size", None)} for key in keys):
            raise ConfigError(f"{at}.public_keys", f"have another curve than {self.algorithm}", "correct the algorithm")
        return PublicKeyProof(keys, algorithm, "base64")

    def _keys(self, environ: Mapping[str, str], at: str) -> tuple[bytes, ...]:
        secrets = resolve_all(self.secrets, environ, f"{at}.secrets")
        return tuple(
            decode_secret(secret, self.key_encoding, f"{at}.secrets[{index}]") for index, secret in enumerate(secrets)
        )

    def sign_delivery(self, delivery: Delivery, secret: str, event_id: str, /) -> Delivery:
        """Sign a delivery as the sender does.

        Returns:
            The delivery with its digest and signature.
        """
        headers = {**delivery.headers, DIGEST: content_digest(delivery.body)}
        if self.id_header:
            headers[self.id_header.lower()] = event_id
        listed = " ".join(f'"{name}"' for name in self.components)
        named = "".join(f';{name}="{value}"' for name, value in (("keyid", self.key_id), ("tag", self.tag)) if value)
        given = f'({listed});created={int(delivery.received_at)};alg="{self.algorithm}"{named}'
        draft = msgspec.structs.replace(delivery, headers=headers)
        base = _signature_base(draft, given, [(name, {}) for name in self.components], self.url)
        if self.algorithm == "hmac-sha256":
            signature = hmac.digest(decode_secret(secret, self.key_encoding, "secret"), base, "sha256")
        else:
            signature = make_signature(secret, PUBLIC_ALGORITHMS[self.algorithm], base)
        label = self.label or "sig1"
        headers["signature-input"] = f"{label}={given}"
        headers["signature"] = f"{label}=:{encode_signature(signature, 'base64')}:"
        return msgspec.structs.replace(draft, headers=headers)

    def sign(self, body: bytes, secret: str, event_id: str, timestamp: int, /) -> dict[str, str]:
        """Return the headers with digest and signature."""
        return dict(self.sign_delivery(Delivery("", {}, body, timestamp), secret, event_id).headers)

    @property
    def refs(self) -> tuple[SecretRef, ...]:
        """References of the secrets."""
        return self.secrets

    @property
    def signed_parts(self) -> frozenset[str]:
        """The body, if its digest must be signed, and the id. A new `created` does not make another event."""
        body = {"body"} if DIGEST in self.components else set[str]()
        return frozenset(body | {"id"}) if self.id_header else frozenset(body)

    def warnings(self, _environ: Mapping[str, str], /) -> tuple[str, ...]:
        """Return warnings about a disabled timestamp check, and about a body that need not be signed."""
        found = [] if self.tolerance_seconds else [ANY_TIME]
        if DIGEST not in self.components:
            found.append(f"components does not contain {DIGEST}: the body is not verified")
        return tuple(found)


class _Verifier(Struct, frozen=True):
    scheme: HttpMessageSignatures
    proof: Proof

    def verify(self, delivery: Delivery) -> Verified:
        headers, scheme = delivery.headers, self.scheme
        try:
            inputs, signatures = (parse_dictionary(headers.get(name, "")) for name in ("signature-input", "signature"))
        except ValueError:
            raise NotVerified("Signature-Input or Signature is not a dictionary (RFC 9421).") from None
        labels = [label for label in inputs if label in signatures and scheme.label in {None, label}]
        failures: list[Rejection] = []
        for label in labels[:CHECKED_MAX]:
            try:
                self._check(delivery, inputs[label], signatures[label])
            except Rejection as rejection:
                failures.append(rejection)
            else:
                event_id = read_id(headers, scheme.id_header.lower()) if scheme.id_header else None
                # The body alone: with several signatures, a client could choose the signed bytes.
                return Verified(event_id, delivery.body)
        if failures:
            raise failures[0]
        raise NotVerified("Missing signature. Send the headers Signature-Input and Signature (RFC 9421).")

    def _check(self, delivery: Delivery, given: str, signature: str) -> None:
        scheme = self.scheme
        components, parameters, encoded = _parse_signature(given, signature)
        names = [name for name, own in components if not own]
        if missing := [name for name in scheme.components if name not in names]:
            raise NotVerified(f"The signature does not cover {', '.join(missing)}. Sign these components.")
        if len({(name, *own.items()) for name, own in components}) != len(components):
            raise NotVerified("The signature covers a component twice.")
        if unquote(parameters.get("alg", scheme.algorithm)) != scheme.algorithm:
            raise NotVerified(f"The signature has another algorithm. Sign with {scheme.algorithm}.")
        if scheme.tag is not None and unquote(parameters.get("tag", "")) != scheme.tag:
            raise NotVerified(f"The signature has another tag. Sign with the tag {scheme.tag}.")
        if scheme.key_id is not None and unquote(parameters.get("keyid", "")) != scheme.key_id:
            raise NotVerified(f"The signature has another key id. Sign with the key {scheme.key_id}.")
        base = _signature_base(delivery, given, components, scheme.url)
        if not self.proof.matches([encoded], base):
            raise NotVerified("The signature does not match the delivery. Check the key.")
        if DIGEST in names and not matches_digest(delivery.headers.get(DIGEST, ""), delivery.body):
            raise NotVerified("Content-Digest does not match the body. Send sha-256 or sha-512 of the body (RFC 9530).")
        _check_times(parameters, delivery.received_at, scheme.tolerance_seconds)


def _parse_signature(given: str, signature: str) -> tuple[list[tuple[str, Parameters]], Parameters, str]:
    """Return the components, the parameters of the list, and the signature in base64."""
    try:
        components, parameters = parse_inner_list(given)
        return components, parameters, encode_signature(parse_bytes(signature), "base64")
    except ValueError:
        raise NotVerified("Signature-Input or Signature is malformed (RFC 9421).") from None


def _check_times(parameters: Parameters, received_at: float, tolerance_seconds: int) -> None:
    try:
        created = int(parameters["created"]) if "created" in parameters or tolerance_seconds else received_at
        expires = int(parameters.get("expires", "999999999999999"))
    except (KeyError, ValueError):
        raise NotVerified("The signature has no valid time. Send created as whole seconds.") from None
    check_fresh(created, received_at, tolerance_seconds)
    if expires < received_at:
        raise Rejection(401, "stale_timestamp", "The signature has expired. Sign again.")


def _signature_base(delivery: Delivery, given: str, components: list[tuple[str, Parameters]], url: str | None) -> bytes:
    """Return the signed bytes (RFC 9421, section 2.5).

    Raises:
        NotVerified: A component is missing, or not supported.
    """
    lines: list[str] = []
    for name, own in components:
        value = _derived(delivery, name, own, url) if name.startswith("@") else delivery.headers.get(name)
        if value is None or (own and name != "@query-param"):
            raise NotVerified(f"The signed component {name} is missing or not supported.")
        suffix = "".join(f";{key}={text}" for key, text in own.items())
        lines.append(f'"{name}"{suffix}: {value.strip()}')
    lines.append(f'"@signature-params": {given}')
    return "\n".join(lines).encode("latin-1", "replace")


def _derived(delivery: Delivery, name: str, own: Parameters, url: str | None) -> str | None:
    """Return a derived component (RFC 9421, section 2.2). The address is configuration, not the Host of a client."""
    if name == "@method":
        return delivery.method
    if name == "@query":
        return f"?{delivery.query}"
    if name == "@query-param" and own.keys() == {"name"}:
        return parse_query(delivery.query).get(unquote(own["name"]))
    if url is None:
        return None
    parts, query = urlsplit(url), f"?{delivery.query}" if delivery.query else ""
    default = {"http": ":80", "https": ":443"}[parts.scheme]
    return {
        "@scheme": parts.scheme,
        "@authority": parts.netloc.lower().removesuffix(default),
        "@path": parts.path or "/",
        "@request-target": f"{parts.path or '/'}{query}",
        "@target-uri": f"{url}{query}",
    }.get(name)
