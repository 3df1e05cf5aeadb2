"""What an envelope is: a struct as it stands under `envelope` in waybill.yaml, which builds a reader of deliveries."""

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol, TypeVar

from msgspec import Struct

from service.errors import Rejection
from service.events import Delivery, Fact

T = TypeVar("T")

FACTS_MAX = 500
"""How many events one delivery may tell."""
JSON_TYPES = frozenset({"application/json", "+json"})
"""The media types of JSON: a name, or the end of one."""


class ParsedDelivery(Struct, frozen=True, gc=False):
    """What a delivery tells: `bodies[i]` are the bytes that tell `facts[i]`, the whole body unless it is a batch.

    `is_json` says that the body was read as one JSON text from its first byte to its last.
    """

    facts: tuple[Fact, ...]
    bodies: tuple[bytes, ...]
    is_json: bool = True


DeliveryParser = Callable[[Delivery], ParsedDelivery]
"""Reads a verified delivery; raises Refusal 400 `malformed_payload`, 415 `unsupported_media_type`
or 422 `unrecognized_event`."""


class Connector(Protocol):
    """The part of a platform that reading needs."""

    @property
    def account(self) -> str:
        """The account's name in waybill.yaml."""
        ...

    def read(self, delivery: Delivery) -> tuple[Fact, ...]:
        """Read the platform's own envelope. Raises Refusal."""
        ...


class ParseContext(Struct, frozen=True):
    """Where a source's deliveries are read: on which account, with which kinds of record, how deep JSON may nest."""

    connector: Connector
    kinds: frozenset[str]
    depth_max: int


class Envelope(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """The part every envelope has."""

    content_types: ClassVar[frozenset[str]] = JSON_TYPES
    """The media types it comes in: names, ends such as `+json`, or `*` for all, of which the reader then judges."""

    def reader(self, context: ParseContext) -> DeliveryParser:
        """Build the reader for one source."""
        raise NotImplementedError(f"{type(self).__name__} does not say how")


def single_fact(fact: Fact, body: bytes) -> ParsedDelivery:
    """Make what a delivery of one fact tells."""
    return ParsedDelivery((fact,), (body,))


def read_each(items: Sequence[T], read: Callable[[T], Fact]) -> tuple[Fact, ...]:
    """Read each event of a delivery.

    Raises:
        Rejection: as `read`; if there are several, it says which of them it was.
    """
    facts: list[Fact] = []
    for index, item in enumerate(items):
        try:
            facts.append(read(item))
        except Rejection as refusal:
            if len(items) == 1:
                raise
            detail = f"{refusal.detail.removesuffix('.')}, in event {index} of the list, counted from 0."
            raise Rejection(refusal.status, refusal.code, detail) from None
    return tuple(facts)


def not_an_event(detail: str) -> Rejection:
    """Make the refusal of JSON that does not tell what the source expects."""
    return Rejection(422, "unrecognized_event", detail)
