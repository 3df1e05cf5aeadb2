"""Base class of envelopes: the struct of the key `envelope` in waybill.yaml, which builds a parser of deliveries."""

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol, TypeVar

from msgspec import Struct

from service.errors import Rejection
from service.events import Delivery, Fact

T = TypeVar("T")

REJECTED_ITEMS_MAX = 100
"""Maximum number of rejected items of a batch whose other items are accepted."""
JSON_TYPES = frozenset({"application/json", "+json"})
"""The media types of JSON: names, and suffixes of names."""


class RejectedItem(Struct, frozen=True, gc=False):
    """Item of a batch that is not an event of the source. `index` is its position in the list, from 0."""

    index: int
    body: bytes
    rejection: Rejection


class ParsedDelivery(Struct, frozen=True, gc=False):
    """Content of a delivery. `bodies[i]` are the bytes of `facts[i]`: the whole body, or one item of a batch.

    `indexes[i]` is the position of the item in the batch; empty if all items are facts. `is_json` is True if the whole
    body was parsed as one JSON text.
    """

    facts: tuple[Fact, ...]
    bodies: tuple[bytes, ...]
    is_json: bool = True
    indexes: tuple[int, ...] = ()
    rejected: tuple[RejectedItem, ...] = ()


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


class NoPlatform(Struct, frozen=True):
    """Connector of a source without a platform. The source has an envelope of its own, so nothing calls `read`."""

    account: str

    def read(self, delivery: Delivery) -> tuple[Fact, ...]:
        """Raise NotImplementedError."""
        raise NotImplementedError(f"{self.account} has no platform that could read {delivery.source}")


class ParseContext(Struct, frozen=True):
    """Context for the parser of one source.

    It has the account's connector, the record kinds, and the limits of JSON nesting and of events in one delivery.
    """

    connector: Connector
    kinds: frozenset[str]
    depth_max: int
    events_max: int


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


def read_each(items: Sequence[T], bodies: Sequence[bytes], read: Callable[[T], Fact]) -> ParsedDelivery:
    """Parse each item of a batch with `read`. The bytes of the items are `bodies`.

    Returns:
        The facts with the bytes of their items, and the rejected items.

    Raises:
        Rejection: `read` rejected all items, or more than 100. The detail contains the index of the first one if there
            are several.
    """
    facts: list[Fact] = []
    indexes: list[int] = []
    rejected: list[RejectedItem] = []
    for index, item in enumerate(items):
        try:
            facts.append(read(item))
            indexes.append(index)
        except Rejection as rejection:
            if len(items) == 1:
                raise
            detail = f"{rejection.detail.removesuffix('.')}, in event {index} of the list, counted from 0."
            rejected.append(RejectedItem(index, bodies[index], Rejection(rejection.status, rejection.code, detail)))
            if len(rejected) > REJECTED_ITEMS_MAX:
                break
    if rejected and (not facts or len(rejected) > REJECTED_ITEMS_MAX):
        raise rejected[0].rejection
    if not rejected:
        return ParsedDelivery(tuple(facts), tuple(bodies))
    accepted = tuple([bodies[index] for index in indexes])
    return ParsedDelivery(tuple(facts), accepted, indexes=tuple(indexes), rejected=tuple(rejected))


def too_many_events(events_max: int, place: str) -> Rejection:
    """Build the rejection of a batch above the limit, or of one that is not a list."""
    return unrecognized_event(f"Send a list of at most {events_max} events {place} (WAYBILL_DELIVERY_EVENTS_MAX).")


def unrecognized_event(detail: str) -> Rejection:
    """Build the rejection of JSON that is not an event of the source."""
    return Rejection(422, "unrecognized_event", detail)
