"""What a signature scheme is: a struct as it stands under `verify` in waybill.yaml, which builds a verifier.

A verifier sees the raw bytes before anything reads them. It tells what the sender vouched for, since only that may
decide whether a delivery is new: a header that nobody signed can be changed by whoever captured the delivery.
"""

import hmac
from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, Protocol

from msgspec import Meta, Struct

from service.errors import ConfigError, Rejection
from service.events import Delivery
from service.secrets import SecretRef

SIGNATURES_MAX = 16
"""How many signatures of one header are looked at; senders that rotate their secret send two."""
TOKEN_CHARACTERS_RECOMMENDED = 16
"""Shorter tokens are warned of: what is compared as it stands can be guessed by trying."""

Secrets = Annotated[tuple[SecretRef, ...], Meta(min_length=1, max_length=10, description="a list of references")]
"""Every active secret: the new one and the old one while a sender changes over."""
Tolerance = Annotated[int, Meta(ge=0, le=86_400, description="seconds, 0 to 86400; 0 does not look at the clock")]
HeaderName = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}\Z", description="an HTTP header name such as X-Signature")
]

ANY_TIME = "tolerance_seconds: 0 accepts a captured delivery at any later time"


class Verified(Struct, frozen=True, gc=False):
    """What a verified delivery's sender vouched for.

    `id` is the event id in a signed header, None if the scheme covers none; `signed` are the bytes the signature
    covers, or the body where the scheme signs nothing. `movable` is an id that holds the text which parts it from the
    rest of what is signed: of `1.a.b` it may be the `1` or the `1.a`, and the signature is right for both. Where the
    body has to be one JSON text only one of them fits; where it may be anything, such an id proves nothing.
    """

    id: str | None
    signed: bytes
    movable: bool = False


class Verifier(Protocol):
    """One source's scheme with its secrets, ready to judge."""

    def verify(self, delivery: Delivery) -> Verified:
        """Judge the raw bytes, in constant time where a secret is compared.

        Raises:
            Rejection: 401 `not_verified` or `stale_timestamp`.
        """
        ...


class Scheme(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="scheme"):
    """The part every scheme has: build a verifier for receiving, sign for sending."""

    redelivery_hours: ClassVar[float | None] = None
    """How long the sender that a preset is named after may send an event again, if it says so."""

    def build(self, environ: Mapping[str, str], at: str, /) -> Verifier:
        """Resolve the secrets and check the fields against each other; `at` is where the struct stands.

        Raises:
            ConfigError: a secret is missing or malformed, or two fields contradict each other.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how")

    def sign(self, body: bytes, secret: str, event_id: str, timestamp: int, /) -> dict[str, str]:
        """Give the headers a sender adds. `timestamp` in seconds since the epoch; what the scheme lacks is unused."""
        raise NotImplementedError(f"{type(self).__name__} does not say how")

    def path(self, _secret: str, /) -> str:
        """Give what a sender adds to the source's address."""
        return ""

    @property
    def refs(self) -> tuple[SecretRef, ...]:
        """Where the active secrets stand, the newest first."""
        return ()

    @property
    def signed_parts(self) -> frozenset[str]:
        """What is signed: of `id`, `timestamp` and `body`."""
        return frozenset()

    def warnings(self, _environ: Mapping[str, str], /) -> tuple[str, ...]:
        """What is allowed but worth a second look, as sentences; the secrets are known to be there."""
        return ()


class TokenScheme(Scheme, frozen=True, kw_only=True):
    """The part that schemes have whose secrets are sent as they stand, in a header or a path."""

    secrets: Secrets

    @property
    def refs(self) -> tuple[SecretRef, ...]:
        """See Scheme."""
        return self.secrets

    def warnings(self, environ: Mapping[str, str], /) -> tuple[str, ...]:
        """See Scheme."""
        short = any(len(ref.resolve(environ)) < TOKEN_CHARACTERS_RECOMMENDED for ref in self.secrets)
        return (f"a secret of fewer than {TOKEN_CHARACTERS_RECOMMENDED} characters can be guessed",) if short else ()


def resolve_all(refs: tuple[SecretRef, ...], environ: Mapping[str, str], at: str) -> tuple[str, ...]:
    """Resolve every active secret of a list that stands at `at`."""
    return tuple(ref.resolve(environ, f"{at}[{index}]") for index, ref in enumerate(refs))


def resolve_tokens(refs: tuple[SecretRef, ...], environ: Mapping[str, str], at: str) -> tuple[bytes, ...]:
    """Resolve secrets that are sent as they stand, in a header or a path.

    Raises:
        ConfigError: one is missing, or holds what neither can: anything but visible ASCII.
    """
    tokens = resolve_all(refs, environ, at)
    for index, token in enumerate(tokens):
        if not token.isascii() or not token.isprintable() or token != token.strip():
            fix = "use letters, digits and signs, without spaces around them"
            raise ConfigError(f"{at}[{index}]", "the secret holds other than visible ASCII characters", fix)
    return tuple(token.encode() for token in tokens)


def matches_any_secret(expected: Iterable[bytes], given: str) -> bool:
    """Compare with every expected secret, in constant time; what is not ASCII matches none."""
    if not given.isascii():
        return False
    text, matched = given.encode(), False
    for token in expected:
        matched |= hmac.compare_digest(token, text)
    return matched


def not_verified(detail: str, headers: Mapping[str, str] | None = None) -> Rejection:
    """Make the refusal of a delivery whose sender is not who the source says."""
    return Rejection(401, "not_verified", detail, headers)
