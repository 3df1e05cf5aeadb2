"""Interface of signature schemes: a struct under `verify` in waybill.yaml, which builds a verifier.

A verifier checks the raw bytes before the body is parsed. It returns the signed parts, because only these may form the
dedupe key: an attacker can change unsigned headers of a captured delivery.
"""

import hmac
from collections.abc import Iterable, Mapping
from typing import Annotated, Protocol

from msgspec import Meta, Struct, structs

from service.errors import ConfigError, Rejection
from service.events import Delivery
from service.secrets import SecretRef

SIGNATURES_MAX = 16
"""Maximum number of signatures per header that are compared. Senders send two during a rotation."""
TOKEN_CHARACTERS_RECOMMENDED = 16
"""Shorter tokens cause a warning, because they can be guessed."""

Secrets = Annotated[tuple[SecretRef, ...], Meta(min_length=1, max_length=10, description="a list of secret references")]
"""All active secrets: the new and the old one during a rotation."""
Tolerance = Annotated[int, Meta(ge=0, le=86_400, description="seconds, 0 to 86400; 0 disables the timestamp check")]
HeaderName = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}\Z", description="an HTTP header name such as X-Signature")
]

ANY_TIME = "tolerance_seconds: 0 disables the timestamp check; a captured delivery can be sent again at any time"


class Verified(Struct, frozen=True, gc=False):
    """Signed parts of a verified delivery.

    `id` is the event id of a signed header; None if the scheme signs no id. `signed` is the signed bytes, or the body
    if the scheme signs nothing. `movable` is True if the id contains its separator: in `1.a.b` the id may be `1` or
    `1.a`, and the signature is valid for both. Such an id is ambiguous unless the body must be JSON.
    """

    id: str | None
    signed: bytes
    movable: bool = False


class Verifier(Protocol):
    """Scheme of one source with its secrets."""

    def verify(self, delivery: Delivery) -> Verified:
        """Verify the raw bytes. Secrets are compared in constant time.

        Returns:
            The signed parts.

        Raises:
            NotVerified: 401 `not_verified`.
            Rejection: 401 `stale_timestamp`.
        """
        ...


class Scheme(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="scheme"):
    """Base class of all schemes: builds a verifier for receiving, and signs for sending."""

    def build(self, environ: Mapping[str, str], at: str, /) -> Verifier:
        """Resolve the secrets and check the fields. `at` is the path in waybill.yaml, for error messages.

        Returns:
            The verifier.

        Raises:
            ConfigError: A secret is missing or malformed, or two fields contradict.
            NotImplementedError: The subclass has no `build`.
        """
        raise NotImplementedError(f"{type(self).__name__}.build is missing: implement it")

    def sign(self, body: bytes, secret: str, event_id: str, timestamp: int, /) -> dict[str, str]:
        """Sign a delivery. `timestamp` is in seconds since the epoch. Schemes ignore arguments that they do not sign.

        Returns:
            The headers that the sender adds.

        Raises:
            NotImplementedError: The subclass has no `sign`.
        """
        raise NotImplementedError(f"{type(self).__name__}.sign is missing: implement it")

    def sign_delivery(self, delivery: Delivery, secret: str, event_id: str, /) -> Delivery:
        """Sign a delivery as the sender does, at its time of receipt.

        Returns:
            The delivery with its credentials, in the headers, the body, the query or the path.
        """
        headers = {**delivery.headers, **self.sign(delivery.body, secret, event_id, int(delivery.received_at))}
        return structs.replace(delivery, headers=headers, path_token=self.path(secret)[1:] or None)

    def path(self, _secret: str, /) -> str:
        """Return the suffix that the sender adds to the endpoint's path."""
        return ""

    @property
    def refs(self) -> tuple[SecretRef, ...]:
        """References of the active secrets, newest first."""
        return ()

    @property
    def signed_parts(self) -> frozenset[str]:
        """Signed parts: a subset of `id`, `timestamp` and `body`."""
        return frozenset()

    def warnings(self, _environ: Mapping[str, str], /) -> tuple[str, ...]:
        """Return warnings about allowed but insecure settings. Call it after `build`."""
        return ()


class TokenScheme(Scheme, frozen=True, kw_only=True):
    """Base class of schemes that send the secret itself, in a header or the URL."""

    secrets: Secrets

    @property
    def refs(self) -> tuple[SecretRef, ...]:
        """References of the tokens."""
        return self.secrets

    def warnings(self, environ: Mapping[str, str], /) -> tuple[str, ...]:
        """Return a warning if a token is short."""
        short = any(len(ref.resolve(environ)) < TOKEN_CHARACTERS_RECOMMENDED for ref in self.secrets)
        return (f"a secret of fewer than {TOKEN_CHARACTERS_RECOMMENDED} characters can be guessed",) if short else ()


def resolve_all(refs: tuple[SecretRef, ...], environ: Mapping[str, str], at: str) -> tuple[str, ...]:
    """Return the values of all secrets. `at` is the path of the list, for error messages."""
    return tuple(ref.resolve(environ, f"{at}[{index}]") for index, ref in enumerate(refs))


def resolve_tokens(refs: tuple[SecretRef, ...], environ: Mapping[str, str], at: str) -> tuple[bytes, ...]:
    """Return the values of tokens that are sent in a header or a URL.

    Raises:
        ConfigError: A token is missing, or has characters other than visible ASCII.
    """
    tokens = resolve_all(refs, environ, at)
    for index, token in enumerate(tokens):
        if not token.isascii() or not token.isprintable() or token != token.strip():
            fix = "use letters, digits and punctuation, without surrounding spaces"
            raise ConfigError(f"{at}[{index}]", "the secret has characters other than visible ASCII", fix)
    return tuple(token.encode() for token in tokens)


def matches_any_secret(expected: Iterable[bytes], given: str) -> bool:
    """Return whether `given` is one of the expected secrets. Compares in constant time."""
    if not given.isascii():
        return False
    text, matched = given.encode(), False
    for token in expected:
        matched |= hmac.compare_digest(token, text)
    return matched


class NotVerified(Rejection):
    """A delivery without a valid signature or secret; answered 401 `not_verified`."""

    def __init__(self, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(401, "not_verified", detail, headers)
