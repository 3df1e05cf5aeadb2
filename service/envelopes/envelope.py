"""Base class of envelopes: the struct of the key `envelope` in waybill.yaml, which builds a parser of deliveries."""

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol, TypeVar

from msgspec import Struct

from service.errors import Rejection
from service.events import Delivery, Fact

T = TypeVar("T")

FACTS_MAX = 500
"""Maximum number of events in one delivery."""
JSON_TYPES = frozenset({"application/json", "+json"})
"""The media types of JSON: names, and suffixes of names."""


class ParsedDelivery(Struct, frozen=True, gc=False):
    """Content of a delivery. `bodies[i]` are the bytes of `facts[i]`: the whole body, or one item of a batch.

    `is_json` is True if the whole body was parsed as one JSON text.
    """

    facts: tuple[Fact, ...]
    bodies: tuple[bytes, ...]
    is_json: bool = True


DeliveryParser = Callable[[Delivery], ParsedDelivery]
"""Parses a verified delivery. Raises Rejection with 400 `malformed_payload`, 415 `unsupported_media_type`
or 422 `unrecognized_event`."""


class Connector(Protocol):
    """The part of a connector that an envelope requires."""

    @property
    def account(self) -> str:
        """Name of the account in waybill.yaml."""
        ...

    def read(self, delivery: Delivery) -> tuple[Fact, ...]:
        """Parse a delivery in the platform's own envelope.

        Raises:
            Rejection: the delivery is not valid.
        """
        ...


class ParseContext(Struct, frozen=True):
    """Context for the parser of one source: its account's connector, the record kinds, the limit of JSON nesting."""

    connector: Connector
    kinds: frozenset[str]
    depth_max: int


class Envelope(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Base class of all envelopes."""

    content_types: ClassVar[frozenset[str]] = JSON_TYPES
    """Accepted media types: names, suffixes such as `+json`, or `*` if the parser checks the media type itself."""

    def reader(self, context: ParseContext) -> DeliveryParser:
        """Build the parser for one source."""
        raise NotImplementedError(f"{type(self).__name__} does not implement reader()")


def single_fact(fact: Fact, body: bytes) -> ParsedDelivery:
    """Build the result for a delivery with one fact."""
    return ParsedDelivery((fact,), (body,))


def read_each(items: Sequence[T], read: Callable[[T], Fact]) -> tuple[Fact, ...]:
    """Parse each event of a delivery with `read`.

    Raises:
        Rejection: `read` rejected an event. The detail contains the index of the event if there are several.
    """
    facts: list[Fact] = []
    for index, item in enumerate(items):
        try:
            facts.append(read(item))
        except Rejection as rejection:
            if len(items) == 1:
                raise
            detail = f"{rejection.detail.removesuffix('.')}, in event {index} of the list, counted from 0."
            raise Rejection(rejection.status, rejection.code, detail) from None
    return tuple(facts)


def not_an_event(detail: str) -> Rejection:
    """Build the rejection of JSON that is not an event of the source."""
    return Rejection(422, "unrecognized_event", detail)
