"""What a signature scheme is: a struct as it stands under `verify` in waybill.yaml, which builds a verifier.

A verifier sees the raw bytes before anything reads them. It tells what the sender vouched for, since only that may
decide whether a delivery is new: a header that nobody signed can be changed by whoever captured the delivery.
"""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from service.errors import Refusal
from service.events import Delivery
from service.secrets import SecretRef

SIGNATURES_MAX = 16
"""How many signatures of one header are looked at; senders that rotate their secret send two."""


class Verified(Struct, frozen=True, gc=False):
    """What a verified delivery's sender vouched for.

    `id` is the event id in a signed header, None if the scheme covers none; `signed` are the bytes the signature
    covers, or the body where the scheme signs nothing.
    """

    id: str | None
    signed: bytes


class Verifier(Protocol):
    """One source's scheme with its secrets, ready to judge."""

    def verify(self, delivery: Delivery) -> Verified:
        """Judge the raw bytes, in constant time where a secret is compared.

        Raises:
            Refusal: 401 `not_verified` or `stale_timestamp`.
        """
        ...


class Scheme(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="scheme"):
    """The part every scheme has: build a verifier for receiving, sign for sending."""

    def build(self, environ: Mapping[str, str], at: str) -> Verifier:
        """Resolve the secrets and check the fields against each other; `at` is where the struct stands.

        Raises:
            ConfigError: a secret is missing or malformed, or two fields contradict each other.
        """
        raise TypeError(f"{type(self).__name__} does not say how")

    def sign(self, body: bytes, secret: str, id: str, timestamp: int) -> dict[str, str]:  # noqa: A002 - the word senders use
        """Give the headers a sender adds. `timestamp` in seconds since the epoch; what the scheme lacks is unused."""
        raise TypeError(f"{type(self).__name__} does not say how")

    def warnings(self) -> tuple[str, ...]:
        """What is allowed but worth a second look, as sentences."""
        return ()


def resolve_all(refs: tuple[SecretRef, ...], environ: Mapping[str, str], at: str) -> tuple[str, ...]:
    """Resolve every active secret of a list that stands at `at`."""
    return tuple(ref.resolve(environ, f"{at}[{index}]") for index, ref in enumerate(refs))


def not_verified(detail: str, headers: Mapping[str, str] | None = None) -> Refusal:
    """Make the refusal of a delivery whose sender is not who the source says."""
    return Refusal(401, "not_verified", detail, headers)
