"""What an envelope is: a struct as it stands under `envelope` in waybill.yaml, which builds a reader of deliveries."""

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from service.errors import Refusal
from service.events import Delivery, Fact

Reader = Callable[[Delivery], tuple[Fact, ...]]
"""Reads a verified delivery of bounded depth into facts; raises Refusal 400 `unparsable` or 422 `not_an_event`."""


class Connector(Protocol):
    """The part of a platform that reading needs."""

    @property
    def account(self) -> str:
        """The account's name in waybill.yaml."""
        ...

    def read(self, delivery: Delivery) -> tuple[Fact, ...]:
        """Read the platform's own envelope. Raises Refusal."""
        ...


class Envelope(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """The part every envelope has."""

    def reader(self, connector: Connector) -> Reader:
        """Build the reader for one source on the account of `connector`."""
        raise TypeError(f"{type(self).__name__} does not say how")


def not_an_event(detail: str) -> Refusal:
    """Make the refusal of JSON that does not tell what the source expects."""
    return Refusal(422, "not_an_event", detail)
