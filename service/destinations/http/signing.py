"""Signatures of requests: HMAC, Standard Webhooks and HTTP Message Signatures (RFC 9421).

The signatures are those of `service.signatures`, which verifies the same schemes.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from service.config.platforms import HeaderName
from service.errors import ConfigError, Rejection
from service.events import Delivery
from service.secrets import SecretRef
from service.signatures import Hmac, HttpMessageSignatures, Scheme, StandardWebhooks
from service.signatures.http_message_signatures import Algorithm, Component, KeyId, Label
from service.signatures.keys import KeyEncoding
from service.signatures.proofs import Encoding, HashAlgorithm
from service.signatures.scheme import Secrets
from service.signatures.signed_request import Prefix
from service.signatures.timestamps import TimestampFormat

ReadSecret = Callable[[SecretRef], str]


class UnsignedRequest(Struct, frozen=True, kw_only=True):
    """Request before its signature. Header names are in lower case; `key` is the idempotency key, `now` in seconds."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    key: str
    now: float


class _Signature(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="scheme"):
    """Base class of all signatures."""

    def check(self, at: str, environ: Mapping[str, str]) -> Iterator[ConfigError]:
        """Yield the mistakes that only a signature shows, such as a malformed key."""
        request = UnsignedRequest(
            method="POST",
            url="https://erp.example.com/x",
            headers={"content-type": "text/plain"},
            body=b"",
            key="k",
            now=0,
        )
        try:
            self.headers(request, lambda ref: ref.resolve(environ))
        except ConfigError as error:
            if not any(error.path in {ref.env, ref.file} for ref in self.refs):  # reported with the other secrets
                yield ConfigError(f"{at}.{error.path.removeprefix('signature.')}", error.reason, error.fix)
        except Rejection as error:
            fix = "sign parts that every request has, such as @method, @target-uri and content-digest"
            yield ConfigError(f"{at}.components", error.detail, fix)

    @property
    def refs(self) -> tuple[SecretRef, ...]:
        """References of the secrets."""
        raise NotImplementedError

    @property
    def own_headers(self) -> tuple[str, ...]:
        """Names of the headers that the signature adds, besides those that no rule may set."""
        return ()

    def headers(self, request: UnsignedRequest, read: ReadSecret) -> Mapping[str, str]:
        """Return the headers that the signature adds.

        Raises:
            ConfigError: A secret cannot be read or is malformed, or two fields contradict.
            Rejection: The request does not have a part that is to be signed.
        """
        raise NotImplementedError


class HmacSignature(_Signature, frozen=True, kw_only=True, tag="hmac"):
    """HMAC in a header. `signed` is a template of the signed bytes, with `{body}`, `{timestamp}` and `{id}`."""

    secret: SecretRef
    header: HeaderName
    algorithm: HashAlgorithm = "sha256"
    key_encoding: KeyEncoding = "text"
    encoding: Encoding = "hex"
    prefix: Prefix = ""
    signed: str = "{body}"
    id_header: HeaderName | None = None
    timestamp_header: HeaderName | None = None
    timestamp_format: TimestampFormat = "seconds"

    @property
    def refs(self) -> tuple[SecretRef, ...]:
        """References of the secrets."""
        return (self.secret,)

    @property
    def own_headers(self) -> tuple[str, ...]:
        """Names of the headers that the signature adds."""
        return tuple(name for name in (self.header, self.id_header, self.timestamp_header) if name)

    def headers(self, request: UnsignedRequest, read: ReadSecret) -> Mapping[str, str]:
        """Return the headers that the signature adds."""
        scheme = Hmac(
            header=self.header,
            algorithm=self.algorithm,
            secrets=(self.secret,),
            key_encoding=self.key_encoding,
            encoding=self.encoding,
            prefix=self.prefix,
            signed=self.signed,
            url=request.url if "{url}" in self.signed else None,
            id_header=self.id_header,
            timestamp_header=self.timestamp_header,
            timestamp_format=self.timestamp_format,
        )
        scheme.check_fields("signature")
        return _added(scheme, request, read(self.secret))


class StandardWebhooksSignature(_Signature, frozen=True, kw_only=True, tag="standard_webhooks"):
    """Standard Webhooks: v1 for a secret `whsec_…`, v1a for a private key `whsk_…`.

    During a rotation every secret of `secrets` signs. The id is the idempotency key.
    """

    secrets: Secrets
    header_prefix: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9-]{1,40}-\Z", description="the prefix of header names, such as webhook-")
    ] = "webhook-"
    key_encoding: KeyEncoding = "base64"

    @property
    def refs(self) -> tuple[SecretRef, ...]:
        """References of the secrets."""
        return self.secrets

    @property
    def own_headers(self) -> tuple[str, ...]:
        """Names of the headers that the signature adds."""
        return tuple(self.header_prefix + name for name in ("id", "timestamp", "signature"))

    def headers(self, request: UnsignedRequest, read: ReadSecret) -> Mapping[str, str]:
        """Return the headers that the signature adds."""
        scheme = StandardWebhooks(header_prefix=self.header_prefix, key_encoding=self.key_encoding)
        signed = [scheme.sign(request.body, read(ref), request.key, int(request.now)) for ref in self.secrets]
        name = f"{self.header_prefix.lower()}signature"
        return {**signed[0], name: " ".join(headers[name] for headers in signed)}


class MessageSignature(_Signature, frozen=True, kw_only=True, tag="http_message_signatures"):
    """HTTP Message Signatures. `secret` is the key of hmac-sha256, or a private key as PEM."""

    secret: SecretRef
    algorithm: Algorithm
    components: Annotated[tuple[Component, ...], Meta(min_length=1, max_length=20, description="a list")] = (
        "@method",
        "@target-uri",
        "content-digest",
    )
    key_id: KeyId | None = None
    label: Label = "sig1"
    tag: Annotated[str, Meta(min_length=1, max_length=64, description="a tag")] | None = None
    key_encoding: KeyEncoding = "text"

    @property
    def refs(self) -> tuple[SecretRef, ...]:
        """References of the secrets."""
        return (self.secret,)

    def headers(self, request: UnsignedRequest, read: ReadSecret) -> Mapping[str, str]:
        """Return the headers that the signature adds."""
        scheme = HttpMessageSignatures(
            algorithm=self.algorithm,
            components=self.components,
            label=self.label,
            tag=self.tag,
            key_id=self.key_id,
            url=request.url.partition("?")[0],
            key_encoding=self.key_encoding,
        )
        return _added(scheme, request, read(self.secret))


RequestSignature = HmacSignature | StandardWebhooksSignature | MessageSignature


def _added(scheme: Scheme, request: UnsignedRequest, secret: str) -> Mapping[str, str]:
    query = urlsplit(request.url).query
    draft = Delivery("", dict(request.headers), request.body, request.now, query=query, method=request.method)
    signed = scheme.sign_delivery(draft, secret, request.key).headers
    return {name: value for name, value in signed.items() if request.headers.get(name) != value}
