"""Interface of a connector: parses deliveries, resolves hints, fetches and lists records.

One connector instance serves one configured account. `read` is pure; the other methods call the platform's API.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from msgspec import Struct, structs

from service.bodies.lazy_json import LazyJson, read_json
from service.events import EVENT_KIND, Delivery, Fact, RecordRef
from service.exchange import Exchange
from service.platforms.api.decoding import digest_of
from service.records import EventRecord, Record


class CallContext(Struct, frozen=True):
    """Event that a call belongs to: sent as `traceparent` and, where the platform supports it, as correlation id.

    The call of an effect fills `exchange`. `idempotency_key` is sent by operations that are declared as keyed.
    """

    event_id: str
    traceparent: str | None = None
    correlation_id: str | None = None
    exchange: Exchange | None = None
    idempotency_key: str | None = None


class FetchedRecord(Struct, frozen=True):
    """Current state of one record on its platform.

    Attributes:
        record: The record; None if it is gone (404, 410). A deleted record that is still returned has `deleted_at`.
        raw_json: The platform's own JSON without its envelope, non-integers as Decimal; {} if the record is gone.
        version: The platform's modification time as text, UTC and of fixed width, so that text order is time order.
        known_digest: `digest`, if it was computed with the record.
        http_status: Status of the response.
        operation: Name of the operation, such as `pack_cloud.customer.get`.
        duration_ms: Duration of the call in milliseconds.
        body_bytes: Size of the response.
        reason: URL, status and words of the platform, if the record is gone.
        bytes_digest: SHA-256 of the response, in hex, which depends on the order of members; empty if unknown.
    """

    record: Record | None
    raw_json: LazyJson | Any
    version: str | None
    known_digest: str | None
    http_status: int
    operation: str
    duration_ms: float
    body_bytes: int = 0
    reason: str = ""
    bytes_digest: str = ""

    @property
    def raw(self) -> Any:  # noqa: ANN401 - JSON
        """The platform's own JSON, decoded now if it was not."""
        return read_json(self.raw_json)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical state, in hex. Computed at the first access."""
        digest = self.known_digest
        if digest is None:
            digest = digest_of(self.raw)
            structs.force_setattr(self, "known_digest", digest)
        return digest


class ListedRecord(Struct, frozen=True):
    """One record of a list, with enough data to detect a change.

    Attributes:
        id: The record's id.
        version: As in `FetchedRecord`.
        digest: SHA-256 of the state that the list contains; empty if unknown.
        deleted: True if the platform marks the record as deleted.
        watched: True if every pass over the list contains the record until it is finished or deleted.
    """

    id: str
    version: str | None
    digest: str
    deleted: bool = False
    watched: bool = True


class RecordPage(Struct, frozen=True):
    """One page of a list.

    Attributes:
        items: The records.
        next: Cursor of the next page, None at the end.
        settled: Cursor to continue from if no record of this page changed. Further than `next` if the order of the list
            guarantees that no change follows.
    """

    items: tuple[ListedRecord, ...]
    next: str | None
    settled: str | None


class Platform(Protocol):
    """Connector of one account."""

    @property
    def account(self) -> str:
        """Return the account's name in waybill.yaml."""
        ...

    @property
    def hints(self) -> frozenset[str]:
        """Return the kinds that `resolve` leads to records."""
        ...

    def read(self, delivery: Delivery) -> tuple[Fact, ...]:
        """Parse a delivery in the platform's own envelope.

        Args:
            delivery: The verified delivery.

        Returns:
            The facts; a fact of an unknown event type has no record.

        Raises:
            Rejection: 422 `unrecognized_event`, or 400 `malformed_payload`.
        """
        ...

    async def resolve(self, ref: RecordRef, context: CallContext, /) -> tuple[RecordRef, ...]:
        """Resolve a hint (`order`, `appointment`) to records.

        Args:
            ref: The hint or the record.
            context: The event that the call belongs to.

        Returns:
            The records; a record resolves to itself.

        Raises:
            TransientError: A retry may succeed.
            PermanentError: A retry cannot succeed.
            Deferred: The account is throttled or its circuit is open.
        """
        ...

    async def fetch(self, ref: RecordRef, context: CallContext) -> FetchedRecord:
        """Fetch one record.

        Args:
            ref: The record.
            context: The event that the call belongs to.

        Returns:
            The current state of the record.

        Raises:
            TransientError: A retry may succeed.
            PermanentError: A retry cannot succeed; `unknown_kind` for a kind that the platform does not have.
            Deferred: The account is throttled or its circuit is open.
        """
        ...

    async def list_records(self, kind: str, cursor: str | None, context: CallContext) -> RecordPage:
        """Fetch one page of a list, for polls.

        Args:
            kind: The kind of record.
            cursor: The cursor of the page, None for the first page.
            context: The event that the call belongs to.

        Returns:
            The page.

        Raises:
            TransientError: A retry may succeed.
            PermanentError: A retry cannot succeed; `unknown_kind` for a kind that cannot be listed.
            Deferred: The account is throttled or its circuit is open.
        """
        ...


def state_without_fetch(ref: RecordRef) -> FetchedRecord | None:
    """Return the state of an event without a platform, which is nothing; None for a record that must be fetched."""
    if ref.kind != EVENT_KIND:
        return None
    return FetchedRecord(EventRecord(id=ref.id), None, None, "", 0, "", 0.0)


def is_hint(platforms: Mapping[str, Platform], ref: RecordRef) -> bool:
    """Return True if an event is about something that its platform resolves to records.

    Args:
        platforms: The connectors by account.
        ref: The record or hint of the event.

    Returns:
        True for a hint; False for a record, and for an account that is not configured.
    """
    platform = platforms.get(ref.platform)
    return platform is not None and ref.kind in platform.hints
