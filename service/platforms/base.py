"""What a platform's connector offers to the rest of the house: it reads deliveries, follows hints and fetches records.

One connector instance stands for one configured account. Reading is pure; only `fetch` and `resolve` ask the network.
"""

from typing import Any, Protocol

from msgspec import Struct

from service.events import Delivery, Fact, RecordRef
from service.records import Record


class CallContext(Struct, frozen=True):
    """What ties a fetch to its event: sent along as `traceparent` and, where the platform has one, correlation id."""

    event_id: str
    traceparent: str | None = None
    correlation_id: str | None = None


class FetchedRecord(Struct, frozen=True):
    """One record as the platform holds it now.

    `record` is None if it is gone (404, 410); a deleted record that is still returned carries `deleted_at`. `raw` is
    the platform's own JSON without its envelope (Decimal for non-integers), {} if gone. `version` is the platform's
    last-modified moment as text in UTC of fixed width, so that text order is time order; None if it has none. `digest`
    is the SHA-256 of the canonical state in hex.
    """

    record: Record | None
    raw: Any
    version: str | None
    digest: str
    http_status: int
    operation: str
    duration_ms: float


class ListedRecord(Struct, frozen=True):
    """One record as a list shows it: enough to tell whether it changed.

    `version` as in `FetchedRecord`; `digest` is that of what the list shows. `watched` says that every pass over the
    list is to show it again: one that is not shown any more has been finished or deleted.
    """

    id: str
    version: str | None
    digest: str
    deleted: bool = False
    watched: bool = True


class RecordPage(Struct, frozen=True):
    """One page of records. `next` is the cursor of the next page, None at the end.

    `settled` is where to go on if nothing on this page is new: further than `next` where the order of the list tells
    that nothing new can follow.
    """

    items: tuple[ListedRecord, ...]
    next: str | None
    settled: str | None


class Platform(Protocol):
    """One account on one platform."""

    @property
    def account(self) -> str:
        """The account's name in waybill.yaml."""
        ...

    def read(self, delivery: Delivery) -> tuple[Fact, ...]:
        """Read the platform's own envelope; a type nobody asked for is a fact without a record.

        Raises:
            Rejection: 422 `unrecognized_event`, or 400 `malformed_payload`.
        """
        ...

    async def resolve(self, ref: RecordRef, context: CallContext, /) -> tuple[RecordRef, ...]:
        """Follow a hint (`order`, `appointment`) to the records it is about; a record resolves to itself.

        Raises:
            TransientError: waiting helps.
            PermanentError: it does not.
            Deferred: not now, by a limit or a pause.
        """
        ...

    async def fetch(self, ref: RecordRef, context: CallContext) -> FetchedRecord:
        """Ask for one record.

        Raises:
            TransientError: waiting helps.
            PermanentError: it does not; `unknown_kind` for a kind the platform has not.
            Deferred: not now, by a limit or a pause.
        """
        ...

    async def list_records(self, kind: str, cursor: str | None, context: CallContext) -> RecordPage:
        """Give one page of all records of a kind, for polls; `cursor` None begins.

        Raises:
            TransientError: waiting helps.
            PermanentError: it does not; `unknown_kind` for a kind that cannot be listed.
            Deferred: not now, by a limit or a pause.
        """
        ...
